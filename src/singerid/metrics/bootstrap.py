"""Intervals of error rates by resampling singers, not trials.

Trials that share a singer are dependent, so that resampling trials gives intervals that are much
too narrow. Here singers are drawn with replacement, as many as there are, and every trial follows
its singers (Bolle, Ratha & Pankanti 2004, *Computer Vision and Image Understanding* 93, "subsets
bootstrap"; Poh & Bengio 2007, ICASSP). A singer drawn c times stands for c different people:
a target trial counts c times, a nontarget trial of two singers c × c' times; copies of one
singer are not paired with each other. Intervals are central percentiles (Efron & Tibshirani
1993, chapter 13). Several rows of scores of the same trials (encoders) see the same draws, so
that the interval of a difference is that of the samples' difference: a paired bootstrap.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError
from singerid.metrics import BoolArray, FloatArray, checked_trials, cost_weights, resampling
from singerid.metrics.resampling import Search, SmallInts


def bootstrap_eer(
    scores: npt.ArrayLike,
    targets: npt.ArrayLike,
    enroll_singers: npt.ArrayLike,
    test_singers: npt.ArrayLike,
    n_resamples: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Equal error rates of resampled sets of singers.

    Args:
        scores: `(n,)`, finite; or `(k, n)`, of k encoders for the same trials.
        targets: bool `(n,)`.
        enroll_singers: `(n,)`, singer of each trial's enrolled recording, any integers.
        test_singers: `(n,)`, singer of the tested recording; as enrolled for targets.
        n_resamples: how often to draw.
        rng: source of the draws.

    Returns:
        `(n_resamples,)`, or `(k, n_resamples)` with the same draws in every row; NaN where a
        draw leaves no target or no nontarget.

    Raises:
        SingeridError: see `metrics.det_points`; or singers do not fit the scores or the targets.
    """
    rows = _searches(scores, targets, enroll_singers, test_singers, n_resamples, rng)
    rates = np.stack(
        [resampling.equal_error_rates(search, resampling.root(search)) for search in rows]
    )
    return rates if np.ndim(scores) == 2 else rates[0]


def bootstrap_rates(
    scores: npt.ArrayLike,
    targets: npt.ArrayLike,
    enroll_singers: npt.ArrayLike,
    test_singers: npt.ArrayLike,
    n_resamples: int,
    rng: np.random.Generator,
    *,
    p_target: float = 0.05,
    c_miss: float = 1.0,
    c_false_alarm: float = 1.0,
) -> tuple[FloatArray, FloatArray]:
    """Equal error rates and minimum detection costs of the same resamples.

    Args:
        scores: `(n,)` or `(k, n)`, see `bootstrap_eer`.
        targets: bool `(n,)`.
        enroll_singers: `(n,)`, any integers.
        test_singers: `(n,)`, any integers.
        n_resamples: how often to draw.
        rng: source of the draws; the same as in `bootstrap_eer`.
        p_target: see `metrics.min_dcf`.
        c_miss: see `metrics.min_dcf`.
        c_false_alarm: see `metrics.min_dcf`.

    Returns:
        Equal error rates and minimum costs, each as from `bootstrap_eer`.

    Raises:
        SingeridError: see `bootstrap_eer` and `metrics.min_dcf`.
    """
    weights = cost_weights(p_target, c_miss, c_false_alarm)
    eers, costs = [], []
    for search in _searches(scores, targets, enroll_singers, test_singers, n_resamples, rng):
        whole = resampling.root(search)
        eers.append(resampling.equal_error_rates(search, whole))
        costs.append(resampling.minimum_costs(search, whole, *weights))
    if np.ndim(scores) == 2:
        return np.stack(eers), np.stack(costs)
    return eers[0], costs[0]


def bootstrap_mean(
    values: npt.ArrayLike, singers: npt.ArrayLike, n_resamples: int, rng: np.random.Generator
) -> FloatArray:
    """Means of items (queries, say) in resampled sets of singers; an item follows its singer.

    Args:
        values: `(n,)`, finite; or `(k, n)`, of k encoders for the same items.
        singers: `(n,)`, singer of each item, any integers.
        n_resamples: how often to draw.
        rng: source of the draws.

    Returns:
        `(n_resamples,)`, or `(k, n_resamples)` with the same draws in every row.

    Raises:
        SingeridError: shapes do not fit, there is no value, or one is not finite.
    """
    values, singers = np.asarray(values, np.float64), np.asarray(singers)
    if values.ndim not in (1, 2) or singers.shape != values.shape[-1:] or not values.size:
        raise SingeridError(
            "values do not fit singers", found=f"shapes {values.shape} and {singers.shape}",
            expected="(n,) or (k, n), and (n,), not empty",
        )  # fmt: skip
    if not np.isfinite(values).all():
        bad = np.argwhere(~np.isfinite(values))[0][-1]
        raise SingeridError("a value is not finite", where=f"item {bad}")
    _, singer = np.unique(singers, return_inverse=True)
    n_items = np.bincount(singer)
    counts = resampling.draw(len(n_items), n_resamples, rng)[:-1]
    n_drawn = n_items @ counts
    sums = (np.bincount(singer, row) for row in np.atleast_2d(values))
    # Not by BLAS, whose rounding depends on its threads.
    means = np.stack([np.einsum("s,sr->r", row, counts) / n_drawn for row in sums])
    return means if values.ndim == 2 else means[0]


def interval(samples: npt.ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Central percentile interval of bootstrap samples; NaN samples are left out.

    Raises:
        SingeridError: no sample is left, or the level is not in (0, 1).
    """
    values = np.asarray(samples, np.float64)
    values = values[~np.isnan(values)]
    if not len(values) or not 0 < level < 1:
        raise SingeridError("no interval", found=f"{len(values)} samples, level {level}")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _searches(
    scores: npt.ArrayLike,
    targets: npt.ArrayLike,
    enroll_singers: npt.ArrayLike,
    test_singers: npt.ArrayLike,
    n_resamples: int,
    rng: np.random.Generator,
) -> Iterator[Search]:
    """The trials with each row of scores, in turn; all with the same draws."""
    rows = np.asarray(scores, np.float64)
    if rows.ndim != 2:
        rows = rows[None]
    if not len(rows):
        raise SingeridError("no row of scores")
    _, flags = checked_trials(rows[0], targets)
    enroll, test, n_singers = _numbered(np.asarray(enroll_singers), np.asarray(test_singers), flags)
    counts = resampling.draw(n_singers, n_resamples, rng)
    for row in rows:
        row, _ = checked_trials(row, flags)
        yield resampling.arrange(row, flags, enroll, test, counts)


def _numbered(
    enroll: npt.NDArray[np.integer], test: npt.NDArray[np.integer], targets: BoolArray
) -> tuple[SmallInts, SmallInts, int]:
    """Singers numbered from 0, those tested by targets replaced by an extra one; and how many."""
    if enroll.shape != targets.shape or test.shape != targets.shape:
        raise SingeridError(
            "singers do not fit scores", found=f"shapes {enroll.shape} and {test.shape}",
            expected=f"{len(targets)} of each",
        )  # fmt: skip
    wrong = (enroll == test) != targets
    if wrong.any():
        trial = int(np.flatnonzero(wrong)[0])
        kind = "a target of two singers" if targets[trial] else "a nontarget of one singer"
        raise SingeridError("singers do not fit targets", where=f"trial {trial}", found=kind)
    singers = np.union1d(enroll, test)
    a = np.searchsorted(singers, enroll).astype(np.int32)
    b = np.searchsorted(singers, test).astype(np.int32)
    b[targets] = len(singers)
    return a, b, len(singers)
