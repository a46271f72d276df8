"""Additive angular margin softmax (AAM, ArcFace) with sub-centers and a margin schedule.

References: Deng, Guo, Xue, Zafeiriou, ArcFace: additive angular margin loss for deep face
recognition, CVPR 2019; Deng, Guo, Liu, Gong, Zafeiriou, Sub-center ArcFace, ECCV 2020; Zhao, Ma,
Liu, Xu, The SpeakIn system for VoxCeleb speaker recognition challenge 2021 (inter-top-k penalty).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AAMLoss(nn.Module):
    """Cross-entropy over the training singers whose own angle must be smaller by a margin.

    A singer has one or several unit class vectors (sub-centers); its cosine is that of the
    nearest, so that a singer may have several voices, or wrongly labeled partials a place of
    their own. The logit of the own singer is ``scale · cos(θ + margin)``, of the others
    ``scale · cos θ``.

    The margin grows linearly from 0 during the first ``margin_warmup`` of the training: a full
    margin on random class vectors pushes all embeddings alike (see `margin_at`).

    Args:
        dim: length of an embedding.
        n_singers: number of training singers.
        margin: additive margin in radians, in [0, π/2).
        scale: factor on the cosines (the inverse temperature of the softmax).
        sub_centers: class vectors of each singer.
        margin_warmup: share of the training during which the margin grows, in [0, 1].
        hard_singers: how many of the nearest wrong singers get a penalty (0: none).
        hard_margin: the penalty: their angle counts as smaller by so much, in radians.
    """

    def __init__(
        self,
        dim: int,
        n_singers: int,
        margin: float = 0.2,
        scale: float = 30.0,
        sub_centers: int = 1,
        margin_warmup: float = 0.0,
        hard_singers: int = 0,
        hard_margin: float = 0.06,
    ) -> None:
        super().__init__()
        self.margin, self.margin_warmup, self.scale = margin, margin_warmup, scale
        self.hard_singers = min(hard_singers, n_singers - 1)
        self.hard_margin = hard_margin
        # Directions only: all lengths are equal at first, so that all turn equally fast.
        vectors = F.normalize(torch.randn(n_singers, sub_centers, dim), dim=2)
        self.weight = nn.Parameter(vectors)

    def forward(self, embeddings: Tensor, singers: Tensor, progress: float = 1.0) -> Tensor:
        """Scalar loss of unit vectors.

        Args:
            embeddings: `(n, dim)`, unit length.
            singers: index of the training singer of each, `(n,)`.
            progress: share of the training that is done, in [0, 1].
        """
        cosines = self.cosines(embeddings)
        columns = singers[:, None]
        margin = self.margin_at(progress)
        own = add_margin(cosines.gather(1, columns), margin)
        if self.hard_singers and margin > 0:
            share = margin / self.margin  # both margins grow together
            cosines = self._penalized(cosines, columns, share * self.hard_margin)
        return F.cross_entropy(self.scale * cosines.scatter(1, columns, own), singers)

    def logits(self, embeddings: Tensor) -> Tensor:
        """Without the margin: unit vectors `(n, dim)` to `(n, n_singers)`, for telling singers."""
        return self.scale * self.cosines(embeddings)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Cosine of unit vectors `(n, dim)` with the nearest sub-center of each singer."""
        n_singers, sub_centers, _ = self.weight.shape
        # Scaling the cosines is less work, there and back, than scaling the class vectors.
        lengths = self.weight.flatten(0, 1).square().sum(dim=1).clamp(min=1e-24).sqrt()
        cosines = embeddings @ self.weight.flatten(0, 1).T / lengths
        if sub_centers == 1:
            return cosines
        return cosines.view(-1, n_singers, sub_centers).amax(dim=2)

    def margin_at(self, progress: float) -> float:
        """Margin in radians once a share of the training is done."""
        if progress >= self.margin_warmup:
            return self.margin
        return self.margin * max(progress, 0.0) / self.margin_warmup

    def _penalized(self, cosines: Tensor, columns: Tensor, margin: float) -> Tensor:
        """The nearest wrong singers moved nearer."""
        others = cosines.detach().scatter(1, columns, -torch.inf)
        nearest = others.topk(self.hard_singers, dim=1).indices
        return cosines.scatter(1, nearest, subtract_margin(cosines.gather(1, nearest), margin))


def add_margin(cosines: Tensor, margin: float) -> Tensor:
    """cos(θ + margin) of cos θ, for a margin in [0, π/2] radians.

    Where θ + margin is beyond π, where the cosine rises again, a straight line takes over:
    cos θ - margin · sin(margin), lower than all before, so that more angle is always worse.
    """
    moved = cosines * math.cos(margin) - _sines(cosines) * math.sin(margin)
    beyond = cosines - margin * math.sin(margin)
    return torch.where(cosines > -math.cos(margin), moved, beyond)


def subtract_margin(cosines: Tensor, margin: float) -> Tensor:
    """cos(θ - margin) of cos θ; where θ < margin, a straight line to 2 - cos(margin) instead."""
    moved = cosines * math.cos(margin) + _sines(cosines) * math.sin(margin)
    beyond = cosines + (1 - math.cos(margin))
    return torch.where(cosines < math.cos(margin), moved, beyond)


def _sines(cosines: Tensor) -> Tensor:
    """Sin θ in [0, 1]. Next to cos θ = ±1, where its slope is infinite, it is held constant."""
    least = torch.finfo(cosines.dtype).eps
    return (1 - cosines.square()).clamp(min=least).sqrt()
