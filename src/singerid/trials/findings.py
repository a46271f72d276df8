"""What the linter of trials says, and the trials as its checks see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from singerid.trials import TrialList
from singerid.trials.labels import BoolArray, Column, Columns, IntArray, codes, known

LEVELS = {"1": "error", "2": "warning", "3": "info"}
_NAMED = 3  # examples of a finding


@dataclass(frozen=True)
class Finding:
    """Something that a reader of the figures should know.

    Attributes:
        level: error, warning or info.
        code: short and stable, such as ``T101``; its first digit says the level.
        count: how many trials, singers or recordings it concerns.
        text: what it is, in one line.
        examples: up to three of them.
    """

    level: str
    code: str
    count: int
    text: str
    examples: tuple[str, ...] = ()


def finding(code: str, count: int, text: str, examples: Sequence[str] = ()) -> Finding:
    """A finding of the level that its code says."""
    return Finding(LEVELS[code[1]], code, count, text, tuple(examples[:_NAMED]))


def many(count: int, noun: str) -> str:
    """``1 trial``, ``2,000 trials``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class View:
    """Trials with their labels, and what several checks need of them.

    Attributes:
        trials: the trials.
        columns: labels of their recordings.
        vectors: `(n_recordings, dim)` or None.
        train_singers: whom the encoder was trained on.
    """

    trials: TrialList
    columns: Columns
    vectors: npt.NDArray[np.floating] | None = None
    train_singers: frozenset[str] = frozenset()

    @cached_property
    def members(self) -> IntArray:
        """Recordings behind each item of the enrolled side, `(n_items, k)`, -1 for none."""
        return self.trials.members()

    @cached_property
    def used(self) -> BoolArray:
        """Recordings that take part in a trial."""
        used = np.zeros(len(self.trials.ids) + 1, np.bool_)  # the last is for members of -1
        items = np.zeros(len(self.members), np.bool_)
        items[self.trials.enroll] = True
        used[self.members[items]] = True
        used[self.trials.test] = True
        return used[:-1]

    @cached_property
    def singers(self) -> IntArray:
        """Code of each recording's singer, -1 if unknown."""
        return self.coded("singer")

    @cached_property
    def used_singers(self) -> IntArray:
        """Codes of the known singers in the trials."""
        return np.unique(self.singers[self.used & (self.singers >= 0)])

    def column(self, name: str) -> Column:
        """A label's column; all unknown if there is none."""
        return self.columns[name] if name in self.columns else [""] * len(self.trials.ids)

    def coded(self, name: str, unknown: Sequence[str] = ("",)) -> IntArray:
        """Code of each recording's label, -1 where it is unknown."""
        column = self.column(name)
        return np.where(known(column, unknown), codes(column), -1)

    def sides(self, code: IntArray) -> tuple[IntArray, IntArray]:
        """A code of recordings on both sides of each trial; a model has that of its first."""
        return code[self.members[:, 0]][self.trials.enroll], code[self.trials.test]

    def alike(self, code: IntArray) -> BoolArray:
        """Trials with a member of the enrolled side that has the known code of the tested side."""
        tested = code[self.trials.test]
        found = np.zeros(len(tested), np.bool_)
        for rows in self.members.T:
            of_items = np.where(rows < 0, -1, code[rows])
            found |= of_items[self.trials.enroll] == tested
        return found & (tested >= 0)

    def values(self, code: IntArray) -> IntArray:
        """Distinct pairs of a known singer in the trials and a code: `(2, n)`."""
        rows = self.used & (self.singers >= 0)
        return np.unique(np.stack([self.singers[rows], code[rows]]), axis=1)

    def names(self, singers: IntArray) -> list[str]:
        """Names of the first few of some singers' codes."""
        rows = (int(np.argmax(self.singers == code)) for code in singers[:_NAMED])
        return [self.column("singer")[row] for row in rows]

    def among(self, mask: BoolArray, code: str, text: str) -> Iterator[Finding]:
        """A finding about the trials in a mask, if there are any."""
        if count := int(np.count_nonzero(mask)):
            rows = np.flatnonzero(mask)[:_NAMED]
            examples = [f"{self.trials[row].enroll} {self.trials[row].test}" for row in rows]
            yield finding(code, count, f"{many(count, 'trial')} {text}", examples)
