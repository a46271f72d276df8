import gc
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from singerid import json_lines
from singerid.json_lines import (
    FileSum,
    build,
    copy_of,
    no_collection,
    read_columns,
    read_large,
    write_copy,
)

TYPES = {"id": "string", "n": "int64", "x": "double"}


def lines(*objects: object) -> bytes:
    return b"".join(json.dumps(o).encode() + b"\n" for o in objects)


def test_columns_are_those_of_the_lines():
    data = lines({"id": "ä", "n": 1, "x": 2.5}, {"id": "b", "x": 3, "n": -4}, {"id": "c"})
    none = {"n": None, "x": None}
    assert read_columns(data, TYPES, defaults=none) == (
        {"id": ["ä", "b", "c"], "n": [1, -4, None], "x": [2.5, 3.0, None]},
        {},
    )
    found = read_columns(data, TYPES, defaults={"n": 7, "x": 0.5})
    assert found == ({"id": ["ä", "b", "c"], "n": [1, -4, 7], "x": [2.5, 3.0, 0.5]}, {})
    assert read_columns(data, TYPES, defaults={"n": 7}) is None  # the last has no x
    rows = found[0].take(np.array([2, 0]))
    assert rows == {"id": ["c", "ä"], "n": [7, 1], "x": [0.5, 2.5]}


def test_an_object_of_texts_is_read_with_what_is_missing():
    data = lines({"id": "a", "of": {"day": "2020-01-01"}}, {"id": "b", "of": {"song": "x"}})
    assert read_columns(data, {"id": "string"}, "of") == (
        {"id": ["a", "b"]},
        {"day": ["2020-01-01", None], "song": [None, "x"]},
    )


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b'{"id": "a"}', b'{"id": "a"}\r\n', b'{"id": "a"}\n\n{"id": "b"}\n',
        b'{"id": "a"}{"id": "b"}\n', b'{"id": "a"\n}\n', b'{"id":\n"a"}\n{"id": "a"}{"id": "b"}\n',
        b'{"id": "a", "id": "b"}\n', b'{"id": null}\n', b'{"id": 1}\n', b'{"n": 1.5}\n',
        b'{"n": true}\n', b'{"n": "1"}\n', b'{"x": "1"}\n', b'{"x": NaN}\n', b'{"n": 1e400}\n',
        b'{"n": 99999999999999999999}\n', b'{"id": "a", "else": 1}\n', b'{"id": "a" "n": 1}\n',
        b'{"id": "\xff"}\n', b'{"id": "\\udc80"}\n', b'\xef\xbb\xbf{"id": "a"}\n', b'["a"]\n',
        b'{"id": "a"},\n{"id": "b"}\n', b'{"id": "a\tb"}\n', b"{'id': 'a'}\n",
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_the_caller(data: bytes):
    assert read_columns(data, TYPES, defaults=dict.fromkeys(TYPES)) is None


@pytest.mark.parametrize("value", ["1", '{"a": 1}', '{"a": ["b"]}', '{"a": {"b": "c"}}', "[]"])
def test_an_object_of_other_than_texts_is_not_plain(value: str):
    data = b'{"id": "a", "of": {"a": "b"}}\n{"id": "b", "of": %s}\n' % value.encode()
    assert read_columns(data, {"id": "string"}, "of") is None


def test_recurring_texts_are_one_object():
    data = lines(*({"id": f"voice {i % 2}"} for i in range(6)))
    found = read_columns(data, {"id": "string"})
    assert found
    assert len({id(text) for text in found[0]["id"]}) == 2


def test_built_objects_equal_those_that_were_constructed():
    @dataclass(frozen=True, slots=True)
    class Pair:
        a: str
        b: int

    assert build(Pair, {"a": ["x", "y"], "b": [1, 2]}) == [Pair("x", 1), Pair("y", 2)]


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a copy; whoever parses its lines fails."""
    file = tmp_path / "of.jsonl"
    file.write_bytes(lines({"id": "a", "n": 1, "x": 0.5}))
    with copy_of(file).open("wb") as out:
        assert write_copy(out, file.read_bytes(), TYPES)
    monkeypatch.setattr(json_lines, "_parsed", lambda *a: pytest.fail("parsed the lines"))
    return file


def test_the_copy_is_what_is_read(copied: Path):
    expected = {"id": ["a"], "n": [1], "x": [0.5]}, {}
    assert read_large(copied, TYPES) == expected
    assert read_large(copied, TYPES, sum=FileSum.of(copied)) == expected
    assert read_large(copied, {"id": "string"}) is None  # it has other fields


def test_a_copy_counts_for_the_very_bytes_it_was_made_of(copied: Path):
    copied.write_bytes(lines({"id": "b", "n": 1, "x": 0.5}))
    with pytest.raises(pytest.fail.Exception, match="parsed the lines"):
        read_large(copied, TYPES)


def test_a_damaged_copy_is_not_read(copied: Path):
    whole = copy_of(copied).read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        copy_of(copied).write_bytes(damaged)
        with pytest.raises(pytest.fail.Exception, match="parsed the lines"):
            read_large(copied, TYPES)
    for length in (0, 1, 63, 64, len(whole) - 1):
        copy_of(copied).write_bytes(whole[:length])
        with pytest.raises(pytest.fail.Exception, match="parsed the lines"):
            read_large(copied, TYPES)


def test_sums_are_those_of_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(json_lines, "_BLOCK", 7)
    data = bytes(range(100))
    (tmp_path / "f").write_bytes(data)
    assert FileSum.of(tmp_path / "f") == FileSum(100, zlib.crc32(data))


def test_bounds_and_distinct_values():
    found = read_columns(
        lines({"id": "äb", "n": 3}, {"id": "", "n": -5}, {"id": "äb"}), TYPES,
        defaults={"n": 1, "x": 0.5},
    )  # fmt: skip
    assert found
    columns, _ = found
    assert columns.bounds("id") == (0, 3)  # bytes
    assert columns.bounds("n") == (-5, 3)
    assert columns.bounds("x") == (0.5, 0.5)
    assert columns.distinct("id") == {"", "äb"}


def test_garbage_is_collected_again_afterwards():
    with no_collection():
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.parametrize("text", ["[" * 100_000, b'{"a":' * 100_000, "9" * 5000, b"\xff", ""])
def test_what_python_cannot_parse_is_a_value_error(text: str | bytes):
    with pytest.raises(ValueError, match=r"."):
        json_lines.parse(text)
    assert json_lines.parse(b'{"a": [1]}') == {"a": [1]}
