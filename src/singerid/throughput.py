"""Where the time goes: seconds by part of the work, and items per second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopwatch:
    """Divides the time that passes among named parts; exactly one runs at any moment.

    The parts of a training: ``data`` (waiting for a batch), ``step`` (forward, backward,
    optimizer), ``validation``, ``saving``. A GPU works behind the program's back: its time counts
    where the program waits for it, which a look at a loss makes happen within the step.
    """

    def __init__(self, part: str, clock: Callable[[], float] = time.perf_counter) -> None:
        """Start.

        Args:
            part: what the time goes to at first.
            clock: seconds from any zero.
        """
        self._clock, self._part, self._since = clock, part, clock()
        self._seconds: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def switch(self, part: str) -> str:
        """From now on the time goes to `part`; returns what it went to until now."""
        now, before = self._clock(), self._part
        self._seconds[before] = self._seconds.get(before, 0.0) + now - self._since
        self._part, self._since = part, now
        return before

    @contextmanager
    def within(self, part: str) -> Iterator[None]:
        """The time of a ``with`` block goes to `part`, then again to what was before."""
        before = self.switch(part)
        try:
            yield
        finally:
            self.switch(before)

    def count(self, what: str, n: int) -> None:
        """Count items that were worked on."""
        self._counts[what] = self._counts.get(what, 0) + n

    def take(self) -> tuple[dict[str, float], dict[str, float]]:
        """Seconds by part, and items per second of all that time; then both start from zero."""
        self.switch(self._part)
        seconds, counts = self._seconds, self._counts
        self._seconds, self._counts = {}, {}
        total = sum(seconds.values())
        return seconds, {what: n / total for what, n in counts.items() if total > 0}


def time_shares(seconds: dict[str, float]) -> dict[str, float]:
    """Share of each part in the whole, by ``share_<part>``, 0 to 1; nothing for no time."""
    total = sum(seconds.values())
    return {f"share_{part}": s / total for part, s in seconds.items()} if total > 0 else {}
