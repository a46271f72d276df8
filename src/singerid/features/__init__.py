"""Audio → the frames that an encoder sees, as its feature spec says.

Streams lie on one frame grid, so that they can be concatenated: mel (`singerid.features.mel`).
"""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from singerid import audio
from singerid.config import FeatureSpec
from singerid.errors import AudioError
from singerid.features.mel import log_mel


def extract(samples: npt.NDArray[np.float32], spec: FeatureSpec) -> npt.NDArray[np.float32]:
    """Features of samples at the spec's sample rate.

    Args:
        samples: mono `(n_samples,)` in [-1, 1].
        spec: the front end.

    Returns:
        float32 `(n_frames, spec.n_dims)`.
    """
    return log_mel(samples, spec.audio.sample_rate, spec.mel)


def extract_file(
    path: str | os.PathLike[str], channel: str, spec: FeatureSpec
) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Features of a file, and warnings about its audio.

    Raises:
        AudioError: the file cannot be read, or is too short.
    """
    samples, warnings = audio.load(path, spec.audio.sample_rate, channel)
    check_duration(len(samples), spec, path)
    return extract(samples, spec), warnings


def check_duration(n_samples: int, spec: FeatureSpec, where: object) -> None:
    """Refuse audio that is too short to say anything about a voice.

    Raises:
        AudioError: shorter than `min_seconds`, or than the window needs.
    """
    least = max(spec.audio.min_seconds, (spec.mel.n_fft // 2 + 1) / spec.audio.sample_rate)
    found = n_samples / spec.audio.sample_rate
    if found < least:
        raise AudioError(
            "is too short", where=where, found=f"{found:.2f} s", expected=f"at least {least:.2f} s",
            do="leave it out, or lower --audio.min_seconds",
        )  # fmt: skip
