"""Enrollment models: which recordings of a singer are enrolled together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError

IntArray = npt.NDArray[np.int64]


def draw_models(owner: IntArray, take: IntArray, k: int, rng: np.random.Generator) -> IntArray:
    """Divide each owner's recordings into models of `k`, at random; up to k - 1 are left over.

    A model is made of as few takes (songs, say) as possible, so that others remain to test it
    with: of models drawn across all songs of a singer, no target would differ in song.

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
    n = len(owner)
    takes = rng.permutation(int(take.max(initial=-1)) + 1)[take]  # in another order
    order = np.lexsort((rng.random(n), takes, owner))
    _, start, size = np.unique(owner[order], return_index=True, return_counts=True)
    place = np.arange(n) - np.repeat(start, size)
    models = order[place < np.repeat(size // k * k, size)].reshape(-1, k)
    if not len(models):
        raise SingeridError(
            f"nobody has {k} recordings to enroll", found=f"at most {size.max(initial=0)}",
            do="lower n_enroll",
        )  # fmt: skip
    return np.sort(models, axis=1)
