"""The commands segments and quality, on a duet of virtual singers."""

import json
import sys

import numpy as np
import pytest
import soundfile

from singerid import audio
from singerid.cli import main
from singerid.embeddings import embedding_set
from singerid.external import load_embedder
from singerid.segment_errors import segment_errors
from singerid.segment_files import read_segments
from singerid.table import build_table, write_table
from test_cli import call, done, refused

RATE = 16_000


@pytest.fixture(scope="module")
def duet(recordings, tmp_path_factory):
    """Folder with duet.wav, table.parquet of six singers, and the turns."""
    at = tmp_path_factory.mktemp("duet")
    names = sorted({one.singer for one in recordings})
    pair = [
        names[0],
        next(n for n in names[1:] if _gender(recordings, n) != _gender(recordings, names[0])),
    ]
    songs = {name: [one for one in recordings if one.singer == name] for name in names}
    encoder = load_embedder("default")
    enrolled = [songs[name][1] for name in names]  # of which the duet holds some seconds
    vectors = np.stack([encoder.embed_file(one.path) for one in enrolled])
    write_table(
        at / "table.parquet",
        build_table(embedding_set(enrolled, vectors, [1] * len(names), encoder.fingerprint)),
    )
    parts, turns, now = [], [], 0.0
    for name in (pair[0], pair[1], pair[0], pair[1]):
        sung = audio.load(songs[name][1].path, RATE)[0][: 8 * RATE]
        parts += [np.zeros(RATE, np.float32), sung]
        turns.append((now + 1, now + 1 + len(sung) / RATE, name))
        now += 1 + len(sung) / RATE
    soundfile.write(at / "duet.wav", np.concatenate(parts), RATE)
    return at, turns


def _gender(recordings, singer):
    return next(one.labels["gender"] for one in recordings if one.singer == singer)


def confused(turns, path, match=False):
    found = [(s.start, s.end, s.singer or "?") for s in read_segments(path)]
    errors = segment_errors(turns, found, match=match)
    return errors.confused / errors.total


def test_singers_of_a_table(duet, tmp_path):
    folder, turns = duet
    out, picture = tmp_path / "who.json", tmp_path / "who.png"
    result = done(
        "segments", folder / "duet.wav", "-o", out, "--table", folder / "table.parquet",
        "--plot", picture,
    )  # fmt: skip
    assert confused(turns, out) < 0.2
    assert result.out[0] == f"{out}: {len(read_segments(out))} segments"
    assert result.out[-1] == f"{picture}: timeline"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_enrolled_singers(duet, tmp_path, monkeypatch):
    pytest.importorskip("lancedb", reason="the registry needs the extra registry")
    from singerid.registry import Registry
    from singerid.table import read_table

    folder, turns = duet
    monkeypatch.setenv("SINGERID_REGISTRY", str(tmp_path / "enrolled"))
    registry = Registry.open(tmp_path / "enrolled", create=True)
    registry.import_table(read_table(folder / "table.parquet"))
    out = tmp_path / "who.rttm"
    done("segments", folder / "duet.wav", "-o", out, "--registry")
    assert confused(turns, out) < 0.2


def test_whoever_is_there(duet, tmp_path):
    folder, turns = duet
    done(
        "segments", folder / "duet.wav", "-o", tmp_path, "--format", "txt",
        "--segment.n_singers", "2",
    )  # fmt: skip
    out = tmp_path / "duet.txt"
    assert {s.singer for s in read_segments(out)} <= {"singer A", "singer B"}
    assert confused(turns, out, match=True) < 0.2


def test_several_files_go_to_a_folder_and_a_bad_one_stops_nothing(duet, tmp_path):
    folder, _ = duet
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no audio")
    out = tmp_path / "out"
    result = call("segments", folder / "duet.wav", bad, "-o", out)
    assert result.status == 1
    assert "bad.wav: is not audio" in result.err[0]
    assert "1 of 2 files failed" in result.err[1]
    assert [path.name for path in out.iterdir()] == ["duet.rttm"]


def test_what_cannot_be_asked(duet, tmp_path):
    wav, out = duet[0] / "duet.wav", tmp_path / "a.rttm"
    both = ["--table", duet[0] / "table.parquet", "--registry", tmp_path]
    refused("give --table or --registry", "segments", wav, "-o", out, *both)
    refused("go to a folder", "segments", wav, wav, "-o", out)
    x = tmp_path / "x"
    refused("two recordings have one name", "segments", wav, tmp_path / "duet.flac", "-o", x)
    refused("--plot is for one", "segments", wav, "b.wav", "-o", x, "--plot", "p.png")
    assert not out.exists()


def test_separation_needs_its_extra(duet, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "demucs.api", None)
    asked = ["segments", duet[0] / "duet.wav", "-o", tmp_path / "a.rttm", "--separate"]
    refused("singerid[separate]", *asked)


def test_quality_in_words_and_in_json(duet, tmp_path):
    wav = duet[0] / "duet.wav"
    noisy = tmp_path / "noisy.wav"
    samples, _ = audio.load(wav, RATE)
    samples = samples[RATE : 9 * RATE]
    level = np.sqrt(np.mean(samples**2)) * 10 ** (-5 / 20)
    samples = samples + np.random.default_rng(0).normal(0, level, len(samples))
    soundfile.write(noisy, samples, RATE)
    lines = done("quality", wav, noisy).out
    assert len(lines) == 2
    assert "noisy: about" not in lines[0]
    assert "noisy: about" in lines[1]
    objects = [json.loads(line) for line in done("quality", wav, noisy, "--json").out]
    assert objects[0]["score"] > objects[1]["score"]
    assert objects[1]["file"] == str(noisy)
    assert objects[1]["reasons"]


def test_quality_goes_on_after_a_bad_file(duet, tmp_path, capsys):
    assert main(["quality", str(tmp_path / "no.wav"), str(duet[0] / "duet.wav")]) == 1
    captured = capsys.readouterr()
    assert "duet.wav" in captured.out
    assert "1 of 2 files failed" in captured.err
