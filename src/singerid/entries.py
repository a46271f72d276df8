"""The index of a store: where the frames of each recording lie, one JSON line each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from singerid.errors import StoreError
from singerid.json_lines import LARGE, Columns, parse, read_large

IntArray = npt.NDArray[np.int64]
E = TypeVar("E")
ENTRY_TYPES = {
    "id": "string", "source": "string", "shard": "int64", "start": "int64", "n_frames": "int64",
    "crc32": "int64",
}  # fmt: skip
_NUMBERS = [name for name, kind in ENTRY_TYPES.items() if kind == "int64"]
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the frames of a recording lie.

    Attributes:
        id: the recording.
        source: hash of the audio file and channel that the frames were made from.
        shard: number of the shard.
        start: first frame in the shard.
        n_frames: number of frames.
        crc32: checksum of their bytes.
    """

    id: str
    source: str
    shard: int
    start: int
    n_frames: int
    crc32: int

    def __post_init__(self) -> None:
        texts, numbers = (self.id, self.source), (self.shard, self.start, self.n_frames, self.crc32)
        if not all(type(text) is str for text in texts):
            raise ValueError("not a text")
        if not all(type(number) is int and 0 <= number <= _LARGEST for number in numbers):
            raise ValueError("not a number of frames or bytes")

    @property
    def end(self) -> int:
        """The frame of the shard behind its last."""
        return self.start + self.n_frames

    def to_line(self) -> str:
        """Its line in the index."""
        return json.dumps(asdict(self)) + "\n"


class Entries(Mapping[str, Entry]):
    """The entries that count, by id: of several with one id, the last.

    They are kept by column, and made when they are asked for.

    Attributes:
        n_frames: number of frames in each row.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Take the fields of all lines by name."""
        self._columns = columns
        self.n_frames: IntArray = np.asarray(columns["n_frames"], np.int64)
        self._shards = np.asarray(columns["shard"], np.int64)
        self._starts = np.asarray(columns["start"], np.int64)

    @cached_property
    def _rows(self) -> dict[str, int]:
        ids = self._columns["id"]
        return dict(zip(ids, range(len(ids)), strict=True))

    def row(self, id: str) -> int:
        """The row of a recording; a KeyError if there is none."""
        return self._rows[id]

    def place(self, row: int) -> tuple[int, int, int]:
        """Shard, first frame and number of frames of a row."""
        return int(self._shards[row]), int(self._starts[row]), int(self.n_frames[row])

    def rows(self, ids: Sequence[str]) -> IntArray:
        """The row of each id, -1 where there is none."""
        if ids == self._columns["id"]:  # as where the store was made in one go
            return np.arange(len(ids))
        return np.fromiter(map(self._rows.get, ids, repeat(-1)), np.int64, len(ids))

    def sources(self, rows: IntArray) -> list[str]:
        """The source of each row; "" for -1."""
        column = self._columns["source"]
        return [column[row] if row >= 0 else "" for row in rows.tolist()]

    def __getitem__(self, id: str) -> Entry:
        row = self._rows[id]
        return Entry(*(self._columns[name][row] for name in ENTRY_TYPES))

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def read_index(file: Path) -> Iterator[tuple[Entry, int]]:
    """Entries of a store, line by line (see `read_entries`)."""
    return read_entries(file, Entry, "features")


def read_all(file: Path) -> Entries:
    """The entries that count.

    Raises:
        StoreError: a line is damaged.
    """
    if file.exists() and file.stat().st_size >= LARGE and (columns := _plain_columns(file)):
        return Entries(columns)
    entries = [entry for entry, _ in read_index(file)]
    return Entries({name: [getattr(entry, name) for entry in entries] for name in ENTRY_TYPES})


def _plain_columns(file: Path) -> Columns | None:
    found = read_large(file, ENTRY_TYPES)
    if found is None or any(found[0].bounds(name)[0] < 0 for name in _NUMBERS):
        return None
    return found[0]


def read_entries(file: Path, kind: type[E], command: str) -> Iterator[tuple[E, int]]:
    """Entries, each with the byte at which its line ends; a last line without end is none.

    Args:
        file: the index; none is as good as an empty one.
        kind: dataclass of the entries.
        command: what the user runs to make the entries, for messages.

    Raises:
        StoreError: a line is damaged.
    """
    data = file.read_bytes() if file.exists() else b""
    end = 0
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        end += len(line) + 1
        try:
            yield kind(**parse(line)), end
        except (ValueError, TypeError) as error:
            raise StoreError(
                "index line is damaged", where=f"{file}:{number}", found=line[:60].decode("latin1"),
                do=f"run singerid {command} again: it makes what is missing",
            ) from error  # fmt: skip


def in_place(entries: Iterable[Entry]) -> list[Entry]:
    """Entries in the order of their places, which is that in which a new store is written."""
    return sorted(entries, key=lambda entry: (entry.shard, entry.start))
