"""How good scores are as log-likelihood ratios: pure functions on arrays.

Conventions, beside those of `metrics`:

- A log-likelihood ratio (LLR) is natural: ln P(score | target) - ln P(score | nontarget). Positive
  speaks for one singer, 0 says nothing, and its evidence holds whatever the prior.
- The actual detection cost (actDCF) decides by the Bayes threshold ln(c_fa (1 - p) / (c_miss p)),
  which knows nothing of the trials; the minimum (minDCF, in `metrics`) has seen their labels.
  The difference is what calibration loses. Both are normalized alike; actDCF can exceed 1.
- Cllr, the log-likelihood-ratio cost (Brümmer & du Preez 2006, *Computer Speech & Language* 20,
  eq. 28), is in bits: 0 for perfect LLRs, 1 for LLRs of 0 throughout (a system that knows that it
  knows nothing), without bound for wrong ones that are sure of themselves.
- Its minimum (minCllr, section 5 there) is Cllr after the best monotone map from scores to LLRs,
  found with the labels by pool-adjacent-violators (PAV). It asks only for the order of the
  scores. Equal scores keep equal LLRs, so constant scores have minCllr 1.
- Targets and nontargets weigh the same, however many there are of each.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from singerid.metrics import FloatArray, checked_trials, cost_weights, tie_groups


def bayes_threshold(p_target: float, c_miss: float = 1.0, c_false_alarm: float = 1.0) -> float:
    """Natural-log LLR from which to accept costs least: minus the log-odds of the prior and costs.

    Args:
        p_target: prior probability of a target, in (0, 1).
        c_miss: cost of a miss, positive.
        c_false_alarm: cost of a false alarm, positive.

    Raises:
        SingeridError: a parameter is out of range.
    """
    of_misses, of_alarms = cost_weights(p_target, c_miss, c_false_alarm)
    return math.log(of_alarms / of_misses)


def act_dcf(
    llrs: npt.ArrayLike,
    targets: npt.ArrayLike,
    p_target: float = 0.05,
    c_miss: float = 1.0,
    c_false_alarm: float = 1.0,
) -> float:
    """Normalized detection cost of decisions by the Bayes threshold.

    Args:
        llrs: `(n,)`, finite, natural-log likelihood ratios.
        targets: bool `(n,)`.
        p_target: prior probability of a target, in (0, 1).
        c_miss: cost of a miss, positive.
        c_false_alarm: cost of a false alarm, positive.

    Returns:
        The cost, not below `metrics.min_dcf`; 1: no better than to accept, or reject, all.

    Raises:
        SingeridError: see `metrics.min_dcf`.
    """
    of_misses, of_alarms = cost_weights(p_target, c_miss, c_false_alarm)
    threshold = bayes_threshold(p_target, c_miss, c_false_alarm)
    llrs, targets = checked_trials(llrs, targets)
    miss = np.mean(llrs[targets] < threshold)
    false_alarm = np.mean(llrs[~targets] >= threshold)
    return float(of_misses * miss + of_alarms * false_alarm)


def cllr(llrs: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """Log-likelihood-ratio cost in bits.

    Args:
        llrs: `(n,)`, finite, natural-log likelihood ratios.
        targets: bool `(n,)`.

    Returns:
        The cost, at least 0.

    Raises:
        SingeridError: see `metrics.det_points`.
    """
    llrs, targets = checked_trials(llrs, targets)
    of_targets = np.logaddexp(0, -llrs[targets]).mean()
    of_nontargets = np.logaddexp(0, llrs[~targets]).mean()
    return float(of_targets + of_nontargets) / (2 * math.log(2))


def min_cllr(scores: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """Least log-likelihood-ratio cost over all monotone maps of the scores, in bits.

    Args:
        scores: `(n,)`, finite, higher = more alike; any unit.
        targets: bool `(n,)`.

    Returns:
        The cost in [0, 1]: 0 where a threshold separates the classes.

    Raises:
        SingeridError: see `metrics.det_points`.
    """
    n_targets, n_nontargets = pooled(scores, targets)
    # Shares of each class in a pool: their ratio is the pool's likelihood ratio. A pool without
    # one of the classes is sure and right; it costs nothing.
    of_targets, of_nontargets = n_targets / n_targets.sum(), n_nontargets / n_nontargets.sum()
    mixed = (n_targets > 0) & (n_nontargets > 0)
    p, q = of_targets[mixed], of_nontargets[mixed]
    return float(np.sum(p * np.log2(1 + q / p) + q * np.log2(1 + p / q)) / 2)


def pooled(scores: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Trials pooled by adjacent violators, in ascending order of score.

    Args:
        scores: `(n,)`, finite.
        targets: bool `(n,)`.

    Returns:
        Number of targets and of nontargets in each pool, `(n_pools,)` each. The share of targets
        rises strictly from pool to pool.

    Raises:
        SingeridError: see `metrics.det_points`.
    """
    from sklearn.isotonic import isotonic_regression  # takes half a second to import

    scores, targets = checked_trials(scores, targets)
    order, ends = tie_groups(scores)
    rejected = np.cumsum(targets[order])[ends]
    n_targets = np.diff(rejected, prepend=0).astype(np.float64)
    n_trials = np.diff(ends, prepend=-1).astype(np.float64)
    shares = isotonic_regression(n_targets / n_trials, sample_weight=n_trials)
    starts = np.append(0, np.flatnonzero(np.diff(shares)) + 1)
    of_targets = np.add.reduceat(n_targets, starts)
    return of_targets, np.add.reduceat(n_trials, starts) - of_targets
