"""Building a bank: what is found is what was sung; no interruption or damage changes the bytes."""

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from filelock import FileLock

from singerid.errors import AudioError, BatchError, MissingExtraError, StoreError
from singerid.features import extract, extract_file
from singerid.melody import Note, Song
from singerid.records import Recording, write_recordings
from singerid.singing import sing
from singerid.spec import FeatureSpec
from singerid.voicebank import building as banking
from singerid.voicebank.analysis import analyze_voice, frame_power, sounding
from singerid.voicebank.bank import VoiceBank, check
from singerid.voicebank.building import build_bank
from singerid.voicebank.spec import BankSpec
from singerid.voices import draw_singer

pytest.importorskip("pyworld")

SPEC = BankSpec(settings={"order": 24}, features=FeatureSpec(mel={"n_mels": 16}))
FILES = ("aperiodicity.u8", "cepstrum.i8", "f0.f32", "index.jsonl", "mel.f16", "onset.u8",
         "recordings.jsonl", "spec.json")  # fmt: skip


def sung(seed, seconds=0.7, gender="F", **changes):
    """A virtual singer's sustained vowel."""
    rng = np.random.default_rng(seed)
    singer = dataclasses.replace(draw_singer(rng, "x", gender), **changes)
    return sing(singer, Song((Note(0, seconds, "ɑ"),)), rng)


def record(path, samples, seed=0):
    soundfile.write(path, samples, 16000)
    return Recording(
        path.stem, f"s{seed % 2}", str(path), len(samples) / 16000, 16000,
        sha256=2 * f"{seed:032x}", labels={"gender": "FM"[seed % 2]},
    )  # fmt: skip


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Four short recordings of two singers."""
    folder = tmp_path_factory.mktemp("few")
    return [record(folder / f"r{i}.wav", sung(i, 0.55 + i / 20), i) for i in range(4)]


@pytest.fixture(scope="module")
def whole(few, tmp_path_factory):
    """A bank of `few` that was never interrupted."""
    path = tmp_path_factory.mktemp("whole") / "bank"
    build, bank = build_bank(few, path, SPEC)
    assert (build.n_done, build.failures, build.warnings) == (4, [], [])
    assert len(bank) == 4
    return path


@pytest.fixture
def broken(whole, tmp_path):
    """A copy of `whole` to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "bank"))


def content(path):
    """Bytes of every file of a bank but the lock."""
    assert {f.name for f in path.iterdir()} - {".lock"} == set(FILES)
    return {name: (path / name).read_bytes() for name in FILES}


def remade(path, few, whole, monkeypatch):
    """Build again: the bytes must be as if nothing had happened; the ids that it took."""
    done, real = [], banking.analyze_recording

    def count(recording, **settings):
        done.append(recording.id)
        return real(recording, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(banking, "analyze_recording", count)
        build, _ = build_bank(few, path, SPEC)
    assert build.n_done == len(done)
    assert build.n_present == len(few) - len(done)
    assert content(path) == content(whole)
    check(path)
    return done


# ---------------------------------------------------------------------------------------- analysis


def test_a_sung_vowel_is_found_again():
    singer = draw_singer(np.random.default_rng(5), "x", "F")
    calm = {"vibrato_cents": 0.1, "drift_cents": 0.1, "jitter": 1e-5, "detune_cents": 0}
    samples = sung(5, 2.0, scoop_cents=0, **calm)
    voice = analyze_voice(samples, BankSpec())
    hz = 440 * 2 ** ((singer.center_midi - 69) / 12)
    assert abs(1200 * np.log2(voice.median_f0 / hz)) < 10
    assert np.mean(voice.rows["f0"] > 0) > 0.9
    assert abs(voice.level - 10 * np.log10(np.mean(samples**2))) < 1
    mel = extract(samples, FeatureSpec())
    np.testing.assert_array_equal(voice.rows["mel"], mel.astype(np.float16))
    assert voice.rows["onset"].tolist() == [1] + [0] * (len(voice.rows["f0"]) - 1)


def test_level_is_taken_away_and_noted():
    samples = sung(1)
    loud, soft = (analyze_voice(np.float32(gain) * samples, SPEC) for gain in (1, 0.1))
    assert abs(loud.level - soft.level - 20) < 1e-3
    assert np.abs(loud.rows["cepstrum"].astype(int) - soft.rows["cepstrum"]).max() <= 1
    np.testing.assert_allclose(loud.rows["f0"], soft.rows["f0"], rtol=1e-4)


def test_envelope_of_white_noise_is_flat_and_mean_power_is_one(few, whole):
    bank = VoiceBank.open(whole)
    hz = np.linspace(0, 8000, 513)
    for row in range(4):
        assert 0.7 < bank.envelope(bank.frames(row), hz).mean() < 1.1  # 24 coefficients of many


def test_hum_of_the_mains_does_not_hide_a_voice():
    voice = sung(3, 1.5, "M", center_midi=48.0)
    hum = 0.3 * np.sin(2 * np.pi * 60 * np.arange(len(voice)) / 16000)
    clean, with_hum = (analyze_voice(np.float32(x), SPEC) for x in (voice, voice + hum))
    assert abs(1200 * np.log2(with_hum.median_f0 / clean.median_f0)) < 20
    share = [np.mean(v.rows["f0"] > 0) for v in (clean, with_hum)]
    assert min(share) > 0.8


def test_long_recordings_are_analyzed_piece_by_piece(monkeypatch):
    samples = sung(2, 3.0)
    whole = analyze_voice(samples, SPEC)
    monkeypatch.setattr("singerid.voicebank.analysis._FRAMES_AT_ONCE", 7)
    blocks = analyze_voice(samples, SPEC)
    for name, rows in whole.rows.items():
        np.testing.assert_allclose(blocks.rows[name].astype(float), rows.astype(float), atol=1)
    np.testing.assert_array_equal(blocks.rows["f0"], whole.rows["f0"])
    monkeypatch.setattr("singerid.voicebank.analysis._BESIDE", 40)
    for at_once in (60, 100, 187):
        monkeypatch.setattr("singerid.voicebank.analysis._TRACKED_AT_ONCE", at_once)
        pieces = analyze_voice(samples, SPEC)
        assert len(pieces.rows["f0"]) == len(whole.rows["f0"])
        f0, wanted = (np.maximum(voice.rows["f0"], 1) for voice in (pieces, whole))
        cents = 1200 * np.log2(f0 / wanted)
        assert np.mean(np.abs(cents) < 5) > 0.97


def test_silence_is_cut_out_and_the_cut_marked():
    voice, pause = sung(4, 0.8), np.zeros(8000, np.float32)
    rng = np.random.default_rng(0)
    samples = np.concatenate([pause, voice, pause, voice, pause])
    samples += 1e-5 * rng.standard_normal(len(samples), np.float32)
    found = analyze_voice(samples, SPEC)
    seconds = len(found.rows["f0"]) * SPEC.frame_period
    assert abs(seconds - 1.6) < 0.25
    onsets = np.flatnonzero(found.rows["onset"])
    assert len(onsets) == 2
    assert onsets[0] == 0
    assert abs(onsets[1] * SPEC.frame_period - 0.8) < 0.15


def test_short_silences_stay():
    power = np.ones(100)
    power[40:50] = 1e-6  # 80 ms: a stop
    assert sounding(power, -35, 0.1, 0.008).all()
    power[40:60] = 1e-6
    kept = sounding(power, -35, 0.1, 0.008)
    assert np.flatnonzero(~kept).tolist() == list(range(42, 58))  # with a margin of 2 frames
    power[:] = 1e-6
    power[:30] = 1
    assert sounding(power, -35, 0.1, 0.008).tolist() == [True] * 32 + [False] * 68


def test_pauses_do_not_lower_the_gate():
    levels = np.full(1000, 1e-4)  # -40 dB
    levels[:20] = 1
    assert sounding(levels, -35, 0.1, 0.008).sum() == 22


def test_frame_power_of_noise_is_its_variance():
    noise = np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    power = frame_power(0.5 * noise, SPEC, 251)
    assert power.shape == (251,)
    assert abs(power.mean() - 0.25) < 0.01


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.random.default_rng(0).uniform(-0.5, 0.5, 16000), "noise: holds no voice; found 0.0"),
        (np.zeros(100), "noise: is too short; found 0.01 s"),
    ],
)
def test_what_is_no_voice(samples, words):
    with pytest.raises(AudioError, match=words):
        analyze_voice(samples.astype(np.float32), SPEC, "noise")


# ------------------------------------------------------------------------------------------ a bank


def test_a_bank_holds_what_was_found(few, whole):
    bank = VoiceBank.open(whole)
    assert bank.ids == ("r0", "r1", "r2", "r3")
    assert bank.singers == ("s0", "s1", "s0", "s1")
    assert bank.genders == ("F", "M", "F", "M")
    for row, recording in enumerate(few):
        samples, _ = soundfile.read(recording.path, dtype="float32")
        voice = analyze_voice(samples, SPEC)
        for name in ("f0", "onset", "cepstrum", "aperiodicity"):
            stored = getattr(bank, name)[bank.frames(row)]
            np.testing.assert_array_equal(stored, voice.rows[name])
            assert not stored.flags.writeable
        np.testing.assert_array_equal(bank.mel[bank.mel_frames(row)], voice.rows["mel"])
        assert bank.median_f0[row] == np.float32(voice.median_f0)
        assert bank.levels[row] == np.float32(voice.level)
        mel, _ = extract_file(recording.path, "mix", SPEC.features)
        np.testing.assert_allclose(bank.mel[bank.mel_frames(row)], mel, atol=3e-4)


def test_size_of_a_second(whole, few):
    """48 of cepstrum, 4 of F0, 1, 6 of aperiodicity at 125 Hz, 160 of mel at 62.5: 17.4 kB."""
    assert sum(array.row_bytes for array in BankSpec().arrays[:-1]) == 59
    assert BankSpec().arrays[-1].row_bytes == 160


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_workers(few, whole, tmp_path):
    seconds = []
    build_bank(few, tmp_path / "bank", SPEC, 2, seconds.append)
    assert seconds == [r.duration for r in few]
    assert content(tmp_path / "bank") == content(whole)


def test_nothing_is_done_twice(broken, few, whole, monkeypatch):
    assert remade(broken, few, whole, monkeypatch) == []


def test_recordings_that_come_later(few, whole, tmp_path, monkeypatch):
    build_bank([few[2], few[0]], tmp_path / "bank", SPEC)
    assert remade(tmp_path / "bank", few, whole, monkeypatch) == ["r1", "r3"]


def test_recordings_that_are_no_longer_listed(few, whole, tmp_path):
    path = tmp_path / "bank"
    build_bank(few, path, SPEC)
    build, bank = build_bank(few[1:3], path, SPEC)
    assert (build.n_done, build.n_present, build.n_removed) == (0, 2, 2)
    assert bank.ids == ("r1", "r2")
    check(path)
    build_bank(few[1:3], tmp_path / "other", SPEC)
    assert content(path) == content(tmp_path / "other")


def test_other_audio_under_the_same_id(broken, few, tmp_path):
    changed = record(tmp_path / "r1.wav", sung(11), 9)
    build, bank = build_bank([few[0], changed, *few[2:]], broken, SPEC)
    assert (build.n_done, build.n_present, build.n_removed) == (1, 3, 0)
    assert bank.ids == ("r0", "r1", "r2", "r3")
    check(broken)
    samples, _ = soundfile.read(changed.path, dtype="float32")
    expected = analyze_voice(samples, SPEC).rows["cepstrum"]
    np.testing.assert_array_equal(bank.cepstrum[bank.frames(1)], expected)


def test_one_bad_file_is_one_line_and_the_rest_goes_on(few, tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16000)
    bad = record(tmp_path / "noise.wav", noise, 7)
    gone = Recording("gone", "x", str(tmp_path / "gone.wav"), 1, 16000)
    build, bank = build_bank([few[0], bad, gone, few[1]], tmp_path / "bank", SPEC)
    assert bank.ids == ("r0", "r1")
    lines = [str(failure) for failure in build.failures]
    assert len(lines) == 2
    assert lines[0].startswith(f"{bad.path}: holds no voice; found 0.0")
    assert lines[1].startswith(f"{gone.path}: ")
    with pytest.raises(BatchError, match="/none: no recording could be analyzed") as caught:
        build_bank([bad, gone], tmp_path / "none", SPEC)
    assert len(caught.value.failures) == 2
    with pytest.raises(StoreError, match="the analysis was not finished"):
        VoiceBank.open(tmp_path / "none")


def test_saturated_cepstra_are_reported(few, tmp_path, monkeypatch):
    monkeypatch.setattr("singerid.voicebank.analysis._MOST_SATURATED", -1.0)
    build, _ = build_bank(few[:1], tmp_path / "bank", SPEC)
    assert build.warnings == [f"{few[0].path}: 0.0% of the cepstra are out of range"]


# ------------------------------------------------------------------------- interruption and damage


@pytest.mark.parametrize("position", ["0", "half a line", "end - 1", "after a line"])
@pytest.mark.parametrize("line", [0, 2])
def test_index_cut_anywhere(broken, few, whole, monkeypatch, position, line):
    lines = (broken / "index.jsonl").read_bytes().splitlines(keepends=True)
    length = len(lines[line])
    within = {"0": 0, "half a line": length // 2, "end - 1": length - 1, "after a line": length}
    os.truncate(broken / "index.jsonl", sum(map(len, lines[:line])) + within[position])
    with pytest.raises(StoreError, match="index and list of recordings do not fit; run singerid v"):
        VoiceBank.open(broken)
    (broken / "recordings.jsonl").unlink()
    with pytest.raises(StoreError, match="the analysis was not finished"):
        VoiceBank.open(broken)
    kept = line + (position == "after a line")
    assert remade(broken, few, whole, monkeypatch) == [f"r{i}" for i in range(kept, 4)]


@pytest.mark.parametrize("name", [n for n in FILES if "json" not in n])
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_files_cut_short(broken, few, whole, monkeypatch, name, share):
    os.truncate(broken / name, int(share * (broken / name).stat().st_size))
    with pytest.raises(StoreError, match=rf"{name}: cannot be read; found .*; run singerid voices"):
        VoiceBank.open(broken)
    done = remade(broken, few, whole, monkeypatch)
    assert done == [f"r{i}" for i in range(4 - len(done), 4)]
    assert done


def test_files_lost(broken, few, whole, monkeypatch):
    (broken / "f0.f32").unlink()
    with pytest.raises(StoreError, match=r"f0\.f32: cannot be read; found .*No such file"):
        VoiceBank.open(broken)
    assert len(remade(broken, few, whole, monkeypatch)) == 4


@pytest.mark.parametrize("name", [n for n in FILES if "json" not in n])
def test_flipped_bits_are_found_and_made_again(broken, few, whole, monkeypatch, name):
    data = bytearray((broken / name).read_bytes())
    data[len(data) // 2] ^= 1
    (broken / name).write_bytes(data)
    with pytest.raises(StoreError, match="rows do not match their checksum; found recording r"):
        check(broken)
    copy = Path(shutil.copytree(broken, broken.parent / "copy"))
    build, _ = build_bank(few, copy, SPEC)
    assert len(build.warnings) == 1
    assert "did not match its checksum; made again" in build.warnings[0]
    assert len(remade(broken, few, whole, monkeypatch)) == 1


def test_garbage_behind_the_end(broken, few, whole, monkeypatch):
    for name in FILES:
        if name not in ("recordings.jsonl", "spec.json"):
            with open(broken / name, "ab") as file:
                file.write(b"x" * 99)
    assert remade(broken, few, whole, monkeypatch) == []


KILLED = """
import os, signal, sys
from singerid import appending
from singerid.voicebank import building as banking
from singerid.records import read_recordings
from tests_spec import SPEC
n, point = 0, int(sys.argv[1])
def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)
real_write, real_replace = appending.write_all, os.replace
def write(handle, data):
    global n
    n += 1
    if n > point:
        os.write(handle, data[: len(data) // 2])
        die()
    real_write(handle, data)
def replace(*paths):
    global n
    n += 1
    if n > point:
        die()
    real_replace(*paths)
if sys.argv[2] == "writing":
    banking.write_all = write
else:
    os.replace = replace
banking.build_bank(read_recordings("m.jsonl"), "bank", SPEC)
"""


def killed(folder, point, when):
    """A process that builds a bank and dies without a word."""
    values = SPEC.model_dump()
    spec = f"from singerid.voicebank.spec import BankSpec\nSPEC = BankSpec.model_validate({values})"
    (folder / "tests_spec.py").write_text(spec)
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(point), when], cwd=folder, check=False,
        env={**os.environ, "PYTHONPATH": str(folder)},
    ).returncode  # fmt: skip


@pytest.mark.slow
def test_killed_while_writing(few, whole, tmp_path, monkeypatch):
    write_recordings(tmp_path / "m.jsonl", few)
    assert killed(tmp_path, 8, "writing") == -signal.SIGKILL
    with pytest.raises(StoreError, match="the analysis was not finished"):
        VoiceBank.open(tmp_path / "bank")
    made = remade(tmp_path / "bank", few, whole, monkeypatch)
    assert made == ["r1", "r2", "r3"]  # six writes a recording: five arrays and the index


@pytest.mark.slow
def test_killed_while_bringing_into_order(few, whole, tmp_path, monkeypatch):
    build_bank([few[3], few[1]], tmp_path / "bank", SPEC)
    write_recordings(tmp_path / "m.jsonl", few)
    assert killed(tmp_path, 5, "replacing") == -signal.SIGKILL  # all files are new but the index
    with pytest.raises(StoreError, match="not finished"):
        VoiceBank.open(tmp_path / "bank")
    assert len(remade(tmp_path / "bank", few, whole, monkeypatch)) == 4


@pytest.mark.parametrize("point", range(7))
def test_stopped_while_bringing_into_order(few, whole, tmp_path, monkeypatch, point):
    """Five arrays, the index and the list of recordings are replaced, one after the other."""
    build_bank([few[3], few[1]], tmp_path / "bank", SPEC)
    real, calls = os.replace, []

    def stop(*paths):
        calls.append(paths)
        if len(calls) > point:
            raise KeyboardInterrupt
        real(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            build_bank(few, tmp_path / "bank", SPEC)
    with pytest.raises(StoreError, match="not finished"):
        VoiceBank.open(tmp_path / "bank")
    done = remade(tmp_path / "bank", few, whole, monkeypatch)
    assert (len(done) == 0) == (point in (0, 6))


@pytest.mark.parametrize("n_whole", [0, 3, 13])
def test_full_disk(few, whole, tmp_path, monkeypatch, n_whole):
    real, calls = os.write, []

    def full(handle, data):
        calls.append(handle)
        if len(calls) > n_whole:
            real(handle, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StoreError) as caught:
            build_bank(few, tmp_path / "bank", SPEC)
    assert str(caught.value) == (
        f"{tmp_path}/bank: cannot be written; found No space left on device; free space, then run "
        "the same command again: it goes on where it stopped"
    )
    made = remade(tmp_path / "bank", few, whole, monkeypatch)
    assert made == [f"r{i}" for i in range(n_whole // 6, 4)]


# ----------------------------------------------------------------------------------------- refusals


def test_a_bank_of_another_spec(broken, few):
    before = content(broken)
    other = BankSpec(settings={"order": 24, "alpha": 0.3}, features=SPEC.features)
    with pytest.raises(StoreError) as caught:
        build_bank(few, broken, other)
    assert str(caught.value) == (
        f"{broken}: holds voices of another spec; found settings.alpha 0.35, not 0.3; use another "
        "folder, or the settings of the bank"
    )
    assert content(broken) == before


def test_a_bank_in_use(broken, few):
    with (
        FileLock(broken / ".lock"),
        pytest.raises(StoreError, match="/bank: is being written by another process; wait for it"),
    ):
        build_bank(few, broken, SPEC)
    build_bank(few, broken, SPEC)


def test_a_folder_of_something_else(few, tmp_path):
    (tmp_path / "letters").touch()
    with pytest.raises(StoreError, match="folder holds something else; found letters"):
        build_bank(few, tmp_path, SPEC)
    with pytest.raises(StoreError, match="/letters: folder cannot be made; found File exists"):
        build_bank(few, tmp_path / "letters", SPEC)


def test_without_world(few, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyworld", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'singerid\[world\]'"):
        build_bank(few, tmp_path / "bank", SPEC)
    assert not (tmp_path / "bank").exists()


def test_index_lines_are_plain_json(whole):
    lines = (whole / "index.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["r0", "r1", "r2", "r3"]
