"""The file formats of singerid: their versions, and one way to refuse what is newer.

Files of every format that is listed here hold its version (docs/formats.md says where); one
without it is of version 1. Each version of singerid reads all versions of a format up to its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from singerid.errors import SingeridError

FORMATS: Mapping[str, int] = MappingProxyType({
    "manifest": 1,
    "configuration": 1,
    "store": 1,
    "bank": 1,
    "run": 1,
    "checkpoint": 1,
    "saved model": 1,
    "encoder": 1,
    "exported encoder": 1,
    "hub folder": 1,
    "calibration": 1,
    "embeddings": 1,
    "table": 1,
    "registry": 1,
    "robustness report": 1,
    "segments": 1,
})  # fmt: skip
"""The newest version of each format, which is what this singerid writes.

What is added to a format, be it a field, makes it a new version; the golden files hold it to that.
"""

FIXED = ("rttm", "labels", "trials", "scores", "models")
"""Formats of the field, which are read again as well, but cannot change and hold no version."""


def check_format(
    found: object, name: str, where: object, error: type[SingeridError] = SingeridError
) -> None:
    """Refuse a file from the future.

    Args:
        found: the version that it holds; 1 for a file that holds none.
        name: of the format, one of `FORMATS`.
        where: the file.
        error: the class to raise.

    Raises:
        SingeridError: of class `error`; the file is of a newer version, or of none that can be.
    """
    known = FORMATS[name]
    if type(found) is not int or found < 1:
        raise error(
            f"version of the {name} format is damaged", where=where, found=repr(found)[:40],
            expected=f"a whole number, at most {known}",
        )  # fmt: skip
    if found > known:
        raise error(
            f"{name} format {found} is newer than this singerid (knows {known})", where=where,
            do="upgrade singerid",
        )  # fmt: skip
