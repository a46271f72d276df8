"""Error rates of trials in which every singer counts as often as a resample drew it.

How it is fast, and exact all the same. A trial's weight is a product of two small counts, so that
the weight of the trials between two scores, in one resample, is a quadratic form of its counts.
Trials are sorted once; a sparse matrix of a stretch of them gives its weight in all resamples at
once. Such sums at a few cuts tell in which stretch the wanted threshold can lie; only that is cut
again. Sums of integers are exact in float64 (below 2^53): the order of adding changes nothing.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from singerid.metrics import BoolArray, FloatArray, IntArray, tie_groups

SmallInts = npt.NDArray[np.int32]
_PARTS = 16  # stretches that one is cut into
_SHORT = 512  # trials of a stretch that is looked at trial by trial
_COLUMNS = 128  # resamples at a time: their counts fit into the cache


@dataclass(frozen=True)
class Stretches:
    """A stretch of trials that is cut into parts, and what they weigh.

    Attributes:
        cuts: `(k,)`, ascending.
        columns: `(r,)`, the resamples concerned.
        below: `(k, 2, r)`, weights of targets and of nontargets below each cut.
    """

    cuts: IntArray
    columns: IntArray
    below: FloatArray

    def inner(self, part: int, mine: BoolArray) -> tuple[int, int, IntArray, FloatArray]:
        """What `Search.divide` needs to cut one part again, for some of the resamples."""
        low, high = self.cuts[part : part + 2]
        return int(low), int(high), self.columns[mine], self.below[part][:, mine]

    def is_single(self, part: int) -> bool:
        """Whether a part is one tie, which no threshold divides."""
        return bool(self.cuts[part + 1] - self.cuts[part] == 1)


@dataclass(frozen=True)
class Search:
    """Trials in ascending order of score, and how often each singer is drawn.

    A *cut* is a number of distinct scores: those below it are rejected. For targets the tested
    singer is replaced by an extra one, in the last row of `counts`, that always counts once.

    Attributes:
        enroll: `(n,)`, number of each trial's enrolled singer.
        test: `(n,)`, number of the tested singer.
        targets: bool `(n,)`.
        ends: `(m,)`, number of trials up to each distinct score and with it.
        counts: `(n_singers + 1, n_resamples)`.
    """

    enroll: SmallInts
    test: SmallInts
    targets: BoolArray
    ends: IntArray
    counts: SmallInts

    def first(self, cut: int) -> int:
        """Number of trials below a cut."""
        return int(self.ends[cut - 1]) if cut else 0

    def cuts(self, low: int, high: int) -> IntArray:
        """Cuts that divide a stretch, both ends included, ascending.

        They stand on both sides of the trials at equal distances, so that a large tie becomes a
        stretch of its own, and every other stretch is shorter than 1 / `_PARTS` of the whole.
        """
        start, length = self.first(low), self.first(high) - self.first(low)
        if length <= _SHORT:
            return np.arange(low, high + 1)
        at = start + length * np.arange(1, _PARTS) // _PARTS
        below = np.searchsorted(self.ends, at, side="right")
        return np.unique(np.concatenate([[low, high], below, below + 1]))

    def divide(self, low: int, high: int, columns: IntArray, start: FloatArray) -> Stretches:
        """Cut a stretch and weigh its parts.

        Args:
            low: cut where it starts.
            high: cut where it ends.
            columns: `(r,)`, the resamples to do it for.
            start: `(2, r)`, weights of targets and nontargets below `low`.
        """
        cuts = self.cuts(low, high)
        first, last = self.first(low), self.first(high)
        if last - first <= _SHORT:
            sums = self._short_sums(slice(first, last), self.ends[low:high] - 1 - first, columns)
        else:
            sums = self._sums([self.first(cut) for cut in cuts], columns)
        return Stretches(cuts, columns, np.concatenate([start[None], start + sums]))

    def _short_sums(self, trials: slice, ends: IntArray, columns: IntArray) -> FloatArray:
        """Weights of both classes up to each of the trials `ends`, `(k, 2, r)`."""
        weights = self.counts[np.ix_(self.enroll[trials], columns)].astype(np.float64)
        weights *= self.counts[np.ix_(self.test[trials], columns)]
        both = np.stack([weights, weights], axis=1)
        both[self.targets[trials], 1] = 0
        both[~self.targets[trials], 0] = 0
        sums: FloatArray = np.cumsum(both, axis=0)[ends]
        return sums

    def _sums(self, edges: list[int], columns: IntArray) -> FloatArray:
        """Weights of both classes from the first edge to each after it, `(k, 2, r)`."""
        n_singers, stretch = len(self.counts), slice(edges[0], edges[-1])
        singers, numbers = _compact(
            np.concatenate([self.enroll[stretch], self.test[stretch]]), n_singers
        )
        enroll, test = np.split(numbers, 2)
        forms = []
        for start, end in itertools.pairwise(edges):
            part = slice(start - edges[0], end - edges[0])
            for own in (self.targets[start:end], ~self.targets[start:end]):
                forms.append(_quadratic_form(enroll[part][own], test[part][own], len(singers)))
        weights = np.empty((len(forms), len(columns)))
        for i in range(0, len(columns), _COLUMNS):
            some = slice(i, i + _COLUMNS)
            counts = self.counts[np.ix_(singers, columns[some])].astype(np.float64)
            for row, (rows, n_trials) in zip(weights, forms, strict=True):
                row[some] = np.einsum("sr,sr->r", n_trials @ counts, counts[rows])
        sums: FloatArray = np.cumsum(weights.reshape(-1, 2, len(columns)), axis=0)
        return sums


def _quadratic_form(
    enroll: SmallInts, test: SmallInts, n_singers: int
) -> tuple[IntArray, sparse.csr_array]:
    """Singers enrolled in some trials, and how many trials each has with each tested singer."""
    rows, row = _compact(enroll, n_singers)
    ones = np.ones(len(row))  # added up where a pair of singers has several trials
    return rows, sparse.csr_array((ones, (row, test)), shape=(len(rows), n_singers))


def _compact(numbers: SmallInts, n: int) -> tuple[IntArray, SmallInts]:
    """Which of the numbers below n there are, and the place of each among them."""
    present = np.zeros(n, np.bool_)
    present[numbers] = True
    return np.flatnonzero(present), (np.cumsum(present, dtype=np.int32) - 1)[numbers]


def draw(n_singers: int, n_resamples: int, rng: np.random.Generator) -> SmallInts:
    """How often each singer is drawn, `(n_singers + 1, n_resamples)`; in the last row, ones."""
    counts = np.ones((n_resamples, n_singers + 1), np.int32)
    for row in counts:
        row[:-1] = np.bincount(rng.integers(n_singers, size=n_singers), minlength=n_singers)
    return np.ascontiguousarray(counts.T)


def arrange(
    scores: FloatArray, targets: BoolArray, enroll: SmallInts, test: SmallInts, counts: SmallInts
) -> Search:
    """Trials in ascending order of score, ready for `Search`.

    Args:
        scores: `(n,)`.
        targets: bool `(n,)`.
        enroll: `(n,)`, number of the enrolled singer.
        test: `(n,)`, number of the tested singer; for targets that of the extra one.
        counts: `(n_singers + 1, n_resamples)` from `draw`.
    """
    order, ends = tie_groups(scores)
    return Search(enroll[order], test[order], targets[order], ends + 1, counts)


def root(search: Search) -> Stretches:
    """All trials in parts, for the resamples that have targets and nontargets."""
    columns = np.arange(search.counts.shape[1])
    whole = search.divide(0, len(search.ends), columns, np.zeros((2, len(columns))))
    usable = (whole.below[-1] > 0).all(axis=0)
    return Stretches(whole.cuts, columns[usable], whole.below[:, :, usable])


def equal_error_rates(search: Search, whole: Stretches) -> FloatArray:
    """Equal error rate of each resample; NaN for those not in `whole`, which comes from `root`."""
    n_resamples = search.counts.shape[1]
    totals = np.full((2, n_resamples), np.nan)
    totals[:, whole.columns] = whole.below[-1]
    rates = np.full(n_resamples, np.nan)
    pending = [whole]
    while pending:
        stretches = pending.pop()
        n_targets, n_nontargets = totals[:, stretches.columns]
        misses, rejected = stretches.below[:, 0], stretches.below[:, 1]
        # Of the sign of miss - false alarm, in integers; it never falls from cut to cut.
        excess = misses * n_nontargets - (n_nontargets - rejected) * n_targets
        right = np.argmax(excess >= 0, axis=0)
        for end in np.unique(right):
            mine = right == end
            if stretches.is_single(end - 1):
                a, b = excess[end - 1 : end + 1, mine]
                m, n = misses[end - 1 : end + 1, mine]
                rates[stretches.columns[mine]] = (m + a / (a - b) * (n - m)) / n_targets[mine]
            else:
                pending.append(search.divide(*stretches.inner(end - 1, mine)))
    return rates


def minimum_costs(
    search: Search, whole: Stretches, of_misses: float, of_alarms: float
) -> FloatArray:
    """Least detection cost of each resample; NaN for those not in `whole`, from `root`.

    Branch and bound: within a stretch no cost is below that of its first miss rate with its last
    false alarm rate. Stretches whose bound is not below the best cost so far are left alone.
    """
    n_resamples = search.counts.shape[1]
    totals = np.full((2, n_resamples), np.nan)
    totals[:, whole.columns] = whole.below[-1]
    best = np.full(n_resamples, np.nan)
    best[whole.columns] = min(of_misses, of_alarms)  # to accept, or to reject, all
    pending = [whole]
    while pending:
        level = []
        for stretches in pending:
            misses, alarms = _costs(stretches, totals, of_misses, of_alarms)
            best[stretches.columns] = np.minimum(best[stretches.columns], (misses + alarms).min(0))
        for stretches in pending:
            misses, alarms = _costs(stretches, totals, of_misses, of_alarms)
            hopeful = misses[:-1] + alarms[1:] < best[stretches.columns]
            for part in map(int, np.flatnonzero(hopeful.any(axis=1))):
                if not stretches.is_single(part):
                    level.append(search.divide(*stretches.inner(part, hopeful[part])))
        pending = level
    return best


def _costs(
    stretches: Stretches, totals: FloatArray, of_misses: float, of_alarms: float
) -> tuple[FloatArray, FloatArray]:
    """What misses and false alarms cost at each cut, `(k, r)` each."""
    n_targets, n_nontargets = totals[:, stretches.columns]
    misses, rejected = stretches.below[:, 0], stretches.below[:, 1]
    return of_misses * (misses / n_targets), of_alarms * ((n_nontargets - rejected) / n_nontargets)
