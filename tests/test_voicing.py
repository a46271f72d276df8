"""Voicing on sounds whose voice is known: virtual singers, harmonic tones, noises, hums, clicks."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from singerid import audio
from singerid.errors import AudioError
from singerid.voicing import Voicing, find_voice, voiced_starts

RATE = 16_000
SECONDS = 8


def time(seconds=SECONDS, rate=RATE):
    return np.arange(int(seconds * rate)) / rate


def tones(f0, amplitudes, seconds=SECONDS, rate=RATE):
    t = time(seconds, rate)
    numbers = [(k, a) for k, a in enumerate(amplitudes, 1) if k * f0 < rate / 2]
    return sum(a * np.sin(2 * np.pi * k * f0 * t + k) for k, a in numbers)


def colored(exponent, seed=0):
    """Noise whose power falls with f^exponent: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=SECONDS * RATE))
    bins = np.maximum(1, np.arange(len(spectrum)))
    return np.fft.irfft(spectrum / bins ** (exponent / 2))


def bursts(floor=0.0):
    """A drum machine of noise: 30 ms of decay, twice a second."""
    rng = np.random.default_rng(0)
    hits = np.zeros(SECONDS * RATE)
    for start in range(0, len(hits), RATE // 2):
        n = RATE // 10
        hits[start : start + n] = rng.normal(size=n) * np.exp(-np.arange(n) / (0.03 * RATE))
    return hits + floor * rng.normal(size=len(hits))


def clicks(every):
    train = np.zeros(SECONDS * RATE)
    train[:: int(every * RATE)] = 1
    return train


def scaled(x, peak=0.5):
    return (peak * x / np.abs(x).max()).astype(np.float32)


def share(x, rate=RATE):
    return find_voice(scaled(x), rate).voiced.mean()


SERIES = 1 / np.arange(1, 12)
NO_VOICE = {
    "white": colored(0), "pink": colored(1), "brown": colored(2),
    "rain": np.diff(colored(0)), "bursts": bursts(), "bursts in noise": bursts(1e-3),
    "clicks": clicks(0.1), "rare clicks": clicks(0.7),
    "hum 50": tones(50, [1]), "hum 60": tones(60, [1]),
    "buzz 50": tones(50, SERIES), "buzz 60": tones(60, SERIES),
    "mains": tones(50, [1, 0.5, 0.7, 0.3, 0.4, 0.2, 0.3]),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_VOICE)
def test_no_voice_in(name):
    assert share(NO_VOICE[name]) < 0.01


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("f0", [70, 110, 220, 440, 880, 1050])
def test_harmonic_tones_are_voiced(f0, rate):
    for slope in (0.5, 1, 2):  # pressed to flute-like
        assert share(tones(f0, np.arange(1, 40.0) ** -slope, 2, rate), rate) > 0.95


@pytest.mark.parametrize("f0", [20, 30, 45])
def test_tones_below_every_voice_are_not(f0):
    assert share(tones(f0, [1])) < 0.01


def test_virtual_singers_are_voiced(recordings):
    shares = [find_voice(soundfile.read(r.path, dtype="float32")[0], RATE) for r in recordings]
    assert min(found.voiced.mean() for found in shares) > 0.4


def test_singing_under_noise_and_by_telephone(recordings):
    clean = soundfile.read(recordings[0].path, dtype="float32")[0]
    noise = np.random.default_rng(0).normal(size=len(clean)) * clean.std()
    band = signal.butter(4, (300, 3400), "band", fs=RATE, output="sos")
    assert share(clean + noise / 10**0.5) > 0.6 * share(clean)  # 10 dB
    assert share(signal.sosfilt(band, clean)) > 0.5 * share(clean)


def test_where_and_how_long():
    voice = tones(200, SERIES, 2)
    x = scaled(np.concatenate([1e-3 * colored(0)[: 3 * RATE], voice, np.zeros(RATE)]))
    found = find_voice(x, RATE)
    assert found.seconds == pytest.approx(2, abs=0.06)
    first, last = np.flatnonzero(found.voiced)[[0, -1]] * found.hop / RATE
    assert (first, last) == (pytest.approx(3, abs=0.03), pytest.approx(5, abs=0.05))
    shares = found.shares([0, 2 * RATE, 3 * RATE, 5 * RATE, 50 * RATE], 2 * RATE)
    assert shares == pytest.approx([0, 0.5, 1, 0, 0], abs=0.03)


def test_soft_parts_beside_loud_ones_do_not_count():
    x = np.concatenate([tones(200, SERIES, 2), 1e-3 * tones(200, SERIES, 2)])  # 60 dB below
    assert share(x) == pytest.approx(0.5, abs=0.02)


@given(gain=st.floats(1e-3, 2), n=st.integers(0, 3 * RATE), shift=st.integers(0, 40))
@settings(max_examples=25)
def test_level_and_length_change_little(gain, n, shift):
    x = scaled(np.concatenate([bursts()[: 2 * RATE], tones(150, SERIES, 2)]))
    part = x[shift * 320 :][:n]
    found = find_voice(part, RATE)
    assert len(found.voiced) == len(part) // 320
    assert np.array_equal(find_voice(np.float32(gain) * part, RATE).voiced, found.voiced)


def test_blocks_are_invisible(monkeypatch):
    x = scaled(np.concatenate([bursts(), tones(150, SERIES)]))
    whole = find_voice(x, RATE).voiced
    monkeypatch.setattr("singerid.voicing._BLOCK", 7)
    assert np.array_equal(find_voice(x, RATE).voiced, whole)


def test_silence_holds_none():
    assert not find_voice(np.zeros(RATE, np.float32), RATE).voiced.any()
    assert len(find_voice(np.zeros(10, np.float32), RATE).voiced) == 0


def test_partials_with_voice_are_kept():
    starts = np.array([0, 10, 20])
    kept = voiced_starts(np.array([0.5, 0.04, 0.05]), starts, 0.05)
    assert kept.tolist() == [0, 20]
    assert voiced_starts(np.zeros(3), starts, 0.0).tolist() == starts.tolist()
    with pytest.raises(AudioError, match=r"^holds no voice; found at most 4 % .*min_voice 0$"):
        voiced_starts(np.array([0.04, 0.0]), starts[:2], 0.05)


def test_shares_round_to_frames():
    found = Voicing(np.array([True, False, True, True]), 320, RATE)
    assert found.seconds == 0.06
    assert found.shares([0, 320, 640, 960], 640).tolist() == [0.5, 0.5, 1.0, 0.5]
    assert found.shares([0], 1).tolist() == [1.0]


@pytest.mark.real
@pytest.mark.parametrize(("corpus", "least"), [("mir1k", 0.3), ("ravdess_song", 0.28)])
def test_real_singing_is_hardly_ever_without(shared_audio, corpus, least):
    files = sorted((shared_audio / corpus).rglob("*.ogg"))[::13]
    shares = [find_voice(audio.load(path, RATE)[0], RATE).voiced.mean() for path in files]
    assert len(shares) > 10
    assert min(shares) > least
