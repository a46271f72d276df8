"""Masks of padded batches: which frames of a row are its own."""

from __future__ import annotations

import torch
from torch import Tensor


def frame_mask(lengths: Tensor, n_frames: int) -> Tensor:
    """True at the frames of each row that are its own.

    Args:
        lengths: `(batch,)`, integers in [1, n_frames].
        n_frames: length that the rows are padded to.

    Returns:
        bool `(batch, n_frames)`.
    """
    return torch.arange(n_frames, device=lengths.device) < lengths[:, None]


def thinned(mask: Tensor | None, stride: int) -> Tensor | None:
    """The mask behind a convolution of this stride that is padded to keep every stride-th frame.

    Its output frame t is centered on input frame t · stride, so it is a row's own if that is:
    ceil(length / stride) frames, as many as the row has on its own.
    """
    return mask if mask is None or stride == 1 else mask[:, ::stride]


def zeroed(x: Tensor, mask: Tensor | None, time: int = 1) -> Tensor:
    """The same values, and zeros in the padding: what a convolution finds beyond a row's end.

    Args:
        x: of any shape, the batch first.
        mask: bool `(batch, n_frames)`, or None: nothing is padded.
        time: which dimension of `x` is time; negative ones count from the end.
    """
    return x if mask is None else x.masked_fill(~_spread(mask, x, time), 0)


def masked_mean(x: Tensor, mask: Tensor | None, time: int = 1) -> Tensor:
    """Mean over each row's own frames; the dimension of time stays, with size 1."""
    if mask is None:
        return x.mean(dim=time, keepdim=True)
    total = zeroed(x, mask, time).sum(dim=time, keepdim=True)
    return total / _spread(mask.sum(dim=1, keepdim=True), x, time)


def _spread(values: Tensor, like: Tensor, time: int) -> Tensor:
    """`(batch, n_frames)` in the dimensions of another tensor."""
    shape = [1] * like.dim()
    shape[0], shape[time] = values.shape
    return values.view(shape)
