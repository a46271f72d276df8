"""Training batches: N singers × M partials, fair, and a function of (seed, t) alone.

Because batch t needs no history, workers, ranks and resumed runs all see the same batches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from singerid.errors import StoreError
from singerid.features import network_input
from singerid.frames import crop
from singerid.records import Recording
from singerid.sampling import HardDraw, fair_draw, fair_turn, spread_draw
from singerid.spec import FeatureSpec
from singerid.store import Store
from singerid.training_sections import BatchSettings
from singerid.trials.labels import UNKNOWN_GENDERS, codes, known, semitones

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


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
            SingeridError: pitch is looked at, and a label f0 is no frequency.
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
        self.n_singers = min(settings.n_singers, len(groups))
        if self.n_singers < settings.n_singers:
            self.warnings.append(
                f"{split}: {len(groups)} singers, fewer than batch.n_singers "
                f"{settings.n_singers}; batches hold {self.n_singers}"
            )
        self._spread = settings.spread_pitch and split == "train"
        self._take(groups)
        fair = partial(fair_draw, len(groups), self.n_singers, seed=(*self._seed, 1))
        self._draw_singers: Callable[[int], IntArray] = fair
        if settings.sampling == "hard" and split == "train":
            genders = [own[0].labels.get("gender", "") for _, own in sorted(groups.items())]
            pitch = [median_pitch(own) for _, own in sorted(groups.items())]
            hard, warnings = hard_draw(
                genders, np.array(pitch), self.n_singers, settings.hard_share, (*self._seed, 1)
            )
            self._draw_singers = hard or fair
            self.warnings += [f"{split}: {warning}" for warning in warnings]

    def _by_singer(self, recordings: Iterable[Recording]) -> tuple[dict[str, list[Recording]], int]:
        """The recordings of at least one partial, by singer; and how many are shorter."""
        groups: dict[str, list[Recording]] = defaultdict(list)
        n_short = 0
        for recording in recordings:
            if self._is_long_enough(recording):
                groups[recording.singer].append(recording)
            else:
                n_short += 1
        return groups, n_short

    def _take(self, groups: Mapping[str, list[Recording]]) -> None:
        """Keep names only, and count; by pitch, where partials shall lie apart in it."""
        self.singers = sorted(groups)
        owns = [groups[singer] for singer in self.singers]
        if self._spread:
            n = sum(not r.labels.get("f0") for own in owns for r in own)
            if n:
                self.warnings.append(
                    f"train: batch.spread_pitch, but {n} recordings have no label f0; they count "
                    "as of their singer's median pitch (measure it: singerid manifest "
                    "--manifest.f0 true)"
                )
            owns = [by_pitch(own) for own in owns]
        self.ids = [recording.id for own in owns for recording in own]
        self._first = np.cumsum([0, *map(len, owns)])

    @abstractmethod
    def _is_long_enough(self, recording: Recording) -> bool:
        """True if it has the frames of at least one partial."""

    @abstractmethod
    def _partial(self, id: str, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """A random partial of a recording `(n_frames, n_dims)`: its start is `_draw_start`'s."""

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
            features[place] = network_input(self._partial(self.ids[row], rng), self.spec)
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


def median_pitch(recordings: Sequence[Recording]) -> float:
    """Median of the label f0 in semitones above 1 Hz; NaN where none has it."""
    pitch = np.sort(semitones([r.labels.get("f0", "") for r in recordings]))
    n = int(np.count_nonzero(~np.isnan(pitch)))  # NaN is sorted to the end
    return float(pitch[(n - 1) // 2] + pitch[n // 2]) / 2 if n else np.nan


def by_pitch(recordings: Sequence[Recording]) -> list[Recording]:
    """Recordings of a singer by their label f0; those without one as if of median pitch."""
    pitch = semitones([r.labels.get("f0", "") for r in recordings])
    pitch[np.isnan(pitch)] = np.nan_to_num(median_pitch(recordings))
    return [recordings[i] for i in np.argsort(pitch, kind="stable")]
