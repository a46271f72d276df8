import gc
import json
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest

from singerid import json_lines, records, store
from singerid.errors import ManifestError
from singerid.json_lines import build, copy_of, no_collection, read_columns, write_copy
from singerid.records import Recording, read_recordings, write_recordings
from singerid.spec import FeatureSpec

TYPES = {"id": "string", "n": "int64", "x": "double"}
ROWS = [
    Recording(
        f"r{i}", f"s{i // 3}", f"a/{i}.wav" if i % 2 else f"/b/{i}.wav", i / 4, 8000 + i,
        labels={"day": "2020-01-01"} if i % 3 else {"song": f"Lied {i}", "day": ""},
    )
    for i in range(12)
]  # fmt: skip


def lines(*objects: object) -> bytes:
    return b"".join(json.dumps(o).encode() + b"\n" for o in objects)


def test_columns_are_those_of_the_lines():
    data = lines({"id": "ä", "n": 1, "x": 2.5}, {"id": "b", "x": 3, "n": -4}, {"id": "c"})
    assert read_columns(data, TYPES) == (
        {"id": ["ä", "b", "c"], "n": [1, -4, None], "x": [2.5, 3.0, None]},
        {},
    )


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
    assert read_columns(data, TYPES) is None


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


def test_a_copy_counts_for_the_very_bytes_it_was_made_of(tmp_path: Path):
    data, file = lines({"id": "a", "n": 1, "x": 0.5}), tmp_path / "of.jsonl"
    copy = copy_of(file)
    with copy.open("wb") as out:
        assert write_copy(out, data, TYPES)
    # Found by the checksum alone, whatever the lines are: so it is the copy that was read.
    forged = read_columns(data, TYPES, copy=copy)
    assert forged == ({"id": ["a"], "n": [1], "x": [0.5]}, {})
    other = lines({"id": "b", "n": 1, "x": 0.5})
    assert read_columns(other, TYPES, copy=copy) == ({"id": ["b"], "n": [1], "x": [0.5]}, {})
    copy.write_bytes(copy.read_bytes()[:100])
    assert read_columns(data, TYPES, copy=copy) == forged


def test_the_copy_is_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data, copy = lines({"id": "a"}), tmp_path / "copy"
    with copy.open("wb") as out:
        write_copy(out, data, {"id": "string"})
    monkeypatch.setattr(json_lines, "_parsed", lambda *a: pytest.fail("parsed the lines"))
    assert read_columns(data, {"id": "string"}, copy=copy) == ({"id": ["a"]}, {})


def test_garbage_is_collected_again_afterwards():
    with no_collection():
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.fixture
def always_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LARGE", 0)
    monkeypatch.setattr(store, "LARGE", 0)


def test_a_large_manifest_reads_as_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recordings(tmp_path / "m.jsonl", ROWS)
    expected = read_recordings(tmp_path / "m.jsonl")
    monkeypatch.setattr(records, "LARGE", 0)
    monkeypatch.setattr(Recording, "from_json", lambda *a: pytest.fail("read line by line"))
    found = read_recordings(tmp_path / "m.jsonl")
    assert found == expected
    assert [r.to_json() for r in found] == [
        replace(r, labels=dict(sorted(r.labels.items(), key=lambda p: p[0] != "song"))).to_json()
        for r in expected
    ]


def test_fields_left_out_of_a_large_manifest_have_their_defaults(
    tmp_path: Path, always_large: None
):
    base = {"singer": "s", "path": "/a.wav", "duration": 1.0, "sample_rate": 8000, "labels": {}}
    (tmp_path / "m.jsonl").write_bytes(
        lines({"id": "a"} | base, {"id": "b", "split": "test"} | base)
    )
    first, second = read_recordings(tmp_path / "m.jsonl")
    assert first == Recording("a", "s", "/a.wav", 1.0, 8000)
    assert second == Recording("b", "s", "/a.wav", 1.0, 8000, split="test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "r0"}, ":12: id 'r0' appears twice; found first on line 1"),
        ({"id": ""}, ":12: field 'id' must be text"),
        ({"duration": -1}, ":12: field 'duration' out of range"),
        ({"sample_rate": 0}, ":12: field 'sample_rate' out of range"),
        ({"channels": 0}, ":12: field 'channels' out of range"),
        ({"split": "dev"}, ":12: field 'split' unknown"),
        ({"channel": "up"}, ":12: field 'channel' unknown"),
        ({"singer": None}, ":12: field 'singer' must be text"),
        ({"labels": {"split": "x"}}, ":12: label 'split' has the name of a field"),
        ({"labels": {"song": None}}, ":12: labels must map text to text"),
        ({"more": 1}, ":12: unknown field 'more'"),
    ],
)  # fmt: skip
def test_a_wrong_line_of_a_large_manifest_is_named(
    tmp_path: Path, always_large: None, change: dict[str, object], message: str
):
    rows = [json.loads(row.to_json()) for row in ROWS]
    rows[-1] |= change
    (tmp_path / "m.jsonl").write_bytes(lines(*rows))
    with pytest.raises(ManifestError) as caught:
        read_recordings(tmp_path / "m.jsonl")
    assert message in str(caught.value)


def test_a_large_store_opens_by_its_copies(tmp_path: Path, always_large: None):
    path = tmp_path / "store"
    path.mkdir()
    entries = [
        store.Entry(r.id, store.source_of(r), 0, i, 1, zlib.crc32(b"")) for i, r in enumerate(ROWS)
    ]
    (path / "spec.json").write_text(store.spec_json(FeatureSpec()))
    write_recordings(path / "recordings.jsonl", ROWS)
    store.write_index(path, entries)
    store.write_checksums(path)
    assert {p.name for p in path.glob("*.arrow")} == {"recordings.jsonl.arrow", "index.jsonl.arrow"}
    opened = store.Store(path)
    assert [r.id for r in opened.recordings] == [r.id for r in ROWS]
    assert opened.entries == {e.id: e for e in entries}
    moved = replace(entries[3], start=99)  # as a later line of the index says
    with (path / "index.jsonl").open("a") as index:
        index.write(json.dumps(asdict(moved)) + '\n{"id": "unfinis')
    assert store.Store(path).entries["r3"] == moved


@pytest.mark.parametrize("text", ["[" * 100_000, b'{"a":' * 100_000, "9" * 5000, b"\xff", ""])
def test_what_python_cannot_parse_is_a_value_error(text: str | bytes):
    with pytest.raises(ValueError, match=r"."):
        json_lines.parse(text)
    assert json_lines.parse(b'{"a": [1]}') == {"a": [1]}
