"""Extraction of features into a store: in parallel, resumable, only what is missing."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

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
from singerid.features import extract_file
from singerid.records import Recording, write_recordings
from singerid.spec import FeatureSpec
from singerid.store import (
    Entry,
    Store,
    holds,
    map_shard,
    read_index,
    read_spec,
    shard_path,
    source_of,
)

FloatArray = npt.NDArray[np.float32]
Outcome = tuple[FloatArray, list[str]] | SingeridError
SHARD_BYTES = 1 << 30


@dataclass
class Extraction:
    """What `extract` did.

    Attributes:
        n_done: recordings extracted now.
        n_present: recordings whose features were there already.
        n_others: recordings in the shards that the manifest does not list.
        failures: why recordings have no features.
        warnings: remarks on single files.
    """

    n_done: int = 0
    n_present: int = 0
    n_others: int = 0
    failures: list[SingeridError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def extract(
    recordings: Sequence[Recording],
    path: str | os.PathLike[str],
    spec: FeatureSpec,
    n_processes: int = 1,
    on_progress: Callable[[float], object] = lambda seconds: None,
) -> tuple[Extraction, Store]:
    """Extract the features of the recordings that the store does not hold yet.

    Files that fail are reported and left out; all others are kept. The shards' bytes do not
    depend on `n_processes`.

    Args:
        recordings: what the store shall hold afterwards.
        path: folder of the store, made if missing.
        spec: the front end; must equal that of a store that exists.
        n_processes: recordings that are decoded and analyzed at once.
        on_progress: called with the seconds of audio after each recording.

    Raises:
        StoreError: the folder holds something else, a store of another spec, or is in use.
        BatchError: not a single recording could be read.
    """
    path = Path(path)
    _prepare(path, spec)
    with locked(path):
        result = Extraction()
        failed: set[str] = set()
        with _Writer(path, spec) as writer:
            present = set(writer.entries)
            damaged = _damaged(path, spec, list(writer.entries.values()))
            result.warnings += [
                f"{one_line(path)}: frames of {one_line(id)} did not match their checksum; "
                "made again"
                for id in sorted(damaged)
            ]
            missing = [r for r in recordings if r.id in damaged or not holds(writer.entries, r)]
            result.n_present = len(recordings) - len(missing)
            for recording, outcome in analyze(missing, spec, n_processes):
                if isinstance(outcome, SingeridError):
                    result.failures.append(outcome)
                    failed.add(recording.id)
                else:
                    frames, warnings = outcome
                    writer.append(recording, frames)
                    result.warnings += [f"{one_line(recording.path)}: {w}" for w in warnings]
                    result.n_done += 1
                on_progress(recording.duration)
        kept = [r for r in recordings if r.id not in failed]
        result.n_others = len(present - {r.id for r in kept})
        if not kept:
            raise BatchError(f"{one_line(path)}: no recording could be read", result.failures)
        write_recordings(path / "recordings.jsonl", kept)
    return result, Store(path)


def _damaged(path: Path, spec: FeatureSpec, entries: Sequence[Entry]) -> set[str]:
    """Recordings whose stored frames are not what was written."""
    damaged = set()
    for shard in sorted({entry.shard for entry in entries}):
        frames = map_shard(path, shard, spec)
        for entry in entries:
            if entry.shard == shard:
                own = frames[entry.start : entry.start + entry.n_frames]
                if zlib.crc32(np.ascontiguousarray(own).data) != entry.crc32:
                    damaged.add(entry.id)
    return damaged


def _prepare(path: Path, spec: FeatureSpec) -> None:
    """Make the folder, or check that it is a store of this spec."""
    if (path / "spec.json").exists():
        found = read_spec(path)
        if found != spec:
            raise StoreError(
                "holds features of another spec", where=path, found=_difference(found, spec),
                do="use another folder, or the settings of the store",
            )  # fmt: skip
        return
    begin_folder(path, spec.model_dump_json(indent=2))


def _difference(found: FeatureSpec, wanted: FeatureSpec) -> str:
    parts = []
    for name, section in found:
        for key, value in section:
            other = getattr(getattr(wanted, name), key)
            if other != value:
                parts.append(f"{name}.{key} {value}, not {other}")
    return ", ".join(parts)


def analyze(
    recordings: Sequence[Recording],
    spec: FeatureSpec,
    n_workers: int,
) -> Iterator[tuple[Recording, Outcome]]:
    """Features and warnings, or the error, of each recording in turn.

    Workers are threads where everything releases the interpreter's lock (decoding, resampling,
    mel: no start-up, no copying), and processes where pitch or WORLD is asked for, which hold it.

    Args:
        recordings: what to analyze; results come in this order.
        spec: the front end.
        n_workers: recordings that are analyzed at once.
    """
    uses_threads = spec.features.stream == "mel" and not spec.pitch.condition
    make_pool: Callable[[int], Executor] = ThreadPoolExecutor if uses_threads else processes
    return in_turn(recordings, partial(_analyze_one, spec=spec), n_workers, make_pool)


def _analyze_one(recording: Recording, spec: FeatureSpec) -> tuple[FloatArray, list[str]]:
    return extract_file(recording.path, recording.channel, spec)


class _Writer:
    """Appends arrays to the shards and lines to the index of a locked store."""

    def __init__(self, path: Path, spec: FeatureSpec) -> None:
        self.path, self.spec = path, spec
        self.entries: dict[str, Entry] = {}
        self._row_bytes = 4 * spec.n_dims
        self._shard = self._rows = self._index_bytes = 0
        self._read_intact()

    def _read_intact(self) -> None:
        """Entries up to the first damage; all that follows is made again."""
        with suppress(StoreError):
            for entry, end in read_index(self.path / "index.jsonl"):
                file, rows = shard_path(self.path, entry.shard), entry.start + entry.n_frames
                if not file.exists() or file.stat().st_size < rows * self._row_bytes:
                    break
                self.entries[entry.id] = entry
                self._shard, self._rows, self._index_bytes = entry.shard, rows, end

    def __enter__(self) -> Self:
        self._index = open_at(self.path / "index.jsonl", self._index_bytes)
        self._file = open_at(shard_path(self.path, self._shard), self._rows * self._row_bytes)
        return self

    def append(self, recording: Recording, frames: FloatArray) -> None:
        """Write frames, then their index line."""
        data = np.ascontiguousarray(frames, "<f4")
        try:
            if self._rows and (self._rows + len(data)) * self._row_bytes > SHARD_BYTES:
                self._roll_over()
            entry = Entry(
                recording.id, source_of(recording), self._shard, self._rows, len(data),
                zlib.crc32(data.data),
            )  # fmt: skip
            write_all(self._file, data.data.cast("B"))
            write_all(self._index, memoryview((json.dumps(asdict(entry)) + "\n").encode()))
        except OSError as error:
            raise write_error(self.path, error) from error
        self._rows += len(data)
        self.entries[entry.id] = entry

    def _roll_over(self) -> None:
        """Go on with the next shard."""
        file = open_at(shard_path(self.path, self._shard + 1), 0)
        os.fsync(self._file)
        os.close(self._file)
        self._file, self._shard, self._rows = file, self._shard + 1, 0

    def __exit__(self, *exc_info: object) -> None:
        try:  # frames reach the disk before the lines that name them
            os.fsync(self._file)
            os.fsync(self._index)
        finally:
            os.close(self._file)
            os.close(self._index)
