"""Scores of pairs of recordings, and what they mean: generated pairs and the real ones beside them.

The unit is a pair of two recordings throughout, so that all scores can be compared one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from singerid import metrics
from singerid.embeddings import EmbeddingSet
from singerid.metrics.bootstrap import bootstrap_mean, interval
from singerid.scoring.calibration import Calibration
from singerid.scoring.scorer import Scorer

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
MIN_DIFFERENT = 100  # pairs, for a threshold of their own at 1 % false alarms
_MOST = 1_000_000  # real pairs of a kind; more are sampled


@dataclass(frozen=True)
class Group:
    """Scores of pairs of one kind.

    Attributes:
        n_pairs: how many.
        n_singers: singers in them; 0: nobody says.
        mean: score.
        interval: 95 % interval of it; None for real pairs of fewer than 5 singers.
        quantiles: scores below which 5, 50 and 95 % of the pairs are.
        accepted: share that is accepted as one singer; None without a threshold.
        llr: mean natural-log likelihood ratio of one singer against two; None if uncalibrated.
        probability: mean probability of one singer; None if uncalibrated.
    """

    n_pairs: int
    n_singers: int
    mean: float
    interval: tuple[float, float] | None
    quantiles: tuple[float, float, float]
    accepted: float | None
    llr: float | None
    probability: float | None


def real_pairs(references: EmbeddingSet, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Pairs of references of one singer and two songs, and of two singers.

    Recordings without a song label are songs of their own. More than a million of a kind are
    sampled. References of whom nobody says whose voice they are ("") make no pairs.

    Returns:
        Rows `(2, n)` each.
    """
    if not all(references.singers):
        return np.zeros((2, 0), np.int64), np.zeros((2, 0), np.int64)
    _, singer = np.unique(np.asarray(references.singers, object), return_inverse=True)
    songs = references.labels.get("song", [""] * len(references))
    names = [song or f"\0{row}" for row, song in enumerate(songs)]
    _, song = np.unique(np.asarray(names, object), return_inverse=True)
    n = len(singer)
    if n * (n - 1) // 2 <= 4 * _MOST:
        rows = np.stack(np.triu_indices(n, 1)).astype(np.int64)
    else:  # pairs of one singer are rare among all of many singers: all of those, or a sample
        members = [np.flatnonzero(singer == s) for s in range(singer.max() + 1)]
        own = [np.stack(np.triu_indices(len(m), 1)) for m in members]
        within = np.concatenate([m[p] for m, p in zip(members, own, strict=True)], 1)
        drawn = np.sort(rng.integers(0, n, (2, 2 * _MOST)), axis=0)
        across = drawn[:, singer[drawn[0]] != singer[drawn[1]]]
        rows = np.concatenate([within, across], 1)
    is_same = singer[rows[0]] == singer[rows[1]]
    other_song = song[rows[0]] != song[rows[1]]
    return _some(rows[:, is_same & other_song], rng), _some(rows[:, ~is_same], rng)


def _some(rows: IntArray, rng: np.random.Generator) -> IntArray:
    if rows.shape[1] <= _MOST:
        return rows
    return rows[:, np.sort(rng.choice(rows.shape[1], _MOST, replace=False))]


@dataclass(frozen=True)
class Scored:
    """Scores of pairs `(n,)`, and the seconds of the shorter recording of each."""

    scores: FloatArray
    seconds: FloatArray


def score_pairs(
    scorer: Scorer, a: EmbeddingSet, rows_a: IntArray, b: EmbeddingSet, rows_b: IntArray
) -> Scored:
    """Scores of row i of `rows_a` in `a` with row i of `rows_b` in `b`."""
    if not len(rows_a):
        return Scored(np.zeros(0), np.zeros(0))
    vectors = a.vectors if a is b else np.concatenate([a.vectors, b.vectors])
    offset = 0 if a is b else len(a)
    scores = scorer.trials(vectors, rows_a, rows_b + offset)
    lengths = np.asarray(a.seconds, np.float64)[rows_a], np.asarray(b.seconds, np.float64)[rows_b]
    return Scored(scores, np.minimum(*lengths))


@dataclass(frozen=True)
class Rule:
    """From scores to answers, as `singerid.judge` gives them.

    Attributes:
        own: threshold from the references, where there is no calibration.
    """

    calibration: Calibration | None
    prior: float
    false_alarm: float
    own: float | None

    @property
    def origin(self) -> str | None:
        """Where the threshold is from: ``calibration``, ``references``, or None."""
        if self.calibration:
            return "calibration"
        return None if self.own is None else "references"

    def llrs(self, pairs: Scored) -> FloatArray | None:
        """Natural-log likelihood ratios `(n,)`; None if uncalibrated."""
        if self.calibration is None:
            return None
        return self.calibration.llr(pairs.scores, pairs.seconds)

    def thresholds(self, seconds: FloatArray) -> FloatArray | None:
        """Of each pair; NaN where the false alarm rate was never measured."""
        if self.calibration is None:
            return None if self.own is None else np.full(len(seconds), self.own)
        found = np.empty(len(seconds))
        classes = np.searchsorted(self.calibration.edges, seconds, side="right")
        classes[seconds == 0] = -1
        for one in np.unique(classes):
            level = self.calibration.threshold(self.false_alarm, seconds[classes == one][0])
            if level is None:  # too few trials of this duration: that of all durations
                level = self.calibration.threshold(self.false_alarm)
            found[classes == one] = np.nan if level is None else level
        return found

    def level(self, seconds: FloatArray) -> float | None:
        """The median threshold."""
        levels = self.thresholds(seconds)
        if levels is None or np.isnan(levels).any():
            return None
        return float(np.median(levels))

    def accepted(self, pairs: Scored) -> BoolArray | None:
        """Whether each pair is accepted as one singer; None without a threshold."""
        levels = self.thresholds(pairs.seconds)
        if levels is None:
            return None
        accepted = pairs.scores >= levels
        if np.isnan(levels).any() and self.calibration:  # the likelier answer, then
            likely = self.calibration.llr(pairs.scores, pairs.seconds) >= 0
            accepted = np.where(np.isnan(levels), likely, accepted)
        return np.asarray(accepted, np.bool_)

    def probabilities(self, llrs: FloatArray | None) -> FloatArray | None:
        """Probabilities of one singer; None if uncalibrated."""
        return None if llrs is None else Calibration.probability(llrs, self.prior)


def choose_rule(
    calibration: Calibration | None, prior: float, false_alarm: float, same: FloatArray,
    different: FloatArray,
) -> Rule:  # fmt: skip
    """The calibration's rule; without one, a threshold from the real pairs, if they suffice."""
    own = None
    if calibration is None and len(same) and len(different) >= max(MIN_DIFFERENT, 1 / false_alarm):
        scores = np.concatenate([same, different])
        targets = np.arange(len(scores)) < len(same)
        own = metrics.miss_at_false_alarm(scores, targets, false_alarm)[1]
    return Rule(calibration, prior, false_alarm, own)


def group_of(
    pairs: Scored, rule: Rule, n_singers: int, over: npt.NDArray[np.generic] | None,
    n_bootstrap: int, rng: np.random.Generator,
) -> Group:  # fmt: skip
    """Figures of pairs, at least one.

    Args:
        pairs: their scores.
        rule: what scores mean.
        n_singers: singers in them.
        over: what each pair belongs to that is resampled, `(n,)`; None for no interval.
        n_bootstrap: resamples.
        rng: source of the draws.
    """
    bounds = None
    if over is not None and len(set(over.tolist())) > 1:
        _, number = np.unique(over, return_inverse=True)
        bounds = interval(bootstrap_mean(pairs.scores, number, n_bootstrap, rng))
    low, middle, high = np.quantile(pairs.scores, [0.05, 0.5, 0.95])
    llrs = rule.llrs(pairs)
    return Group(
        len(pairs.scores), n_singers, float(pairs.scores.mean()), bounds,
        (float(low), float(middle), float(high)), _mean(rule.accepted(pairs)), _mean(llrs),
        _mean(rule.probabilities(llrs)),
    )  # fmt: skip


def _mean(values: npt.NDArray[np.generic] | None) -> float | None:
    return None if values is None else float(np.mean(values))  # type: ignore[arg-type]
