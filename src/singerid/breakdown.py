"""Where an encoder fails: errors by singer, confused singers, worst trials.

Pure functions of trials, their scores and `columns`: one text per recording and label, among
them "singer"; "" and "?" are unknown. A trial is accepted if score >= threshold. A trial against
a model of several recordings counts for the singer of the first of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from singerid.slices import Columns, singer_sides, trial_rows
from singerid.trials import TrialList
from singerid.worst import WorstTrial, worst_trials

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
_Z = 1.96  # of a 95 % interval


@dataclass(frozen=True)
class SingerErrors:
    """Errors in the trials of one singer; rates are fractions, None without a trial.

    Attributes:
        singer: name.
        n_targets: number of target trials.
        n_nontargets: number of nontarget trials that the singer is one side of.
        miss_rate: share of the target trials that are rejected.
        false_alarm_rate: share of the nontarget trials that are accepted.
        impostor: the other singer most often taken for this one, "" without a nontarget trial.
        impostor_rate: share of the trials between the two that are accepted.
    """

    singer: str
    n_targets: int
    n_nontargets: int
    miss_rate: float | None
    false_alarm_rate: float | None
    impostor: str
    impostor_rate: float | None


@dataclass(frozen=True)
class Confusion:
    """How alike two singers are to the encoder.

    Attributes:
        singer_a: name, before `singer_b` in the alphabet.
        singer_b: name.
        n_trials: number of trials between the two.
        false_alarm_rate: share of them that is accepted.
        mean_score: their mean score.
        max_score: their highest score.
    """

    singer_a: str
    singer_b: str
    n_trials: int
    false_alarm_rate: float
    mean_score: float
    max_score: float


@dataclass(frozen=True)
class Breakdown:
    """Where the errors come from, at one threshold.

    Attributes:
        singers: errors of each singer, the worst first.
        confusions: singers taken for one another, the worst first.
        worst: the highest nontargets, then the lowest targets.
    """

    singers: Sequence[SingerErrors]
    confusions: Sequence[Confusion]
    worst: Sequence[WorstTrial]


def break_down(
    trials: TrialList,
    scores: npt.NDArray[np.floating],
    columns: Columns,
    threshold: float,
    *,
    mask: BoolArray | None = None,
    n_confusions: int = 20,
    n_worst: int = 20,
) -> Breakdown:
    """Errors by singer, confusions and worst trials.

    Args:
        trials: `n` trials.
        scores: `(n,)`.
        columns: needs "singer".
        threshold: scores from here on are accepted.
        mask: bool `(n,)`, the trials that count; None for all.
        n_confusions: number of pairs of singers.
        n_worst: number of trials, one half of each class.

    Raises:
        SingeridError: scores, mask or column do not fit the trials.
    """
    return Breakdown(
        singer_errors(trials, scores, columns, threshold, mask),
        confusions(trials, scores, columns, threshold, mask, n_confusions),
        worst_trials(trials, scores, columns, mask=mask, k=n_worst // 2),
    )


def singer_errors(
    trials: TrialList,
    scores: npt.NDArray[np.floating],
    columns: Columns,
    threshold: float,
    mask: BoolArray | None = None,
) -> list[SingerErrors]:
    """Miss and false-alarm rate of each singer, those with the highest sum of both first.

    Args:
        trials: `n` trials.
        scores: `(n,)`.
        columns: needs "singer".
        threshold: scores from here on are accepted.
        mask: bool `(n,)`, the trials that count; None for all.

    Raises:
        SingeridError: scores, mask or column do not fit the trials.
    """
    names, enroll, test = singer_sides(trials, scores, columns, mask)
    rows = trial_rows(trials, mask)
    n = len(names)
    of_target = rows[trials.targets[rows]]
    n_targets = np.bincount(test[of_target], minlength=n)
    missed = of_target[scores[of_target] < threshold]
    pairs = _PairTable.of(enroll, test, scores, threshold, rows[~trials.targets[rows]])
    both = np.concatenate([pairs.low, pairs.high])
    n_nontargets = np.bincount(both, np.tile(pairs.n, 2), minlength=n).astype(np.int64)
    accepted = np.bincount(both, np.tile(pairs.accepted, 2), minlength=n)
    misses = np.bincount(test[missed], minlength=n)
    hardest = pairs.hardest(n)
    found = []
    for i in np.flatnonzero(n_targets + n_nontargets):
        pair = hardest[i]
        impostor = names[pairs.low[pair] + pairs.high[pair] - i] if pair >= 0 else ""
        found.append(
            SingerErrors(
                names[i], int(n_targets[i]), int(n_nontargets[i]),
                _share(misses[i], n_targets[i]), _share(accepted[i], n_nontargets[i]),
                impostor, _share(pairs.accepted[pair], pairs.n[pair]) if pair >= 0 else None,
            )
        )  # fmt: skip
    return sorted(
        found, key=lambda one: (-(one.miss_rate or 0) - (one.false_alarm_rate or 0), one.singer)
    )


def confusions(
    trials: TrialList,
    scores: npt.NDArray[np.floating],
    columns: Columns,
    threshold: float,
    mask: BoolArray | None = None,
    k: int = 20,
) -> list[Confusion]:
    """The `k` pairs of singers that are most often taken for one.

    They are ordered by the lower end of the 95 % interval of the false-alarm rate (Wilson 1927,
    *JASA* 22), so that 1 trial of 1 does not come before 40 of 50; then by mean score.

    Args:
        trials: `n` trials.
        scores: `(n,)`.
        columns: needs "singer".
        threshold: scores from here on are accepted.
        mask: bool `(n,)`, the trials that count; None for all.
        k: number of pairs.

    Raises:
        SingeridError: scores, mask or column do not fit the trials.
    """
    names, enroll, test = singer_sides(trials, scores, columns, mask)
    rows = trial_rows(trials, mask)
    pairs = _PairTable.of(enroll, test, scores, threshold, rows[~trials.targets[rows]])
    order = np.lexsort((pairs.mean, pairs.wilson))[::-1][:k]
    return [
        Confusion(
            names[pairs.low[i]], names[pairs.high[i]], int(pairs.n[i]),
            float(pairs.accepted[i] / pairs.n[i]), float(pairs.mean[i]), float(pairs.highest[i]),
        )
        for i in order
    ]  # fmt: skip


def reliability(
    llrs: npt.ArrayLike, targets: npt.ArrayLike, prior: float = 0.5, n_bins: int = 10
) -> list[dict[str, float]]:
    """How often trials of a stated probability are targets, for a reliability diagram.

    Trials are weighted so that targets have the weight `prior` in all (Murphy & Winkler 1977,
    *Applied Statistics* 26, for the diagram).

    Args:
        llrs: natural log-likelihood ratios `(n,)`.
        targets: bool `(n,)`, both classes there.
        prior: probability of a target before hearing, in (0, 1).
        n_bins: number of bins of equal width on [0, 1].

    Returns:
        For each bin that has trials: "predicted" (weighted mean of the stated probability),
        "observed" (weighted share of targets) and "n" (number of trials).
    """
    llrs, targets = np.asarray(llrs, np.float64), np.asarray(targets, np.bool_)
    stated = expit(llrs + logit(prior))
    weights = np.where(targets, prior / targets.sum(), (1 - prior) / (~targets).sum())
    bins = np.minimum((stated * n_bins).astype(np.intp), n_bins - 1)
    n, mass = np.bincount(bins, minlength=n_bins), np.bincount(bins, weights, n_bins)
    predicted = np.bincount(bins, weights * stated, n_bins)
    observed = np.bincount(bins, weights * targets, n_bins)
    return [
        {
            "predicted": float(predicted[i] / mass[i]), "observed": float(observed[i] / mass[i]),
            "n": int(n[i]),
        }
        for i in np.flatnonzero(n)
    ]  # fmt: skip


@dataclass(frozen=True)
class _PairTable:
    """Nontarget trials by pair of singers, one row a pair; `low` < `high` are their numbers."""

    low: IntArray
    high: IntArray
    n: IntArray
    accepted: IntArray
    mean: FloatArray
    highest: FloatArray

    @classmethod
    def of(
        cls, enroll: IntArray, test: IntArray, scores: npt.NDArray[np.floating],
        threshold: float, rows: IntArray,
    ) -> _PairTable:  # fmt: skip
        a, b, scores = enroll[rows], test[rows], scores[rows]
        size = int(max(a.max(), b.max())) + 1 if len(rows) else 1
        keys = np.minimum(a, b) * size + np.maximum(a, b)
        pairs, where = _distinct(keys, size**2)
        n = np.bincount(where, minlength=len(pairs))
        accepted = np.bincount(where[scores >= threshold], minlength=len(pairs))
        highest = np.full(len(pairs), -np.inf)
        np.maximum.at(highest, where, scores)
        mean = np.bincount(where, scores, minlength=len(pairs)) / np.maximum(n, 1)
        return cls(pairs // size, pairs % size, n, accepted, mean, highest)

    @property
    def wilson(self) -> FloatArray:
        """Lower end of the interval of the false-alarm rate (Wilson 1927)."""
        rate, z = self.accepted / self.n, _Z**2 / self.n
        spread = np.sqrt(rate * (1 - rate) * z + z**2 / 4)
        # Without one accepted, exactly 0 (not 1e-17), so that the mean score decides.
        return np.asarray(np.where(self.accepted, (rate + z / 2 - spread) / (1 + z), 0.0))

    def hardest(self, n_singers: int) -> IntArray:
        """For each singer the row of the pair that is confused most; -1 if in none."""
        singer = np.concatenate([self.low, self.high])
        order = np.lexsort((np.tile(self.mean, 2), np.tile(self.wilson, 2), singer))
        hardest = np.full(n_singers, -1, np.int64)
        hardest[singer[order]] = order % max(len(self.low), 1)  # the last of each singer stays
        return hardest


def _distinct(keys: IntArray, size: int) -> tuple[IntArray, IntArray]:
    """Distinct keys in order, and the position of each row's among them.

    Keys below `size`, if that is not much more than there are rows, need no sorting.
    """
    if size > max(4 * len(keys), 1 << 16):
        distinct, where = np.unique(keys, return_inverse=True)
        return distinct, where
    seen = np.zeros(size, np.bool_)
    seen[keys] = True
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[keys]


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
