"""Files of vectors and what belongs to them made bad: Parquet, .npz, CSV, calibrations."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fuzz_stores import GOLDEN
from fuzz_targets import Subject, Trap, used
from fuzz_texts import DEEP, DIGITS, NASTY, zip_bomb

_TYPES: list[Any] = [
    pa.null(),
    pa.bool_(),
    pa.int64(),
    pa.float64(),
    pa.binary(),
    pa.large_string(),
    pa.list_(pa.float32()),
    pa.list_(pa.string()),
    pa.list_(pa.float32(), 3),
    pa.list_(pa.float64(), 8),
    pa.struct([("a", pa.int64())]),
    pa.date32(),
    pa.dictionary(pa.int32(), pa.string()),
    pa.list_(pa.float32(), 0),
    pa.decimal128(5, 2),
]


def embeddings(folder: Path) -> Subject:
    from singerid.embeddings import read_embeddings
    from singerid.table import build_table

    def read(path: Path) -> None:
        found = read_embeddings(path)
        with used(path):
            build_table(found.where(["singer!=x"]))

    return _parquet("embeddings", read)


def table(folder: Path) -> Subject:
    from singerid.table import read_table

    def read(path: Path) -> None:
        found = read_table(path)
        if len(found):
            found.identify(found.centroids[0], found.encoder)
            found.verify(found.centroids[0], found.singers[0], found.encoder)
            found.candidates(found.centroids[0], found.encoder)

    return _parquet("table", read)


def _parquet(name: str, read: Callable[[Path], object]) -> Subject:
    good = (GOLDEN / name / f"{name}.parquet").read_bytes()
    found = pq.read_table(io.BytesIO(good))
    facts = {key: text for key, text in found.schema.metadata.items() if b"crc" not in key}
    found = found.replace_schema_metadata(facts)  # a checksum would find all of this
    tables = []
    for column in found.column_names:
        place = found.column_names.index(column)
        tables.append(found.drop_columns([column]))
        for kind in _TYPES:
            empty = pa.nulls(len(found), kind)
            tables.append(found.set_column(place, column, empty))
        one = found[column].to_pylist()
        one[0] = None
        tables.append(found.set_column(place, column, pa.array(one, found[column].type)))
        tables.append(found.append_column(column, found[column]))
        if pa.types.is_string(found[column].type):
            for text in NASTY:
                one[0] = text.encode("utf-8", "replace").decode()
                tables.append(found.set_column(place, column, pa.array(one)))
    tables += [found.slice(0, 0), pa.table({}), found.replace_schema_metadata({}), *_vectors(found)]
    tables += [pa.concat_tables([found] * 2000), _metadata(found, b"singerid.format", DIGITS)]
    tables += [_metadata(found, key, b"\xff" * 9) for key in found.schema.metadata]
    traps = [(f"bad.{name}", _bytes(one), False) for one in tables if one is not None]
    return Subject([(f"bad.{name}", good)], read, [b"PAR1", b"singerid."], traps, every_byte=True)


def _vectors(found: pa.Table) -> list[pa.Table]:
    """Vectors that are no unit vectors, or of a declared size that is not there."""
    place, n = found.column_names.index("embedding"), len(found)
    arrays = []
    for value in (np.nan, np.inf, 0.0, 1e30):
        flat = np.full(n * 8, value, np.float32)
        arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(flat), 8))
    arrays.append(pa.nulls(n, pa.list_(pa.float32(), 8)))
    arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(["x"] * n), 1))
    holes = pa.array([None] * (n * 8), pa.float32())
    arrays.append(pa.FixedSizeListArray.from_arrays(holes, 8))
    return [found.set_column(place, "embedding", array) for array in arrays]


def _metadata(found: pa.Table, key: bytes, value: bytes) -> pa.Table:
    return found.replace_schema_metadata({**found.schema.metadata, key: value})


def _bytes(found: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(found, file)
    return file.getvalue()


def vectors(folder: Path) -> Subject:
    """Of other programs; an .npz file is a zip file, and may hold pickled objects."""
    from singerid.vectors_file import import_vectors

    ids, embedding = np.array(["a", "b"]), np.eye(2, 4)
    good = {"id": ids, "singer": np.array(["x", "y"]), "embedding": embedding}
    csv = b"id,singer,e0,e1,song\na,x,0.5,1\xc3\xa9,s\nb,y,1,2,t\n".replace(b"\xc3\xa9", b"")
    file = io.BytesIO()
    pq.write_table(
        pa.table({"id": ids, "singer": ["x", "y"], "embedding": embedding.tolist()}), file
    )
    evil = {"id": np.array([Canary(folder), "b"], object), "embedding": embedding}
    traps: list[Trap] = [("bad.npz", _npz(evil), True), ("bad.npz", zip_bomb(), True)]
    for name in good:
        odd: list[Any] = [
            None,
            0,
            [],
            [[]],
            ["x"],
            np.zeros((2, 4), "M8[s]"),
            np.zeros((0, 4)),
            np.full((2, 4), np.nan),
            np.zeros((2, 4), complex),
            np.zeros((2, 4, 2)),
            np.array([b"\xff", b"b"]),
            np.zeros(2, [("a", int)]),
            np.full((2, 4), 1e300),
        ]
        traps += [
            ("bad.npz", _npz(good | {name: np.asarray(value)}), False)
            for value in odd
            if value is not None
        ]
        traps += [("bad.npz", _npz({k: v for k, v in good.items() if k != name}), True)] * (
            name != "singer"
        )
        traps.append(("bad.npz", _huge_array(good, name), True))
    traps += [
        ("bad.npz", _traversal(good), False),
        ("bad.npz", np.random.default_rng(0).bytes(99), True),
    ]
    for text in (text.encode("utf-8", "surrogatepass") for text in NASTY):
        traps.append(("bad.csv", b"id,singer,e0\n" + text + b"," + text + b",1\n", False))
        traps.append(("bad.csv", b"id,singer,e0," + text + b"\na,b,1,c\n", False))
    traps += [
        ("bad.csv", b"id,singer,e0\n" + b"a,b," + DIGITS + b"\n", False),
        ("bad.csv", b"\xff\n", True),
    ]
    traps += [
        (
            "bad.csv",
            b"id,singer,"
            + b",".join(b"e%d" % i for i in range(5000))
            + b"\n"
            + b"1," * 5001
            + b"1",
            False,
        )
    ]
    seeds = [("bad.npz", _npz(good)), ("bad.csv", csv), ("bad.parquet", file.getvalue())]
    return Subject(
        seeds, lambda path: import_vectors(path, "x"), [b"PK\x03\x04", b"\x93NUMPY", b"e0"], traps
    )


class Canary:
    """An object that makes a file when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "unpickled"

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (f"touch {self.file}",)


def _npz(arrays: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _huge_array(good: dict[str, Any], name: str) -> bytes:
    """An array that says it has 10¹² rows."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for key, array in good.items():
            one = io.BytesIO()
            np.save(one, array)
            data = one.getvalue()
            if key == name:
                data = data.replace(b"(2,", b"(1000000000000,", 1).replace(b" " * 12, b"", 1)
            archive.writestr(f"{key}.npy", data)
    return file.getvalue()


def _traversal(good: dict[str, Any]) -> bytes:
    return _npz({**good, "../../../tmp/x": good["id"], "/etc/x": good["id"]})


def calibration(folder: Path) -> Subject:
    from singerid.scoring.calibration_file import read_calibration

    good = (GOLDEN / "calibration" / "calibration.safetensors").read_bytes()
    key = "singerid.scoring.calibration"
    rows = np.eye(2, 8, dtype=np.float32)

    def read(path: Path) -> None:
        found = read_calibration(path)
        with used(path):
            scores = found.scorer.trials(rows, np.array([0]), np.array([1]))
            found.llr(scores, np.array([3.0]))
            found.threshold(0.01)

    header, rest = split(good)
    fields = json.loads(header["__metadata__"][key])
    values: list[object] = [
        None,
        [],
        {},
        -1,
        2**70,
        "x",
        1e308,
        [1],
        [[1]],
        True,
        float("nan"),
        NASTY[8],
    ]
    texts = [json.dumps(fields | {name: value}) for name in fields for value in values]
    lines = [fields["overall"] | {name: value} for name in fields["overall"] for value in values]
    texts += [json.dumps(fields | {"overall": line}) for line in lines]
    texts += [json.dumps(fields | {"classes": [line, line]}) for line in lines]
    texts += [DEEP.decode(), DIGITS.decode(), "null", "[]", ""]
    traps = [
        ("bad.safetensors", joined(header | {"__metadata__": {key: text}}, rest), False)
        for text in texts
    ]
    traps += [("bad.safetensors", data, False) for data in safetensors_traps(good)]
    return Subject(
        [("bad.safetensors", good)],
        read,
        [b'"dtype"', b'"F64"', b'"shape"'],
        traps,
        every_byte=True,
    )


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and arrays of a safetensors file."""
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def joined(header: dict[str, Any] | bytes, rest: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + rest


def safetensors_traps(good: bytes) -> list[bytes]:
    """Lies about lengths, shapes, places and types; deep and repeated headers."""
    header, rest = split(good)
    tensors = [name for name in header if name != "__metadata__"]
    files = [
        len(good).to_bytes(8, "little") + good[8:],
        b"\xff" * 8 + good[8:],
        bytes(8) + good[8:],
    ]
    files += [
        joined(DEEP, rest),
        joined(b"{" * 1000, rest),
        joined(b"[]", rest),
        joined(b"null", rest),
    ]
    files += [
        joined(header, b""),
        joined(header, rest * 2),
        joined({"__metadata__": header.get("__metadata__")}, b""),
    ]
    for name in tensors[:3]:
        one = header[name]
        changes: list[dict[str, Any]] = [
            {"shape": [10**12]},
            {"shape": [2**63, 2]},
            {"shape": [-1]},
            {"shape": []},
            {"shape": [0]},
            {"data_offsets": [0, 10**15]},
            {"data_offsets": [10, 0]},
            {"data_offsets": [-1, 4]},
            {"dtype": "F8_E5M2"},
            {"dtype": "I64"},
            {"dtype": "BOOL"},
            {"dtype": "x"},
            {"shape": [2**32, 2**32]},
            {"dtype": "F16"},
            {"dtype": "BF16"},
            {"shape": [1] * 200 + one["shape"]},
            {"shape": one["shape"][::-1]},
            {"dtype": "C64"},
            {"dtype": "F4"},
        ]
        for change in changes:
            files.append(joined(header | {name: one | change}, rest))
        files.append(joined(header | {"../../x": one}, rest))
        files.append(joined({k: v for k, v in header.items() if k != name}, rest))
    return files
