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
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from singerid.entries import ENTRY_TYPES, Entry, in_place, read_all
from singerid.errors import StoreError
from singerid.formats import FORMATS, check_format
from singerid.json_lines import LARGE, FileSum, copy_of, parse, write_copy
from singerid.listing import FINGERPRINT, read_listing
from singerid.mirror import pulled
from singerid.records import TYPES, Recording, atomic_write
from singerid.spec import FeatureSpec

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
CHECKSUMS = "checksums.json"
_CHECKED = ("spec.json", "recordings.jsonl")


class Store:
    """A complete store, opened for reading.

    Attributes:
        spec: the front end.
        listing: what the store was completed for, in the manifest's order, by column.
        entries: where each recording's frames lie, by id.
        rows: the row in the entries of each recording of the listing.
        n_frames: number of frames of each.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a store.

        Args:
            path: its folder, or its URL (see `singerid.mirror`).

        Raises:
            StoreError: missing, unfinished or damaged.
        """
        self.path = pulled(path)
        self.spec = read_spec(self.path)
        listing = self.path / "recordings.jsonl"
        if not listing.exists():
            raise StoreError(
                "the extraction was not finished", where=path,
                do="run singerid features again: it goes on where it stopped",
            )  # fmt: skip
        sums = sums_of(self.path)
        if altered := altered_files(self.path, sums):
            raise StoreError(
                f"{altered[0]} does not match its checksum", where=path,
                do="run singerid features again: it writes it anew",
            )  # fmt: skip
        self.listing = read_listing(listing, sums.get(listing.name))
        self.entries = read_all(self.path / "index.jsonl")
        self.rows = self.entries.rows(self.listing.texts("id"))
        if lost := self._lost():
            raise StoreError(
                f"{len(lost)} listed recordings have no features", where=path, found=lost[0],
                do="run singerid features again: it makes what is missing",
            )  # fmt: skip
        self.n_frames = self.entries.n_frames[self.rows]
        self._shards: dict[int, FloatArray] = {}

    @property
    def recordings(self) -> list[Recording]:
        """What the store was completed for, in the manifest's order."""
        return self.listing.recordings

    def _lost(self) -> list[str]:
        """Ids of the recordings that have no entry of their audio."""
        ids, found = self.listing.texts("id"), self.entries.sources(self.rows)
        audio = zip(self.listing.texts("sha256"), self.listing.texts("channel"), strict=True)
        wanted = [f"{sha256[:32]}:{channel}" for sha256, channel in audio]
        if wanted == found:  # of a million, ten times as fast as to look for one that differs
            return []
        return [id for id, a, b in zip(ids, wanted, found, strict=True) if a != b]

    def features(self, id: str) -> FloatArray:
        """Frames of a recording, float32 `(n_frames, n_dims)`: a view of the mapped shard."""
        return self.frames(self.entries.row(id))

    def frames(self, row: int) -> FloatArray:
        """The same, by the row of the recording's entry."""
        shard, start, n_frames = self.entries.place(row)
        if shard not in self._shards:
            self._shards[shard] = map_shard(self.path, shard, self.spec)
        frames = self._shards[shard][start : start + n_frames]
        if len(frames) != n_frames:
            raise StoreError(
                "shard is cut short", where=shard_path(self.path, shard),
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
    _write_copies(path)


def _write_copies(path: Path) -> None:
    """Write the copies of large lists, by which the store is opened faster."""
    listing, index = path / "recordings.jsonl", path / "index.jsonl"
    if listing.stat().st_size >= LARGE:
        facts = {FINGERPRINT: read_listing(listing).fingerprint}
        with atomic_write(copy_of(listing), "wb") as copy:
            write_copy(copy, listing.read_bytes(), TYPES, "labels", facts)
    if index.stat().st_size >= LARGE:
        with atomic_write(copy_of(index), "wb") as copy:
            write_copy(copy, index.read_bytes(), ENTRY_TYPES)


def read_checksums(path: Path) -> dict[str, int]:
    """What `write_checksums` wrote; nothing if it did not, or if that is damaged itself."""
    try:
        sums = parse((path / CHECKSUMS).read_text("utf-8"))
        return {name: int(sums[name]) for name in _CHECKED}
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return {}


def sums_of(path: Path) -> dict[str, FileSum]:
    """The sums, as they are now, of those files whose checksums were written down."""
    files = [path / name for name in read_checksums(path)]
    return {file.name: FileSum.of(file) for file in files if file.exists()}


def altered_files(path: Path, sums: Mapping[str, FileSum] | None = None) -> list[str]:
    """Names of the files that are not what their checksums were taken of.

    Args:
        path: folder of the store.
        sums: of the files now, if `sums_of` has made them already.
    """
    known = read_checksums(path)
    found = sums_of(path) if sums is None else sums
    return [name for name, sum in found.items() if sum.crc32 != known.get(name)]


def source_of(recording: Recording) -> str:
    """What a recording's features depend on beside the spec: hash of the file, and channel."""
    return f"{recording.sha256[:32]}:{recording.channel}"


def holds(entries: Mapping[str, Entry], recording: Recording) -> bool:
    """True if the features of exactly this audio are there."""
    entry = entries.get(recording.id)
    return entry is not None and entry.source == source_of(recording)


def write_index(path: Path, entries: Iterable[Entry]) -> None:
    """Write the index anew, in the order of places."""
    with atomic_write(path / "index.jsonl") as file:
        file.writelines(entry.to_line() for entry in in_place(entries))
