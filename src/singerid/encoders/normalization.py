"""Normalization of an encoder's input: part of the encoder, so that it is never forgotten."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from singerid.encoders.masking import masked_mean

NormalizationKind = Literal["none", "range", "standard", "level", "global", "feature"]
LEVEL_RANGE = 0.7  # of the default front end's scale: 70 dB


class Normalization(nn.Module):
    """One of the original's four ways to normalize, the level only, or none.

    * ``range``: each partial to [0, 1] by its least and largest value;
    * ``standard``: each partial to mean 0 and variance 1;
    * ``level``: values more than 0.7 (70 dB where the front end has 100 dB from 0 to 1) below
      each partial's peak are raised to that, then the partial's mean over time *and* frequency is
      taken away: its loudness goes, its long-term spectrum, which says who it is, stays;
    * ``global``: by one mean and deviation of all training frames;
    * ``feature``: by the mean and deviation of each dimension over all training frames
      (Schlüter & Grill, Exploring data augmentation for improved singing voice detection with
      neural networks, ISMIR 2015).

    The last two keep their statistics as buffers, which are saved with the weights.

    Args:
        kind: which.
        n_dims: values of a frame that are normalized; what follows them (a one-hot pitch) is
            passed on as it is.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, kind: NormalizationKind, n_dims: int) -> None:
        super().__init__()
        self.kind, self.n_dims = kind, n_dims
        if kind in ("global", "feature"):
            size = n_dims if kind == "feature" else 1
            self.register_buffer("mean", torch.zeros(size))
            self.register_buffer("deviation", torch.ones(size))

    @property
    def needs_statistics(self) -> bool:
        """True if `set_statistics` must be called before training."""
        return self.kind in ("global", "feature")

    def set_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """Take the mean and variance `(n_dims,)` of each dimension over the training frames."""
        if self.kind == "global":
            # Law of total variance: mean of the variances + variance of the means.
            variance = variance.mean() + mean.var(unbiased=False)
            mean = mean.mean()
        self.mean.copy_(mean.expand_as(self.mean))
        self.deviation.copy_(variance.sqrt().clamp_min(1e-6).expand_as(self.deviation))

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalize; padding changes nothing, and is not zero afterwards.

        Args:
            features: `(batch, n_frames, n_inputs)`.
            mask: bool `(batch, n_frames)`, False in the padding; None if there is none.

        Returns:
            The same shape.
        """
        if self.kind == "none":
            return features
        normalized = self._normalize(features[..., : self.n_dims], mask)
        if features.shape[-1] == self.n_dims:
            return normalized
        return torch.cat([normalized, features[..., self.n_dims :]], dim=-1)

    def _normalize(self, features: Tensor, mask: Tensor | None) -> Tensor:
        if self.kind == "range":
            low, high = _lowest(features, mask), -_lowest(-features, mask)
            return (features - low) / (high - low).clamp_min(1e-6)
        if self.kind == "level":
            features = torch.maximum(features, -_lowest(-features, mask) - LEVEL_RANGE)
            return features - _mean(features, mask)
        if self.kind == "standard":
            mean = _mean(features, mask)
            if mask is None:
                deviation = features.std(dim=(1, 2), keepdim=True, unbiased=False)
            else:
                deviation = _mean((features - mean).square(), mask).sqrt()
            return (features - mean) / deviation.clamp_min(1e-6)
        return (features - self.mean) / self.deviation


def _mean(features: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of each row over time and frequency: `(batch, 1, 1)`."""
    if mask is None:
        return features.mean(dim=(1, 2), keepdim=True)
    return masked_mean(features, mask).mean(dim=2, keepdim=True)


def _lowest(features: Tensor, mask: Tensor | None) -> Tensor:
    """Least value of each row over time and frequency: `(batch, 1, 1)`."""
    if mask is not None:
        features = features.masked_fill(~mask.unsqueeze(2), torch.inf)
    return features.amin(dim=(1, 2), keepdim=True)
