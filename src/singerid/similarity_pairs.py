"""Which generated recording is compared with which reference: by singer, name, order or a list."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from singerid import audio
from singerid.corpora.folder import readable_ids, walk
from singerid.errors import ManifestError, SingeridError
from singerid.manifest import Scan
from singerid.records import Recording

Pairs = list[tuple[str, str]]
"""Ids of a generated recording and of a reference each."""
WAYS = ("singer", "name", "order", "all")
_COLUMNS = ["generated", "reference"]


def list_recordings(path: str | os.PathLike[str]) -> tuple[list[Recording], list[SingeridError]]:
    """Recordings of a folder (or the one of a file), and the errors of those that are none.

    ``<folder>/<recording>``: nobody says whose they are (singer ""); or
    ``<folder>/<singer>/[<song>/]<recording>``. The id is the path within the folder, without its
    suffix.

    Raises:
        ManifestError: no such folder, nothing in it, or recordings beside singers' folders.
    """
    root = Path(path)
    paths = [root] if root.is_file() else list(walk(root, Scan()))
    below = [Path(root.name)] if root.is_file() else [file.relative_to(root) for file in paths]
    if not paths:
        raise ManifestError("holds no recordings", where=root)
    depths = [len(file.parts) > 1 for file in below]
    if any(depths) and not all(depths):
        raise ManifestError(
            "holds recordings beside folders", where=root, found=below[depths.index(False)],
            expected="recordings only, or one folder a singer",
        )  # fmt: skip
    recordings: list[Recording] = []
    failures: list[SingeridError] = []
    for file, id, parts in zip(paths, readable_ids(below), [f.parts for f in below], strict=True):
        names = id.split("/")
        labels = {"song": names[1]} if len(parts) > 2 else {}
        singer = names[0] if len(parts) > 1 else ""
        try:
            info = audio.probe(file)
        except SingeridError as error:
            failures.append(error)
            continue
        recordings.append(
            Recording(
                id, singer, str(file), info.duration, info.sample_rate, info.channels, labels=labels
            )
        )
    return recordings, failures


def choose_way(generated: Sequence[str], references: Sequence[str]) -> str:
    """How recordings belong together, where the user does not say: by singer, or by name.

    Args:
        generated: singer of each generated recording, "" if nobody says.
        references: of each reference.

    Raises:
        ManifestError: only one side says whose voice is whose.
    """
    known = [all(side) for side in (generated, references)]
    if known[0] != known[1]:
        sides = ("generated", "reference") if known[0] else ("reference", "generated")
        raise ManifestError(
            f"only the {sides[0]} recordings lie in singers' folders",
            found=f"{sides[1]} recordings without",
            do="lay out both alike, or give --by all, --by order or --pairs",
        )  # fmt: skip
    return "singer" if known[0] else "name"


def pair_up(generated: Sequence[Recording], references: Sequence[Recording], way: str) -> Pairs:
    """Pairs of ids.

    Args:
        generated: ids and singers are looked at.
        references: likewise.
        way: ``singer``: each generated recording with all references of its singer; ``name``: with
            the reference of its id; ``order``: the first with the first, and so on; ``all``: all
            with all, as of one singer.

    Raises:
        ManifestError: a counterpart is missing.
        SingeridError: no such way.
    """
    if way == "singer":
        return _by_singer(generated, references)
    if way == "name":
        known = {recording.id for recording in references}
        missing = [recording.id for recording in generated if recording.id not in known]
        _refuse_missing(missing, len(generated), "reference of its name")
        return [(recording.id, recording.id) for recording in generated]
    if way == "order":
        if len(generated) != len(references):
            raise ManifestError(
                "cannot be paired in their order",
                found=f"{len(generated)} generated recordings and {len(references)} references",
                expected="as many of both",
            )  # fmt: skip
        return [(a.id, b.id) for a, b in zip(generated, references, strict=True)]
    if way == "all":
        return [(a.id, b.id) for a in generated for b in references]
    raise SingeridError("unknown way to pair", found=way, expected=", ".join(WAYS))


def _by_singer(generated: Sequence[Recording], references: Sequence[Recording]) -> Pairs:
    by_singer: dict[str, list[str]] = {}
    for recording in references:
        by_singer.setdefault(recording.singer, []).append(recording.id)
    if not all(recording.singer for recording in [*generated, *references]):
        raise ManifestError(
            "cannot be paired by singer", found="recordings outside any singer's folder",
            expected="one folder a singer on both sides",
        )  # fmt: skip
    missing = [r.id for r in generated if r.singer not in by_singer]
    _refuse_missing(missing, len(generated), "reference of its singer")
    return [(r.id, reference) for r in generated for reference in by_singer[r.singer]]


def _refuse_missing(missing: Sequence[str], n: int, what: str) -> None:
    if missing:
        raise ManifestError(
            f"has no {what}", where=missing[0], found=f"{len(missing)} of {n} like this",
            do="rename or add files, or pair otherwise: --by singer, name, order or all, --pairs",
        )  # fmt: skip


def read_pairs(
    path: str | os.PathLike[str], generated: Sequence[Recording], references: Sequence[Recording]
) -> Pairs:
    """Pairs from a CSV file with the columns ``generated`` and ``reference``.

    A recording is named by its path within its folder, with or without suffix.

    Raises:
        ManifestError: it cannot be read, lacks a column, or names a recording that is not there.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        reader = csv.DictReader(text.splitlines())
        lines = [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(
            "cannot be read", where=path, found=getattr(error, "strerror", error)
        ) from error
    header = list(reader.fieldnames or [])
    if missing := [name for name in _COLUMNS if name not in header]:
        raise ManifestError(
            f"has no column {missing[0]!r}", where=path, found=", ".join(header) or "nothing",
            expected=",".join(_COLUMNS),
        )  # fmt: skip
    names = {"generated": _names(generated), "reference": _names(references)}
    pairs = []
    for number, line in lines:
        found = [names[column].get((line[column] or "").strip()) for column in _COLUMNS]
        if None in found:
            column = _COLUMNS[found.index(None)]
            raise ManifestError(
                f"names no {column} recording that is there", where=f"{path}:{number}",
                found=line[column] or "nothing", expected=f"like {next(iter(names[column]))}",
            )  # fmt: skip
        pairs.append((str(found[0]), str(found[1])))
    if not pairs:
        raise ManifestError("lists no pairs", where=path)
    return pairs


def _names(recordings: Sequence[Recording]) -> dict[str, str]:
    """Id by id, and by id with suffix."""
    suffixed = {f"{r.id}{Path(r.path).suffix}": r.id for r in recordings}
    return suffixed | {r.id: r.id for r in recordings}
