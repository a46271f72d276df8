"""From a file that was heard to an exemplar."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from singerid.errors import AudioError
from singerid.registry.exemplar import Exemplar
from singerid.report.players import make_clip
from singerid.terminal import warn

if TYPE_CHECKING:
    from singerid.judge import Judge, Voice

CLIP_SECONDS = 8.0


def hear_exemplar(
    judge: Judge,
    path: str | os.PathLike[str],
    labels: Mapping[str, str] | None = None,
    source: str = "",
    with_clip: bool = True,
    on_warning: Callable[[str], object] = warn,
) -> tuple[Exemplar, Voice]:
    """An exemplar of a file, not yet enrolled, and what was heard.

    Args:
        judge: hears.
        path: audio file; kept as an absolute path, to return to when the encoder changes.
        labels: what is known of it.
        source: where it is from, in the user's words.
        with_clip: keep the loudest 8 seconds as MP3.
        on_warning: called with a line for each remark on the file.

    Raises:
        AudioError: the file cannot be read or used.
    """
    voice = judge.hear(path, on_warning)
    clip = None
    if with_clip:
        try:
            clip = make_clip(path, seconds=CLIP_SECONDS).media
        except AudioError as error:
            on_warning(f"no clip is kept: {error}")
    exemplar = Exemplar(
        voice.vector, seconds=voice.seconds, voice_seconds=voice.voice_seconds,
        path=str(Path(path).absolute()), sha256=digest(path), quality=voice.quality.score,
        labels=dict(labels or {}), clip=clip, source=source,
    )  # fmt: skip
    return exemplar, voice


def digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes in hex.

    Raises:
        AudioError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AudioError("cannot be read", where=path, found=error.strerror) from error
