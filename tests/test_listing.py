"""Large manifests and stores: read by column, they are what they are line by line."""

import json
import zlib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singerid import entries, records, store
from singerid.entries import Entry
from singerid.errors import ManifestError, StoreError
from singerid.listing import Listing, read_listing
from singerid.records import Recording, read_recordings, write_recordings
from singerid.spec import FeatureSpec

ROWS = [
    Recording(
        f"r{i}", f"s{i // 3}", f"a/{i}.wav" if i % 2 else f"/b/{i}.wav", i / 4, 8000 + i,
        split=("train", "valid", "test")[i // 3 % 3], channel=("mix", "left")[i % 2],
        labels={"day": "2020-01-01"} if i % 3 else {"song": f"Lied {i}", "day": ""},
    )
    for i in range(12)
]  # fmt: skip


def lines(*objects: object) -> bytes:
    return b"".join(json.dumps(o).encode() + b"\n" for o in objects)


@pytest.fixture
def always_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (records, entries, store):
        monkeypatch.setattr(module, "LARGE", 0)


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


def test_a_large_store_opens_by_its_copies(
    tmp_path: Path, always_large: None, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "store"
    path.mkdir()
    known = [Entry(r.id, store.source_of(r), 0, i, 1, zlib.crc32(b"")) for i, r in enumerate(ROWS)]
    (path / "spec.json").write_text(store.spec_json(FeatureSpec()))
    write_recordings(path / "recordings.jsonl", ROWS)
    store.write_index(path, known)
    store.write_checksums(path)
    assert {p.name for p in path.glob("*.arrow")} == {"recordings.jsonl.arrow", "index.jsonl.arrow"}
    fingerprint = Listing(read_recordings(path / "recordings.jsonl")).fingerprint
    opened = store.Store(path)
    assert [r.id for r in opened.recordings] == [r.id for r in ROWS]
    assert opened.entries == {e.id: e for e in known}
    monkeypatch.setattr("singerid.listing.fingerprint", lambda *a: pytest.fail("made it anew"))
    assert opened.listing.fingerprint == fingerprint
    moved = replace(known[3], start=99)  # as a later line of the index says
    with (path / "index.jsonl").open("a") as index:
        index.write(json.dumps(asdict(moved)) + '\n{"id": "unfinis')
    assert store.Store(path).entries["r3"] == moved


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
drawn = st.lists(
    st.builds(
        Recording, id=texts, singer=texts.filter(bool), path=texts.filter(bool),
        duration=st.floats(0, 1e6), sample_rate=st.integers(1, 2**40),
        channels=st.integers(1, 64), channel=st.sampled_from(records.CHANNELS),
        split=st.sampled_from(records.SPLITS), sha256=texts,
        labels=st.dictionaries(st.sampled_from(["song", "f0", "gender", "day"]), texts),
    ),
    min_size=1, max_size=8,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(drawn)
def test_a_listing_by_column_says_what_one_of_objects_says(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Recording]
):
    rows = [replace(row, id=f"{i} {row.id}") for i, row in enumerate(rows)]
    path = tmp_path_factory.mktemp("listing") / "m.jsonl"
    write_recordings(path, rows)
    expected = Listing(read_recordings(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "LARGE", 0)
        patch.setattr(Recording, "from_json", lambda *a: pytest.fail("read line by line"))
        found = read_listing(path)
    assert len(found) == len(rows)
    assert found.fingerprint == expected.fingerprint
    for name in ("id", "singer", "split", "channel", "sha256", "song", "f0", "day", "no label"):
        assert list(found.texts(name)) == list(expected.texts(name))
        values, codes = found.codes(name)
        assert values == sorted(set(expected.texts(name)))
        assert [values[code] for code in codes] == list(expected.texts(name))
    for split in records.SPLITS:
        own = found.of_split(split)
        assert own.tolist() == expected.of_split(split).tolist()
        assert found.take(own) == [r for r in expected.recordings if r.split == split]
    assert found.take(np.arange(len(rows))[::-1]) == expected.recordings[::-1]
    assert found.texts("path") == expected.texts("path")
    assert found.recordings == expected.recordings


def test_no_object_is_made_of_what_is_only_counted(
    tmp_path: Path, always_large: None, monkeypatch: pytest.MonkeyPatch
):
    write_recordings(tmp_path / "m.jsonl", ROWS)
    monkeypatch.setattr("singerid.listing.recordings_of", lambda *a: pytest.fail("made objects"))
    found = read_listing(tmp_path / "m.jsonl")
    assert len(found) == 12
    assert found.of_split("valid").tolist() == [3, 4, 5]
    assert found.codes("singer")[0] == ["s0", "s1", "s2", "s3"]
    assert found.texts("song")[:2] == ["Lied 0", ""]


def test_a_small_or_missing_manifest_is_read_line_by_line(tmp_path: Path):
    with pytest.raises(ManifestError, match=r"m\.jsonl: cannot read the manifest; found No such"):
        read_listing(tmp_path / "m.jsonl")
    write_recordings(tmp_path / "m.jsonl", ROWS)
    assert read_listing(tmp_path / "m.jsonl").recordings == read_recordings(tmp_path / "m.jsonl")


def index_of(*found: Entry) -> bytes:
    return b"".join(entry.to_line().encode() for entry in found)


A, B = Entry("a", "x:mix", 0, 0, 5, 9), Entry("b", "y:mix", 1, 2**40, 7, 2**32 - 1)


@pytest.mark.parametrize("large", [0, 1 << 22])
def test_entries_are_those_of_the_lines(
    tmp_path: Path, large: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(entries, "LARGE", large)
    file = tmp_path / "index.jsonl"
    assert len(entries.read_all(file)) == 0
    again = replace(A, start=10)
    file.write_bytes(index_of(A, B, again) + b'{"id": "c", "sour')
    found = entries.read_all(file)
    assert found == {"a": again, "b": B}
    assert list(found) == ["a", "b"]
    assert found.place(found.row("a")) == (0, 10, 5)
    rows = found.rows(["b", "c", "a"])
    assert rows.tolist() == [1, -1, 2]
    assert found.sources(rows) == ["y:mix", "", "x:mix"]
    assert found.n_frames[rows[[0, 2]]].tolist() == [7, 5]
    assert found.rows(["b"]).tolist() == [1]
    file.write_bytes(index_of(A, B))
    assert entries.read_all(file).rows(["a", "b"]).tolist() == [0, 1]
    assert entries.read_all(file).rows(["b", "a"]).tolist() == [1, 0]
    with pytest.raises(KeyError):
        found.row("c")


@pytest.mark.parametrize("large", [0, 1 << 22])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start", -1), ("start", 1.0), ("n_frames", True), ("n_frames", None), ("shard", "0"),
        ("crc32", 2**63), ("id", 1), ("source", None), ("more", 0),
    ],
)  # fmt: skip
def test_a_line_of_other_values_is_named(
    tmp_path: Path, large: int, name: str, value: object, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(entries, "LARGE", large)
    file = tmp_path / "index.jsonl"
    file.write_bytes(index_of(A) + lines(asdict(B) | {name: value}))
    with pytest.raises(StoreError, match=r"index\.jsonl:2: index line is damaged; found"):
        entries.read_all(file)
