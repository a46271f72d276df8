"""Synthesized accompaniment: beat, key and level are measured in it."""

import numpy as np
import pytest

from singerid.robustness import accompaniment as band

RATE = 16_000
STYLE = band.Style(0.5, 33, ((0, 4), (7, 4), (9, 3), (5, 4)), 3.0, 1.2, 0.0)


def play(style=STYLE, rate=RATE, seed=0):
    return band.play(style, rate, np.random.default_rng(seed))


@pytest.mark.parametrize("rate", [8000, RATE, 44_100])
def test_eight_bars_at_full_level(rate):
    loop = play(rate=rate)
    assert len(loop) == 32 * round(0.5 * rate)
    assert loop.dtype == np.float32
    assert np.abs(loop).max() == pytest.approx(0.9)
    assert np.abs(np.diff(np.append(loop, loop[0])))[-1] < 0.1  # no click where it is repeated


def test_equal_generators_play_the_same():
    np.testing.assert_array_equal(play(), play())
    one, other = (band.accompaniment(50_000, RATE, np.random.default_rng(s)) for s in (0, 1))
    again = band.accompaniment(50_000, RATE, np.random.default_rng(0))
    np.testing.assert_array_equal(one, again)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.2


def test_keys_and_tempi_vary():
    styles = [band.draw_style(np.random.default_rng(seed)) for seed in range(60)]
    assert {style.root % 12 for style in styles} == set(range(12))
    assert min(s.beat for s in styles) < 0.5 < 0.75 < max(s.beat for s in styles)
    assert len({s.chords for s in styles}) == 5


def test_the_bass_plays_the_roots():
    loop, bar = play(), 4 * RATE // 2
    for number, (step, _) in enumerate(STYLE.chords):
        spectrum = np.abs(np.fft.rfft(loop[number * bar : (number + 1) * bar], 1 << 18))
        hz = np.arange(len(spectrum)) * RATE / (1 << 18)
        low = (hz > 60) & (hz < 120)  # above the kick's 50 Hz: one octave of the bass's notes
        found = 69 + 12 * np.log2(hz[low][spectrum[low].argmax()] / 440)
        # Fundamental or second partial, whichever lies in this octave.
        assert abs((found - STYLE.root - step + 6) % 12 - 6) < 0.5


def test_there_is_an_onset_at_every_eighth():
    frames = play()[: 32 * RATE // 2].reshape(-1, 160)
    loudness = np.log(np.mean(frames**2, axis=1) + 1e-9)
    onsets = np.maximum(np.diff(loudness), 0)
    spectrum = np.abs(np.fft.rfft(onsets - onsets.mean()))
    hz = np.fft.rfftfreq(len(onsets), 0.01)
    beats = [spectrum[np.abs(hz - f).argmin()] for f in (2.0, 4.0)]
    assert max(beats) > 5 * np.median(spectrum)


@pytest.mark.parametrize("n", [1, 1000, 40 * RATE])
def test_any_length(n):
    music = band.accompaniment(n, RATE, np.random.default_rng(3))
    assert music.shape == (n,)
    assert np.abs(music).max() <= 0.9001
