"""Layers that convolutional encoders share, on pictures `(batch, channels, height, n_frames)`.

Pictures are kept in channels-last memory: oneDNN's and cuDNN's kernels take it as it is, while
contiguous planes are copied at each layer. Networks over time alone have pictures of height 1; on
a CPU this makes them about 1.6 times as fast as `nn.Conv1d` does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from singerid.encoders.masking import thinned, zeroed


class Planes(nn.Module):
    """Frames as pictures of time and frequency.

    Features make one plane. A one-hot pitch has no place on the axis of frequency; each class
    learns a column of its own (it could be its harmonics), which makes a second plane.

    Args:
        n_dims: values of a frame that lie along frequency.
        n_classes: values after them that are a one-hot pitch.
    """

    def __init__(self, n_dims: int, n_classes: int) -> None:
        super().__init__()
        self.n_dims = n_dims
        self.n_planes = 2 if n_classes else 1
        self.pitch = nn.Linear(n_classes, n_dims, bias=False) if n_classes else None

    def forward(self, frames: Tensor) -> Tensor:
        """`(batch, n_frames, n_dims + n_classes)` → `(batch, n_planes, n_dims, n_frames)`."""
        features = frames[..., : self.n_dims].transpose(1, 2)
        if self.pitch is None:
            return features.unsqueeze(1)
        columns = self.pitch(frames[..., self.n_dims :]).transpose(1, 2)
        return torch.stack([features, columns.to(features.dtype)], dim=1)


def to_strip(frames: Tensor) -> Tensor:
    """`(batch, n_frames, n_channels)` → picture `(batch, n_channels, 1, n_frames)`, no copy."""
    return frames.transpose(1, 2).unsqueeze(2)


def to_frames(picture: Tensor) -> Tensor:
    """Picture → `(batch, n_frames, height · channels)`; no copy where the height is 1."""
    return picture.permute(0, 3, 2, 1).flatten(2)


def channels_last(picture: Tensor) -> Tensor:
    """The same picture, its channels side by side in memory."""
    return picture.contiguous(memory_format=torch.channels_last)


def time_conv(
    n_inputs: int, n_outputs: int, kernel: int = 1, *, stride: int = 1, dilation: int = 1,
    bias: bool = False,
) -> nn.Conv2d:  # fmt: skip
    """A convolution over time of pictures of height 1, padded to keep their length."""
    return nn.Conv2d(
        n_inputs, n_outputs, (1, kernel), (1, stride), (0, dilation * (kernel // 2)),
        (1, dilation), bias=bias,
    )  # fmt: skip


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut (He et al., CVPR 2016, fig. 5 left).

    Args:
        n_inputs: channels that come in.
        n_outputs: channels that go out.
        stride: of the first convolution, along height and time.
    """

    def __init__(self, n_inputs: int, n_outputs: int, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.time_stride = stride[1]
        self.conv1 = nn.Conv2d(n_inputs, n_outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(n_outputs)
        self.conv2 = nn.Conv2d(n_outputs, n_outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != (1, 1) or n_inputs != n_outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_inputs, n_outputs, 1, stride, bias=False), nn.BatchNorm2d(n_outputs)
            )

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Both with fewer frames if there is a stride.

        Args:
            x: `(batch, n_inputs, height, n_frames)`, zero in the padding.
            mask: bool `(batch, n_frames)`, False in the padding.
        """
        mask = thinned(mask, self.time_stride)
        y = torch.relu_(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(zeroed(y, mask, time=-1)))
        y = torch.relu_(y + self.shortcut(x))
        return zeroed(y, mask, time=-1), mask
