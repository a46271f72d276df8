"""A manifest by column: a million recordings need not become objects to be counted and drawn."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from singerid.json_lines import Columns, FileSum, no_collection
from singerid.records import TYPES, Recording, plain_columns, read_recordings, recordings_of
from singerid.spec import fingerprint

IntArray = npt.NDArray[np.int64]
FINGERPRINT = "fingerprint"  # the fact that the copy of a list says of it
_IDENTITY = "id", "singer", "split", "sha256", "channel"


class Listing:
    """Recordings in their order, and what is known of them by column."""

    def __init__(self, recordings: Iterable[Recording]) -> None:
        """List recordings."""
        self._recordings = list(recordings)
        self._codes: dict[str, tuple[list[str], IntArray]] = {}

    def __len__(self) -> int:
        return len(self._recordings)

    @property
    def recordings(self) -> list[Recording]:
        """The recordings as objects."""
        return self._recordings

    def texts(self, name: str) -> Sequence[str]:
        """A field that is a text, or a label: "" where a recording has not got it."""
        if name in TYPES:
            return [getattr(recording, name) for recording in self.recordings]
        return [recording.labels.get(name, "") for recording in self.recordings]

    def take(self, rows: IntArray) -> list[Recording]:
        """The recordings of some rows."""
        return [self._recordings[row] for row in rows.tolist()]

    @property
    def fingerprint(self) -> str:
        """Hash of which audio, singers and splits there are."""
        return fingerprint(sorted(zip(*map(self.texts, _IDENTITY), strict=True)))

    def codes(self, name: str) -> tuple[list[str], IntArray]:
        """The values of `texts`, sorted, each once; and which of them each recording has."""
        if name not in self._codes:
            texts = self.texts(name)
            values = sorted(set(texts))
            number = {value: i for i, value in enumerate(values)}
            codes = np.fromiter(map(number.__getitem__, texts), np.int64, len(texts))
            self._codes[name] = values, codes
        return self._codes[name]

    def of_split(self, split: str) -> IntArray:
        """The rows of a split."""
        values, codes = self.codes("split")
        number = values.index(split) if split in values else -1
        return np.flatnonzero(codes == number)


class _ByColumn(Listing):
    """A listing that makes objects of its columns once they are asked for."""

    def __init__(self, columns: Columns, labels: Columns, folder: str) -> None:
        super().__init__(())
        self._columns, self._labels, self._folder = columns, labels, folder

    def __len__(self) -> int:
        return len(self._columns["id"])

    @property
    def recordings(self) -> list[Recording]:
        if not self._recordings:
            with no_collection():
                self._recordings = recordings_of(self._columns, self._labels, self._folder)
        return self._recordings

    def texts(self, name: str) -> Sequence[str]:
        if name == "path":  # in the column it may be relative
            return super().texts(name)
        if name in TYPES:
            return self._columns[name]
        if name not in self._labels:
            return [""] * len(self)
        return [text or "" for text in self._labels[name]]

    @property
    def fingerprint(self) -> str:
        return self._columns.facts.get(FINGERPRINT) or super().fingerprint

    def take(self, rows: IntArray) -> list[Recording]:
        return recordings_of(self._columns.take(rows), self._labels.take(rows), self._folder)


def read_listing(path: str | os.PathLike[str], sum: FileSum | None = None) -> Listing:
    """List the recordings of a manifest in a folder of this machine, as `read_recordings` does.

    Args:
        path: the manifest.
        sum: of the file, where it has been made already.

    Raises:
        ManifestError: the file is missing or empty, a line is wrong, or an id appears twice.
    """
    path = Path(path)
    found = plain_columns(path, sum) if path.exists() else None
    if found is None:
        return Listing(read_recordings(path))
    return _ByColumn(*found, str(path.parent.absolute()))
