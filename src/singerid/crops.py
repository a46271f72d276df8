"""Crops of audio files: decoded, resampled and analyzed without the rest of the file.

A frame depends on samples beside it: half a window, and as far as the high-pass and the
resampler remember. With so much context on both sides, the mel frames of a crop are those of the
whole file; only the dither (-120 dB) is another. F0 and WORLD's features, whose trackers look
around freely, come close.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from singerid import audio
from singerid.audio import to_mono
from singerid.decoding import Decoder
from singerid.errors import AudioError, ConfigError
from singerid.features import frames_of
from singerid.records import Recording
from singerid.spec import FeatureSpec

FloatArray = npt.NDArray[np.float32]
_FORGOTTEN = 1e-6  # of a sample outside the context, what may be left inside
_RESAMPLER_PERIODS = 128  # of the lower rate; soxr's filter (HQ) reaches about 90
_TRACKER_SECONDS = 0.3


class Sound(Protocol):
    """Mono audio at one rate, of which any part can be had."""

    @property
    def n_samples(self) -> int:
        """Its length."""

    def read(self, start: int, stop: int) -> FloatArray:
        """Samples `start` … `stop`, float32."""


def crop_features(
    sound: Sound,
    start: int,
    length: int,
    spec: FeatureSpec,
    change: Callable[[FloatArray], FloatArray] = lambda samples: samples,
) -> FloatArray:
    """Frames `start` … `start + length` of a sound, as those of its whole features.

    Args:
        sound: at the spec's sample rate.
        start: first frame.
        length: number of frames, all within the sound.
        spec: the front end, without what depends on whole recordings (see `check_spec`).
        change: applied to the samples, context included, before they are analyzed.

    Returns:
        float32 `(length, spec.n_dims)`.
    """
    hop, context = spec.hop_seconds * spec.audio.sample_rate, context_samples(spec)
    lead = min(start, math.ceil(context / hop))
    first = round((start - lead) * hop)  # WORLD's hop may be half a sample more
    stop = min(sound.n_samples, math.ceil((start + length - 1) * hop) + context + 1)
    samples = change(sound.read(first, stop))
    return frames_of(samples, spec, "crop")[lead : lead + length]


def context_samples(spec: FeatureSpec) -> int:
    """Samples on each side of a frame's center that its features depend on."""
    tracked = math.ceil(_TRACKER_SECONDS * spec.audio.sample_rate)
    if spec.features.stream == "world":
        return tracked
    context = spec.mel.n_fft // 2
    if spec.mel.highpass > 0:
        # The slowest pole of a 5th-order Butterworth filter decays with cutoff · sin(π / 10).
        decay = 2 * math.pi * spec.mel.highpass * math.sin(math.pi / 10) / spec.audio.sample_rate
        context += math.ceil(-math.log(_FORGOTTEN) / decay)
    return max(context, tracked) if spec.pitch.condition else context


def check_spec(spec: FeatureSpec) -> None:
    """Refuse a front end whose frames depend on what lies far away in the recording.

    Raises:
        ConfigError: it cuts out silence, or raises the level of whole recordings.
    """
    for name in ("silence_db", "min_level_db"):
        if (value := getattr(spec.audio, name)) < 0:
            raise ConfigError(
                "needs whole recordings, which are not read on the fly", where=f"audio.{name}",
                found=f"{value:g}", do="set it to 0, or train from a store: singerid features",
            )  # fmt: skip


class CropReader:
    """Opens recordings for crops, and keeps what cannot be read from the middle.

    Most files are opened anew for each crop. Where a format knows no way to its middle (AAC, MP3
    without a count of its frames), the file is decoded once and kept as 16-bit samples.

    Attributes:
        sample_rate: of all samples, in Hz.
    """

    def __init__(self, sample_rate: int, cache_bytes: int = 1 << 28) -> None:
        """Keep at most `cache_bytes` of decoded files (256 MiB: 2.3 hours at 16 kHz)."""
        self.sample_rate = sample_rate
        self._cache_bytes = cache_bytes
        self._decoded: OrderedDict[str, _Decoded] = OrderedDict()

    @contextmanager
    def open(self, recording: Recording) -> Iterator[Sound]:
        """Open a recording, in a ``with`` statement.

        Raises:
            AudioError: the file cannot be read, has changed, or lacks the channel.
        """
        key = f"{recording.channel}:{recording.path}"
        if key in self._decoded:
            self._decoded.move_to_end(key)
            yield self._decoded[key]
            return
        file = _File(recording, self.sample_rate)
        with file:
            if file.seekable:
                yield file
                return
        yield self._decode(key, recording)

    def _decode(self, key: str, recording: Recording) -> _Decoded:
        samples, _ = audio.load(recording.path, self.sample_rate, recording.channel)
        decoded = self._decoded[key] = _Decoded.of(samples)
        kept = sum(other.samples.nbytes for other in self._decoded.values())
        while kept > self._cache_bytes and len(self._decoded) > 1:
            _, oldest = self._decoded.popitem(last=False)
            kept -= oldest.samples.nbytes
        return decoded

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_decoded": OrderedDict()}  # worker processes decode themselves


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A whole sound in memory: 16-bit samples `(n_samples,)`, and what they are multiples of."""

    samples: npt.NDArray[np.int16]
    step: np.float32

    @classmethod
    def of(cls, samples: FloatArray) -> _Decoded:
        step = np.float32(np.abs(samples).max() / 32767)
        return cls(np.rint(samples / step).astype(np.int16), step)

    @property
    def n_samples(self) -> int:
        return len(self.samples)

    def read(self, start: int, stop: int) -> FloatArray:
        return self.samples[start:stop] * self.step


class _File(Decoder):
    """A decoder that starts anywhere, resamples, and takes one channel.

    `soxr` puts output sample j at the time of input sample j · file rate / rate. So a part that
    starts on a multiple of the reduced ratio has the same grid as the whole.
    """

    def __init__(self, recording: Recording, sample_rate: int) -> None:
        super().__init__(recording.path)
        self._channel, self._wanted_rate = recording.channel, sample_rate
        divisor = math.gcd(self.sample_rate, sample_rate)
        self._up, self._down = sample_rate // divisor, self.sample_rate // divisor

    @property
    def seekable(self) -> bool:
        """True if libsndfile reads the file, and knows its length."""
        return self._sound is not None

    @property
    def n_samples(self) -> int:
        """At the wanted rate, rounded as soxr does."""
        return (2 * self.n_frames * self._up + self._down) // (2 * self._down)

    def read(self, start: int, stop: int) -> FloatArray:
        if self._up == self._down:
            return self._read(start, stop)
        margin = math.ceil(_RESAMPLER_PERIODS * max(1, self.sample_rate / self._wanted_rate))
        step = max(0, (start * self._down // self._up - margin) // self._down)
        end = min(self.n_frames, stop * self._down // self._up + margin + 1)
        block = self._read(step * self._down, end)
        resampled: FloatArray = soxr.resample(block, self.sample_rate, self._wanted_rate)
        return resampled[start - step * self._up : stop - step * self._up]

    def _read(self, start: int, stop: int) -> FloatArray:
        """One channel of the file's own samples."""
        try:
            self._sound.seek(start)
            block = self._sound.read(stop - start, "float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise self._broken(error.error_string) from error
        if len(block) < stop - start:
            raise self._truncated(f"{start + len(block)} samples", f"{self.n_frames} by its header")
        mono = to_mono(block, self._channel, self.path)
        if not np.isfinite(mono).all():
            raise AudioError(
                "holds samples that are not numbers (NaN or infinite)", where=self.path,
                do="export the file again",
            )  # fmt: skip
        return mono
