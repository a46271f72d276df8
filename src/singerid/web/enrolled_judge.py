"""The judge of questions about enrolled singers: its calibration fits them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from singerid.judge import Judge
from singerid.registry.dedupe import threshold

if TYPE_CHECKING:
    from singerid.registry import Registry


class EnrolledJudge:
    """`Judge.adapted_to` the registry, made again only after the registry has changed.

    Its methods read the registry: they are called in threads.
    """

    def __init__(self, judge: Judge, registry: Registry) -> None:
        self._judge, self._registry = judge, registry
        self._lock = threading.Lock()
        self._kept: tuple[int, Judge] | None = None

    def get(self) -> Judge:
        """The judge for the registry as it is now."""
        with self._lock:
            version = self._registry.version
            if self._kept is None or self._kept[0] != version:
                self._kept = (version, self._judge.adapted_to(*self._registry.sample()))
            return self._kept[1]

    def near(self) -> float | None:
        """Score from which on two enrolled singers may be one person; None: not known."""
        calibration = self._judge.calibration
        return threshold(calibration, len(self._registry) + 1) if calibration else None
