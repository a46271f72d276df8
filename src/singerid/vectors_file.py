"""Vectors that other programs made, from Parquet, NumPy (.npz) or CSV.

| column | Parquet, .npz | CSV |
|---|---|---|
| ``id`` | text | text |
| the vector | ``embedding``: lists of numbers; array `(n, dim)` | ``e0``, ``e1``, … |
| ``singer`` | text; not needed where a manifest is given | text |
| ``split``, ``path``, ``sha256`` | text, optional | text, optional |
| ``seconds`` | number, optional | number, optional |
| any other text | a label | a label |

Vectors are scaled to unit length. What a manifest says of a recording goes before the file's word.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from singerid.embeddings import EmbeddingSet, embedding_set, normalize
from singerid.errors import BatchError, SingeridError
from singerid.records import Recording

FloatArray = npt.NDArray[np.float32]
_MOST_UNPACKED = 1 << 24  # bytes, of a small file
_NOT_LABELS = ("id", "singer", "split", "path", "sha256", "seconds", "n_partials", "embedding")


@dataclass(frozen=True)
class _Table:
    """A file's columns.

    Attributes:
        texts: columns of texts, "" where empty.
        seconds: duration of each row, 0 where unknown.
        vectors: float64 `(n, dim)`, NaN where there is none.
        found: what stands in place of a vector of the usual length, by row.
    """

    texts: Mapping[str, list[str]]
    seconds: Sequence[float]
    vectors: npt.NDArray[np.float64]
    found: Mapping[int, str]


def import_vectors(
    path: str | Path,
    encoder_name: str,
    recordings: Sequence[Recording] | None = None,
    on_warning: Callable[[str], object] = lambda line: None,
) -> tuple[EmbeddingSet, list[SingeridError]]:
    """Read vectors from elsewhere.

    Args:
        path: ``.parquet``, ``.npz`` or ``.csv``; see the module for its columns.
        encoder_name: what made them; part of the fingerprint, which also has a hash of the file,
            as nothing says that two files come from the same encoder.
        recordings: of a manifest: singers, splits and labels are taken from it by id.
        on_warning: called with a line where the manifest has recordings without a vector.

    Returns:
        The set, and an error for each row that is left out: zero or not finite, of another
        length than most, an id that appears twice or that the manifest does not know, a singer
        whom it contradicts.

    Raises:
        BatchError: no row can be used.
        SingeridError: the file cannot be read, or lacks a column.
    """
    path = Path(path)
    table, digest = _read(path)
    _need(path, table.texts, ["id", "singer"] if recordings is None else ["id"])
    ids = table.texts["id"]
    problems = _vector_problems(table)
    if recordings is None:
        by_id = {}
        problems = [p or _singer_problem(table, row) for row, p in enumerate(problems)]
    else:
        by_id = {recording.id: recording for recording in recordings}
        problems = [_manifest_problem(table, row, by_id) or p for row, p in enumerate(problems)]
    _refuse_repeats(ids, problems)
    failures = [
        SingeridError(problem[0], where=f"{path}: row {row} ({ids[row]})", found=problem[1])
        for row, problem in enumerate(problems) if problem
    ]  # fmt: skip
    kept = [row for row, problem in enumerate(problems) if not problem]
    if not kept:
        raise BatchError(f"{path}: none of {len(ids)} vectors can be used", failures)
    if missing := len(by_id.keys() - {ids[row] for row in kept}):
        on_warning(f"{missing} of {len(by_id)} recordings of the manifest have no vector in {path}")
    known = [by_id.get(ids[row]) or _row_as_recording(table, row) for row in kept]
    vectors, encoder = normalize(table.vectors[kept]), f"external:{encoder_name}:{digest}"
    return embedding_set(known, vectors, [1] * len(kept), encoder), failures


def _read(path: Path) -> tuple[_Table, str]:
    """The columns of a file, and a short hash of its bytes."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise SingeridError(
            "is not a file of vectors", where=path, found=path.suffix or "no suffix",
            expected=" or ".join(_READERS),
        )  # fmt: skip
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SingeridError("cannot be read", where=path, found=error.strerror) from error
    return reader(data, path), hashlib.sha256(data).hexdigest()[:12]


_Problem = tuple[str, str | None]


def _row_as_recording(table: _Table, row: int) -> Recording:
    texts = {name: column[row] for name, column in table.texts.items()}
    labels = {name: text for name, text in texts.items() if name not in _NOT_LABELS}
    return Recording(
        texts["id"], texts.get("singer", ""), texts.get("path", ""), table.seconds[row], 1,
        split=texts.get("split", ""), sha256=texts.get("sha256", ""), labels=labels,
    )  # fmt: skip


def _manifest_problem(table: _Table, row: int, known: Mapping[str, Recording]) -> _Problem | None:
    recording = known.get(table.texts["id"][row])
    if recording is None:
        return "id is not in the manifest", None
    singer = table.texts["singer"][row] if "singer" in table.texts else ""
    if singer and singer != recording.singer:
        return f"the manifest names another singer, {recording.singer!r}", repr(singer)
    return None


def _singer_problem(table: _Table, row: int) -> _Problem | None:
    return None if table.texts["singer"][row] else ("singer is empty", None)


def _vector_problems(table: _Table) -> list[_Problem | None]:
    problems: list[_Problem | None] = [None] * len(table.vectors)
    with np.errstate(over="ignore", invalid="ignore"):  # infinite: refused below
        sizes = np.linalg.norm(table.vectors, axis=1)
    for row in np.flatnonzero(sizes < 1e-12).tolist():
        problems[row] = "vector is zero: it has no direction", None
    for row in np.flatnonzero(~np.isfinite(sizes)).tolist():
        problems[row] = "vector holds values that are not finite numbers", None
    for row, found in table.found.items():
        problems[row] = f"is no vector of {table.vectors.shape[1]} dimensions", found
    for row, id in enumerate(table.texts["id"]):
        if not id:
            problems[row] = "id is empty", None
    return problems


def _refuse_repeats(ids: Sequence[str], problems: list[_Problem | None]) -> None:
    """Mark the second and later rows of an id."""
    first: dict[str, int] = {}
    for row, id in enumerate(ids):
        if problems[row] is None and first.setdefault(id, row) != row:
            problems[row] = "id appears twice", f"first in row {first[id]}"


def _need(path: Path, columns: Mapping[str, object], names: Sequence[str]) -> None:
    for name in names:
        if name not in columns:
            raise SingeridError(
                f"has no column {name!r}", where=path, found=", ".join(columns),
                do="give the manifest" if name == "singer" else None,
            )  # fmt: skip


def _read_parquet(data: bytes, path: Path) -> _Table:
    try:
        table = pq.read_table(io.BytesIO(data))
        table.validate(full=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SingeridError("cannot be read as Parquet", where=path, found=error) from error
    columns = {name: table[name] for name in table.column_names}
    _need(path, columns, ["embedding"])
    column = columns["embedding"].combine_chunks()
    if not _is_list_of_numbers(column.type):
        raise SingeridError(
            "column 'embedding' holds no vectors", where=path, found=column.type,
            expected="lists of numbers",
        )  # fmt: skip
    lengths = np.asarray(pa.compute.list_value_length(column).fill_null(0))
    dim = _usual(lengths)
    fits = lengths == dim
    vectors = np.full((len(lengths), dim), np.nan)
    flat = column.filter(pa.array(fits)).flatten().cast(pa.float64())
    vectors[fits] = flat.to_numpy(zero_copy_only=False).reshape(-1, dim)
    texts, seconds = _texts(columns)
    return _Table(texts, seconds, vectors, _other_lengths(lengths, dim))


def _is_list_of_numbers(type: Any) -> bool:
    types = pa.types
    is_list = types.is_list(type) or types.is_large_list(type) or types.is_fixed_size_list(type)
    return bool(is_list) and bool(
        types.is_floating(type.value_type) or types.is_integer(type.value_type)
    )


def _usual(lengths: npt.NDArray[Any]) -> int:
    """The length that most vectors have."""
    counts = Counter(int(n) for n in lengths if n)
    return counts.most_common(1)[0][0] if counts else 0


def _other_lengths(lengths: npt.NDArray[Any], dim: int) -> dict[int, str]:
    wrong = np.flatnonzero((lengths != dim) | (lengths == 0))
    return {int(row): f"{lengths[row]} numbers" for row in wrong}


def _read_csv(data: bytes, path: Path) -> _Table:
    try:
        names = pa.csv.open_csv(io.BytesIO(data)).schema.names
        types = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
        table = pa.csv.read_csv(io.BytesIO(data), convert_options=types)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SingeridError("cannot be read as CSV", where=path, found=error) from error
    columns = {name: table[name] for name in table.column_names}
    dim = 0
    while f"e{dim}" in columns:
        dim += 1
    _need(path, columns, ["e0"])
    vectors = np.column_stack([_numbers(columns.pop(f"e{i}")) for i in range(dim)])
    texts, seconds = _texts(columns)
    return _Table(texts, seconds, vectors, {})


def _numbers(column: Any) -> npt.NDArray[np.float64]:
    """Of a column of texts; NaN where there is none."""
    try:
        numbers: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    except pa.ArrowException:
        numbers = np.array([_number(text) for text in column.to_pylist()])
    return numbers


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _texts(columns: Mapping[str, Any]) -> tuple[dict[str, list[str]], Sequence[float]]:
    """Columns of texts, and the seconds, of a table."""
    texts = {}
    for name, column in columns.items():
        type = column.type
        if pa.types.is_dictionary(type):
            type = type.value_type
        if pa.types.is_string(type) or pa.types.is_large_string(type) or name in ("id", "singer"):
            texts[name] = ["" if value is None else str(value) for value in column.to_pylist()]
    n = len(next(iter(columns.values()))) if columns else 0
    given = [0.0] * n
    if "seconds" in columns:
        values = columns["seconds"].to_pylist()
        given = [_number(str(value or 0)) for value in values]
    return texts, given


def _read_npz(data: bytes, path: Path) -> _Table:
    try:
        _check_unpacked(data)
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: file[name] for name in file.files}
        if strange := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
            raise ValueError(f"{strange[0]!r}, which is no array")
    except Exception as error:  # of damaged files, and of one array alone, of many kinds
        raise SingeridError(
            "cannot be read as .npz", where=path, found=str(error) or type(error).__name__
        ) from error
    _need(path, arrays, ["id", "embedding"])
    vectors = arrays.pop("embedding")
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or len(vectors) != arrays["id"].size:
        raise SingeridError(
            "array 'embedding' does not fit the ids", where=path,
            found=f"{vectors.dtype} {vectors.shape}", expected=f"({arrays['id'].size}, dim)",
        )  # fmt: skip
    own = {name: array for name, array in arrays.items() if array.shape == (len(vectors),)}
    columns = {name: pa.chunked_array([array.tolist()]) for name, array in own.items()}
    texts, seconds = _texts(columns)
    return _Table(texts, seconds, vectors.astype(np.float64), {})


def _check_unpacked(data: bytes) -> None:
    """Refuse a small file that unpacks to a huge one.

    Raises:
        ValueError: it does.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        n_bytes = sum(member.file_size for member in archive.infolist())
    if n_bytes > max(_MOST_UNPACKED, 100 * len(data)):
        raise ValueError(f"{len(data):,} bytes that unpack to {n_bytes:,}")


_READERS: dict[str, Callable[[bytes, Path], _Table]] = {
    ".parquet": _read_parquet, ".npz": _read_npz, ".csv": _read_csv,
}  # fmt: skip
