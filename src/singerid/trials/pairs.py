"""Sets of pairs that are counted and sampled without being written out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Predicate = Callable[[IntArray, IntArray], BoolArray]
_BLOCK = 1 << 17  # pairs at a time: few enough for the cache


class PairSet(Protocol):
    """Pairs that have numbers from 0 but need not exist as arrays."""

    def __len__(self) -> int:
        """How many pairs there are."""

    def at(self, numbers: IntArray) -> IntArray:
        """The pairs `(2, m)` of ascending numbers `(m,)`."""


@dataclass(frozen=True)
class Listed:
    """Pairs that do exist as an array.

    Attributes:
        pairs: int64 `(2, n)`.
    """

    pairs: IntArray

    def __len__(self) -> int:
        return int(self.pairs.shape[1])

    def at(self, numbers: IntArray) -> IntArray:
        """The pairs of some numbers."""
        return self.pairs[:, numbers]


@dataclass(frozen=True)
class Stretches:
    """Pairs of rows with their partners, where partners are neighbors in some order.

    Attributes:
        rows: int64 `(n_stretches,)`, the first of each pair of a stretch.
        first: position in `partners` of each stretch's first partner.
        ends: cumulative number of pairs up to and including each stretch.
        partners: the second of each pair, in an order that makes stretches of them.
    """

    rows: IntArray
    first: IntArray
    ends: IntArray
    partners: IntArray

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def at(self, numbers: IntArray) -> IntArray:
        """The pairs of ascending numbers."""
        # Where each stretch's numbers end, rather than a search for each number: numbers may be
        # millions more than stretches are.
        counts = np.diff(np.searchsorted(numbers, np.append(0, self.ends)))
        stretch = np.repeat(np.arange(len(self.ends)), counts)
        start = self.first - np.append(0, self.ends[:-1])
        return np.stack([self.rows[stretch], self.partners[start[stretch] + numbers]])

    def block(self, start: int, stop: int) -> IntArray:
        """The pairs of the numbers from `start` to `stop`."""
        low, high = np.searchsorted(self.ends, [start, stop - 1], side="right")
        part = slice(low, high + 1)
        before = int(self.ends[low - 1]) if low else 0
        some = Stretches(
            self.rows[part], self.first[part], self.ends[part] - before, self.partners
        )  # fmt: skip
        return some.at(np.arange(start - before, stop - before))


def within(rows: IntArray, pool: IntArray, part: IntArray) -> Stretches:
    """Each pair of two rows of one pool and different parts of it, once.

    Sorted by pool, then part, the partners of a row (to be counted once) are those from the
    end of its part to the end of its pool.

    Args:
        rows: int64 `(n,)`, names of the rows.
        pool: code of each, from 0.
        part: code of each, from 0.
    """
    order = np.lexsort((part, pool))
    keys = np.stack([pool[order], part[order]])
    new = np.ones((2, len(rows)), np.bool_)
    new[:, 1:] = keys[:, 1:] != keys[:, :-1]
    pool_end, part_end = _ends(new[0]), _ends(np.asarray(new.any(axis=0)))
    return Stretches(rows[order], part_end, np.cumsum(pool_end - part_end), rows[order])


def across(
    rows: tuple[IntArray, IntArray], pool: tuple[IntArray, IntArray],
    part: tuple[IntArray, IntArray],
) -> Stretches:  # fmt: skip
    """Each pair of a first and a second row of one pool and different parts of it.

    Sorted by pool, then part, the partners of a first row are those of its pool before its part
    and those after it.

    Args:
        rows: names of the first rows `(n,)` and of the second rows `(m,)`.
        pool: code of each, from 0.
        part: code of each, from 0.
    """
    size = 1 + max((int(codes.max(initial=0)) for codes in part), default=0)
    key = pool[1] * size + part[1]
    order = np.argsort(key, kind="stable")
    key = key[order]
    own = pool[0] * size + part[0]
    bounds = [
        np.searchsorted(key, pool[0] * size), np.searchsorted(key, own),
        np.searchsorted(key, own, side="right"), np.searchsorted(key, (pool[0] + 1) * size),
    ]  # fmt: skip
    before, begin, end, after = np.asarray(bounds, np.int64).reshape(4, -1)
    lengths = np.concatenate([begin - before, after - end])
    first = np.concatenate([before, end])
    return Stretches(np.tile(rows[0], 2), first, np.cumsum(lengths), rows[1][order])


def joined(sets: Sequence[Stretches]) -> Stretches:
    """The pairs of all sets, one after the other."""
    offsets = np.cumsum([0, *(len(s.partners) for s in sets)])
    counts = np.cumsum([0, *(len(s) for s in sets)])
    return Stretches(
        np.concatenate([s.rows for s in sets]),
        np.concatenate([s.first + offset for s, offset in zip(sets, offsets, strict=False)]),
        np.concatenate([s.ends + count for s, count in zip(sets, counts, strict=False)]),
        np.concatenate([s.partners for s in sets]),
    )


@dataclass(frozen=True)
class Filtered:
    """The pairs of `all` that satisfy a predicate: found by looking at each, block by block.

    Attributes:
        all: pairs to look at; the time grows with their number, the memory does not.
        keep: from first `(m,)` and second `(m,)` to bool `(m,)`.
        ends: cumulative number of pairs kept up to and including each block.
    """

    all: Stretches
    keep: Predicate
    ends: IntArray = field(init=False)

    def __post_init__(self) -> None:
        n_blocks = -(-len(self.all) // _BLOCK)
        counts = [np.count_nonzero(self.keep(*self._block(i))) for i in range(n_blocks)]
        object.__setattr__(self, "ends", np.cumsum(counts, dtype=np.int64))

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def at(self, numbers: IntArray) -> IntArray:
        """The pairs of ascending numbers."""
        found = [np.zeros((2, 0), np.int64)]
        edges = np.searchsorted(numbers, np.append(0, self.ends))
        for i, (start, stop) in enumerate(pairwise(edges)):
            if start < stop:
                before = int(self.ends[i - 1]) if i else 0
                pairs = self._block(i)
                kept = np.flatnonzero(self.keep(*pairs))
                found.append(pairs[:, kept[numbers[start:stop] - before]])
        return np.concatenate(found, axis=1)

    def _block(self, i: int) -> IntArray:
        return self.all.block(i * _BLOCK, min((i + 1) * _BLOCK, len(self.all)))


def sample(pairs: PairSet, size: int, rng: np.random.Generator | None) -> IntArray:
    """`(2, size)` distinct pairs: all, or one at random from each of `size` stretches.

    The stretches differ in length by one, so they begin at a random pair: that gives every
    pair the same chance.

    Raises:
        SingeridError: a sample is to be drawn without a random generator.
    """
    total = len(pairs)
    numbers = np.arange(size, dtype=np.int64)
    if 0 < size < total:
        if rng is None:
            raise SingeridError("a sample of the trials needs a random generator")
        edges = np.append(numbers, size)
        # = edges * total // size, whose product may exceed 64 bits
        edges = edges * (total // size) + edges * (total % size) // size
        numbers = (rng.integers(edges[:-1], edges[1:]) + rng.integers(total)) % total
        numbers.sort()
    return pairs.at(numbers)


def _ends(new: BoolArray) -> IntArray:
    """For each position, where its group ends, from flags of the positions that begin a group."""
    starts = np.flatnonzero(new)
    return np.append(starts, len(new))[np.cumsum(new)]
