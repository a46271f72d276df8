"""Calibrations fitted on development trials (see `calibration`)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from singerid.errors import ConfigError, SingeridError
from singerid.metrics import checked_trials
from singerid.metrics.likelihood import cllr
from singerid.scoring.calibration import MIN_SINGERS, Calibration, Line, check_edges
from singerid.scoring.logistic import fit_line, trial_weights
from singerid.scoring.scorer import Scorer

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
EDGES = (3.0, 6.0, 12.0)
FALSE_ALARMS = (0.1, 0.05, 0.01, 0.001)
MIN_TRIALS = 100
"""A duration class with fewer target or nontarget trials borrows from all trials."""
MIN_ERRORS = 30
"""A rate is measured to within 30 % from 30 errors on (Doddington et al. 2000)."""
_FOLDS = 10
_MAX_CHECKED = 20_000  # trials of each class in the held-out check


def fit_calibration(
    scores: npt.ArrayLike,
    targets: npt.ArrayLike,
    enroll_singers: Sequence[str],
    test_singers: Sequence[str],
    *,
    encoder: str,
    scorer: Scorer | None = None,
    seconds: npt.ArrayLike | None = None,
    edges: Sequence[float] = EDGES,
    false_alarms: Sequence[float] = FALSE_ALARMS,
    prior: float = 0.5,
    crossed: bool = False,
) -> Calibration:
    """Fit lines and thresholds on development trials.

    Trials are weighted so that each singer counts alike (`logistic.trial_weights`), in the fits
    as in the false alarm rates.

    Args:
        scores: `(n,)`, by `scorer`.
        targets: bool `(n,)`.
        enroll_singers: singer of the enrolled side of each trial.
        test_singers: singer of the tested side.
        encoder: fingerprint of the encoder.
        scorer: what the scores are by; None: cosine.
        seconds: `(n,)`, duration of the shorter recording; 0: unknown. None: no classes.
        edges: ends of the duration classes in seconds, ascending.
        false_alarms: rates to find thresholds for.
        prior: probability of a target at which the fit should be best.
        crossed: the scores are by `scorer.cross_scores`, each of a scorer that did not know its
            singers; otherwise a scorer that was fitted on singers of these trials is refused.

    Raises:
        MismatchError: the scorer was fitted on singers of these trials.
        SingeridError: a class of trials is missing, a score is not finite, scores are equal or
            reversed (targets score lower), or columns differ in length.
        ConfigError: edges, rates or prior out of range.
    """
    score, target = checked_trials(scores, targets)
    n = len(score)
    scorer = scorer or Scorer()
    for name, column in (("enroll_singers", enroll_singers), ("test_singers", test_singers)):
        if len(column) != n:
            raise SingeridError(f"{name} has {len(column)} rows", expected=n)
    if not crossed:
        scorer.check_unseen({*enroll_singers, *test_singers})
    if not 0 < prior < 1:
        raise ConfigError("prior out of range", found=prior, expected="above 0 and below 1")
    if wrong := [rate for rate in false_alarms if not 0 < rate < 1]:
        raise ConfigError("false alarm rate out of range", found=wrong[0], expected="0 … 1")
    check_edges(edges)
    trials = _Trials(score, target, *_numbers(enroll_singers, test_singers))
    overall = trials.fit(false_alarms, prior)
    if seconds is None:
        return Calibration(encoder, scorer, overall, (), (overall,))
    shorter = np.asarray(seconds, np.float64)
    if shorter.shape != (n,) or not (shorter >= 0).all():
        raise SingeridError(
            "durations do not fit the trials", found=f"shape {shorter.shape}",
            expected=f"{n} numbers of at least 0",
        )  # fmt: skip
    index = np.searchsorted(np.asarray(edges, np.float64), shorter, side="right")
    classes = tuple(
        trials.where((index == i) & (shorter > 0)).fit_or_borrow(overall, false_alarms, prior)
        for i in range(len(edges) + 1)
    )
    return Calibration(encoder, scorer, overall, tuple(map(float, edges)), classes)


@dataclass(frozen=True)
class _Trials:
    """Scored trials with the numbers of their singers."""

    scores: FloatArray
    targets: BoolArray
    enroll: IntArray
    test: IntArray

    def where(self, rows: BoolArray | IntArray) -> _Trials:
        return _Trials(self.scores[rows], self.targets[rows], self.enroll[rows], self.test[rows])

    def n_singers(self) -> int:
        return len(np.unique(np.concatenate([self.enroll, self.test])))

    def line(self, prior: float) -> tuple[float, float]:
        weights = trial_weights(self.targets, self.enroll, self.test)
        return fit_line(self.scores, self.targets, weights, self.n_singers(), prior)

    def fit(self, false_alarms: Sequence[float], prior: float) -> Line:
        """The line of these trials."""
        scale, offset = self.line(prior)
        if scale <= 0:
            raise SingeridError(
                "targets score no higher than nontargets", found=f"a slope of {scale:.3g}",
                expected="scores that rise with likeness",
                do="check the scores' sign and the singers' names; a distance is to be negated",
            )  # fmt: skip
        alarms = self.where(~self.targets)
        weights = trial_weights(alarms.targets, alarms.enroll, alarms.test)
        thresholds = tuple((r, _threshold(alarms.scores, weights, r)) for r in false_alarms)
        n_targets = int(np.count_nonzero(self.targets))
        return Line(
            scale, offset, thresholds, n_targets, len(self.targets) - n_targets,
            len(np.unique(self.enroll[self.targets])), self.held_out_cllr(prior),
        )  # fmt: skip

    def fit_or_borrow(self, overall: Line, false_alarms: Sequence[float], prior: float) -> Line:
        """The line of these trials if there are enough, otherwise that of all."""
        n_targets = int(np.count_nonzero(self.targets))
        n_nontargets = len(self.targets) - n_targets
        n_singers = len(np.unique(self.enroll[self.targets]))
        if min(n_targets, n_nontargets) >= MIN_TRIALS and n_singers >= MIN_SINGERS:
            try:
                return self.fit(false_alarms, prior)
            except SingeridError:  # equal or reversed scores in this class alone
                pass
        return Line(
            overall.scale, overall.offset, overall.thresholds, n_targets, n_nontargets, n_singers,
            overall.held_out_cllr, borrowed=True,
        )  # fmt: skip

    def held_out_cllr(self, prior: float) -> float | None:
        """Cllr of trials whose line was fitted without either of their singers.

        Each singer is left out by itself, or with a tenth of them where there are more than ten.
        Of many trials a sample is enough.
        """
        rng = np.random.default_rng(0)
        rows = [np.flatnonzero(self.targets == target) for target in (True, False)]
        rows = [rng.choice(r, min(len(r), _MAX_CHECKED), replace=False) for r in rows]
        trials = self.where(np.sort(np.concatenate(rows)))
        _, number = np.unique(np.concatenate([trials.enroll, trials.test]), return_inverse=True)
        a, b = np.split(number % _FOLDS, 2)
        llrs = np.full(len(trials.scores), np.nan)
        for first, second in itertools.combinations_with_replacement(range(a.max() + 1), 2):
            held = ((a == first) & (b == second)) | ((a == second) & (b == first))
            rest = trials.where(~np.isin(a, (first, second)) & ~np.isin(b, (first, second)))
            if not held.any():
                continue
            if rest.n_singers() < 2 or rest.targets.all() or not rest.targets.any():
                return None
            scale, offset = rest.line(prior)
            llrs[held] = scale * trials.scores[held] + offset
        return cllr(llrs, trials.targets)


def _threshold(scores: FloatArray, weights: FloatArray, rate: float) -> float | None:
    """Score that a share of at most `rate` of the nontargets' weight reaches; None: unmeasurable.

    Halfway between the highest score to be rejected and the next one above.
    """
    n_equal = 1 / float(np.square(weights).sum())  # trials of equal weight that tell as much (Kish)
    if n_equal * rate < MIN_ERRORS:
        return None
    order = np.argsort(-scores)
    ordered = scores[order]
    rejected = int(np.searchsorted(np.cumsum(weights[order]), rate * (1 + 1e-9), side="right"))
    above = ordered[:rejected][ordered[:rejected] > ordered[rejected]]
    return float((above[-1] + ordered[rejected]) / 2) if len(above) else None


def _numbers(enroll: Sequence[str], test: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Singers as numbers."""
    first: dict[str, int] = {}
    a = np.asarray([first.setdefault(singer, len(first)) for singer in enroll], np.int64)
    b = np.asarray([first.setdefault(singer, len(first)) for singer in test], np.int64)
    return a, b
