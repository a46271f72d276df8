"""Zero-phase Butterworth high-pass: a signal minus what lies below the cutoff.

Run forwards and backwards, a Butterworth filter of order n multiplies the spectrum by
1 - G(f), G(f) = 1 / (1 + (tan(πf / sample_rate) / tan(π cutoff / sample_rate))^2n) (bilinear
transform; Oppenheim and Schafer, Discrete-Time Signal Processing, section 7.1). G vanishes a
few octaves above the cutoff. So what it lets through is found at a few hundred hertz, where it
costs next to nothing, and is subtracted: several times as fast as the recursion.

All of it with NumPy alone: `scipy.signal` takes longer to import than a recording to embed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from singerid.blas import one_thread
from singerid.decimation import decimated, lowpass
from singerid.frames import fast_length

FloatArray = npt.NDArray[np.float32]
_BLOCK = 1 << 18  # samples at a time, for bounded memory
_SLOW_RATE = 12  # cutoffs: at half of it, G is 2e-8
_PHASE_TAPS = 20
_KAISER_BETA = 14.0  # with so many taps: flat to 1e-7 wherever G exceeds 1e-5


@one_thread()
def highpass(
    samples: FloatArray,
    cutoff: float,
    sample_rate: int,
    order: int = 5,
    out: FloatArray | None = None,
) -> FloatArray:
    """Butterworth high-pass forwards and backwards (zero phase), in bounded memory.

    Equal to `scipy.signal.filtfilt` to 2e-6 of the peak (float32), odd extension of both ends
    included, and stable at low cutoffs, where `filtfilt` is not.

    Args:
        samples: `(n_samples,)`.
        cutoff: Hz, above 0 and below half of `sample_rate`.
        sample_rate: Hz.
        order: of one of the two passes.
        out: array for the result; may be `samples` itself.

    Returns:
        float32 `(n_samples,)`.
    """
    result = np.empty(len(samples), np.float32) if out is None else out
    margin = reach(cutoff, sample_rate, order)
    if len(samples) <= 4 * margin:
        result[:] = _both_ways(samples, cutoff, sample_rate, order)
        return result
    # The ends one by one, because their extension is part of the definition; written last, as
    # the result may replace the samples.
    head = _both_ways(samples[: 2 * margin], cutoff, sample_rate, order)[:margin]
    tail = _both_ways(samples[-2 * margin :], cutoff, sample_rate, order)[margin:]
    factor = int(sample_rate / (_SLOW_RATE * cutoff))
    before = samples[:margin]
    for start in range(margin, len(samples) - margin, _BLOCK):
        end = min(start + _BLOCK, len(samples) - margin)
        block = np.concatenate([before, samples[start : end + margin]])
        before = block[-2 * margin : -margin]
        if factor > 1:
            low = _below(block, cutoff, sample_rate, order, factor)
            np.subtract(samples[start:end], low[margin:-margin], out=result[start:end])
        else:
            both = _both_ways(block, cutoff, sample_rate, order)
            result[start:end] = both[margin:-margin]
    result[:margin], result[-margin:] = head, tail
    return result


def reach(cutoff: float, sample_rate: int, order: int = 5) -> int:
    """Samples at a cut that a part of a recording, filtered alone, has otherwise than the whole.

    Behind them, the slowest pole has forgotten the cut to 1e-10.
    """
    slowest = np.abs(_poles(order, cutoff, sample_rate)).max()
    return int(np.ceil(np.log(1e10) / -np.log(slowest)))


def _both_ways(
    samples: FloatArray, cutoff: float, sample_rate: int, order: int
) -> npt.NDArray[np.float64]:
    """The filter forwards and backwards, with odd extensions, as `scipy.signal.sosfiltfilt`.

    The recursion starts as if the first sample had been there for ever. A high-pass makes zero
    of that, so what is left is the sample's distance from the first, filtered from rest: a
    convolution with the impulse response.
    """
    edge = min(3 * (order + 1), len(samples) - 1)
    x = samples.astype(np.float64)
    x = np.concatenate([2 * x[0] - x[edge:0:-1], x, 2 * x[-1] - x[-2 : -2 - edge : -1]])
    n_fft = fast_length(2 * len(x))
    response = _response(order, cutoff, sample_rate, len(x), n_fft)
    for _ in range(2):
        x = np.fft.irfft(np.fft.rfft(x - x[0], n_fft) * response, n_fft)[: len(x)][::-1]
    return x[edge : len(x) - edge]


def _analog_poles(order: int, cutoff: float, sample_rate: int) -> npt.NDArray[np.complex128]:
    """Of the high-pass, in units that the bilinear transform s = (z - 1) / (z + 1) needs."""
    angles = np.pi * (2 * np.arange(order) + order + 1) / (2 * order)
    poles: npt.NDArray[np.complex128] = np.tan(np.pi * cutoff / sample_rate) * np.exp(1j * angles)
    return poles


def _poles(order: int, cutoff: float, sample_rate: int) -> npt.NDArray[np.complex128]:
    """Of the digital filter, `(order,)`."""
    s = _analog_poles(order, cutoff, sample_rate)
    return (1 + s) / (1 - s)


@lru_cache(maxsize=8)
def _response(
    order: int, cutoff: float, sample_rate: int, n_samples: int, n_fft: int
) -> npt.NDArray[np.complex128]:
    """Spectrum of the first samples of the impulse response.

    By partial fractions of H = K (1 - 1/z)ⁿ / Π (1 - z_k/z): K at first, then Σ r_k z_kᵗ. All
    differences are taken in s, where nothing cancels.
    """
    s = _analog_poles(order, cutoff, sample_rate)
    z = _poles(order, cutoff, sample_rate)
    gain = 1 / np.prod(1 - s)
    distances = 2 * (s[:, None] - s) / ((1 - s)[:, None] * (1 - s)) / z[:, None]  # 1 - z_j/z_k
    np.fill_diagonal(distances, 1)
    residues = gain * (2 * s / (1 + s)) ** order / distances.prod(axis=1)
    impulse = (np.exp(np.outer(np.arange(n_samples), np.log(z))) @ residues).real
    impulse[0] = gain.real
    return np.fft.rfft(impulse, n_fft)


def _below(
    block: FloatArray, cutoff: float, sample_rate: int, order: int, factor: int
) -> FloatArray:
    """What G lets through, `(n_samples,)`, right behind a margin at both ends.

    Interpolation is polyphase too: each row of samples is made of `_PHASE_TAPS` slow samples.
    """
    taps = lowpass(factor, _PHASE_TAPS, _KAISER_BETA)
    slow = decimated(block, taps)
    # Padding to a fast length does no harm: the transform's wrap-around lies in the margins.
    n_fft = fast_length(len(slow))
    frequencies = np.fft.rfftfreq(n_fft, factor / sample_rate)
    ratio = np.tan(np.pi * frequencies / sample_rate) / np.tan(np.pi * cutoff / sample_rate)
    gain = (factor / (1 + ratio ** (2 * order))).astype(np.float32)
    slow = np.fft.irfft(np.fft.rfft(slow, n_fft) * gain, n_fft)[: len(slow)].astype(np.float32)
    n_rows = len(slow) - _PHASE_TAPS + 1
    shifted = np.ascontiguousarray(sliding_window_view(slow, n_rows))
    return np.asarray(shifted.T @ taps[::-1]).reshape(-1)[: len(block)]
