"""Vectors of made-up singers, as exemplars of a registry."""

import numpy as np

from singerid.registry import Exemplar

DIM = 20


def voice(seed, dim=DIM):
    """Whose recordings score about 0.8 with each other."""
    return np.random.default_rng(seed).standard_normal(dim)


def exemplar(seed, take=0, noise=0.5, **fields):
    """A recording of the singer of a seed."""
    center = voice(seed)
    vector = center + noise * np.random.default_rng([seed, take + 1]).standard_normal(DIM)
    vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    return Exemplar(vector, **({"seconds": 2.0, "path": f"{seed}-{take}.wav"} | fields))


def exemplars(seed, n=3, **fields):
    return [exemplar(seed, take, **fields) for take in range(n)]
