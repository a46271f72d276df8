"""Large files of JSON lines, read by Arrow column by column, and objects made of columns.

Only what is plain beyond doubt is read so: one object a line, of the wanted types, nothing null.
Columns become Python objects when they are asked for: of a million lines, each takes a while.
Of anything else nothing is said but that it is not: the caller reads it line by line, and names
the line that is wrong.
"""

from __future__ import annotations

import gc
import json
import re
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt

LARGE = 1 << 22  # bytes; below, line by line is as fast as loading Arrow
_MAX_NESTED = 100  # names in an object within a line; each is a column
_HEAD = 64  # bytes in front of the columns of a copy: Arrow wants them to lie so far apart
_BLOCK = 1 << 20
_LOOKED_AT = 10_000  # texts, whether they recur

T = TypeVar("T")


def parse(text: str | bytes) -> Any:
    """What a text of JSON says.

    Raises:
        ValueError: it is not JSON, or is nested so deeply that Python cannot read it.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


@dataclass(frozen=True, slots=True)
class FileSum:
    """What tells a file from others: its size in bytes, and their checksum."""

    size: int
    crc32: int

    @classmethod
    def of(cls, file: Path) -> FileSum:
        """Of a file, which is read once, and not kept."""
        size = crc32 = 0
        with file.open("rb") as opened:
            while block := opened.read(_BLOCK):
                size, crc32 = size + len(block), zlib.crc32(block, crc32)
        return cls(size, crc32)


class Columns(Mapping[str, Sequence[Any]]):
    """Columns of Arrow by name; one is made Python objects when it is first asked for.

    Attributes:
        facts: what else the copy says that they were read from.
    """

    def __init__(
        self, columns: Mapping[str, Any], facts: Mapping[bytes, bytes] | None = None
    ) -> None:
        """Take columns, or chunks of them."""
        self._arrow = columns
        self.facts = {name.decode(): fact.decode() for name, fact in (facts or {}).items()}
        self._lists: dict[str, list[Any]] = {}

    def __getitem__(self, name: str) -> Sequence[Any]:
        if name not in self._lists:
            self._lists[name] = _objects(self._arrow[name])
        return self._lists[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrow)

    def __len__(self) -> int:
        return len(self._arrow)

    def take(self, rows: npt.NDArray[np.int64]) -> Columns:
        """The columns of some rows."""
        return Columns({name: column.take(rows) for name, column in self._arrow.items()})

    def bounds(self, name: str) -> tuple[Any, Any]:
        """The least and the largest number in a column; of texts, the least and largest length."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self._arrow[name]
        found = pc.min_max(pc.binary_length(column) if pa.types.is_string(column.type) else column)
        return found["min"].as_py(), found["max"].as_py()

    def distinct(self, name: str) -> set[Any]:
        """The values of a column, each once."""
        return set(self._arrow[name].unique().to_pylist())


def read_columns(
    data: bytes,
    types: Mapping[str, str],
    nested: str | None = None,
    defaults: Mapping[str, object] | None = None,
) -> tuple[Columns, Columns] | None:
    """Columns of a file of JSON lines.

    Args:
        data: the file.
        types: Arrow type of each field, by name: ``string``, ``int64`` or ``double``.
        nested: a field that is an object of texts.
        defaults: what fields are that a line has not got; without a default, it must have them.

    Returns:
        The fields by name, and those of `nested` by name, None where a line has not got it; or
        None if the file is not plain: damaged, or with blank lines, other fields or nulls.
    """
    return _columns(_parsed(data, types, nested), types, nested, defaults or {})


def read_large(
    file: Path,
    types: Mapping[str, str],
    nested: str | None = None,
    defaults: Mapping[str, object] | None = None,
    sum: FileSum | None = None,
) -> tuple[Columns, Columns] | None:
    """As `read_columns`, of the copy of a file where there is one of just these bytes."""
    table = _copied(copy_of(file), sum or FileSum.of(file)) if copy_of(file).exists() else None
    if table is None:
        return read_columns(file.read_bytes(), types, nested, defaults)
    return _columns(table, types, nested, defaults or {})


def _columns(
    table: Any, types: Mapping[str, str], nested: str | None, defaults: Mapping[str, object]
) -> tuple[Columns, Columns] | None:
    if table is None or set(table.column_names) != {*types, *([nested] if nested else [])}:
        return None
    inner = {}
    if any(table[name].null_count for name in types.keys() - defaults.keys()):
        return None
    if nested:
        column = table[nested].combine_chunks()
        fields = column.type
        if column.null_count or fields.num_fields > _MAX_NESTED or not _all_texts(fields):
            return None
        inner = {fields[i].name: column.field(i) for i in range(fields.num_fields)}
    columns = {name: table[name] for name in types}
    for name, value in defaults.items():
        if value is not None:
            columns[name] = columns[name].fill_null(value)
    return Columns(columns, table.schema.metadata), Columns(inner)


def copy_of(path: Path) -> Path:
    """Where the copy of a file lies, if it has one."""
    return path.with_name(f"{path.name}.arrow")


def write_copy(
    file: IO[bytes],
    data: bytes,
    types: Mapping[str, str],
    nested: str | None = None,
    facts: Mapping[str, str] | None = None,
) -> bool:
    """Write the columns of JSON lines as an Arrow file, which is read ten times as fast.

    In front of it stand the sums of the lines and of all that follows.

    Args:
        file: open for writing.
        data: the lines.
        types: see `read_columns`.
        nested: see `read_columns`.
        facts: what else shall be known of them, see `Columns`.

    Returns:
        False if the lines are not plain: then nothing is written.
    """
    import pyarrow as pa

    table = _parsed(data, types, nested)
    if table is None:
        return False
    table = table.combine_chunks().replace_schema_metadata(facts or {})
    stream = pa.BufferOutputStream()
    with pa.ipc.new_file(stream, table.schema) as writer:
        writer.write_table(table)
    content = stream.getvalue()
    file.write(_head(FileSum(len(data), zlib.crc32(data)), content))
    file.write(content)
    return True


def _head(lines: FileSum, content: Any) -> bytes:
    """The first bytes of a copy."""
    head = b"lines %d %08x, columns %08x" % (lines.size, lines.crc32, zlib.crc32(content))
    return head.ljust(_HEAD - 1) + b"\n"


def _copied(copy: Path, lines: FileSum) -> Any:
    """The table of a copy; None if it is damaged, or not one of this very file."""
    import pyarrow as pa

    try:
        data = pa.memory_map(str(copy)).read_buffer()
        content = data.slice(_HEAD)
        if data[:_HEAD] != _head(lines, content):
            return None
        return pa.ipc.open_file(pa.BufferReader(content)).read_all()
    except (OSError, ValueError, pa.ArrowException):
        return None


def _parsed(data: bytes, types: Mapping[str, str], nested: str | None) -> Any:
    """The table of plain JSON lines, or None."""
    import pyarrow as pa
    import pyarrow.json

    n_lines = data.count(b"\n")
    is_plain = (
        data.startswith(b"{") and data.endswith(b"}\n") and not _has_null(data)
        and data.count(b"}\n") == n_lines == data.count(b"\n{") + 1
    )  # fmt: skip
    if not is_plain:
        return None
    schema = [pa.field(name, pa.type_for_alias(kind)) for name, kind in types.items()]
    if nested:
        schema.append(pa.field(nested, pa.struct(_texts(data, nested))))
    options = pa.json.ParseOptions(explicit_schema=pa.schema(schema))
    try:
        table = pa.json.read_json(pa.BufferReader(data), parse_options=options)
        table.validate(full=True)
    except (pa.ArrowException, ValueError):
        return None
    numbers = [table[name].drop_null() for name, kind in types.items() if kind == "double"]
    is_finite = all(np.isfinite(column.to_numpy()).all() for column in numbers)  # JSON has no NaN
    return table if len(table) == n_lines and is_finite else None


def _has_null(data: bytes) -> bool:
    """True if a value is null, or a text says so."""
    return b"null" in data and re.search(rb":\s*null", data) is not None


def _texts(data: bytes, nested: str) -> list[tuple[str, Any]]:
    """The names in the first line's object, as texts: Arrow takes dates for times, unless told."""
    import pyarrow as pa

    try:
        first = parse(data[: data.index(b"\n")])
    except ValueError:
        return []
    names = first.get(nested)
    return [(name, pa.string()) for name in names] if isinstance(names, dict) else []


def _all_texts(fields: Any) -> bool:
    import pyarrow as pa

    return all(pa.types.is_string(fields[i].type) for i in range(fields.num_fields))


def _objects(column: Any) -> list[Any]:
    """A column as Python objects; texts that recur are one object."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not pa.types.is_string(column.type):
        values: list[Any] = column.to_pylist() if column.null_count else column.to_numpy().tolist()
        return values
    some = column.slice(0, _LOOKED_AT)
    if len(some.unique()) > len(some) // 2:
        values = column.to_pylist()
        return values
    encoded = column.dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(len(texts)).to_numpy().tolist()
    return list(map([*texts, None].__getitem__, codes))


def build(kind: type[T], columns: Mapping[str, Sequence[Any]]) -> list[T]:
    """Objects of a dataclass with slots, of columns: ten times as fast as one by one.

    Args:
        kind: the dataclass; its `__init__` does nothing but set the fields.
        columns: all its fields by name, of equal length.
    """
    n = len(next(iter(columns.values())))
    objects = list(map(object.__new__, repeat(kind, n)))
    for name, column in columns.items():
        deque(map(getattr(kind, name).__set__, objects, column), maxlen=0)
    return objects


def mappings(columns: Mapping[str, Sequence[str | None]], n: int) -> list[Mapping[str, str]]:
    """One mapping a row, without the names that a row has not got; equal rows share one."""
    rows = list(zip(*columns.values(), strict=True)) if columns else [()] * n
    of_row: dict[tuple[str | None, ...], Mapping[str, str]] = {
        row: {name: text for name, text in zip(columns, row, strict=True) if text is not None}
        for row in set(rows)
    }
    return list(map(of_row.__getitem__, rows))


@contextmanager
def no_collection() -> Iterator[None]:
    """While millions of objects are made that all stay, no search for any that may go.

    Python looks through all objects again and again while they become more; of a million
    recordings, that is two thirds of the time that it takes to read them.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
