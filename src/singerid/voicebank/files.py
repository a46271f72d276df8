"""Files of a voice bank: one memory-mapped array each, and an index of who has which rows.

A recording counts only when its index line is whole, and the line is written after its rows
are; so a kill at any moment loses at most the recordings in flight.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from singerid.entries import read_entries
from singerid.errors import StoreError

_LARGEST = 1e30  # of the numbers that are no counts
_AGAIN = "run singerid voices again: it makes what is missing"


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """One file of a bank: rows of little-endian numbers.

    Attributes:
        name: of the array.
        dtype: of its values.
        width: shape of a row, `()` or `(n,)`.
        is_mel: rows are mel frames rather than frames of WORLD.
    """

    name: str
    dtype: str
    width: tuple[int, ...] = ()
    is_mel: bool = False

    def path(self, folder: Path) -> Path:
        """Where it lies, such as ``cepstrum.i8``."""
        dtype = np.dtype(self.dtype)
        return folder / f"{self.name}.{dtype.kind}{8 * dtype.itemsize}"

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return int(np.dtype(self.dtype).itemsize * np.prod(self.width))

    def map(self, folder: Path, n_rows: int) -> npt.NDArray[Any]:
        """The first `n_rows` rows, mapped.

        Raises:
            StoreError: missing or cut short.
        """
        shape = (n_rows, *self.width)
        if n_rows == 0:
            return np.empty(shape, self.dtype)
        try:
            return np.asarray(np.memmap(self.path(folder), self.dtype, "r", shape=shape))
        except (OSError, ValueError) as error:  # missing, or shorter
            raise StoreError(
                "cannot be read", where=self.path(folder), found=error, do=_AGAIN
            ) from error


@dataclass(frozen=True, slots=True)
class BankEntry:
    """What the index says of a recording.

    Attributes:
        id: the recording.
        source: hash of the audio file and channel that it was made from.
        start: first frame.
        n_frames: number of frames.
        mel_start: first mel frame.
        n_mel_frames: number of mel frames.
        median_f0: Hz.
        level: dB that was scaled away.
        crc32: checksum of its rows in all files.
    """

    id: str
    source: str
    start: int
    n_frames: int
    mel_start: int
    n_mel_frames: int
    median_f0: float
    level: float
    crc32: int

    def __post_init__(self) -> None:
        rows = (self.start, self.n_frames, self.mel_start, self.n_mel_frames, self.crc32)
        if not (type(self.id) is str and type(self.source) is str):
            raise ValueError("not a text")
        if not all(type(number) is int and 0 <= number < 2**63 for number in rows):
            raise ValueError("not a number of rows or bytes")
        for number in (self.median_f0, self.level):
            if type(number) not in (int, float) or not abs(number) < _LARGEST:  # NaN too
                raise ValueError("not a finite number")

    def rows(self, array: ArrayFile) -> slice:
        """Its rows in a file."""
        if array.is_mel:
            return slice(self.mel_start, self.mel_start + self.n_mel_frames)
        return slice(self.start, self.start + self.n_frames)


def read_bank_index(folder: Path) -> Iterator[tuple[BankEntry, int]]:
    """Entries of a bank (see `read_entries`)."""
    return read_entries(folder / "index.jsonl", BankEntry, "voices")


def damaged_ids(
    folder: Path, arrays: Sequence[ArrayFile], entries: Sequence[BankEntry]
) -> set[str]:
    """Recordings whose rows are not what was written."""
    if not entries:
        return set()
    mapped = [(a, a.map(folder, max(e.rows(a).stop for e in entries))) for a in arrays]
    return {e.id for e in entries if checksum([m[e.rows(a)] for a, m in mapped]) != e.crc32}


def checksum(rows: Sequence[npt.NDArray[Any]]) -> int:
    """crc32 of a recording's rows in all files, one after the other."""
    crc = 0
    for part in rows:
        crc = zlib.crc32(np.ascontiguousarray(part).tobytes(), crc)
    return crc
