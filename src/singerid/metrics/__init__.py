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
  2000, *Speech Communication* 31), divided by the cost of the better trivial system: to accept,
  or to reject, everything. Its least value over the thresholds is here; the value at the
  threshold that a calibration chose is in `likelihood`.
- The AUC is P(target's score > nontarget's) + P(equal) / 2 (Hanley & McNeil 1982, *Radiology* 143).
- A miss rate at a given false alarm rate is that of an operating point, not between two: the
  given rate is kept, never exceeded.
- Trials that share a singer are dependent: intervals are in `bootstrap`.
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
    scores, targets = checked_trials(scores, targets)
    order, ends = tie_groups(scores)
    rejected = np.cumsum(targets[order])[ends]
    n_targets = rejected[-1]
    n_nontargets = len(scores) - n_targets
    misses = np.append(0, rejected) / n_targets
    false_alarms = np.append(n_nontargets, n_nontargets - (ends + 1 - rejected)) / n_nontargets
    return np.append(scores[order[ends]], np.inf), misses, false_alarms


def roc_points(
    scores: npt.ArrayLike, targets: npt.ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Operating points of the receiver operating characteristic, from strict to lax.

    Args:
        scores: `(n,)`, finite.
        targets: bool `(n,)`.

    Returns:
        Thresholds, descending: infinity, then every distinct score; false alarm rates, from 0 to
        1; and hit rates (1 - miss), from 0 to 1.

    Raises:
        SingeridError: see `det_points`.
    """
    thresholds, misses, false_alarms = det_points(scores, targets)
    return thresholds[::-1], false_alarms[::-1], 1 - misses[::-1]


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
    of_misses, of_alarms = cost_weights(p_target, c_miss, c_false_alarm)
    thresholds, misses, false_alarms = det_points(scores, targets)
    costs = of_misses * misses + of_alarms * false_alarms
    best = int(np.argmin(costs))
    return float(costs[best]), float(thresholds[best])


def auc(scores: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """Area under the ROC: how often a random target scores above a random nontarget.

    Raises:
        SingeridError: see `det_points`.
    """
    _, misses, false_alarms = det_points(scores, targets)
    return float(1 - np.sum(-np.diff(false_alarms) * (misses[1:] + misses[:-1]) / 2))


def miss_at_false_alarm(
    scores: npt.ArrayLike, targets: npt.ArrayLike, rate: float
) -> tuple[float, float]:
    """Least miss rate where false alarms are no more than `rate` (FRR at a fixed FAR).

    Args:
        scores: `(n,)`, finite.
        targets: bool `(n,)`.
        rate: greatest false alarm rate, in [0, 1]. Below 1 / (number of nontargets) no false
            alarm at all is left; rates that rest on fewer than 30 errors are not to be trusted
            (Doddington et al. 2000).

    Returns:
        The miss rate, and the lowest threshold among the scores that keeps the false alarm rate
        (infinity: reject all).

    Raises:
        SingeridError: see `det_points`, or the rate is out of range.
    """
    check_rate(rate)
    thresholds, misses, false_alarms = det_points(scores, targets)
    first = int(np.argmax(false_alarms <= rate))
    return float(misses[first]), float(thresholds[first])


def cost_weights(
    p_target: float, c_miss: float = 1.0, c_false_alarm: float = 1.0
) -> tuple[float, float]:
    """What a miss rate and a false alarm rate of 1 cost, the cheaper of them being 1.

    Raises:
        SingeridError: a parameter is out of range.
    """
    if not (0 < p_target < 1 and 0 < c_miss < np.inf and 0 < c_false_alarm < np.inf):
        raise SingeridError(
            "detection cost out of range",
            found=f"p_target {p_target}, c_miss {c_miss}, c_false_alarm {c_false_alarm}",
            expected="0 < p_target < 1 and finite positive costs",
        )
    of_misses, of_alarms = p_target * c_miss, (1 - p_target) * c_false_alarm
    trivial = min(of_misses, of_alarms)
    return of_misses / trivial, of_alarms / trivial


def check_rate(rate: float) -> None:
    """Refuse a false alarm rate that is none.

    Raises:
        SingeridError: not in [0, 1].
    """
    if not 0 <= rate <= 1:
        raise SingeridError("a false alarm rate is out of range", found=rate, expected="0…1")


def tie_groups(scores: FloatArray) -> tuple[IntArray, IntArray]:
    """Order of ascending score, and the position in it of the last trial of each distinct score."""
    order = np.argsort(scores)
    ends = np.flatnonzero(np.diff(scores[order]))
    return order, np.append(ends, len(scores) - 1)


def checked_trials(scores: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[FloatArray, BoolArray]:
    """Scores and targets as arrays, or an error that says what is wrong with them.

    Raises:
        SingeridError: see `det_points`.
    """
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
