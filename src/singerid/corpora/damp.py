"""Smule DAMP: amateur karaoke, as laid out in the original implementation's examples.

Columns of the metadata: ``example_metadata.csv`` in github Trebolium/singer-identity-encoder
(performance_id, arrangement_id, account_id, country, locale, …, gender, birth_year, …; "None" and
"NULL" where a user said nothing).
"""

from __future__ import annotations

from pathlib import Path

from singerid.corpora.adapter import read_table
from singerid.corpora.folder import SPLIT_NAMES, readable, readable_ids, walk
from singerid.errors import ManifestError
from singerid.manifest import Scan, Source

METADATA_NAMES = ("metadata.csv", "example_metadata.csv")
_UNSAID = {"", "None", "NULL"}


def scan(root: Path, metadata: str = "") -> Scan:
    """<root>/[train|val/]<singer>/<singer>_<performance>.m4a

    Args:
        root: the folder of singers, or of splits.
        metadata: CSV file with the columns performance_id, gender, arrangement_id and country.
            Without it, ``metadata.csv`` or ``example_metadata.csv`` in or beside `root`, if one
            exists; ``none`` looks for none. A performance that it does not list is refused.
    """
    result = Scan()
    table = _find_metadata(root, metadata)
    facts = None if table is None else read_metadata(table)
    paths = list(walk(root, result))
    below = [path.relative_to(root) for path in paths]
    for path, id, parts in zip(paths, readable_ids(below), [p.parts for p in below], strict=True):
        singer, _, performance = path.stem.partition("_")
        if not performance or len(parts) < 2 or parts[-2] != singer:
            result.problems.append(
                ManifestError(
                    "is not named as in DAMP", where=path, found=path.name,
                    expected=(scan.__doc__ or "").split("\n")[0],
                    do="use --corpus folder for other layouts",
                )
            )  # fmt: skip
            continue
        if facts is not None and path.stem not in facts:
            result.problems.append(
                ManifestError("performance is not in the metadata", where=path, expected=table)
            )
            continue
        split = SPLIT_NAMES.get(parts[0].lower()) if len(parts) > 2 else None
        labels = {"corpus": "damp", "performance": readable(performance)}
        labels |= facts[path.stem] if facts is not None else {}
        result.sources.append(Source(path, id, readable(singer), split, labels=labels))
    return result


def read_metadata(path: Path) -> dict[str, dict[str, str]]:
    """Labels gender (F or M), song (the arrangement) and country of each performance.

    Raises:
        ManifestError: the table cannot be read, or a gender is neither F, M nor unsaid.
    """
    names = {"gender": "gender", "arrangement_id": "song", "country": "country"}
    facts = {}
    for number, row in enumerate(read_table(path, ["performance_id", *names]), 2):
        labels = {names[key]: row.get(key, "") for key in names}
        labels = {key: value for key, value in labels.items() if value not in _UNSAID}
        if labels.get("gender", "F") not in ("F", "M"):
            raise ManifestError(
                "unknown gender", where=f"{path}:{number}", found=labels["gender"],
                expected="F, M or None",
            )  # fmt: skip
        facts[row["performance_id"]] = labels
    return facts


def _find_metadata(root: Path, given: str) -> Path | None:
    if given:
        return None if given == "none" else Path(given)
    candidates = [folder / name for folder in (root, root.parent) for name in METADATA_NAMES]
    return next((path for path in candidates if path.is_file()), None)
