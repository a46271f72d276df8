"""Pitch as input of an encoder: F0 → MIDI numbers → one class a semitone, on any frame grid."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from singerid.errors import MismatchError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
_Value = TypeVar("_Value", bound=np.generic)

LOWEST_MIDI, HIGHEST_MIDI = 36, 81
"""Usual range of the one-hot pitch: C2 (65 Hz) … A5 (880 Hz)."""


def midi_pitch(f0: npt.ArrayLike) -> tuple[FloatArray, BoolArray]:
    """MIDI numbers (A4 = 440 Hz = 69) without gaps, and where the gaps were.

    Between voiced frames the MIDI number runs in a straight line; before the first and after the
    last it is held. Where nothing is voiced it is 0 throughout.

    Args:
        f0: `(n_frames,)` in Hz; 0 or NaN where unvoiced.

    Returns:
        MIDI numbers float64 `(n_frames,)`, and unvoiced bool `(n_frames,)`.

    Raises:
        ValueError: not one-dimensional, or an F0 is negative or infinite.
    """
    f0 = np.asarray(f0, np.float64)
    if f0.ndim != 1:
        raise ValueError(f"an F0 track has one dimension; found shape {f0.shape}")
    unvoiced = np.isnan(f0) | (f0 == 0)
    voiced = np.flatnonzero(~unvoiced)
    if np.any(f0[voiced] < 0) or np.any(np.isinf(f0[voiced])):
        raise ValueError("an F0 is negative or infinite; mark unvoiced frames by 0 or NaN")
    if len(voiced) == 0:
        return np.zeros(len(f0)), unvoiced
    midi = 69 + 12 * np.log2(f0[voiced] / 440)
    return np.interp(np.arange(len(f0)), voiced, midi), unvoiced


def f0_from_midi(midi: npt.ArrayLike, unvoiced: npt.ArrayLike) -> FloatArray:
    """Inverse of `midi_pitch`: F0 in Hz `(n_frames,)`, 0 where unvoiced."""
    hz = 440 * 2 ** ((np.asarray(midi, np.float64) - 69) / 12)
    return np.where(np.asarray(unvoiced, bool), 0.0, hz)


def one_hot_pitch(
    midi: npt.ArrayLike,
    unvoiced: npt.ArrayLike,
    low: int = LOWEST_MIDI,
    high: int = HIGHEST_MIDI,
) -> npt.NDArray[np.float32]:
    """One class a semitone, and one for unvoiced frames.

    MIDI numbers are rounded, halves upwards. Voiced frames outside `low` … `high` belong to the
    nearest class: a very high note is more like a high one than like a consonant.

    Args:
        midi: `(n_frames,)`; ignored where unvoiced.
        unvoiced: bool `(n_frames,)`.
        low: MIDI number of the first class.
        high: MIDI number of the last but one.

    Returns:
        float32 `(n_frames, high - low + 2)`: a single 1 a frame, in the last column if unvoiced.

    Raises:
        ValueError: lengths differ, the range is empty, or a voiced MIDI number is not finite.
    """
    midi, unvoiced = np.asarray(midi, np.float64), np.asarray(unvoiced, bool)
    if midi.ndim != 1 or midi.shape != unvoiced.shape:
        raise ValueError(f"midi {midi.shape} and unvoiced {unvoiced.shape} must be equally long")
    if low > high:
        raise ValueError(f"low {low} must not exceed high {high}")
    if not np.all(np.isfinite(midi[~unvoiced])):
        raise ValueError("the MIDI number of a voiced frame is not finite")
    n_classes = high - low + 2
    classes = np.full(len(midi), n_classes - 1)
    nearest = np.clip(np.floor(midi[~unvoiced] + 0.5), low, high)
    classes[~unvoiced] = nearest.astype(int) - low
    one_hot = np.zeros((len(midi), n_classes), np.float32)
    one_hot[np.arange(len(midi)), classes] = 1
    return one_hot


def resample_track(
    track: npt.NDArray[_Value], hop_seconds: float, n_frames: int, new_hop_seconds: float
) -> npt.NDArray[_Value]:
    """A track on another frame grid: each new frame takes the old frame nearest to its center.

    Nothing is interpolated: F0 must not glide into the 0 of unvoiced frames, nor one class into
    another. Frame i of both grids is centered at i hops.

    Args:
        track: `(n_old, …)`.
        hop_seconds: distance of its frames.
        n_frames: length of the new grid.
        new_hop_seconds: distance of the new frames.

    Returns:
        `(n_frames, …)`, of the track's type.

    Raises:
        ValueError: the track is empty, or a hop or length is not positive.
        MismatchError: the new grid runs on for more than a frame after the track's end: it
            belongs to another recording.
    """
    if len(track) == 0 or n_frames < 1 or hop_seconds <= 0 or new_hop_seconds <= 0:
        raise ValueError("tracks, hops and the number of frames must not be empty")
    ends, needed = (len(track) - 1) * hop_seconds, (n_frames - 1) * new_hop_seconds
    # Both grids may end anywhere within a hop of the audio's end.
    if needed > ends + max(hop_seconds, new_hop_seconds) * (1 + 1e-6):
        raise MismatchError(
            "the pitch track is too short for the features", found=f"{ends:.3f} s",
            expected=f"about {needed:.3f} s", do="compute both from the same audio",
        )  # fmt: skip
    centers = np.arange(n_frames) * (new_hop_seconds / hop_seconds)
    nearest = np.floor(centers + 0.5 + 1e-9).astype(np.intp)
    selected: npt.NDArray[Any] = track[np.minimum(nearest, len(track) - 1)]
    return selected
