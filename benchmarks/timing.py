"""Median times of competing candidates, interleaved in one process.

Machines are shared and clocks wander, so a time alone says little: candidates take turns
(A B A B …), each slow spell hits all of them, and what is reported is a ratio of medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def medians(
    candidates: Mapping[str, Callable[[], object]], *, rounds: int = 7, warmups: int = 1
) -> dict[str, float]:
    """Median wall time of each candidate over interleaved rounds.

    Args:
        candidates: what to call, by name; results are dropped.
        rounds: timed calls of each candidate, at least 1.
        warmups: untimed calls of each candidate before the first round (caches, threads).

    Returns:
        Seconds per call, by name, in the order given.

    Raises:
        ValueError: `rounds` is below 1 or `warmups` negative.
    """
    if rounds < 1 or warmups < 0:
        raise ValueError(f"rounds {rounds} must be at least 1 and warmups {warmups} at least 0")
    for _ in range(warmups):
        for call in candidates.values():
            call()
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def ratio_line(
    seconds: Mapping[str, float], ours: str = "ours", reference: str = "reference"
) -> str:
    """One line such as ``ours 1.23 ms, reference 50.1 ms: 40.7 x`` (above 1: ours is faster)."""
    ratio = seconds[reference] / seconds[ours]
    return (
        f"{ours} {duration(seconds[ours])}, {reference} {duration(seconds[reference])}: "
        f"{_three_digits(ratio)} x"
    )


def duration(seconds: float) -> str:
    if seconds >= 1.0:
        return f"{_three_digits(seconds)} s"
    if seconds >= 1e-3:
        return f"{_three_digits(seconds * 1e3)} ms"
    return f"{_three_digits(seconds * 1e6)} us"


def _three_digits(value: float) -> str:
    """At least three significant digits, never in exponent form: 0.0123, 1.23, 50.1, 4321."""
    return f"{value:.0f}" if value >= 1000.0 else f"{value:#.3g}".rstrip(".")
