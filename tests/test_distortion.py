"""Degradations as physics: levels, decay times, spectra and pitches are measured."""

import numpy as np
import pytest
import scipy.signal

from singerid.errors import AudioError
from singerid.features import world
from singerid.melody import draw_song
from singerid.robustness import distortion
from singerid.singing import sing
from singerid.voices import draw_singer

RATE = 16_000


def rng(seed=0):
    return np.random.default_rng(seed)


def decibels(power):
    return 10 * np.log10(power)


def tone(hz, seconds=1.0, rate=RATE, level=0.3):
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype("f4")


@pytest.fixture(scope="module")
def voice():
    generator = rng(5)
    return sing(draw_singer(generator, "a", "F"), draw_song(generator, 6), generator, RATE)


def test_active_power_does_not_count_pauses():
    loud = tone(200)
    paused = np.concatenate([loud, np.zeros(3 * RATE, "f4"), 1e-4 * loud])
    expected = np.mean(loud.astype(float) ** 2)
    assert distortion.active_power(paused, RATE) == pytest.approx(expected, rel=1e-3)
    active, frame = distortion.active_frames(paused, RATE)
    assert frame == 320
    assert active.sum() == 50
    assert distortion.active_power(np.zeros(100, "f4"), RATE) == 0
    assert distortion.active_power(np.zeros(0, "f4"), RATE) == 0


def test_excerpt_is_a_stretch_that_is_sung():
    samples = np.concatenate([np.zeros(3 * RATE, "f4"), tone(300, 4.0), np.zeros(3 * RATE, "f4")])
    samples += np.arange(len(samples), dtype="f4") * 1e-9  # so that a place can be recognized
    starts = set()
    for seed in range(20):
        part = distortion.excerpt(samples, RATE, rng(seed), seconds=1)
        assert len(part) == RATE
        places = [s for s in range(0, len(samples) - RATE, 320) if part[0] == samples[s]]
        starts |= {s for s in places if np.array_equal(part, samples[s : s + RATE])}
    assert len(starts) > 10
    assert min(starts) >= 2.9 * RATE - 320
    assert max(starts) <= 6.1 * RATE


@pytest.mark.parametrize("n", [1, RATE // 2, RATE])
def test_excerpt_of_a_short_recording_is_the_recording(n):
    samples = tone(200)[:n]
    assert distortion.excerpt(samples, RATE, rng(), seconds=1) is samples


@pytest.mark.parametrize("n", [RATE + 1, RATE + 321])
def test_excerpt_of_one_that_is_hardly_longer(n):
    samples = tone(200, 2)[:n]
    assert len(distortion.excerpt(samples, RATE, rng(), seconds=1)) == RATE


@pytest.mark.parametrize("ratio", [20, 5, 0, -5])
@pytest.mark.parametrize("source", [distortion.white_noise, distortion.pink_noise])
def test_signal_to_noise_ratio_is_that_of_active_frames(ratio, source):
    voice = np.concatenate([tone(220), np.zeros(2 * RATE, "f4")])
    mixed = distortion.mix_in(voice, RATE, rng(), background=source, ratio_db=ratio)
    noise = mixed - voice
    assert mixed.dtype == np.float32
    measured = decibels(np.mean(tone(220).astype(float) ** 2) / np.mean(noise.astype(float) ** 2))
    assert measured == pytest.approx(ratio, abs=0.3)


def test_mix_in_refuses_silence():
    def silence(n, rate, rng):
        return np.zeros(n, "f4")

    with pytest.raises(AudioError, match="the background is silent; remove silent files"):
        distortion.mix_in(tone(200), RATE, rng(), background=silence, ratio_db=0)


@pytest.mark.parametrize(
    ("source", "slope"), [(distortion.white_noise, 3), (distortion.pink_noise, 0)]
)
def test_power_in_octaves(source, slope):
    noise = source(1 << 19, RATE, rng())
    hz, density = scipy.signal.welch(noise, RATE, nperseg=8192)
    octaves = [density[(hz >= f) & (hz < 2 * f)].sum() for f in (125, 250, 500, 1000, 2000, 4000)]
    np.testing.assert_allclose(np.diff(decibels(np.array(octaves))), slope, atol=0.5)
    assert np.std(noise) == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("rate", [RATE, 44_100])
@pytest.mark.parametrize(("rt60", "drr"), [(0.3, 6), (0.8, 0), (2.0, -3)])
def test_reverberation_time_and_direct_sound(rt60, drr, rate):
    response = distortion.room_response(rate, rng(), rt60=rt60, drr_db=drr).astype(float)
    energy = np.cumsum(response[:0:-1] ** 2)[::-1]  # Schroeder 1965, without the direct sound
    curve = decibels(energy / energy[0])
    first, last = np.searchsorted(-curve, [5, 35])  # T30 of ISO 3382
    slope = np.polyfit(np.arange(first, last) / rate, curve[first:last], 1)[0]
    assert -60 / slope == pytest.approx(rt60, rel=0.05)
    assert decibels(response[0] ** 2 / energy[0]) == pytest.approx(drr, abs=0.01)
    assert np.sum(response**2) == pytest.approx(1, rel=1e-5)
    assert not response[1 : int(0.004 * rate)].any()


def test_reverberation_of_an_impulse_is_the_response():
    impulse = np.zeros(RATE, "f4")
    impulse[100] = 1
    wet = distortion.reverberate(impulse, RATE, rng(3), rt60=0.3, drr_db=6)
    response = distortion.room_response(RATE, rng(3), rt60=0.3, drr_db=6)
    assert wet.shape == impulse.shape
    np.testing.assert_allclose(wet[100 : 100 + len(response)], response, atol=1e-6)
    assert np.abs(wet[:100]).max() < 1e-6


@pytest.mark.parametrize("rate", [RATE, 48_000])
@pytest.mark.parametrize(
    ("edges", "kept", "gone"),
    [
        ({"low": 300, "high": 3400}, [500, 1000, 2500], [140, 6900]),
        ({"high": 4000}, [100, 1000, 3000], [7900]),
        ({"high": 2000}, [100, 1000, 1500], [4000, 7000]),
    ],
)
def test_bands(edges, kept, gone, rate):
    def gain(hz):
        passed = distortion.limit_band(tone(hz, rate=rate), rate, rng(), **edges)
        steady = slice(rate // 4, None)
        power = np.mean(passed[steady].astype(float) ** 2)
        return decibels(power / np.mean(tone(hz, rate=rate)[steady].astype(float) ** 2))

    assert all(abs(gain(hz)) < 0.5 for hz in kept)
    assert all(gain(hz) < -40 for hz in gone)
    assert gain(edges["high"]) == pytest.approx(-3.01, abs=0.1)


def test_a_band_that_is_there_anyway():
    samples = tone(200, rate=8000)
    assert distortion.limit_band(samples, 8000, rng(), high=4000) is samples


def test_gain():
    samples = tone(200, level=0.3)
    softer = distortion.change_gain(samples, RATE, rng(), gain_db=-30)
    np.testing.assert_allclose(softer, samples * 10**-1.5, rtol=1e-6)
    louder = distortion.change_gain(samples, RATE, rng(), gain_db=12)
    assert np.abs(louder).max() == 1
    unclipped = np.abs(samples * 10**0.6) < 1
    np.testing.assert_allclose(louder[unclipped], samples[unclipped] * 10**0.6, rtol=1e-6)
    assert 0.1 < np.mean(~unclipped) < 0.6


@pytest.mark.parametrize("semitones", [-4, -2, 2, 4])
def test_tape_speed_moves_everything(semitones):
    ratio = 2 ** (semitones / 12)
    faster = distortion.change_speed(tone(440, 2.0), RATE, rng(), semitones=semitones)
    assert len(faster) == pytest.approx(2 * RATE / ratio, abs=1)
    middle = faster[RATE // 4 : -RATE // 4]
    peak = (
        np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 18)).argmax() * RATE / (1 << 18)
    )
    assert peak == pytest.approx(440 * ratio, rel=1e-3)
    assert np.std(middle) == pytest.approx(np.std(tone(440)), rel=0.01)


def spectrum(samples):
    """Mean log envelope of the voiced frames, without its mean; median F0."""
    found = world.analyze(samples, RATE)
    voiced = found.f0 > 0
    envelope = np.log(found.envelope[voiced][:, 5:200]).mean(axis=0)
    return envelope - envelope.mean(), np.median(found.f0[voiced])


@pytest.mark.parametrize("semitones", [-4, 0, 4])
def test_pitch_shift_keeps_formants_length_and_level(voice, semitones):
    pytest.importorskip("pyworld")
    shifted = distortion.shift_pitch(voice, RATE, rng(), semitones=semitones)
    assert shifted.shape == voice.shape
    assert shifted.dtype == np.float32
    envelope, f0 = spectrum(voice)
    moved, moved_f0 = spectrum(shifted)
    assert 12 * np.log2(moved_f0 / f0) == pytest.approx(semitones, abs=0.3)
    kept = np.sqrt(np.mean((moved - envelope) ** 2))
    level = distortion.active_power(shifted, RATE) / distortion.active_power(voice, RATE)
    assert decibels(level) == pytest.approx(0, abs=0.1)
    if semitones:
        taped = distortion.change_speed(voice, RATE, rng(), semitones=semitones)
        assert kept < 0.6 * np.sqrt(np.mean((spectrum(taped)[0] - envelope) ** 2))


def test_long_recordings_are_shifted_block_by_block(voice, monkeypatch):
    pytest.importorskip("pyworld")
    whole = spectrum(distortion.shift_pitch(voice, RATE, rng(), semitones=2))
    monkeypatch.setattr(distortion, "_WORLD_BLOCK_SECONDS", 2.5)
    monkeypatch.setattr(distortion, "_WORLD_CUT_SECONDS", 1.0)
    blocks = distortion._blocks(voice, RATE)
    assert len(blocks) > 2
    assert [start for start, _ in blocks[1:]] == [end for _, end in blocks[:-1]]
    assert (blocks[0][0], blocks[-1][1]) == (0, len(voice))
    assert all(end - start <= 2.6 * RATE for start, end in blocks)
    envelope, f0 = spectrum(distortion.shift_pitch(voice, RATE, rng(), semitones=2))
    assert f0 == pytest.approx(whole[1], rel=0.01)
    np.testing.assert_allclose(envelope, whole[0], atol=0.5)
