"""What a singer may be called, and what goes wrong with names."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from singerid.errors import SingeridError

MAX_NAME = 200
MAX_LABELS, MAX_LABEL = 50, 1000
# Beside control characters: surrogates, line separators, and what turns the direction of text,
# by which one name can be made to look like another (Unicode Technical Report 36, section 2.5).
_FORBIDDEN_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")
_FORBIDDEN = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class RegistryError(SingeridError):
    """The registry cannot be read or written, or cannot do what was asked."""


class NotEnrolledError(RegistryError):
    """There is no such singer or exemplar."""


class NameTakenError(RegistryError):
    """Another singer has this name."""


def check_name(name: str, what: str = "name of a singer") -> str:
    """The name as it is kept: white space trimmed, in Unicode's composed form (NFC).

    Raises:
        RegistryError: empty, too long, or with control characters.
    """
    text = unicodedata.normalize("NFC", name).strip()
    if not text or len(text) > MAX_NAME:
        raise RegistryError(
            f"{what} cannot be used", found=text[:40] or "nothing",
            expected=f"1 to {MAX_NAME} characters",
        )  # fmt: skip
    if bad := next((c for c in text if _forbidden(c)), None):
        raise RegistryError(
            f"{what} cannot be used", found=text, expected=f"no character U+{ord(bad):04X}"
        )
    return text


def check_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels in the order of their names, checked like names; values may be longer, or empty.

    Raises:
        RegistryError: too many or too long, control characters, or not text.
    """
    if len(labels) > MAX_LABELS:
        raise RegistryError("too many labels", found=len(labels), expected=f"{MAX_LABELS}")
    checked: dict[str, str] = {}
    for name, value in sorted(labels.items()):
        if not isinstance(value, str) or len(value) > MAX_LABEL or any(map(_forbidden, value)):
            raise RegistryError(
                "label cannot be used", where=name, found=repr(value)[:60],
                expected=f"up to {MAX_LABEL} characters, no control characters",
            )  # fmt: skip
        checked[check_name(name, "name of a label")] = value
    return checked


def _forbidden(character: str) -> bool:
    return unicodedata.category(character) in _FORBIDDEN_CATEGORIES or character in _FORBIDDEN
