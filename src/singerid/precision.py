"""Which arithmetic a network runs in on this machine."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from statistics import median
from typing import Literal

import torch

Precision = Literal["32", "bf16"]


def choose_precision(wanted: Literal["auto", "32", "bf16"]) -> Precision:
    """Resolve ``auto``: bf16 where it is faster here.

    Having the instructions is not enough (on CPUs with AVX512-bf16 but without AMX, bf16 can
    be the slower one), so a product of two matrices is timed in both, which takes some 50 ms.
    """
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "32"
    matrix = torch.ones(768, 768)
    seconds: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    for _ in range(7):
        for dtype, taken in seconds.items():
            operand = matrix.to(dtype)
            start = time.perf_counter()
            torch.mm(operand, operand)
            taken.append(time.perf_counter() - start)
    faster = median(seconds[torch.bfloat16]) < 0.75 * median(seconds[torch.float32])
    return "bf16" if faster else "32"


def autocast(bf16: bool, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a network's forward pass runs."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)
