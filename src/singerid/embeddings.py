"""Unit vectors with the names that belong to them, as an array in memory and Parquet on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from singerid.column_checksum import checksum
from singerid.errors import MismatchError, SingeridError, one_line
from singerid.formats import FORMATS, check_format
from singerid.records import Condition, Recording, atomic_write
from singerid.remote import fetched

_T = TypeVar("_T")
FloatArray = npt.NDArray[np.float32]
Kind = Literal["text", "number", "vector"]
_COLUMNS: dict[str, Kind] = {
    "id": "text", "singer": "text", "split": "text", "path": "text", "seconds": "number",
    "n_partials": "number", "embedding": "vector",
}  # fmt: skip
_ENCODER_KEY, _KIND_KEY = b"singerid.encoder", b"singerid.kind"
_FORMAT_KEY, _CHECKSUM_KEY = b"singerid.format", b"singerid.crc32"


def normalize(vectors: npt.NDArray[np.floating]) -> FloatArray:
    """Scale each row of `(n, dim)` to unit length.

    Raises:
        SingeridError: a row is zero or not finite: it has no direction.
    """
    vectors = np.asarray(vectors, np.float64)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    bad = ~np.isfinite(norms[..., 0]) | (norms[..., 0] < 1e-12)
    if bad.any():
        raise SingeridError(
            "an embedding has no direction", where=f"row {int(np.flatnonzero(bad)[0])}",
            found="a zero or non-finite vector", expected="a vector of finite, non-zero length",
            do="the encoder has collapsed or its input is damaged",
        )  # fmt: skip
    unit: FloatArray = (vectors / norms).astype(np.float32)
    return unit


def mean_direction(vectors: npt.NDArray[np.floating]) -> FloatArray:
    """Normalized mean of unit vectors `(n, dim)` → `(dim,)`.

    Of a recording's partials this is the recording's embedding; of a singer's recordings,
    the singer's centroid.
    """
    mean: FloatArray = normalize(np.asarray(vectors, np.float64).mean(axis=0, keepdims=True))[0]
    return mean


def check_same_encoder(a: str, b: str, where: object = None) -> None:
    """Refuse to compare vectors of two encoders.

    Raises:
        MismatchError: the fingerprints differ.
    """
    if a != b:
        raise MismatchError(
            "vectors of two different encoders cannot be compared", where=where,
            found=f"encoders {a} and {b}", do="embed both with the same --encoder",
        )  # fmt: skip


@dataclass(frozen=True)
class EmbeddingSet:
    """Embeddings of recordings (or centroids of singers) of one encoder.

    Attributes:
        ids: name of each row, unique.
        singers: singer of each row.
        vectors: float32 `(n, dim)`, rows of unit length.
        encoder: fingerprint of the encoder that made them.
        seconds: duration behind each row.
        n_partials: number of partials behind each row.
        splits: split of each row, "" where unknown.
        paths: audio file of each row, "" where unknown.
        labels: one column of texts per label, "" where unknown.
        hashes: SHA-256 of each row's file in hex, "" where unknown.
    """

    ids: Sequence[str]
    singers: Sequence[str]
    vectors: FloatArray
    encoder: str
    seconds: Sequence[float] = ()
    n_partials: Sequence[int] = ()
    splits: Sequence[str] = ()
    paths: Sequence[str] = ()
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    hashes: Sequence[str] = ()

    def __post_init__(self) -> None:
        n = len(self.ids)
        defaults = {"seconds": 0.0, "n_partials": 0, "splits": "", "paths": "", "hashes": ""}
        for name, default in defaults.items():
            if n and not len(getattr(self, name)):
                object.__setattr__(self, name, [default] * n)
        names = ("singers", *defaults)
        columns = {name: getattr(self, name) for name in names}
        for name, column in {**columns, **self.labels}.items():
            if len(column) != n:
                raise SingeridError(f"column {name!r} has {len(column)} rows", expected=n)
        if self.vectors.ndim != 2 or len(self.vectors) != n:
            raise SingeridError(
                "vectors do not fit ids", found=self.vectors.shape, expected=(n, "dim")
            )
        lengths = np.linalg.norm(self.vectors, axis=1)
        if n and not np.allclose(lengths, 1, atol=1e-3):  # NaN fails too
            bad = int(np.flatnonzero(~np.isclose(lengths, 1, atol=1e-3))[0])
            raise SingeridError(
                "vector is not of unit length", where=self.ids[bad],
                found=f"length {lengths[bad]:.4g}",
            )  # fmt: skip

    def __len__(self) -> int:
        return len(self.ids)

    def columns(self) -> dict[str, Sequence[str]]:
        """Everything that is known of the rows as texts: singer, split, path, sha256, labels."""
        return {
            "singer": self.singers, "split": self.splits, "path": self.paths,
            "sha256": self.hashes, **self.labels,
        }  # fmt: skip

    def label(self, name: str) -> list[str]:
        """Column of label `name`; also ``singer`` and ``split``.

        Raises:
            SingeridError: there is no such label.
        """
        columns = {"singer": self.singers, "split": self.splits, **self.labels}
        if name not in columns:
            raise SingeridError(
                f"no label {name!r} in the embeddings", expected=" or ".join(sorted(columns))
            )
        return list(columns[name])

    def where(self, conditions: Sequence[str]) -> EmbeddingSet:
        """The rows that satisfy every condition (see `singerid.records.Condition`).

        Raises:
            SingeridError: a condition cannot be read, names an unknown label, or nothing is left.
        """
        keep = np.ones(len(self), bool)
        for test in map(Condition.parse, conditions):
            test.check(["singer", "split", "id", *self.labels])
            column = self.ids if test.label == "id" else self.label(test.label)
            keep &= np.array([test.holds(value) for value in column], bool)
        if not keep.any():
            raise SingeridError("nothing fits", where="--select", found=" ".join(conditions))
        return self.select(keep)

    def select(self, rows: npt.ArrayLike) -> EmbeddingSet:
        """The rows of an index or boolean array, in its order."""
        wanted = np.asarray(rows)
        index = np.arange(len(self))[wanted if wanted.size else wanted.astype(np.int64)]

        def take(column: Sequence[_T]) -> list[_T]:
            return [column[i] for i in index]

        return EmbeddingSet(
            take(self.ids), take(self.singers), self.vectors[index], self.encoder,
            take(self.seconds), take(self.n_partials), take(self.splits), take(self.paths),
            {name: take(column) for name, column in self.labels.items()}, take(self.hashes),
        )  # fmt: skip


def embedding_set(
    recordings: Sequence[Recording], vectors: FloatArray, n_partials: Sequence[int], encoder: str
) -> EmbeddingSet:
    """Vectors with what is known of their recordings."""
    names = sorted({name for recording in recordings for name in recording.labels})
    return EmbeddingSet(
        [r.id for r in recordings], [r.singer for r in recordings], vectors, encoder,
        [r.duration for r in recordings], n_partials, [r.split for r in recordings],
        [one_line(r.path) for r in recordings],
        {name: [r.labels.get(name, "") for r in recordings] for name in names},
        [r.sha256 for r in recordings],
    )  # fmt: skip


def write_embeddings(path: str | os.PathLike[str], embeddings: EmbeddingSet) -> None:
    """Write one row a recording to Parquet, atomically; the fingerprint goes to the metadata."""
    dim = embeddings.vectors.shape[1]
    flat = pa.array(np.ascontiguousarray(embeddings.vectors).reshape(-1), pa.float32())
    columns: dict[str, pa.Array] = {
        "id": pa.array(embeddings.ids, pa.string()),
        "singer": pa.array(embeddings.singers, pa.string()),
        "split": pa.array(embeddings.splits, pa.string()),
        "path": pa.array(embeddings.paths, pa.string()),
        "sha256": pa.array(embeddings.hashes, pa.string()),
        "seconds": pa.array(embeddings.seconds, pa.float64()),
        "n_partials": pa.array(embeddings.n_partials, pa.int64()),
        "embedding": pa.FixedSizeListArray.from_arrays(flat, dim),
    }
    columns |= {name: pa.array(column, pa.string()) for name, column in embeddings.labels.items()}
    write_parquet(path, columns, embeddings.encoder, "embeddings")


def read_embeddings(path: str | os.PathLike[str]) -> EmbeddingSet:
    """Read what `write_embeddings` wrote.

    Raises:
        SingeridError: not such a file.
    """
    table, encoder = read_parquet(path, "embeddings", _COLUMNS)
    texts = {name: texts_of(table[name]) for name in table.column_names if is_text(table[name])}
    labels = {name: column for name, column in texts.items() if name not in (*_COLUMNS, "sha256")}
    columns = {name: table[name].to_pylist() for name in _COLUMNS if name != "embedding"}
    hashes = texts.get("sha256", ())  # files of version 0.1 have none
    return EmbeddingSet(
        columns["id"], columns["singer"], vectors_of(table, path), encoder, columns["seconds"],
        columns["n_partials"], columns["split"], columns["path"], labels, hashes,
    )  # fmt: skip


def write_parquet(
    path: str | os.PathLike[str], columns: Mapping[str, pa.Array], encoder: str, kind: str
) -> None:
    """Write columns; the schema's metadata tell the encoder's fingerprint, kind and checksum."""
    table = pa.table(dict(columns))
    metadata = {
        _ENCODER_KEY: encoder, _KIND_KEY: kind, _FORMAT_KEY: str(FORMATS[kind]),
        _CHECKSUM_KEY: checksum(table, kind.encode(), encoder.encode()),
    }  # fmt: skip
    table = table.replace_schema_metadata(metadata)
    with atomic_write(path, "wb") as file:
        pq.write_table(table, file, write_page_checksum=True)


def read_parquet(
    path: str | os.PathLike[str], kind: str, columns: Mapping[str, Kind]
) -> tuple[pa.Table, str]:
    """Read a Parquet file of ours and check that it is of `kind` and has `columns` of their kinds.

    Returns:
        The table and the encoder's fingerprint.

    Raises:
        SingeridError: missing, damaged, not Parquet, of another kind or a newer format, or without
            a column, or with one of other values.
    """
    try:
        with (
            fetched(path) as local,
            pq.ParquetFile(local, page_checksum_verification=True) as file,
        ):
            table = file.read()
        table.validate(full=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SingeridError(f"cannot read {kind}", where=path, found=error) from error
    metadata = table.schema.metadata or {}
    found = metadata.get(_KIND_KEY, b"unknown").decode("utf-8", "replace")
    if found == kind:
        version = metadata.get(_FORMAT_KEY, b"1")
        is_number = version.isdigit() and len(version) < 10
        check_format(int(version) if is_number else version[:40], kind, path)
    problem = _column_problem(table, columns)
    if found != kind or problem or _ENCODER_KEY not in metadata:
        raise SingeridError(
            f"not a file of {kind}", where=path, found=f"kind {found!r}{problem}",
            do=f"make one: singerid {_maker(kind)}",
        )  # fmt: skip
    if _is_altered(table, kind, metadata):
        raise SingeridError(
            f"{kind}: content does not match its checksum", where=path,
            do=f"make it again: singerid {_maker(kind)}; or, if another program has changed it, "
            f"take {_CHECKSUM_KEY.decode()} out of its schema metadata",
        )  # fmt: skip
    return table, metadata[_ENCODER_KEY].decode("utf-8", "replace")


def _column_problem(table: pa.Table, columns: Mapping[str, Kind]) -> str:
    """What a column lacks; "" if nothing."""
    names = table.column_names
    if len(set(names)) < len(names):
        return f", {next(name for name in names if names.count(name) > 1)!r} twice"
    for name, kind in columns.items():
        if name not in names:
            return f", no column {name!r}"
        if not _IS[kind](table[name]):
            return f", no {kind}s in column {name!r}"
    return ""


def _is_altered(table: pa.Table, kind: str, metadata: Mapping[bytes, bytes]) -> bool:
    """Whether a file has a checksum of something else."""
    if _CHECKSUM_KEY not in metadata:
        return False
    try:
        return checksum(table, kind.encode(), metadata[_ENCODER_KEY]) != metadata[_CHECKSUM_KEY]
    except (pa.ArrowException, ValueError, TypeError):  # of columns that we never write
        return True


def is_text(column: pa.ChunkedArray) -> bool:
    """True for texts, some of which may be missing."""
    return bool(pa.types.is_string(column.type))


def texts_of(column: pa.ChunkedArray) -> list[str]:
    """Of a column of texts; "" where there is none."""
    return [text or "" for text in column.to_pylist()]


def _is_number(column: pa.ChunkedArray) -> bool:
    kind = column.type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind)) and not column.null_count


def _is_vector(column: pa.ChunkedArray) -> bool:
    kind = column.type
    is_list = pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type)
    return bool(is_list) and kind.list_size > 0 and not column.null_count


_IS: dict[Kind, Callable[[pa.ChunkedArray], bool]] = {
    "text": lambda column: is_text(column) and not column.null_count,
    "number": _is_number,
    "vector": _is_vector,
}


def _maker(kind: str) -> str:
    """The command that makes files of a kind."""
    return "embed" if kind == "embeddings" else kind


def vectors_of(table: pa.Table, where: object) -> FloatArray:
    """The embedding column as float32 `(n, dim)`.

    Args:
        table: read by `read_parquet`.
        where: its file.

    Raises:
        SingeridError: a vector is not of unit length.
    """
    column = table["embedding"].combine_chunks()
    vectors = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    matrix: FloatArray = vectors.reshape(len(table), column.type.list_size)
    with np.errstate(over="ignore", invalid="ignore"):  # refused
        lengths = np.linalg.norm(matrix, axis=1)
    if (bad := np.flatnonzero(~(np.abs(lengths - 1) < 2e-3))).size:  # NaN too
        raise SingeridError(
            "a vector is not of unit length", where=where,
            found=f"length {lengths[bad[0]]:.4g} in row {bad[0]}", do="make the file again",
        )  # fmt: skip
    return matrix
