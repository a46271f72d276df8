"""Files that lie elsewhere: anything with a ``://`` in its name, through fsspec.

A file from elsewhere is copied to a temporary one before it is read, so that whatever reads it
sees all of it or an error, never half of it. One that is written appears elsewhere when it is
whole. Folders (stores) are mirrored, see `singerid.mirror`.
"""

from __future__ import annotations

import atexit
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from singerid.errors import MissingExtraError, SingeridError

Result = TypeVar("Result")
Location = str | os.PathLike[str]
"""Of a file: a local path, or a URL."""

PAUSES = (0.5, 2.0, 8.0)
"""Seconds before a transfer is tried again."""
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "tos"}
"""They have no folders, and what asks for one may get a bucket."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_SUFFIX = re.compile(r"(\.[A-Za-z0-9]{1,12})?")
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


def is_url(path: object) -> bool:
    """True if a path is one for fsspec (``s3://bucket/a.wav``); drives (``C:``) are none."""
    return isinstance(path, str) and _URL.match(path) is not None


def in_memory(path: object) -> bool:
    """True if no other process can see the file (fsspec's ``memory://``)."""
    return isinstance(path, str) and path.startswith("memory://")


def joined(folder: str, name: str) -> str:
    """A URL below another, or the name itself if it stands alone."""
    if is_url(name) or name.startswith("/"):
        return name
    return f"{folder.rstrip('/')}/{name}"


def parent_of(url: str) -> str:
    """The folder that a URL lies in."""
    return url.rstrip("/").rpartition("/")[0]


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL by fsspec, and the path there.

    Raises:
        MissingExtraError: fsspec is not installed.
        SingeridError: nobody knows that kind of URL, or it is not a plain one.
    """
    try:
        import fsspec
    except ImportError:
        raise MissingExtraError("fsspec", "remote", where=url) from None
    if "::" in url:  # of fsspec: a file system within another
        raise SingeridError("is a chain of URLs", where=url, expected="one URL")
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise SingeridError(
            "needs a package that is not installed", where=url, found=error,
            do="install it (of s3:// URLs: pip install 'singerid[remote]')",
        ) from error  # fmt: skip
    except Exception as error:  # every file system has its own
        raise SingeridError(
            "is no URL that fsspec can open", where=url, found=_text(error),
            expected="s3://bucket/name or another of fsspec's protocols",
        ) from error  # fmt: skip
    return system, path


def _protocols(system: Any) -> set[str]:
    names = system.protocol
    return {names} if isinstance(names, str) else set(names)


@contextmanager
def fetched(path: Location, kind: type[SingeridError] = SingeridError) -> Iterator[Path]:
    """The file itself, or a whole copy of one from elsewhere while the context lasts.

    Args:
        path: local, which need not exist, or a URL.
        kind: of the errors.

    Raises:
        SingeridError: what is elsewhere cannot be had.
    """
    if not is_url(path):
        yield Path(path)
        return
    url = str(path)
    suffix = PurePosixPath(url).suffix
    with TemporaryDirectory(prefix="singerid-") as folder:
        copy = Path(folder, f"copy{suffix if _SUFFIX.fullmatch(suffix) else ''}")
        fetch(url, copy, kind)
        yield copy


@cache
def kept(url: str, kind: type[SingeridError] = SingeridError) -> Path:
    """A copy of a file from elsewhere that lasts as long as this process.

    Raises:
        SingeridError: it cannot be had, of the given kind.
    """
    folder = TemporaryDirectory(prefix="singerid-")
    atexit.register(folder.cleanup)
    copy = Path(folder.name, PurePosixPath(url).name or "copy")
    fetch(url, copy, kind)
    return copy


def fetch(url: str, target: Path, kind: type[SingeridError] = SingeridError) -> None:
    """Copy a file from elsewhere, or part of it never.

    Raises:
        SingeridError: it cannot be had, of the given kind.
    """
    system, path = file_system(url)

    def copy() -> None:
        system.invalidate_cache()  # it may have been replaced since
        size = system.info(path).get("size")
        system.get_file(path, str(target))
        if size is not None and target.stat().st_size != size:
            raise OSError(f"{target.stat().st_size} of {size} bytes")

    again(copy, "cannot be fetched", url, kind)


def names_below(url: str, kind: type[SingeridError] = SingeridError) -> list[str]:
    """Paths of all files below a folder elsewhere, from there on, sorted.

    Raises:
        SingeridError: it is not there, or cannot be listed, of the given kind.
    """
    system, root = file_system(url)

    def find() -> list[str]:
        system.invalidate_cache()
        return sorted(system.find(root))

    start = len(root.rstrip("/")) + 1
    names = [name[start:] for name in again(find, "cannot be listed", url, kind) if name != root]
    if not names:
        raise kind("does not exist, or is empty", where=url)
    return names


@contextmanager
def put_when_whole(url: str, kind: type[SingeridError] = SingeridError) -> Iterator[Path]:
    """A temporary file to write, which is put elsewhere when the context ends without an error.

    Raises:
        SingeridError: it cannot be put there.
    """
    with TemporaryDirectory(prefix="singerid-") as folder:
        file = Path(folder, "new")
        yield file
        put(file, url, kind)


def put(file: Path, url: str, kind: type[SingeridError] = SingeridError) -> None:
    """Put a file elsewhere, replacing what has that name there.

    Raises:
        SingeridError: that is not possible, of the given kind.
    """
    system, path = file_system(url)

    def copy() -> None:
        if _protocols(system).isdisjoint(_OBJECT_STORES):
            system.makedirs(parent_of(path), exist_ok=True)
        system.put_file(str(file), path)

    again(copy, "cannot be written", url, kind)


def again(
    action: Callable[[], Result], what: str, url: str, kind: type[SingeridError] = SingeridError
) -> Result:
    """Do something over a network; what fails is tried again after a while.

    Args:
        action: what to do; it can be done twice.
        what: what it means that it failed.
        url: what it is done with.
        kind: of the error.

    Raises:
        SingeridError: it failed each time, or for good.
    """
    for pause in (*PAUSES, None):
        try:
            return action()
        except SingeridError:
            raise
        except _FINAL as error:
            raise kind(what, where=url, found=_text(error)) from error
        except Exception as error:  # every file system has its own
            if pause is None:
                raise kind(
                    what, where=url, found=f"{_text(error)}, {len(PAUSES) + 1} times",
                    do="check the network and run the same command again",
                ) from error  # fmt: skip
            time.sleep(pause)
    raise AssertionError("unreachable")


def _text(error: Exception) -> str:
    """Of an exception, short; its kind where it says nothing."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, FileNotFoundError):
        return "No such file or directory"
    return str(error).partition("\n")[0][:160] or type(error).__name__
