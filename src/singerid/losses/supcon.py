"""Supervised contrastive loss: each partial against all others of the batch.

Reference: Khosla, Teterwak, Wang, Sarna, Tian, Isola, Maschinot, Liu, Krishnan, Supervised
contrastive learning, NeurIPS 2020 (eq. 2, the sum outside of the logarithm).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SupConLoss(nn.Module):
    """Cross-entropy of finding each other partial of one's singer among all other partials.

    For an anchor i with the positives P(i) (other partials of its singer):
    -1/|P(i)| · Σ over p in P(i) of log softmax over a ≠ i of (z_i · z_a / τ) at a = p. The mean is
    over anchors that have positives.

    Args:
        temperature: τ, a cosine: small values look at the nearest others only.
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, embeddings: Tensor, singers: Tensor) -> Tensor:
        """Scalar loss of unit vectors `(n, dim)` of the singers `(n,)`, any integers.

        Raises:
            ValueError: no singer has two embeddings.
        """
        itself = torch.eye(len(singers), dtype=torch.bool, device=singers.device)
        positive = (singers[:, None] == singers[None, :]) & ~itself
        n_positives = positive.sum(dim=1)
        n_anchors = n_positives.count_nonzero()
        if not int(n_anchors):
            raise ValueError("SupCon needs at least two embeddings of a singer")
        logits = (embeddings @ embeddings.T / self.temperature).masked_fill(itself, -torch.inf)
        log_probabilities = logits.log_softmax(dim=1).masked_fill(~positive, 0)
        losses = -log_probabilities.sum(dim=1) / n_positives.clamp(min=1)
        return losses.sum() / n_anchors
