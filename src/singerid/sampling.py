"""Draws of singers and recordings: fair, and each a function of a seed and its number alone.

A pass is as many draws as there can be without a repeat. Every item that is present in a pass is
drawn once in it; which few sit out rotates. How the present ones are put together is what
`fair_draw`, `spread_draw` and `HardDraw` differ in, so all of them are equally fair.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
_JITTER = 1.0  # semitones: singers of similar pitch meet others in every pass


def fair_draw(n_items: int, n_drawn: int, t: int, seed: tuple[int, ...]) -> IntArray:
    """Draw number `t` of `n_drawn` out of `n_items`, without repeats where that is possible.

    Exactly fair: after any number of passes (a pass is ``n_items // n_drawn`` draws, or one
    draw if items must repeat) no item was drawn more than once more often than another.
    In every pass the remainder ``n_items % n_drawn`` sits out; who does rotates through a
    fixed random order. With fewer items than draws, all are drawn ``n_drawn // n_items`` times
    and the remainder, rotating likewise, once more.
    """
    if n_drawn > n_items:
        copies, extra = divmod(n_drawn, n_items)
        again = _rotating(n_items, extra, t, seed)
        rng = np.random.default_rng([*seed, 1, t])
        return rng.permutation(np.concatenate([np.tile(np.arange(n_items), copies), again]))
    draws_per_pass = n_items // n_drawn
    number, position = divmod(t, draws_per_pass)
    order = _pass_order(n_items, n_items % n_drawn, number, seed)
    return order[position * n_drawn : (position + 1) * n_drawn]


def fair_turn(n_items: int, n_drawn: int, t: int, item: int, seed: tuple[int, ...]) -> int:
    """How often `item` was drawn (`n_drawn` ≤ `n_items` at a time) in the passes before t's."""
    number = t // (n_items // n_drawn)
    out = n_items % n_drawn
    rank = int(_ranks(n_items, seed)[item])
    # Passes 0 … number - 1 left out the slots 0 … number · out - 1 of the rotation.
    rounds, rest = divmod(number * out, n_items)
    return number - rounds - (rank < rest)


def spread_draw(n_items: int, n_drawn: int, t: int, seed: tuple[int, ...]) -> IntArray:
    """As `fair_draw`, of items in an order such that those drawn together lie far apart in it.

    The items present in a pass are cut into `n_drawn` neighborhoods of equal size; each draw
    takes one of every neighborhood.
    """
    if n_drawn >= n_items:
        return fair_draw(n_items, n_drawn, t, seed)
    number, position = divmod(t, n_items // n_drawn)
    drawn: IntArray = _spread_pass(n_items, n_drawn, number, seed)[position]
    return drawn


class HardDraw:
    """Draws of singers who are hard to tell apart: of one gender and similar pitch.

    In every pass, singers of each gender are sorted by pitch (with a little noise, so that
    others meet in each pass) and neighbors form a draw; a share of these draws is kept, and all
    other singers are drawn together at random.

    Attributes:
        n_drawn: singers in a draw.
        share: of the draws that are hard.
        reachable: the largest share that the genders' sizes allow.
    """

    def __init__(
        self,
        genders: IntArray,
        pitch: FloatArray,
        n_drawn: int,
        share: float,
        seed: tuple[int, ...],
    ) -> None:
        """Take note of the singers.

        Args:
            genders: number of each singer's gender `(n,)`.
            pitch: of each singer in semitones `(n,)`; NaN if unknown, and then alike.
            n_drawn: singers in a draw, at most `n`.
            share: of the draws that shall be hard, 0 … 1.
            seed: of the draws; `fair_turn` with the same seed counts them.
        """
        self.n_drawn, self.share, self._seed = n_drawn, share, seed
        self._genders, self._pitch = genders, pitch
        n_batches = len(genders) // n_drawn
        self.reachable = min(1.0, int((np.bincount(genders) // n_drawn).sum()) / n_batches)
        self._number, self._draws = -1, np.empty((0, n_drawn), np.int64)

    def __call__(self, t: int) -> IntArray:
        """Draw number `t`: int64 `(n_drawn,)`."""
        number, position = divmod(t, len(self._genders) // self.n_drawn)
        if number != self._number:
            self._draws, self._number = self._pass(number), number
        drawn: IntArray = self._draws[position]
        return drawn

    def _pass(self, number: int) -> IntArray:
        """All draws of a pass `(n_draws, n_drawn)`."""
        n, size = len(self._genders), self.n_drawn
        rng = np.random.default_rng([*self._seed, 4, number])
        singers = rng.permutation(_present(n, n % size, number, self._seed))
        key = self._pitch[singers] + _JITTER * rng.standard_normal(len(singers))
        hard, rest = [], []
        for gender in np.unique(self._genders):
            own = np.flatnonzero(self._genders[singers] == gender)
            some, own = np.split(own, [len(own) % size])  # at random: no pitch is favored
            rest.append(singers[some])
            hard.append(singers[own[np.argsort(key[own])]].reshape(-1, size))
        alike = rng.permutation(np.concatenate(hard))
        n_hard = int(self.share * (n // size) + rng.random())
        others = np.concatenate([*rest, alike[n_hard:].reshape(-1)])
        mixed = rng.permutation(others).reshape(-1, size)
        return rng.permutation(np.concatenate([alike[:n_hard], mixed]))


@lru_cache(maxsize=4096)
def _pass_order(n_items: int, n_out: int, number: int, seed: tuple[int, ...]) -> IntArray:
    present = _present(n_items, n_out, number, seed)
    return np.random.default_rng([*seed, 2, number]).permutation(present)


@lru_cache(maxsize=4096)
def _spread_pass(n_items: int, n_drawn: int, number: int, seed: tuple[int, ...]) -> IntArray:
    """All draws of a pass `(n_draws, n_drawn)`."""
    neighborhoods = _present(n_items, n_items % n_drawn, number, seed).reshape(n_drawn, -1)
    rng = np.random.default_rng([*seed, 5, number])
    return rng.permuted(rng.permuted(neighborhoods, axis=1).T, axis=1)


def _present(n_items: int, n_out: int, number: int, seed: tuple[int, ...]) -> IntArray:
    """Items that do not sit out in a pass, in order."""
    if n_out == 0:
        return np.arange(n_items)
    present = np.ones(n_items, bool)
    present[_rotating(n_items, n_out, number, seed)] = False
    return np.flatnonzero(present)


def _rotating(n_items: int, n_chosen: int, number: int, seed: tuple[int, ...]) -> IntArray:
    """Block `number` of `n_chosen` places of an endless repetition of one random order."""
    slots = (number * n_chosen + np.arange(n_chosen)) % n_items
    return np.argsort(_ranks(n_items, seed))[slots]


@lru_cache(maxsize=4096)
def _ranks(n_items: int, seed: tuple[int, ...]) -> IntArray:
    return np.random.default_rng([*seed, 3]).permutation(n_items)
