"""Fewer samples for what lies low: a low-pass and every n-th sample, as one matrix product."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


@lru_cache(maxsize=8)
def lowpass(factor: int, n_rows: int, beta: float) -> FloatArray:
    """Kaiser FIR low-pass to half of the slow rate, `(n_rows, factor)`, row after row.

    Args:
        factor: how many times the slow rate is lower.
        n_rows: length in slow samples.
        beta: of the Kaiser window: the higher, the less comes through above, and the broader is
            the band where it begins.
    """
    n_taps = n_rows * factor
    places = np.arange(n_taps) - (n_taps - 1) / 2
    taps: npt.NDArray[np.float64] = np.sinc(places / factor) * np.kaiser(n_taps, beta)
    rows: FloatArray = (taps / taps.sum()).reshape(n_rows, factor).astype(np.float32)
    return rows


def decimated(samples: FloatArray, taps: FloatArray) -> FloatArray:
    """Filtered samples at a slow rate, from before the first one to behind the last one.

    Polyphase: as a matrix product over rows of `factor` samples, because each slow sample is a
    weighted sum of `len(taps)` rows.

    Args:
        samples: `(n_samples,)`.
        taps: `(n_taps, factor)`, see `lowpass`.

    Returns:
        `(n_rows + n_taps - 1,)`, n_rows = ceil(n_samples / factor); number j is of the rows
        j - n_taps + 1 … j.
    """
    factor = taps.shape[1]
    n_rows = -(-len(samples) // factor)
    rows = np.pad(samples, (0, n_rows * factor - len(samples))).reshape(n_rows, factor)
    slow = np.zeros(n_rows + len(taps) - 1, np.float32)
    for shift, weighted in enumerate(taps[::-1] @ rows.T):
        slow[shift : shift + n_rows] += weighted
    return slow
