"""Decimation against a plain convolution."""

import numpy as np
import pytest

from singerid.decimation import decimated, lowpass


@pytest.mark.parametrize(("factor", "n_rows", "n_samples"), [(2, 12, 999), (7, 20, 700), (3, 1, 1)])
def test_equals_a_convolution(factor, n_rows, n_samples):
    samples = np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    taps = lowpass(factor, n_rows, 6.0)
    slow = decimated(samples, taps)
    assert len(slow) == -(-n_samples // factor) + n_rows - 1
    every = np.convolve(samples, taps.reshape(-1)[::-1])
    expected = np.append(every, np.zeros(len(slow) * factor))[factor - 1 :: factor][: len(slow)]
    np.testing.assert_allclose(slow, expected, atol=1e-5)


@pytest.mark.parametrize("factor", [2, 5])
def test_what_lies_low_passes_and_what_would_fold_into_it_does_not(factor):
    taps = lowpass(factor, 12, 4.0).reshape(-1).astype(np.float64)
    np.testing.assert_allclose(taps, taps[::-1], atol=1e-8)
    n_fft = 4096
    gain = np.abs(np.fft.rfft(taps, n_fft))
    slow_rates = np.arange(len(gain)) * factor / n_fft  # frequency, 1 for the slow rate
    np.testing.assert_allclose(gain[slow_rates < 0.39], 1, atol=0.01)
    assert gain[(slow_rates > 0.61) & (slow_rates < 1.39)].max() < 10 ** (-40 / 20)
