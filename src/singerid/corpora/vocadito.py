"""vocadito: forty short solo excerpts in seven languages, by singers of all levels.

Layout: mirdata's loader and index (mirdata/datasets/vocadito.py, indexes/vocadito_index_1.json):
``Audio/vocadito_<n>.wav`` and ``vocadito_metadata.csv`` with the columns track_id, singer_id,
average_pitch and language. The corpus does not say genders.
"""

from __future__ import annotations

import re
from pathlib import Path

from singerid.corpora.adapter import KnownScan, find_beside, matches, read_table
from singerid.manifest import Scan

_COLUMNS = ("track_id", "singer_id", "average_pitch", "language")
_LAYOUT = re.compile(r"/Audio/vocadito_(?P<track>\d+)\.wav$")


def scan(root: Path) -> Scan:
    """<root>/Audio/vocadito_<number>.wav and <root>/vocadito_metadata.csv

    Raises:
        ManifestError: the metadata file is missing or lacks a column.
    """
    table = find_beside(root, "vocadito_metadata.csv")
    rows = {row["track_id"]: row for row in read_table(table, _COLUMNS)}
    result = KnownScan()
    for path, parts in matches(root, _LAYOUT, result, scan.__doc__):
        row = rows.get(parts["track"], {})
        if not row.get("singer_id"):
            result.refuse(path, f"has no singer in {table.name}", parts["track"], "a track_id")
            continue
        # Every recording is another excerpt, so the track stands for the song.
        result.add(
            "vocadito", path, root, row["singer_id"], kind="singing", song=parts["track"],
            language=row["language"], average_pitch=row["average_pitch"],
        )  # fmt: skip
    return result
