"""The writer of a store: appends recordings, and fills gaps in the places where they were."""

from __future__ import annotations

import os
import zlib
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from singerid.appending import open_at, write_all, write_error
from singerid.entries import Entry, in_place
from singerid.records import Recording
from singerid.spec import FeatureSpec
from singerid.store import shard_path, source_of, write_index

FloatArray = npt.NDArray[np.float32]
SHARD_BYTES = 1 << 30
_ENDLESS = 1 << 62


class StoreWriter:
    """Writes arrays into the shards, and lines behind the index, of a locked store.

    A recording is written behind the one that precedes it in the manifest, if there is room: in a
    store that was made in one go and lost some recordings, that is where they were before. Else
    it is written behind all others. Places that any line of the index names, even one that a
    later line replaces, are never written to: another process may be reading them.

    Args:
        path: folder of the store.
        spec: its front end.
        lines: what the index holds, all of it intact.
        index_bytes: length of the index without a line that was never finished.

    Attributes:
        entries: where each recording's frames lie, by id.
    """

    def __init__(
        self, path: Path, spec: FeatureSpec, lines: Sequence[Entry], index_bytes: int
    ) -> None:
        self.path, self.entries = path, {entry.id: entry for entry in lines}
        self._row_bytes = 4 * spec.n_dims
        self._index_bytes = index_bytes
        self._places = _Places(lines, SHARD_BYTES // self._row_bytes)
        self._is_in_order = in_place(lines) == list(lines)
        self._file: int | None = None
        self._shard = -1

    def __enter__(self) -> Self:
        self._index = open_at(self.path / "index.jsonl", self._index_bytes)
        return self

    def write(self, recording: Recording, frames: FloatArray, before: Entry | None) -> Entry:
        """Write frames, then their index line.

        Args:
            recording: whose they are.
            frames: `(n_frames, n_dims)`.
            before: the recording that precedes it in the manifest, if any.

        Raises:
            StoreError: the disk is full, or worse.
        """
        data = np.ascontiguousarray(frames, "<f4")
        shard, start = self._places.find(len(data), before)
        crc = zlib.crc32(data.data)
        entry = Entry(recording.id, source_of(recording), shard, start, len(data), crc)
        try:
            os.lseek(self._open(shard), start * self._row_bytes, os.SEEK_SET)
            write_all(self._open(shard), data.data.cast("B"))
            write_all(self._index, memoryview(entry.to_line().encode()))
        except OSError as error:
            raise write_error(self.path, error) from error
        self._is_in_order &= self._places.add(entry)
        self.entries[entry.id] = entry
        return entry

    def _open(self, shard: int) -> int:
        """The shard's file."""
        if self._file is None or shard != self._shard:
            file = os.open(shard_path(self.path, shard), os.O_RDWR | os.O_CREAT, 0o666)
            self._close()
            self._file, self._shard = file, shard
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
        self._file = None

    def __exit__(self, *exc_info: object) -> None:
        try:  # frames reach the disk before the lines that name them
            self._close()
            os.fsync(self._index)
        finally:
            os.close(self._index)

    def finish(self) -> None:
        """Bring a whole store's index into order, and cut off what no line names."""
        if not self._is_in_order:
            write_index(self.path, self.entries.values())
        for file in self.path.glob("features-*.f32"):
            end = self._places.ends.get(_number(file), 0) * self._row_bytes
            if not end:
                file.unlink()
            elif file.stat().st_size > end:
                os.truncate(file, end)


def _number(file: Path) -> int:
    """Of a shard; -1 of what is none."""
    digits = file.stem.removeprefix("features-")
    return int(digits) if digits.isdecimal() else -1


class _Places:
    """Which rows of which shards are taken.

    Attributes:
        ends: by shard, the row behind the last one taken.
    """

    def __init__(self, entries: Iterable[Entry], rows: int) -> None:
        self._rows = rows  # of a shard, unless a single recording has more
        self._starts: dict[int, list[int]] = {}
        self.ends: dict[int, int] = {}
        self._last: Entry | None = None
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> bool:
        """Take a place; returns whether it is behind all others."""
        insort(self._starts.setdefault(entry.shard, []), entry.start)
        self.ends[entry.shard] = max(self.ends.get(entry.shard, 0), entry.end)
        last = self._last
        is_behind = last is None or (entry.shard, entry.start) >= (last.shard, last.start)
        if is_behind:
            self._last = entry
        return is_behind

    def find(self, n_rows: int, before: Entry | None) -> tuple[int, int]:
        """Shard and row of a place for so many rows, after `before` or else after all."""
        for entry in (before, self._last):
            shard, start = (entry.shard, entry.end) if entry else (0, 0)
            if self._room(shard, start) >= n_rows:
                return shard, start
            if start >= self.ends.get(shard, 0) and self._room(shard + 1, 0) >= n_rows:
                return shard + 1, 0
        raise AssertionError("a new shard has room for everything")

    def _room(self, shard: int, start: int) -> int:
        """Free rows from a place on."""
        starts: Sequence[int] = self._starts.get(shard, ())
        following = bisect_left(starts, start)
        if following < len(starts):
            return starts[following] - start
        return self._rows - start if start else _ENDLESS
