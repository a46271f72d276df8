"""Verification trials: which recordings are compared with which."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError
from singerid.records import Trial
from singerid.trials.labels import (
    UNKNOWN_GENDERS,
    BoolArray,
    Column,
    Columns,
    IntArray,
    check_lengths,
    codes,
    known,
)
from singerid.trials.pairs import sample
from singerid.trials.rules import Candidates, Rules


@dataclass(frozen=True)
class TrialList:
    """Trials as indices into a list of recordings.

    Attributes:
        ids: id of each recording.
        enroll: int64 `(n,)`, the enrolled recording (or model, if there are models) of each.
        test: int64 `(n,)`, the tested recording.
        targets: bool `(n,)`, True where both are of one singer.
        n_possible: number of trials that this list was sampled from; `n` if it has them all.
        models: recordings behind each enrollment model; empty if recordings are enrolled.
        model_names: name of each model.
    """

    ids: Sequence[str]
    enroll: IntArray
    test: IntArray
    targets: BoolArray
    n_possible: int
    models: Sequence[Sequence[int]] = ()
    model_names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Trial:
        enroll = self.enroll_names[self.enroll[index]]
        return Trial(enroll, self.ids[self.test[index]], bool(self.targets[index]))

    @property
    def enroll_names(self) -> Sequence[str]:
        """What `enroll` is an index into: names of models, or ids."""
        return self.model_names if self.models else self.ids

    @property
    def enroll_first(self) -> IntArray:
        """int64 `(n,)`, a recording of each trial's enrolled side: the first of a model."""
        first: IntArray = self.members()[self.enroll, 0]
        return first

    def enroll_rows(self, index: int) -> IntArray:
        """Recordings behind the enrolled side of one trial."""
        item = int(self.enroll[index])
        return np.asarray(self.models[item] if self.models else [item], np.int64)

    def members(self) -> IntArray:
        """int64 `(n_items, k)`: recordings behind each value of `enroll`, filled up with -1."""
        if not self.models:
            return np.arange(len(self.ids), dtype=np.int64)[:, None]
        lengths = np.asarray([len(rows) for rows in self.models])
        members = np.full((len(lengths), lengths.max()), -1, np.int64)
        members[np.arange(members.shape[1]) < lengths[:, None]] = np.concatenate(self.models)
        return members


def draw_trials(
    ids: Column,
    columns: Columns,
    *,
    cross: Sequence[str] = ("song",),
    nontargets: str = "all",
    hardest_k: int = 10,
    vectors: npt.NDArray[np.floating] | None = None,
    enroll: Sequence[str] = (),
    test: Sequence[str] = (),
    pitch_gap: tuple[float, float] | None = None,
    within_corpus: bool = True,
    n_enroll: int = 1,
    max_trials: int | None = None,
    seed: int = 0,
) -> TrialList:
    """Build the trials that the rules allow: all, or a sample with both classes in it.

    Rules for both classes: `enroll`, `test`, `pitch_gap`, `within_corpus`, `n_enroll`. `cross`
    is for targets only, `nontargets` for nontargets only. Without conditions and models, a pair
    has no direction and is listed once, lower row first; so is one that fits both ways. Memory
    grows with the trials kept, not with the pairs there are; the time does not either, except
    that with a pitch gap, or several labels in `cross`, each pair is looked at (some 20 million
    a second).

    Args:
        ids: id of each recording.
        columns: labels of the recordings by name; ``singer`` must be there, any others may.
            Recordings of an unknown singer ("") take no part.
        cross: targets differ in each of these labels, for a pair that shares words and melody
            (or session, or technique) is easier than what comes in use. An unknown song ("", or
            no such label at all) is a song of its own; where another label is unknown, there is
            no target. With models, the tested recording differs from all members.
        nontargets: ``all`` pairs of two singers; ``same_gender``, ``cross_gender`` (unknown
            genders, "" and "?", take no part); ``hardest``: for each enrolled recording the
            `hardest_k` most similar ones of other singers by `vectors`, within the gender
            (unknown genders are among themselves).
        hardest_k: see `nontargets`.
        vectors: `(n, dim)` of any length, for the hardest.
        enroll: conditions on enrolled recordings, such as ``kind=speech``.
        test: conditions on tested recordings, such as ``kind=singing``.
        pitch_gap: least and greatest (excluded) difference in semitones of the label ``f0``,
            the median F0 in Hz; where it is unknown, there is no trial. A model's is the mean of
            its members', in semitones.
        within_corpus: no pair is of two corpora, whose microphones and rooms alone would tell
            them apart; nothing happens without a label ``corpus``, and unknown ones ("") are
            taken for one corpus.
        n_enroll: recordings per enrollment; above 1, each singer's recordings are divided into
            models at random, of one song (or what comes first in `cross`) each as far as they
            go (see `enrollment.draw_models`), and no model is tested with its own members.
        max_trials: limit, at least 2; None for all. Above it, the targets get half of the
            places (fewer or more if one class has not so many), nontargets the rest; within
            each class all pairs have the same chance.
        seed: of the sample and the models.

    Returns:
        The trials by ascending enroll, then test index; the same for the same arguments.

    Raises:
        SingeridError: a class has no trials (the message names the rule that removed them), a
            label is missing or has another length, `f0` is not a number, a vector has no
            direction, or an argument is out of range.
    """
    rules = Rules(
        tuple(cross), nontargets, hardest_k, tuple(enroll), tuple(test), pitch_gap, within_corpus,
        n_enroll,
    )  # fmt: skip
    candidates = Candidates(ids, columns, rules, vectors, seed)
    trials = _drawn(candidates, max_trials, np.random.default_rng([seed, 0]))
    if not trials.targets.any():
        raise _missing("target", candidates)
    if trials.targets.all():
        raise _missing("nontarget", candidates)
    return trials


def all_pairs(
    ids: Column,
    singers: Column,
    *,
    songs: Column | None = None,
    genders: Column | None = None,
    corpora: Column | None = None,
    max_trials: int | None = None,
    rng: np.random.Generator | None = None,
) -> TrialList:
    """`draw_trials` from columns, where a rule is on if its column is given.

    Args:
        ids: id of each recording.
        singers: singer of each recording.
        songs: song of each; if given, targets are of two different songs.
        genders: gender of each; if given, nontargets are of the same gender.
        corpora: corpus of each; if given, no pair is of two corpora.
        max_trials: limit, at least 2; None for all.
        rng: source of the sample; needed with `max_trials`.

    Returns:
        The trials by ascending enroll, then test index; enroll < test. There may be none.

    Raises:
        SingeridError: a column has another length than `ids`, or the limit is too low.
    """
    given = {"singer": singers, "song": songs, "gender": genders, "corpus": corpora}
    columns = {name: column for name, column in given.items() if column is not None}
    nontargets = "all" if genders is None else "same_gender"
    return _drawn(Candidates(ids, columns, Rules(nontargets=nontargets)), max_trials, rng)


def same_gender(trials: TrialList, genders: Column) -> BoolArray:
    """Which trials remain if nontargets must be of one known gender; targets all do.

    Args:
        trials: any trials.
        genders: gender of each recording, ``""`` or ``"?"`` where unknown.

    Returns:
        bool `(n_trials,)`.
    """
    check_lengths({"gender": genders}, len(trials.ids))
    code, is_known = codes(genders), known(genders, UNKNOWN_GENDERS)
    a, b = trials.enroll_first, trials.test
    return np.asarray(trials.targets | (is_known[a] & (code[a] == code[b])))


def _drawn(
    candidates: Candidates, limit: int | None, rng: np.random.Generator | None
) -> TrialList:  # fmt: skip
    """All candidates, or a sample of them within a limit."""
    target_pairs, nontarget_pairs = candidates.targets(), candidates.nontargets()
    n_targets, n_nontargets = _shares(len(target_pairs), len(nontarget_pairs), limit)
    a = sample(target_pairs, n_targets, rng)
    b = sample(nontarget_pairs, n_nontargets, rng)
    enroll, test = candidates.turned(np.concatenate([a, b], axis=1))
    order = np.argsort(enroll * len(candidates.ids) + test)
    n_possible = len(target_pairs) + len(nontarget_pairs)
    models: Sequence[Sequence[int]] = ()
    names: Sequence[str] = ()
    if candidates.rules.n_enroll > 1:
        models = [tuple(rows) for rows in candidates.members.tolist()]
        names = _model_names(candidates.columns["singer"], models)
    return TrialList(
        candidates.ids, enroll[order], test[order], order < n_targets, n_possible, models, names
    )


def _model_names(singers: Column, models: Sequence[Sequence[int]]) -> list[str]:
    """The singer's name and a number from 1 for each model."""
    counts: dict[str, int] = {}
    names = []
    for singer in (singers[rows[0]] for rows in models):
        counts[singer] = counts.get(singer, 0) + 1
        names.append(f"{singer}-{counts[singer]}")
    return names


def _shares(n_targets: int, n_nontargets: int, limit: int | None) -> tuple[int, int]:
    """How many trials of each class to keep within the limit."""
    if limit is None or n_targets + n_nontargets <= limit:
        return n_targets, n_nontargets
    if limit < 2:
        raise SingeridError("max_trials out of range", found=limit, expected="at least 2")
    targets = min(n_targets, max(limit // 2, limit - n_nontargets))
    return targets, min(n_nontargets, limit - targets)


def _missing(kind: str, candidates: Candidates) -> SingeridError:
    """The error for a class without trials: it names the rule without which there would be some.

    Args:
        kind: target or nontarget.
        candidates: what there was to choose from.
    """
    for name, rules, hint in _loosened(candidates.rules, kind):
        other = dataclasses.replace(candidates, rules=rules)
        if len(other.targets() if kind == "target" else other.nontargets()):
            return SingeridError(f"no {kind} trials", found=f"{name} them all", do=hint)
    if kind == "nontarget":
        return SingeridError("no nontarget trials", expected="recordings of at least two singers")
    return SingeridError("no target trials", expected="a singer with two recordings")


def _loosened(rules: Rules, kind: str) -> Iterator[tuple[str, Rules, str]]:
    """For each rule: its name, the rules without it, what to do; then all rules together."""
    free: dict[str, object] = {}

    def without(name: str, hint: str, **change: object) -> tuple[str, Rules, str]:
        free.update(change)
        verb = "remove" if name.endswith("together") else "removes"
        return f"{name} {verb}", dataclasses.replace(rules, **change), hint  # type: ignore[arg-type]

    if kind == "target":
        for label in rules.cross:
            rest = tuple(name for name in rules.cross if name != label)
            hint = f"take {label} out of cross, or give recordings that differ in it"
            yield without(f"cross={label}", hint, cross=rest)
    elif rules.nontargets != "all":
        hint = "take nontargets=all, or check the label 'gender'"
        yield without(f"nontargets={rules.nontargets}", hint, nontargets="all")
    for side in ("enroll", "test"):
        if conditions := getattr(rules, side):
            hint = "check the condition and the label's values"
            yield without(f"{side}={' '.join(conditions)}", hint, **{side: ()})
    if rules.pitch_gap:
        low, high = rules.pitch_gap
        hint = "widen the gap, or check the label 'f0'"
        yield without(f"pitch_gap={low:g} to {high:g} semitones", hint, pitch_gap=None)
    if rules.within_corpus:
        yield without("within_corpus", "set within_corpus to false", within_corpus=False)
    if rules.n_enroll > 1:
        hint = "lower n_enroll, or give more recordings of each singer"
        yield without(f"n_enroll={rules.n_enroll}", hint, n_enroll=1)
    if len(free) > 1:
        free |= {"cross": ()} if "cross" in free else {}
        yield without("these rules together", f"loosen {', '.join(sorted(free))}", **free)
