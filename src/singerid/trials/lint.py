"""The linter of trials: what makes a list unfair, wrong, or its error rates hard to trust.

Codes are stable: T1.. errors (the figures do not mean what they say), T2.. warnings (they flatter,
or are uncertain), T3.. remarks (what could not be checked).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError
from singerid.trials import TrialList
from singerid.trials.findings import Finding, View, finding, many
from singerid.trials.labels import UNKNOWN_GENDERS, Columns, IntArray, check_lengths, codes

FEW_SINGERS, FEWER_SINGERS = 20, 5  # intervals are wide; there are none
MIXED_SHARE = 0.1  # of the nontargets; above, the error rate is flattered noticeably
GENDER_SHARE = 0.2  # of the singers
TARGETS_RATIO = 3.0  # a singer's number of target trials in relation to an equal share
SESSIONS = ("session", "album")


def lint(
    trials: TrialList,
    columns: Columns,
    *,
    vectors: npt.NDArray[np.floating] | None = None,
    train_singers: Sequence[str] = (),
) -> list[Finding]:
    """Look for everything that is known to spoil lists of trials.

    Args:
        trials: any trials.
        columns: what is known of their recordings: singer, song, gender, session or album, path,
            sha256, split, corpus; "" where unknown. What is not there is not checked.
        vectors: `(n_recordings, dim)`; recordings with equal ones are taken for the same audio.
        train_singers: whom the encoder was trained on; without them, singers that have a
            recording of ``split`` train are suspected of it.

    Returns:
        Errors first, then warnings, then remarks; by code.

    Raises:
        SingeridError: columns or vectors do not fit the trials' recordings.
    """
    check_lengths(columns, len(trials.ids))
    if vectors is not None and len(vectors) != len(trials.ids):
        raise SingeridError(
            "vectors do not fit the recordings", found=len(vectors), expected=len(trials.ids)
        )
    view = View(trials, columns, vectors, frozenset(train_singers))
    found = [finding for check in _CHECKS for finding in check(view)]
    return sorted(found, key=lambda finding: finding.code)


def _same_audio(view: View) -> Iterator[Finding]:
    seen = view.alike(codes(view.trials.ids))
    yield from view.among(seen, "T101", "with one recording on both sides")
    kinds = [
        ("T102", view.coded("path"), "with one file on both sides, under two ids"),
        ("T103", view.coded("sha256"), "with the same audio on both sides (equal hashes)"),
    ]
    if view.vectors is not None:
        first: dict[bytes, int] = {}
        rows = np.ascontiguousarray(view.vectors)
        code = np.asarray([first.setdefault(row.tobytes(), len(first)) for row in rows], np.int64)
        text = "with equal vectors on both sides: the same audio, or a collapsed encoder"
        kinds.append(("T104", code, text))
    for name, code, text in kinds:  # each trial is told of once
        same = view.alike(code) & ~seen
        yield from view.among(same, name, text)
        seen = seen | same


def _contradictions(view: View) -> Iterator[Finding]:
    enroll, test = view.sides(view.singers)
    both, targets = (enroll >= 0) & (test >= 0), view.trials.targets
    wrong = both & targets & (enroll != test)
    yield from view.among(wrong, "T105", "called targets, of two singers")
    wrong = both & ~targets & (enroll == test)
    yield from view.among(wrong, "T106", "called nontargets, of one singer")
    rows = view.members
    singers = np.where(rows < 0, -1, view.singers[rows])
    mixed = np.any((singers >= 0) & (singers != singers.max(axis=1, keepdims=True)), axis=1)
    if models := [view.trials.enroll_names[item] for item in np.flatnonzero(mixed).tolist()]:
        text = f"{many(len(models), 'model')} made of recordings of several singers"
        yield finding("T107", len(models), text, models)


def _trained_on(view: View) -> Iterator[Finding]:
    singers = np.asarray(view.column("singer"), object)
    code, text = "T108", "the encoder was trained on: it knows their voices"
    trained = set(view.train_singers)
    if not trained:
        code, text = "T210", "marked as split train: an encoder trained on them knows their voices"
        trained = set(singers[np.asarray(view.column("split"), object) == "train"])
    if guilty := sorted(trained & set(singers[view.used]) - {""}):
        yield finding(code, len(guilty), f"{many(len(guilty), 'singer')} {text}", guilty)


def _classes(view: View) -> Iterator[Finding]:
    targets = view.trials.targets
    for name, there in (("target", targets.any()), ("nontarget", not targets.all())):
        if not there:
            yield finding("T109", 0, f"no {name} trials: there is no error rate")


def _twice(view: View) -> Iterator[Finding]:
    trials, n = view.trials, len(view.trials.ids)
    first, second = trials.enroll, trials.test
    if not trials.models:  # a model and a recording have no mirror image
        first, second = np.minimum(first, second), np.maximum(first, second)
    key = np.sort((first * n + second) * 2 + (first != trials.enroll))
    again = key[1:] == key[:-1]
    once = key[np.append(True, ~again)[: len(key)]]
    swapped = once[1:][once[1:] >> 1 == once[:-1] >> 1]
    for code, found, text in (
        ("T201", key[1:][again], "listed before: they count more than once"),
        ("T202", swapped, "with the sides of another swapped: they count twice"),
    ):
        if len(found):
            sides = [divmod(int(k) >> 1, n)[:: -1 if k & 1 else 1] for k in found[:3]]
            examples = [f"{trials.enroll_names[a]} {trials.ids[b]}" for a, b in sides]
            yield finding(code, len(found), f"{many(len(found), 'trial')} {text}", examples)


def _same_take(view: View) -> Iterator[Finding]:
    targets = view.trials.targets
    for code, label, helps in (
        ("T203", "song", "words and melody help"),
        *(("T204", label, "microphone and room help") for label in SESSIONS),
    ):
        same = view.alike(view.coded(label)) & targets
        share = np.count_nonzero(same) / max(1, int(np.count_nonzero(targets)))
        yield from view.among(same, code, f"({share:.0%} of the targets) of one {label}: {helps}")


def _mixed(view: View) -> Iterator[Finding]:
    for code, label, several, why in (
        ("T205", "gender", "genders", "they flatter"),
        ("T211", "corpus", "corpora", "microphone and room tell them apart"),
    ):
        enroll, test = view.sides(view.coded(label, UNKNOWN_GENDERS))
        judged = ~view.trials.targets & (enroll >= 0) & (test >= 0)
        mixed = judged & (enroll != test)
        share = np.count_nonzero(mixed) / max(1, int(np.count_nonzero(judged)))
        if share > MIXED_SHARE:
            text = f"of two {several} ({share:.0%} of the nontargets of known {label}): {why}"
            yield from view.among(mixed, code, text)


def _genders(view: View) -> Iterator[Finding]:
    _, genders = view.values(view.coded("gender", UNKNOWN_GENDERS))
    counts = np.unique(genders[genders >= 0], return_counts=True)[1].tolist()
    n = sum(counts)
    if n >= FEWER_SINGERS and (len(counts) == 1 or min(counts) < GENDER_SHARE * n):
        few = min(counts) if len(counts) > 1 else 0
        yield finding("T206", few, f"of {n:,} singers {few:,} are of the other gender")


def _sessions(view: View) -> Iterator[Finding]:
    unseen = view.used.copy()
    for label in SESSIONS:
        code = view.coded(label)
        unseen &= code < 0
        single, n = _in_one(view, code)
        if len(single):
            text = f"{len(single):,} of {many(n, 'singer')} recorded in a single {label}"
            text += ": the microphone tells them apart too"
            yield finding("T207", len(single), text, view.names(single))
    if count := int(np.count_nonzero(unseen)):
        single, n = _in_one(view, view.coded("corpus"))
        text = f"{many(count, 'recording')} of unknown session and album: microphone and room may "
        text += "tell singers apart, unseen"
        if len(single):
            text += f" ({len(single):,} of {many(n, 'singer')} within one corpus each)"
        yield finding("T301", count, text)


def _in_one(view: View, code: IntArray) -> tuple[IntArray, int]:
    """Singers with several recordings that all have one known code; how many have several."""
    n_recordings = np.bincount(view.singers[view.used & (view.singers >= 0)])
    singers, values = view.values(code)
    one = np.bincount(singers) == 1
    one[singers[values < 0]] = False
    several = n_recordings > 1
    return np.flatnonzero(one & several), int(np.count_nonzero(several))


def _singers(view: View) -> Iterator[Finding]:
    n = len(view.used_singers)
    if 0 < n < FEW_SINGERS:
        bad = "intervals are wide" if n >= FEWER_SINGERS else "no interval, do not trust the rates"
        yield finding("T208", n, f"only {many(n, 'singer')}: {bad}")
    _, test = view.sides(view.singers)
    of_targets = test[view.trials.targets & (test >= 0)]
    counts = np.bincount(of_targets, minlength=1)
    share = counts / max(1, len(of_targets))
    heavy = np.flatnonzero(share * np.count_nonzero(counts) > TARGETS_RATIO)
    if len(heavy):
        heavy = heavy[np.argsort(-counts[heavy], kind="stable")]
        text = f"{many(len(heavy), 'singer')} with more than {TARGETS_RATIO:g} times an equal share"
        text += f" of the targets, one with {share.max():.0%}: the error rate is mostly theirs"
        yield finding("T209", len(heavy), text, view.names(heavy))
    none = np.setdiff1d(view.used_singers, of_targets)
    if len(none):
        text = f"{many(len(none), 'singer')} without a target trial"
        yield finding("T302", len(none), text, view.names(none))


def _unknown(view: View) -> Iterator[Finding]:
    for label, unknown, unseen in (
        ("singer", ("",), "wrong classes"),
        ("song", ("",), "targets of one song"),
        ("gender", UNKNOWN_GENDERS, "nontargets of two genders"),
    ):
        rows = np.flatnonzero(view.used & (view.coded(label, unknown) < 0))
        if len(rows):
            examples = [view.trials.ids[row] for row in rows[:3]]
            text = f"{many(len(rows), 'recording')} of unknown {label}: {unseen} go unseen"
            yield finding("T303", len(rows), text, examples)


_CHECKS: tuple[Callable[[View], Iterator[Finding]], ...] = (
    _same_audio, _contradictions, _trained_on, _classes, _twice, _same_take, _mixed, _genders,
    _sessions, _singers, _unknown,
)  # fmt: skip
