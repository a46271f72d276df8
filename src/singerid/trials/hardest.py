"""The hardest nontargets: for each recording, or model, the most similar other singers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from singerid.embeddings import normalize
from singerid.errors import SingeridError
from singerid.trials.pairs import Predicate

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
_BLOCK = 1 << 22  # scores at a time: 16 MB, and some arrays of the same size
_DECIMALS = 5  # coarser than the noise of float32 products, so that ties fall alike everywhere


def model_vectors(vectors: npt.NDArray[np.floating], members: IntArray) -> FloatArray:
    """Directions of models `(n_models, dim)`: the mean of their members' unit vectors.

    Args:
        vectors: `(n, dim)`, one per recording, of any length.
        members: int64 `(n_models, k)`, rows of `vectors`.

    Raises:
        SingeridError: a vector, or a model's mean, has no direction (zero or not finite).
    """
    unit = normalize(vectors)
    if members.shape[1] == 1:
        return unit[members[:, 0]]
    return normalize(unit[members].mean(axis=1))


def hardest_pairs(
    vectors: tuple[FloatArray, FloatArray], rows: tuple[IntArray, IntArray],
    pool: tuple[IntArray, IntArray], allowed: Predicate, k: int,
) -> IntArray:  # fmt: skip
    """For each first row the `k` most similar second rows of its pool, if they are allowed.

    Cosine similarity, in blocks of bounded size; of equal similarities the lower row wins.

    Args:
        vectors: unit vectors `(n, dim)` of the first and `(m, dim)` of the second rows.
        rows: names of the first rows `(n,)` and of the second rows `(m,)`, ascending.
        pool: code of each.
        allowed: from names of first and of second rows (arrays that broadcast) to bool.
        k: how many, at least 1; fewer where not so many are allowed.

    Returns:
        int64 `(2, n_pairs)`, names of first and second rows.

    Raises:
        SingeridError: `k` is out of range.
    """
    if k < 1:
        raise SingeridError("hardest_k out of range", found=k, expected="at least 1")
    found = [np.zeros((2, 0), np.int64)]
    for code in np.unique(pool[0]):
        ours, theirs = np.flatnonzero(pool[0] == code), np.flatnonzero(pool[1] == code)
        if not len(theirs):
            continue
        step = max(1, _BLOCK // len(theirs))
        candidates, names = vectors[1][theirs].T, rows[1][theirs]
        for start in range(0, len(ours), step):
            block = ours[start : start + step]
            scores = np.round(vectors[0][block] @ candidates, _DECIMALS)
            scores[~allowed(rows[0][block][:, None], names[None, :])] = -np.inf
            a, b = np.nonzero(_top(scores, k))
            found.append(np.stack([rows[0][block][a], names[b]]))
    return np.concatenate(found, axis=1)


def _top(scores: FloatArray, k: int) -> npt.NDArray[np.bool_]:
    """The `k` greatest finite scores of each row; of equal ones the first."""
    n = scores.shape[1]
    k = min(k, n)
    limit = np.partition(scores, n - k, axis=1)[:, n - k, None]
    above, equal = scores > limit, scores == limit
    room = k - np.count_nonzero(above, axis=1, keepdims=True)
    chosen = above | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= room))
    return np.asarray(chosen & np.isfinite(scores))
