"""Which pairs of recordings make a trial: rules, and the sets of pairs that they allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError
from singerid.trials.enrollment import draw_models
from singerid.trials.hardest import hardest_pairs, model_vectors
from singerid.trials.labels import (
    UNKNOWN_GENDERS,
    BoolArray,
    Column,
    Columns,
    FloatArray,
    IntArray,
    check_lengths,
    codes,
    column_of,
    combined,
    known,
    own_codes,
    satisfied,
    semitones,
)
from singerid.trials.pairs import (
    Filtered,
    Listed,
    PairSet,
    Predicate,
    Stretches,
    across,
    joined,
    within,
)

NONTARGETS = ("all", "same_gender", "cross_gender", "hardest")


@dataclass(frozen=True)
class Rules:
    """What makes a trial (see `singerid.trials.draw_trials`).

    Attributes:
        cross: labels in which the two sides of a target differ.
        nontargets: one of `NONTARGETS`.
        hardest_k: how many for each recording or model, if nontargets are the hardest.
        enroll: conditions on enrolled recordings.
        test: conditions on tested recordings.
        pitch_gap: least and (excluded) greatest difference of the median F0, in semitones.
        within_corpus: no pair is of two corpora.
        n_enroll: recordings behind each enrollment.
    """

    cross: tuple[str, ...] = ("song",)
    nontargets: str = "all"
    hardest_k: int = 10
    enroll: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    pitch_gap: tuple[float, float] | None = None
    within_corpus: bool = True
    n_enroll: int = 1

    def __post_init__(self) -> None:
        if self.nontargets not in NONTARGETS:
            raise SingeridError(
                "no such nontargets", found=repr(self.nontargets), expected=" or ".join(NONTARGETS)
            )
        if self.n_enroll < 1:
            raise SingeridError("n_enroll out of range", found=self.n_enroll, expected="at least 1")
        if self.pitch_gap and not 0 <= self.pitch_gap[0] < self.pitch_gap[1]:
            raise SingeridError(
                "pitch_gap out of range", found=self.pitch_gap,
                expected="least and greatest gap in semitones, ascending, from 0",
            )  # fmt: skip


@dataclass(frozen=True)
class Candidates:
    """The pairs that the rules allow, by class, counted but not written out.

    An *item* is what stands on the enrolled side: a recording, or with `n_enroll` > 1 a model.

    Attributes:
        ids: id of each recording.
        columns: labels of the recordings.
        rules: what makes a trial.
        vectors: `(n, dim)`, for the hardest nontargets.
        seed: of the draw of the models.
        members: int64 `(n_items, n_enroll)`, recordings behind each item.
    """

    ids: Column
    columns: Columns
    rules: Rules
    vectors: npt.NDArray[np.floating] | None = None
    seed: int = 0
    members: IntArray = field(init=False)

    def __post_init__(self) -> None:
        check_lengths(self.columns, len(self.ids))
        members = np.arange(len(self.ids))[:, None]
        if self.rules.n_enroll > 1:
            eligible = np.flatnonzero(self._enroll_ok & self._usable)
            owner = combined(self._corpus, self._singer)[eligible]
            take, rng = self._cross_codes[0][eligible], np.random.default_rng([self.seed, 1])
            members = eligible[draw_models(owner, take, self.rules.n_enroll, rng)]
        object.__setattr__(self, "members", members)

    def targets(self) -> PairSet:
        """Pairs of one singer that differ in every label of `cross`."""
        ok = self._usable.copy()
        for name in self.rules.cross:
            if name != "song":  # an unknown song is a song of its own
                ok &= known(column_of(self.columns, name, "cross"))
        pool = combined(self._corpus, self._singer)
        return self._filtered(self._pairs(ok, pool, self._cross_codes[0]), self._crosses())

    def nontargets(self) -> PairSet:
        """Pairs of two singers, of the kind that is wanted."""
        kind = self.rules.nontargets
        if kind == "hardest":
            return self._hardest()
        if kind == "all":
            return self._filtered(self._pairs(self._usable, self._corpus, self._singer), None)
        gender = column_of(self.columns, "gender", f"nontargets={kind}")
        code, ok = codes(gender), known(gender, UNKNOWN_GENDERS) & self._usable
        if kind == "same_gender":
            pairs = self._pairs(ok, combined(self._corpus, code), self._singer)
            return self._filtered(pairs, None)
        two_singers = None
        if len(np.unique(combined(self._singer, code)[ok])) > len(np.unique(self._singer[ok])):
            two_singers = self._two_singers  # somebody is of two genders
        return self._filtered(self._pairs(ok, self._corpus, code), two_singers)

    def turned(self, pairs: IntArray) -> IntArray:
        """The pairs `(2, n)` that fit both ways with the lower recording first, ascending."""
        first, second = pairs
        if self.rules.n_enroll == 1:
            enroll, test = self._enroll_ok, self._test_ok
            turn = (first > second) & enroll[second] & test[first]
            first, second = np.where(turn, second, first), np.where(turn, first, second)
        return np.stack([first, second])

    @cached_property
    def _singer(self) -> IntArray:
        return codes(column_of(self.columns, "singer", "trials"))

    @cached_property
    def _corpus(self) -> IntArray:
        """Of recordings; all 0 if that does not matter."""
        if self.rules.within_corpus and "corpus" in self.columns:
            return codes(self.columns["corpus"])
        return np.zeros(len(self.ids), np.int64)

    @cached_property
    def _cross_codes(self) -> list[IntArray]:
        """Of recordings, per label in which targets differ; a recording differs from itself."""
        found = []
        for name in self.rules.cross:
            if name == "song" and name not in self.columns:
                continue
            column = column_of(self.columns, name, "cross")
            found.append(own_codes(column) if name == "song" else codes(column))
        return found or [np.arange(len(self.ids))]

    @cached_property
    def _enroll_ok(self) -> BoolArray:
        return self._satisfied(self.rules.enroll, "enroll")

    @cached_property
    def _test_ok(self) -> BoolArray:
        return self._satisfied(self.rules.test, "test")

    def _satisfied(self, conditions: Sequence[str], where: str) -> BoolArray:
        return satisfied({"id": self.ids, **self.columns}, conditions, len(self.ids), where)

    @cached_property
    def _pitch(self) -> FloatArray | None:
        """Semitones of recordings if a gap is wanted."""
        if not self.rules.pitch_gap:
            return None
        return semitones(column_of(self.columns, "f0", "pitch_gap"))

    @cached_property
    def _usable(self) -> BoolArray:
        """Recordings that can take part: of a known singer, and pitch if a gap is wanted."""
        usable = known(column_of(self.columns, "singer", "trials"))
        return usable if self._pitch is None else usable & ~np.isnan(self._pitch)

    def _pairs(self, ok: BoolArray, pool: IntArray, part: IntArray) -> Stretches:
        """Pairs of an item and a tested recording of one pool and different parts of it.

        Args:
            ok: recordings that may take part; an item may if all its members may.
            pool: code of each recording; an item has that of its first member.
            part: as `pool`.
        """
        head, items_ok = self.members[:, 0], np.all(ok[self.members], axis=1)

        def pairs(items: BoolArray, rows: BoolArray) -> Stretches:
            a, b = np.flatnonzero(items), np.flatnonzero(rows)
            return across((a, b), (pool[head[a]], pool[b]), (part[head[a]], part[b]))

        test = ok & self._test_ok
        if self.rules.n_enroll > 1:
            return pairs(items_ok, test)
        enroll = items_ok & self._enroll_ok
        both = enroll & test
        rows = np.flatnonzero(both)
        once = within(rows, pool[rows], part[rows])
        return joined([once, pairs(enroll & ~both, test), pairs(both, test & ~both)])

    def _filtered(self, pairs: Stretches, keep: Predicate | None) -> PairSet:
        """Those with the wanted pitch gap that a predicate keeps."""
        predicates = [p for p in (keep, self._gap_fits()) if p]
        if not predicates:
            return pairs
        return Filtered(pairs, lambda a, b: np.logical_and.reduce([p(a, b) for p in predicates]))

    def _two_singers(self, items: IntArray, rows: IntArray) -> BoolArray:
        return np.asarray(self._singer[self.members[:, 0]][items] != self._singer[rows])

    def _crosses(self) -> Predicate | None:
        """What `_pairs` does not see to: labels but the first, members but the first."""
        compared = [
            (code[self.members[:, j]], code)
            for i, code in enumerate(self._cross_codes)
            for j in range(self.rules.n_enroll)
            if i or j
        ]
        if not compared:
            return None
        return lambda items, rows: np.logical_and.reduce(
            [of_item[items] != of_row[rows] for of_item, of_row in compared]
        )

    def _gap_fits(self) -> Predicate | None:
        """True where the difference of the pitches is as wanted; a model's is its mean."""
        pitch, gap = self._pitch, self.rules.pitch_gap
        if pitch is None or gap is None:
            return None
        low, high = gap[0] - 1e-9, gap[1] - 1e-9  # so that an octave is 12
        of_items = pitch[self.members].mean(axis=1)

        def fits(items: IntArray, rows: IntArray) -> BoolArray:
            found = np.abs(of_items[items] - pitch[rows])
            return np.asarray((found >= low) & (found < high))

        return fits

    def _hardest(self) -> Listed:
        """The nontargets most alike; each once, though both sides may have chosen it."""
        if self.vectors is None or len(self.vectors) != len(self.ids):
            raise SingeridError(
                "the hardest nontargets need a vector for each recording", expected=len(self.ids),
                found="none" if self.vectors is None else len(self.vectors),
            )  # fmt: skip
        pool = self._corpus
        if "gender" in self.columns:
            names = ["" if g in UNKNOWN_GENDERS else g for g in self.columns["gender"]]
            pool = combined(pool, codes(names))
        head, items_ok = self.members[:, 0], self._usable[self.members].all(axis=1)
        if self.rules.n_enroll == 1:
            items_ok &= self._enroll_ok
        a = np.flatnonzero(items_ok)
        b = np.flatnonzero(self._usable & self._test_ok)
        vectors = model_vectors(self.vectors, self.members[a])
        others = model_vectors(self.vectors, b[:, None])
        predicates = [p for p in (self._two_singers, self._gap_fits()) if p]
        pairs = hardest_pairs(
            (vectors, others), (a, b), (pool[head[a]], pool[b]),
            lambda a, b: np.logical_and.reduce([p(a, b) for p in predicates]),
            self.rules.hardest_k,
        )  # fmt: skip
        first, second = self.turned(pairs)
        keys = np.unique(first * len(self.ids) + second)
        return Listed(np.stack(np.divmod(keys, len(self.ids))))
