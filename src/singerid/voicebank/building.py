"""Building of a voice bank: WORLD analysis in parallel, resumable, only what is missing.

A finished bank holds its recordings in the manifest's order and nothing else, so that its bytes
depend on recordings and spec alone, however often it was interrupted or added to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from singerid.appending import (
    begin_folder,
    in_turn,
    locked,
    open_at,
    processes,
    write_all,
    write_error,
)
from singerid.errors import BatchError, SingeridError, StoreError, one_line
from singerid.features import world
from singerid.records import Recording, atomic_write, write_recordings
from singerid.store import source_of
from singerid.voicebank.analysis import Voice, analyze_recording
from singerid.voicebank.bank import VoiceBank, in_order
from singerid.voicebank.files import BankEntry, checksum, damaged_ids, read_bank_index
from singerid.voicebank.spec import BankSpec, differences, read_bank_spec


@dataclass
class BankBuild:
    """What `build_bank` did.

    Attributes:
        n_done: recordings analyzed now.
        n_present: recordings that were there already.
        n_removed: recordings that were there and are not in the manifest, or cannot be read now.
        failures: why recordings are not in the bank.
        warnings: remarks on single files.
    """

    n_done: int = 0
    n_present: int = 0
    n_removed: int = 0
    failures: list[SingeridError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def build_bank(
    recordings: Sequence[Recording],
    path: str | os.PathLike[str],
    spec: BankSpec,
    n_processes: int = 1,
    on_progress: Callable[[float], object] = lambda seconds: None,
) -> tuple[BankBuild, VoiceBank]:
    """Make a bank of exactly these recordings, analyzing those that it does not hold yet.

    Files that fail are reported and left out; all others are kept.

    Args:
        recordings: what the bank shall hold afterwards.
        path: folder of the bank, made if missing.
        spec: the analysis; must equal that of a bank that exists.
        n_processes: recordings that are analyzed at once; changes nothing in the bytes.
        on_progress: called with the seconds of audio after each recording.

    Raises:
        StoreError: the folder holds something else, a bank of another spec, or is in use.
        BatchError: not a single recording could be analyzed.
        MissingExtraError: pyworld is not installed.
    """
    world.pyworld()  # once, not as the failure of every file
    path = Path(path)
    _prepare(path, spec)
    with locked(path):
        for leftover in [*path.glob(".*.part"), *path.glob(".*.moved")]:  # of a run that was killed
            leftover.unlink()
        build, kept = BankBuild(), list(recordings)
        with _Writer(path, spec) as writer:
            present = set(writer.entries)
            damaged = damaged_ids(path, spec.arrays, list(writer.entries.values()))
            build.warnings += [
                f"{one_line(path)}: {one_line(id)} did not match its checksum; made again"
                for id in sorted(damaged)
            ]
            missing = [r for r in kept if r.id in damaged or not writer.holds(r)]
            build.n_present = len(kept) - len(missing)
            failed = _add(missing, spec, n_processes, writer, build, on_progress)
        kept = [r for r in recordings if r.id not in failed]
        build.n_removed = len(present - {r.id for r in kept})
        if not kept:
            raise BatchError(f"{one_line(path)}: no recording could be analyzed", build.failures)
        _finish(path, spec, kept, writer.entries)
    return build, VoiceBank.open(path)


def _prepare(path: Path, spec: BankSpec) -> None:
    """Make the folder, or check that it is a bank of this spec."""
    if not (path / "spec.json").exists():
        begin_folder(path, spec.model_dump_json(indent=2))
    if (found := read_bank_spec(path)) != spec:
        raise StoreError(
            "holds voices of another spec", where=path, found=differences(found, spec),
            do="use another folder, or the settings of the bank",
        )  # fmt: skip


def _add(
    missing: Sequence[Recording], spec: BankSpec, n_processes: int, writer: _Writer,
    build: BankBuild, on_progress: Callable[[float], object],
) -> set[str]:  # fmt: skip
    """Analyze and append; ids of the recordings that failed."""
    failed = set()
    work = partial(analyze_recording, spec=spec)
    for recording, outcome in in_turn(missing, work, n_processes, processes):
        if isinstance(outcome, SingeridError):
            build.failures.append(outcome)
            failed.add(recording.id)
        else:
            writer.append(recording, outcome)
            build.warnings += [f"{one_line(recording.path)}: {w}" for w in outcome.warnings]
            build.n_done += 1
        on_progress(recording.duration)
    return failed


# ----------------------------------------------------------------------------------------- writing


class _Writer:
    """Appends rows to the files and lines to the index of a locked bank."""

    def __init__(self, path: Path, spec: BankSpec) -> None:
        self.path, self.arrays = path, spec.arrays
        self.entries: dict[str, BankEntry] = {}
        self._ends = {False: 0, True: 0}  # rows of frames and of mel frames
        self._index_bytes = 0
        self._read_intact()

    def _read_intact(self) -> None:
        """Entries up to the first damage; all that follows is made again."""
        sizes = {
            a: f.stat().st_size if (f := a.path(self.path)).exists() else 0 for a in self.arrays
        }
        with suppress(StoreError):
            for entry, end in read_bank_index(self.path):
                if any(entry.rows(a).stop * a.row_bytes > size for a, size in sizes.items()):
                    break
                self.entries[entry.id] = entry
                for array in self.arrays:
                    self._ends[array.is_mel] = entry.rows(array).stop
                self._index_bytes = end

    def holds(self, recording: Recording) -> bool:
        """True if exactly this audio was analyzed."""
        entry = self.entries.get(recording.id)
        return entry is not None and entry.source == source_of(recording)

    def __enter__(self) -> Self:
        self._handles: list[int] = []
        with ExitStack() as stack:
            stack.callback(self._close)
            for array in self.arrays:
                size = self._ends[array.is_mel] * array.row_bytes
                self._handles.append(open_at(array.path(self.path), size))
            self._handles.append(open_at(self.path / "index.jsonl", self._index_bytes))
            stack.pop_all()
        return self

    def append(self, recording: Recording, voice: Voice) -> None:
        """Write rows, then their index line."""
        rows = [np.ascontiguousarray(voice.rows[a.name], a.dtype) for a in self.arrays]
        entry = BankEntry(
            recording.id, source_of(recording), self._ends[False], len(voice.rows["f0"]),
            self._ends[True], len(voice.rows["mel"]), voice.median_f0, voice.level, checksum(rows),
        )  # fmt: skip
        line = (json.dumps(asdict(entry)) + "\n").encode()
        try:
            for handle, data in zip(self._handles, [*map(_bytes, rows), line], strict=True):
                write_all(handle, memoryview(data))
        except OSError as error:
            raise write_error(self.path, error) from error
        for array in self.arrays:
            self._ends[array.is_mel] = entry.rows(array).stop
        self.entries[entry.id] = entry

    def __exit__(self, *exc_info: object) -> None:
        try:  # rows reach the disk before the lines that name them
            for handle in self._handles:
                os.fsync(handle)
        finally:
            self._close()

    def _close(self) -> None:
        for handle in self._handles:
            os.close(handle)


def _bytes(rows: npt.NDArray[Any]) -> bytes:
    return rows.tobytes()


def _finish(
    path: Path, spec: BankSpec, kept: Sequence[Recording], entries: dict[str, BankEntry]
) -> None:
    """Bring the files into the manifest's order, if they are not, and list what is there."""
    lines = [entry for entry, _ in read_bank_index(path)]
    try:
        if not in_order(lines, kept):
            _rewrite(path, spec, [entries[r.id] for r in kept])
        write_recordings(path / "recordings.jsonl", kept)
    except OSError as error:
        raise write_error(path, error) from error


def _rewrite(path: Path, spec: BankSpec, entries: Sequence[BankEntry]) -> None:
    """Copy the rows of some entries, in their order, and drop all others.

    A kill between two files leaves an index whose checksums do not match, and no list of
    recordings: the bank is unfinished, and the next run makes again what does not fit.
    """
    moved, ends = [], {False: 0, True: 0}
    for entry in entries:
        moved.append(replace(entry, start=ends[False], mel_start=ends[True]))
        ends = {False: ends[False] + entry.n_frames, True: ends[True] + entry.n_mel_frames}
    copies = []
    for array in spec.arrays:
        rows = array.map(path, max(entry.rows(array).stop for entry in entries))
        copies.append((array.path(path), path / f".{array.path(path).name}.moved"))
        with open(copies[-1][1], "wb") as file:
            for entry in entries:
                file.write(rows[entry.rows(array)].tobytes())
            file.flush()
            os.fsync(file.fileno())
    (path / "recordings.jsonl").unlink(missing_ok=True)
    for target, copy in copies:
        os.replace(copy, target)
    with atomic_write(path / "index.jsonl") as file:
        file.writelines(json.dumps(asdict(entry)) + "\n" for entry in moved)
