"""GE2E: every embedding against the centroids of the singers in the batch.

Reference: Wan, Wang, Papir, Lopez Moreno, Generalized end-to-end loss for speaker
verification, ICASSP 2018 (equation numbers below).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GE2ELoss(nn.Module):
    """Generalized end-to-end loss over a batch of N singers with any number of partials each.

    Every embedding is compared with the centroid of every singer in the batch, with its own
    singer's centroid computed without itself (eq. 8, 9): S = w · cos + b (eq. 5).

    * ``softmax``: cross-entropy of S over the singers (eq. 6);
    * ``contrast``: 1 - σ(own) + max over the others of σ(S) (eq. 7).

    Both are means over the embeddings. The gradients of w and b are scaled down (section 3).

    Args:
        variant: softmax or contrast.
        init_scale: first value of w.
        init_bias: first value of b.
        scale_gradient: factor on the gradients of w and b.
    """

    def __init__(
        self,
        variant: Literal["softmax", "contrast"] = "softmax",
        init_scale: float = 10.0,
        init_bias: float = -5.0,
        scale_gradient: float = 0.01,
    ) -> None:
        super().__init__()
        self.variant = variant
        self.scale = nn.Parameter(torch.tensor(init_scale))
        self.bias = nn.Parameter(torch.tensor(init_bias))
        for parameter in (self.scale, self.bias):
            parameter.register_hook(lambda gradient: gradient * scale_gradient)  # type: ignore[no-untyped-call]

    def forward(self, embeddings: Tensor, singers: Tensor) -> Tensor:
        """Scalar loss of unit vectors `(n, dim)` of the singers `(n,)`."""
        similarities, own = similarity_matrix(embeddings, singers)
        return self.from_similarities(similarities, own)

    def from_similarities(self, cosines: Tensor, own: Tensor) -> Tensor:
        """The loss from what `similarity_matrix` gives, so that metrics can share it."""
        logits = self.scale * cosines + self.bias
        if self.variant == "softmax":
            return F.cross_entropy(logits, own)
        probabilities = torch.sigmoid(logits)
        is_own = F.one_hot(own, logits.shape[1]).bool()
        others = probabilities.masked_fill(is_own, -torch.inf).amax(dim=1)
        return (1 - probabilities[is_own] + others).mean()


def similarity_matrix(embeddings: Tensor, singers: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine of every embedding with every singer's centroid, leaving itself out of its own.

    Args:
        embeddings: unit vectors `(n, dim)`.
        singers: index of the singer of each, `(n,)`, any integers.

    Returns:
        Cosines `(n, n_singers)`, columns in ascending order of singer index, and the column of
        each embedding's own singer `(n,)`.

    Raises:
        ValueError: fewer than two singers, or a singer with a single embedding.
    """
    _, own, counts = torch.unique(singers, return_inverse=True, return_counts=True)
    if len(counts) < 2 or int(counts.min()) < 2:
        raise ValueError("GE2E needs at least two singers with at least two embeddings each")
    sums = embeddings.new_zeros(len(counts), embeddings.shape[1]).index_add(0, own, embeddings)
    cosines = embeddings @ F.normalize(sums, dim=1).T
    without_itself = F.normalize(sums[own] - embeddings, dim=1)
    leave_one_out = (embeddings * without_itself).sum(dim=1, keepdim=True)
    return cosines.scatter(1, own[:, None], leave_one_out), own
