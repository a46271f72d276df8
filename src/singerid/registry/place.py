"""Where the registry is: given, of the environment, or the user's own."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

VARIABLE = "SINGERID_REGISTRY"


def default_place(argument: str | os.PathLike[str] | None = None) -> str:
    """Folder or address of the registry.

    Args:
        argument: what the user gave; None: the environment variable ``SINGERID_REGISTRY``, or
            ``singerid/registry`` in the folder for data of the XDG Base Directory Specification
            (``$XDG_DATA_HOME``, ``~/.local/share``).
    """
    given = os.fspath(argument) if argument else os.environ.get(VARIABLE)
    if given:
        return given
    home = os.environ.get("XDG_DATA_HOME", "")
    data = Path(home) if os.path.isabs(home) else Path.home() / ".local" / "share"
    return str(data / "singerid" / "registry")


def local_folder(place: str) -> Path | None:
    """The folder behind a path or ``file://`` address; None: an object store."""
    if "://" not in place:
        return Path(place).expanduser()
    address = urlsplit(place)
    return Path(unquote(address.path)) if address.scheme == "file" else None
