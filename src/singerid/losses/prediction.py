"""Prediction of the singer: by a linear head, or by prototypes where no head knows the singers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PredictionLoss(nn.Module):
    """Cross-entropy over the training singers, predicted by a linear head from the embedding."""

    def __init__(self, dim: int, n_singers: int) -> None:
        super().__init__()
        self.head = nn.Linear(dim, n_singers)

    def forward(self, embeddings: Tensor, singers: Tensor) -> Tensor:
        """Scalar loss of unit vectors `(n, dim)` of the training singers `(n,)`."""
        return F.cross_entropy(self.head(embeddings), singers)


def prototype_logits(embeddings: Tensor, n_singers: int, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Prediction for singers that no head knows: half of the partials predict the other half.

    The centroid of the first half of each singer's partials serves as that singer's class
    weight (a prototypical classifier; Snell et al. 2017), at GE2E's scale.

    Args:
        embeddings: unit vectors `(n_singers · n_partials, dim)`, grouped by singer.
        n_singers: number of singers.
        scale: factor on the cosines.

    Returns:
        Logits `(n, n_singers)` of the second halves, and the right classes `(n,)`.
    """
    grouped = embeddings.reshape(n_singers, -1, embeddings.shape[1])
    half = grouped.shape[1] // 2
    prototypes = F.normalize(grouped[:, :half].sum(dim=1), dim=1)
    queries = grouped[:, half:]
    classes = torch.arange(n_singers, device=embeddings.device).repeat_interleave(queries.shape[1])
    return scale * (queries.flatten(0, 1) @ prototypes.T), classes
