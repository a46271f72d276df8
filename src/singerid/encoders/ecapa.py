"""ECAPA-TDNN: dilated convolutions over time, with attention to channels and frames.

Desplanques, Thienpondt and Demuynck, ECAPA-TDNN: Emphasized channel attention, propagation and
aggregation in TDNN based speaker verification, Interspeech 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from singerid.encoders.encoder import Encoder
from singerid.encoders.layers import channels_last, time_conv, to_frames, to_strip
from singerid.encoders.masking import masked_mean, zeroed
from singerid.encoders.normalization import Normalization, NormalizationKind
from singerid.encoders.pooling import PoolingKind, build_pooling

SCALE = 8  # groups of channels in a Res2 layer
_AGGREGATED = 1536
_BOTTLENECK = 128  # of squeeze and excitation


class ECAPAEncoder(Encoder):
    """A first layer, three SE-Res2 blocks, all of them aggregated, attentive statistics pooling.

    Figure 2 of the paper. With 80 inputs and 192 dimensions it has the paper's 6.2 M parameters
    at 512 channels and 14.7 M at 1,024 (the attention's last layer has no bias here: over time it
    would change nothing). Narrower ones aggregate into 3 · channels instead of 1,536.

    Args:
        n_inputs: values of a frame; a one-hot pitch among them is so many channels more.
        dim: length of an embedding.
        channels: of all layers but the last, a multiple of 8.
        pooling: over time.
        normalization: of the input.
        n_classes: how many inputs, the last ones, are a one-hot pitch.
    """

    def __init__(
        self, n_inputs: int, dim: int = 192, *, channels: int = 512,
        pooling: PoolingKind = "attentive", normalization: NormalizationKind = "none",
        n_classes: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(Normalization(normalization, n_inputs - n_classes))
        self.stem = TDNNLayer(n_inputs, channels, 5)
        self.blocks = nn.ModuleList([SERes2Block(channels, dilation) for dilation in (2, 3, 4)])
        aggregated = min(3 * channels, _AGGREGATED)
        self.aggregation = time_conv(3 * channels, aggregated, bias=True)
        self.pooling = build_pooling(pooling, aggregated, context=True)
        self.pooled_norm = nn.BatchNorm1d(self.pooling.n_outputs)
        self.linear = nn.Linear(self.pooling.n_outputs, dim)
        self.norm = nn.BatchNorm1d(dim)

    def vectors(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        """See `Encoder.vectors`."""
        x = self.stem(channels_last(to_strip(frames)), mask)
        outputs: list[Tensor] = []
        for block in self.blocks:
            outputs.append(block(x, mask))
            x = x + outputs[-1]  # each block sees the sum of all before it (section 3.3)
        x = torch.relu_(self.aggregation(torch.cat(outputs, dim=1)))
        pooled = self.pooled_norm(self.pooling(to_frames(x), mask))
        vectors: Tensor = self.norm(self.linear(pooled))
        return vectors


class TDNNLayer(nn.Module):
    """Convolution over time, ReLU, batch normalization, in this order; zero in the padding."""

    def __init__(self, n_inputs: int, n_outputs: int, kernel: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = time_conv(n_inputs, n_outputs, kernel, dilation=dilation, bias=True)
        self.norm = nn.BatchNorm2d(n_outputs)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(batch, n_inputs, 1, n_frames)` → `(batch, n_outputs, 1, n_frames)`."""
        return zeroed(self.norm(torch.relu_(self.conv(x))), mask, time=-1)


class SERes2Block(nn.Module):
    """Res2 convolution between two that mix channels, then each channel is weighed (figure 1).

    The Res2 layer (Gao et al., Res2Net, 2019) cuts the channels into eight groups; the first
    passes, each other one is convolved together with the result of the one before.

    Args:
        channels: that come in and go out.
        dilation: of the Res2 layer, in frames.
    """

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        width = channels // SCALE
        self.before = TDNNLayer(channels, channels)
        self.groups = nn.ModuleList(TDNNLayer(width, width, 3, dilation) for _ in range(SCALE - 1))
        self.after = TDNNLayer(channels, channels)
        self.squeeze = time_conv(channels, _BOTTLENECK, bias=True)
        self.excite = time_conv(_BOTTLENECK, channels, bias=True)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(batch, channels, 1, n_frames)` → the same shape, zero in the padding."""
        first, *others = self.before(x, mask).chunk(SCALE, dim=1)
        outputs, last = [first], torch.zeros_like(first)
        for layer, group in zip(self.groups, others, strict=True):
            last = layer(channels_last(group + last), mask)
            outputs.append(last)
        y = self.after(torch.cat(outputs, dim=1), mask)
        weights = self.excite(torch.relu(self.squeeze(masked_mean(y, mask, time=-1))))
        result: Tensor = x + y * weights.sigmoid()
        return result
