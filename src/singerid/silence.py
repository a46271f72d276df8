"""Removal of silent stretches: what is no voice says nothing about whose voice it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
_FRAME_SECONDS = 0.01
_MARGIN_SECONDS = 0.05  # consonants and the ends of notes are soft
_PAUSE_SECONDS = 0.3  # shorter pauses belong to the phrase


def remove_silence(samples: FloatArray, sample_rate: int, threshold_db: float) -> FloatArray:
    """Cut out pauses of more than 0.3 s in which the level stays below a threshold.

    Levels are of frames of 10 ms, relative to the loudest frame; 50 ms beside what is louder
    than the threshold stay.

    Args:
        samples: mono `(n_samples,)`.
        sample_rate: Hz.
        threshold_db: below 0, relative to the loudest frame; 0 removes nothing.

    Returns:
        float32 samples, joined; all of them if there is no pause.
    """
    if threshold_db == 0:
        return samples
    frame = max(1, round(_FRAME_SECONDS * sample_rate))
    whole = len(samples) // frame * frame
    if not whole:
        return samples
    levels = np.sqrt(np.mean(samples[:whole].reshape(-1, frame).astype(np.float64) ** 2, axis=1))
    loud = levels > levels.max() * 10 ** (threshold_db / 20)
    kept = _kept(loud)
    result = samples[:whole][np.repeat(kept, frame)]
    return np.concatenate([result, samples[whole:]]) if kept[-1] else result


def _kept(loud: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Loud frames with a margin on both sides, and what lies between them but for long pauses."""
    margin, pause = round(_MARGIN_SECONDS / _FRAME_SECONDS), round(_PAUSE_SECONDS / _FRAME_SECONDS)
    edges = np.flatnonzero(np.diff(np.pad(loud, 1).astype(np.int8)))
    starts, ends = edges[::2] - margin, edges[1::2] + margin
    pauses = starts[1:] - ends[:-1]
    kept = np.zeros(len(loud), bool)
    for start, end in zip(starts, ends, strict=True):
        kept[max(0, start) : end] = True
    for start, n_frames in zip(ends, pauses, strict=False):
        if 0 < n_frames <= pause:
            kept[start : start + n_frames] = True
    return kept
