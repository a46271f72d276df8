"""How wrong a segmentation is: the diarization error rate.

NIST's definition (The 2009 RT-09 rich transcription meeting recognition evaluation plan, section
6.5): missed, falsely claimed and confused time over the time that is sung, where names that the
segmentation made up itself are matched with the true ones so that most time agrees. Nobody is
judged within a collar around true boundaries. Measured in frames of 10 ms; time in which several
sing counts once for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Turn = tuple[float, float, str]
"""Start and end in seconds, and who sings."""

_FRAME_SECONDS = 0.01
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SegmentErrors:
    """Seconds of singing, and of each error.

    Attributes:
        total: that are sung in truth, each singer counted.
        missed: sung, but nobody is named.
        false_alarm: somebody is named, but nobody sings.
        confused: the wrong one is named.
    """

    total: float
    missed: float
    false_alarm: float
    confused: float

    @property
    def rate(self) -> float:
        """Diarization error rate; may exceed 1. NaN if nobody sings."""
        errors = self.missed + self.false_alarm + self.confused
        return errors / self.total if self.total else float("nan")

    def __add__(self, other: SegmentErrors) -> SegmentErrors:
        return SegmentErrors(
            self.total + other.total, self.missed + other.missed,
            self.false_alarm + other.false_alarm, self.confused + other.confused,
        )  # fmt: skip


def segment_errors(
    truth: Sequence[Turn], found: Sequence[Turn], collar: float = 0.25, match: bool = True
) -> SegmentErrors:
    """Compare segments with the truth.

    Args:
        truth: who sings when.
        found: the same by an algorithm.
        collar: seconds before and after each true boundary that are not judged.
        match: names in `found` are its own, and are matched; otherwise they must be right.
    """
    end = max((turn[1] for turn in (*truth, *found)), default=0.0)
    n_frames = round(end / _FRAME_SECONDS)
    true, true_names = _activity(truth, n_frames)
    named, found_names = _activity(found, n_frames)
    judged = _judged(truth, collar, n_frames)
    true, named = true & judged, named & judged
    together = true.astype(np.int64) @ named.T.astype(np.int64)
    if match:
        pairs = _assignment(together)
    else:
        pairs = [
            (i, found_names.index(name))
            for i, name in enumerate(true_names) if name in found_names
        ]  # fmt: skip
    correct = sum((true[i] & named[j]).astype(np.int64) for i, j in pairs)
    n_true, n_named = true.sum(axis=0), named.sum(axis=0)
    counts = (
        n_true, np.maximum(0, n_true - n_named), np.maximum(0, n_named - n_true),
        np.minimum(n_true, n_named) - correct,
    )  # fmt: skip
    return SegmentErrors(*(float(np.sum(count)) * _FRAME_SECONDS for count in counts))


def _activity(turns: Sequence[Turn], n_frames: int) -> tuple[BoolArray, list[str]]:
    """`(n_singers, n_frames)`, and their names."""
    names = sorted({name for _, _, name in turns})
    active = np.zeros((len(names), n_frames), np.bool_)
    for start, end, name in turns:
        active[names.index(name), _frame(start) : _frame(end)] = True
    return active, names


def _judged(truth: Sequence[Turn], collar: float, n_frames: int) -> BoolArray:
    judged = np.ones(n_frames, np.bool_)
    for edge in {edge for start, end, _ in truth for edge in (start, end)}:
        if collar > 0:
            judged[_frame(edge - collar) : _frame(edge + collar)] = False
    return judged


def _assignment(together: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Pairs of rows and columns, each at most once, with the largest sum."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(together, maximize=True)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _frame(seconds: float) -> int:
    return max(0, round(seconds / _FRAME_SECONDS))
