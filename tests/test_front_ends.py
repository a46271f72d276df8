"""Front ends under one interface: features of ours, the waveform, and windows of it."""

import dataclasses
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from singerid import appending, audio
from singerid.errors import AudioError
from singerid.features import extract, network_input
from singerid.features.mel import hann, mel_bands
from singerid.front_ends import FeatureFrontEnd, WaveformFrontEnd, WindowFrontEnd
from singerid.records import Recording
from singerid.spec import AudioSettings, FeatureSpec, MelSettings, PitchSettings

KINDS = [FeatureFrontEnd, WaveformFrontEnd, WindowFrontEnd]
SPEC = FeatureSpec(audio=AudioSettings(sample_rate=8000), mel=MelSettings(n_mels=20, fmax=4000))


def tone(seconds, rate, level=0.1):
    return (level * np.sin(2 * np.pi * 300 * np.arange(int(seconds * rate)) / rate)).astype("f4")


def test_features_are_ours():
    samples, front_end = tone(2, 8000), FeatureFrontEnd(SPEC)
    np.testing.assert_array_equal(front_end.frames(samples), extract(samples, SPEC))
    assert (front_end.sample_rate, front_end.step_seconds) == (8000, 256 / 8000)
    conditioned = FeatureSpec(pitch=PitchSettings(condition=True))
    frames = np.random.default_rng(0).random((9, conditioned.n_dims), np.float32)
    np.testing.assert_array_equal(
        FeatureFrontEnd(conditioned).encoder_input(frames), network_input(frames, conditioned)
    )


def test_waveforms_are_the_samples():
    samples, front_end = tone(2, 8000), WaveformFrontEnd(SPEC)
    np.testing.assert_array_equal(front_end.frames(samples), samples)
    assert front_end.encoder_input(samples) is samples
    assert (front_end.sample_rate, front_end.step_seconds) == (8000, 1 / 8000)


def test_waveforms_lose_pauses_and_gain_level():
    spec = FeatureSpec(audio=AudioSettings(min_level_db=-23, silence_db=-40))
    samples = np.concatenate([tone(2, 16000, 0.01), np.zeros(32000, np.float32)])
    found = WaveformFrontEnd(spec).frames(samples)
    assert 32000 <= len(found) < 40000
    assert 10 * np.log10(np.mean(found**2)) == pytest.approx(-23, abs=0.01)
    loud = tone(2, 16000, 0.9)
    np.testing.assert_array_equal(WaveformFrontEnd(spec).frames(loud), loud)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_processes", [1, 3])
def test_files_are_read_in_turn_and_errors_are_values(kind, n_processes, recordings, tmp_path):
    (tmp_path / "text.wav").write_text("no audio at all")
    soundfile.write(tmp_path / "narrow.wav", tone(1, 4000), 4000)
    odd = []
    for name in ("text", "narrow"):
        path = str(tmp_path / f"{name}.wav")
        odd.append(dataclasses.replace(recordings[0], id=name, path=path, duration=1.0))
    front_end = kind(SPEC)
    wanted = [*recordings[:2], *odd, recordings[2]]
    found = list(front_end.read_all(wanted, n_processes))
    assert [recording.id for recording, _ in found] == [r.id for r in wanted]
    for recording, outcome in found:
        if recording.id == "text":
            assert isinstance(outcome, AudioError)
            assert "text.wav: is not audio" in str(outcome)
            continue
        frames, warnings = outcome
        np.testing.assert_array_equal(frames, front_end.read(recording.path, "mix")[0])
        assert [w[:18] for w in warnings] == ["sampled at 4000 Hz"] * (recording.id == "narrow")
        assert len(frames) == pytest.approx(recording.duration / front_end.step_seconds, abs=2)


@pytest.mark.parametrize("kind", KINDS)
def test_short_audio_is_refused(kind):
    with pytest.raises(AudioError, match=r"samples: is too short; found 0.25 s; expected at least"):
        kind(SPEC).frames(tone(0.25, 8000))


@pytest.mark.parametrize("silence_db", [0, -40])
def test_windows_are_those_of_the_mel_frames(silence_db):
    settings = AudioSettings(sample_rate=8000, silence_db=silence_db, min_level_db=-20)
    spec = FeatureSpec(audio=settings, mel=MelSettings(n_mels=20, fmax=4000, scale="linear"))
    samples = np.concatenate([tone(2, 8000), np.zeros(8000, np.float32), tone(1.1, 8000)])
    windows, expected = WindowFrontEnd(spec).frames(samples), extract(samples, spec)
    mel = spec.mel
    spectra = np.abs(np.fft.rfft(windows * hann(mel.n_fft) * mel.gain))
    found = spectra @ mel_bands(8000, mel.n_fft, 20, mel.fmin, mel.fmax).T
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max())
    assert WindowFrontEnd(spec).step_seconds == 256 / 8000


def test_windows_are_no_copies():
    """An hour has as many bytes as its samples; partials are where their windows are."""
    front_end = WindowFrontEnd(SPEC)
    frames = front_end.frames(tone(5, 8000))
    whole = front_end.encoder_input(frames)
    assert whole.shape == ((len(frames) - 1) * 256 + 1024,)
    assert np.shares_memory(frames, whole)
    assert not whole.flags.writeable
    for start, end in [(0, 1), (3, 50), (len(frames) - 2, len(frames))]:
        partial = front_end.encoder_input(frames[start:end])
        np.testing.assert_array_equal(partial, whole[start * 256 : (end - 1) * 256 + 1024])
        assert np.shares_memory(partial, whole)


def test_shares_of_voice():
    front_end = WindowFrontEnd(SPEC)
    noise = 0.1 * np.random.default_rng(0).standard_normal(24000).astype(np.float32)
    time = np.arange(24000) / 8000
    voice = 0.1 * sum(np.sin(2 * np.pi * 200 * k * time) / k for k in range(1, 10))
    frames = front_end.frames(np.concatenate([noise, voice.astype(np.float32)]))
    shares = front_end.voice_shares(frames, np.array([0, 20, 83, 120]), 60)
    assert (shares < 0.1).tolist() == [True, True, False, False]
    assert shares[3] > 0.9


@pytest.mark.parametrize("silence_db", [0, -40])
def test_windows_of_a_file_are_those_of_its_samples(recordings, silence_db):
    """Though the file is padded where it was read, and its samples were not."""
    settings = AudioSettings(sample_rate=8000, silence_db=silence_db)
    front_end = WindowFrontEnd(SPEC.model_copy(update={"audio": settings}))
    samples, _ = audio.load(recordings[0].path, 8000)
    expected = samples.copy()
    windows = front_end.frames(samples)
    np.testing.assert_array_equal(samples, expected)
    np.testing.assert_array_equal(front_end.read(recordings[0].path, "mix")[0], windows)


class Deadly(WindowFrontEnd):
    """A front end whose decoder crashes on one file, and takes its process along."""

    def _continued(self, path, channel):
        if path.endswith("7.wav"):
            os.kill(os.getpid(), signal.SIGSEGV)
        return super()._continued(path, channel)


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [2, 3])
def test_a_decoder_that_crashes_costs_one_of_many(tmp_path, n_workers, monkeypatch):
    monkeypatch.setattr(appending, "_is_command", lambda: True)
    recordings = []
    for i in range(12):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, tone(1, 8000, 0.1 + i / 100), 8000)
        recordings.append(Recording(f"{i}", "s", str(path), 1.0, 8000))
    found = dict(zip(range(12), Deadly(SPEC).read_all(recordings, n_workers), strict=True))
    for i, (recording, outcome) in found.items():
        assert recording is recordings[i]
        if i == 7:
            assert str(outcome).startswith(f"{recording.path}: its worker process died twice")
        else:
            expected, _ = WindowFrontEnd(SPEC).read(recording.path, "mix")
            np.testing.assert_array_equal(outcome[0], expected)


def test_a_few_are_read_by_threads(monkeypatch, tmp_path):
    monkeypatch.setattr(appending, "processes", None)
    monkeypatch.setattr(appending, "_is_command", lambda: True)
    soundfile.write(tmp_path / "a.wav", tone(1, 8000), 8000)
    few = [Recording(f"{i}", "s", str(tmp_path / "a.wav"), 1.0, 8000) for i in range(8)]
    assert len(list(WindowFrontEnd(SPEC).read_all(few, 2))) == 8
    assert appending.readers([*few, few[0]]) is None
    there = dataclasses.replace(few[0], path="memory://a.wav")  # which only this process has
    assert appending.readers([*few, there]) is ThreadPoolExecutor


@pytest.mark.parametrize(
    ("file", "spec", "expected"),
    [("/usr/bin/singerid", None, True), ("C:/Scripts/singerid.exe", None, True), (None, None, True),
     ("/x/__main__.py", "singerid.__main__", True), ("/home/ann/script.py", None, False),
     ("/x/__main__.py", "pytest.__main__", False)],
)  # fmt: skip
def test_scripts_are_not_run_again(monkeypatch, file, spec, expected):
    main = SimpleNamespace(__spec__=spec and SimpleNamespace(name=spec))
    if file:
        main.__file__ = file
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert appending._is_command() is expected
