"""Time map: which frames of the speech a sung crop passes through, and when.

Vowels carry the notes: voiced frames are held where the voice is steady, while consonants and the
first and last moments of a voiced stretch keep the time they had.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from singerid.resing_settings import ResingSettings
from singerid.resinging.bank_tensors import BankTensors
from singerid.resinging.draws import Draws

_EDGE_SECONDS = 0.02  # of a voiced stretch, at both ends, that are not held
_MOST_HELD = 12.0  # times that one frame is stretched at most
_FAINT = -1.4  # nepers of power (6 dB) about the mean voiced frame: below, vowels are not held,
_MURMUR = -5.5  # and below this (24 dB) what a tracker takes for a voice is hum or noise
_STEADY_COEFFICIENTS = slice(1, 13)  # of the cepstrum: the vowel, without level and fine detail


@dataclass(frozen=True, slots=True, eq=False)
class TimeMap:
    """Source of each frame of each crop, all `(n_crops, n_frames)`.

    Attributes:
        left: int64, frame of the bank before the source position.
        right: int64, frame after it.
        fraction: float32, weight of `right`.
        voiced: bool, whether the source is.
    """

    left: Tensor
    right: Tensor
    fraction: Tensor
    voiced: Tensor


def draw_time_map(
    bank: BankTensors,
    rows: Tensor,
    n_frames: int,
    hop_seconds: float,
    settings: ResingSettings,
    draws: Draws,
) -> TimeMap:
    """Draw where each crop starts in its recording, and how long it holds what.

    A crop that reaches the end of its recording goes on at the beginning.

    Args:
        bank: the voices.
        rows: int64 `(n_crops,)`, recordings.
        n_frames: of the crops.
        hop_seconds: distance of two of them.
        settings: range of the stretch.
        draws: for `n_crops`.
    """
    period = bank.spec.frame_period
    n_source = math.ceil(n_frames * hop_seconds / period) + 2
    starts, lengths = bank.starts[rows], bank.starts[rows + 1] - bank.starts[rows]
    first = (draws.uniform() * lengths).long()
    steps = torch.arange(n_source, device=bank.device)
    index = starts[:, None] + (first[:, None] + steps) % lengths[:, None]
    loudness = _loudness(bank, index)
    voiced = (bank.f0[index] > 0) & (loudness > _MURMUR)
    stretch = draws.log_uniform(settings.stretch_min, settings.stretch_max)
    hold = _steadiness(bank, index) * _interior(voiced & ~bank.onset[index], period)
    hold = hold * torch.sigmoid(2 * (loudness - _FAINT))
    hold = hold * torch.exp(0.5 * draws.wander(steps * period, 0.5, 4.0))  # no two vowels alike
    excess = (stretch - 1) * voiced.sum(1) / hold.sum(1).clamp(min=1e-3)
    seconds = period * (1 + (excess[:, None] * hold).clamp(max=_MOST_HELD))

    time = F.pad(seconds.cumsum(1), (1, 0))
    wanted = torch.arange(n_frames, device=bank.device) * hop_seconds
    after = torch.searchsorted(time, wanted.expand(len(rows), -1).contiguous(), right=True)
    before = (after - 1).clamp(0, n_source - 2)
    fraction = (wanted - time.gather(1, before)) / seconds.gather(1, before)
    fraction = fraction.clamp(0, 1)
    nearest = before + (fraction > 0.5)
    return TimeMap(
        index.gather(1, before), index.gather(1, before + 1), fraction, voiced.gather(1, nearest)
    )


def _steadiness(bank: BankTensors, index: Tensor) -> Tensor:
    """How little the envelope changes about each frame, 0 … 1: `(n_crops, n_source)`."""
    columns = _STEADY_COEFFICIENTS
    cepstra = bank.cepstrum[:, columns][index].float() * bank.scale[columns]
    change = F.pad(cepstra.diff(dim=1).square().sum(2), (1, 0), mode="replicate")
    change = F.avg_pool1d(change[:, None], 5, stride=1, padding=2, count_include_pad=False)[:, 0]
    return 1 / (1 + change / change.median(1, keepdim=True).values.clamp(min=1e-9))


def _loudness(bank: BankTensors, index: Tensor) -> Tensor:
    """Nepers of power above the mean voiced frame, `(n_crops, n_source)`."""
    level = bank.cepstrum[:, 0][index].float() * bank.scale[0]
    voiced = bank.f0[index] > 0
    return level - (level * voiced).sum(1, keepdim=True) / voiced.sum(1, keepdim=True).clamp(min=1)


def _interior(voiced: Tensor, period: float) -> Tensor:
    """Voiced frames that are no edge of a voiced stretch, as 0 and 1."""
    reach = max(1, round(_EDGE_SECONDS / period))
    unvoiced = 1 - voiced.float()[:, None]
    return 1 - F.max_pool1d(unvoiced, 2 * reach + 1, stride=1, padding=reach)[:, 0]
