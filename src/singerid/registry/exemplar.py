"""The records of a registry: what is enrolled, what was found, and their rows on disk."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from singerid import __version__
from singerid.errors import one_line
from singerid.json_lines import parse
from singerid.registry.names import RegistryError, check_labels

FloatArray = npt.NDArray[np.float32]
_STEP = 8  # the vector index takes multiples of this many dimensions
FACTS = (
    "id", "singer", "seconds", "voice_seconds", "path", "sha256", "quality", "labels",
    "enrolled_at", "has_clip", "source",
)  # fmt: skip
"""Columns of the table of exemplars but the vector."""


@dataclass(frozen=True)
class Exemplar:
    """A recording that somebody is enrolled with.

    Attributes:
        vector: its embedding, float32 `(dim,)` of unit length.
        id: 16 hexadecimal digits; given by the registry.
        singer: whose voice it is; given by the registry.
        seconds: duration; 0: unknown.
        voice_seconds: in which a voice sounds; 0: unknown.
        path: of the audio file; "" or a name only, if there is none to return to.
        sha256: of the file's bytes in hex; of the vector's, where there is no file.
        quality: in [0, 1], see `singerid.quality`; None: unknown.
        labels: what else is known.
        enrolled_at: time in ISO 8601, UTC; given by the registry.
        clip: MP3 to be kept; not filled in by reading (ask `Registry.clip`).
        has_clip: whether there is one.
        source: where it came from, in the words of who enrolled it.
    """

    vector: FloatArray
    id: str = ""
    singer: str = ""
    seconds: float = 0.0
    voice_seconds: float = 0.0
    path: str = ""
    sha256: str = ""
    quality: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    enrolled_at: str = ""
    clip: bytes | None = field(default=None, repr=False)
    has_clip: bool = False
    source: str = ""

    def name(self) -> str:
        """What people know it by: the file, or the id."""
        return self.path or self.id

    def content(self) -> str:
        """Its `sha256`, or that of its vector."""
        return self.sha256 or hashlib.sha256(self.vector.tobytes()).hexdigest()


@dataclass(frozen=True)
class Hit:
    """An exemplar that was found, and its score (cosine, in [-1, 1])."""

    exemplar: Exemplar
    score: float


@dataclass(frozen=True)
class SingerInfo:
    """A singer as listed.

    Attributes:
        name: unique within the registry.
        n_exemplars: how many there are.
        seconds: their duration.
        labels: those that all the exemplars share.
        enrolled_at: of the first, in ISO 8601, UTC.
    """

    name: str
    n_exemplars: int
    seconds: float
    labels: Mapping[str, str]
    enrolled_at: str


@dataclass(frozen=True)
class Enrollment:
    """What became of an enrollment.

    Attributes:
        singer: the name as it is kept.
        added: ids of the new exemplars, in the order given.
        known: those given that the singer had already: the same bytes.
        outliers: (id, reason) of exemplars, new or old, far less like the singer's others than
            those are to each other.
        near_other: (singer, score) of other singers who may be the same person; the score is the
            mean of those of the new recordings with theirs.
    """

    singer: str
    added: Sequence[str]
    known: Sequence[Exemplar]
    outliers: Sequence[tuple[str, str]]
    near_other: Sequence[tuple[str, float]]


def check_vectors(exemplars: Sequence[Exemplar], where: object = None) -> FloatArray:
    """Their vectors `(n, dim)`.

    Raises:
        RegistryError: of different dimensions, not finite, or not of unit length.
    """
    shapes = sorted({np.shape(one.vector) for one in exemplars})
    if len(shapes) != 1 or len(shapes[0]) != 1 or not shapes[0][0]:
        raise RegistryError("vectors of different shapes", where=where, found=shapes)
    vectors = np.stack([np.asarray(one.vector, np.float32) for one in exemplars])
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not np.allclose(lengths, 1, atol=1e-3):  # NaN fails too
        bad = int(np.flatnonzero(~np.isclose(lengths, 1, atol=1e-3))[0])
        raise RegistryError(
            "vector is not of unit length", where=exemplars[bad].name() or where,
            found=f"length {lengths[bad]:.4g}",
        )  # fmt: skip
    return vectors


def exemplar_schema(dim: int) -> pa.Schema:
    """Columns of the table; vectors are padded with zeros to a multiple of 8."""
    width = math.ceil(dim / _STEP) * _STEP
    return pa.schema([
        ("id", pa.string()), ("singer", pa.string()), ("vector", pa.list_(pa.float32(), width)),
        ("seconds", pa.float64()), ("voice_seconds", pa.float64()), ("path", pa.string()),
        ("sha256", pa.string()), ("quality", pa.float64()), ("labels", pa.string()),
        ("enrolled_at", pa.string()), ("has_clip", pa.bool_()), ("source", pa.string()),
        ("version", pa.string()),
    ])  # fmt: skip


def to_rows(exemplars: Sequence[Exemplar], dim: int) -> pa.Table:
    """Rows of the table, in the version of this package.

    Raises:
        RegistryError: labels that cannot be kept.
    """
    schema = exemplar_schema(dim)
    columns: dict[str, Any] = {
        name: [getattr(one, name) for one in exemplars] for name in FACTS if name != "labels"
    }
    columns["path"] = [one_line(path) for path in columns["path"]]
    columns["source"] = [one_line(source) for source in columns["source"]]
    columns["labels"] = [
        json.dumps(check_labels(one.labels), ensure_ascii=False) for one in exemplars
    ]
    columns["vector"] = vector_column(np.stack([one.vector for one in exemplars]))
    columns["version"] = [__version__] * len(exemplars)
    return pa.table([columns[name] for name in schema.names], schema=schema)


def vector_column(vectors: FloatArray) -> pa.Array:
    """The vectors `(n, dim)` as they are stored."""
    n, dim = vectors.shape
    width = exemplar_schema(dim).field("vector").type.list_size
    padded = np.zeros((n, width), np.float32)
    padded[:, :dim] = vectors
    return pa.FixedSizeListArray.from_arrays(pa.array(padded.reshape(-1)), width)


def vectors_in(table: pa.Table | pa.RecordBatch, dim: int) -> FloatArray:
    """The vectors `(n, dim)` of rows that have the column."""
    column = table["vector"]
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    matrix: FloatArray = flat.reshape(len(table), column.type.list_size)[:, :dim]
    return matrix


def from_rows(table: pa.Table, dim: int) -> list[Exemplar]:
    """What `to_rows` made; `table` has all of its columns but perhaps ``version``."""
    vectors = vectors_in(table, dim)
    rows = table.select(list(FACTS)).to_pylist()
    return [
        Exemplar(vector, **(row | {"labels": labels_in(row["labels"])}))
        for vector, row in zip(vectors, rows, strict=True)
    ]


def labels_in(text: str) -> dict[str, str]:
    """Labels as they are kept.

    Raises:
        RegistryError: they are damaged.
    """
    try:
        return check_labels(parse(text))
    except (ValueError, TypeError, AttributeError) as error:
        raise RegistryError("labels are damaged", found=text[:60]) from error
