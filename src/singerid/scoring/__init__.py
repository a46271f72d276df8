"""Scores from embeddings: recordings against recordings, models of several, and centroids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.floating]
DECIMALS = 6  # as in the scores file; coarser than the noise of float32 products
_BLOCK = 4096  # rows at a time: they fit into the cache


def cosine(vectors: Vectors, enroll: IntArray, test: IntArray) -> FloatArray:
    """Scores of pairs of unit vectors, rounded to six decimals.

    Because of the rounding, equal vectors have equal scores whatever the order in which a
    processor adds, and the scores file gives exactly the same error rates.

    Args:
        vectors: `(n, dim)`, unit length.
        enroll: `(n_trials,)`, rows.
        test: `(n_trials,)`, rows.

    Returns:
        float64 `(n_trials,)` in [-1, 1].
    """
    scores = np.empty(len(enroll), np.float64)
    for start in range(0, len(enroll), _BLOCK):
        block = slice(start, start + _BLOCK)
        scores[block] = np.einsum("ij,ij->i", vectors[enroll[block]], vectors[test[block]])
    return rounded(scores)


def model_cosine(
    vectors: Vectors,
    models: Sequence[Sequence[int]],
    enroll: IntArray,
    test: IntArray,
    how: Literal["centroid", "mean", "max"] = "centroid",
) -> FloatArray:
    """Scores of recordings against models of several recordings, rounded as in `cosine`.

    Args:
        vectors: `(n, dim)`, unit length.
        models: rows behind each model, at least one.
        enroll: `(n_trials,)`, models.
        test: `(n_trials,)`, rows.
        how: cosine with the normalized mean of the model's vectors (centroid), or the mean or
            the greatest of the cosines with each of them.

    Returns:
        float64 `(n_trials,)` in [-1, 1].

    Raises:
        SingeridError: a model is empty or names a row that does not exist.
    """
    if how == "max":
        return _greatest_cosine(vectors, models, enroll, test)
    means = model_means(vectors, models)
    if how == "centroid":
        means = unit(means)
    scores = np.empty(len(enroll), np.float64)
    for start in range(0, len(enroll), _BLOCK):
        block = slice(start, start + _BLOCK)
        scores[block] = np.einsum("ij,ij->i", means[enroll[block]], vectors[test[block]])
    return rounded(scores)


def model_means(vectors: Vectors, models: Sequence[Sequence[int]]) -> FloatArray:
    """Mean of the vectors `(n, dim)` behind each model, float64 `(n_models, dim)`.

    Raises:
        SingeridError: a model is empty or names a row that does not exist.
    """
    rows, starts = _flat(models, len(vectors))
    counts = np.diff(np.append(starts, len(rows)))
    means = np.empty((len(models), vectors.shape[1]))
    # One block of models at a time: the vectors gathered for all at once may be many.
    for first in range(0, len(models), _BLOCK):
        block = slice(first, first + _BLOCK)
        begin, end = starts[first], starts[block][-1] + counts[block][-1]
        gathered = np.asarray(vectors[rows[begin:end]], np.float64)
        means[block] = np.add.reduceat(gathered, starts[block] - begin) / counts[block, None]
    return means


def _greatest_cosine(
    vectors: Vectors, models: Sequence[Sequence[int]], enroll: IntArray, test: IntArray
) -> FloatArray:
    """The greatest cosine of each trial's test vector with those of its model."""
    rows, starts = _flat(models, len(vectors))
    counts = np.diff(np.append(starts, len(rows)))
    scores = np.empty(len(enroll), np.float64)
    for first in range(0, len(enroll), _BLOCK):
        block = slice(first, first + _BLOCK)
        n = counts[enroll[block]]
        begin = np.cumsum(n) - n  # where each trial's pairs begin
        within = np.arange(n.sum()) - np.repeat(begin, n)
        members = rows[np.repeat(starts[enroll[block]], n) + within]
        scores[block] = np.maximum.reduceat(
            cosine(vectors, members, np.repeat(test[block], n)), begin
        )
    return scores


def _flat(models: Sequence[Sequence[int]], n: int) -> tuple[IntArray, IntArray]:
    """All models' rows behind each other, and where each model begins."""
    counts = np.asarray([len(model) for model in models], np.int64)
    if len(counts) and counts.min() == 0:
        raise SingeridError(
            "a model has no recordings", where=f"model {int(np.flatnonzero(counts == 0)[0])}"
        )
    rows = np.asarray([row for model in models for row in model], np.int64)
    if len(rows) and not 0 <= rows.min() <= rows.max() < n:
        bad = int(rows[(rows < 0) | (rows >= n)][0])
        raise SingeridError("a model names a row that does not exist", found=bad, expected=f"< {n}")
    return rows, np.cumsum(counts) - counts


def rounded(scores: FloatArray) -> FloatArray:
    """Six decimals, within [-1, 1], no negative zero."""
    return np.asarray(np.clip(np.round(scores, DECIMALS), -1, 1) + 0.0, np.float64)


def unit(vectors: FloatArray) -> FloatArray:
    """Rows at unit length; a sum that cancels out points nowhere and stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(norms > 1e-9, vectors / np.maximum(norms, 1e-9), 0.0)
