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
from itertools import repeat
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt

LARGE = 1 << 22  # bytes; below, line by line is as fast as loading Arrow
_MAX_NESTED = 100  # names in an object within a line; each is a column
_SUM = b"singerid.lines"  # what a copy says of the file that it is a copy of
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


class Columns(Mapping[str, Sequence[Any]]):
    """Columns of Arrow by name; one is made Python objects when it is first asked for."""

    def __init__(self, columns: Mapping[str, Any]) -> None:
        """Take columns, or chunks of them."""
        self._columns = dict(columns)

    def __getitem__(self, name: str) -> Sequence[Any]:
        column = self._columns[name]
        if not isinstance(column, list):
            column = self._columns[name] = _objects(column)
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def take(self, rows: npt.NDArray[np.int64]) -> Columns:
        """The columns of some rows."""
        return Columns({
            name: [column[row] for row in rows.tolist()] if isinstance(column, list)
            else column.take(rows)
            for name, column in self._columns.items()
        })  # fmt: skip


def read_columns(
    data: bytes,
    types: Mapping[str, str],
    nested: str | None = None,
    *,
    defaults: Mapping[str, object] | None = None,
    copy: Path | None = None,
) -> tuple[Columns, Columns] | None:
    """Columns of a file of JSON lines.

    Args:
        data: the file.
        types: Arrow type of each field, by name: ``string``, ``int64`` or ``double``.
        nested: a field that is an object of texts.
        defaults: what fields are that a line has not got; without a default, it must have them.
        copy: what `write_copy` made of the file; used if its checksum is that of `data`.

    Returns:
        The fields by name, and those of `nested` by name, None where a line has not got it; or
        None if the file is not plain: damaged, or with blank lines, other fields or nulls.
    """
    table = _copied(copy, data) if copy and copy.exists() else None
    if table is None:
        table = _parsed(data, types, nested)
    if table is None or set(table.column_names) != {*types, *([nested] if nested else [])}:
        return None
    defaults, inner = defaults or {}, {}
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
    return Columns(columns), Columns(inner)


def copy_of(path: Path) -> Path:
    """Where the copy of a file lies, if it has one."""
    return path.with_name(f"{path.name}.arrow")


def write_copy(
    file: IO[bytes], data: bytes, types: Mapping[str, str], nested: str | None = None
) -> bool:
    """Write the columns of JSON lines as an Arrow file, which is read ten times as fast.

    Returns:
        False if the lines are not plain: then nothing is written.
    """
    import pyarrow as pa

    table = _parsed(data, types, nested)
    if table is None:
        return False
    table = table.combine_chunks().replace_schema_metadata({_SUM: _sum(data)})
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return True


def _copied(copy: Path, data: bytes) -> Any:
    """The table of a copy; None if it is not one of this very file."""
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.memory_map(str(copy))).read_all()
        if (table.schema.metadata or {}).get(_SUM) != _sum(data):
            return None
        table.validate(full=True)
    except (OSError, ValueError, pa.ArrowException):
        return None
    return table


def _sum(data: bytes) -> bytes:
    return b"%d bytes, crc32 %d" % (len(data), zlib.crc32(data))


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
