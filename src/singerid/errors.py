"""What can go wrong, said in one line: what, where, found, expected, what to do."""

from __future__ import annotations

import copyreg
import os
from collections.abc import Sequence
from typing import Any, ClassVar

_MOST_LETTERS = 500  # of each part of a message
_MOST_OF_PLACE = 1000


def one_line(value: object) -> str:
    r"""Text of a value that is safe on one terminal line.

    Newlines, escape codes and undecodable bytes of file names are escaped, so that a
    file called ``"a\nb.wav"`` cannot break a report into two lines.
    """
    text = os.fsdecode(value) if isinstance(value, (bytes, os.PathLike)) else str(value)
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def shortened(text: str, most: int = _MOST_LETTERS) -> str:
    """The start of a long text, and how much is left out: files may hold lines of any length."""
    left_out = len(text) - most
    return text if left_out <= 0 else f"{text[:most]}… ({left_out:,} more characters)"


def _place(text: str) -> str:
    """A path, without its middle if it is very long: its end tells most."""
    if len(text) <= _MOST_OF_PLACE:
        return text
    return f"{text[: _MOST_OF_PLACE // 4]}…{text[-_MOST_OF_PLACE // 2 :]}"


class SingeridError(Exception):
    """Base of every error that this package raises on purpose.

    Its message is one line of bounded length.

    Args:
        what: what went wrong.
        where: the file, setting or record concerned.
        found: what was there.
        expected: what should have been there.
        do: what the user can do about it.
    """

    _most_of_what: ClassVar[int] = _MOST_LETTERS

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        found: object = None,
        expected: object = None,
        do: str | None = None,
    ) -> None:
        self.what, self.where, self.found, self.expected, self.do = what, where, found, expected, do
        place = "" if where is None else f"{_place(one_line(where))}: "
        parts = [place + shortened(one_line(what), self._most_of_what)]
        if found is not None:
            parts.append(f"found {shortened(one_line(found))}")
        if expected is not None:
            parts.append(f"expected {shortened(one_line(expected))}")
        if do is not None:
            parts.append(shortened(one_line(do)))
        super().__init__("; ".join(parts))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by its finished text: a subclass may take other arguments."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class ConfigError(SingeridError):
    """A setting is unknown, of the wrong type or out of range."""


class ManifestError(SingeridError):
    """A folder, list or record does not describe recordings as it should."""


class AudioError(SingeridError):
    """A file cannot be read as audio, or is not fit to be embedded."""


class StoreError(SingeridError):
    """A feature store is missing, incomplete, damaged, in use or of another spec."""


class CheckpointError(SingeridError):
    """A run folder or encoder file is missing, damaged or does not fit the model."""


class MismatchError(SingeridError):
    """Two things that must belong together do not (vectors of two encoders, say)."""


class MissingExtraError(SingeridError):
    """An optional part of the package is not installed."""

    def __init__(self, package: str, extra: str, where: object = None) -> None:
        super().__init__(
            f"{package} is not installed", where=where,
            do=f"install it with: pip install 'singerid[{extra}]'",
        )  # fmt: skip


class BatchError(SingeridError):
    """Some items of a batch command failed; the rest was done.

    Args:
        what: one line that counts the failures.
        failures: the error of each item, in order.
    """

    _most_of_what = 10 * _MOST_LETTERS  # it may list the first few

    def __init__(self, what: str, failures: Sequence[SingeridError]) -> None:
        self.failures = list(failures)
        super().__init__(what)
