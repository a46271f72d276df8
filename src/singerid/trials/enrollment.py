"""Enrollment models: which recordings of a singer are enrolled together."""

from __future__ import annotations

import numpy as np

from singerid.errors import SingeridError
from singerid.trials.labels import BoolArray, IntArray, combined


def draw_models(owner: IntArray, take: IntArray, k: int, rng: np.random.Generator) -> IntArray:
    """Divide each owner's recordings into models of `k`, at random; up to k - 1 are left over.

    First as many models as possible of one take (song, say) each, then models of what is left,
    take by take: of models drawn across all songs of a singer, no target would differ in song.

    Args:
        owner: int64 `(n,)`, whose recording each is; a model has one owner.
        take: int64 `(n,)`, code from 0 of what should stay together.
        k: recordings per model.
        rng: source of the draw.

    Returns:
        int64 `(n_models, k)`, rows of `owner`, ascending within a model.

    Raises:
        SingeridError: nobody has `k` recordings.
    """
    owner = np.unique(owner, return_inverse=True)[1]
    takes = rng.permutation(int(take.max(initial=-1)) + 1)[take]  # in another order
    order = np.lexsort((rng.random(len(owner)), takes, owner))
    left = _left_over(combined(owner, takes)[order], k)
    order = order[np.lexsort((left, owner[order]))]
    models = order[~_left_over(owner[order], k)].reshape(-1, k)
    if not len(models):
        raise SingeridError(
            f"nobody has {k} recordings to enroll",
            found=f"at most {np.bincount(owner).max(initial=0)}",
            do="lower n_enroll, or loosen the conditions on enrolled recordings",
        )  # fmt: skip
    return np.sort(models, axis=1)


def _left_over(groups: IntArray, k: int) -> BoolArray:
    """Of groups in ascending order, the last members, which are too few for another `k`."""
    _, start, size = np.unique(groups, return_index=True, return_counts=True)
    place = np.arange(len(groups)) - np.repeat(start, size)
    return np.asarray(place >= np.repeat(size // k * k, size))
