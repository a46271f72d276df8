"""Optimization: optimizers, the learning rate of each step, and the average of the weights."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from singerid.training_sections import TrainSettings

_MOMENTUM = 0.9


def build_optimizer(module: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """The optimizer that the settings ask for, over everything that is not frozen.

    Weight decay acts on matrices and kernels only: biases, norms and a loss's scale have a
    meaning of their own. PyTorch's fused kernels go over the weights once instead of once an
    operation (3.6 times as fast on a CPU); but a gradient scaler would leave it to them to unscale
    gradients, which are to be limited before that.
    """
    free = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in free if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in free if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate, fused = settings.learning_rate, settings.precision != "fp16"
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate, fused=fused)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, fused=fused)
    return torch.optim.SGD(groups, lr=rate, momentum=_MOMENTUM, nesterov=True, fused=fused)


def learning_rate_at(step: int, settings: TrainSettings) -> float:
    """Learning rate of step `step`, counted from 0.

    It rises linearly for `warmup_steps`, and stays, or falls on half a cosine to 0 at `steps`
    (Loshchilov and Hutter, SGDR, ICLR 2017, eq. 5). A function of the step alone: a resumed run
    needs no state to go on with it.
    """
    rate = settings.learning_rate
    if step < settings.warmup_steps:
        return rate * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return rate
    length = max(1, settings.steps - settings.warmup_steps)
    return rate * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - settings.warmup_steps) / length)))


class WeightAverage(AveragedModel):
    """Exponential moving average of an encoder's weights and buffers (Polyak averaging).

    The decay grows from 0 with the number of updates, (1 + n) / (10 + n) at most, so that the
    first weights, which are noise, are soon forgotten.
    """

    def __init__(self, encoder: nn.Module, decay: float) -> None:
        super().__init__(encoder, use_buffers=True)
        self.module.requires_grad_(False)  # nothing trains it
        self._most = decay

    def update_parameters(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        n = int(self.n_averaged)
        self.multi_avg_fn = get_ema_multi_avg_fn(min(self._most, (1 + n) / (10 + n)))  # type: ignore[no-untyped-call]
        super().update_parameters(model)
