"""Training batches: N singers × M partials, fair, and a function of (seed, t) alone.

Because batch t needs no history, workers, ranks and resumed runs all see the same batches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from singerid.errors import StoreError
from singerid.features import network_input
from singerid.frames import crop
from singerid.records import Recording
from singerid.sections import BatchSettings
from singerid.spec import FeatureSpec
from singerid.store import Store

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes:
        features: float32 `(n_singers, n_partials, n_frames, n_inputs)`.
        singers: index of each singer in `FairMaker.singers`, `(n_singers,)`.
        ids: the recording of each partial, `n_singers` lists of `n_partials`.
    """

    features: npt.NDArray[np.float32]
    singers: IntArray
    ids: list[list[str]]


class BatchSource(Protocol):
    """What training takes its batches from.

    Attributes:
        singers: names; a singer's index is its class.
        n_singers: singers in a batch.
        warnings: what was left out or made smaller, one line each.
    """

    singers: list[str]
    n_singers: int
    warnings: list[str]

    def batch(self, t: int) -> Batch:
        """Batch number `t`, counted from 0; a function of a seed and `t` alone."""


class FairMaker(ABC):
    """Draws singers, recordings and partials fairly; a subclass says where partials come from.

    Attributes:
        singers: names, sorted; a singer's index is its class.
        n_singers: singers in a batch (fewer than asked for if the split has fewer).
        warnings: what was left out or made smaller, one line each.
    """

    def __init__(
        self,
        recordings: Iterable[Recording],
        split: str,
        spec: FeatureSpec,
        settings: BatchSettings,
        seed: int,
        where: object,
    ) -> None:
        """Group the recordings of a split by singer.

        Raises:
            StoreError: fewer than two singers have a recording of at least one partial.
        """
        self.spec, self.settings = spec, settings
        self._seed = [seed, ("train", "valid", "test").index(split)]
        self.warnings: list[str] = []
        groups, n_short = self._by_singer(r for r in recordings if r.split == split)
        if n_short:
            seconds = settings.partial_frames * spec.hop_seconds
            self.warnings.append(
                f"{split}: {n_short} recordings are shorter than a partial ({seconds:.2f} s) "
                "and take no part"
            )
        if len(groups) < 2:
            raise StoreError(
                f"split {split!r} has too few singers", where=where,
                found=f"{len(groups)} with a recording of at least one partial",
                expected="at least 2: a contrast needs two",
                do="lower --batch.partial_frames" if n_short and len(groups) < 2
                else "add singers, or draw other splits: singerid manifest --manifest.splits draw",
            )  # fmt: skip
        single = sum(len(own) == 1 for own in groups.values())
        if single:
            self.warnings.append(
                f"{split}: {single} of {len(groups)} singers have a single recording: their "
                "partials are told by the recording as well as by the voice"
            )
        self.singers = sorted(groups)
        self._recordings = [groups[singer] for singer in self.singers]
        self.n_singers = min(settings.n_singers, len(groups))
        if self.n_singers < settings.n_singers:
            self.warnings.append(
                f"{split}: {len(groups)} singers, fewer than batch.n_singers "
                f"{settings.n_singers}; batches hold {self.n_singers}"
            )

    def _by_singer(self, recordings: Iterable[Recording]) -> tuple[dict[str, list[str]], int]:
        """Ids of the recordings of at least one partial, by singer; and how many are shorter."""
        groups: dict[str, list[str]] = defaultdict(list)
        n_short = 0
        for recording in recordings:
            if self._is_long_enough(recording):
                groups[recording.singer].append(recording.id)
            else:
                n_short += 1
        return groups, n_short

    @abstractmethod
    def _is_long_enough(self, recording: Recording) -> bool:
        """True if it has the frames of at least one partial."""

    @abstractmethod
    def _partial(self, id: str, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """A random partial of a recording `(n_frames, n_dims)`: its start is `_draw_start`'s."""

    def _draw_start(self, n_frames: int, rng: np.random.Generator) -> int:
        return int(rng.integers(n_frames - self.settings.partial_frames + 1))

    def batch(self, t: int) -> Batch:
        """Batch number `t`, counted from 0."""
        rng = np.random.default_rng([*self._seed, 0, t])
        chosen = fair_draw(len(self.singers), self.n_singers, t, (*self._seed, 1))
        n_partials = self.settings.n_partials
        shape = (self.n_singers, n_partials, self.settings.partial_frames, self.spec.n_inputs)
        features = np.empty(shape, np.float32)
        ids: list[list[str]] = []
        for row, singer in enumerate(chosen):
            names = self._recordings[singer]
            turn = fair_turn(len(self.singers), self.n_singers, t, int(singer), (*self._seed, 1))
            picks = fair_draw(len(names), n_partials, turn, (*self._seed, 2, int(singer)))
            ids.append([names[i] for i in picks])
            for column, name in enumerate(ids[-1]):
                features[row, column] = network_input(self._partial(name, rng), self.spec)
        return Batch(features, chosen, ids)


class BatchMaker(FairMaker):
    """Makes batch t of a split of a store."""

    def __init__(self, store: Store, split: str, settings: BatchSettings, seed: int) -> None:
        """Group the recordings of a split by singer.

        Raises:
            StoreError: fewer than two singers have a recording of at least one partial.
        """
        self._store = store
        super().__init__(store.recordings, split, store.spec, settings, seed, store.path)

    def _is_long_enough(self, recording: Recording) -> bool:
        return self._store.entries[recording.id].n_frames >= self.settings.partial_frames

    def _partial(self, id: str, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        frames = self._store.features(id)
        start = self._draw_start(len(frames), rng)
        return crop(frames, start, self.settings.partial_frames)


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
    """How often `fair_draw` (with `n_drawn` ≤ `n_items`) drew `item` in the passes before t's."""
    number = t // (n_items // n_drawn)
    out = n_items % n_drawn
    rank = int(_ranks(n_items, seed)[item])
    # Passes 0 … number - 1 left out the slots 0 … number · out - 1 of the rotation.
    rounds, rest = divmod(number * out, n_items)
    return number - rounds - (rank < rest)


@lru_cache(maxsize=4096)
def _pass_order(n_items: int, n_out: int, number: int, seed: tuple[int, ...]) -> IntArray:
    present = np.ones(n_items, bool)
    present[_rotating(n_items, n_out, number, seed)] = False
    return np.random.default_rng([*seed, 2, number]).permutation(np.flatnonzero(present))


def _rotating(n_items: int, n_chosen: int, number: int, seed: tuple[int, ...]) -> IntArray:
    """Block `number` of `n_chosen` places of an endless repetition of one random order."""
    slots = (number * n_chosen + np.arange(n_chosen)) % n_items
    return np.argsort(_ranks(n_items, seed))[slots]


@lru_cache(maxsize=4096)
def _ranks(n_items: int, seed: tuple[int, ...]) -> IntArray:
    return np.random.default_rng([*seed, 3]).permutation(n_items)
