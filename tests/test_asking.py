"""`verify` and `identify` of enrolled singers, by the encoder that comes along."""

import json

import pytest

from singerid.external import load_embedder
from test_cli import call, done, refused

pytest.importorskip("lancedb", reason="the registry needs the extra registry")

from singerid.registry import Exemplar, Registry


@pytest.fixture(scope="module")
def enrolled(recordings, tmp_path_factory):
    """A registry of all but the last singer, with the first song of each."""
    place = tmp_path_factory.mktemp("asking") / "registry"
    encoder = load_embedder()
    registry = Registry.open(place, create=True)
    for singer in sorted({r.singer for r in recordings})[:-1]:
        first = next(r for r in recordings if r.singer == singer)
        one = Exemplar(encoder.embed_file(first.path), seconds=first.duration, path=first.path)
        registry.enroll(singer, [one], encoder.fingerprint)
    return place


@pytest.fixture
def songs(recordings):
    """The second song of each singer, by singer."""
    return {r.singer: r.path for r in recordings}


def test_verification_of_an_enrolled_singer(enrolled, songs):
    singer = sorted(songs)[0]
    result = done("verify", singer, songs[singer], "--registry", enrolled)
    assert "probability of the same singer" in result.out[0]
    assert result.out[1].startswith(f"  {singer}: 1 recording(s), ")
    assert result.out[2].startswith(f"  {songs[singer]}: ")
    same, other = (
        json.loads(done("verify", singer, songs[s], "--registry", enrolled, "--json").out[0])
        for s in sorted(songs)[:2]
    )
    assert same["score"] > other["score"]
    assert same["singer"] == other["singer"] == singer
    assert same["calibration"]["origin"] == "default"


def test_identification_of_the_enrolled_and_of_others(enrolled, songs):
    names = sorted(songs)
    out = done("identify", *[songs[n] for n in names], "--registry", enrolled, "--json").out
    answers = [json.loads(line) for line in out]
    assert [a["file"] for a in answers] == [songs[n] for n in names]
    assert [a["candidates"][0]["singer"] for a in answers[:-1]] == names[:-1]
    assert {a["n_singers"] for a in answers} == {5}
    # The stranger is the one who is least likely to be anybody who is enrolled.
    unknown = [a["unknown_probability"] for a in answers]
    assert max(unknown) == unknown[-1]
    question = ["identify", songs[names[-1]], "--registry", enrolled, "--prior", "0.0001"]
    rare = json.loads(done(*question, "--json").out[0])
    assert rare["singer"] is None
    assert rare["unknown_probability"] > unknown[-1]
    line = done(*question).out[0]
    assert line.startswith(f"{songs[names[-1]]}: unknown (probability ")
    assert line.endswith("; 5 enrolled, prior of being one of them 0.0001)")


def test_a_registry_with_several_recordings_each_calibrates_itself(recordings, tmp_path):
    encoder = load_embedder()
    registry = Registry.open(tmp_path / "r", create=True)
    for singer in sorted({r.singer for r in recordings})[:3]:
        own = [r for r in recordings if r.singer == singer]
        some = [Exemplar(encoder.embed_file(r.path), seconds=r.duration, path=r.path) for r in own]
        registry.enroll(singer, some, encoder.fingerprint)
    answer = json.loads(
        done("identify", own[0].path, "--registry", tmp_path / "r", "--json").out[0]
    )
    assert answer["calibration"]["origin"] == "default, adapted to 3 enrolled singers"
    assert answer["candidates"][0]["singer"] == own[0].singer


def test_neither_a_file_nor_a_singer(enrolled, songs, tmp_path):
    path = next(iter(songs.values()))
    refused(
        "Zoë: is neither a file nor an enrolled singer; found", "verify", "Zoë", path,
        "--registry", enrolled,
    )  # fmt: skip
    message = "enroll: singerid enroll NAME FILE"
    refused(message, "verify", "Zoë", path, "--registry", tmp_path / "none")
    refused("no recordings to identify", "identify", "table.parquet")


def test_a_registry_of_another_encoder_is_refused(songs, tmp_path):
    registry = Registry.open(tmp_path / "r", create=True)
    registry.enroll("x", [Exemplar(load_embedder().embed_file(songs[min(songs)]))], "another")
    for question in (["identify"], ["verify", "x"]):
        result = call(*question, songs[min(songs)], "--registry", tmp_path / "r")
        assert result.status == 1
        assert "vectors of two different encoders cannot be compared" in result.err[-1]
