"""Label columns as arrays: integer codes, what is known, pitch, which rows fit conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import count

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError
from singerid.records import Condition

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
Column = Sequence[str]
Columns = Mapping[str, Column]
UNKNOWN_GENDERS = ("", "?")


def check_lengths(columns: Columns, n: int) -> None:
    """Refuse columns that have another number of rows than there are recordings.

    Raises:
        SingeridError: naming the first such column.
    """
    for name, column in columns.items():
        if len(column) != n:
            raise SingeridError(f"column {name!r} has {len(column)} rows", expected=n)


def column_of(columns: Columns, name: str, where: str) -> Column:
    """The column of a label that a rule needs.

    Raises:
        SingeridError: there is none; the message lists the labels that there are.
    """
    if name not in columns:
        raise SingeridError(
            f"no label {name!r}", where=where, found=", ".join(sorted(columns)) or "no labels"
        )
    return columns[name]


def codes(column: Column) -> IntArray:
    """Integers from 0 that are equal where the texts are, in order of appearance."""
    number = dict(zip(dict.fromkeys(column), count(), strict=False))
    return np.fromiter(map(number.__getitem__, column), np.int64, len(column))


def known(column: Column, unknown: Sequence[str] = ("",)) -> BoolArray:
    """Where a text says something."""
    return np.asarray([text not in unknown for text in column], np.bool_)


def own_codes(column: Column) -> IntArray:
    """As `codes`, but each unknown ("") row is one of a kind."""
    code = codes(column)
    rows = np.arange(len(code))
    return np.where(known(column), code, len(code) + rows)


def combined(a: IntArray, b: IntArray) -> IntArray:
    """Codes that are equal where both codes are."""
    return a * (int(b.max(initial=0)) + 1) + b


def semitones(column: Column) -> FloatArray:
    """F0 in Hz as text → semitones above 1 Hz, NaN where unknown.

    Raises:
        SingeridError: a text is not a positive finite number.
    """
    pitch = np.full(len(column), np.nan)
    for row, text in enumerate(column):
        if not text:
            continue
        try:
            hertz = float(text)
        except ValueError:
            hertz = math.nan
        if not 0 < hertz < math.inf:
            raise SingeridError(
                "label 'f0' is not a frequency", where=f"row {row}", found=repr(text),
                expected="the median F0 in Hz, or nothing where it is unknown",
            )  # fmt: skip
        pitch[row] = 12 * math.log2(hertz)
    return pitch


def satisfied(columns: Columns, conditions: Sequence[str], n: int, where: str) -> BoolArray:
    """Rows that satisfy every condition (see `singerid.records.Condition`).

    Raises:
        SingeridError: a condition cannot be read or names an unknown label.
    """
    keep = np.ones(n, np.bool_)
    for condition in map(Condition.parse, conditions):
        column = column_of(columns, condition.label, where)
        keep &= np.asarray([condition.holds(text) for text in column], np.bool_)
    return keep
