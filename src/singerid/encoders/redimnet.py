"""ReDimNet: 2-D and 1-D blocks in turn, on one volume of values that changes its shape.

Yakovlev, Makarov, Balykin, Malov, Okhotnikov and Torgashov, Reshape dimensions network for speaker
recognition, Interspeech 2024. Details that the paper leaves open are as in the authors' code
(github.com/IDRnD/ReDimNet) and WeSpeaker's.

Signals are `(batch, n_frames, height · channels)`; pictures are `(batch, channels, n_frames,
height)` here, so that in channels-last memory they are the same thing. A stage with 2 × the
channels has 1/2 of the height, so that every stage's output has the same size, and each stage can
see all before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from singerid.encoders.encoder import Encoder
from singerid.encoders.layers import Planes, channels_last, time_conv, to_frames, to_strip
from singerid.encoders.masking import zeroed
from singerid.encoders.normalization import Normalization, NormalizationKind
from singerid.encoders.pooling import PoolingKind, build_pooling

_HEADS = 4
_KERNELS = (7, 19, 31, 59)  # frames, of the four 1-D convolutions of a stage


class StageSize(NamedTuple):
    """What makes one stage another than the next.

    Attributes:
        stride: along height, which it divides; the channels are multiplied by it.
        n_blocks: 2-D blocks.
        expansion: factor on the channels within them.
        reduction: 1-D layers have volume / reduction channels.
    """

    stride: int
    n_blocks: int
    expansion: int
    reduction: int


B0 = (
    StageSize(1, 2, 1, 30), StageSize(2, 3, 2, 30), StageSize(1, 3, 3, 30),
    StageSize(2, 4, 2, 10), StageSize(1, 3, 1, 10),
)  # fmt: skip


class ReDimNetEncoder(Encoder):
    """ReDimNet-B0, the smallest (table 1): 1.0 M parameters at 60 mels and 192 dimensions.

    Args:
        n_inputs: values of a frame.
        dim: length of an embedding.
        channels: of the stem, 10 in B0.
        pooling: over time.
        normalization: of the input.
        n_classes: how many inputs, the last ones, are a one-hot pitch.
        stages: their sizes.
    """

    def __init__(
        self, n_inputs: int, dim: int = 192, *, channels: int = 10,
        pooling: PoolingKind = "attentive", normalization: NormalizationKind = "none",
        n_classes: int = 0, stages: Sequence[StageSize] = B0,
    ) -> None:  # fmt: skip
        n_dims = n_inputs - n_classes
        super().__init__(Normalization(normalization, n_dims))
        divisor = 1
        for size in stages:
            divisor *= size.stride
        self.missing = -n_dims % divisor  # bands of zeros at the top, so that strides fit
        height = n_dims + self.missing
        volume = channels * height
        self.planes = Planes(n_dims, n_classes)
        self.stem = nn.Conv2d(self.planes.n_planes, channels, 3, padding=1)
        self.stem_norm = nn.LayerNorm(channels, eps=1e-6)
        self.stages = nn.ModuleList()
        for number, size in enumerate(stages):
            self.stages.append(Stage(number + 1, channels, height, size))
            channels, height = channels * size.stride, height // size.stride
        self.mixture = Mixture(len(stages) + 1, volume)
        self.pooling = build_pooling(pooling, volume, context=True)
        self.norm = nn.BatchNorm1d(self.pooling.n_outputs)
        self.linear = nn.Linear(self.pooling.n_outputs, dim)

    def vectors(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        """See `Encoder.vectors`."""
        x = F.pad(self.planes(frames).transpose(2, 3), (0, self.missing))
        x = self.stem(channels_last(x)).permute(0, 2, 3, 1)
        outputs = [self.stem_norm(x).flatten(2)]
        for stage in self.stages:
            outputs.append(stage(outputs, mask))
        vectors: Tensor = self.linear(self.norm(self.pooling(self.mixture(outputs), mask)))
        return vectors


class Mixture(nn.Module):
    """A weighted sum of signals, with weights of each value that sum to 1 (section 2.2).

    Args:
        n_signals: how many; with one there is nothing to weigh.
        volume: values of a frame.
    """

    def __init__(self, n_signals: int, volume: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(n_signals, volume)) if n_signals > 1 else None

    def forward(self, signals: Sequence[Tensor]) -> Tensor:
        """As many `(batch, n_frames, volume)` → one."""
        if self.weights is None:
            return signals[0]
        weights = self.weights.softmax(dim=0)
        mixed = weights[0] * signals[0]
        for weight, signal in zip(weights[1:], signals[1:], strict=True):
            mixed = mixed + weight * signal
        return mixed


class Stage(nn.Module):
    """Mix what came before; 2-D blocks; back to a signal; a block that sees far in time.

    Args:
        n_signals: outputs of the stem and of the stages before.
        channels: of the pictures that come in.
        height: of them.
        size: what is done to them.
    """

    def __init__(self, n_signals: int, channels: int, height: int, size: StageSize) -> None:
        super().__init__()
        volume = channels * height
        self.shape = (height, channels)
        self.mixture = Mixture(n_signals, volume)
        channels *= size.stride
        wide = channels * size.expansion
        self.reshape = nn.Conv2d(volume // height, wide, (1, size.stride), (1, size.stride))
        self.blocks = nn.ModuleList(SeparableBlock(wide) for _ in range(size.n_blocks))
        self.narrow: nn.Sequential | None = None
        if size.expansion > 1:
            self.narrow = nn.Sequential(
                nn.Conv2d(wide, channels, 3, padding=1, groups=channels),
                nn.BatchNorm2d(channels),
                nn.GELU(),
                nn.Conv2d(channels, channels, 1),
            )
        self.context = TimeContext(volume, size.reduction)

    def forward(self, signals: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """Signals `(batch, n_frames, volume)` → one of the same shape."""
        x = self.mixture(signals).unflatten(2, self.shape).permute(0, 3, 1, 2)
        x = self.reshape(x)
        for block in self.blocks:
            x = block(x, mask)
        if self.narrow is not None:
            x = self.narrow(zeroed(x, mask, time=2))
        context: Tensor = self.context(x.permute(0, 2, 3, 1).flatten(2), mask)
        return context


class SeparableBlock(nn.Module):
    """A residual block whose 3 × 3 convolutions each see one channel, followed by 1 × 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise1 = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.pointwise1 = nn.Conv2d(channels, channels, 1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.depthwise2 = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.pointwise2 = nn.Conv2d(channels, channels, 1)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(batch, channels, n_frames, height)` → the same shape."""
        y = self.pointwise1(self.depthwise1(zeroed(x, mask, time=2)))
        y = self.norm1(torch.relu_(y))
        y = self.norm2(self.pointwise2(self.depthwise2(zeroed(y, mask, time=2))))
        return torch.relu_(x + y)


class TimeContext(nn.Module):
    """Four wide convolutions over time and a transformer layer, on few channels (section 2.3).

    Args:
        volume: values of a frame.
        reduction: the layers within have volume / reduction channels, rounded to a multiple of
            the four heads.
    """

    def __init__(self, volume: int, reduction: int) -> None:
        super().__init__()
        width = _HEADS * max(1, round(volume / reduction / _HEADS))
        self.reduce = nn.Linear(volume, width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.convolutions = nn.ModuleList(WideBlock(width, kernel) for kernel in _KERNELS)
        self.attention = AttentionLayer(width)
        self.expand = nn.Linear(width, volume)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(batch, n_frames, volume)` → the same shape."""
        y = to_strip(self.norm(self.reduce(x)))
        for block in self.convolutions:
            y = block(y, mask)
        result: Tensor = x + self.expand(self.attention(to_frames(y), mask))
        return result


class WideBlock(nn.Module):
    """A residual convolution of each channel over many frames (after Liu et al., ConvNeXt)."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            channels, channels, (1, kernel), padding=(0, kernel // 2), groups=channels
        )
        self.norm = nn.BatchNorm2d(channels)
        self.pointwise = time_conv(channels, channels, bias=True)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(batch, channels, 1, n_frames)` → the same shape."""
        y = F.gelu(self.norm(self.depthwise(zeroed(x, mask, time=-1))))
        result: Tensor = x + self.pointwise(y)
        return result


class AttentionLayer(nn.Module):
    """A transformer layer, normalized after each half (Vaswani et al. 2017, section 3.1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.hidden = nn.Linear(width, width)
        self.last = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(batch, n_frames, width)` → the same shape."""
        heads = self.queries_keys_values(x).unflatten(2, (3, _HEADS, -1)).permute(2, 0, 3, 1, 4)
        seen = None if mask is None else mask[:, None, None]
        found = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], attn_mask=seen)
        x = self.norm1(x + self.output(found.transpose(1, 2).flatten(2)))
        result: Tensor = self.norm2(x + self.last(F.gelu(self.hidden(x), approximate="tanh")))
        return result
