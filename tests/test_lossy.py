"""Codec round trips: position, length, bit rate, and what is refused."""

import dataclasses

import numpy as np
import pytest

from singerid.errors import AudioError, ConfigError, SingeridError
from singerid.robustness import lossy

pytest.importorskip("av", reason="needs the extra ffmpeg")
CODECS = sorted(lossy.CODECS)


def sound(rate, seconds=3.0, seed=0):
    rng = np.random.default_rng(seed)
    n = round(rate * seconds) + 77
    time = np.arange(n) / rate
    noise = np.convolve(rng.standard_normal(n), np.ones(12) / 12, "same")
    return (0.2 * noise + 0.3 * np.sin(2 * np.pi * (150 * time + 90 * time**2))).astype("f4")


def recode(samples, rate, codec, kbps=32):
    return lossy.recode(samples, rate, np.random.default_rng(0), codec=codec, kbps=kbps)


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 96_000])
@pytest.mark.parametrize("codec", CODECS)
def test_nothing_is_shifted_or_cut(codec, rate):
    samples = sound(rate)
    decoded = recode(samples, rate, codec)
    assert decoded.shape == samples.shape
    assert decoded.dtype == np.float32
    margin, inner = 50, slice(2000, -2000)
    lags = [np.dot(samples[inner], np.roll(decoded, -lag)[inner]) for lag in range(-margin, margin)]
    assert abs(int(np.argmax(lags)) - margin) <= 2
    likeness = max(lags) / np.linalg.norm(samples[inner]) / np.linalg.norm(decoded[inner])
    assert 0.9 < likeness < 0.99999


@pytest.mark.parametrize(
    ("codec", "low", "high"), [("mp3", 32, 64), ("opus", 8, 24), ("aac", 24, 64)]
)
def test_bit_rates(codec, low, high):
    samples, wanted = sound(48_000), lossy.CODECS[codec]
    errors = []
    for kbps in (low, high):
        decoded, size = lossy.round_trip(samples, 48_000, wanted, 1000 * kbps)
        assert 8 * size / (len(samples) / 48_000) / 1000 == pytest.approx(kbps, rel=0.2)
        errors.append(np.std(decoded[: len(samples)] - samples))
    assert errors[1] < 0.9 * errors[0]


@pytest.mark.parametrize("n", [1, 100, 2000])
@pytest.mark.parametrize("codec", CODECS)
def test_short_samples(codec, n):
    assert recode(sound(16_000)[:n], 16_000, codec).shape == (n,)


@pytest.mark.parametrize("codec", CODECS)
def test_beyond_full_scale_is_clipped_first(codec):
    samples = 4 * sound(16_000)
    np.testing.assert_array_equal(
        recode(samples, 16_000, codec), recode(np.clip(samples, -1, 1), 16_000, codec)
    )


def test_refusals(monkeypatch):
    with pytest.raises(
        ConfigError, match="no such codec; found 'ac3'; expected mp3 or opus or aac"
    ):
        lossy.check_encoder("ac3")
    with pytest.raises(
        AudioError, match=r"cannot be encoded by libmp3lame; .*16000 Hz, 32000 bit/s"
    ):
        recode(np.zeros(0, "f4"), 16_000, "mp3")
    missing = dataclasses.replace(lossy.CODECS["mp3"], encoder="libnone")
    monkeypatch.setitem(lossy.CODECS, "mp3", missing)
    message = "cannot encode mp3; found FFmpeg without libnone; install PyAV's own wheel"
    with pytest.raises(SingeridError, match=message):
        lossy.check_encoder("mp3")
    with pytest.raises(SingeridError, match=message):
        recode(sound(16_000), 16_000, "mp3")
