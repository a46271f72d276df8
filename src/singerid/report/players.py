"""Short clips of recordings, small enough to be carried within a web page.

MP3 because every browser plays it: Safari has no Ogg before version 17.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile

from singerid.audio import load
from singerid.errors import AudioError, SingeridError

FloatArray = npt.NDArray[np.float32]
SAMPLE_RATE = 24_000  # Hz, one that MPEG-2 layer III knows
BIT_RATE = 32_000  # bit/s, on average
_COMPRESSION = 0.8421  # by which libsndfile means that rate here: 160 kbit/s at 0, 8 at 1
_HOP = 0.1  # seconds between places where a clip may begin
_FADE = 0.02  # seconds at both ends, so that cuts do not click
_PEAK = 0.9  # of full scale: clips are made equally loud, for singers to be compared


@dataclass(frozen=True)
class Clip:
    """A part of a recording as a browser plays it.

    Attributes:
        media: an MP3 file, mono.
        start: where the clip begins in the recording, in seconds.
        seconds: its length.
    """

    media: bytes
    start: float
    seconds: float

    @property
    def uri(self) -> str:
        """The file as a ``data:`` address."""
        return f"data:audio/mpeg;base64,{base64.b64encode(self.media).decode()}"


def make_clips(
    ids: Iterable[str],
    sources: Mapping[str, tuple[str | os.PathLike[str], str]],
    *,
    seconds: float = 8.0,
    budget: float = 2.0,
) -> dict[str, Clip | str]:
    """A clip of each recording, or the reason in one line why there is none.

    Args:
        ids: recordings, the most important first; repeated ones are made once.
        sources: path and channel (mix, left or right) by id.
        seconds: longest clip; of a longer recording, its loudest part is taken.
        budget: megabytes (10⁶ bytes of MP3) for all clips; what comes later has no clip.

    Returns:
        A clip or a reason for every id.
    """
    clips: dict[str, Clip | str] = {}
    left = budget * 1e6
    for name in dict.fromkeys(ids):
        path, channel = sources.get(name, ("", ""))
        if not path:
            clips[name] = "the path of the audio is not known"
            continue
        if left < min(seconds, 1.0) * BIT_RATE / 8:  # do not decode for nothing
            clips[name] = f"left out: the clips of the page have {budget:g} MB"
            continue
        try:
            clip = make_clip(path, channel, seconds)
        except SingeridError as error:
            clips[name] = str(error)
            continue
        if len(clip.media) > left:
            clips[name] = f"left out: the clips of the page have {budget:g} MB"
            continue
        left -= len(clip.media)
        clips[name] = clip
    return clips


def make_clip(path: str | os.PathLike[str], channel: str = "mix", seconds: float = 8.0) -> Clip:
    """The loudest part of a recording as MP3, its peak scaled to 0.9.

    Args:
        path: any audio file.
        channel: mix, left or right.
        seconds: longest clip.

    Raises:
        AudioError: unreadable (see `singerid.audio.load`), or MP3 cannot be written.
    """
    samples, _ = load(path, SAMPLE_RATE, channel)
    start = loudest_start(samples, SAMPLE_RATE, seconds)
    part = samples[start : start + round(seconds * SAMPLE_RATE)].copy()
    part *= _PEAK / max(float(np.abs(part).max()), 1e-9)
    n_fade = min(round(_FADE * SAMPLE_RATE), len(part) // 2)
    ramp = np.linspace(0, 1, n_fade, dtype=np.float32)
    part[:n_fade] *= ramp
    part[len(part) - n_fade :] *= ramp[::-1]
    return Clip(encode_mp3(part, SAMPLE_RATE), start / SAMPLE_RATE, len(part) / SAMPLE_RATE)


def loudest_start(samples: FloatArray, sample_rate: int, seconds: float) -> int:
    """First sample of the stretch with the most energy, the earliest if several have it.

    Args:
        samples: mono `(n_samples,)`.
        sample_rate: Hz.
        seconds: length of the stretch; 0 is returned if there is not so much.
    """
    hop, length = round(_HOP * sample_rate), round(seconds * sample_rate)
    if len(samples) <= length:
        return 0
    energy = np.append(0.0, np.cumsum(np.square(samples, dtype=np.float64)))
    starts = np.arange(0, len(samples) - length + 1, hop)
    return int(starts[np.argmax(energy[starts + length] - energy[starts])])


def encode_mp3(samples: FloatArray, sample_rate: int) -> bytes:
    """Mono samples as an MP3 file.

    Args:
        samples: float32 `(n_samples,)` in [-1, 1].
        sample_rate: Hz, one of MPEG-2's: 16000, 22050 or 24000.

    Raises:
        AudioError: libsndfile cannot write MP3 at that rate.
    """
    file = io.BytesIO()
    try:
        # An average bit rate: at a constant one, libsndfile tells players no length and no delay.
        soundfile.write(
            file, np.clip(samples, -1, 1), sample_rate, "MPEG_LAYER_III", format="MP3",
            bitrate_mode="AVERAGE", compression_level=_COMPRESSION,
        )  # fmt: skip
    except soundfile.LibsndfileError as error:
        raise AudioError(
            "cannot write MP3", found=error, do="update the package soundfile"
        ) from error
    return file.getvalue()
