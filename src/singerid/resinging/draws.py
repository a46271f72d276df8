"""Random numbers for batches of crops: drawn on the CPU, so that every device sees the same."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def seeded(*keys: int) -> torch.Generator:
    """Generator that depends on all keys, such as a seed and the number of a step.

    A step's numbers are a function of the keys alone: workers, ranks and resumes change nothing.
    """
    state = 0x9E3779B97F4A7C15
    for key in keys:  # SplitMix64 (Steele et al. 2014, OOPSLA), so that near keys lie far apart
        state = (state ^ (key & 0xFFFFFFFFFFFFFFFF)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        state = (state ^ state >> 31) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 29
    return torch.Generator().manual_seed(state >> 1)


class Draws:
    """Numbers for `n` crops from a CPU generator, on a device."""

    def __init__(self, n: int, generator: torch.Generator, device: torch.device) -> None:
        self.n, self.generator, self.device = n, generator, device

    def uniform(self, low: float = 0.0, high: float = 1.0, shape: Sequence[int] = ()) -> Tensor:
        """Float32 `(n, *shape)` in `low` … `high`."""
        numbers = torch.rand(self.n, *shape, generator=self.generator)
        return numbers.to(self.device, non_blocking=True) * (high - low) + low

    def log_uniform(self, low: float, high: float, shape: Sequence[int] = ()) -> Tensor:
        """Float32 `(n, *shape)`, uniform on a logarithmic axis; both ends above 0."""
        return torch.exp(self.uniform(math.log(low), math.log(high), shape))

    def normal(self, shape: Sequence[int] = ()) -> Tensor:
        """Float32 `(n, *shape)`, mean 0 and variance 1."""
        numbers = torch.randn(self.n, *shape, generator=self.generator)
        return numbers.to(self.device, non_blocking=True)

    def happens(self, probability: float, shape: Sequence[int] = ()) -> Tensor:
        """Bool `(n, *shape)`, True with this probability."""
        return self.uniform(shape=shape) < probability

    def integers(self, high: int, shape: Sequence[int] = ()) -> Tensor:
        """Int64 `(n, *shape)`, 0 … `high` - 1."""
        numbers = torch.randint(high, (self.n, *shape), generator=self.generator)
        return numbers.to(self.device, non_blocking=True)

    def wander(self, time: Tensor, low_hz: float, high_hz: float) -> Tensor:
        """Slow noise of unit variance `(n, n_times)`: six sinusoids.

        Args:
            time: seconds `(n_times,)`, or `(n, n_times)`.
            low_hz: of the slowest sinusoid.
            high_hz: of the quickest.
        """
        rates = self.log_uniform(low_hz, high_hz, (6, 1))
        phases = self.uniform(0, 2 * math.pi, (6, 1))
        waves = torch.sin(2 * math.pi * rates * time.unsqueeze(-2) + phases)
        return waves.sum(1) / math.sqrt(3)
