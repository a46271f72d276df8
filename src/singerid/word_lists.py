"""Lists of three words a line: read in blocks, with ids as words, wrong lines reported."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import IO
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError

IntArray = npt.NDArray[np.int64]
Rows = list[list[str]]
_UNSAFE = re.compile(r"[\s%\ufeff\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_LITERAL = re.compile(r"[,\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_BLOCK = 1 << 16  # lines at a time: some 30 MB of words
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

    def blocks(self) -> Iterator[tuple[Sequence[int], Rows]]:
        """Blocks of lines: their numbers from 1 and their words; blank ones are left out.

        Raises:
            SingeridError: the file cannot be read, or a line has not three words.
        """
        with opened(self.path, f"{self.what}s") as file:
            start = 1
            while lines := list(islice(file, _BLOCK)):
                numbers: Sequence[int] = range(start, start + len(lines))
                rows = [line.rstrip("\n").split(self.separator) for line in lines]
                if set(map(len, rows)) != {3}:
                    kept = [i for i, line in enumerate(lines) if line.strip()]
                    numbers, rows = [numbers[i] for i in kept], [rows[i] for i in kept]
                    for number, row in zip(numbers, rows, strict=True):
                        if len(row) != 3:
                            raise self.wrong(number, lines[number - start])
                if rows:
                    yield numbers, rows
                start += len(lines)

    def pairs(
        self, numbers: Sequence[int], rows: Rows, enroll: Index, test: Index
    ) -> IntArray:  # fmt: skip
        """What the two sides of each line of a block stand for: int64 `(n, 2)`, -1 for strangers.

        Raises:
            SingeridError: a word does not encode UTF-8.
        """
        words = [row[place] for row in rows for place in self.sides]
        pairs = np.empty(len(words), np.int64)
        try:
            if enroll is test:  # in one go: new names are numbered in order of appearance
                pairs[:] = np.fromiter(map(test.__getitem__, words), np.int64, len(words))
            else:
                pairs[::2] = np.fromiter(map(enroll.__getitem__, words[::2]), np.int64)
                pairs[1::2] = np.fromiter(map(test.__getitem__, words[1::2]), np.int64)
        except UnicodeDecodeError:
            for i, word in enumerate(words):
                decoded(word, f"{self.path}:{numbers[i // 2]}")
            raise
        return pairs.reshape(-1, 2)

    def wrong(self, number: int, line: str) -> SingeridError:
        """The error for a line of another form."""
        return SingeridError(
            f"line is not a {self.what}", where=f"{self.path}:{number}", found=line.strip()[:60],
            expected=self.expected,
        )  # fmt: skip

    def unknown(self, enroll: Index, test: Index) -> SingeridError:
        """The error for words that stand for nothing: how many, the first few, their lines."""
        indices = [test] if enroll is test else [enroll, test]
        n = sum(row < 0 for index in indices for row in index.values())
        examples: dict[str, str] = {}
        for numbers, rows in self.blocks():
            for number, row in zip(numbers, rows, strict=True):
                for place, index in zip(self.sides, (enroll, test), strict=True):
                    if index[row[place]] < 0:
                        name = index.name_of(row[place])
                        examples.setdefault(name, f"{name!r} (line {number})")
                if len(examples) >= min(n, _NAMED):
                    return strangers(self.path, f"{self.what}s", n, list(examples.values()))
        raise AssertionError("every word is known")


def strangers(path: object, what: str, n: int, examples: Sequence[str]) -> SingeridError:
    """The error for names that are not among the recordings, with the first few."""
    names = "a recording" if n == 1 else f"{n:,} recordings"
    return SingeridError(
        f"the {what} name {names} that nobody gave", where=path,
        found=", ".join(examples[:_NAMED]) + (", …" if n > _NAMED else ""),
        do=f"give the manifest or embeddings that the {what} were made for",
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
