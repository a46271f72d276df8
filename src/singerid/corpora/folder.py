"""Any folder of singing: one sub-folder per singer, with or without splits above."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath, PurePosixPath

from singerid.errors import ManifestError
from singerid.manifest import Scan, Source
from singerid.remote import joined, names_below

AUDIO_SUFFIXES = frozenset([
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".aif", ".aiff",
    ".aifc", ".au", ".caf", ".w64", ".rf64", ".wma", ".webm", ".mka",
])  # fmt: skip
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "valid", "valid": "valid", "validation": "valid", "dev": "valid",
    "test": "test", "eval": "test",
}  # fmt: skip


def scan(root: Path) -> Scan:
    """<root>/[train|valid|test/]<singer>/**/<recording>.<audio suffix>"""
    result = Scan()
    paths = list(walk(root, result))
    _add(paths, [path.relative_to(root) for path in paths], result)
    return result


def scan_url(url: str) -> Scan:
    """`scan` of a folder elsewhere."""
    result = Scan()
    below = []
    for name in names_below(url, ManifestError):
        path = PurePosixPath(name)
        if any(part.startswith(".") for part in path.parts):
            continue
        if path.suffix.lower() in AUDIO_SUFFIXES:
            below.append(path)
        else:
            result.n_ignored += 1
    _add([joined(url, path.as_posix()) for path in below], below, result)
    return result


def _add(paths: Sequence[Path | str], below: Sequence[PurePath], result: Scan) -> None:
    """Sources of audio files; `below`: the same, from the folder of the corpus on."""
    for path, id, parts in zip(paths, readable_ids(below), [p.parts for p in below], strict=True):
        split = SPLIT_NAMES.get(parts[0].lower())
        inner = parts[1:] if split else parts
        if len(inner) < 2:
            result.problems.append(
                ManifestError(
                    "belongs to no singer", where=path, found="a file outside any singer's folder",
                    expected=scan.__doc__, do="move it into a folder with the singer's name",
                )
            )  # fmt: skip
            continue
        result.sources.append(Source(path, id, readable(inner[0]), split))


def walk(root: Path, result: Scan) -> Iterator[Path]:
    """Audio files below `root` in sorted order; unreadable folders become problems.

    Links to folders are followed, each real folder once.
    """
    if not root.is_dir():
        raise ManifestError("is not a folder", where=root)
    seen: set[str] = set()

    def unreadable(error: OSError) -> None:
        result.problems.append(
            ManifestError("folder cannot be read", where=error.filename, found=error.strerror)
        )

    for folder, names, files in os.walk(root, onerror=unreadable, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in AUDIO_SUFFIXES:
                yield Path(folder, name)
            else:
                result.n_ignored += 1


def readable(name: str) -> str:
    """A file-system name as valid Unicode: undecodable bytes become escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def readable_ids(paths: Sequence[PurePath]) -> list[str]:
    """Paths as names: without suffix, or with it where two differ by the suffix only."""
    stems = [path.with_suffix("") for path in paths]
    count = Counter(stems)
    return [
        readable((stem if count[stem] == 1 else path).as_posix())
        for path, stem in zip(paths, stems, strict=True)
    ]
