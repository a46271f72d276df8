"""Training batches: N singers × M partials, fair, and a function of (seed, t) alone.

Because batch t needs no history, workers, ranks and resumed runs all see the same batches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from singerid.errors import StoreError
from singerid.features import network_input
from singerid.frames import crop
from singerid.listing import Listing
from singerid.sampling import HardDraw, fair_draw, fair_turn, spread_draw
from singerid.spec import FeatureSpec
from singerid.store import Store
from singerid.training_sections import BatchSettings
from singerid.trials.labels import UNKNOWN_GENDERS, codes, known, semitones

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


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
        ids: the recordings that take part, those of a singer together.
        n_singers: singers in a batch (fewer than asked for if the split has fewer).
        warnings: what was left out or made smaller, one line each.
    """

    def __init__(
        self,
        listing: Listing,
        split: str,
        spec: FeatureSpec,
        settings: BatchSettings,
        seed: int,
        where: object,
    ) -> None:
        """Group the recordings of a split by singer.

        Raises:
            StoreError: fewer than two singers have a recording of at least one partial.
            SingeridError: pitch is looked at, and a label f0 is no frequency.
        """
        self.spec, self.settings = spec, settings
        self._seed = [seed, ("train", "valid", "test").index(split)]
        self.warnings: list[str] = []
        rows = listing.of_split(split)
        is_long = self._are_long_enough(rows)
        rows, singer = self._by_singer(listing, rows[is_long])
        n, n_short = len(self.singers), np.count_nonzero(~is_long)
        if n_short:
            seconds = settings.partial_frames * spec.hop_seconds
            self.warnings.append(
                f"{split}: {n_short} recordings are shorter than a partial ({seconds:.2f} s) "
                "and take no part"
            )
        if n < 2:
            raise StoreError(
                f"split {split!r} has too few singers", where=where,
                found=f"{n} with a recording of at least one partial",
                expected="at least 2: a contrast needs two",
                do="lower --batch.partial_frames" if n_short
                else "add singers, or draw other splits: singerid manifest --manifest.splits draw",
            )  # fmt: skip
        if single := np.count_nonzero(np.diff(self._first) == 1):
            self.warnings.append(
                f"{split}: {single} of {n} singers have a single recording: their "
                "partials are told by the recording as well as by the voice"
            )
        self.n_singers = min(settings.n_singers, n)
        if self.n_singers < settings.n_singers:
            self.warnings.append(
                f"{split}: {n} singers, fewer than batch.n_singers "
                f"{settings.n_singers}; batches hold {self.n_singers}"
            )
        self._spread = settings.spread_pitch and split == "train"
        ids = listing.texts("id")
        self._rows = self._by_pitch(listing, rows, singer) if self._spread else rows
        self.ids = [ids[row] for row in self._rows.tolist()]
        fair = partial(fair_draw, n, self.n_singers, seed=(*self._seed, 1))
        self._draw_singers: Callable[[int], IntArray] = fair
        if settings.sampling == "hard" and split == "train":
            labels, pitch = listing.texts("gender"), _pitch(listing, rows)
            genders = [labels[row] for row in rows[self._first[:-1]].tolist()]
            hard, warnings = hard_draw(
                genders, median_pitch(pitch, singer), self.n_singers, settings.hard_share,
                (*self._seed, 1),
            )  # fmt: skip
            self._draw_singers = hard or fair
            self.warnings += [f"{split}: {warning}" for warning in warnings]

    def _by_singer(self, listing: Listing, rows: IntArray) -> tuple[IntArray, IntArray]:
        """The rows, those of a singer together, and the singer of each."""
        names, codes = listing.codes("singer")
        present, singer = np.unique(codes[rows], return_inverse=True)
        self.singers = [names[code] for code in present.tolist()]
        self._first = np.concatenate([[0], np.cumsum(np.bincount(singer))])
        order = np.argsort(singer, kind="stable")
        return rows[order], singer[order]

    def _by_pitch(self, listing: Listing, rows: IntArray, singer: IntArray) -> IntArray:
        """The rows of each singer by their label f0; those without one as if of median pitch."""
        pitch = _pitch(listing, rows)
        unknown = np.isnan(pitch)
        if n := np.count_nonzero(unknown):
            self.warnings.append(
                f"train: batch.spread_pitch, but {n} recordings have no label f0; they count "
                "as of their singer's median pitch (measure it: singerid manifest "
                "--manifest.f0 true)"
            )
        pitch[unknown] = np.nan_to_num(median_pitch(pitch, singer))[singer[unknown]]
        return rows[np.lexsort((pitch, singer))]

    @abstractmethod
    def _are_long_enough(self, rows: IntArray) -> BoolArray:
        """Which rows of the listing have the frames of at least one partial."""

    @abstractmethod
    def _partial(self, place: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """A random partial of a recording `(n_frames, n_dims)`: its start is `_draw_start`'s.

        Args:
            place: of the recording in `ids`; in the listing, that is row `_rows[place]`.
            rng: source of the start.
        """

    def _draw_start(self, n_frames: int, rng: np.random.Generator) -> int:
        return int(rng.integers(n_frames - self.settings.partial_frames + 1))

    def _draw(self, t: int) -> tuple[IntArray, IntArray, np.random.Generator]:
        """Batch `t`: singers, places in `ids` `(n_singers, n_partials)`, source of the starts."""
        chosen = self._draw_singers(t)
        draw = spread_draw if self._spread else fair_draw
        rows = np.empty((self.n_singers, self.settings.n_partials), np.int64)
        for row, singer in zip(rows, chosen.tolist(), strict=True):
            turn = fair_turn(len(self.singers), self.n_singers, t, singer, (*self._seed, 1))
            first, end = self._first[singer], self._first[singer + 1]
            row[:] = draw(int(end - first), len(row), turn, (*self._seed, 2, singer)) + first
        return chosen, rows, np.random.default_rng([*self._seed, 0, t])

    def batch(self, t: int) -> Batch:
        """Batch number `t`, counted from 0."""
        chosen, rows, rng = self._draw(t)
        shape = (*rows.shape, self.settings.partial_frames, self.spec.n_inputs)
        features = np.empty(shape, np.float32)
        ids = [[self.ids[i] for i in row] for row in rows]
        for place, row in zip(np.ndindex(rows.shape), rows.flat, strict=True):
            features[place] = network_input(self._partial(int(row), rng), self.spec)
        return Batch(features, chosen, ids)


class BatchMaker(FairMaker):
    """Makes batch t of a split of a store."""

    def __init__(self, store: Store, split: str, settings: BatchSettings, seed: int) -> None:
        """Group the recordings of a split by singer.

        Raises:
            StoreError: fewer than two singers have a recording of at least one partial.
        """
        self._store = store
        super().__init__(store.listing, split, store.spec, settings, seed, store.path)

    def _are_long_enough(self, rows: IntArray) -> BoolArray:
        is_long: BoolArray = self._store.n_frames[rows] >= self.settings.partial_frames
        return is_long

    def _partial(self, place: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        frames = self._store.frames(int(self._store.rows[self._rows[place]]))
        start = self._draw_start(len(frames), rng)
        return crop(frames, start, self.settings.partial_frames)


def hard_draw(
    genders: Sequence[str], pitch: FloatArray, n_drawn: int, share: float, seed: tuple[int, ...]
) -> tuple[HardDraw | None, list[str]]:
    """Draws of singers who are alike, as far as labels say who is.

    Args:
        genders: of the singers, "" or "?" if unknown; these stand for a gender of their own.
        pitch: median F0 of each in semitones `(n,)`, NaN if unknown.
        n_drawn: singers in a batch.
        share: of the batches that are hard.
        seed: of the draws.

    Returns:
        The draws, None if nothing is known of anyone; and what the labels lack, a line each.
    """
    n, has_gender, has_pitch = len(genders), known(genders, UNKNOWN_GENDERS), ~np.isnan(pitch)
    if not (has_gender.any() or has_pitch.any()):
        return None, [
            "batch.sampling hard, but no singer has a label gender or f0; any singers meet in a "
            "batch (f0 is measured by: singerid manifest --manifest.f0 true)"
        ]
    warnings = []
    for name, there, rest in (("gender", has_gender, "pitch"), ("f0", has_pitch, "gender")):
        if not there.all():
            warnings.append(
                f"batch.sampling hard, but {n - np.count_nonzero(there)} of {n} singers have no "
                f"label {name}; they meet one another, alike in {rest} only"
            )
    names = [
        gender if is_known else "" for gender, is_known in zip(genders, has_gender, strict=True)
    ]
    draw = HardDraw(codes(names), pitch, n_drawn, share, seed)
    if draw.reachable < share:
        warnings.append(
            f"batch.hard_share {share:g} is out of reach: {draw.reachable:.2f} of the batches can "
            f"be of one gender (genders of fewer than {n_drawn} singers fill none)"
        )
    return draw, warnings


def median_pitch(pitch: FloatArray, singer: IntArray) -> FloatArray:
    """Median of each singer's known pitch, NaN where none is.

    Args:
        pitch: in semitones `(n,)`, NaN if unknown.
        singer: of each, in order `(n,)`.
    """
    n_known = np.bincount(singer, ~np.isnan(pitch)).astype(np.int64)
    first = np.searchsorted(singer, np.arange(len(n_known)))
    in_order = pitch[np.lexsort((pitch, singer))]  # NaN is sorted to the end
    low = in_order[first + np.maximum(n_known - 1, 0) // 2]
    high = in_order[first + np.maximum(n_known // 2, 0)]
    return np.where(n_known > 0, (low + high) / 2, np.nan)


def _pitch(listing: Listing, rows: IntArray) -> FloatArray:
    """The label f0 of some rows in semitones above 1 Hz, NaN if unknown."""
    labels = listing.texts("f0")
    return semitones([labels[row] for row in rows.tolist()])
