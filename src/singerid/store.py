"""Features of many recordings on disk: extracted once, appended safely, memory-mapped.

A store is a folder::

    spec.json          the front end that made every array (`FeatureSpec`)
    features-00000.f32 shards: frames of many recordings, little-endian float32, row after row
    index.jsonl        one line per array: id, hash of its audio, shard, first frame, frames, crc32
    recordings.jsonl   the manifest that the store was last completed for
    checksums.json     crc32 of spec.json and recordings.jsonl, once they belong together
    *.jsonl.arrow      of large stores: copies of the two lists, which are read faster; of no use
                       once a list has changed, and never needed

An array counts only when its index line is whole, and the line is written after its frames
are; so a kill at any moment loses at most the recordings in flight, and nothing half-written
is ever read. `store_check` finds damage and takes it out; `store_writer` fills the gaps.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from singerid.errors import StoreError
from singerid.formats import FORMATS, check_format
from singerid.json_lines import LARGE, build, copy_of, no_collection, read_columns, write_copy
from singerid.records import TYPES, Recording, atomic_write, read_recordings
from singerid.spec import FeatureSpec

FloatArray = npt.NDArray[np.float32]
E = TypeVar("E")
CHECKSUMS = "checksums.json"
_CHECKED = ("spec.json", "recordings.jsonl")
_TYPES = {
    "id": "string", "source": "string", "shard": "int64", "start": "int64", "n_frames": "int64",
    "crc32": "int64",
}  # fmt: skip


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

    @property
    def end(self) -> int:
        """The frame of the shard behind its last."""
        return self.start + self.n_frames

    def to_line(self) -> str:
        """Its line in the index."""
        return json.dumps(asdict(self)) + "\n"


class Store:
    """A complete store, opened for reading.

    Attributes:
        spec: the front end.
        recordings: what the store was completed for, in the manifest's order.
        entries: where each recording's frames lie, by id.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a store.

        Raises:
            StoreError: missing, unfinished or damaged.
        """
        self.path = Path(path)
        self.spec = read_spec(self.path)
        listing = self.path / "recordings.jsonl"
        if not listing.exists():
            raise StoreError(
                "the extraction was not finished", where=path,
                do="run singerid features again: it goes on where it stopped",
            )  # fmt: skip
        if altered := altered_files(self.path):
            raise StoreError(
                f"{altered[0]} does not match its checksum", where=path,
                do="run singerid features again: it writes it anew",
            )  # fmt: skip
        self.recordings = read_recordings(listing)
        self.entries = _read_all(self.path / "index.jsonl")
        entries = self.entries
        if lost := [
            r.id for r in self.recordings
            if (entry := entries.get(r.id)) is None or entry.source != source_of(r)
        ]:  # fmt: skip
            raise StoreError(
                f"{len(lost)} listed recordings have no features", where=path, found=lost[0],
                do="run singerid features again: it makes what is missing",
            )  # fmt: skip
        self._shards: dict[int, FloatArray] = {}

    def features(self, id: str) -> FloatArray:
        """Frames of a recording, float32 `(n_frames, n_dims)`: a view of the mapped shard."""
        entry = self.entries[id]
        if entry.shard not in self._shards:
            self._shards[entry.shard] = map_shard(self.path, entry.shard, self.spec)
        frames = self._shards[entry.shard][entry.start : entry.end]
        if len(frames) != entry.n_frames:
            raise StoreError(
                "shard is cut short", where=shard_path(self.path, entry.shard),
                do="run singerid features again: it makes what is missing",
            )  # fmt: skip
        return frames

    def check(self, id: str) -> None:
        """Compare a recording's frames with their checksum.

        Raises:
            StoreError: they differ.
        """
        entry = self.entries[id]
        if zlib.crc32(np.ascontiguousarray(self.features(id)).data) != entry.crc32:
            raise StoreError(
                "frames do not match their checksum", where=shard_path(self.path, entry.shard),
                found=f"recording {id}", do="run singerid features again: it makes what is damaged",
            )  # fmt: skip

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_shards": {}}  # worker processes map the shards themselves


def spec_json(spec: FeatureSpec) -> str:
    """What ``spec.json`` of a store holds."""
    return json.dumps({"format": FORMATS["store"]} | spec.model_dump(mode="json"), indent=2)


def read_spec(path: Path) -> FeatureSpec:
    """The front end of a store.

    Raises:
        StoreError: not a store, or one of a newer format.
    """
    try:
        values = json.loads((path / "spec.json").read_text("utf-8"))
        check_format(values.pop("format", 1), "store", path, StoreError)
        return FeatureSpec.model_validate(values)
    except OSError as error:
        raise StoreError(
            "is not a feature store", where=path, found="no spec.json",
            do="make one: singerid features manifest.jsonl -o STORE",
        ) from error  # fmt: skip
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        # Of pydantic, bytes that are no text, or no object.
        raise StoreError(
            "spec.json is damaged", where=path, found=str(error)[:80],
            do="run singerid features again with the settings of the store: it writes it anew",
        ) from error  # fmt: skip


def shard_path(path: Path, shard: int) -> Path:
    """File of a shard."""
    return path / f"features-{shard:05d}.f32"


def map_shard(path: Path, shard: int, spec: FeatureSpec) -> FloatArray:
    """All frames of a shard, mapped.

    Raises:
        StoreError: missing or empty.
    """
    file = shard_path(path, shard)
    try:
        rows = file.stat().st_size // (4 * spec.n_dims)
        # As a plain array, which is cut into partials much faster than a memmap.
        return np.asarray(np.memmap(file, "<f4", "r", shape=(rows, spec.n_dims)))
    except (OSError, ValueError) as error:  # missing, or of no rows
        raise StoreError(
            "shard cannot be read", where=file, found=error,
            do="run singerid features again: it makes what is missing",
        ) from error  # fmt: skip


def write_checksums(path: Path) -> None:
    """Write down the checksums of the files that belong to a store as a whole, and copy lists.

    Take `checksums.json` away before these files change: a store without it is one that an
    older version made, or that was interrupted just then; neither is damage.
    """
    sums = {name: zlib.crc32((path / name).read_bytes()) for name in _CHECKED}
    with atomic_write(path / CHECKSUMS) as file:
        file.write(json.dumps(sums) + "\n")
    _write_copy(path / "recordings.jsonl", TYPES, "labels")
    _write_copy(path / "index.jsonl", _TYPES)


def _write_copy(file: Path, types: Mapping[str, str], nested: str | None = None) -> None:
    """Write the copy of a large file, by which the store is opened faster."""
    if file.stat().st_size >= LARGE:
        with atomic_write(copy_of(file), "wb") as copy:
            write_copy(copy, file.read_bytes(), types, nested)


def read_checksums(path: Path) -> dict[str, int]:
    """What `write_checksums` wrote; nothing if it did not, or if that is damaged itself."""
    try:
        sums = json.loads((path / CHECKSUMS).read_text("utf-8"))
        return {name: int(sums[name]) for name in _CHECKED}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def altered_files(path: Path) -> list[str]:
    """Names of the files that are not what their checksums were taken of."""
    known = read_checksums(path)
    files = [path / name for name in known if (path / name).exists()]
    return [file.name for file in files if zlib.crc32(file.read_bytes()) != known[file.name]]


def source_of(recording: Recording) -> str:
    """What a recording's features depend on beside the spec: hash of the file, and channel."""
    return f"{recording.sha256[:32]}:{recording.channel}"


def holds(entries: Mapping[str, Entry], recording: Recording) -> bool:
    """True if the features of exactly this audio are there."""
    entry = entries.get(recording.id)
    return entry is not None and entry.source == source_of(recording)


def read_index(file: Path) -> Iterator[tuple[Entry, int]]:
    """Entries of a store (see `read_entries`)."""
    return read_entries(file, Entry, "features")


def _read_all(file: Path) -> dict[str, Entry]:
    """The entries that count, by id."""
    with no_collection():
        if file.exists() and file.stat().st_size >= LARGE:
            data = file.read_bytes()
            found = read_columns(data[: data.rfind(b"\n") + 1], _TYPES, copy=copy_of(file))
            if found and not any(None in column for column in found[0].values()):
                entries = build(Entry, found[0])
                return dict(zip(found[0]["id"], entries, strict=True))
        return {entry.id: entry for entry, _ in read_index(file)}


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
            yield kind(**json.loads(line)), end
        except (ValueError, TypeError) as error:
            raise StoreError(
                "index line is damaged", where=f"{file}:{number}", found=line[:60].decode("latin1"),
                do=f"run singerid {command} again: it makes what is missing",
            ) from error  # fmt: skip


def write_index(path: Path, entries: Iterable[Entry]) -> None:
    """Write the index anew, in the order of places."""
    with atomic_write(path / "index.jsonl") as file:
        file.writelines(entry.to_line() for entry in in_place(entries))


def in_place(entries: Iterable[Entry]) -> list[Entry]:
    """Entries in the order of their places, which is that in which a new store is written."""
    return sorted(entries, key=lambda entry: (entry.shard, entry.start))
