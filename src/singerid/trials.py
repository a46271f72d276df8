"""Verification trials: which recordings are compared with which, in memory and as lists on disk."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError
from singerid.records import Trial, atomic_write

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Column = Sequence[str]
UNKNOWN_GENDERS = ("", "?")
_UNSAFE = re.compile(r"[\s%\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class TrialList:
    """Trials as indices into a list of recordings.

    Attributes:
        ids: id of each recording.
        enroll: int64 `(n,)`, the enrolled recording of each trial.
        test: int64 `(n,)`, the tested recording.
        targets: bool `(n,)`, True where both are of one singer.
        n_possible: number of trials that this list was sampled from; `n` if it has them all.
    """

    ids: Sequence[str]
    enroll: IntArray
    test: IntArray
    targets: BoolArray
    n_possible: int

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Trial:
        return Trial(
            self.ids[self.enroll[index]], self.ids[self.test[index]], bool(self.targets[index])
        )


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
    """Every pair of two recordings that makes a fair trial, once, never mirrored.

    Targets are pairs of one singer, nontargets of two. Above `max_trials`, the targets get half
    of the places (fewer if there are not so many), nontargets the rest; within each class all
    pairs have the same chance. Memory grows with the trials kept, not with the pairs there are.

    Args:
        ids: id of each recording.
        singers: singer of each recording.
        songs: song of each; if given, targets are of two different songs ("" is a song of its
            own), for a pair that shares words and melody is easier than what comes in use.
        genders: gender of each; if given, nontargets are of the same gender ("" and "?" are
            unknown and take no part in them), for voices of two genders are easily told apart.
        corpora: corpus of each; if given, no pair is of two corpora, whose microphones and
            rooms alone would tell them apart.
        max_trials: limit, at least 2; None for all.
        rng: source of the sample; needed with `max_trials`.

    Returns:
        The trials by ascending enroll, then test index; enroll < test.

    Raises:
        SingeridError: a column has another length than `ids`, or the limit is too low.
    """
    n = len(ids)
    singer, song, gender, corpus = (
        _codes(column, n, name)
        for name, column in (
            ("singer", singers), ("song", songs), ("gender", genders), ("corpus", corpora),
        )
    )  # fmt: skip
    if songs is not None:
        unknown = np.asarray([not text for text in songs], np.bool_)
        song = np.where(unknown, n + np.arange(n), song)
    elif n:
        song = np.arange(n)
    known = np.ones(n, np.bool_)
    if genders is not None:
        known = np.asarray([text not in UNKNOWN_GENDERS for text in genders], np.bool_)
    target_pairs = _Pairs.between(np.arange(n), (corpus, singer), song)
    nontarget_pairs = _Pairs.between(
        np.flatnonzero(known), (corpus[known], gender[known]), singer[known]
    )
    n_targets, n_nontargets = _shares(len(target_pairs), len(nontarget_pairs), max_trials)
    a = target_pairs.sample(n_targets, rng)
    b = nontarget_pairs.sample(n_nontargets, rng)
    pairs = np.sort(np.concatenate([a, b], axis=1), axis=0)
    order = np.argsort(pairs[0] * n + pairs[1])
    targets = order < n_targets
    n_possible = len(target_pairs) + len(nontarget_pairs)
    return TrialList(ids, pairs[0, order], pairs[1, order], targets, n_possible)


def same_gender(trials: TrialList, genders: Column) -> BoolArray:
    """Which trials remain if nontargets must be of one known gender; targets all do.

    Args:
        trials: any trials.
        genders: gender of each recording, ``""`` or ``"?"`` where unknown.

    Returns:
        bool `(n_trials,)`.
    """
    code = _codes(genders, len(trials.ids), "gender")
    known = np.asarray([text not in UNKNOWN_GENDERS for text in genders], np.bool_)
    a, b = trials.enroll, trials.test
    return np.asarray(trials.targets | (known[a] & (code[a] == code[b])))


@dataclass(frozen=True)
class _Pairs:
    """Pairs that are never written out: each row's partners are one stretch of the same order.

    Attributes:
        rows: recordings, sorted so that partners are neighbors.
        first: position in `rows` of each row's first partner.
        ends: cumulative number of pairs up to and including each row.
    """

    rows: IntArray
    first: IntArray
    ends: IntArray

    @classmethod
    def between(cls, rows: IntArray, pool: tuple[IntArray, IntArray], part: IntArray) -> _Pairs:
        """All pairs of `rows` in one pool (both keys equal) and different parts of it.

        Sorted by pool, then part, the partners of a row (to be counted once) are those from the
        end of its part to the end of its pool.
        """
        order = np.lexsort((part, pool[1], pool[0]))
        keys = np.stack([pool[0][order], pool[1][order], part[order]])
        new = np.ones((3, len(rows)), np.bool_)
        new[:, 1:] = keys[:, 1:] != keys[:, :-1]
        pool_end = _ends(np.asarray(new[0] | new[1]))
        part_end = _ends(np.asarray(new.any(axis=0)))
        return cls(rows[order], part_end, np.cumsum(pool_end - part_end))

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def sample(self, size: int, rng: np.random.Generator | None) -> IntArray:
        """`(2, size)` distinct pairs: all, or one at random from each of `size` stretches.

        The stretches differ in length by one, so they begin at a random pair: that gives every
        pair the same chance.
        """
        total = len(self)
        numbers = np.arange(size, dtype=np.int64)
        if size < total:
            if rng is None:
                raise SingeridError("a sample of the trials needs a random generator")
            edges = np.append(numbers, size) * total // size
            numbers = (rng.integers(edges[:-1], edges[1:]) + rng.integers(total)) % total
        row = np.searchsorted(self.ends, numbers, side="right")
        before = np.append(0, self.ends)[row]
        return np.stack([self.rows[row], self.rows[self.first[row] + numbers - before]])


def _ends(new: BoolArray) -> IntArray:
    """For each position, where its group ends, from flags of the positions that begin a group."""
    starts = np.flatnonzero(new)
    return np.append(starts, len(new))[np.cumsum(new)]


def _codes(column: Column | None, n: int, name: str) -> IntArray:
    """Integers that are equal where the texts are; all 0 without a column."""
    if column is None:
        return np.zeros(n, np.int64)
    if len(column) != n:
        raise SingeridError(f"column {name!r} has {len(column)} rows", expected=n)
    first: dict[str, int] = {}
    return np.asarray([first.setdefault(text, len(first)) for text in column], np.int64)


def _shares(n_targets: int, n_nontargets: int, limit: int | None) -> tuple[int, int]:
    """How many trials of each class to keep within the limit."""
    if limit is None or n_targets + n_nontargets <= limit:
        return n_targets, n_nontargets
    if limit < 2:
        raise SingeridError("max_trials out of range", found=limit, expected="at least 2")
    targets = min(n_targets, max(limit // 2, limit - n_nontargets))
    return targets, min(n_nontargets, limit - targets)


def write_trials(path: str | os.PathLike[str], trials: TrialList) -> None:
    """Write ``1 enroll test`` lines (1: target), the format of VoxCeleb's lists, atomically.

    White space, control characters and ``%`` in an id are percent-encoded, so that each line has
    three words whatever the files are called; ids without them stay as they are.
    """
    names = _words(trials.ids)
    rows = np.stack([trials.targets, trials.enroll, trials.test], axis=1).tolist()
    with atomic_write(path) as file:
        file.writelines(f"{target} {names[a]} {names[b]}\n" for target, a, b in rows)


def write_scores(
    path: str | os.PathLike[str], trials: TrialList, scores: npt.NDArray[np.floating]
) -> None:
    """Write ``enroll test score`` lines (Kaldi's order), six decimals, atomically.

    Args:
        path: file to write.
        trials: `n` trials.
        scores: `(n,)`, higher = more alike.

    Raises:
        SingeridError: there are not as many scores as trials.
    """
    if np.shape(scores) != (len(trials),):
        raise SingeridError(f"{np.size(scores)} scores do not fit {len(trials)} trials")
    names = _words(trials.ids)
    rows = zip(trials.enroll.tolist(), trials.test.tolist(), scores.tolist(), strict=True)
    with atomic_write(path) as file:
        file.writelines(f"{names[a]} {names[b]} {score:.6f}\n" for a, b, score in rows)


def read_trials(path: str | os.PathLike[str], ids: Column | None = None) -> TrialList:
    """Read ``1 enroll test`` lines, ours or VoxCeleb's.

    Args:
        path: file to read; percent-encoded ids are decoded.
        ids: the recordings that the trials may name, for indices into them; None: those
            in the file, in order of appearance.

    Returns:
        The trials in the order of the file.

    Raises:
        SingeridError: unreadable or empty, a line of another form, or an id not in `ids`.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SingeridError("cannot read trials", where=path, found=error) from error
    index = {name: i for i, name in enumerate(ids or ())}
    known: dict[str, int] = {}  # by word, so that each is decoded only once
    rows: list[tuple[int, int, int]] = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        where = f"{path}:{number}"
        if len(words) != 3 or words[0] not in ("0", "1"):
            raise SingeridError(
                "line is not a trial", where=where, found=line[:60],
                expected="'1 enroll test' for a target, '0 enroll test' for a nontarget",
            )  # fmt: skip
        for word in words[1:]:
            if word not in known:
                name = _name(word, where)
                if ids is not None and name not in index:
                    raise SingeridError(f"no recording {name!r} for the trial", where=where)
                known[word] = index.setdefault(name, len(index))
        rows.append((int(words[0]), known[words[1]], known[words[2]]))
    if not rows:
        raise SingeridError("the file lists no trials", where=path)
    targets, enroll, test = np.asarray(rows, np.int64).T
    names = list(index) if ids is None else ids
    return TrialList(names, enroll, test, targets.astype(np.bool_), len(rows))


def _words(ids: Column) -> list[str]:
    """Each id as one word without white space."""
    for row, name in enumerate(ids):
        if not name:
            raise SingeridError("a recording has no id", where=f"row {row}")
    return [_UNSAFE.sub(_percent, name) for name in ids]


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def _name(word: str, where: str) -> str:
    """The id behind a word of `_words`."""
    try:
        return unquote(word, errors="surrogatepass")
    except UnicodeDecodeError as error:
        raise SingeridError("id is not percent-encoded UTF-8", where=where, found=word) from error
