"""Which arithmetic a network runs in on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from statistics import median
from typing import Literal

import torch
from torch import nn

from singerid.errors import ConfigError

Precision = Literal["32", "bf16", "fp16"]
_FRAMES, _ROUNDS, _WORTH_IT = 8, 3, 0.85


def choose_precision(
    wanted: Literal["auto", "32", "bf16", "fp16"], network: nn.Module, batch: int, n_dims: int
) -> Precision:
    """Resolve ``auto``: bf16 where it makes this network faster here.

    Having the instructions is not enough (a CPU with AVX512-bf16 but without AMX may be slower
    in bf16), so forward and backward passes over a few frames are timed in both.

    Args:
        wanted: the setting.
        network: the encoder.
        batch: partials in a batch.
        n_dims: values per frame.

    Raises:
        ConfigError: fp16 without a GPU.
    """
    if wanted == "fp16" and not torch.cuda.is_available():
        raise ConfigError(
            "fp16 needs a GPU", where="train.precision", found="none", expected="32, bf16 or auto"
        )
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "32"
    was_training = network.training
    network.eval()  # batch normalization takes in what it sees in training
    features = torch.full((batch, _FRAMES, n_dims), 0.5)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(_ROUNDS):
        for bf16, taken in seconds.items():
            start = time.perf_counter()
            with autocast(bf16, features.device):
                vectors = network(features)
            vectors.sum().backward()
            taken.append(time.perf_counter() - start)
    network.zero_grad(set_to_none=True)
    network.train(was_training)
    return "bf16" if median(seconds[True]) < _WORTH_IT * median(seconds[False]) else "32"


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Count numbers below 1e-38 as zero: vanishing gradients slow an LSTM down 12-fold else.

    This holds for the present thread and for those that PyTorch starts meanwhile. It starts
    them at its first large operation, so that one should lie within.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def autocast(
    half: bool, device: torch.device, dtype: torch.dtype = torch.bfloat16
) -> AbstractContextManager[object]:
    """The context in which a network's forward pass runs: with 16 bits, or as it is."""
    return torch.autocast(device.type, dtype, enabled=half)
