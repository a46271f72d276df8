"""Embeddings of all ranks of a distributed training, for losses that compare them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed

from singerid.ranks import n_ranks


def gather_embeddings(embeddings: Tensor, singers: Tensor) -> tuple[Tensor, Tensor]:
    """The joint batch of all ranks, in order of rank; what was given where there is one rank.

    Every rank then computes the same loss of the joint batch. Gradients flow to the rank's own
    embeddings, times the number of ranks: the mean over ranks, which is what
    `DistributedDataParallel` takes, is then the gradient of the joint batch; for the encoder, that
    only sees its own part on each rank, and for the loss's own parameters alike.

    Args:
        embeddings: `(n, dim)`, the same n on every rank.
        singers: `(n,)`.

    Returns:
        `(n_ranks · n, dim)` and `(n_ranks · n,)`.
    """
    if n_ranks() == 1:
        return embeddings, singers
    gathered: Tensor = _Gather.apply(embeddings)  # type: ignore[no-untyped-call]
    return gathered, _all_gather(singers)


class _Gather(torch.autograd.Function):
    """`torch.distributed.nn.all_gather` without its second exchange.

    That one adds up the gradients of all ranks, which are equal here: own part times ranks.
    """

    @staticmethod
    def forward(ctx: Any, embeddings: Tensor) -> Tensor:
        ctx.n = len(embeddings)
        return _all_gather(embeddings)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        start = distributed.get_rank() * ctx.n
        return gradients[0][start : start + ctx.n] * distributed.get_world_size()


def _all_gather(values: Tensor) -> Tensor:
    parts = [torch.empty_like(values) for _ in range(n_ranks())]
    distributed.all_gather(parts, values.contiguous())
    return torch.cat(parts)
