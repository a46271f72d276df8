"""A checksum of the values in a table, however they are stored.

A Parquet file has checksums of its pages, but none of the names, types and headers around them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def checksum(table: pa.Table, *facts: bytes) -> bytes:
    """CRC-32 of names, types and values of columns, in eight hexadecimal digits.

    Args:
        table: columns of texts, numbers and fixed-size lists of numbers.
        facts: what else belongs to it.
    """
    total = 0
    for fact in facts:
        total = zlib.crc32(b"%d %b" % (len(fact), fact), total)
    for name, column in zip(table.column_names, table.columns, strict=True):
        head = f"{len(name)} {name} {_kind(column.type)} {len(column)} {column.null_count}"
        total = zlib.crc32(head.encode(), total)
        for part in _parts(column):
            total = zlib.crc32(part, total)
    return b"%08x" % total


def _kind(type: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(type):  # whose items have another name once they were written
        return f"{type.list_size} {type.value_type}"
    return str(type)


def _parts(column: pa.ChunkedArray) -> Iterator[Any]:
    """All that makes out the values, the same wherever a column is divided into chunks."""
    if column.null_count:
        yield column.is_null().to_numpy()
    if _is_text(column):
        yield pc.binary_length(column).fill_null(0).to_numpy()
    for chunk in column.chunks:
        if _is_text(chunk):
            yield _text(chunk)
        else:
            values = chunk.flatten() if pa.types.is_fixed_size_list(chunk.type) else chunk
            values = values.fill_null(0) if values.null_count else values
            yield np.ascontiguousarray(values.to_numpy(zero_copy_only=False))


def _is_text(column: pa.Array | pa.ChunkedArray) -> bool:
    return bool(pa.types.is_string(column.type))


def _text(chunk: pa.Array) -> memoryview:
    """The bytes of all texts, one behind the other."""
    chunk = chunk.fill_null("") if chunk.null_count else chunk
    _, ends, data = chunk.buffers()
    if data is None or not len(chunk):
        return memoryview(b"")
    ends = np.frombuffer(ends, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
    return memoryview(data)[ends[0] : ends[-1]]
