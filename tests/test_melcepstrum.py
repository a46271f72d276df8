"""Mel-cepstra: against recursions written as loops, plain sums, and numbers from SPTK."""

from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from singerid.features.melcepstrum import (
    fitted_mel_cepstrum,
    frequency_transform,
    mel_cepstrum,
    mel_cepstrum_from_mfsc,
    mfsc_from_mel_cepstrum,
    power_spectrum,
    warp,
)

GOLDEN = np.load(Path(__file__).parent / "data" / "melcepstrum.npz")
"""Written by benchmarks/reference_melcepstrum.py with pysptk 1.0.1."""
ALPHA, N_BINS = 0.45, 513


def rng(seed=0):
    return np.random.default_rng(seed)


def freqt_by_loops(cepstrum, order, alpha):
    """The recursion of Oppenheim and Johnson 1972 as Tokuda et al. 1994 write it."""
    result = np.zeros(order + 1)
    for value in cepstrum[::-1]:
        before = result.copy()
        result[0] = value + alpha * before[0]
        if order >= 1:
            result[1] = (1 - alpha**2) * before[0] + alpha * before[1]
        for m in range(2, order + 1):
            result[m] = before[m - 1] + alpha * (before[m] - result[m - 1])
    return result


def smooth_powers(n=5, seed=0, n_bins=N_BINS):
    """Powers of minimum-phase filters with a decaying cepstrum, `(n, n_bins)`."""
    cepstra = rng(seed).standard_normal((n, 30)) * 0.9 ** np.arange(30) * 0.7
    return np.exp(2 * cepstra @ np.cos(np.outer(np.arange(30), np.linspace(0, np.pi, n_bins))))


@given(
    n=st.integers(1, 20), order=st.integers(0, 20), alpha=st.floats(-0.9, 0.9),
    seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_frequency_transform_is_the_recursion(n, order, alpha, seed):
    cepstra = rng(seed).standard_normal((3, n))
    expected = [freqt_by_loops(cepstrum, order, alpha) for cepstrum in cepstra]
    np.testing.assert_allclose(frequency_transform(cepstra, order, alpha), expected, atol=1e-10)


def test_alpha_zero_changes_nothing_and_minus_alpha_leads_back():
    cepstra = rng().standard_normal((4, 20))
    np.testing.assert_array_equal(frequency_transform(cepstra, 19, 0.0), cepstra)
    np.testing.assert_array_equal(frequency_transform(cepstra, 9, 0.0), cepstra[:, :10])
    there = frequency_transform(cepstra, 400, ALPHA)
    np.testing.assert_allclose(frequency_transform(there, 19, -ALPHA), cepstra, atol=1e-10)


def test_a_transformed_cepstrum_says_the_same_at_the_warped_frequencies():
    cepstrum, omega = rng(1).standard_normal(12), np.linspace(0, np.pi, 50)
    warped = frequency_transform(cepstrum, 300, ALPHA)
    before = sum(c * np.cos(m * omega) for m, c in enumerate(cepstrum))
    after = sum(c * np.cos(m * warp(omega, ALPHA)) for m, c in enumerate(warped))
    np.testing.assert_allclose(after, before, atol=1e-9)


def test_the_warp_is_the_phase_of_the_all_pass():
    omega = np.linspace(0, np.pi, 100)
    z = np.exp(-1j * omega)
    phase = -np.unwrap(np.angle((z - ALPHA) / (1 - ALPHA * z)))
    np.testing.assert_allclose(warp(omega, ALPHA), phase, atol=1e-12)
    np.testing.assert_allclose(warp(warp(omega, ALPHA), -ALPHA), omega, atol=1e-12)
    assert np.all(warp(omega[1:-1], ALPHA) > omega[1:-1])


@pytest.mark.parametrize("kind", ["envelope", "aperiodicity"])
def test_sptk_gives_the_same_numbers(kind):
    golden = {name: GOLDEN[f"{kind}_{name}"] for name in
              ("power", "freqt", "sp2mc", "mcep", "mcep_fitted", "mc2sp", "mfsc")}  # fmt: skip
    power, linear = golden["power"], golden["mcep"]
    n_dims = linear.shape[1]
    assert n_dims == {"envelope": 40, "aperiodicity": 4}[kind]
    close = {"rtol": 0, "atol": 1e-8}
    np.testing.assert_allclose(frequency_transform(linear, 25, ALPHA), golden["freqt"], **close)
    unfloored = mel_cepstrum(power, n_dims, ALPHA, floor_db=-np.inf)
    np.testing.assert_allclose(unfloored, golden["sp2mc"], **close)
    np.testing.assert_allclose(mel_cepstrum(power, n_dims, ALPHA), linear, **close)
    fitted = fitted_mel_cepstrum(power, n_dims, ALPHA, tolerance=1e-12)
    np.testing.assert_allclose(fitted, golden["mcep_fitted"], **close)
    assert np.abs(fitted - linear).max() > 1e-3
    np.testing.assert_allclose(power_spectrum(linear, N_BINS, ALPHA), golden["mc2sp"], rtol=1e-8)
    np.testing.assert_allclose(mfsc_from_mel_cepstrum(linear), golden["mfsc"], **close)


def test_many_mel_cepstra_give_the_spectrum_back():
    power = smooth_powers()
    back = power_spectrum(mel_cepstrum(power, 200, ALPHA, floor_db=-300), N_BINS, ALPHA)
    np.testing.assert_allclose(back, power, rtol=1e-9)
    finer = power_spectrum(mel_cepstrum(power, 200, ALPHA, floor_db=-300), 2 * N_BINS - 1, ALPHA)
    np.testing.assert_allclose(finer[:, ::2], power, rtol=1e-9)


def test_as_many_cepstra_as_bins_lose_nothing_where_nothing_is_warped():
    power = rng().exponential(size=(4, 17))
    back = power_spectrum(mel_cepstrum(power, 17, 0.0, floor_db=-300), 17, 0.0)
    np.testing.assert_allclose(back, power, rtol=1e-9)


def test_mfsc_are_the_spectrum_at_evenly_warped_frequencies():
    n_dims = 25
    coarse = mel_cepstrum(smooth_powers(), n_dims, ALPHA)
    at_bands = warp(np.linspace(0, np.pi, n_dims), -ALPHA)  # ω at which ω̃ is even
    level = np.zeros((len(coarse), n_dims))
    for m in range(n_dims):
        level += 20 / np.log(10) * coarse[:, m, None] * np.cos(m * warp(at_bands, ALPHA))
    np.testing.assert_allclose(mfsc_from_mel_cepstrum(coarse), level, atol=1e-9)


@pytest.mark.parametrize("n_dims", [2, 3, 4, 40])
def test_mfsc_have_an_inverse(n_dims):
    cepstra = rng().standard_normal((7, n_dims))
    back = mel_cepstrum_from_mfsc(mfsc_from_mel_cepstrum(cepstra))
    np.testing.assert_allclose(back, cepstra, atol=1e-12)


def test_a_flat_spectrum_is_its_level_and_gain_moves_only_the_first():
    flat = mfsc_from_mel_cepstrum(mel_cepstrum(np.full((2, N_BINS), 1e-3), 30))
    np.testing.assert_allclose(flat, -30, atol=1e-6)
    for function in (mel_cepstrum, fitted_mel_cepstrum):
        power = smooth_powers()
        change = function(100 * power, 20) - function(power, 20)
        np.testing.assert_allclose(change[:, 0], np.log(100) / 2, atol=1e-3)
        np.testing.assert_allclose(change[:, 1:], 0, atol=1e-3)


def test_silence_lies_at_the_floor():
    for function in (mel_cepstrum, fitted_mel_cepstrum):
        levels = mfsc_from_mel_cepstrum(function(np.zeros(N_BINS), 10, floor_db=-90))
        np.testing.assert_allclose(levels, -90, atol=1e-9)


def itakura_saito(mel_cepstra, power):
    ratio = power / power_spectrum(mel_cepstra, len(power))
    weights = np.full(len(power), 1.0)
    weights[[0, -1]] = 0.5
    return np.average(ratio - np.log(ratio) - 1, weights=weights)


def test_the_fit_is_where_an_optimizer_ends():
    power = smooth_powers(1, seed=3)[0]
    start = mel_cepstrum(power, 6)
    best = scipy.optimize.minimize(itakura_saito, start, power, method="BFGS", tol=1e-9)
    fitted = fitted_mel_cepstrum(power, 6, tolerance=1e-9)
    np.testing.assert_allclose(fitted, best.x, atol=1e-5)
    assert itakura_saito(fitted, power) < itakura_saito(start, power) - 0.01


def test_the_fit_follows_power_where_the_logarithm_follows_valleys():
    periodogram = rng().exponential(size=(50, N_BINS))  # of white noise with power 1
    level = {f: mfsc_from_mel_cepstrum(f(periodogram, 8)).mean()
             for f in (mel_cepstrum, fitted_mel_cepstrum)}  # fmt: skip
    assert level[fitted_mel_cepstrum] == pytest.approx(0, abs=0.1)
    # The mean logarithm of an exponential variable is -0.577 (Euler), that is -2.5 dB.
    assert level[mel_cepstrum] == pytest.approx(-2.5, abs=0.2)


def test_the_fit_converges_from_bad_starts():
    power = 10 ** rng(5).uniform(-12, 0, (20, N_BINS))
    better = fitted_mel_cepstrum(power, 8, iterations=100)
    moments = [
        np.mean((frame / power_spectrum(c, N_BINS))[1:-1])
        for frame, c in zip(power, better, strict=True)
    ]
    np.testing.assert_allclose(moments, 1, atol=0.02)  # slope 0 in c_0


def test_leading_axes_stay():
    power = smooth_powers(6)
    for function in (mel_cepstrum, fitted_mel_cepstrum):
        one_by_one = np.array([function(frame, 9) for frame in power])
        np.testing.assert_allclose(function(power.reshape(2, 3, -1), 9).reshape(6, 9), one_by_one)
        assert function(power[:0], 9).shape == (0, 9)


@pytest.mark.parametrize("function", [mel_cepstrum, fitted_mel_cepstrum])
@pytest.mark.parametrize("bad", [-1e-9, np.nan, np.inf])
def test_spectra_that_are_none_are_refused(function, bad):
    power = np.ones(N_BINS)
    power[7] = bad
    with pytest.raises(ValueError, match="must be finite and not negative"):
        function(power, 5)


def test_other_errors():
    with pytest.raises(ValueError, match=r"alpha 1\.0 must lie between -1 and 1"):
        frequency_transform(np.ones(3), 3, 1.0)
    with pytest.raises(ValueError, match="alpha -2 must lie between -1 and 1"):
        warp(0.5, -2)
    with pytest.raises(ValueError, match="found 3 values in and 0 out"):
        frequency_transform(np.ones(3), -1, 0.3)
    with pytest.raises(ValueError, match="found 1 bins"):
        mel_cepstrum(np.ones(1), 3)
    for function in (mfsc_from_mel_cepstrum, mel_cepstrum_from_mfsc):
        with pytest.raises(ValueError, match=r"at least 2 dimensions are needed; .* \(4, 1\)"):
            function(np.ones((4, 1)))
