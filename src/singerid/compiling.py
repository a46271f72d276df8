"""PyTorch's compiler for the passes of a training, where there is one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from singerid.errors import ConfigError
from singerid.ranks import device


def compiled(encoder: nn.Module) -> Callable[[Tensor], Tensor]:
    """The forward pass of an encoder, compiled when it is first called.

    The encoder itself stays as it is: the names of its weights, and its own calls, which
    validation makes (its recordings have many lengths, each worth minutes of compiling).

    Raises:
        ConfigError: no compiler works here.
    """
    _try_out()
    forward: Callable[[Tensor], Tensor] = torch.compile(encoder.forward)
    return forward


def _try_out() -> None:
    """Compile something small.

    torch.compile itself would say so only in the first step, in many lines.
    """
    try:
        torch.compile(_something, fullgraph=True)(torch.zeros(8, device=device()))
    except Exception as error:  # what a missing or broken compiler raises depends on the system
        raise ConfigError(
            "PyTorch's compiler does not work here", where="train.compile",
            found=next(iter(str(error).splitlines()), type(error).__name__)[:200],
            do="install a C++ compiler (for a GPU: triton), or leave it out",
        ) from error  # fmt: skip


def _something(values: Tensor) -> Tensor:
    return values.sin() + 1
