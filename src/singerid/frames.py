"""Samples and frames, and how a recording is cut into partials."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def n_frames(n_samples: int, hop_length: int) -> int:
    """Number of centered analysis frames of `n_samples` samples (librosa's ``center=True``)."""
    return 1 + n_samples // hop_length


def fast_length(least: int) -> int:
    """The smallest even number from `least` on without other prime factors than 2, 3 and 5.

    Fourier transforms of such a length are fast.
    """
    length = least + least % 2
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 2


def crop(features: npt.NDArray[np.float32], start: int, length: int) -> npt.NDArray[np.float32]:
    """Frames `start` … `start + length` of `(n_frames, n_dims)`; never padded.

    Raises:
        ValueError: the crop reaches beyond the recording.
    """
    if start < 0 or start + length > len(features):
        raise ValueError(f"crop {start}…{start + length} lies outside 0…{len(features)}")
    return features[start : start + length]


def tile_starts(frames: int, partial_frames: int, hop_frames: int) -> npt.NDArray[np.int64]:
    """First frames of the partials that tile a recording from its first to its last frame.

    Partials are `hop_frames` apart; a last one is aligned to the end where the regular ones
    leave frames over. A recording shorter than one partial has the single start 0 and is
    to be encoded at its own length (padding would change its embedding).

    Args:
        frames: length of the recording in frames, at least 1.
        partial_frames: length of a partial in frames.
        hop_frames: distance of two partials in frames.

    Returns:
        int64 `(n_partials,)`, ascending, without repeats.
    """
    if frames < 1 or partial_frames < 1 or hop_frames < 1:
        raise ValueError("frames, partial_frames and hop_frames must be at least 1")
    last = frames - partial_frames
    if last <= 0:
        return np.zeros(1, np.int64)
    starts = np.arange(0, last + 1, hop_frames, dtype=np.int64)
    return starts if starts[-1] == last else np.append(starts, last)
