"""Folders that lie elsewhere: worked on in a copy on this machine, and brought up to date there.

A store is mapped into memory, which needs a disk. So a store with a URL has a mirror in the user's
cache. What has changed elsewhere is fetched before it is used, and what was made here is put there
afterwards; a process that is killed leaves its work in the mirror, and the next one goes on there.
Object stores have no locks: two machines must not write one folder at a time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import Timeout

from singerid.errors import StoreError
from singerid.locks import held, holder
from singerid.remote import Location, again, fetch, file_system, is_url, joined, put

VARIABLE = "SINGERID_CACHE"
_PATIENCE = 4 * 3600.0
_STATE, _LOCK = ".mirror.json", ".mirror.lock"
_LAST = ("spec.json", "checksums.json")
"""Written last, in this order: what reads the folder elsewhere begins with them."""


def cache_folder() -> Path:
    """Where mirrors are: ``$SINGERID_CACHE``, or ``singerid`` in the user's cache (XDG)."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given)
    home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path.home() / ".cache"
    return base / "singerid"


def mirror_of(url: str) -> Path:
    """The folder that mirrors a URL."""
    plain = url.rstrip("/")
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in plain.rpartition("/")[2])
    return cache_folder() / "mirrors" / f"{name}-{hashlib.sha256(plain.encode()).hexdigest()[:16]}"


def pulled(path: Location) -> Path:
    """A local folder as it is, or the mirror of one elsewhere, brought up to date.

    Another process that is just doing that is waited for.

    Raises:
        StoreError: it cannot be fetched, or another process is at it for hours.
    """
    if not is_url(path):
        return Path(path)
    with _locked(str(path), _PATIENCE) as mirror:
        if not mirror.pull():
            raise StoreError("does not exist, or is empty", where=path)
        return mirror.folder


@contextmanager
def mirrored(path: Location) -> Iterator[Path]:
    """A folder to write: itself, or a mirror, which is put elsewhere in the end, come what may.

    Raises:
        StoreError: it cannot be fetched or put there, or another process is at it.
    """
    if not is_url(path):
        yield Path(path)
        return
    with _locked(str(path)) as mirror:
        mirror.pull()
        try:
            yield mirror.folder
        finally:  # also what an interrupted command has made
            mirror.push()


@contextmanager
def _locked(url: str, patience: float = 0.0) -> Iterator[_Mirror]:
    folder = mirror_of(url)
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f"{folder.name}{_LOCK}")
    try:
        with held(lock, patience):
            yield _Mirror(url, folder)
    except Timeout:
        raise StoreError(
            "is being used by another process of this machine", where=url, found=holder(lock),
            do="wait for it to finish",
        ) from None  # fmt: skip


class _Mirror:
    """A folder elsewhere and the one here.

    What both have in common is known by the version that fsspec tells of each file, and by size
    and time of its copy here.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self._system, self._root = file_system(url)
        try:
            self._known: dict[str, Any] = json.loads((folder / _STATE).read_text("utf-8"))
        except (OSError, ValueError):
            self._known = {}

    def pull(self) -> int:
        """Fetch what is new or another elsewhere; returns the number of files there."""
        elsewhere = again(self._elsewhere, "cannot be read", self.url, StoreError)
        for name, version in sorted(elsewhere.items()):
            file = self.folder / name
            is_known = self._known.get(name, {}).get("version") == version
            if is_known and (file.exists() or name == _LAST[-1]):  # taken away before changes
                continue
            part = file.with_name(f".{name}.part")
            fetch(joined(self.url, name), part, StoreError)
            os.replace(part, file)
            self._remember(name, version)
        return len(elsewhere)

    def push(self) -> None:
        """Put there what has changed here: a reader meanwhile finds no half of it credible."""
        changed = [name for name in self._here() if self._has_changed(name)]
        if not changed:
            return
        if "checksums.json" in self._known:
            again(lambda: self._drop("checksums.json"), "cannot be written", self.url, StoreError)
        for name in sorted(changed, key=lambda name: (_rank(name), name)):
            put(self.folder / name, joined(self.url, name), StoreError)
        elsewhere = again(self._elsewhere, "cannot be read", self.url, StoreError)
        for name in changed:
            self._remember(name, elsewhere.get(name))

    def _drop(self, name: str) -> None:
        if self._system.exists(f"{self._root}/{name}"):
            self._system.rm_file(f"{self._root}/{name}")

    def _elsewhere(self) -> dict[str, str]:
        """Versions of the files there, none if there is no such folder."""
        self._system.invalidate_cache()
        if not self._system.exists(self._root):
            return {}
        names = (entry["name"] for entry in self._system.ls(self._root, detail=True)
                 if entry["type"] == "file")  # fmt: skip
        return {
            name.rpartition("/")[2]: str(self._system.checksum(name))
            for name in names if _counts(name.rpartition("/")[2])
        }  # fmt: skip

    def _here(self) -> Iterable[str]:
        return (f.name for f in sorted(self.folder.iterdir()) if f.is_file() and _counts(f.name))

    def _has_changed(self, name: str) -> bool:
        known = self._known.get(name, {})
        return known.get("here") != self._state(name) or known.get("version") is None

    def _state(self, name: str) -> list[int]:
        found = (self.folder / name).stat()
        return [found.st_size, found.st_mtime_ns]

    def _remember(self, name: str, version: str | None) -> None:
        self._known[name] = {"version": version, "here": self._state(name)}
        part = self.folder / f"{_STATE}.part"
        part.write_text(json.dumps(self._known), "utf-8")
        os.replace(part, self.folder / _STATE)


def _counts(name: str) -> bool:
    """No lock, and nothing half-written."""
    return not name.startswith(".") and not name.endswith(".part")


def _rank(name: str) -> int:
    return _LAST.index(name) + 1 if name in _LAST else 0
