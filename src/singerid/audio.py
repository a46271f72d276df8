"""Any audio file → mono float32 samples at one rate.

Everything is decoded in blocks (`singerid.decoding`), so an hour of stereo needs no more memory
than its mono result.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from singerid.decoding import Decoder
from singerid.errors import AudioError

FloatArray = npt.NDArray[np.float32]
_SILENCE = 10 ** (-80 / 20)
_OVERLOAD = 8.0  # beyond what a lossy decoder overshoots: integers stored as floats
_CLIPPED_SHARE = 1e-3
_MAX_PROMISE = 1 << 26  # samples that a header is believed without seeing them


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a file's header says.

    Attributes:
        sample_rate: Hz.
        channels: number of channels.
        duration: seconds.
    """

    sample_rate: int
    channels: int
    duration: float


def probe(path: str | os.PathLike[str], name: str | os.PathLike[str] = "") -> AudioInfo:
    """Read the header of a file.

    Args:
        path: any file that libsndfile or FFmpeg can read, or the URL of one.
        name: of the file in errors, where it is not its path.

    Raises:
        AudioError: not a readable, whole audio file, or one without samples.
    """
    with Decoder(path, name) as decoder:
        if decoder.n_frames <= 0:
            raise AudioError(
                "holds no audio samples", where=name or path, do="remove or replace the file"
            )
        return AudioInfo(
            decoder.sample_rate, decoder.channels, decoder.n_frames / decoder.sample_rate
        )


def load(
    path: str | os.PathLike[str], sample_rate: int, channel: str = "mix", room: int = 0
) -> tuple[FloatArray, list[str]]:
    """Decode a file to mono at `sample_rate`.

    Args:
        path: any file that libsndfile or FFmpeg can read, or the URL of one.
        sample_rate: rate of the result in Hz.
        channel: ``mix`` (mean of all channels), ``left`` or ``right``.
        room: values of anything to leave at both ends.

    Returns:
        float32 `(room + n_samples + room,)`, and a list of warnings (clipping, missing bandwidth).

    Raises:
        AudioError: unreadable, truncated, empty, silent, not finite, or without that channel.
    """
    with Decoder(path) as decoder:
        meter = _Meter()
        rates = decoder.sample_rate, sample_rate
        size = min(int(decoder.n_frames * rates[1] / rates[0]) + 4096, _MAX_PROMISE)
        samples, filled = np.empty(size + 2 * room, np.float32), room
        for block in _resampled(decoder, channel, meter, sample_rate):
            if filled + len(block) + room > len(samples):  # the header promised less
                samples = np.resize(samples, 2 * (filled + len(block)) + room)
            samples[filled : filled + len(block)] = block
            filled += len(block)
        decoder.check_whole(meter.n_frames)
    return samples[: filled + room], meter.check(path) + _bandwidth_warning(*rates)


def conform(
    samples: npt.NDArray[Any], sample_rate: int, wanted_rate: int, copy: bool = True
) -> FloatArray:
    """Samples of an array as mono float32 at another rate.

    Args:
        samples: mono `(n_samples,)`; floats in [-1, 1] or signed integers of full scale.
        sample_rate: their rate in Hz.
        wanted_rate: rate of the result in Hz.
        copy: never give the array itself, even if it is just what is wanted.

    Returns:
        float32 `(n_samples,)`.

    Raises:
        AudioError: more than one dimension, empty, not finite, silent or beyond full scale.
    """
    meter = _Meter()
    mono = meter.add(_floats(samples, copy))
    meter.check("samples")
    return mono if sample_rate == wanted_rate else _resample(mono, sample_rate, wanted_rate)


def conform_blocks(
    blocks: Iterable[npt.NDArray[Any]], sample_rate: int, wanted_rate: int
) -> Iterator[FloatArray]:
    """`conform` of a recording that comes block by block; what is wrong is said when it is seen.

    Args:
        blocks: mono `(n_samples,)` each, one after the other.
        sample_rate: their rate in Hz.
        wanted_rate: rate of the result in Hz.

    Raises:
        AudioError: see `conform`; all of it is empty or silent.
    """
    meter = _Meter()
    resampler = soxr.ResampleStream(sample_rate, wanted_rate, 1, dtype="float32")
    for block in blocks:
        mono = meter.add(_floats(block, copy=True))
        if not meter.finite or meter.peak > _OVERLOAD:
            meter.check("samples")
        yield mono if sample_rate == wanted_rate else resampler.resample_chunk(mono)
    meter.check("samples")
    if sample_rate != wanted_rate:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _floats(samples: npt.NDArray[Any], copy: bool) -> FloatArray:
    """Mono samples as float32."""
    samples = np.asarray(samples)
    if samples.ndim != 1 or samples.dtype.kind not in "fi":
        raise AudioError(
            "samples are not mono audio", found=f"{samples.dtype} {samples.shape}",
            expected="floats or signed integers of shape (n_samples,)", do="average the channels",
        )  # fmt: skip
    if samples.dtype.kind == "i":
        samples = samples / (np.iinfo(samples.dtype).max + 1.0)
    with np.errstate(over="ignore"):  # becomes infinite, and is refused
        return samples.astype(np.float32, copy=copy)


def _resample(mono: FloatArray, sample_rate: int, wanted_rate: int) -> FloatArray:
    resampled: FloatArray = soxr.resample(mono, sample_rate, wanted_rate)
    return resampled


def _resampled(
    decoder: Decoder, channel: str, meter: _Meter, sample_rate: int
) -> Iterator[FloatArray]:
    if decoder.sample_rate == sample_rate:
        for block in decoder.blocks():
            yield meter.add(to_mono(block, channel, decoder.path))
        return
    resampler = soxr.ResampleStream(decoder.sample_rate, sample_rate, 1, dtype="float32")
    for block in decoder.blocks():
        yield resampler.resample_chunk(meter.add(to_mono(block, channel, decoder.path)))
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def to_mono(block: FloatArray, channel: str, path: str | os.PathLike[str]) -> FloatArray:
    """One channel of `(n_frames, n_channels)`, or the mean of all."""
    n_channels = block.shape[1]
    if channel == "right" and n_channels < 2:
        raise AudioError(
            "has no right channel", where=path, found="1 channel", expected="2",
            do="use the channel mix or left",
        )  # fmt: skip
    if n_channels == 1 or channel == "left":
        return np.ascontiguousarray(block[:, 0])
    if channel == "right":
        return np.ascontiguousarray(block[:, 1])
    with np.errstate(invalid="ignore", over="ignore"):  # the meter refuses what is not finite
        if n_channels == 2:  # much faster than a mean over an axis of length 2
            return np.float32(0.5) * (block[:, 0] + block[:, 1])
        mean: FloatArray = block.mean(axis=1, dtype=np.float32)
    return mean


def _bandwidth_warning(file_rate: int, sample_rate: int) -> list[str]:
    if file_rate >= sample_rate:
        return []
    return [
        f"sampled at {file_rate} Hz, below {sample_rate} Hz: nothing above {file_rate // 2} Hz "
        "is there, and vectors will be less reliable"
    ]


class _Meter:
    """Peak and clipping of a stream of mono blocks."""

    def __init__(self) -> None:
        self.n_frames = self.n_clipped = 0
        self.peak = 0.0
        self.finite = True

    def add(self, block: FloatArray) -> FloatArray:
        if len(block):
            high, low = float(block.max()), float(block.min())
            self.finite &= bool(np.isfinite(high) and np.isfinite(low))  # NaN passes through max
            self.peak = max(self.peak, high, -low)
            self.n_frames += len(block)
            if high >= 0.999 or low <= -0.999:
                self.n_clipped += int(np.count_nonzero(np.abs(block) >= 0.999))
        return block

    def check(self, path: str | os.PathLike[str]) -> list[str]:
        """Refuse what is no sound; return warnings."""
        if not self.n_frames:
            raise AudioError("holds no audio samples", where=path, do="remove or replace the file")
        if not self.finite:
            raise AudioError(
                "holds samples that are not numbers (NaN or infinite)", where=path,
                do="export the file again",
            )  # fmt: skip
        if self.peak < _SILENCE:
            raise AudioError(
                "is silent", where=path, found=f"peak {_decibels(self.peak)}",
                expected="above -80 dBFS", do="check the channel choice, or remove the file",
            )  # fmt: skip
        if self.peak > _OVERLOAD:
            raise AudioError(
                "samples are far beyond full scale", where=path, found=f"peak {self.peak:.4g}",
                expected="-1 to 1", do="scale the file (were integers written as floats?)",
            )  # fmt: skip
        share = self.n_clipped / self.n_frames
        return [f"clipped in {share:.1%} of its samples"] if share > _CLIPPED_SHARE else []


def _decibels(peak: float) -> str:
    return f"{20 * np.log10(peak):.0f} dBFS" if peak > 0 else "digital zero"
