"""Error rates of one set of trials, with intervals: what a slice of a report holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from singerid import metrics
from singerid.metrics import likelihood
from singerid.metrics.bootstrap import bootstrap_eer, interval
from singerid.trials import TrialList

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
P_TARGET = 0.05  # of the detection costs, as in VoxSRC
FALSE_ALARM = 0.01  # at which the miss rate is given
# Resamples of fewer singers are mostly the same few sets, their spread much too small.
MIN_SINGERS = 5


@dataclass(frozen=True)
class Verification:
    """Error rates over some of the trials; rates are fractions.

    Attributes:
        n_targets: number of target trials.
        n_nontargets: number of nontarget trials.
        n_singers: number of singers in them.
        eer: equal error rate.
        eer_interval: 95 % interval of it, by a bootstrap over singers; None if there are
            fewer than 5 singers, or none was asked for.
        threshold: score at the equal error rate.
        min_dcf: least detection cost at a target prior of 0.05 and unit costs.
        auc: area under the ROC.
        miss_at_1_percent: miss rate where 1 % of the nontargets are accepted; None if there are
            fewer than 100 of them.
        min_cllr: least cost of the log-likelihood ratio that a calibration could reach, in bits.
        cllr: cost of the calibrated log-likelihood ratios, in bits; None without a calibration.
        act_dcf: detection cost of decisions by them; None without a calibration.
    """

    n_targets: int
    n_nontargets: int
    n_singers: int
    eer: float
    eer_interval: tuple[float, float] | None
    threshold: float
    min_dcf: float
    auc: float
    miss_at_1_percent: float | None
    min_cllr: float
    cllr: float | None = None
    act_dcf: float | None = None


def verify(
    trials: TrialList,
    scores: FloatArray,
    singers: IntArray,
    mask: BoolArray,
    n_bootstrap: int,
    rng: np.random.Generator,
    llrs: FloatArray | None = None,
) -> Verification:
    """Error rates of the trials in the mask, which has targets and nontargets.

    Args:
        trials: `n` trials.
        scores: `(n,)`.
        singers: `(2, n)`, a number for the singer of each side.
        mask: bool `(n,)`.
        n_bootstrap: resamples behind the interval; 0 for none.
        rng: source of the resamples.
        llrs: calibrated natural-log likelihood ratios `(n,)`, if there are any.
    """
    scores, targets = scores[mask], trials.targets[mask]
    enroll, test = singers[:, mask]
    rate, threshold = metrics.eer(scores, targets)
    n_singers = len(np.union1d(enroll, test))
    bounds = None
    if n_bootstrap and n_singers >= MIN_SINGERS:
        rates = bootstrap_eer(scores, targets, enroll, test, n_bootstrap, rng)
        if np.isfinite(rates).mean() > 0.5:
            bounds = interval(rates)
    n_targets = int(np.count_nonzero(targets))
    n_nontargets = len(targets) - n_targets
    enough = n_nontargets >= 1 / FALSE_ALARM
    cost, _ = metrics.min_dcf(scores, targets, P_TARGET)
    of_llrs = {}
    if llrs is not None:
        of_llrs = {
            "cllr": likelihood.cllr(llrs[mask], targets),
            "act_dcf": likelihood.act_dcf(llrs[mask], targets, P_TARGET),
        }
    return Verification(
        n_targets, n_nontargets, n_singers, rate, bounds, threshold, cost,
        metrics.auc(scores, targets),
        metrics.miss_at_false_alarm(scores, targets, FALSE_ALARM)[0] if enough else None,
        likelihood.min_cllr(scores if llrs is None else llrs[mask], targets), **of_llrs,
    )  # fmt: skip


def singer_numbers(trials: TrialList, singers: npt.NDArray[np.int64]) -> IntArray:
    """Singer of the enrolled and of the tested side of each trial, `(2, n_trials)`.

    A model's singer is that of its first recording.

    Args:
        trials: the trials.
        singers: number of the singer of each recording.
    """
    enrolled = singers
    if trials.models:
        enrolled = singers[np.array([rows[0] for rows in trials.models])]
    return np.stack([enrolled[trials.enroll], singers[trials.test]])
