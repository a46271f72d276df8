"""Slices of trials: which of them to look at by themselves, by what is known of the recordings.

`columns` holds one text per recording and label; "" and "?" are unknown. A model of several
recordings has a value of a label only if all of its recordings have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError
from singerid.trials import TrialList
from singerid.trials.labels import semitones

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Columns = Mapping[str, Sequence[str]]
UNKNOWN = ("", "?")
LABELS = ("gender", "f0", "technique", "language", "kind", "session", "corpus")
F0_GAPS = (0.0, 3.0, 7.0, np.inf)  # semitones; beyond 7, a fifth, ranges hardly overlap


def slice_masks(
    trials: TrialList,
    columns: Columns,
    *,
    within: BoolArray | None = None,
    labels: Sequence[str] = LABELS,
    max_values: int = 12,
) -> dict[str, BoolArray]:
    """Parts of the trials, by what is known of their recordings.

    - "technique belt": both sides have this value; likewise for each of the commonest values.
    - "same technique", "different technique": targets whose two sides have one value, or two,
      against *all* nontargets, so that the two differ in their targets only.
    - "F0 gap 0-3 semitones" …: both classes, by the distance of median F0.

    Slices without targets or without nontargets, or with all of the trials, are left out.

    Args:
        trials: `n` trials.
        columns: texts by label; "f0" is the median F0 in Hz.
        within: bool `(n,)`, the trials to look at (those of same-gender nontargets, say, for a
            gap in F0 is otherwise mostly a gap of gender); None for all.
        labels: which labels to look at; those without a column are passed over.
        max_values: number of values of a label that become slices.

    Returns:
        bool `(n,)` by name.
    """
    base = np.ones(len(trials), np.bool_) if within is None else np.asarray(within, np.bool_)
    found: dict[str, BoolArray] = {}
    for label in labels:
        if label not in columns:
            continue
        if label == "f0":
            parts = _f0_slices(trials, columns[label])
        else:
            parts = _label_slices(trials, label, columns[label], max_values)
        for name, mask in parts.items():
            mask &= base
            n, n_targets = np.count_nonzero(mask), np.count_nonzero(mask & trials.targets)
            if 0 < n_targets < n < np.count_nonzero(base):
                found[name] = mask
    return found


def f0_gap(trials: TrialList, f0: Sequence[str]) -> FloatArray:
    """Distance of median F0 in semitones, `(n_trials,)`; NaN where one is unknown.

    Args:
        trials: `n` trials.
        f0: median F0 of each recording in Hz, as text.

    Raises:
        SingeridError: a text is no frequency.
    """
    pitch = semitones(f0)
    of_models = pitch
    if trials.models:
        of_models = np.array([pitch[list(rows)].mean() for rows in trials.models])
    return np.asarray(np.abs(of_models[trials.enroll] - pitch[trials.test]))


def text_codes(column: Sequence[str]) -> tuple[list[str], IntArray]:
    """Distinct texts in order, and the number of each row's."""
    names = sorted(set(column))
    number = {name: i for i, name in enumerate(names)}
    return names, np.array([number[text] for text in column], np.int64)


def singer_sides(
    trials: TrialList,
    scores: npt.NDArray[np.floating],
    columns: Columns,
    mask: BoolArray | None,
) -> tuple[list[str], IntArray, IntArray]:
    """Names of the singers in order, and the number `(n,)` of each trial's two.

    A model counts for the singer of the first of its recordings.

    Raises:
        SingeridError: scores, mask or singers do not fit the trials.
    """
    shapes = {np.shape(scores), (len(trials),) if mask is None else np.shape(mask)}
    if shapes != {(len(trials),)} or len(columns["singer"]) != len(trials.ids):
        raise SingeridError(
            "scores, mask or singers do not fit the trials",
            found=f"shapes {sorted(shapes)}, {len(columns['singer'])} singers",
            expected=f"{len(trials)} trials of {len(trials.ids)} recordings",
        )
    names, code = text_codes(columns["singer"])
    return names, code[trials.enroll_first], code[trials.test]


def trial_rows(trials: TrialList, mask: BoolArray | None) -> IntArray:
    """Numbers of the trials that count."""
    return np.arange(len(trials)) if mask is None else np.flatnonzero(mask)


def _f0_slices(trials: TrialList, f0: Sequence[str]) -> dict[str, BoolArray]:
    """Trials by the gap of F0, the lower edge of a bin belonging to it."""
    gap = f0_gap(trials, f0)
    found = {}
    for low, high in pairwise(F0_GAPS):
        name = f"above {low:g}" if np.isinf(high) else f"{low:g}-{high:g}"
        found[f"F0 gap {name} semitones"] = np.asarray((gap >= low) & (gap < high))
    return found


def _label_slices(
    trials: TrialList, label: str, column: Sequence[str], max_values: int
) -> dict[str, BoolArray]:
    """Trials by the values of a label on their two sides."""
    names, code = text_codes(column)
    unknown = [i for i, name in enumerate(names) if name in UNKNOWN]
    code[np.isin(code, unknown)] = -1
    of_enrolled = code
    if trials.models:  # a model has a value only if all of its recordings have it
        sets = [set(code[list(rows)].tolist()) for rows in trials.models]
        of_enrolled = np.array([values.pop() if len(values) == 1 else -1 for values in sets])
    a, b = of_enrolled[trials.enroll], code[trials.test]
    known, same = (a >= 0) & (b >= 0), (a == b) & (a >= 0)
    counts = np.bincount(a[same], minlength=len(names))
    commonest = np.argsort(-counts, kind="stable")[:max_values]
    found = {f"{label} {names[i]}": np.asarray(same & (a == i)) for i in sorted(commonest)}
    if (trials.targets & known & ~same).any() and (trials.targets & same).any():
        found[f"same {label}"] = np.asarray(~trials.targets | same)
        found[f"different {label}"] = np.asarray(~trials.targets | (known & ~same))
    return found
