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

_BLOCK = 1 << 16  # samples; float32 sums over a whole recording would lose digits


def extract(samples: npt.NDArray[np.float32], spec: FeatureSpec) -> npt.NDArray[np.float32]:
    """Features of samples at the spec's sample rate.

    Args:
        samples: mono `(n_samples,)` in [-1, 1].
        spec: the front end.

    Returns:
        float32 `(n_frames, spec.n_dims)`.
    """
    if spec.audio.min_level_db < 0:
        samples = raise_level(samples, spec.audio.min_level_db)
    return log_mel(samples, spec.audio.sample_rate, spec.mel)


def raise_level(samples: npt.NDArray[np.float32], level_db: float) -> npt.NDArray[np.float32]:
    """Amplify a recording to an RMS level; louder ones are left alone, and so is silence.

    Args:
        samples: mono `(n_samples,)`.
        level_db: dBFS.
    """
    blocks = np.split(samples, range(_BLOCK, len(samples), _BLOCK))
    power = sum(float(np.dot(block, block)) for block in blocks) / len(samples)
    if power == 0 or 10 * np.log10(power) >= level_db:
        return samples
    return samples * np.float32(10 ** (level_db / 20) / power**0.5)


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
