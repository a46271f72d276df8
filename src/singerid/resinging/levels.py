"""Levels: mel sums as decibels, on a front end's own scale, and without a crop's loudness."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from singerid.spec import MelSettings

LEVEL_RANGE_DB = 70.0
_LEAST = 1e-20  # of mel power: -200 dB


def level_normalized(levels: Tensor, range_db: float = LEVEL_RANGE_DB) -> Tensor:
    """Crops whose level is taken away, and nothing else.

    Cells lower than `range_db` below the crop's highest are raised to that floor; then the
    crop's mean over time and frequency is subtracted. The mean of each band stays: a voice's
    long-term spectrum says who it is.

    Args:
        levels: dB of mel power `(…, n_frames, n_mels)`.
        range_db: distance of peak and floor.

    Returns:
        dB in the same shape, of mean 0 in each crop.
    """
    floor = levels.amax((-2, -1), keepdim=True) - range_db
    levels = torch.maximum(levels, floor)
    return levels.sub_(levels.mean((-2, -1), keepdim=True))


def decibels(mels: Tensor, settings: MelSettings) -> Tensor:
    """Decibels of mel sums, powers or magnitudes as of the front end."""
    per_decade = 10 if settings.spectrum == "power" else 20
    return mels.clamp(min=_LEAST).log10_().mul_(per_decade)


def front_end_scale(mels: Tensor, settings: MelSettings) -> Tensor:
    """Mel sums on the front end's own scale, as `features.mel.log_mel` gives them."""
    if settings.scale == "linear":
        return mels
    levels = decibels(mels, settings) - settings.reference_db
    return (1 - levels / settings.floor_db).clamp_(0, 1)


def mel_sums(frames: Tensor, settings: MelSettings) -> Tensor:
    """Inverse of `front_end_scale`, but for what was clipped."""
    if settings.scale == "linear":
        return frames.float()
    levels = (1 - frames.float()) * settings.floor_db + settings.reference_db
    per_decade = 10 if settings.spectrum == "power" else 20
    return torch.exp(levels * (math.log(10) / per_decade))
