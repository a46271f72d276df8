"""Who among several candidates: pure functions on a matrix of scores.

Conventions, beside those of `metrics`:

- A row is a query, a column a candidate (a singer, or a recording). Candidates that tie are in
  random order, and the expectation over it is returned: equal scores for all are chance, exactly.
- A candidate with score -inf is out of the question: it takes no place and is not counted.
- *Closed set* (every query is of a candidate): the top-k rate, and the mean normalized rank of
  Torres et al. 2023 (*Singer Identity Representation Learning Using Self-Supervised Techniques*,
  ISMIR), as in their code: candidates before the right one / candidates, 0 best, chance
  (1 - 1 / N) / 2. They take 512 random recordings of other singers and one right one; the figure
  depends little on that number.
- *Open set* (some queries are of nobody enrolled): detection and identification rate at a false
  alarm rate, as in ISO/IEC 19795-1 and NIST's FRVT 1:N (Grother et al. 2019, NISTIR 8271). The
  false positive identification rate (FPIR) is the share of such queries whose best candidate
  reaches the threshold. A query of an enrolled singer counts if its own singer is the best
  candidate and reaches the threshold; 1 - that rate is the false negative rate (FNIR).
- *Retrieval* (several right candidates): mean average precision, without interpolation (Manning,
  Raghavan & Schütze 2008, chapter 8), with ties as in McSherry & Najork 2008 (ECIR).
- The functions named in the plural give a value per query: `bootstrap.bootstrap_mean` over the
  queries' singers makes intervals of them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError
from singerid.metrics import BoolArray, FloatArray, IntArray, check_rate, det_points


def top_k(scores: npt.ArrayLike, singers: npt.ArrayLike, k: int = 1) -> float:
    """Closed-set identification: how often the right singer is among the k best.

    Args:
        scores: `(n_queries, n_candidates)`, not NaN.
        singers: `(n_queries,)`, the column of the right singer.
        k: number of guesses, at least 1.

    Returns:
        Fraction in [0, 1]; k = 1: the accuracy.

    Raises:
        SingeridError: shapes do not fit, no query, a NaN, a column or k out of range, or a right
            singer with score -inf.
    """
    return float(top_k_hits(scores, singers, k).mean())


def top_k_hits(scores: npt.ArrayLike, singers: npt.ArrayLike, k: int = 1) -> FloatArray:
    """Whether each query's right singer is among the k best: 0, 1, or between where ties decide.

    Raises:
        SingeridError: see `top_k`.
    """
    if k < 1:
        raise SingeridError("k is out of range", found=k, expected="at least 1")
    n_better, n_tied, _ = _places(*_checked(scores, singers))
    return np.clip((k - n_better) / n_tied, 0, 1)


def mean_normalized_rank(scores: npt.ArrayLike, singers: npt.ArrayLike) -> float:
    """Share of the candidates that stand before the right one, on average.

    Args:
        scores: `(n_queries, n_candidates)`, not NaN.
        singers: `(n_queries,)`, the column of the right one.

    Returns:
        0 (always first) to 1 - 1 / N (always last of N).

    Raises:
        SingeridError: see `top_k`.
    """
    return float(normalized_ranks(scores, singers).mean())


def normalized_ranks(scores: npt.ArrayLike, singers: npt.ArrayLike) -> FloatArray:
    """Share of each query's candidates that stand before the right one.

    Raises:
        SingeridError: see `top_k`.
    """
    n_better, n_tied, n_candidates = _places(*_checked(scores, singers))
    return (n_better + (n_tied - 1) / 2) / n_candidates


def detection_identification_rate(
    scores: npt.ArrayLike, singers: npt.ArrayLike, false_alarm: float
) -> tuple[float, float]:
    """Open-set identification: enrolled singers found, at few false alarms for the others.

    Args:
        scores: `(n_queries, n_candidates)`, not NaN.
        singers: `(n_queries,)`, the column of the right singer; -1: not enrolled.
        false_alarm: greatest false positive identification rate, in [0, 1].

    Returns:
        Share of the enrolled singers' queries that are given the right name, and the lowest
        threshold among the best scores that keeps the false alarm rate (infinity: none does).

    Raises:
        SingeridError: see `top_k`; or there is no query of either kind, a query whose best score
            is not finite, or the false alarm rate is out of range.
    """
    check_rate(false_alarm)
    scores, singers = _checked(scores, singers, not_enrolled=True)
    best, enrolled = scores.max(axis=1), singers >= 0
    if enrolled.all() or not enrolled.any():
        raise SingeridError(
            "open-set rates need queries of enrolled and of other singers",
            found=f"{enrolled.sum()} of {len(enrolled)} queries enrolled",
        )
    if not np.isfinite(best).all():
        query = np.flatnonzero(~np.isfinite(best))[0]
        raise SingeridError("the best score is not finite", where=f"query {query}")
    thresholds, _, false_alarms = det_points(best, enrolled)
    threshold = thresholds[np.argmax(false_alarms <= false_alarm)]
    n_better, n_tied, _ = _places(scores[enrolled], singers[enrolled])
    found = (n_better == 0) & (best[enrolled] >= threshold)
    return float(np.mean(found / n_tied)), float(threshold)


def mean_average_precision(scores: npt.ArrayLike, relevant: npt.ArrayLike) -> float:
    """How early the right candidates come when all are sorted by score.

    Args:
        scores: `(n_queries, n_candidates)`, not NaN. Where recordings are queried among
            themselves, -inf takes a recording out of its own list.
        relevant: bool `(n_queries, n_candidates)`, True for candidates of the query's singer.

    Returns:
        Mean over the queries that have a relevant candidate, in (0, 1].

    Raises:
        SingeridError: shapes do not fit, a NaN, or no query has a relevant candidate.
    """
    values = average_precisions(scores, relevant)
    if np.isnan(values).all():
        raise SingeridError("no query has a relevant candidate", found=f"{len(values)} queries")
    return float(np.nanmean(values))


def average_precisions(scores: npt.ArrayLike, relevant: npt.ArrayLike) -> FloatArray:
    """Average precision of each query; NaN where no candidate is relevant.

    Raises:
        SingeridError: see `mean_average_precision`.
    """
    scores, relevant = np.asarray(scores, np.float64), np.asarray(relevant)
    if scores.ndim != 2 or scores.shape != relevant.shape or not scores.size:
        raise SingeridError(
            "scores do not fit relevant", found=f"shapes {scores.shape} and {relevant.shape}",
            expected="(n_queries, n_candidates) of both, not empty",
        )  # fmt: skip
    _refuse_nan(scores)
    rows = zip(scores, relevant.astype(np.bool_), strict=True)
    return np.array([_average_precision(row[row > -np.inf], r[row > -np.inf]) for row, r in rows])


def _average_precision(scores: FloatArray, relevant: BoolArray) -> float:
    """Expected average precision of one list, ties being in random order.

    In a tie of n candidates, r of them relevant, after R relevant ones: a place holds a relevant
    one with probability r / n, and i places before it in the tie hold i (r - 1) / (n - 1) more.
    """
    if not relevant.any():
        return float("nan")
    order = np.argsort(-scores)
    starts = np.append(0, np.flatnonzero(np.diff(scores[order])) + 1)
    sizes = np.diff(np.append(starts, len(scores)))
    n_relevant = np.add.reduceat(relevant[order].astype(np.int64), starts)
    n_before = np.cumsum(n_relevant) - n_relevant
    tie = np.repeat(np.arange(len(starts)), sizes)
    place = np.arange(len(scores))
    more = (n_relevant - 1) / np.maximum(sizes - 1, 1)
    found = n_before[tie] + 1 + (place - starts[tie]) * more[tie]
    chance = n_relevant / sizes
    return float(np.sum(chance[tie] * found / (place + 1)) / relevant.sum())


def _places(scores: FloatArray, singers: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """By query: candidates above the right one, tied with it (itself too), and in all."""
    right = scores[np.arange(len(scores)), singers][:, None]
    if (right == -np.inf).any():
        query = np.flatnonzero(right[:, 0] == -np.inf)[0]
        raise SingeridError(
            "the right singer is out of the question", where=f"query {query}", found="score -inf"
        )
    n_candidates = (scores > -np.inf).sum(axis=1)
    return (scores > right).sum(axis=1), (scores == right).sum(axis=1), n_candidates


def _checked(
    scores: npt.ArrayLike, singers: npt.ArrayLike, not_enrolled: bool = False
) -> tuple[FloatArray, IntArray]:
    """Scores and columns as arrays, or an error that says what is wrong with them."""
    scores, singers = np.asarray(scores, np.float64), np.asarray(singers)
    if scores.ndim != 2 or singers.shape != scores.shape[:1] or not scores.size:
        raise SingeridError(
            "scores do not fit singers", found=f"shapes {scores.shape} and {singers.shape}",
            expected="(n_queries, n_candidates) and (n_queries,), not empty",
        )  # fmt: skip
    lowest = -1 if not_enrolled else 0
    if singers.dtype.kind not in "iu" or singers.min() < lowest or singers.max() >= scores.shape[1]:
        raise SingeridError(
            "a singer is no column of the scores", found=f"{singers.min()}…{singers.max()}",
            expected=f"integers in {lowest}…{scores.shape[1] - 1}",
        )  # fmt: skip
    _refuse_nan(scores)
    return scores, singers.astype(np.int64)


def _refuse_nan(scores: FloatArray) -> None:
    """Raise an error that names the first query with a NaN."""
    if np.isnan(scores).any():
        raise SingeridError("a score is NaN", where=f"query {np.argwhere(np.isnan(scores))[0][0]}")
