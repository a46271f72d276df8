"""Codes of a voice bank: an envelope as a few cepstral coefficients, and numbers as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from singerid.features import melcepstrum

FloatArray = npt.NDArray[np.float32]

APERIODICITY_RANGE_DB = (-60.0, 0.0)
"""Of the stored aperiodicity, mapped to 0 … 255; D4C's own limits."""
FLOOR_DB = -90.0
"""Power, relative to a voice's mean power, that is added to envelopes before the logarithm."""
_C0_CENTER, _C0_RANGE = -8.0, 13.0  # nepers of power, of a voice whose mean power is 1
_CEPSTRUM_RANGE = 6.0  # of c_1; 99.9 % of LibriSpeech's frames need 4


def cosines(hz: npt.ArrayLike, sample_rate: int, order: int, alpha: float) -> FloatArray:
    """1, 2 cos ω̃, 2 cos 2ω̃ … at frequencies `(n_hz,)`: float32 `(order, n_hz)`.

    Cepstra times this are ln power.
    """
    warped = melcepstrum.warp(2 * np.pi * np.asarray(hz, np.float64) / sample_rate, alpha)
    basis = 2 * np.cos(np.arange(order)[:, None] * warped)
    basis[0] = 1
    return basis.astype(np.float32)


def cepstra_of(power: npt.ArrayLike, order: int, alpha: float) -> npt.NDArray[np.float64]:
    """Cepstra c `(…, order)` of power `(…, n_bins)` from 0 Hz to half the sample rate."""
    cepstra = melcepstrum.mel_cepstrum(power, order, alpha, FLOOR_DB)
    cepstra[..., 0] *= 2
    return cepstra


def cepstrum_code(order: int) -> tuple[FloatArray, FloatArray]:
    """Scale and offset `(order,)` of the stored cepstra.

    The same for every bank, so that recordings are added without touching the others. Half the
    width of c_k's range falls as 1/√k, somewhat slower than the deviation of speech does, since
    the ripples of high-pitched voices lie at single high k.
    """
    k = np.arange(1, order)
    widths = np.concatenate([[_C0_RANGE], _CEPSTRUM_RANGE / np.sqrt(k)])
    offset = np.zeros(order, np.float32)
    offset[0] = _C0_CENTER
    return (widths / 127).astype(np.float32), offset


def quantized_cepstra(cepstra: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int8]:
    """Cepstra c `(n_frames, order)` as int8; what is out of range becomes its limit."""
    scale, offset = cepstrum_code(cepstra.shape[1])
    return np.asarray(np.clip(np.rint((cepstra - offset) / scale), -127, 127), np.int8)


def quantized_aperiodicity(db: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Aperiodicity in dB as 0 … 255."""
    low, high = APERIODICITY_RANGE_DB
    return np.asarray(np.clip(np.rint((db - low) * (255 / (high - low))), 0, 255), np.uint8)
