"""Lists of trials, scores and models on disk, in the formats of the field."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError
from singerid.records import atomic_write
from singerid.trials import TrialList
from singerid.trials.labels import BoolArray, Column, IntArray
from singerid.trials.models import member_rows
from singerid.trials.words import Index, WordFile, Words, encoded, literal, opened

FloatArray = npt.NDArray[np.float64]
_BLOCK = 1 << 13  # lines at a time


@dataclass(frozen=True)
class _Format:
    """How a line says what is compared.

    Attributes:
        classes: words for nontarget and target.
        separator: between the words; None is any white space.
        places: positions of the class, enrolled and tested word.
    """

    classes: tuple[str, str]
    separator: str | None
    places: tuple[int, int, int]

    def fits(self, line: str) -> bool:
        """True if a line may be of this format."""
        words = line.rstrip("\n").split(self.separator)
        return len(words) == 3 and words[self.places[0]] in self.classes


_FORMATS = {
    # veri_test.txt of VoxCeleb1, and VoxSRC
    "voxceleb": _Format(("0", "1"), None, (0, 1, 2)),
    # trials of Kaldi's sre and voxceleb recipes
    "kaldi": _Format(("nontarget", "target"), None, (2, 0, 1)),
    # speaker_pairs.txt of github SonyCSLParis/ssl-singer-identity: "1,singer/a.wav,singer/b.wav",
    # paths relative to the corpus, as they are; see its metadata/vocalset_renamed_split_4s and
    # m4singer_renamed_split_4s, written by preprocess/create_speaker_pairs.py
    "speaker_pairs": _Format(("0", "1"), ",", (0, 1, 2)),
}
FORMATS = tuple(_FORMATS)
_EXPECTED = "'1 enroll test', 'enroll test target' or '1,enroll,test' (0, nontarget: two singers)"


def write_trials(
    path: str | os.PathLike[str], trials: TrialList, format: str = "voxceleb"
) -> None:  # fmt: skip
    """Write one trial a line, atomically.

    ``voxceleb``: ``1 enroll test`` (1: target). ``kaldi``: ``enroll test target`` (or
    ``nontarget``). ``speaker_pairs``: ``1,enroll,test``.

    White space, control characters and ``%`` in an id are percent-encoded, so that each line has
    three words whatever the files are called; ids without them stay as they are. In
    ``speaker_pairs`` ids stand as they are, for its readers decode nothing. Models are written
    by name; `model_files.write_models` says what is in them.

    Raises:
        SingeridError: no such format, an empty id, or one that the format has no way to write.
    """
    layout = _layout(path, format)
    words = literal if layout.separator else encoded
    enroll, test = words(trials.enroll_names), words(trials.ids)
    line = f"{layout.separator or ' '}".join(["%s"] * 3) + "\n"
    with atomic_write(path) as file:
        for block in _blocks_of(len(trials)):
            columns = (
                map(layout.classes.__getitem__, trials.targets[block].tolist()),
                map(enroll.__getitem__, trials.enroll[block].tolist()),
                map(test.__getitem__, trials.test[block].tolist()),
            )
            rows = zip(*(columns[layout.places.index(i)] for i in range(3)), strict=True)
            file.writelines(map(line.__mod__, rows))


def write_scores(
    path: str | os.PathLike[str], trials: TrialList, scores: npt.NDArray[np.floating]
) -> None:
    """Write ``enroll test score`` lines (Kaldi's order), six decimals, atomically.

    Args:
        path: file to write.
        trials: `n` trials.
        scores: `(n,)`, higher = more alike.

    Raises:
        SingeridError: there are not as many scores as trials, or one is not finite.
    """
    scores = np.asarray(scores)
    if scores.shape != (len(trials),):
        raise SingeridError(f"{scores.size} scores do not fit {len(trials)} trials")
    if not np.isfinite(scores).all():
        bad = int(np.argmin(np.isfinite(scores)))
        raise SingeridError("a score is not finite", where=f"trial {bad}", found=scores[bad])
    enroll, test = encoded(trials.enroll_names), encoded(trials.ids)
    with atomic_write(path) as file:
        for block in _blocks_of(len(trials)):
            rows = zip(
                map(enroll.__getitem__, trials.enroll[block].tolist()),
                map(test.__getitem__, trials.test[block].tolist()),
                scores[block].tolist(), strict=True,
            )  # fmt: skip
            file.writelines(map("%s %s %.6f\n".__mod__, rows))


def read_trials(
    path: str | os.PathLike[str],
    ids: Column | None = None,
    format: str = "auto",
    models: Mapping[str, Sequence[str]] | None = None,
) -> TrialList:
    """Read a list of trials: ours or anybody's in one of the formats of `write_trials`.

    Args:
        path: file to read; percent-encoded ids are decoded (not in ``speaker_pairs``).
        ids: the recordings that the trials may name, for indices into them; None: those
            in the file, in order of appearance.
        format: one of `FORMATS`; ``auto``: found by the first lines.
        models: recordings of each model (see `model_files.read_models`), if models are enrolled.

    Returns:
        The trials in the order of the file.

    Raises:
        SingeridError: unreadable or empty, a line of another form, or recordings not in `ids`.
    """
    layout = _layout(path, _detected(path) if format == "auto" else format)
    file = WordFile(path, "trial", _EXPECTED, layout.separator, layout.places[1:])
    decode = layout.separator is None
    test = Index(ids, decode)
    enroll = test if models is None else Index(list(models), decode)
    members = member_rows(path, models or {}, test)
    blocks = [np.zeros((0, 3), np.int32)]  # half of int64, while there may be two copies
    for numbers, words in file.blocks():
        block = np.empty((len(numbers), 3), np.int32)
        block[:, 0] = _classes(file, layout, numbers, words)
        block[:, 1:] = file.pairs(numbers, words, enroll, test)
        blocks.append(block)
    table = np.concatenate(blocks)
    if not len(table):
        raise _empty(path)
    if table.min() < 0:
        raise file.unknown(enroll, test)
    return TrialList(
        list(test.of_name) if ids is None else ids, table[:, 1].astype(np.int64),
        table[:, 2].astype(np.int64), table[:, 0] > 0, len(table), members, list(models or ()),
    )  # fmt: skip


def read_scores(path: str | os.PathLike[str], trials: TrialList) -> FloatArray:
    """Read ``enroll test score`` lines in any order: exactly one for each of the trials.

    Args:
        path: file to read; percent-encoded ids are decoded.
        trials: `n` trials.

    Returns:
        float64 `(n,)`, in the order of the trials.

    Raises:
        SingeridError: unreadable, a line of another form, a score that is not finite, recordings
            or pairs that are not in the trials, or trials without a score.
    """
    file = WordFile(path, "score", "'enroll test score'", None, (0, 1))
    test = Index(trials.ids, decode=True)
    enroll = Index(trials.model_names, decode=True) if trials.models else test
    keys, values = [np.zeros(0, np.int64)], [np.zeros(0)]
    all_known = True
    for numbers, words in file.blocks():
        pairs = file.pairs(numbers, words, enroll, test)
        all_known &= bool(pairs.min() >= 0)
        keys.append(pairs[:, 0] * len(trials.ids) + pairs[:, 1])
        values.append(_scores(file, numbers, words[2]))
    if not all_known:
        raise file.unknown(enroll, test)
    found, wanted = np.concatenate(keys), trials.enroll * len(trials.ids) + trials.test
    # Of a pair that the list names twice, the first line is the first trial's.
    order, place = np.argsort(found, kind="stable"), np.argsort(wanted, kind="stable")
    if not np.array_equal(found[order], wanted[place]):
        raise _unmatched(path, trials, found, wanted)
    scores = np.empty(len(wanted))
    scores[place] = np.concatenate(values)[order]
    return scores


def _classes(file: WordFile, layout: _Format, numbers: Sequence[int], words: Words) -> BoolArray:
    """Of a block, True for targets, `(n,)`."""
    flags = {word: bool(value) for value, word in enumerate(layout.classes)}
    column = words[layout.places[0]]
    try:
        return np.fromiter(map(flags.__getitem__, column), np.bool_, len(column))
    except KeyError:
        bad = next(i for i, word in enumerate(column) if word not in flags)
        line = (layout.separator or " ").join(column[bad] for column in words)
        raise file.wrong(numbers[bad], line) from None


def _scores(file: WordFile, numbers: Sequence[int], words: Sequence[str]) -> FloatArray:
    """Scores of a block, `(n,)`."""
    values = np.fromiter(map(_number, words), np.float64, len(words))
    if not np.isfinite(values).all():
        bad = int(np.argmin(np.isfinite(values)))
        raise SingeridError(
            "score is not a finite number", where=f"{file.path}:{numbers[bad]}", found=words[bad]
        )
    return values


def _number(text: str) -> float:
    """NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return np.nan


def _detected(path: str | os.PathLike[str]) -> str:
    """The one format of the first lines; "1 x target" alone may be of two, so more are read."""
    found: list[str] = []
    with opened(path, "trials") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            found = [name for name in found or _FORMATS if _FORMATS[name].fits(line)]
            if not found:
                raise WordFile(path, "trial", _EXPECTED, None, (1, 2)).wrong(number, line)
            if len(found) == 1:
                break
    if not found:
        raise _empty(path)
    return found[0]


def _layout(path: object, format: str) -> _Format:
    """The format of a name."""
    if format not in _FORMATS:
        raise SingeridError(
            "no such format of trials", where=path, found=repr(format),
            expected=" or ".join(FORMATS),
        )  # fmt: skip
    return _FORMATS[format]


def _empty(path: object) -> SingeridError:
    return SingeridError("the file lists no trials", where=path)


def _unmatched(
    path: object, trials: TrialList, found: IntArray, wanted: IntArray
) -> SingeridError:  # fmt: skip
    """The error for scores that are not one for each trial."""
    keys, number = np.unique(np.concatenate([found, wanted]), return_inverse=True)
    scored, listed = (
        np.bincount(part, minlength=len(keys)) for part in np.split(number, [len(found)])
    )
    wrong = (
        (scored < listed, "trials have no score"),
        ((scored > 0) & (listed == 0), "scored pairs are no trials"),
        (scored > listed, "trials have more than one score"),
    )
    bad, what = next((bad, what) for bad, what in wrong if bad.any())
    enroll, test = divmod(int(keys[np.argmax(bad)]), len(trials.ids))
    return SingeridError(
        f"{np.count_nonzero(bad):,} {what}", where=path,
        found=f"{trials.enroll_names[enroll]!r} with {trials.ids[test]!r}",
        expected=f"one score for each of {len(trials):,} trials",
    )  # fmt: skip


def _blocks_of(n: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, n, _BLOCK))
