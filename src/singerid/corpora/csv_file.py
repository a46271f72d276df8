"""A CSV file that lists recordings: one row a file, one column a label."""

from __future__ import annotations

import csv
from pathlib import Path

from singerid.corpora.folder import SPLIT_NAMES, readable_ids
from singerid.errors import ManifestError
from singerid.manifest import Scan, Source
from singerid.records import CHANNELS
from singerid.remote import fetched, is_url, joined, parent_of

_MEASURED = {"sample_rate", "duration", "channels", "sha256"}
_UNKNOWN = {"", "?", "nan", "None", "unknown"}


def scan(root: Path | str) -> Scan:
    """<file>.csv with the columns path, singer and optionally id, split, channel and any labels"""
    result = Scan()
    if isinstance(root, Path) and root.is_dir():
        raise ManifestError("is a folder", where=root, expected=scan.__doc__)
    try:
        with (
            fetched(root, ManifestError) as local,
            local.open(newline="", encoding="utf-8-sig") as file,
        ):
            reader = csv.DictReader(file, strict=True)
            columns = reader.fieldnames or []
            rows = [(f"{root}:{reader.line_num}", row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError("cannot be read as CSV", where=root, found=str(error)) from error
    if missing := [name for name in ("path", "singer") if name not in columns]:
        raise ManifestError(
            f"has no column {missing[0]!r}", where=root,
            found=", ".join(columns)[:80] or "an empty file", expected=scan.__doc__,
        )  # fmt: skip
    if not rows:
        raise ManifestError("lists no recordings", where=root, found="a header alone")
    good = []
    for where, row in rows:
        if problem := _problem(row, where):
            result.problems.append(problem)
        else:
            good.append(row)
    ids = readable_ids([Path(row["path"]) for row in good])
    result.sources += [_source(row, root, id) for row, id in zip(good, ids, strict=True)]
    return result


def _problem(row: dict[str, str], where: str) -> ManifestError | None:
    if None in row or None in row.values():
        return ManifestError(
            "row has another number of fields than the header", where=where, do="check its commas"
        )
    if not Path(row["path"]).name or not row["singer"]:
        return ManifestError("row has no path or no singer", where=where)
    if row.get("split") and row["split"].lower() not in SPLIT_NAMES:
        return ManifestError(
            "unknown split", where=where, found=row["split"], expected="train, valid or test"
        )
    if row.get("channel") and row["channel"] not in CHANNELS:
        return ManifestError(
            "unknown channel", where=where, found=row["channel"], expected=" or ".join(CHANNELS)
        )
    return None


def _source(row: dict[str, str], root: Path | str, id: str) -> Source:
    fixed = {"path", "singer", "id", "split", "channel", "embedding"} | _MEASURED
    labels = {k: v for k, v in row.items() if k not in fixed and v not in _UNKNOWN}
    split = row.get("split")
    return Source(
        _path(root, row["path"]), row.get("id") or id, row["singer"],
        SPLIT_NAMES[split.lower()] if split else None, row.get("channel") or "mix", labels,
    )  # fmt: skip


def _path(root: Path | str, name: str) -> Path | str:
    if is_url(name):
        return name
    return root.parent / name if isinstance(root, Path) else joined(parent_of(root), name)
