"""CAM++: a densely connected TDNN behind a small 2-D front end, with context-aware masking.

Wang, Zheng, Chen, Cheng and Chen, CAM++: A fast and efficient network for speaker verification
using context-aware masking, Interspeech 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from singerid.encoders.encoder import Encoder
from singerid.encoders.layers import (
    BasicBlock,
    Planes,
    channels_last,
    time_conv,
    to_frames,
    to_strip,
)
from singerid.encoders.masking import masked_mean, thinned, zeroed
from singerid.encoders.normalization import Normalization, NormalizationKind
from singerid.encoders.pooling import PoolingKind, build_pooling

SEGMENT_FRAMES = 100  # of the local context, after the stride in time
_DILATIONS = (1, 2, 2)  # of the three dense blocks, in frames


class CAMPPlusEncoder(Encoder):
    """Figure 1 and table 1 of the paper, sizes as in the authors' 3D-Speaker.

    With 80 inputs, 32 channels and 512 dimensions it has the paper's 7.18 M parameters. Time is
    halved once, behind the front end.

    Args:
        n_inputs: values of a frame.
        dim: length of an embedding.
        channels: of the front end, and that each dense layer adds.
        pooling: over time.
        normalization: of the input.
        n_classes: how many inputs, the last ones, are a one-hot pitch.
        n_layers: of each dense block.
    """

    def __init__(
        self, n_inputs: int, dim: int = 512, *, channels: int = 32,
        pooling: PoolingKind = "statistics", normalization: NormalizationKind = "none",
        n_classes: int = 0, n_layers: tuple[int, int, int] = (12, 24, 16),
    ) -> None:  # fmt: skip
        n_dims = n_inputs - n_classes
        super().__init__(Normalization(normalization, n_dims))
        self.planes = Planes(n_dims, n_classes)
        self.front = FrontEnd(self.planes.n_planes, channels)
        width = 4 * channels
        self.stem = time_conv(channels * -(-n_dims // 8), width, 5, stride=2)
        self.stem_norm = nn.BatchNorm2d(width)
        stages: list[nn.Module] = []
        for n, dilation in zip(n_layers, _DILATIONS, strict=True):
            for _ in range(n):
                stages.append(DenseLayer(width, channels, dilation))
                width += channels
            stages.append(Transition(width))
            width //= 2
        self.stages = nn.ModuleList(stages)
        self.last_norm = nn.BatchNorm2d(width)
        self.pooling = build_pooling(pooling, width)
        self.linear = nn.Linear(self.pooling.n_outputs, dim, bias=False)
        self.norm = nn.BatchNorm1d(dim, affine=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size[0] == 1:
                nn.init.kaiming_normal_(module.weight)

    def vectors(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        """See `Encoder.vectors`."""
        x = self.front(channels_last(self.planes(frames)), mask)
        x = self.stem(to_strip(to_frames(x)))
        x, mask = torch.relu_(self.stem_norm(x)), thinned(mask, 2)
        for stage in self.stages:
            x = stage(x, mask)
        x = torch.relu_(self.last_norm(x))
        vectors: Tensor = self.norm(self.linear(self.pooling(to_frames(x), mask)))
        return vectors


class FrontEnd(nn.Module):
    """Four residual blocks over time and frequency; frequency is divided by 8 (section 2.3)."""

    def __init__(self, n_planes: int, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(n_planes, channels, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(channels)
        strides = ((2, 1), (1, 1), (2, 1), (1, 1))
        self.blocks = nn.ModuleList(BasicBlock(channels, channels, stride) for stride in strides)
        self.last = nn.Conv2d(channels, channels, 3, (2, 1), 1, bias=False)
        self.last_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(batch, n_planes, n_dims, n_frames)` → `(batch, channels, n_dims / 8, n_frames)`."""
        x = torch.relu_(self.stem_norm(channels_last(self.stem(x))))
        x = zeroed(x, mask, time=-1)
        for block in self.blocks:
            x, _ = block(x, mask)
        return zeroed(torch.relu_(self.last_norm(self.last(x))), mask, time=-1)


class DenseLayer(nn.Module):
    """Adds channels to those that come in: a narrow convolution, weighed by its context.

    Section 2.2: context-aware masking, eq. 1 to 5. The context of a frame is the mean over all
    frames plus the mean over its segment.

    Args:
        n_inputs: channels that come in.
        growth: channels that are added.
        dilation: of the convolution, in frames.
    """

    def __init__(self, n_inputs: int, growth: int, dilation: int) -> None:
        super().__init__()
        width = 4 * growth
        self.norm1 = nn.BatchNorm2d(n_inputs)
        self.narrow = time_conv(n_inputs, width)
        self.norm2 = nn.BatchNorm2d(width)
        self.local = time_conv(width, growth, 3, dilation=dilation)
        self.squeeze = time_conv(width, width // 2, bias=True)
        self.excite = time_conv(width // 2, growth, bias=True)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(batch, n_inputs, 1, n_frames)` → `(batch, n_inputs + growth, 1, n_frames)`."""
        y = self.narrow(torch.relu_(self.norm1(x)))
        y = zeroed(torch.relu_(self.norm2(y)), mask, time=-1)
        context = masked_mean(y, mask, time=-1) + segment_means(y, mask)
        # Frames of a segment share their context: its layers run once for each segment.
        weights = self.excite(torch.relu_(self.squeeze(context))).sigmoid()
        weights = weights.unsqueeze(4).expand(-1, -1, -1, -1, SEGMENT_FRAMES).flatten(3)
        weights = weights[..., : y.shape[3]]
        return torch.cat([x, self.local(y) * weights], dim=1)


class Transition(nn.Module):
    """Halves the channels between two dense blocks."""

    def __init__(self, n_inputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(n_inputs)
        self.conv = time_conv(n_inputs, n_inputs // 2)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(batch, n_inputs, 1, n_frames)` → `(batch, n_inputs / 2, 1, n_frames)`."""
        y: Tensor = self.conv(torch.relu_(self.norm(x)))
        return y


def segment_means(x: Tensor, mask: Tensor | None) -> Tensor:
    """Means over segments of 100 frames; the last one may be shorter.

    Args:
        x: `(batch, channels, 1, n_frames)`, zero in the padding.
        mask: bool `(batch, n_frames)`, False in the padding.

    Returns:
        `(batch, channels, 1, n_segments)`; a segment of nothing but padding gets 0.
    """
    means = F.avg_pool2d(x, (1, SEGMENT_FRAMES), ceil_mode=True)
    if mask is None:
        return means
    own = mask[:, None, None].to(x.dtype)
    shares = F.avg_pool2d(own, (1, SEGMENT_FRAMES), ceil_mode=True)
    return means / shares.clamp_min(1 / (2 * SEGMENT_FRAMES))
