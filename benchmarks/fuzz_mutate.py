"""Bytes made bad: at random, or every byte of a file in turn.

Everything depends on the generator or number that is given, so a finding can be made again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

VALUES = (0x00, 0xFF, 0x7F, 0x80, None)
"""What each byte of a file is set to in turn; None: all its bits turned."""

_NUMBERS = [
    bytes(n) for n in (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0",
                       b"\x80\0\0\0", b"\0\0\0\x80", b"\xff" * 8, b"\0" * 8, b"\xff" * 7 + b"\x7f")
]  # fmt: skip
_TEXTS = [
    b"\n", b"\r", b"\0", b"\t", b'"', b"'", b",", b":", b"-", b"{", b"}", b"[", b"]", b"\\", b"%",
    b"%00", b"%ff", b"\x1b[31m", "\u202e".encode(), "\u2028".encode(), b"\xed\xa0\x80", b"\xff\xfe",
    b"1e999", b"-1", b"NaN", b"Infinity", b"-0", b"9" * 400, b"null", b"true", b"../../etc/passwd",
    b"/dev/zero", b"\\ud800", b"\xef\xbb\xbf", b"=1+1", b"&a", b"*a", b"!!python/object:os.system",
]  # fmt: skip


def mutated(
    data: bytes, others: Sequence[bytes], words: Sequence[bytes], rng: np.random.Generator
) -> bytes:
    """One to eight changes at random places.

    Args:
        data: a good file.
        others: files to take pieces from.
        words: that mean something to the parser.
        rng: draws everything.
    """
    changed = bytearray(data)
    for _ in range(1 << int(rng.integers(0, 4))):
        _change(changed, others, words, rng)
    return bytes(changed)


def _change(
    data: bytearray, others: Sequence[bytes], words: Sequence[bytes], rng: np.random.Generator
) -> None:
    at = int(rng.integers(0, len(data) + 1))
    end = min(len(data), at + 1 + int(2 ** rng.uniform(0, 8)))
    kind = int(rng.integers(0, 10))
    if kind == 0 and at < len(data):
        data[at] = int(rng.integers(0, 256))
    elif kind == 1 and at < len(data):
        data[at] ^= 1 << int(rng.integers(0, 8))
    elif kind == 2:
        del data[at:end]
    elif kind == 3:
        data[at:at] = data[at:end] * int(rng.integers(1, 4))
    elif kind == 4:
        other = others[int(rng.integers(len(others)))]
        start = int(rng.integers(0, len(other) + 1))
        data[at:end] = other[start : start + end - at]
    elif kind == 5:
        del data[at:]
    elif kind == 6:
        number = _NUMBERS[int(rng.integers(len(_NUMBERS)))]
        data[at : at + len(number)] = number
    elif kind == 7:
        data[at:at] = rng.bytes(end - at)
    else:
        pool = [*_TEXTS, *words]
        word = pool[int(rng.integers(len(pool)))]
        data[at : at if kind == 8 else at + len(word)] = word


def n_in_turn(data: bytes) -> int:
    """How many cases `in_turn` has."""
    return len(data) * (len(VALUES) + 1)


def in_turn(data: bytes, number: int) -> bytes:
    """Case `number`: each byte set to each of `VALUES`, and the file cut off before it."""
    at, how = divmod(number, len(VALUES) + 1)
    if how == len(VALUES):
        return data[:at]
    value = VALUES[how]
    changed = bytearray(data)
    changed[at] = changed[at] ^ 0xFF if value is None else value
    return bytes(changed)
