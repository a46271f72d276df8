"""Round trips through lossy codecs, in memory: what a file loses as MP3, Opus or AAC.

Samples are encoded into the container that such files have and decoded again, so that the
encoder's delay is taken off as players do. PyAV (the extra ``ffmpeg``) brings FFmpeg with LAME,
libopus and FFmpeg's own AAC encoder. Rates are changed by soxr, never by FFmpeg.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from singerid.decoding import ffmpeg
from singerid.errors import AudioError, ConfigError, MissingExtraError, SingeridError

FloatArray = npt.NDArray[np.float32]
_BLOCK = 1 << 16  # samples a frame given to the encoder


@dataclass(frozen=True, slots=True)
class Codec:
    """How FFmpeg is asked for a codec.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        container: FFmpeg's name of the container to write.
        demuxer: its name of the same container to read.
        layout: sample format that the encoder takes.
        rates: sample rates that it takes, ascending, in Hz.
    """

    encoder: str
    container: str
    demuxer: str
    layout: str
    rates: tuple[int, ...]


_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
CODECS = {
    "mp3": Codec("libmp3lame", "mp3", "mp3", "fltp", _RATES),
    "opus": Codec("libopus", "ogg", "ogg", "flt", (48000,)),  # its decoder gives no other rate
    "aac": Codec("aac", "ipod", "mov", "fltp", _RATES),
}


def check_encoder(name: str) -> None:
    """Refuse a codec that cannot be encoded here.

    Raises:
        ConfigError: there is no such codec in `CODECS`.
        MissingExtraError: PyAV is not installed.
        SingeridError: this FFmpeg was built without its encoder.
    """
    if name not in CODECS:
        raise ConfigError("no such codec", found=repr(name), expected=" or ".join(CODECS))
    av = ffmpeg()
    if av is None:
        raise MissingExtraError("FFmpeg (PyAV)", "ffmpeg")
    try:
        av.Codec(CODECS[name].encoder, "w")
    except av.codec.codec.UnknownCodecError as error:
        raise SingeridError(
            f"cannot encode {name}", found=f"FFmpeg without {CODECS[name].encoder}",
            do="install PyAV's own wheel: pip install --force-reinstall av",
        ) from error  # fmt: skip


def recode(
    samples: FloatArray, sample_rate: int, rng: np.random.Generator, *, codec: str, kbps: int
) -> FloatArray:
    """Encode and decode again; length and position are kept, the codec's own noise comes in.

    Args:
        samples: mono `(n_samples,)`; what exceeds full scale is clipped.
        sample_rate: Hz; where the codec does not take it, the next higher one that it takes is
            used in between (the highest, if there is none).
        rng: not used.
        codec: a key of `CODECS`.
        kbps: bit rate in kbit/s.

    Returns:
        float32 `(n_samples,)`.

    Raises:
        AudioError: FFmpeg does not take the samples.
        ConfigError: see `check_encoder`; so for SingeridError.
    """
    check_encoder(codec)
    rates = CODECS[codec].rates
    rate = next((r for r in rates if r >= sample_rate), rates[-1])
    x = np.clip(samples, -1, 1)
    if rate != sample_rate:
        x = soxr.resample(x, sample_rate, rate)
    y, _ = round_trip(x, rate, CODECS[codec], 1000 * kbps)
    if rate != sample_rate:
        y = soxr.resample(y, rate, sample_rate)
    n = len(samples)
    return np.pad(y[:n], (0, max(0, n - len(y))))  # a sample may be missing after resampling


def round_trip(
    samples: FloatArray, sample_rate: int, codec: Codec, bit_rate: int
) -> tuple[FloatArray, int]:
    """Decoded samples (perhaps some more at the end), and the size of the file in bytes.

    Raises:
        AudioError: FFmpeg does not take the samples.
    """
    import av

    buffer = io.BytesIO()
    try:
        with av.open(buffer, "w", format=codec.container) as container:
            _encode(container, samples, sample_rate, codec, bit_rate)
        size = buffer.tell()
        buffer.seek(0)
        with av.open(buffer, "r", format=codec.demuxer) as file:
            blocks = [frame.to_ndarray().reshape(-1) for frame in file.decode(audio=0)]
    except (av.error.FFmpegError, ValueError) as error:
        raise AudioError(
            f"cannot be encoded by {codec.encoder}", found=error,
            expected=f"{sample_rate} Hz, {bit_rate} bit/s, mono",
        ) from error  # fmt: skip
    return np.concatenate([np.zeros(0, np.float32), *blocks]).astype(np.float32), size


def _encode(
    container: Any, samples: FloatArray, sample_rate: int, codec: Codec, bit_rate: int
) -> None:
    import av

    stream = container.add_stream(codec.encoder, rate=sample_rate, layout="mono")
    stream.bit_rate = bit_rate
    stream.codec_context.format = codec.layout
    stream.codec_context.thread_count = 1
    for start in range(0, len(samples), _BLOCK):
        block = np.ascontiguousarray(samples[None, start : start + _BLOCK], np.float32)
        frame = av.AudioFrame.from_ndarray(block, format=codec.layout, layout="mono")
        frame.sample_rate, frame.pts = sample_rate, start
        frame.time_base = Fraction(1, sample_rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
