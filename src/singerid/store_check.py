"""Damage of a store: found by reading everything, named, and taken out.

What is taken out is only the index lines of damaged recordings. Their places stay empty until
`singerid features` makes them again, in the same places (see `store_writer`).
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from singerid.appending import locked
from singerid.entries import Entry, in_place
from singerid.errors import SingeridError, StoreError
from singerid.records import Recording, read_recordings
from singerid.spec import FeatureSpec
from singerid.store import (
    CHECKSUMS,
    altered_files,
    holds,
    map_shard,
    read_checksums,
    read_spec,
    shard_path,
    source_of,
    write_index,
)


@dataclass
class Inspection:
    """What was found in the index and the shards.

    Attributes:
        lines: intact lines of the index in their order; of an id, the last one counts.
        damaged: by id, what is wrong with recordings whose frames are damaged.
        findings: all that is wrong, one error for each shard, recording or line concerned.
        n_bytes: bytes that were read and compared.
        index_bytes: length of the index without a line that was never finished.
    """

    lines: list[Entry] = field(default_factory=list)
    damaged: dict[str, StoreError] = field(default_factory=dict)
    findings: list[SingeridError] = field(default_factory=list)
    n_bytes: int = 0
    index_bytes: int = 0

    @property
    def entries(self) -> dict[str, Entry]:
        """Where the intact recordings lie, by id."""
        return {entry.id: entry for entry in self.lines}


@dataclass(frozen=True)
class Check:
    """What `check` or `repair` found.

    Attributes:
        findings: all that is wrong, one error for each shard, recording, line or file concerned.
        n_recordings: recordings whose frames are intact.
        n_shards: shards that hold them.
        n_bytes: bytes of frames that were read and compared.
        has_checksums: whether those of the list and the spec were there to be compared.
    """

    findings: list[SingeridError]
    n_recordings: int
    n_shards: int
    n_bytes: int
    has_checksums: bool


def inspect(
    path: Path, spec: FeatureSpec, on_progress: Callable[[float], object] = lambda n: None
) -> Inspection:
    """Compare every recording's frames with their checksum.

    Args:
        path: folder of the store.
        spec: its front end.
        on_progress: called with the number of bytes after each recording.
    """
    result = Inspection()
    lines = list(_read_lines(path / "index.jsonl", result))
    current = {entry.id: entry for entry in lines}
    shards: dict[int, list[Entry]] = {}
    for entry in current.values():
        shards.setdefault(entry.shard, []).append(entry)
    for _, own in sorted(shards.items()):
        _inspect_shard(path, spec, own, result, on_progress)
    result.lines = [entry for entry in lines if entry.id not in result.damaged]
    return result


def _read_lines(file: Path, result: Inspection) -> Iterator[Entry]:
    """Every intact line; unlike `entries.read_index`, this goes on behind a damaged one."""
    data = file.read_bytes() if file.exists() else b""
    result.index_bytes = data.rfind(b"\n") + 1
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            entry = Entry(**json.loads(line))
            numbers = (entry.shard, entry.start, entry.n_frames, entry.crc32)
            if not (isinstance(entry.id, str) and all(type(n) is int and n >= 0 for n in numbers)):
                raise ValueError
        except (ValueError, TypeError, RecursionError):
            found = line[:60].decode("latin1")
            where = f"{file}:{number}"
            result.findings.append(StoreError("index line is damaged", where=where, found=found))
        else:
            yield entry


def _inspect_shard(
    path: Path, spec: FeatureSpec, entries: Sequence[Entry], result: Inspection,
    on_progress: Callable[[float], object],
) -> None:  # fmt: skip
    """Look at the recordings of one shard."""
    file, row_bytes = shard_path(path, entries[0].shard), 4 * spec.n_dims
    size = file.stat().st_size if file.is_file() else -1
    lost = [entry for entry in entries if entry.end * row_bytes > size]
    if lost:
        what = "shard is cut short" if size >= 0 else "shard is missing"
        expected = f"{max(entry.end for entry in lost) * row_bytes} bytes"
        finding = StoreError(
            f"{what}, {len(lost)} of {len(entries)} recordings are lost", where=file,
            found=f"{size} bytes" if size >= 0 else None, expected=expected,
        )  # fmt: skip
        result.findings.append(finding)
        result.damaged |= {entry.id: finding for entry in lost}
    if len(lost) == len(entries):
        return
    frames = map_shard(path, entries[0].shard, spec)
    for entry in sorted(entries, key=lambda entry: entry.start):
        if entry.end > len(frames):
            continue
        n_bytes = entry.n_frames * row_bytes
        if zlib.crc32(np.ascontiguousarray(frames[entry.start : entry.end]).data) != entry.crc32:
            finding = StoreError(
                "frames do not match their checksum", where=file, found=f"recording {entry.id}"
            )
            result.findings.append(finding)
            result.damaged[entry.id] = finding
        result.n_bytes += n_bytes
        on_progress(n_bytes)


def drop(
    path: Path, inspection: Inspection, unusable: Set[str] = frozenset(), anew: bool = False
) -> Inspection:
    """Take what is damaged out of the index of a locked store; all else stays where it is.

    Args:
        path: folder of the store.
        inspection: what was found there.
        unusable: ids to be taken out as well.
        anew: write the index without lines that a later one replaces, even if none is damaged.

    Returns:
        the inspection of what is left.
    """
    if not (inspection.findings or unusable or anew):
        return inspection
    kept = in_place(e for e in inspection.entries.values() if e.id not in unusable)
    write_index(path, kept)
    size = (path / "index.jsonl").stat().st_size
    return Inspection(kept, n_bytes=inspection.n_bytes, index_bytes=size)


def check(
    path: str | os.PathLike[str], on_progress: Callable[[float], object] = lambda n: None
) -> Check:
    """Read all of a store and find what is damaged or missing.

    Args:
        path: folder of the store.
        on_progress: called with the number of bytes after each recording.

    Raises:
        StoreError: it is no store, or ``spec.json`` is damaged, by which all else is read.
    """
    path = Path(path)
    return _check(path, inspect(path, _intact_spec(path), on_progress))


def _intact_spec(path: Path) -> FeatureSpec:
    """The spec of a store; by an altered one, all frames would seem to be damaged.

    Raises:
        StoreError: it cannot be read, or has been altered.
    """
    spec = read_spec(path)
    if "spec.json" in altered_files(path):
        raise StoreError(
            "spec.json does not match its checksum", where=path,
            do="run singerid features again with the settings of the store: it writes it anew",
        )  # fmt: skip
    return spec


def _check(path: Path, inspection: Inspection) -> Check:
    findings = inspection.findings + _listing_findings(path, inspection)
    kept = inspection.entries.values()
    n_shards = len({entry.shard for entry in kept})
    sums = read_checksums(path)
    if (path / CHECKSUMS).exists() and not sums:
        findings.append(StoreError("is damaged", where=path / CHECKSUMS))
    return Check(findings, len(kept), n_shards, inspection.n_bytes, bool(sums))


def _listing_findings(path: Path, inspection: Inspection) -> list[SingeridError]:
    """What is wrong with the files that concern the store as a whole."""
    found: list[SingeridError] = [
        StoreError("does not match its checksum", where=path / name) for name in altered_files(path)
    ]
    listing, entries = path / "recordings.jsonl", inspection.entries
    if not listing.exists():
        return [*found, StoreError("the extraction was not finished", where=path)]
    try:
        recordings = read_recordings(listing)
    except SingeridError as error:
        return [*found, error]
    return found + [
        StoreError("a listed recording has no features", where=listing, found=recording.id)
        for recording in recordings
        if not holds(entries, recording) and recording.id not in inspection.damaged
    ]


def repair(
    path: str | os.PathLike[str], on_progress: Callable[[float], object] = lambda n: None
) -> Check:
    """Take what is damaged out, so that ``singerid features`` makes just that again.

    Intact recordings are not touched. A list that is not what was written is removed: it is
    the manifest's, and ``singerid features`` writes it anew.

    Args:
        path: folder of the store.
        on_progress: called with the number of bytes after each recording.

    Returns:
        what was found; `Check.n_recordings` are left.

    Raises:
        StoreError: it is no store, is in use, or ``spec.json`` is damaged.
    """
    path = Path(path)
    spec = _intact_spec(path)
    with locked(path):
        inspection = inspect(path, spec, on_progress)
        found = _check(path, inspection)
        if (recordings := _intact_list(path)) is None:
            (path / "recordings.jsonl").unlink(missing_ok=True)
        # A line with another's id, by one flipped bit, would keep the place of whose it was.
        drop(path, inspection, _unusable(recordings or [], inspection), bool(found.findings))
        if not read_checksums(path):
            (path / CHECKSUMS).unlink(missing_ok=True)
    return found


def _intact_list(path: Path) -> list[Recording] | None:
    if "recordings.jsonl" in altered_files(path):
        return None
    try:
        return read_recordings(path / "recordings.jsonl")
    except SingeridError:
        return None


def _unusable(recordings: Sequence[Recording], inspection: Inspection) -> set[str]:
    """Ids of lines that have either the id or the source of a listed recording without features.

    Whether its audio has changed since or the line has: nobody can use such a line.
    """
    entries = inspection.entries
    missing = {r.id: source_of(r) for r in recordings if r.sha256 and not holds(entries, r)}
    listed, sources = {r.id for r in recordings}, set(missing.values())
    return {
        entry.id for entry in inspection.lines
        if entry.id in missing or (entry.source in sources and entry.id not in listed)
    }  # fmt: skip
