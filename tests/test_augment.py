"""Augmentation: levels and responses as asked for, and nothing left to chance."""

import random

import numpy as np
import pytest
import scipy.signal
from pydantic import ValidationError

from singerid.augment import Band, add_noise, augment, draw_bands, equalize
from singerid.training_sections import AugmentSettings

RATE = 16000
TONE = (0.3 * np.sin(2 * np.pi * 220 * np.arange(RATE) / RATE)).astype(np.float32)


def generator(seed=0):
    return np.random.default_rng(seed)


def response_db(bands, frequencies, rate=RATE):
    """Measured: the spectrum of what a click becomes."""
    click = np.zeros(1 << 17, np.float32)
    click[0] = 1
    spectrum = np.fft.rfft(equalize(click, rate, bands).astype(float))
    at = np.round(np.asarray(frequencies) * len(click) / rate).astype(int)
    return 20 * np.log10(np.abs(spectrum[at]))


def cookbook_db(band, frequencies, rate=RATE):
    """Expected: the cookbook's analog prototypes on the axis that the bilinear transform bends."""
    s = 1j * np.tan(np.pi * np.asarray(frequencies) / rate) / np.tan(np.pi * band.center / rate)
    a, q = 10 ** (band.gain_db / 40), band.q
    root = np.sqrt(a) / q
    if band.kind == "peak":
        h = (s**2 + s * a / q + 1) / (s**2 + s / (a * q) + 1)
    elif band.kind == "low shelf":
        h = a * (s**2 + root * s + a) / (a * s**2 + root * s + 1)
    else:
        h = a * (a * s**2 + root * s + 1) / (s**2 + root * s + a)
    return 20 * np.log10(np.abs(h))


def freqz_peak_db(band, frequencies, rate=RATE):
    """Expected of a peak: the cookbook's digital formula, by scipy."""
    w0 = 2 * np.pi * band.center / rate
    a, alpha = np.sqrt(10 ** (band.gain_db / 20)), np.sin(w0) / 2 / band.q
    b = np.array([1 + alpha * a, -2 * np.cos(w0), 1 - alpha * a])
    poles = np.array([1 + alpha / a, -2 * np.cos(w0), 1 - alpha / a])
    _, h = scipy.signal.freqz(b, poles, worN=np.asarray(frequencies, float), fs=rate)
    return 20 * np.log10(np.abs(h))


GRID = np.geomspace(20, 7900, 200)
GRID = np.round(GRID * (1 << 17) / RATE) * RATE / (1 << 17)  # on the bins of `response_db`


# noise


@pytest.mark.parametrize("snr_db", [-5, 0, 20, 35, 50])
def test_noise_has_the_ratio_that_is_asked_for(snr_db):
    noise = add_noise(TONE, snr_db, generator()).astype(float) - TONE
    measured = 10 * np.log10(np.mean(TONE.astype(float) ** 2) / np.mean(noise**2))
    assert measured == pytest.approx(snr_db, abs=0.5)


def test_noise_is_white_gaussian_and_without_mean():
    noise = add_noise(np.tile(TONE, 20), 0, generator()).astype(float) - np.tile(TONE, 20)
    noise /= noise.std()
    assert abs(noise.mean()) < 0.01
    assert np.mean(noise**4) == pytest.approx(3, abs=0.05)  # kurtosis of a normal variable
    _, density = scipy.signal.welch(noise, nperseg=64)
    assert density[2:-1].max() / density[2:-1].min() < 1.2


def test_ratios_are_drawn_from_the_whole_range():
    settings = AugmentSettings(noise_probability=1, eq_probability=0, snr_min_db=30, snr_max_db=40)
    rng, ratios = generator(), []
    for _ in range(300):
        noise = augment(TONE, RATE, settings, rng).astype(float) - TONE
        ratios.append(10 * np.log10(np.mean(TONE**2) / np.mean(noise**2)))
    assert 29.8 < min(ratios) < 30.5
    assert 39.5 < max(ratios) < 40.2
    assert np.mean(ratios) == pytest.approx(35, abs=0.6)


# equalizer


@pytest.mark.parametrize("gain_db", [-12, -3, 6, 12])
@pytest.mark.parametrize(("center", "q"), [(120, 0.5), (600, 5), (1000, 1), (4000, 2)])
def test_peak_boosts_its_center_by_its_gain_and_leaves_what_is_far(center, q, gain_db):
    band = Band("peak", center, gain_db, q)
    np.testing.assert_allclose(response_db([band], GRID), freqz_peak_db(band, GRID), atol=1e-3)
    assert freqz_peak_db(band, [center])[0] == pytest.approx(gain_db, abs=1e-6)
    narrow = Band("peak", center, gain_db, 5)
    far = GRID[(center / 10 > GRID) | (center * 10 < GRID)]
    assert np.abs(response_db([narrow], far)).max() < 0.1


@pytest.mark.parametrize("gain_db", [-12, 6, 12])
@pytest.mark.parametrize("kind", ["low shelf", "peak", "high shelf"])
def test_bands_follow_the_cookbooks_analog_prototypes(kind, gain_db):
    for center, q in ((60, 0.3), (1000, 0.71), (6000, 0.95)):
        band = Band(kind, center, gain_db, q)
        np.testing.assert_allclose(response_db([band], GRID), cookbook_db(band, GRID), atol=1e-3)


def test_shelves_reach_their_gain_on_their_own_side_only():
    low, high = Band("low shelf", 300, 9, 0.71), Band("high shelf", 3000, -9, 0.71)
    np.testing.assert_allclose(response_db([low], [20, 7900]), [9, 0], atol=0.05)
    np.testing.assert_allclose(response_db([high], [20, 7900]), [0, -9], atol=0.05)


def test_bands_add_up_in_decibels():
    bands = draw_bands(RATE, 12, generator(3))
    expected = sum(cookbook_db(band, GRID) for band in bands)
    np.testing.assert_allclose(response_db(bands, GRID), expected, atol=2e-3)


def test_opposite_gains_undo_each_other():
    bands = draw_bands(RATE, 12, generator(4))
    inverse = [Band(b.kind, b.center, -b.gain_db, b.q) for b in bands]
    np.testing.assert_allclose(equalize(TONE, RATE, bands + inverse), TONE, atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_drawn_bands_stay_in_range_and_stable(rate):
    rng = generator()
    drawn = [draw_bands(rate, 12, rng) for _ in range(200)]
    kinds = ["low shelf", *["peak"] * 5, "high shelf"]
    assert all([band.kind for band in bands] == kinds for bands in drawn)
    gains = np.array([[band.gain_db for band in bands] for bands in drawn])
    centers = np.array([[band.center for band in bands] for bands in drawn])
    assert -12 <= gains.min() < -11.5
    assert 11.5 < gains.max() <= 12
    assert np.abs(gains.mean(axis=0)).max() < 2  # standard error 0.5
    assert centers.max() < rate / 2
    assert (np.median(centers, axis=0)[1:] > np.median(centers, axis=0)[:-1]).all()
    for bands in drawn[:20]:
        click = np.zeros(2 * rate, np.float32)
        click[0] = 1
        assert np.abs(equalize(click, rate, bands)[-rate // 2 :]).max() < 1e-6


# both


def test_same_generator_same_result_and_no_other_randomness():
    settings = AugmentSettings()
    results = []
    for global_seed in (1, 2):
        random.seed(global_seed)
        np.random.seed(global_seed)  # noqa: NPY002
        rng = generator(5)
        results.append([augment(TONE, RATE, settings, rng) for _ in range(10)])
    np.testing.assert_array_equal(*results)
    assert len({result.tobytes() for result in results[0]}) > 5


@pytest.mark.parametrize(("noise", "eq"), [(0, 0), (0.3, 0), (0, 0.7), (1, 1)])
def test_probabilities(noise, eq):
    chosen = AugmentSettings(noise_probability=noise, eq_probability=eq, snr_min_db=20)
    rng, n = generator(), 400
    window = np.hanning(RATE)  # so that beside noise nothing reaches the highest frequencies
    noisy = changed = 0
    for _ in range(n):
        result = augment(TONE, RATE, chosen, rng)
        changed += result is not TONE
        noisy += np.abs(np.fft.rfft(window * result)[-500:-100]).mean() > 0.01
    assert noisy / n == pytest.approx(noise, abs=0.08)
    assert changed / n == pytest.approx(1 - (1 - noise) * (1 - eq), abs=0.08)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(5000, np.float32), TONE, np.full(1000, 0.5, np.float32), np.ones(1, np.float32)],
)
def test_finite_and_of_the_same_shape_and_type(samples):
    rng, before = generator(), samples.copy()
    for _ in range(20):
        result = augment(samples, RATE, AugmentSettings(), rng)
        assert result.dtype == np.float32
        assert result.shape == samples.shape
        assert np.isfinite(result).all()
        assert result.any() == samples.any()  # silence stays silence
    np.testing.assert_array_equal(samples, before)


def test_no_samples_are_no_error():
    assert add_noise(np.zeros(0, np.float32), 20, generator()).shape == (0,)


def test_ratios_in_the_wrong_order_are_refused():
    with pytest.raises(ValidationError, match="snr_min_db 30 must not exceed snr_max_db 20"):
        AugmentSettings(snr_min_db=30, snr_max_db=20)
