"""Log-mel: AutoVC's front end computed independently by librosa and scipy, physics, edges."""

import functools

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from singerid.features import highpass as highpass_module
from singerid.features import mel
from singerid.features.highpass import highpass
from singerid.features.mel import log_mel, mel_bands
from singerid.frames import n_frames
from singerid.melody import draw_song
from singerid.singing import sing
from singerid.spec import MelSettings
from singerid.voices import draw_singer

pytestmark = pytest.mark.filterwarnings("ignore:n_fft=:UserWarning")

RATE = 16_000
AUTOVC = MelSettings()
NO_DITHER = MelSettings(dither=0)
FULL_SCALE_DB = 20 * np.log10(256)  # of a sine of amplitude 1 in the middle of a Hann 1024


def reference(x, rate=RATE, s=NO_DITHER):
    """The front end in float64, without the noise (design, section 5)."""
    if s.highpass:
        x = signal.filtfilt(*signal.butter(5, s.highpass, "highpass", fs=rate), x)
    stft = librosa.stft(
        np.asarray(x, float) * s.gain, n_fft=s.n_fft, hop_length=s.hop_length, window="hann",
        center=True, pad_mode="reflect", dtype=np.complex128,
    )  # fmt: skip
    bands = librosa.filters.mel(
        sr=rate, n_fft=s.n_fft, n_mels=s.n_mels, fmin=s.fmin, fmax=s.fmax, dtype=np.float64
    )
    floor = -s.floor_db
    db = 20 * np.log10(np.maximum(10 ** (-floor / 20), bands @ np.abs(stft))) - s.reference_db
    return np.clip((db + floor) / floor, 0, 1).T


def tone(hz, seconds=2.0, rate=RATE, amplitude=1.0):
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(
        np.float32
    )


def noise(n, level=0.1, seed=0):
    return np.random.default_rng(seed).normal(0, level, n).astype(np.float32)


@functools.cache
def virtual_song():
    rng = np.random.default_rng(5)
    return sing(draw_singer(rng, "x", "F"), draw_song(rng, 6.0), rng, RATE)


SIGNALS = {
    "virtual singer": virtual_song,
    "noise": lambda: noise(5 * RATE),
    "quiet noise": lambda: noise(5 * RATE, 1e-3),
    "chirp": lambda: signal.chirp(np.arange(3 * RATE) / RATE, 60, 3, 7800).astype(np.float32),
    "clicks": lambda: (np.arange(RATE) % 1600 == 800).astype(np.float32),
    "offset and rumble": lambda: noise(2 * RATE, 0.05) + 0.3 * tone(5) + np.float32(0.2),
    "short": lambda: noise(700),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_equals_independent_front_end(name):
    x = SIGNALS[name]()
    ours, expected = log_mel(x, RATE, NO_DITHER), reference(x)
    assert ours.dtype == np.float32
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("rate", "changes"),
    [
        (8000, {"n_fft": 512, "hop_length": 80, "n_mels": 40, "fmax": 4000.0}),
        (44100, {"n_fft": 2048, "hop_length": 441, "n_mels": 128, "fmin": 40.0, "fmax": 22050.0}),
        (48000, {"n_fft": 1000, "hop_length": 1000, "n_mels": 8, "gain": 0.5, "highpass": 0.0}),
        (16000, {"floor_db": -80.0, "reference_db": -5.0, "highpass": 200.0}),
    ],
)
def test_every_setting_counts(rate, changes):
    s = MelSettings(**{"dither": 0.0} | changes)
    x = noise(3 * rate, 0.05)
    assert np.abs(log_mel(x, rate, s) - reference(x, rate, s)).max() < 1e-4


@pytest.mark.parametrize("hz", [250.0, 1000.0, 3000.0, 6250.0])  # centers of FFT bins
@pytest.mark.parametrize("amplitude", [0.5, 0.005])
def test_tone_has_its_band_and_level(hz, amplitude):
    frame = log_mel(tone(hz, amplitude=amplitude), RATE, AUTOVC)[60]
    bands = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=80, fmin=90, fmax=7600)
    k = int(hz / RATE * 1024)
    weights = bands[:, k] + 0.5 * (bands[:, k - 1] + bands[:, k + 1])  # Hann: three bins
    band = int(weights.argmax())
    assert int(frame.argmax()) == band
    level = FULL_SCALE_DB + 20 * np.log10(amplitude * 0.96 * weights[band]) - 16
    assert frame[band] == pytest.approx((level + 100) / 100, abs=1e-3)


def test_ten_decibels_are_a_tenth():
    x = noise(RATE)
    louder, softer = log_mel(x, RATE, NO_DITHER), log_mel(x / np.float32(10**0.5), RATE, NO_DITHER)
    assert softer.min() > 0
    assert np.allclose(louder - softer, 0.1, atol=1e-4)


def test_silence_is_zero_and_overload_one():
    assert not log_mel(np.zeros(RATE, np.float32), RATE, AUTOVC).any()
    assert log_mel(noise(RATE, 1e6), RATE, AUTOVC).min() == 1


def test_dither_lies_below_the_floor_and_is_the_same_every_time():
    x = virtual_song()
    once = log_mel(x, RATE, AUTOVC)
    assert np.array_equal(once, log_mel(x, RATE, AUTOVC))
    audible = reference(x) > 0.05
    assert np.abs(once - log_mel(x, RATE, NO_DITHER))[audible].max() < 0.01


def test_dither_has_its_level():
    s = MelSettings(dither=0.1, highpass=0)
    x = np.random.default_rng(1).uniform(-0.05, 0.05, 20 * RATE)
    expected = reference(x / s.gain, s=s).mean(axis=0)  # the noise is added after the gain
    found = log_mel(np.zeros(20 * RATE, np.float32), RATE, s).mean(axis=0)
    assert np.abs(found - expected).max() < 0.01


def test_input_is_left_alone():
    x = virtual_song()
    before = x.copy()
    log_mel(x, RATE, AUTOVC)
    assert np.array_equal(x, before)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(513, 60_000), hop=st.sampled_from([16, 160, 256, 1024]))
def test_any_length_is_framed_like_librosa(n, hop):
    s = MelSettings(dither=0, hop_length=hop)
    x = noise(n, seed=n)
    ours = log_mel(x, RATE, s)
    assert ours.shape == (n_frames(n, hop), 80) == (1 + n // hop, 80)
    assert np.abs(ours - reference(x, s=s)).max() < 1e-4


def test_blocks_are_invisible(monkeypatch):
    x = noise(10 * RATE) + np.float32(0.1)
    whole = log_mel(x, RATE, AUTOVC)
    monkeypatch.setattr(mel, "_FRAMES_AT_ONCE", 7)
    monkeypatch.setattr(highpass_module, "_BLOCK", 5003)
    assert np.abs(log_mel(x, RATE, AUTOVC) - whole).max() < 1e-5


# Mel bands


@pytest.mark.parametrize(
    ("rate", "n_fft", "n_mels", "fmin", "fmax"),
    [
        (16000, 1024, 80, 90.0, 7600.0),
        (16000, 400, 40, 0.0, 8000.0),
        (44100, 2048, 128, 20.0, 20000.0),
        (192000, 16384, 512, 0.0, 96000.0),
        (4000, 256, 8, 50.0, 900.0),
    ],
)
@pytest.mark.filterwarnings("ignore:Empty filters detected:UserWarning")
def test_mel_bands_equal_librosa(rate, n_fft, n_mels, fmin, fmax):
    expected = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax)
    ours = mel_bands(rate, n_fft, n_mels, fmin, fmax)
    assert ours.dtype == np.float32
    assert ours.shape == (n_mels, 1 + n_fft // 2)
    assert np.abs(ours - expected).max() <= 1e-6 * expected.max()


# High-pass


def filtfilt(x, cutoff, rate):
    """As second-order sections, which are exact at low cutoffs as well."""
    sections = signal.butter(5, cutoff, "highpass", fs=rate, output="sos")
    return signal.sosfiltfilt(sections, x.astype(float), padlen=min(18, len(x) - 1))


def error(x, cutoff, rate):
    """Largest deviation from scipy, in units of the input's peak."""
    return np.abs(highpass(x, cutoff, rate) - filtfilt(x, cutoff, rate)).max() / np.abs(x).max()


@pytest.mark.parametrize("rate", [4000, 16000, 44100, 192000])
@pytest.mark.parametrize("cutoff", [10.0, 30.0, 33.3, 200.0])
@pytest.mark.parametrize("seconds", [0.1, 6.0])
def test_highpass_equals_filtfilt(rate, cutoff, seconds):
    n = int(seconds * rate)
    assert error(noise(n), cutoff, rate) < 5e-7
    # Everything below the cutoff comes out by cancellation in float32.
    assert error(noise(n, 1e-3) + np.float32(0.5), cutoff, rate) < 2e-6


@pytest.mark.parametrize("octaves", [-3, -1, -0.3, 0, 0.5, 1, 1.5, 2, 2.5, 3, 4])
@pytest.mark.parametrize("cutoff", [30.0, 200.0])
def test_highpass_at_every_pitch(cutoff, octaves):
    x = tone(cutoff * 2**octaves, 8)
    assert error(x, cutoff, RATE) < 2e-6


def test_highpass_equals_the_transfer_function_that_autovc_uses():
    """`filtfilt` with (b, a), as in AutoVC; it is exact enough at 30 Hz and 16 kHz."""
    x = virtual_song()
    expected = signal.filtfilt(*signal.butter(5, 30, "highpass", fs=RATE), x.astype(float))
    assert np.abs(highpass(x, 30, RATE) - expected).max() < 1e-6 * np.abs(x).max()


def test_highpass_halves_the_cutoff_and_shifts_nothing():
    x = tone(30, 10)
    y = highpass(x, 30, RATE)
    middle = slice(3 * RATE, 7 * RATE)
    assert np.abs(y[middle] - x[middle] / 2).max() < 1e-5  # 3 dB in each of two passes


@pytest.mark.parametrize("start", [0, 1, 6000, 6400, 130_000, 268_000, -6400, -2, -1])
def test_highpass_of_a_click_anywhere(start):
    x = np.zeros(300_000, np.float32)
    x[start] = 1
    assert error(x, 30, RATE) < 5e-7


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 80_000), seed=st.integers(0, 100))
def test_highpass_of_any_length(n, seed):
    assert error(noise(n, seed=seed) + np.float32(0.1), 30, RATE) < 1e-6


@pytest.mark.parametrize(("cutoff", "rate"), [(0.5, 16000), (5.0, 192000), (1900.0, 4000)])
def test_highpass_is_stable_at_extreme_cutoffs(cutoff, rate):
    y = highpass(noise(5 * rate) + np.float32(0.5), cutoff, rate)
    assert np.abs(y).max() < 2
    assert np.abs(y.mean()) < 0.05


def test_highpass_into_a_given_array():
    x = noise(RATE)
    out = np.empty_like(x)
    assert highpass(x, 30, RATE, out=out) is out
    assert np.array_equal(out, highpass(x, 30, RATE))


@pytest.mark.parametrize("n", [3000, 20_000, 300_000, 600_123])
def test_the_highpass_may_replace_its_samples(n):
    samples = np.random.default_rng(0).standard_normal(n).astype(np.float32)
    expected = highpass(samples, 30, 16000)
    assert highpass(samples, 30, 16000, out=samples) is samples
    np.testing.assert_array_equal(samples, expected)
