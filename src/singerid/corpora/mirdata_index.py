"""Indexes of mirdata: which files a corpus has, under which track.

Format: ``{"version": …, "tracks": {track: {key: [path, md5]}}}`` (github mir-dataset-loaders/
mirdata, mirdata/datasets/indexes). An index does not say singers: a pattern takes them from the
track's name.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from singerid.errors import ConfigError, ManifestError
from singerid.json_lines import parse
from singerid.manifest import Scan, Source


def scan(root: Path, singer: str = "", data: str = "", key: str = "audio") -> Scan:
    r"""<index>.json of mirdata, with the option singer=<pattern with one group>

    Args:
        root: the index file.
        singer: regular expression searched in each track's name; its group is the singer
            (``^([A-Za-z]+)_`` for MIR-1K, ``_([SATB]\d)$`` for Dagstuhl ChoirSet).
        data: folder of the corpus; default: the index file's.
        key: which file of a track is the audio (``audio_dyn`` for Dagstuhl ChoirSet).

    Raises:
        ConfigError: `singer` is missing or no pattern with a group.
        ManifestError: the file is no index.
    """
    try:
        pattern = re.compile(singer)
    except re.error as error:
        raise ConfigError("is no pattern", where="--corpus-option singer", found=error) from error
    if pattern.groups != 1:
        raise ConfigError(
            "needs a pattern with one group", where="--corpus-option singer",
            found=singer or "nothing", expected=r"for example ^([A-Za-z]+)_",
        )  # fmt: skip
    result = Scan()
    for track, files in sorted(_tracks(root).items()):
        relative = _path(files, key)
        if relative is None:
            result.n_ignored += 1
            continue
        match = pattern.search(track)
        path = Path(data or root.parent, relative)
        if match is None or not match[1]:
            result.problems.append(
                ManifestError("singer pattern does not match", where=root, found=track)
            )
        elif not os.path.isfile(path):  # (Path.is_file raises on names that are too long)
            result.problems.append(ManifestError("is in the index but missing", where=path))
        else:
            result.sources.append(Source(path, track, match[1]))
    return result


def _path(files: object, key: str) -> str | None:
    """Of one of a track's files; None if the index gives none."""
    pair = files.get(key) if isinstance(files, dict) else None
    path = pair[0] if isinstance(pair, list) and pair else None
    return path if isinstance(path, str) else None


def _tracks(path: Path) -> dict[str, object]:
    try:
        tracks = parse(path.read_text(encoding="utf-8")).get("tracks")
    except (OSError, ValueError, AttributeError) as error:
        raise ManifestError("cannot be read as an index", where=path, found=error) from error
    if not isinstance(tracks, dict):
        raise ManifestError("is no mirdata index", where=path, expected='a JSON object "tracks"')
    return tracks
