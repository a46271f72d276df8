"""Mel-cepstra: a spectrum in a few numbers, as cosines on a warped frequency axis.

A power spectrum is written as ln P(ω) = 2 · Σ c_m cos(m·ω̃), m = 0 … n_dims - 1, where an
all-pass filter warps ω to ω̃ much as the ear does (Tokuda et al. 1994, Mel-generalized cepstral
analysis, ICSLP). The c_m are SPTK's: the cepstrum of the minimum-phase filter with power P.
All transforms but one are a single product with a cached matrix.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

FloatArray = npt.NDArray[np.float64]

ALPHA = 0.45
"""Usual warping in the singing synthesis that uses these features (Blaauw and Bonada 2017)."""
FLOOR_DB = -120.0
"""Usual power, relative to 1, that is added before logarithms."""
_DB_PER_NEPER = 10 / np.log(10)
_FRAMES_AT_ONCE = 128  # of the Newton steps: their systems of equations stay in the cache
_LONGEST_STEP = 3.0  # nepers by which a Newton step may change a power


def warp(omega: npt.ArrayLike, alpha: float) -> FloatArray:
    """Phase ω̃ of the first-order all-pass at ω, both 0 … π; positive `alpha` widens the lows.

    Raises:
        ValueError: `alpha` is not inside -1 … 1.
    """
    if not -1 < alpha < 1:
        raise ValueError(f"alpha {alpha} must lie between -1 and 1")
    omega = np.asarray(omega, np.float64)
    return np.asarray(omega + 2 * np.arctan2(alpha * np.sin(omega), 1 - alpha * np.cos(omega)))


def frequency_transform(cepstra: npt.ArrayLike, order: int, alpha: float) -> FloatArray:
    """Cepstra on the axis that the all-pass of `alpha` warps (SPTK's ``freqt``).

    The cepstrum of a minimum-phase filter stays one. -`alpha` leads back, but for what the two
    truncations cost (Oppenheim and Johnson 1972, Discrete representation of signals).

    Args:
        cepstra: `(…, n)`, from c_0.
        order: highest index of the result.
        alpha: -1 … 1.

    Returns:
        float64 `(…, order + 1)`.

    Raises:
        ValueError: `order` is negative, or `alpha` out of range.
    """
    cepstra = np.asarray(cepstra, np.float64)
    return np.asarray(cepstra @ _warping(cepstra.shape[-1], order + 1, float(alpha)))


@lru_cache(maxsize=32)
def _warping(n_in: int, n_out: int, alpha: float) -> FloatArray:
    """Row m holds the powers of z̃⁻¹ in z⁻ᵐ = ((z̃⁻¹ + α) / (1 + α·z̃⁻¹))ᵐ, `(n_in, n_out)`."""
    if n_in < 1 or n_out < 1:
        raise ValueError(f"a cepstrum needs c_0; found {n_in} values in and {n_out} out")
    if not -1 < alpha < 1:
        raise ValueError(f"alpha {alpha} must lie between -1 and 1")
    rows = np.zeros((n_in, n_out))
    rows[0, 0] = 1
    for m in range(1, n_in):
        rows[m] = scipy.signal.lfilter([alpha, 1], [1, alpha], rows[m - 1])
    return _constant(rows)


def mel_cepstrum(
    power: npt.ArrayLike, n_dims: int, alpha: float = ALPHA, floor_db: float = FLOOR_DB
) -> FloatArray:
    """Mel-cepstra as the cosine transform of the log spectrum (SPTK's ``mcep`` before iterating).

    Args:
        power: `(…, n_bins)`, 0 Hz to half the sample rate, not negative.
        n_dims: number of coefficients, c_0 included.
        alpha: warping, -1 … 1.
        floor_db: power added before the logarithm.

    Returns:
        float64 `(…, n_dims)`.

    Raises:
        ValueError: `power` is negative or not finite, or `alpha` out of range.
    """
    log_power = np.log(_checked(power) + 10 ** (floor_db / 10))
    return np.asarray(log_power @ _analysis(log_power.shape[-1], n_dims, float(alpha)))


@lru_cache(maxsize=32)
def _analysis(n_bins: int, n_dims: int, alpha: float) -> FloatArray:
    """Log power → cepstrum of the minimum-phase filter → warped, `(n_bins, n_dims)`."""
    if n_bins < 2:
        raise ValueError(f"a spectrum needs 0 Hz and half the sample rate; found {n_bins} bins")
    cepstra = scipy.fft.irfft(np.eye(n_bins), axis=1)[:, :n_bins]
    cepstra[:, [0, -1]] /= 2
    return _constant(cepstra @ _warping(n_bins, n_dims, alpha))


def fitted_mel_cepstrum(
    power: npt.ArrayLike,
    n_dims: int,
    alpha: float = ALPHA,
    floor_db: float = FLOOR_DB,
    *,
    iterations: int = 30,
    tolerance: float = 1e-4,
) -> FloatArray:
    """Mel-cepstra that fit the power: mel-cepstral analysis proper (SPTK's ``mcep``).

    They make the mean of P / P̂ - ln(P / P̂) - 1 over frequency small, by Newton's method from
    `mel_cepstrum`; unlike the logarithm's mean, that follows peaks rather than valleys
    (Fukada et al. 1992, An adaptive algorithm for mel-cepstral analysis of speech, eq. 1-10).

    Args:
        power: `(…, n_bins)`, 0 Hz to half the sample rate, not negative.
        n_dims: number of coefficients, c_0 included.
        alpha: warping, -1 … 1.
        floor_db: power added to `power`.
        iterations: most Newton steps.
        tolerance: largest slope at which a frame is done.

    Returns:
        float64 `(…, n_dims)`.

    Raises:
        ValueError: `power` is negative or not finite, or `alpha` out of range.
    """
    power = _checked(power)
    flat = power.reshape(-1, power.shape[-1]) + 10 ** (floor_db / 10)
    fitted = np.empty((len(flat), n_dims))
    for start in range(0, len(flat), _FRAMES_AT_ONCE):
        block = flat[start : start + _FRAMES_AT_ONCE]
        fitted[start : start + len(block)] = _fit(block, n_dims, alpha, iterations, tolerance)
    return fitted.reshape(*power.shape[:-1], n_dims)


def _fit(
    power: FloatArray, n_dims: int, alpha: float, iterations: int, tolerance: float
) -> FloatArray:
    """Newton's method on frames `(n_frames, n_bins)` together; those that are done drop out."""
    log_power = np.log(power)
    cepstra = log_power @ _analysis(power.shape[1], n_dims, float(alpha))
    basis = _cosines(power.shape[1], 2 * n_dims - 1, float(alpha))
    weights = np.full(power.shape[1], 1 / (power.shape[1] - 1))
    weights[[0, -1]] /= 2
    rest = log_power - 2 * cepstra @ basis[:n_dims]
    index = np.arange(n_dims)
    active = np.arange(len(power))
    for _ in range(iterations):
        moments = (np.exp(rest[active]) * weights) @ basis.T
        slopes = moments[:, :n_dims] - basis[:n_dims] @ weights
        open_ = np.abs(slopes).max(axis=1) > tolerance
        active, moments, slopes = active[open_], moments[open_], slopes[open_]
        if len(active) == 0:
            break
        # cos·cos = ½ (cos of difference + cos of sum): the Hessian is Toeplitz plus Hankel.
        hessian = moments[:, abs(index[:, None] - index)] + moments[:, index[:, None] + index]
        steps = np.linalg.solve(hessian, slopes[:, :, None])[:, :, 0]
        change = 2 * steps @ basis[:n_dims]
        damping = np.minimum(1, _LONGEST_STEP / np.abs(change).max(axis=1, keepdims=True))
        cepstra[active] += damping * steps
        rest[active] -= damping * change
    return np.asarray(cepstra)


def power_spectrum(mel_cepstra: npt.ArrayLike, n_bins: int, alpha: float = ALPHA) -> FloatArray:
    """Power `(…, n_bins)` from 0 Hz to half the sample rate that mel-cepstra stand for."""
    mel_cepstra = np.asarray(mel_cepstra, np.float64)
    basis = _cosines(n_bins, mel_cepstra.shape[-1], float(alpha))
    return np.asarray(np.exp(2 * mel_cepstra @ basis))


@lru_cache(maxsize=32)
def _cosines(n_bins: int, n_dims: int, alpha: float) -> FloatArray:
    """cos(m·ω̃) at the bins of a spectrum, `(n_dims, n_bins)`."""
    warped = warp(np.linspace(0, np.pi, n_bins), alpha)
    return _constant(np.cos(np.arange(n_dims)[:, None] * warped))


def mfsc_from_mel_cepstrum(mel_cepstra: npt.ArrayLike) -> FloatArray:
    """Mel-frequency spectral coefficients: what mel-cepstra say about n_dims bands, in dB.

    The bands' centers divide the warped axis from 0 Hz to half the sample rate evenly, both ends
    included (Blaauw and Bonada 2017, A neural parametric singing synthesizer, Appl. Sci. 7).

    Args:
        mel_cepstra: `(…, n_dims)`, at least two of them.

    Returns:
        float64 `(…, n_dims)`, 10·log10 of the power; `mel_cepstrum_from_mfsc` is its inverse.
    """
    ends = np.array(_at_least_two(mel_cepstra))
    ends[..., [0, -1]] *= 2  # the transform counts all others twice
    return np.asarray(_DB_PER_NEPER * scipy.fft.dct(ends, type=1))


def mel_cepstrum_from_mfsc(mfsc: npt.ArrayLike) -> FloatArray:
    """Inverse of `mfsc_from_mel_cepstrum`, `(…, n_dims)` → `(…, n_dims)`."""
    cepstra = np.array(scipy.fft.idct(_at_least_two(mfsc) / _DB_PER_NEPER, type=1))
    cepstra[..., [0, -1]] /= 2
    return cepstra


def _at_least_two(values: npt.ArrayLike) -> FloatArray:
    values = np.asarray(values, np.float64)
    if values.ndim == 0 or values.shape[-1] < 2:
        raise ValueError(f"at least 2 dimensions are needed; found shape {values.shape}")
    return values


def _checked(power: npt.ArrayLike) -> FloatArray:
    power = np.asarray(power, np.float64)
    if not np.all((power >= 0) & (power < np.inf)):
        raise ValueError("a power spectrum must be finite and not negative")
    return power


def _constant(array: FloatArray) -> FloatArray:
    array.flags.writeable = False  # cached: shared by all callers
    return array
