"""Nearest neighbors of unit vectors: exact, a block of rows at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_BLOCK = 2**24  # scores that are held at once: 64 MB
_GROUP = 64  # columns of which only the largest is looked at first


def nearest(
    vectors: npt.NDArray[np.floating], k: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The `k` rows that are most alike each row, itself not among them.

    Exact, for every score is computed: `n²` products of vectors, but never `n²` numbers held.
    Columns are looked at in groups of 64: the best `k` lie within the `k` groups of the largest
    maxima, so most scores are touched by nothing but one maximum.

    Args:
        vectors: `(n, dim)`, unit length.
        k: neighbors of each row, at most `n - 1` are there.

    Returns:
        Rows and cosines `(n, min(k, n - 1))`, the most alike first, of equal ones the first row.
    """
    rows = np.ascontiguousarray(vectors, np.float32)
    n = len(rows)
    k = max(0, min(k, n - 1))
    found, scores = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    if not k:
        return found, scores
    n_groups = -(-n // _GROUP)
    columns = np.zeros((n_groups * _GROUP, rows.shape[1]), np.float32)
    columns[:n] = rows
    size = max(1, _BLOCK // len(columns))
    for start in range(0, n, size):
        block = rows[start : start + size] @ columns.T
        block[:, n:] = -2  # below any cosine
        block[np.arange(len(block)), np.arange(start, start + len(block))] = -2
        part = slice(start, start + len(block))
        found[part], scores[part] = _best(block, k, n_groups)
    return found, scores


def _best(
    block: npt.NDArray[np.float32], k: int, n_groups: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Columns and values `(n_rows, k)` of the largest of each row; column % n_groups: its group."""
    largest = block.reshape(len(block), _GROUP, n_groups).max(axis=1)
    n_taken = min(k, n_groups)
    groups = np.argpartition(largest, n_groups - n_taken, axis=1)[:, n_groups - n_taken :]
    candidates = (groups[:, :, None] + n_groups * np.arange(_GROUP)).reshape(len(block), -1)
    values = np.take_along_axis(block, candidates, axis=1)
    top = np.argpartition(values, values.shape[1] - k, axis=1)[:, -k:]
    found = np.take_along_axis(candidates, top, axis=1)
    scores = np.take_along_axis(values, top, axis=1)
    order = np.lexsort((found, -scores), axis=1)
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(scores, order, axis=1)
