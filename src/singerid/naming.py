"""Identification over a set of embeddings: each recording asks whose it is, by centroids.

A recording is never in its own singer's centroid, nor are the recordings of its song, if its
singer has others. Recordings of singers with a single one ask nothing, but their singers stay
candidates. Candidates that tie are in random order, and expectations are given.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from singerid.metrics.bootstrap import bootstrap_mean, interval
from singerid.metrics.identification import (
    detection_identification_rate,
    mean_average_precision,
    normalized_ranks,
    top_k_hits,
)
from singerid.scoring import rounded, unit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Vectors = npt.NDArray[np.floating]
FALSE_ALARM = 0.05  # in the open set; below, the few hundred strangers of most sets say nothing
MIN_STRANGERS = 100
MAX_QUERIES = 1000  # of the mean average precision, which ranks recordings, not singers
_MAX_RANKED = 3 * 10**8  # recordings in all their lists: of a million, fewer queries are made
MAX_ASKING = 20_000  # recordings, of as many as there may be: a rate is then known to 0.4 points
MIN_SINGERS = 5
_BLOCK_SCORES = 1 << 22  # at a time: 32 MiB, of which there are some copies
_BLOCK_ROWS = 1 << 16  # made 64-bit numbers at a time


@dataclass(frozen=True)
class Naming:
    """How well recordings are given to their singers; rates are fractions.

    Attributes:
        n: number of recordings that asked (at most `MAX_ASKING`).
        n_singers: number of candidates.
        top_1: share whose nearest centroid is their singer's.
        top_1_interval: 95 % interval by a bootstrap over singers; None below 5 singers.
        top_5: share whose singer is among the five nearest; None for up to 5 candidates.
        mean_normalized_rank: share of the candidates before the right singer: 0 if it is always
            first, about 0.5 by chance.
        mean_average_precision: of ranking all other recordings (other songs only, if songs are
            known) by their cosine: are the singer's own in front?
        open_set_rate: share of recordings that are both accepted and given to the right singer,
            at a threshold where 5 % of strangers (the same recordings, without their
            singer among the candidates) are accepted; None below 100 recordings.
        open_set_threshold: that score; None if no score keeps the false alarm rate.
    """

    n: int
    n_singers: int
    top_1: float
    top_1_interval: tuple[float, float] | None
    top_5: float | None
    mean_normalized_rank: float
    mean_average_precision: float | None
    open_set_rate: float | None
    open_set_threshold: float | None


def name_recordings(
    vectors: Vectors,
    singers: Sequence[str],
    *,
    songs: Sequence[str] | None = None,
    corpora: Sequence[str] | None = None,
    n_bootstrap: int = 0,
    seed: int = 0,
) -> Naming | None:
    """Ask for every recording whose centroid is nearest; above 20,000, for so many at random.

    Who is asked for is always everybody: centroids are those of all recordings.

    Args:
        vectors: `(n, dim)`, unit length.
        singers: singer of each.
        songs: song of each ("": a song of its own), or None to leave out the recording only.
        corpora: corpus of each; if given, the candidates are the singers in it.
        n_bootstrap: resamples of the singers behind the interval; 0 for none.
        seed: of the resamples, of those who ask if not all do, and of the queries for the mean
            average precision.

    Returns:
        The figures; None if no singer has two recordings.
    """
    asking = _Asking(vectors, singers, songs, corpora)
    if not len(asking.rows):
        return None
    if len(asking.rows) > MAX_ASKING:
        rng = np.random.default_rng([seed, 5])
        asking.rows = np.sort(rng.choice(asking.rows, MAX_ASKING, replace=False))
    parts: list[FloatArray] = []
    for scores, right in asking.scores():
        rows = np.arange(len(right))
        own = scores[rows, right]
        parts.append(
            np.stack(
                [
                    top_k_hits(scores, right), top_k_hits(scores, right, 5),
                    normalized_ranks(scores, right), (scores > -np.inf).sum(axis=1), own,
                    np.where(np.arange(scores.shape[1]) == right[:, None], -np.inf, scores).max(1),
                ]
            )
        )  # fmt: skip
    hits_1, hits_5, ranks, n_candidates, own, stranger = np.concatenate(parts, axis=1)
    of_singer = asking.singer[asking.rows]
    bounds = None
    if n_bootstrap and len(np.unique(of_singer)) >= MIN_SINGERS:
        rng = np.random.default_rng([seed, 2])
        bounds = interval(bootstrap_mean(hits_1, of_singer, n_bootstrap, rng))
    open_rate, open_threshold = _open_set(own, stranger, n_candidates > 1)
    return Naming(
        len(ranks), asking.n_singers, float(hits_1.mean()), bounds,
        float(hits_5.mean()) if n_candidates.min() > 5 else None, float(ranks.mean()),
        _average_precision(asking, seed), open_rate, open_threshold,
    )  # fmt: skip


class _Asking:
    """Who asks, and their scores with all centroids, block by block."""

    def __init__(
        self,
        vectors: Vectors,
        singers: Sequence[str],
        songs: Sequence[str] | None,
        corpora: Sequence[str] | None,
    ) -> None:
        n = len(singers)
        self.vectors = vectors
        self.corpus = _numbered(corpora or [""] * n)
        self.singer = _numbered(zip(singers, self.corpus, strict=True))
        takes = (songs[i] or i for i in range(n)) if songs else range(n)
        self.song = _numbered(zip(self.singer, takes, strict=True))
        self.n_own = np.bincount(self.singer)[self.singer]
        self.rows = np.flatnonzero(self.n_own > 1)
        self.n_singers = int(self.singer.max()) + 1 if n else 0

    def scores(self) -> Iterator[tuple[FloatArray, IntArray]]:
        """Scores `(block, n_singers)` of those who ask, and the column of their singer."""
        n_same_song = np.bincount(self.song)[self.song]
        sums = _sums(self.vectors, self.singer)
        songs = np.unique(self.song[self.rows])  # of those who ask: a million may not fit
        own = np.flatnonzero(np.isin(self.song, songs))
        song_sums = _sums(self.vectors[own], np.searchsorted(songs, self.song[own]))
        of_song = np.searchsorted(songs, self.song)
        centroids = unit(sums).T
        corpus_of_singer = self.corpus[np.unique(self.singer, return_index=True)[1]]
        block = max(1, min(4096, _BLOCK_SCORES // len(sums)))
        for rows in np.split(self.rows, range(block, len(self.rows), block)):
            queries, right = np.asarray(self.vectors[rows], np.float64), self.singer[rows]
            has_other_songs = (n_same_song[rows] < self.n_own[rows])[:, None]
            rest = sums[right] - np.where(has_other_songs, song_sums[of_song[rows]], queries)
            scores = queries @ centroids
            scores[np.arange(len(rows)), right] = np.einsum("ij,ij->i", queries, unit(rest))
            scores = rounded(scores)
            scores[self.corpus[rows][:, None] != corpus_of_singer] = -np.inf
            yield scores, right


def _open_set(
    own: FloatArray, stranger: FloatArray, many: BoolArray
) -> tuple[float | None, float | None]:
    """Detection and identification rate, the same recordings being the strangers in turn."""
    if np.count_nonzero(many) < MIN_STRANGERS:
        return None, None
    n = int(np.count_nonzero(many))
    scores = np.concatenate(
        [
            np.stack([own[many], stranger[many]], axis=1),
            np.stack([np.full(n, -np.inf), stranger[many]], axis=1),
        ]
    )
    right = np.concatenate([np.zeros(n, np.int64), np.full(n, -1, np.int64)])
    rate, threshold = detection_identification_rate(scores, right, FALSE_ALARM)
    return rate, threshold if np.isfinite(threshold) else None


def _average_precision(asking: _Asking, seed: int) -> float | None:
    """Mean average precision of recordings ranked by recordings; of a sample of the queries."""
    rows, n_recordings = asking.rows, len(asking.vectors)
    n_queries = min(MAX_QUERIES, max(1, _MAX_RANKED // n_recordings))
    if len(rows) > n_queries:
        rng = np.random.default_rng([seed, 3])
        rows = np.sort(rng.choice(rows, n_queries, replace=False))
    vectors = np.asarray(asking.vectors, np.float64)
    total, n = 0.0, 0
    block = max(1, _BLOCK_SCORES // n_recordings)
    for some in np.split(rows, range(block, len(rows), block)):
        for row, scores in zip(some, vectors[some] @ vectors.T, strict=True):
            others = (asking.song != asking.song[row]) & (asking.corpus == asking.corpus[row])
            relevant = asking.singer[others] == asking.singer[row]
            if relevant.any() and not relevant.all():
                ranked = rounded(scores[others])
                total += mean_average_precision(ranked[None], relevant[None])
                n += 1
    return total / n if n else None


def _numbered(keys: Iterable[Hashable]) -> IntArray:
    """A number for each distinct key, in order of appearance."""
    first: dict[Hashable, int] = {}
    return np.asarray([first.setdefault(key, len(first)) for key in keys], np.int64)


def _sums(vectors: Vectors, group: IntArray) -> FloatArray:
    """Sum of the vectors of each group."""
    sums = np.zeros((group.max() + 1, vectors.shape[1]))
    for start in range(0, len(vectors), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        np.add.at(sums, group[rows], np.asarray(vectors[rows], np.float64))
    return sums
