"""Extraction of features into a store: in parallel, resumable, only what is missing."""

from __future__ import annotations

import json
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from singerid.config import FeatureSpec
from singerid.errors import AudioError, SingeridError, StoreError, one_line
from singerid.features import extract_file
from singerid.records import Recording, atomic_write, write_recordings
from singerid.store import Entry, Store, read_index, read_spec, shard_path

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
        n_processes: processes that decode and analyze.
        on_progress: called with the seconds of audio after each recording.

    Raises:
        StoreError: the folder holds something else, a store of another spec, or is in use.
    """
    path = Path(path)
    _prepare(path, spec)
    lock = FileLock(path / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreError(
            "is being written by another process", where=path, do="wait for it to finish"
        ) from None
    with lock, _Writer(path, spec) as writer:
        result = Extraction()
        present = {e.id for e in writer.entries.values()}
        missing = [r for r in recordings if not writer.holds(r)]
        result.n_present = len(recordings) - len(missing)
        failed: set[str] = set()
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
            raise StoreError("no recording could be read", where=path, found=result.failures[0])
        write_recordings(path / "recordings.jsonl", kept)
    return result, Store(path)


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
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError("folder cannot be made", where=path, found=error.strerror) from error
    if strangers := [p.name for p in path.iterdir() if not p.name.startswith(".")]:
        raise StoreError(
            "folder holds something else", where=path, found=sorted(strangers)[0],
            do="use an empty folder",
        )  # fmt: skip
    with atomic_write(path / "spec.json") as file:
        file.write(spec.model_dump_json(indent=2) + "\n")


def _difference(found: FeatureSpec, wanted: FeatureSpec) -> str:
    parts = []
    for name, section in found:
        for key, value in section:
            other = getattr(getattr(wanted, name), key)
            if other != value:
                parts.append(f"{name}.{key} {value}, not {other}")
    return ", ".join(parts)


def analyze(
    recordings: Sequence[Recording], spec: FeatureSpec, n_processes: int
) -> Iterator[tuple[Recording, Outcome]]:
    """Features and warnings, or the error, of each recording in turn.

    Other processes compute a few recordings ahead, which bounds the memory.
    """
    if n_processes <= 1 or len(recordings) < 2:
        for recording in recordings:
            yield recording, _analyze_one(recording, spec)
        return
    # forkserver: no copy of a parent that may hold threads; workers never import torch.
    pool = ProcessPoolExecutor(n_processes, mp_context=get_context("forkserver"))
    with pool:
        waiting: deque[tuple[Recording, Future[Outcome]]] = deque()
        for recording in recordings:
            waiting.append((recording, pool.submit(_analyze_one, recording, spec)))
            if len(waiting) > 2 * n_processes:
                first, future = waiting.popleft()
                yield first, future.result()
        for recording, future in waiting:
            yield recording, future.result()


def _analyze_one(recording: Recording, spec: FeatureSpec) -> Outcome:
    """An error is a value here, so that the rest goes on."""
    try:
        return extract_file(recording.path, recording.channel, spec)
    except SingeridError as error:
        return error
    except MemoryError:
        return AudioError("does not fit into memory", where=recording.path)


def _source(recording: Recording) -> str:
    return f"{recording.sha256[:32]}:{recording.channel}"


class _Writer:
    """Appends arrays to the shards and lines to the index of a locked store."""

    def __init__(self, path: Path, spec: FeatureSpec) -> None:
        self.path, self.spec = path, spec
        self._index_path = path / "index.jsonl"
        self._entries, self._index_bytes = read_index(self._index_path)
        self.entries = {entry.id: entry for entry in self._entries}
        self._row_bytes = 4 * spec.n_dims

    def __enter__(self) -> Self:
        self._shard = max((e.shard for e in self._entries), default=0)
        ends = (e.start + e.n_frames for e in self._entries if e.shard == self._shard)
        self._rows = max(ends, default=0)
        self._index = self._open_at(self._index_path, self._index_bytes)
        self._file = self._open_at(shard_path(self.path, self._shard), self._rows * self._row_bytes)
        return self

    def _open_at(self, file: Path, size: int) -> int:
        """Open for writing behind `size` bytes; what lies beyond was never indexed."""
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        found = os.fstat(handle).st_size
        if found < size:
            os.close(handle)
            raise StoreError(
                "is cut short", where=file, found=f"{found} bytes", expected=f"{size} bytes",
                do="delete the store and extract it again",
            )  # fmt: skip
        os.ftruncate(handle, size)
        os.lseek(handle, size, os.SEEK_SET)
        return handle

    def holds(self, recording: Recording) -> bool:
        """True if the features of exactly this audio are there."""
        entry = self.entries.get(recording.id)
        return entry is not None and entry.source == _source(recording)

    def append(self, recording: Recording, frames: FloatArray) -> None:
        """Write frames, then their index line."""
        data = np.ascontiguousarray(frames, "<f4")
        if self._rows and (self._rows + len(data)) * self._row_bytes > SHARD_BYTES:
            os.close(self._file)
            self._shard, self._rows = self._shard + 1, 0
            self._file = self._open_at(shard_path(self.path, self._shard), 0)
        entry = Entry(
            recording.id,
            _source(recording),
            self._shard,
            self._rows,
            len(data),
            zlib.crc32(data.data),
        )
        try:
            _write_all(self._file, data.data.cast("B"))
            _write_all(self._index, memoryview((json.dumps(asdict(entry)) + "\n").encode()))
        except OSError as error:
            raise StoreError(
                "cannot be written", where=self.path, found=error.strerror,
                do="free space, then run the same command again: it goes on where it stopped",
            ) from error  # fmt: skip
        self._rows += len(data)
        self.entries[entry.id] = entry

    def __exit__(self, *exc_info: object) -> None:
        # Frames reach the disk before the lines that name them.
        for handle in (self._file, self._index):
            os.fsync(handle)
            os.close(handle)


def _write_all(handle: int, data: memoryview) -> None:
    while data:
        data = data[os.write(handle, data) :]
