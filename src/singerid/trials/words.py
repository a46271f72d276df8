"""Lists of three words a line: read in blocks, with ids as words, wrong lines reported."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import IO
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError

IntArray = npt.NDArray[np.int64]
Words = tuple[list[str], list[str], list[str]]  # the first, second and third of each line
_UNSAFE = re.compile(r"[\s%\ufeff\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_LITERAL = re.compile(r"[,\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_BLOCK = 1 << 11  # lines at a time: few enough for the cache
_NAMED = 3  # unknown names that a message quotes


def encoded(ids: Sequence[str]) -> list[str]:
    """Each id as one word: white space, control characters and ``%`` percent-encoded.

    Raises:
        SingeridError: an id is empty.
    """
    _refuse_empty(ids)
    return [_UNSAFE.sub(_percent, name) for name in ids]


def decoded(word: str, where: str) -> str:
    """The id behind a word of `encoded`.

    Raises:
        SingeridError: it does not encode UTF-8.
    """
    try:
        return _unquoted(word)
    except UnicodeDecodeError as error:
        raise SingeridError("id is not percent-encoded UTF-8", where=where, found=word) from error


def literal(ids: Sequence[str]) -> list[str]:
    """Each id as it is.

    Raises:
        SingeridError: an id is empty, or cannot stand between commas on one line.
    """
    _refuse_empty(ids)
    for row, name in enumerate(ids):
        if _NOT_LITERAL.search(name):
            raise SingeridError(
                "id cannot stand between commas", where=f"row {row}", found=repr(name),
                do="write the trials in the format voxceleb",
            )  # fmt: skip
    return list(ids)


class Index(dict[str, int]):
    """Row of the recording (or model) behind each word, -1 for strangers; decoded only once.

    Args:
        names: the names that there are, unique; None: whatever comes, in order of appearance.
        decode: words are percent-encoded.
    """

    def __init__(self, names: Sequence[str] | None, decode: bool) -> None:
        super().__init__()
        self.of_name = {name: row for row, name in enumerate(names or ())}
        self.grows, self.decode = names is None, decode
        if len(self.of_name) < len(names or ()):
            twice = next(name for i, name in enumerate(names or ()) if self.of_name[name] != i)
            raise SingeridError("two recordings have one id", found=repr(twice))

    def __missing__(self, word: str) -> int:
        self[word] = row = self.row_of(self.name_of(word))
        return row

    def name_of(self, word: str) -> str:
        """The name that a word stands for."""
        return _unquoted(word) if self.decode else word

    def row_of(self, name: str) -> int:
        """Row of a name, -1 for strangers."""
        if self.grows and name:
            return self.of_name.setdefault(name, len(self.of_name))
        return self.of_name.get(name, -1)


@dataclass(frozen=True)
class WordFile:
    """A file with three words on each line, two of which name what is compared.

    Attributes:
        path: the file.
        what: what a line is called.
        expected: what a line should look like.
        separator: between the words; None is any white space.
        sides: positions of the enrolled and the tested word.
    """

    path: str | os.PathLike[str]
    what: str
    expected: str
    separator: str | None
    sides: tuple[int, int]

    def blocks(self) -> Iterator[tuple[list[int], Words]]:
        """Blocks of lines: their numbers from 1 and their words; blank ones are left out.

        Raises:
            SingeridError: the file cannot be read, or a line has not three words.
        """
        with opened(self.path, f"{self.what}s") as file:
            numbers: list[int] = []
            words: list[str] = []  # of all lines: a list for each would cost twice the time
            for number, line in enumerate(file, 1):
                row = line.rstrip("\n").split(self.separator)
                if len(row) == 3:
                    numbers.append(number)
                    words += row
                elif line.strip():
                    raise self.wrong(number, line)
                if len(numbers) == _BLOCK:
                    yield numbers, (words[::3], words[1::3], words[2::3])
                    numbers, words = [], []
            if numbers:
                yield numbers, (words[::3], words[1::3], words[2::3])

    def pairs(
        self, numbers: Sequence[int], words: Words, enroll: Index, test: Index
    ) -> IntArray:  # fmt: skip
        """What the two sides of each line of a block stand for: int64 `(n, 2)`, -1 for strangers.

        Raises:
            SingeridError: a word does not encode UTF-8.
        """
        n = len(numbers)
        sides = [words[place] for place in self.sides]
        pairs = np.empty((n, 2), np.int64)
        try:
            if enroll is test:  # in one go: new names are numbered in order of appearance
                both = chain.from_iterable(zip(*sides, strict=True))
                pairs.reshape(-1)[:] = np.fromiter(map(test.__getitem__, both), np.int64, 2 * n)
            else:
                for column, side, index in zip(pairs.T, sides, (enroll, test), strict=True):
                    column[:] = np.fromiter(map(index.__getitem__, side), np.int64, n)
        except UnicodeDecodeError:
            for number, *row in zip(numbers, *sides, strict=True):
                for word in row:
                    decoded(word, f"{self.path}:{number}")
            raise
        return pairs

    def wrong(self, number: int, line: str) -> SingeridError:
        """The error for a line of another form."""
        return SingeridError(
            f"line is not a {self.what}", where=f"{self.path}:{number}", found=line.strip()[:60],
            expected=self.expected,
        )  # fmt: skip

    def unknown(self, enroll: Index, test: Index) -> SingeridError:
        """The error for words that stand for nothing: how many, the first few, their lines.

        If models are enrolled and some are unknown, it is about these.
        """
        noun, looked = "recording", [(self.sides[0], enroll), (self.sides[1], test)]
        if enroll is not test:
            strange_models = min(enroll.values()) < 0
            noun = "model" if strange_models else noun
            looked = looked[:1] if strange_models else looked[1:]
        strange = {
            index.name_of(word) for _, index in looked for word, row in index.items() if row < 0
        }
        lines: dict[str, int] = {}
        for numbers, words in self.blocks():
            sides = [map(index.name_of, words[place]) for place, index in looked]
            for number, *names in zip(numbers, *sides, strict=True):
                for name in names:
                    if name in strange:
                        lines.setdefault(name, number)
            if len(lines) >= min(len(strange), _NAMED):
                break
        examples = [f"{name!r} (line {number})" for name, number in lines.items()]
        return strangers(self.path, f"{self.what}s", len(strange), examples, noun)


def strangers(
    path: object, what: str, n: int, examples: Sequence[str], noun: str = "recording"
) -> SingeridError:  # fmt: skip
    """The error for names that are not among the recordings (or models), with the first few."""
    source = "manifest or embeddings" if noun == "recording" else "list of models"
    return SingeridError(
        f"the {what} name {f'a {noun}' if n == 1 else f'{n:,} {noun}s'} that nobody gave",
        where=path, found=", ".join(examples[:_NAMED]) + (", …" if n > _NAMED else ""),
        do=f"give the {source} that the {what} were made for",
    )  # fmt: skip


@contextmanager
def opened(path: str | os.PathLike[str], what: str) -> Iterator[IO[str]]:
    """A text file to read.

    Raises:
        SingeridError: it cannot be read, or not as UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            yield file
    except (OSError, UnicodeDecodeError) as error:
        raise SingeridError(f"cannot read {what}", where=path, found=error) from error


def _unquoted(word: str) -> str:
    return unquote(word, errors="surrogatepass")


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def _refuse_empty(ids: Sequence[str]) -> None:
    for row, name in enumerate(ids):
        if not name:
            raise SingeridError("a recording has no id", where=f"row {row}")
