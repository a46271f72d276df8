"""Scores from embeddings: recordings against recordings and against singers' centroids."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from singerid.metrics import top_k

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
    return _rounded(scores)


def centroid_accuracy(
    vectors: Vectors,
    singers: Sequence[str],
    *,
    songs: Sequence[str] | None = None,
    corpora: Sequence[str] | None = None,
) -> tuple[float | None, int]:
    """Share of recordings that are nearest to the centroid of their own singer.

    A recording is never in its own singer's centroid. Recordings of singers with a single one
    are not asked for, but their singers stay candidates. Ties count as in `metrics.top_k`.

    Args:
        vectors: `(n, dim)`, unit length.
        singers: singer of each.
        songs: song of each ("": a song of its own); if given, a recording's own song is left out
            of its singer's centroid, if that leaves any.
        corpora: corpus of each; if given, the candidates are the singers in it.

    Returns:
        The accuracy (None if no singer has two recordings), and how many recordings it is of.
    """
    n = len(singers)
    corpus = _numbered(corpora or [""] * n)
    singer = _numbered(zip(singers, corpus, strict=True))
    takes = (songs[i] or i for i in range(n)) if songs else range(n)
    song = _numbered(zip(singer, takes, strict=True))
    n_own, n_same_song = np.bincount(singer)[singer], np.bincount(song)[song]
    asked = np.flatnonzero(n_own > 1)
    if not len(asked):
        return None, 0
    doubles = np.asarray(vectors, np.float64)
    sums, song_sums = _sums(doubles, singer), _sums(doubles, song)
    centroids = _unit(sums).T
    corpus_of_singer = corpus[np.unique(singer, return_index=True)[1]]
    n_right = 0.0
    for rows in np.split(asked, range(_BLOCK, len(asked), _BLOCK)):
        queries, right = doubles[rows], singer[rows]
        has_other_songs = (n_same_song[rows] < n_own[rows])[:, None]
        rest = sums[right] - np.where(has_other_songs, song_sums[song[rows]], queries)
        scores = queries @ centroids
        scores[np.arange(len(rows)), right] = np.einsum("ij,ij->i", queries, _unit(rest))
        scores = _rounded(scores)
        scores[corpus[rows][:, None] != corpus_of_singer] = -np.inf
        n_right += top_k(scores, right) * len(rows)
    return n_right / len(asked), len(asked)


def _rounded(scores: FloatArray) -> FloatArray:
    """Six decimals, within [-1, 1], no negative zero."""
    return np.asarray(np.clip(np.round(scores, DECIMALS), -1, 1) + 0.0, np.float64)


def _numbered(keys: Iterable[Hashable]) -> IntArray:
    """A number for each distinct key, in order of appearance."""
    first: dict[Hashable, int] = {}
    return np.asarray([first.setdefault(key, len(first)) for key in keys], np.int64)


def _sums(vectors: FloatArray, group: IntArray) -> FloatArray:
    """Sum of the vectors of each group."""
    sums = np.zeros((group.max() + 1, vectors.shape[1]))
    np.add.at(sums, group, vectors)
    return sums


def _unit(vectors: FloatArray) -> FloatArray:
    """Rows at unit length; a sum that cancels out points nowhere and stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(norms > 1e-9, vectors / np.maximum(norms, 1e-9), 0.0)
