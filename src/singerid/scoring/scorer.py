"""How two vectors become a score: transform, then cosine or PLDA, then AS-norm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from singerid.embeddings import normalize
from singerid.errors import MismatchError, SingeridError
from singerid.scoring import DECIMALS, cosine, model_means
from singerid.scoring.backend import Kind, Transform, checked_vectors, fit_transform
from singerid.scoring.cohort import Cohort, as_norm, fit_cohort
from singerid.scoring.plda import Plda, fit_plda

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.floating]
Statistics = tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class _Side:
    """Prepared vectors of one side of the trials, with their scores against the cohort."""

    vectors: npt.NDArray[np.float32]
    means: FloatArray = field(default_factory=lambda: np.zeros(0))
    deviations: FloatArray = field(default_factory=lambda: np.zeros(0))

    @property
    def statistics(self) -> Statistics:
        return self.means, self.deviations

    def rows(self, rows: IntArray) -> Statistics:
        return self.means[rows], self.deviations[rows]


@dataclass(frozen=True)
class Scorer:
    """Scores of vectors of one encoder; by default the plain cosine.

    All scores are rounded to six decimals, as in `scoring.cosine`; higher is more alike.

    Attributes:
        transform: applied to every vector.
        plda: scores the transformed vectors; None: cosine.
        cohort: transformed vectors for AS-norm; None: no normalization.
        singers: whom transform, PLDA and cohort were fitted on, sorted.
    """

    transform: Transform = field(default_factory=Transform)
    plda: Plda | None = None
    cohort: Cohort | None = None
    singers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        mean, projection = self.transform.mean, self.transform.projection
        sizes: dict[str, int] = {}
        if mean is not None:
            sizes["transform"] = len(mean) if projection is None else projection.shape[1]
        if self.plda:
            sizes["PLDA"] = len(self.plda.mean)
        if self.cohort:
            sizes["cohort"] = self.cohort.vectors.shape[1]
        if len(set(sizes.values())) > 1:
            raise MismatchError(
                "parts of a scorer have different dimensions",
                found=", ".join(f"{name} {size}" for name, size in sizes.items()),
            )

    def trials(
        self,
        vectors: Vectors,
        enroll: IntArray,
        test: IntArray,
        *,
        models: Sequence[Sequence[int]] = (),
        singers: Sequence[str] | None = None,
    ) -> FloatArray:
        """Scores of trials that are rows of `vectors`: each row is prepared only once.

        Args:
            vectors: `(n, dim)`, unit length.
            enroll: `(n_trials,)`, rows; with `models`, models.
            test: `(n_trials,)`, rows.
            models: rows behind each model; their centroid is scored.
            singers: singer of each row, to leave out of the cohort on its side.

        Returns:
            float64 `(n_trials,)`.
        """
        tested = self._side(vectors, singers)
        enrolled = tested
        if len(models):
            of_models = singers and [singers[model[0]] for model in models]
            enrolled = self._side(normalize(model_means(vectors, models)), of_models)
        return self._scores(enrolled, enroll, tested, test)

    def pairs(
        self,
        enroll: Vectors,
        test: Vectors,
        *,
        enroll_singers: Sequence[str] | None = None,
        test_singers: Sequence[str] | None = None,
    ) -> FloatArray:
        """Scores `(n,)` of row i of `enroll` with row i of `test`, `(n, dim)` each.

        The singers, where known, are left out of the cohort on their side.
        """
        if len(enroll) != len(test):
            raise SingeridError(
                "pairs need as many enrolled as tested vectors",
                found=f"{len(enroll)} and {len(test)}",
            )
        rows = np.arange(len(enroll))
        enrolled, tested = self._side(enroll, enroll_singers), self._side(test, test_singers)
        return self._scores(enrolled, rows, tested, rows)

    def matrix(
        self,
        queries: Vectors,
        candidates: Vectors,
        *,
        query_singers: Sequence[str] | None = None,
        candidate_singers: Sequence[str] | None = None,
    ) -> FloatArray:
        """Scores `(n_queries, n_candidates)`; singers as in `pairs`."""
        a, b = self._side(queries, query_singers), self._side(candidates, candidate_singers)
        scores = self._raw(a.vectors, b.vectors)
        if self.cohort:
            scores = as_norm(scores, (a.means[:, None], a.deviations[:, None]), b.statistics)
        return _rounded(scores)

    def check_unseen(self, singers: Iterable[str]) -> None:
        """Refuse to measure on singers that the scorer was fitted on.

        Raises:
            MismatchError: names some of them.
        """
        if seen := sorted(set(self.singers) & set(singers)):
            raise MismatchError(
                "the scorer was fitted on singers of these trials",
                found=f"{len(seen)} of them, the first {seen[0]!r}",
                do="fit it on other singers, or use cross_scores",
            )

    def _side(self, vectors: Vectors, singers: Sequence[str] | None) -> _Side:
        prepared = self.transform.apply(vectors)
        if self.cohort is None:
            return _Side(prepared)
        return _Side(prepared, *self.cohort.statistics(prepared, self._raw, singers))

    def _raw(self, a: Vectors, b: Vectors) -> FloatArray:
        """All scores of prepared vectors, before AS-norm."""
        if self.plda:
            return self.plda.matrix(a, b)
        return np.asarray(a, np.float64) @ np.asarray(b, np.float64).T

    def _scores(self, a: _Side, enroll: IntArray, b: _Side, test: IntArray) -> FloatArray:
        """Scores of trials that are rows of two sides."""
        if self.plda:
            scores = self.plda.trials(a.vectors, enroll, b.vectors, test)
        elif a is b:
            scores = cosine(a.vectors, enroll, test)
        else:
            scores = cosine(np.vstack([a.vectors, b.vectors]), enroll, test + len(a.vectors))
        if self.cohort:
            scores = as_norm(scores, a.rows(enroll), b.rows(test))
        return _rounded(scores)


def fit_scorer(
    vectors: Vectors,
    singers: Sequence[str],
    *,
    transform: Kind = "none",
    plda: bool = False,
    cohort_size: int = 0,
    cohort_top: int = 200,
    cohort_centroids: bool = True,
    **more: Any,
) -> Scorer:
    """Fit a scorer on singers that will not be in the trials.

    Args:
        vectors: `(n, dim)`, unit length.
        singers: singer of each.
        transform: see `backend.fit_transform`.
        plda: score by PLDA, or by cosine.
        cohort_size: singers (or recordings) in the cohort of AS-norm; 0: no AS-norm.
        cohort_top: how many of them a side is measured against.
        cohort_centroids: whether the cohort is of centroids or of recordings.
        **more: ``shrinkage`` and ``n_dims`` of the transform.

    Raises:
        SingeridError: see `fit_transform`, `fit_plda`, `fit_cohort`.
    """
    checked_vectors(vectors, singers)
    if cohort_size < 0:
        raise SingeridError("cohort_size out of range", found=cohort_size, expected="at least 0")
    fitted = fit_transform(vectors, singers, transform, **more)
    prepared = fitted.apply(vectors)
    model = fit_plda(prepared, singers) if plda else None
    cohort = None
    if cohort_size:
        cohort = fit_cohort(
            prepared, singers, size=cohort_size, top=cohort_top, centroids=cohort_centroids
        )
    is_fitted = transform != "none" or plda or cohort_size
    return Scorer(fitted, model, cohort, tuple(sorted(set(singers))) if is_fitted else ())


def cross_scores(
    vectors: Vectors,
    singers: Sequence[str],
    enroll: IntArray,
    test: IntArray,
    *,
    models: Sequence[Sequence[int]] = (),
    n_folds: int = 10,
    seed: int = 0,
    **settings: Any,
) -> FloatArray:
    """Scores of trials by scorers that were fitted on other singers of the same set.

    For one development set that has to fit both the scorer and its calibration: the singers are
    dealt into folds, and a trial between two folds is scored by a scorer fitted without both.
    Scores of a scorer on its own singers would be too good, and what is calibrated on them too
    sure.

    Args:
        vectors: `(n, dim)`, unit length.
        singers: singer of each.
        enroll: `(n_trials,)`, rows; with `models`, models.
        test: `(n_trials,)`, rows.
        models: rows behind each model, all of one singer.
        n_folds: at least 3; one a singer where there are fewer singers.
        seed: of the dealing. (By their order it could go by gender: RAVDESS numbers its men
            odd and its women even.)
        **settings: of `fit_scorer`.

    Returns:
        float64 `(n_trials,)`.

    Raises:
        SingeridError: too few singers, or see `fit_scorer`.
    """
    names, group = np.unique(np.asarray(singers), return_inverse=True)
    n_folds = min(n_folds, len(names))
    if n_folds < 3:
        raise SingeridError(
            "too few folds, or singers for them", found=n_folds, expected="at least 3"
        )
    fold = np.random.default_rng(seed).permutation(len(names))[group] % n_folds
    of_enrolled = fold[[model[0] for model in models]] if len(models) else fold
    a, b = of_enrolled[enroll], fold[test]
    scores = np.empty(len(enroll))
    for first in range(n_folds):
        for second in range(first, n_folds):
            asked = ((a == first) & (b == second)) | ((a == second) & (b == first))
            if not asked.any():
                continue
            rest = (fold != first) & (fold != second)
            scorer = fit_scorer(vectors[rest], np.asarray(singers)[rest].tolist(), **settings)
            scores[asked] = scorer.trials(vectors, enroll[asked], test[asked], models=models)
    return scores


def _rounded(scores: FloatArray) -> FloatArray:
    """Six decimals, no negative zero; equal vectors have equal scores on every machine."""
    return np.asarray(np.round(scores, DECIMALS) + 0.0, np.float64)
