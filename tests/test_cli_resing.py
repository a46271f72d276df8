"""Voices of a bank, sung anew by the command: files, what is said, what is refused."""

import json
import sys

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

from singerid.demo import RESUNG, commands, resinging
from singerid.manifest import select
from singerid.voicebank.bank import VoiceBank
from singerid.voicebank.parametric import bank_from_voices
from singerid.voices import draw_singer
from synthetic_voices import synthetic_bank
from test_cli import done, refused

pytest.importorskip("pyworld")


@pytest.fixture(scope="module", autouse=True)
def bank():
    """Any path is that of a bank of three singers."""
    with pytest.MonkeyPatch.context() as patch:
        voices = synthetic_bank()
        patch.setattr(VoiceBank, "open", lambda path: voices)
        yield


def test_songs_in_a_folder(tmp_path):
    out = tmp_path / "songs"
    result = done("resing", "bank", "-o", out, "--n", 3, "--seconds", 1, "--seed", 7)
    assert sorted(path.name for path in out.iterdir()) == [
        f"song_{k:02d}.{suffix}" for k in range(3) for suffix in ("json", "png", "wav")
    ]
    assert len(result.out) == 3
    singers = set()
    for k, line in enumerate(result.out):
        facts = json.loads((out / f"song_{k:02d}.json").read_text())
        assert line.startswith(f"{out}/song_{k:02d}.wav: {facts['singer']}, variant {k}, ")
        assert (facts["variant"], facts["seed"]) == (k, 7 + k)
        assert facts["command"].startswith("singerid resing bank -o ")
        singers.add(facts["singer"])
        samples, rate = soundfile.read(out / f"song_{k:02d}.wav")
        assert (rate, len(samples)) == (16_000, 16_001)
        assert np.abs(samples).max() == pytest.approx(10 ** (-3 / 20), abs=1e-3)
        assert imread(out / f"song_{k:02d}.png").std() > 0.05
    assert len(singers) == 3


def test_one_song_is_repeated_by_what_its_file_says(tmp_path):
    done("resing", "bank", "-o", tmp_path / "a", "--n", 3, "--seconds", 1, "--no-picture")
    facts = json.loads((tmp_path / "a" / "song_02.json").read_text())
    done("resing", "bank", "-o", tmp_path / "b.wav", "--id", facts["recording"], "--seconds", 1,
         "--variant", facts["variant"], "--seed", facts["seed"], "--no-picture")  # fmt: skip
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "a" / "song_02.wav").read_bytes()
    assert not list(tmp_path.rglob("*.png"))


def test_settings_act(tmp_path):
    still = ["--resing.vibrato_role", "off", "--resing.pitch_min", 0.5, "--resing.pitch_max", 0.5]
    done("resing", "bank", "-o", tmp_path / "a.wav", "--singer", "singer1", "--variant", 0,
         "--seconds", 1, "--no-picture", *still)  # fmt: skip
    facts = json.loads((tmp_path / "a.json").read_text())
    assert facts["vibrato_hz"] is None
    assert facts["speech_f0_hz"] < facts["median_f0_hz"]


def test_parametric_voices_sing(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    spec = synthetic_bank().spec
    voices = bank_from_voices([draw_singer(rng, "x", "F")], rng, seconds=2.0, spec=spec)
    monkeypatch.setattr(VoiceBank, "open", lambda path: voices)
    done("resing", "bank", "-o", tmp_path / "a.wav", "--seconds", 1)
    assert {path.name for path in tmp_path.iterdir()} == {"a.wav", "a.json", "a.png"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--singer", "nobody"], "voice bank: no singer 'nobody'; found 3 others"),
        (["--id", "x"], "voice bank: no recording 'x'; found 6 others"),
        (["--variant", 4], "no such variant; found 4; expected 0 … 3"),
        (["--seconds", 0], "length of a song out of range; found 0 s; expected 1 … 60"),
        (["--n", 2], "--n out of range; found 2; expected 1 for one file; a folder for several"),
        (["--n", 0], "--n out of range; found 0"),
        (["--seed", -1], "--seed out of range; found -1; expected 0 or more"),
        (["--resing.variants", 0], "resing.variants is not valid"),
    ],
)
def test_what_cannot_be_sung_is_refused(arguments, words, tmp_path):
    refused(words, "resing", "bank", "-o", tmp_path / "a.wav", *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("pyworld", "pyworld is not installed; install it with: pip install 'singerid[world]'"),
        ("torch", "PyTorch is not installed; install it with: pip install 'singerid[train]'"),
    ],
)
def test_missing_extras_are_named(module, words, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    refused(words, "resing", "bank", "-o", tmp_path / "songs")
    assert list(tmp_path.iterdir()) == []


def test_the_demo_lets_training_singers_sing(tmp_path, recordings):
    assert commands(tmp_path, tmp_path / "x.csv")[0][0] == "manifest"
    voices, resing = resinging(tmp_path)
    assert voices[:2] == ["voices", str(tmp_path / "manifest.jsonl")]
    chosen = select(
        recordings, [voices[i + 1] for i, word in enumerate(voices) if "select" in word]
    )
    assert len(chosen) == 4
    assert {recording.split for recording in chosen} == {"train"}
    done(*resing[:1], "bank", *resing[2:], "--seconds", 1)
    assert all((tmp_path / name).is_file() for name, _ in RESUNG)
