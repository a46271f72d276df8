"""Processes that train together, as torchrun starts them: which this one is, and its share."""

from __future__ import annotations

import os
from typing import TypeVar

import torch
from torch import Tensor, distributed

from singerid.errors import ConfigError

_T = TypeVar("_T")


def n_ranks() -> int:
    """Number of processes that train together; 1 without torchrun."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Number of this process among them; 0 reads and writes what only one may."""
    return int(os.environ.get("RANK", "0"))


def n_hosts() -> int:
    """Number of machines among which they are divided evenly."""
    return n_ranks() // int(os.environ.get("LOCAL_WORLD_SIZE", n_ranks()))


def device() -> torch.device:
    """Where this rank trains: a GPU of its own if there is one."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def check_divisible(n_singers: int) -> None:
    """Refuse batches that cannot be shared out.

    Raises:
        ConfigError: the singers of a batch are no multiple of the ranks, or one each.
    """
    if n_singers % n_ranks() or n_singers < 2 * n_ranks() - (n_ranks() == 1):
        raise ConfigError(
            "the singers of a batch cannot be shared among the processes evenly",
            where="batch.n_singers", found=f"{n_singers} for {n_ranks()} processes",
            expected="a multiple, two each or more",
        )  # fmt: skip


def this_ranks(values: Tensor, part: tuple[int, int]) -> Tensor:
    """Every `part[1]`-th row, from `part[0]` on."""
    return values[part[0] :: part[1]]


def joint_mean(values: Tensor) -> Tensor:
    """Mean of equally shaped values over the ranks."""
    if n_ranks() == 1:
        return values
    total = values.clone()
    distributed.all_reduce(total)
    return total / n_ranks()


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set in any of the ranks, which all hear the same answer."""
    return bool(joint_mean(torch.tensor(float(flag), device=device)) > 0)
