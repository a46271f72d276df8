"""Pooling over time: `(batch, n_frames, n_channels)` → one vector a row, whatever its length.

All leave the padding of masked batches out, and compute in float32 whatever the autocast.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from singerid.encoders.masking import masked_mean

PoolingKind = Literal["last", "mean", "statistics", "attentive"]
_FLOOR = 1e-7  # of a variance: the root's slope stays finite


class Pooling(nn.Module, ABC):
    """One vector from many frames.

    Attributes:
        n_outputs: its length.
    """

    n_outputs: int

    @abstractmethod
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool over time.

        Args:
            x: `(batch, n_frames, n_channels)`.
            mask: bool `(batch, n_frames)`, True at each row's own frames; None if all are.

        Returns:
            float32 `(batch, n_outputs)`.
        """


class LastPooling(Pooling):
    """The last frame of each row, where a recurrent network has seen all of it."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.n_outputs = n_channels

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """See `Pooling.forward`."""
        if mask is None:
            return x[:, -1].float()
        last = mask.sum(dim=1).sub(1).view(-1, 1, 1).expand(-1, 1, x.shape[2])
        return x.gather(1, last).squeeze(1).float()


class MeanPooling(Pooling):
    """The mean over time."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.n_outputs = n_channels

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """See `Pooling.forward`."""
        return masked_mean(x.float(), mask).squeeze(1)


class StatisticsPooling(Pooling):
    """Mean and standard deviation over time (Snyder et al., X-vectors, ICASSP 2018, section 2.1).

    The deviation is the biased one: a single frame has 0, not NaN.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.n_outputs = 2 * n_channels

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """See `Pooling.forward`."""
        x = x.float()
        mean = masked_mean(x, mask)
        variance = masked_mean((x - mean).square(), mask)
        return torch.cat([mean, (variance + _FLOOR).sqrt()], dim=2).squeeze(1)


class AttentivePooling(Pooling):
    """Mean and standard deviation with weights that the network chooses frame by frame.

    Okabe, Koshinaka and Shinoda, Attentive statistics pooling for deep speaker embedding,
    Interspeech 2018, eq. 1 to 6, with one set of weights for each channel, and, if asked for,
    with context: what chooses sees each frame beside the mean and deviation of all (Desplanques
    et al., ECAPA-TDNN, Interspeech 2020, section 3.1).

    Args:
        n_channels: of the input.
        bottleneck: hidden units of the attention.
        context: whether it sees mean and deviation of all frames.
    """

    def __init__(self, n_channels: int, bottleneck: int = 128, context: bool = False) -> None:
        super().__init__()
        self.n_outputs = 2 * n_channels
        self.statistics = StatisticsPooling(n_channels) if context else None
        self.hidden = nn.Linear(n_channels, bottleneck)
        # W·[h, mean, deviation] = W₁·h + W₂·[mean, deviation]: the second once a row, not a frame.
        self.context = nn.Linear(2 * n_channels, bottleneck, bias=False) if context else None
        # A bias per channel would not change a softmax over time.
        self.scores = nn.Linear(bottleneck, n_channels, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """See `Pooling.forward`."""
        hidden = self.hidden(x)
        if self.context is not None and self.statistics is not None:
            hidden = hidden + self.context(self.statistics(x, mask)).unsqueeze(1)
        scores = self.scores(hidden.tanh()).float()
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(2), -torch.inf)
        weights, x = scores.softmax(dim=1), x.float()
        mean = (weights * x).sum(dim=1, keepdim=True)
        variance = (weights * (x - mean).square()).sum(dim=1, keepdim=True)
        return torch.cat([mean, (variance + _FLOOR).sqrt()], dim=2).squeeze(1)


def build_pooling(kind: PoolingKind, n_channels: int, context: bool = False) -> Pooling:
    """The pooling of this name; `context` is of the attention only."""
    if kind == "attentive":
        return AttentivePooling(n_channels, context=context)
    kinds: dict[str, Callable[[int], Pooling]] = {
        "last": LastPooling, "mean": MeanPooling, "statistics": StatisticsPooling
    }  # fmt: skip
    return kinds[kind](n_channels)
