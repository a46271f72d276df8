"""Score normalization by a cohort of other singers.

Some recordings are alike to everybody, some to nobody; a threshold for all needs scores that are
measured against what each recording scores with strangers. This is adaptive symmetric
normalization (AS-norm1 of Matějka et al. 2017; the symmetric one of Cumani et al. 2011, Kenny
2010): the strangers are, for each side by itself, those of the cohort who are most like it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from singerid.embeddings import normalize
from singerid.errors import SingeridError

FloatArray = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.floating]
Score = Callable[[Vectors, Vectors], FloatArray]
MIN_COHORT = 3
"""Fewer scores have no standard deviation worth dividing by."""
_BLOCK_SCORES = 1 << 22  # 32 MiB of float64


@dataclass(frozen=True)
class Cohort:
    """Vectors of other singers.

    Attributes:
        vectors: float32 `(n, dim)`, unit length.
        singers: singer of each.
        top: how many of them a side is measured against: those with the highest scores.
    """

    vectors: npt.NDArray[np.float32]
    singers: Sequence[str]
    top: int

    def __post_init__(self) -> None:
        if len(self.vectors) != len(self.singers):
            raise SingeridError(
                "cohort's vectors do not fit its singers",
                found=f"{len(self.vectors)} vectors, {len(self.singers)} singers",
            )
        if not MIN_COHORT <= self.top <= len(self.vectors):
            raise SingeridError(
                "cohort_top out of range", found=self.top,
                expected=f"{MIN_COHORT} … {len(self.vectors)}, the size of the cohort",
            )  # fmt: skip

    def statistics(
        self, vectors: Vectors, score: Score, singers: Sequence[str] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of each vector's highest scores with the cohort.

        Args:
            vectors: `(n, dim)`.
            score: scores `(n, m)` of vectors `(n, dim)` and `(m, dim)`.
            singers: singer of each vector; the cohort's vectors of the same singer are left
                out. None: the cohort knows none of them.

        Returns:
            float64 `(n,)` each, the deviations above 0.

        Raises:
            SingeridError: the cohort has too few vectors of other singers.
        """
        means, deviations = np.empty(len(vectors)), np.empty(len(vectors))
        of_singer: dict[str, list[int]] = {}
        for row, singer in enumerate(self.singers):
            of_singer.setdefault(singer, []).append(row)
        size = max(1, _BLOCK_SCORES // len(self.vectors))
        for start in range(0, len(vectors), size):
            block = slice(start, start + size)
            scores = score(vectors[block], self.vectors)
            for row, singer in enumerate(singers[block] if singers is not None else ()):
                scores[row, of_singer.get(singer, [])] = -np.inf
            means[block], deviations[block] = _top_statistics(scores, self.top)
        return means, deviations


def _top_statistics(scores: FloatArray, top: int) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation of each row's `top` highest scores, fewer where others are -inf."""
    best = np.partition(scores, scores.shape[1] - top, axis=1)[:, -top:]
    known = np.isfinite(best)
    counts = known.sum(axis=1)
    if counts.min(initial=top) < MIN_COHORT:
        raise SingeridError(
            "the cohort has too few other singers", found=int(counts.min()),
            expected=f"at least {MIN_COHORT} vectors of singers that are not in the trial",
        )  # fmt: skip
    means = np.sum(best, axis=1, where=known) / counts
    squares = np.sum(np.square(best - means[:, None]), axis=1, where=known)
    # A cohort of equal vectors has no deviation; the floor keeps scores finite.
    return means, np.maximum(np.sqrt(squares / counts), 1e-6)


def as_norm(
    scores: FloatArray,
    enroll: tuple[FloatArray, FloatArray],
    test: tuple[FloatArray, FloatArray],
) -> FloatArray:
    """Mean of the scores standardized by either side (Matějka et al. 2017, eq. 4).

    Args:
        scores: any shape.
        enroll: mean and deviation of the enrolled side (`Cohort.statistics`), broadcast.
        test: the same of the tested side.
    """
    normalized: FloatArray = ((scores - enroll[0]) / enroll[1] + (scores - test[0]) / test[1]) / 2
    return normalized


def fit_cohort(
    vectors: npt.NDArray[np.float32],
    singers: Sequence[str],
    *,
    size: int = 0,
    top: int = 200,
    centroids: bool = True,
) -> Cohort:
    """Choose a cohort.

    Args:
        vectors: `(n, dim)`, unit length.
        singers: singer of each.
        size: how many singers (or recordings), evenly over the sorted ones; 0: all.
        top: how many of them a side is measured against; all if there are fewer.
        centroids: one centroid a singer, or single recordings. Centroids lie closer to
            everything than recordings do, and do not count a singer twice; recordings are for
            cohorts of few singers.

    Raises:
        SingeridError: there are fewer than three.
    """
    names = np.asarray(singers)
    if centroids:
        names, group = np.unique(names, return_inverse=True)
        sums = np.zeros((len(names), vectors.shape[1]))
        np.add.at(sums, group, vectors)
        vectors = normalize(sums)
    else:
        order = np.argsort(names, kind="stable")
        names, vectors = names[order], vectors[order]
    if size and size < len(names):
        kept = np.arange(size) * len(names) // size
        names, vectors = names[kept], vectors[kept]
    if len(names) < MIN_COHORT:
        raise SingeridError(
            "too few singers for a cohort", found=len(names), expected=f"at least {MIN_COHORT}"
        )
    return Cohort(vectors, names.tolist(), min(top, len(names)))
