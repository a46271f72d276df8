"""Write the metrics' golden file: small cases, and their figures by plain loops.

Nothing of the package is imported. Every figure is computed from its definition, threshold by
threshold, pair by pair, order by order, with exact fractions where it is one; only numpy's random
numbers, eigenvalues and scikit-learn's silhouette are taken from elsewhere.

Run: `python benchmarks/golden_metrics.py tests/data/golden_metrics.json`
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import silhouette_score

Numbers = Sequence[float]
COSTS = ((0.05, 1.0, 1.0), (0.01, 10.0, 1.0), (0.5, 1.0, 1.0))  # p_target, c_miss, c_false_alarm
RATES = (0.001, 0.01, 0.1)
N_RESAMPLES = 40


def golden() -> dict[str, Any]:
    """All cases with their figures."""
    return {
        "verification": {kind: verification(kind) for kind in ("fine", "coarse", "constant")},
        "identification": identification(),
        "geometry": geometry(),
    }


def verification(kind: str) -> dict[str, Any]:
    """Trials with their error rates, costs and bootstrap."""
    rng = np.random.default_rng(0)
    enroll, test = rng.integers(0, 12, (2, 240))
    test[:60] = enroll[:60]
    targets = [bool(a == b) for a, b in zip(enroll, test, strict=True)]
    decimals = {"fine": 3, "coarse": 0, "constant": -3}[kind]
    drawn = rng.normal(size=240) + 2 * np.array(targets) - 1 + rng.normal(size=12)[enroll]
    scores = [float(x) + 0.0 for x in np.round(drawn, decimals)]
    points = list(operating_points(scores, targets))
    rate, threshold = equal_error(points)
    return {
        "scores": scores, "targets": targets,
        "enroll": enroll.tolist(), "test": test.tolist(),
        "eer": [float(rate), threshold],
        "auc": float(area(scores, targets)),
        "min_dcf": [[*c, least_cost(points, *c)] for c in COSTS],
        "act_dcf": [[*c, actual_cost(scores, targets, *c)] for c in COSTS],
        "miss_at_false_alarm": [[r, *least_miss(points, r)] for r in RATES],
        "cllr": llr_cost(scores, targets),
        "min_cllr": least_llr_cost(scores, targets),
        "bootstrap": bootstrap(scores, targets, enroll.tolist(), test.tolist()),
    }  # fmt: skip


def operating_points(
    scores: Numbers, targets: Sequence[bool]
) -> Iterator[tuple[float, Fraction, Fraction]]:
    """Threshold, miss rate and false alarm rate, from accept all to reject all."""
    of_targets = [s for s, t in zip(scores, targets, strict=True) if t]
    of_others = [s for s, t in zip(scores, targets, strict=True) if not t]
    for threshold in [*sorted(set(scores)), math.inf]:
        misses = sum(s < threshold for s in of_targets)
        alarms = sum(s >= threshold for s in of_others)
        yield threshold, Fraction(misses, len(of_targets)), Fraction(alarms, len(of_others))


def equal_error(points: Sequence[tuple[float, Fraction, Fraction]]) -> tuple[Fraction, float]:
    """Where straight lines between the points meet miss = false alarm; and the threshold."""
    for (t0, m0, f0), (t1, m1, f1) in itertools.pairwise(points):
        if m1 == f1:
            return m1, (t0 + t1) / 2
        if m0 < f0 and m1 > f1:
            share = (f0 - m0) / ((m1 - m0) + (f0 - f1))
            return m0 + share * (m1 - m0), t0
    raise AssertionError("the curve runs from miss 0 to miss 1")


def area(scores: Numbers, targets: Sequence[bool]) -> Fraction:
    """Share of pairs of a target and a nontarget in the right order, ties being half."""
    wins, n_pairs = Fraction(0), 0
    for (s, is_target), (other, is_other) in itertools.product(
        list(zip(scores, targets, strict=True)), repeat=2
    ):
        if is_target and not is_other:
            wins += Fraction((s > other) * 2 + (s == other), 2)
            n_pairs += 1
    return wins / n_pairs


def least_cost(
    points: Sequence[tuple[float, Fraction, Fraction]], p: float, c_miss: float, c_alarm: float
) -> float:
    """Least normalized detection cost."""
    trivial = min(p * c_miss, (1 - p) * c_alarm)
    return min(p * c_miss * m + (1 - p) * c_alarm * f for _, m, f in points) / trivial


def actual_cost(
    llrs: Numbers, targets: Sequence[bool], p: float, c_miss: float, c_alarm: float
) -> float:
    """Normalized cost of accepting wherever that is expected to cost less."""
    costs = {True: 0.0, False: 0.0}
    for llr, target in zip(llrs, targets, strict=True):
        odds = math.exp(llr) * p / (1 - p)
        accept = odds * c_miss >= c_alarm
        costs[target] += accept != target
    miss, alarm = costs[True] / sum(targets), costs[False] / (len(targets) - sum(targets))
    return (p * c_miss * miss + (1 - p) * c_alarm * alarm) / min(p * c_miss, (1 - p) * c_alarm)


def least_miss(
    points: Sequence[tuple[float, Fraction, Fraction]], rate: float
) -> tuple[float, float | None]:
    """Least miss rate at no more false alarms, and its threshold (None: infinity)."""
    threshold, miss, _ = next(point for point in points if point[2] <= rate)
    return float(miss), threshold if threshold < math.inf else None


def llr_cost(llrs: Numbers, targets: Sequence[bool]) -> float:
    """Log-likelihood-ratio cost in bits."""
    sums, numbers = {True: 0.0, False: 0.0}, {True: 0, False: 0}
    for llr, target in zip(llrs, targets, strict=True):
        sums[target] += math.log2(1 + math.exp(-llr if target else llr))
        numbers[target] += 1
    return (sums[True] / numbers[True] + sums[False] / numbers[False]) / 2


def least_llr_cost(scores: Numbers, targets: Sequence[bool]) -> float:
    """That of the likelihood ratios of pools, which are merged until their shares rise."""
    pools: list[tuple[int, int]] = []
    for score in sorted(set(scores)):
        tied = [t for s, t in zip(scores, targets, strict=True) if s == score]
        pools.append((sum(tied), len(tied) - sum(tied)))
        while len(pools) > 1 and pools[-2][0] * sum(pools[-1]) >= pools[-1][0] * sum(pools[-2]):
            last, before = pools.pop(), pools.pop()
            pools.append((last[0] + before[0], last[1] + before[1]))
    n_targets, n_others = (sum(column) for column in zip(*pools, strict=True))
    total = 0.0
    for a, b in pools:
        if a and b:
            ratio = (a / n_targets) / (b / n_others)
            total += a / n_targets * math.log2(1 + 1 / ratio) + b / n_others * math.log2(1 + ratio)
    return total / 2


def bootstrap(
    scores: Numbers, targets: Sequence[bool], enroll: Sequence[int], test: Sequence[int]
) -> dict[str, Any]:
    """Draws of singers, and the rates of the trials written out as often as they were drawn."""
    rng = np.random.default_rng(7)
    n_singers = len(set(enroll) | set(test))
    eers, costs = [], []
    for _ in range(N_RESAMPLES):
        drawn = rng.integers(n_singers, size=n_singers).tolist()
        trials = [
            (s, t)
            for s, t, a, b in zip(scores, targets, enroll, test, strict=True)
            for _ in range(drawn.count(a) * (1 if t else drawn.count(b)))
        ]
        points = list(operating_points([s for s, _ in trials], [t for _, t in trials]))
        eers.append(float(equal_error(points)[0]))
        costs.append(least_cost(points, *COSTS[0]))
    return {"seed": 7, "eer": eers, "min_dcf": costs}


def identification() -> dict[str, Any]:
    """Queries against candidates, with ties, some of nobody enrolled."""
    rng = np.random.default_rng(1)
    singers = [int(s) for s in rng.integers(0, 6, 30)]
    drawn = np.round(rng.normal(size=(30, 6)), 1)
    drawn[np.arange(30), singers] += 1
    scores = [[round(float(x), 1) for x in row] for row in drawn]
    strangers = [s if i % 3 else -1 for i, s in enumerate(singers)]
    relevant = [[bool(x) for x in row] for row in rng.random((30, 6)) < 0.4]
    queries = list(zip(scores, singers, strict=True))
    return {
        "scores": scores, "singers": singers, "strangers": strangers, "relevant": relevant,
        "top_k": [[k, mean(over_orders(q, k) for q in queries)] for k in (1, 2, 5)],
        "mean_normalized_rank": mean(over_orders(q, None) for q in queries),
        "mean_average_precision": mean(
            average_precision(row, r) for row, r in zip(scores, relevant, strict=True) if any(r)
        ),
        "open_set": [[rate, *open_set(scores, strangers, rate)] for rate in (0.0, 0.1, 0.5)],
    }  # fmt: skip


def sorted_orders(scores: Numbers) -> list[tuple[int, ...]]:
    """Every order of the candidates that is sorted by score."""
    orders = itertools.permutations(range(len(scores)))
    return [o for o in orders if all(scores[a] >= scores[b] for a, b in itertools.pairwise(o))]


def over_orders(query: tuple[Numbers, int], k: int | None) -> float:
    """Mean over the orders of: is the right one among the k first, or its normalized rank."""
    scores, right = query
    places = [order.index(right) for order in sorted_orders(scores)]
    return mean(place < k if k else place / len(scores) for place in places)


def average_precision(scores: Numbers, relevant: Sequence[bool]) -> float:
    """Mean over the orders of the mean precision at each relevant candidate."""
    values = []
    for order in sorted_orders(scores):
        hits = [i for i, candidate in enumerate(order) if relevant[candidate]]
        values.append(mean((n + 1) / (i + 1) for n, i in enumerate(hits)))
    return mean(values)


def open_set(
    scores: Sequence[Numbers], singers: Sequence[int], rate: float
) -> tuple[float, float | None]:
    """Detection and identification rate at no more false alarms, and its threshold."""
    strangers = [max(row) for row, s in zip(scores, singers, strict=True) if s < 0]
    for threshold in [*sorted({max(row) for row in scores}), math.inf]:
        if sum(best >= threshold for best in strangers) <= rate * len(strangers):
            break
    found = [
        over_orders((row, s), 1) if max(row) >= threshold else 0.0
        for row, s in zip(scores, singers, strict=True)
        if s >= 0
    ]
    return mean(found), threshold if threshold < math.inf else None


def geometry() -> dict[str, Any]:
    """Unit vectors of a few singers, one dimension dead, with what describes them."""
    rng = np.random.default_rng(2)
    singers = [int(s) for s in rng.integers(0, 5, 40)]
    drawn = rng.normal(size=(5, 8))[singers] + 0.7 * rng.normal(size=(40, 8))
    drawn[:, 3] = 0
    unit = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    pairs = [(i, j) for i in range(40) for j in range(40) if i != j]
    squared = {(i, j): float(np.sum((unit[i] - unit[j]) ** 2)) for i, j in pairs}
    shares = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(unit.T, bias=True)), 0))
    shares = shares[shares > 1e-9] / shares.sum()
    occurrences = [0] * 40
    for i in range(40):
        others = sorted((j for j in range(40) if j != i), key=lambda j: squared[i, j])
        for j in others[:10]:
            occurrences[j] += 1
    spread = math.sqrt(mean((x - 10) ** 2 for x in occurrences))
    return {
        "vectors": unit.tolist(), "singers": singers,
        "alignment": mean(squared[i, j] for i, j in pairs if singers[i] == singers[j]),
        "uniformity": math.log(mean(math.exp(-2 * squared[pair]) for pair in pairs)),
        "effective_rank": math.exp(-sum(s * math.log(s) for s in shares.tolist())),
        "hubness": mean(((x - 10) / spread) ** 3 for x in occurrences),
        "dead_dimensions": 1,
        "silhouette": float(silhouette_score(unit, singers, metric="cosine")),
    }  # fmt: skip


def mean(values: Any) -> float:
    """Mean of numbers."""
    numbers = list(values)
    return float(sum(numbers)) / len(numbers)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(golden(), allow_nan=False) + "\n")
