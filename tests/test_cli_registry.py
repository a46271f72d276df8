"""Commands of the registry: enroll, singers …, search, dedupe."""

import json
import shutil

import pytest

from singerid.embeddings import read_embeddings
from singerid.registry import Registry, index
from singerid.table import read_table
from test_cli import call, done, refused

pytest.importorskip("lancedb")


@pytest.fixture(scope="module")
def voices(recordings, tmp_path_factory):
    """Files of two virtual singers."""
    at = tmp_path_factory.mktemp("voices")
    names = sorted({one.singer for one in recordings})[:2]
    paths = {
        key: [one.path for one in recordings if one.singer == name]
        for key, name in zip("ab", names, strict=True)
    }
    return {
        key: [shutil.copy(path, at / f"{key}{i}.wav") for i, path in enumerate(mine)]
        for key, mine in paths.items()
    }


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("SINGERID_REGISTRY", str(tmp_path / "r"))
    return tmp_path / "r"


@pytest.fixture(scope="module")
def filled(voices, tmp_path_factory):
    """A registry of two singers, to be copied, and what was said."""
    at = tmp_path_factory.mktemp("filled") / "r"
    said = call("enroll", " O'Ann ", *voices["a"], "--registry", at, "--label", "gender=F")
    call("enroll", "Bob", voices["b"][0], "--registry", at, "--no-clips", "--source", "my own")
    return at, said


@pytest.fixture
def registry(filled, place):
    shutil.copytree(filled[0], place)
    return Registry.open(place)


def test_enroll(filled, voices):
    at, said = filled
    assert said.status == 0
    assert said.out[0].startswith(f"O'Ann: {len(voices['a'])} recording(s) added, now 2 of ")
    assert said.out[0].endswith(f"s; 1 singer(s) in {at}")
    registry = Registry.open(at)
    for one, path in zip(registry.exemplars("O'Ann"), voices["a"], strict=True):
        assert (one.path, one.labels) == (str(path), {"gender": "F"})
        assert registry.clip(one.id)[:2] in (b"\xff\xf3", b"\xff\xfb")  # MPEG layer III
        assert 0 < one.quality <= 1
        assert 0 < one.voice_seconds <= one.seconds
        assert len(one.sha256) == 64
    (bob,) = registry.exemplars("Bob")
    assert (bob.has_clip, bob.source, registry.clip(bob.id)) == (False, "my own", None)


def test_enroll_again_and_what_fails(registry, voices, place, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no audio")
    result = call("enroll", "Bob", voices["b"][0], voices["b"][1], bad, "--json")
    assert result.status == 1
    answer = json.loads(result.out[0])
    assert (answer["singer"], answer["registry"]) == ("Bob", str(place))
    assert answer["known"] == [str(voices["b"][0])]
    assert [one["file"] for one in answer["enrolled"]] == [str(voices["b"][1])]
    assert any("b0.wav: Bob is enrolled with it already" in line for line in result.err)
    assert "bad.wav" in result.errors[0]
    assert result.errors[-1] == "error: 1 of 3 files failed, the rest is done"
    assert registry.n_exemplars == 4


def test_enroll_refuses_before_it_listens(place):
    refused("name of a singer cannot be used", "enroll", "a\nb", "x.wav")
    refused("cannot read the label; found gender", "enroll", "Ann", "x.wav", "--label", "gender")
    result = call("enroll", "Ann", "missing.wav")
    assert result.errors[-1] == "error: 1 of 1 files failed, the rest is done"
    assert not (place / "exemplars.lance").exists()


def test_list_and_show(registry):
    lines = done("singers", "list").out
    assert lines[0].startswith("Bob  1 recording(s), ")
    assert lines[1].startswith("O'Ann  2 recording(s), ")
    assert lines[1].endswith("gender F")
    assert len(done("singers", "list", "ANN").out) == 1
    about = json.loads(done("singers", "list", "bob", "--json").out[0])
    assert (about["name"], about["n_exemplars"]) == ("Bob", 1)
    shown = done("singers", "show", "O'Ann").out
    assert [line.split()[0] for line in shown] == [one.id for one in registry.exemplars("O'Ann")]
    about = json.loads(done("singers", "show", "Bob", "--json").out[0])
    assert (about["source"], about["has_clip"], about["outlier"]) == ("my own", False, None)
    refused(
        'no singer "O\'Anne"; found 2 singer(s), "O\'Ann" among them', "singers", "show", "O'Anne"
    )


def test_rename_merge_remove(registry):
    said = done("singers", "rename", "Bob", "Rob").out
    assert said == ["Rob: 1 recording(s), until now of Bob"]
    refused("there is a singer 'Rob' already", "singers", "rename", "O'Ann", "Rob")
    id = registry.exemplars("O'Ann")[0].id
    done("singers", "remove", "--exemplar", id)
    assert done("singers", "merge", "O'Ann", "Rob", "--into", "both").out == [
        "both: 2 recording(s)"
    ]
    refused("what to remove?", "singers", "remove")
    refused("what to remove?", "singers", "remove", "both", "--exemplar", id)
    said = done("singers", "remove", "both", "--purge").out
    assert said == ["both: removed, with 2 recording(s)"]
    assert len(registry) == 0
    assert done("singers", "list").out == []
    refused("nobody is enrolled", "singers", "export", "-o", "x.parquet")


def test_search(registry, voices):
    lines = done("search", voices["a"][0], "--top", 2).out
    assert lines[0] == f"1. O'Ann  score 1.000  {voices['a'][0]}"
    assert len(lines) == 2
    answer = json.loads(done("search", voices["a"][0], "--json").out[0])
    assert len(answer["hits"]) == 3
    assert answer["hits"][0]["singer"] == "O'Ann"
    assert answer["hits"][0]["exemplar"] == registry.exemplars("O'Ann")[0].id


def test_dedupe(registry, voices):
    call("enroll", "Ann", voices["a"][0])
    lines = done("dedupe", "--threshold", "0.6", "--json").out
    found = [json.loads(line) for line in lines]
    assert [one["singers"] for one in found if one["kind"] == "same"] == [["Ann", "O'Ann"]]
    text = done("dedupe", "--threshold", "0.6").out[0]
    assert text.startswith("one voice?  Ann | O'Ann  score ")
    found = done("dedupe", "--threshold", "2").out
    assert found == [f"{registry.place}: nothing found among 3 singer(s)"]
    assert "one voice?  Ann | O'Ann" in " ".join(done("dedupe").out)


def test_import_and_export(registry, tmp_path, monkeypatch):
    table, vectors = tmp_path / "t.parquet", tmp_path / "e.parquet"
    assert done("singers", "export", "-o", table).out == [f"{table}: 2 singers, 3 recordings"]
    assert done("singers", "export", "--embeddings", "-o", vectors).out == [f"{vectors}: 3 vectors"]
    assert read_table(table).singers == ["Bob", "O'Ann"]
    assert len(read_embeddings(vectors)) == 3
    at = tmp_path / "other"
    monkeypatch.setattr(index, "INDEX_FROM", 3)
    result = call("singers", "import", vectors, "--registry", at)
    assert result.out == [f"{at}: 3 of 3 vectors are new, 2 singer(s), 3 recording(s)"]
    assert "singerid singers index" in result.err[0]
    said = done("singers", "index", "--registry", at).out
    assert said == [f"{at}: 3 recording(s) indexed"]
    said = done("singers", "import", table, "--registry", at).out
    assert said == [f"{at}: 2 of 2 vectors are new, 2 singer(s), 5 recording(s)"]
    assert done("singers", "index", "--drop", "--registry", at).out == [f"{at}: no index"]
    refused("cannot read vectors", "singers", "import", tmp_path / "missing.parquet")


def test_reembed(registry, voices):
    said = done("singers", "reembed", "--workers", 1).out
    assert said == [f"{registry.place}: 3 recording(s), encoder {registry.encoder}"]
    assert done("search", voices["a"][0], "--top", 1).out[0].startswith("1. O'Ann  score 1.000")


def test_no_registry(place):
    for command in (["singers", "list"], ["search", "x.wav"], ["dedupe"]):
        refused("no registry here; enroll somebody (singerid enroll)", *command)
