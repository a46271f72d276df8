"""Time of 1,000 bootstrap resamples over a million trials, and the ratio to a plain loop.

`naive` is what one writes first: for every draw of singers, trials written out as often as they
were drawn, sorted and scored. `loop` sorts once and sums weights along the curve for every draw.
Both give the same rates as the package, which is checked; they are timed over a few draws.

Run: `OMP_NUM_THREADS=1 python benchmarks/bootstrap.py [n_trials] [n_singers …]`
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from singerid.metrics import eer, tie_groups
from singerid.metrics.bootstrap import bootstrap_eer, bootstrap_rates

Trials = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]
N_RESAMPLES = 1000
N_LOOPED = 5  # draws that the loops are timed over


def make_trials(n: int, n_singers: int, seed: int = 0) -> Trials:
    """Trials of singers who are more or less easy, 5 % of them targets, scores of six decimals."""
    rng = np.random.default_rng(seed)
    enroll, test = rng.integers(0, n_singers, (2, n))
    own = rng.random(n) < 0.05
    test[own] = enroll[own]
    targets = enroll == test
    scores = rng.normal(size=n) + 2 * targets + 0.3 * rng.normal(size=n_singers)[enroll]
    return np.round(scores / 5, 6), targets, enroll, test


def naive(trials: Trials, n_resamples: int, rng: np.random.Generator) -> list[float]:
    """Trials written out as often as they were drawn, sorted and scored anew."""
    scores, targets, enroll, test = trials
    rates = []
    for counts in draws(trials, n_resamples, rng):
        times = np.where(targets, counts[enroll], counts[enroll] * counts[test])
        rates.append(eer(np.repeat(scores, times), np.repeat(targets, times))[0])
    return rates


def loop(trials: Trials, n_resamples: int, rng: np.random.Generator) -> list[float]:
    """Trials sorted once, weights summed along the whole curve for every draw."""
    order, ends = tie_groups(trials[0])
    _, targets, enroll, test = (column[order] for column in trials)
    rates = []
    for counts in draws(trials, n_resamples, rng):
        weights = np.where(targets, counts[enroll], counts[enroll] * counts[test])
        misses = np.append(0, np.cumsum(weights * targets)[ends])
        rejected = np.append(0, np.cumsum(weights * ~targets)[ends])
        misses, excess = misses / misses[-1], misses / misses[-1] + rejected / rejected[-1] - 1
        right = int(np.argmax(excess >= 0))
        (m, n), (a, b) = misses[right - 1 : right + 1], excess[right - 1 : right + 1]
        rates.append(float(m + a / (a - b) * (n - m)))
    return rates


def draws(
    trials: Trials, n_resamples: int, rng: np.random.Generator
) -> Iterator[npt.NDArray[np.int64]]:
    """How often each singer is drawn, time after time."""
    n_singers = int(trials[2].max()) + 1
    for _ in range(n_resamples):
        yield np.bincount(rng.integers(n_singers, size=n_singers), minlength=n_singers)


def main(n_trials: int, n_singers: int) -> None:
    """Print times and ratios for one number of singers."""
    trials = make_trials(n_trials, n_singers)
    candidates: dict[str, tuple[Callable[[int, np.random.Generator], Any], int]] = {
        "ours": (lambda times, rng: bootstrap_eer(*trials, times, rng), N_RESAMPLES),
        "ours, with minDCF": (lambda times, rng: bootstrap_rates(*trials, times, rng), N_RESAMPLES),
        "loop": (lambda times, rng: loop(trials, times, rng), N_LOOPED),
        "naive": (lambda times, rng: naive(trials, times, rng), N_LOOPED),
    }
    seconds, results = {}, {}
    for name, (function, times) in candidates.items():
        start = time.perf_counter()
        results[name] = function(times, np.random.default_rng(0))
        seconds[name] = (time.perf_counter() - start) * N_RESAMPLES / times
    for name in ("loop", "naive"):
        assert np.allclose(results["ours"][:N_LOOPED], results[name], atol=1e-12), name
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{n_trials:,} trials of {n_singers:,} singers, {N_RESAMPLES:,} resamples")
    for name, value in seconds.items():
        ratio = "" if name == "ours" else f"  {value / seconds['ours']:6.1f} × ours"
        extrapolated = "" if name.startswith("ours") else f"  (from {N_LOOPED})"
        print(f"  {name:<18} {value:8.1f} s{ratio}{extrapolated}")
    print(f"  peak memory so far {peak:.2f} GiB")


if __name__ == "__main__":
    n = int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000
    for number in map(int, sys.argv[2:] or (50, 500, 5000)):
        main(n, number)
