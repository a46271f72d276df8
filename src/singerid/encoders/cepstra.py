"""Cepstral statistics: the mean and the covariance of a voice's cepstra, as one vector.

What a few hundred voices can teach a network is little; how a voice's spectrum lies and varies
says much without any teaching. The covariance stands for itself as its fourth root: roots bring
large and small variances to one scale, as a logarithm does, and need no eigenvectors (Li et al.,
Towards faster training of global covariance pooling networks by iterative matrix square root
normalization, CVPR 2018).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

DECIBELS = 100.0  # that a front end's scale of 0 … 1 stands for
_FLOOR = 0.5  # dB², added to every variance: no root of nothing
_ITERATIONS = 18  # enough for variances 10⁵ apart; those of voices are 10² to 10³ apart


class CepstralStatistics(nn.Module):
    """Mean and fourth root of the covariance of cepstra 1 … n of the loud frames.

    A cepstrum is the orthonormal cosine transform of a frame of log-mels in dB; the level, its
    coefficient 0, is left out. Frames far below the loudest one do not count.

    Args:
        n_dims: log-mels of a frame, on a scale of 0 … 1 for 100 dB.
        n_cepstra: coefficients.
        gate_db: frames that lie more than this below the loudest do not count.
    """

    basis: Tensor

    def __init__(self, n_dims: int, n_cepstra: int = 20, gate_db: float = 50.0) -> None:
        super().__init__()
        self.n_cepstra, self.gate_db = n_cepstra, gate_db
        self.register_buffer("basis", cosine_basis(n_dims, n_cepstra), persistent=False)
        rows, columns = torch.triu_indices(n_cepstra, n_cepstra)
        self.register_buffer("_upper", rows * n_cepstra + columns, persistent=False)

    @property
    def n_outputs(self) -> int:
        """Length of a vector."""
        return self.n_cepstra + self.n_cepstra * (self.n_cepstra + 1) // 2

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Statistics of a batch of partials.

        Args:
            frames: `(batch, n_frames, n_dims)`, not normalized.
            mask: bool `(batch, n_frames)`, False in the padding; None if there is none.

        Returns:
            float32 `(batch, n_outputs)`: means, then the root's upper triangle; dB and √dB.
        """
        frames = frames.float()
        counted = self._loud(frames, mask)[..., None].to(frames.dtype)
        n = counted.sum(1)
        cepstra = frames @ self.basis
        mean = (counted * cepstra).sum(1) / n
        spread = counted * (cepstra - mean[:, None])
        covariance = spread.transpose(1, 2) @ spread / (n - 1).clamp_min(1)[..., None]
        covariance = covariance + _FLOOR * torch.eye(self.n_cepstra, device=frames.device)
        root = square_root(square_root(covariance))
        upper: Tensor = self._upper  # type: ignore[assignment]
        return torch.cat([mean, root.flatten(1).index_select(1, upper)], 1)

    def _loud(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        """Bool `(batch, n_frames)`: the frames that count."""
        nepers = DECIBELS * math.log(10) / 10  # of power, that 1 stands for
        peak = frames.amax(2, keepdim=True)  # so that no exponential overflows
        level = peak[..., 0] + ((frames - peak) * nepers).exp().sum(2).log() / nepers
        if mask is not None:
            level = level.masked_fill(~mask, -torch.inf)
        loud: Tensor = level > level.amax(1, keepdim=True) - self.gate_db / DECIBELS
        return loud


def cosine_basis(n_dims: int, n_cepstra: int) -> Tensor:
    """`(n_dims, n_cepstra)`: from log-mels on a scale of 0 … 1 to cepstra in dB."""
    k = torch.arange(1, n_cepstra + 1, dtype=torch.float64)
    at = (torch.arange(n_dims, dtype=torch.float64) + 0.5) * (math.pi / n_dims)
    basis = torch.cos(at[:, None] * k) * (DECIBELS * math.sqrt(2 / n_dims))
    return basis.float()


def square_root(matrices: Tensor) -> Tensor:
    """Square roots of positive definite matrices `(batch, n, n)`.

    The coupled Newton-Schulz iteration (Higham, Functions of matrices, 2008, eq. 6.35): products
    only, which every runtime has.
    """
    trace = matrices.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    identity = torch.eye(matrices.shape[-1], device=matrices.device)
    root, inverse = matrices / trace, identity.expand_as(matrices)
    for _ in range(_ITERATIONS):
        step = 1.5 * identity - 0.5 * (inverse @ root)
        root, inverse = root @ step, step @ inverse
    result: Tensor = root * trace.sqrt()
    return result
