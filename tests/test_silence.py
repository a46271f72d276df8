"""Silence removal on tones and pauses of known length."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singerid.silence import remove_silence

RATE = 16_000


def tone(seconds, amplitude=0.5):
    return (amplitude * np.sin(2 * np.pi * 220 * np.arange(int(seconds * RATE)) / RATE)).astype(
        "f4"
    )


def pause(seconds):
    rng = np.random.default_rng(0)
    return rng.normal(0, 1e-5, int(seconds * RATE)).astype(np.float32)


def test_long_pauses_go_and_short_ones_stay():
    sound = np.concatenate([pause(1), tone(1), pause(0.2), tone(1), pause(2), tone(1), pause(1)])
    result = remove_silence(sound, RATE, -40)
    # 3 s of tone, the short pause, and 4 margins of 50 ms beside the long ones
    assert len(result) / RATE == pytest.approx(3.0 + 0.2 + 4 * 0.05, abs=0.02)
    np.testing.assert_allclose(np.sum(result**2), np.sum(sound**2), rtol=1e-6)


def test_threshold_is_relative_to_the_loudest_frame():
    sound = np.concatenate([tone(1), tone(1, 0.5 * 10 ** (-30 / 20))])
    assert len(remove_silence(sound, RATE, -40)) == len(sound)
    assert len(remove_silence(sound, RATE, -20)) / RATE == pytest.approx(1.05, abs=0.02)
    quiet = np.float32(1e-3) * sound
    assert len(remove_silence(quiet, RATE, -20)) == len(remove_silence(sound, RATE, -20))


def test_zero_removes_nothing():
    sound = np.concatenate([tone(1), pause(2)])
    assert remove_silence(sound, RATE, 0) is sound


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), db=st.floats(-80, -1), rate=st.sampled_from([8000, 22050]))
def test_nothing_is_invented_and_nothing_loud_is_lost(seed, db, rate):
    rng = np.random.default_rng(seed)
    gains = np.repeat(10.0 ** rng.uniform(-5, 0, 12), rng.integers(1, rate, 12))
    sound = (gains * rng.normal(0, 0.2, len(gains))).astype(np.float32)
    result = remove_silence(sound, rate, db)
    assert 0 < len(result) <= len(sound)
    assert np.isin(result, sound).all()
    frame = rate // 100
    whole = sound[: len(sound) // frame * frame].reshape(-1, frame)
    loudest = whole[np.argmax((whole.astype(float) ** 2).mean(1))]
    assert loudest[0] in result
