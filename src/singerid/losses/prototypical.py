"""Angular prototypical loss: some partials of each singer find their singer's other partials.

Reference: Chung, Huh, Mun, Lee, Heo, Choe, Ham, Jung, Lee, Han, In defence of metric learning
for speaker recognition, Interspeech 2020 (section 2.2); after Snell, Swersky, Zemel, Prototypical
networks for few-shot learning, NeurIPS 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PrototypicalLoss(nn.Module):
    """Cross-entropy over the singers of the batch, by the angle to their prototypes.

    The last partials of each singer in the batch are queries, the others' mean is the prototype;
    their similarity is S = w · cos. (The paper's bias b is the same for all singers and cancels
    in the softmax, so there is none.) One query per singer, as in the paper, makes prototypes of
    as many partials as there can be; more queries give more comparisons.

    Args:
        n_queries: queries of each singer.
        init_scale: first value of w.
    """

    def __init__(self, n_queries: int = 1, init_scale: float = 10.0) -> None:
        super().__init__()
        self.n_queries = n_queries
        self.scale = nn.Parameter(torch.tensor(init_scale))

    def forward(self, embeddings: Tensor, singers: Tensor) -> Tensor:
        """Scalar loss of unit vectors `(n, dim)` of the singers `(n,)`, any integers.

        Raises:
            ValueError: a singer has no partial left for a prototype.
        """
        _, own, counts = torch.unique(singers, return_inverse=True, return_counts=True)
        if len(counts) == 0 or int(counts.min()) <= self.n_queries:
            raise ValueError(
                f"the prototypical loss needs at least {self.n_queries + 1} embeddings "
                "of each singer"
            )
        is_query = _place_from_end(own, counts) < self.n_queries
        sums = embeddings.new_zeros(len(counts), embeddings.shape[1])
        sums = sums.index_add(0, own, embeddings.masked_fill(is_query[:, None], 0))
        cosines = embeddings @ F.normalize(sums, dim=1).T
        # Positive, as in the paper's proof: a negative w would pull singers together.
        losses = F.cross_entropy(self.scale.clamp(min=1e-6) * cosines, own, reduction="none")
        return losses.masked_fill(~is_query, 0).sum() / (self.n_queries * len(counts))


def _place_from_end(own: Tensor, counts: Tensor) -> Tensor:
    """How many embeddings of the same singer come after each one in the batch, `(n,)`."""
    order = torch.argsort(own, stable=True)
    place = torch.empty_like(own)
    place[order] = counts.cumsum(0)[own[order]] - 1 - torch.arange(len(own), device=own.device)
    return place
