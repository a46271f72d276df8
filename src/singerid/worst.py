"""The trials that an encoder gets most wrong, to be listened to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from singerid.slices import UNKNOWN, Columns, singer_sides, trial_rows
from singerid.trials import TrialList

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
_NOT_TOLD = ("singer", "split", "path", "sha256")
_FIRST_LOOK = 1 << 16  # of millions of trials, those that are sorted at first


@dataclass(frozen=True)
class WorstTrial:
    """A trial far on the wrong side.

    Attributes:
        enroll: name of the enrolled recording or model.
        test: id of the tested recording.
        enroll_recording: id of the enrolled recording; of a model, its first.
        enroll_singer: its singer.
        test_singer: singer of the tested recording.
        target: True for a miss, False for a false alarm.
        score: higher = more alike.
        labels: what is known of the two sides by label, "" where unknown.
    """

    enroll: str
    test: str
    enroll_recording: str
    enroll_singer: str
    test_singer: str
    target: bool
    score: float
    labels: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def worst_trials(
    trials: TrialList,
    scores: npt.NDArray[np.floating],
    columns: Columns,
    *,
    mask: BoolArray | None = None,
    k: int = 10,
    per_pair: int = 2,
) -> list[WorstTrial]:
    """The `k` highest nontargets, then the `k` lowest targets, of many singers.

    Args:
        trials: `n` trials.
        scores: `(n,)`.
        columns: needs "singer"; the others are told of each trial.
        mask: bool `(n,)`, the trials that count; None for all.
        k: number of trials of each class.
        per_pair: how often a pair of singers, or a recording, may appear in each class: one bad
            recording would else fill the list.

    Raises:
        SingeridError: scores, mask or column do not fit the trials.
    """
    names, enroll, test = singer_sides(trials, scores, columns, mask)
    rows = trial_rows(trials, mask)
    pair = np.minimum(enroll, test) * len(names) + np.maximum(enroll, test)
    found = []
    for of_class, badness in ((False, np.asarray(scores)), (True, -np.asarray(scores))):
        some = rows[trials.targets[rows] == of_class]
        chosen: list[int] = []
        for size in (min(_FIRST_LOOK, len(some)), len(some)):  # rarely needs more than some
            if len(chosen) < min(k, size):
                worst = _top_of_groups(_highest(some, badness, size), pair, badness, per_pair)
                chosen = _without_repeats(trials, worst, k, per_pair)
        found += chosen
    return [_worst_trial(trials, i, float(scores[i]), columns) for i in found]


def _highest(rows: IntArray, badness: FloatArray, size: int) -> IntArray:
    """The `size` rows of highest badness, and those that tie with the last of them."""
    if size == len(rows):
        return rows
    values = badness[rows]
    return np.asarray(rows[values >= np.partition(values, -size)[-size]])


def _top_of_groups(rows: IntArray, group: IntArray, badness: FloatArray, limit: int) -> IntArray:
    """Rows by falling badness, at most the `limit` first of each group."""
    order = rows[np.lexsort((-badness[rows], group[rows]))]
    top = order[_rank_in_group(group[order]) < limit]
    return np.asarray(top[np.lexsort((top, -badness[top]))])


def _rank_in_group(keys: IntArray) -> IntArray:
    """Position of each row within its run of equal keys."""
    position = np.arange(len(keys))
    new = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
    return position - np.maximum.accumulate(np.where(new, position, 0))


def _without_repeats(trials: TrialList, order: IntArray, k: int, limit: int) -> list[int]:
    """The first `k` trials of an order in which no recording appears more than `limit` times."""
    times: Counter[tuple[str, int]] = Counter()
    found: list[int] = []
    for i in order.tolist():
        if len(found) == k:
            break
        kind = "model" if trials.models else "recording"
        sides = ((kind, int(trials.enroll[i])), ("recording", int(trials.test[i])))
        if all(times[side] < limit for side in sides):
            times.update(sides)
            found.append(i)
    return found


def _worst_trial(trials: TrialList, i: int, score: float, columns: Columns) -> WorstTrial:
    """Trial `i` with all that is known of it."""
    enroll, test = int(trials.enroll[i]), int(trials.test[i])
    first = int(trials.enroll_rows(i)[0])
    labels = {
        label: (str(column[first]), str(column[test]))
        for label, column in columns.items()
        if label not in _NOT_TOLD and {column[first], column[test]} - set(UNKNOWN)
    }
    singers = columns["singer"]
    return WorstTrial(
        trials.enroll_names[enroll], trials.ids[test], trials.ids[first],
        singers[first], singers[test], bool(trials.targets[i]), score, labels,
    )  # fmt: skip
