"""How well scores tell targets from nontargets: pure functions on arrays.

Conventions, the same in every function:

- A trial has a score (higher = more alike) and is a target (one singer) or a nontarget (two).
  It is accepted if score >= threshold. *Miss*: a target rejected. *False alarm*: a nontarget
  accepted. Rates are fractions in [0, 1].
- Equal scores cannot be told apart by any threshold, so they are accepted or rejected together.
  Between two neighboring operating points the curve is a straight line: what a coin would reach
  that decides the trials at that score. Hence scores that say nothing (a collapsed encoder) have
  an EER and an AUC of exactly 0.5, never 0 or 1.
- The equal error rate (EER) lies on that curve, where miss = false alarm. It is not taken on the
  ROC's convex hull (Brümmer & de Villiers 2013, *The BOSARIS Toolkit*), which is never higher.
- The detection cost (DCF) is that of NIST's speaker recognition evaluations (Doddington et al.
  2000, *Speech Communication* 31), divided by the cost of the better trivial system.
- The AUC is P(target's score > nontarget's) + P(equal) / 2 (Hanley & McNeil 1982, *Radiology* 143).
- Trials that share a singer are dependent, so intervals come from resampling singers, not trials
  (Bolle, Ratha & Pankanti 2004, *Computer Vision and Image Understanding* 93, "subsets bootstrap").
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


def det_points(
    scores: npt.ArrayLike, targets: npt.ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Operating points of the detection error tradeoff (Martin et al. 1997), from lax to strict.

    Args:
        scores: `(n,)`, finite.
        targets: bool `(n,)`, True for target trials.

    Returns:
        Thresholds, ascending: every distinct score, then infinity; miss rates, from 0 to 1; and
        false alarm rates, from 1 to 0.

    Raises:
        SingeridError: lengths differ, a score is not finite, or a class is empty.
    """
    scores, targets = _checked(scores, targets)
    order, ends = _tie_groups(scores)
    rejected = np.cumsum(targets[order])[ends]
    n_targets = rejected[-1]
    n_nontargets = len(scores) - n_targets
    misses = np.append(0, rejected) / n_targets
    false_alarms = np.append(n_nontargets, n_nontargets - (ends + 1 - rejected)) / n_nontargets
    return np.append(scores[order[ends]], np.inf), misses, false_alarms


def eer(scores: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[float, float]:
    """Equal error rate and the threshold that gives it.

    Where an operating point has miss = false alarm, the threshold is halfway between the scores
    that it separates; otherwise it is the score whose (tied) trials straddle the crossing.

    Args:
        scores: `(n,)`, finite.
        targets: bool `(n,)`.

    Returns:
        The rate in [0, 1], and the threshold in the scores' unit.

    Raises:
        SingeridError: see `det_points`.
    """
    thresholds, misses, false_alarms = det_points(scores, targets)
    # Ascending strictly from -1 to 1. Quotients of integers are rounded correctly, so that
    # equal rates are equal as floats and the exact case is found exactly.
    excess = misses - false_alarms
    right = int(np.searchsorted(excess, 0))
    left = right - 1
    if excess[right] == 0:
        return float(misses[right]), float(thresholds[left] / 2 + thresholds[right] / 2)
    share = excess[left] / (excess[left] - excess[right])
    rate = misses[left] + share * (misses[right] - misses[left])
    return float(rate), float(thresholds[left])


def min_dcf(
    scores: npt.ArrayLike,
    targets: npt.ArrayLike,
    p_target: float = 0.05,
    c_miss: float = 1.0,
    c_false_alarm: float = 1.0,
) -> tuple[float, float]:
    """Least normalized detection cost over all thresholds.

    Args:
        scores: `(n,)`, finite.
        targets: bool `(n,)`.
        p_target: prior probability of a target, in (0, 1); 0.05 as in VoxSRC.
        c_miss: cost of a miss, positive.
        c_false_alarm: cost of a false alarm, positive.

    Returns:
        The cost in [0, 1] (1: no better than to accept, or reject, all) and the lowest threshold
        that reaches it (infinity: reject all).

    Raises:
        SingeridError: see `det_points`, or a parameter out of range.
    """
    if not (0 < p_target < 1 and 0 < c_miss < np.inf and 0 < c_false_alarm < np.inf):
        raise SingeridError(
            "detection cost out of range",
            found=f"p_target {p_target}, c_miss {c_miss}, c_false_alarm {c_false_alarm}",
            expected="0 < p_target < 1 and finite positive costs",
        )
    thresholds, misses, false_alarms = det_points(scores, targets)
    of_misses, of_alarms = p_target * c_miss, (1 - p_target) * c_false_alarm
    costs = (of_misses * misses + of_alarms * false_alarms) / min(of_misses, of_alarms)
    best = int(np.argmin(costs))
    return float(costs[best]), float(thresholds[best])


def auc(scores: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """Area under the ROC: how often a random target scores above a random nontarget.

    Raises:
        SingeridError: see `det_points`.
    """
    _, misses, false_alarms = det_points(scores, targets)
    return float(1 - np.sum(-np.diff(false_alarms) * (misses[1:] + misses[:-1]) / 2))


def top_k(scores: npt.ArrayLike, singers: npt.ArrayLike, k: int = 1) -> float:
    """Closed-set identification: how often the right singer is among the k best.

    Candidates that tie are in random order, and the expectation is returned: equal scores for
    all N candidates give exactly k / N. A candidate with score -inf is out of the question.

    Args:
        scores: `(n_queries, n_candidates)`, not NaN.
        singers: `(n_queries,)`, the column of the right singer.
        k: number of guesses, at least 1.

    Returns:
        Fraction in [0, 1]; k = 1: the accuracy.

    Raises:
        SingeridError: shapes do not fit, no query, a NaN, a column or k out of range.
    """
    scores, singers = np.asarray(scores, np.float64), np.asarray(singers)
    if scores.ndim != 2 or singers.shape != scores.shape[:1] or not scores.size:
        raise SingeridError(
            "scores do not fit singers", found=f"shapes {scores.shape} and {singers.shape}",
            expected="(n_queries, n_candidates) and (n_queries,), not empty",
        )  # fmt: skip
    if k < 1 or singers.min() < 0 or singers.max() >= scores.shape[1]:
        raise SingeridError(
            "k or a singer is out of range",
            found=f"k {k}, singers {singers.min()}…{singers.max()}",
            expected=f"k at least 1, singers in 0…{scores.shape[1] - 1}",
        )
    if np.isnan(scores).any():
        raise SingeridError("a score is NaN", where=f"query {np.argwhere(np.isnan(scores))[0][0]}")
    right = scores[np.arange(len(scores)), singers][:, None]
    n_better, n_tied = (scores > right).sum(axis=1), (scores == right).sum(axis=1)
    return float(np.clip((k - n_better) / n_tied, 0, 1).mean())


def bootstrap_eer(
    scores: npt.ArrayLike,
    targets: npt.ArrayLike,
    enroll_singers: npt.ArrayLike,
    test_singers: npt.ArrayLike,
    n_resamples: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Equal error rates of resampled sets of singers.

    Each resample draws as many singers as there are, with replacement. A singer drawn c times
    stands for c different people, so that a target trial counts c times, and a nontarget trial
    of two singers counts c × c' times; copies of one singer are not paired with each other.

    Args:
        scores: `(n,)`, finite.
        targets: bool `(n,)`.
        enroll_singers: `(n,)`, singer of each trial's enrolled recording, any integers.
        test_singers: `(n,)`, singer of the tested recording; as enrolled for targets.
        n_resamples: how often to draw.
        rng: source of the draws.

    Returns:
        `(n_resamples,)`; NaN where a draw leaves no target or no nontarget.

    Raises:
        SingeridError: see `det_points`.
    """
    scores, targets = _checked(scores, targets)
    pairs = np.stack([np.asarray(enroll_singers), np.asarray(test_singers)])
    if pairs.shape != (2, len(scores)):
        raise SingeridError("singers do not fit scores", expected=f"{len(scores)} of each")
    singers, pairs = np.unique(pairs, return_inverse=True)
    pairs = pairs.reshape(2, -1).astype(np.intp)
    pairs[1, targets] = len(singers)  # an extra "singer" that always counts once
    order, ends = _tie_groups(scores)
    enroll, test, where = pairs[0, order], pairs[1, order], np.flatnonzero(targets[order])
    n_rejected = np.searchsorted(where, ends, side="right")
    n_draws = len(singers)
    counts = rng.multinomial(n_draws, np.full(n_draws, 1 / n_draws), size=n_resamples)
    rates = np.full(n_resamples, np.nan)
    for i, count in enumerate(np.column_stack([counts, np.ones(n_resamples)]).astype(np.float64)):
        weights = count[enroll]
        weights *= count[test]
        of_targets = weights[where]
        sum_targets = of_targets.sum()
        sum_nontargets = weights.sum() - sum_targets
        if sum_targets > 0 and sum_nontargets > 0:
            weights /= sum_nontargets
            weights[where] = of_targets / sum_targets
            rates[i] = _weighted_eer(weights, of_targets / sum_targets, ends, n_rejected)
    return rates


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


def _weighted_eer(
    weights: FloatArray, of_targets: FloatArray, ends: IntArray, n_rejected: IntArray
) -> float:
    """EER of trials in ascending order of score, the weights of each class summing to 1.

    The cumulative weight of both classes is miss + (1 - false alarm), from 0 to 2; the EER is
    where it passes 1.
    """
    total = np.cumsum(weights)[ends]
    right = int(np.searchsorted(total, 1))
    left_total = total[right - 1] if right else 0.0
    left_miss = of_targets[: n_rejected[right - 1]].sum() if right else 0.0
    step = of_targets[: n_rejected[right]].sum() - left_miss
    share = (1 - left_total) / (total[right] - left_total)
    return float(left_miss + share * step)


def _tie_groups(scores: FloatArray) -> tuple[IntArray, IntArray]:
    """Order of ascending score, and the position in it of the last trial of each distinct score."""
    order = np.argsort(scores)
    ends = np.flatnonzero(np.diff(scores[order]))
    return order, np.append(ends, len(scores) - 1)


def _checked(scores: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[FloatArray, BoolArray]:
    """Scores and targets as arrays, or an error that says what is wrong with them."""
    scores, targets = np.asarray(scores, np.float64), np.asarray(targets)
    if scores.ndim != 1 or scores.shape != targets.shape:
        raise SingeridError(
            "scores do not fit targets", found=f"shapes {scores.shape} and {targets.shape}",
            expected="one score and one target flag a trial",
        )  # fmt: skip
    if targets.dtype != np.bool_ and not np.isin(targets, (0, 1)).all():
        raise SingeridError("targets must be True or False", found=targets[:3])
    targets = targets.astype(np.bool_)
    if not np.isfinite(scores).all():
        bad = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise SingeridError("a score is not finite", where=f"trial {bad}", found=scores[bad])
    if targets.all() or not targets.any():
        n_targets = int(targets.sum())
        raise SingeridError(
            "error rates need target and nontarget trials",
            found=f"{n_targets} targets and {len(targets) - n_targets} nontargets",
            do="give at least two singers, and one of them at least two recordings",
        )
    return scores, targets
