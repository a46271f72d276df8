"""A CSV file that lists recordings: one row a file, one column a label."""

from __future__ import annotations

import csv
from pathlib import Path

from singerid.corpora.folder import SPLIT_NAMES, readable
from singerid.errors import ManifestError
from singerid.manifest import Scan, Source
from singerid.records import CHANNELS

_MEASURED = {"sample_rate", "duration", "channels", "sha256"}
_UNKNOWN = {"", "?", "nan", "None", "unknown"}


def scan(root: Path) -> Scan:
    """<file>.csv with the columns path, singer and optionally id, split, channel and any labels"""
    result = Scan()
    if root.is_dir():
        raise ManifestError("is a folder", where=root, expected=scan.__doc__)
    try:
        with root.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError("cannot be read as CSV", where=root, found=error) from error
    columns = list(rows[0]) if rows else []
    if missing := [name for name in ("path", "singer") if name not in columns]:
        raise ManifestError(
            f"has no column {missing[0]!r}", where=root, found=", ".join(map(str, columns))[:80],
            expected=scan.__doc__,
        )  # fmt: skip
    for number, row in enumerate(rows, 2):
        source = _source(row, root, f"{root}:{number}")
        if isinstance(source, ManifestError):
            result.problems.append(source)
        else:
            result.sources.append(source)
    return result


def _source(row: dict[str, str], root: Path, where: str) -> Source | ManifestError:
    if None in row or None in row.values():
        return ManifestError(
            "row has another number of fields than the header", where=where, do="check its commas"
        )
    if not row["path"] or not row["singer"]:
        return ManifestError("row has no path or no singer", where=where)
    split = row.get("split") or None
    if split is not None and split.lower() not in SPLIT_NAMES:
        return ManifestError(
            "unknown split", where=where, found=split, expected="train, valid or test"
        )
    channel = row.get("channel") or "mix"
    if channel not in CHANNELS:
        return ManifestError(
            "unknown channel", where=where, found=channel, expected=" or ".join(CHANNELS)
        )
    fixed = {"path", "singer", "id", "split", "channel", "embedding"} | _MEASURED
    labels = {k: v for k, v in row.items() if k not in fixed and v not in _UNKNOWN}
    name = row.get("id") or readable(Path(row["path"]).with_suffix("").as_posix())
    return Source(
        root.parent / row["path"], name, row["singer"],
        SPLIT_NAMES[split.lower()] if split else None, channel, labels,
    )  # fmt: skip
