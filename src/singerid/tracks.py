"""A recording of any length as it streams by: where a voice sounds, and a vector of each window.

Samples are decoded, resampled, analyzed and embedded in stretches of a minute. What is kept of
an hour is a vector a second and a few numbers a frame: some 10 MB.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

from singerid.audio import to_mono
from singerid.decoding import Decoder
from singerid.embedder import Embedder, PartialEmbedder
from singerid.embeddings import mean_direction, normalize
from singerid.errors import AudioError
from singerid.sections import SegmentSettings
from singerid.voicing import Voicing, find_voice

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_STRETCH_SECONDS = 60.0
_LEAD_FRAMES = 8  # longer than what a frame's analysis sees of its neighbors
_LEAST_SECONDS = 0.5  # of a recording that is worth listening to
_BELOW_LOUD_DB = 40.0  # a stretch may hold nothing but what leaks into a microphone
_LOUD_PERCENTILE = 95


@dataclass(frozen=True)
class Track:
    """What was heard of a recording.

    Attributes:
        seconds: duration.
        starts: seconds at which the windows with enough voice begin, float64 `(n_windows,)`.
        window: their length in seconds.
        vectors: float32 `(n_windows, dim)` of unit length.
        voiced: bool `(n_frames,)`: does a voice sound?
        peaks: largest sample of each frame, float32 `(n_frames,)`.
        frame_seconds: distance of frames.
    """

    seconds: float
    starts: DoubleArray
    window: float
    vectors: FloatArray
    voiced: BoolArray
    peaks: FloatArray
    frame_seconds: float

    @property
    def centers(self) -> DoubleArray:
        """Middles of the windows in seconds."""
        return self.starts + self.window / 2

    @property
    def voice_seconds(self) -> float:
        """How long a voice sounds."""
        return float(np.count_nonzero(self.voiced)) * self.frame_seconds


def read_blocks(
    path: str | os.PathLike[str], sample_rate: int, channel: str = "mix"
) -> Iterator[FloatArray]:
    """Decode a file to mono blocks at one rate; never more than a block is in memory.

    Raises:
        AudioError: it cannot be read, is cut short, or holds what are no numbers.
    """
    with Decoder(path) as decoder:
        same = decoder.sample_rate == sample_rate
        resampler = None if same else soxr.ResampleStream(decoder.sample_rate, sample_rate, 1)
        n_decoded = 0
        for block in decoder.blocks():
            mono = to_mono(block, channel, decoder.path)
            if not np.isfinite(mono).all():
                raise AudioError(
                    "holds samples that are not numbers (NaN or infinite)", where=path,
                    do="export the file again",
                )  # fmt: skip
            n_decoded += len(mono)
            yield resampler.resample_chunk(mono) if resampler else mono
        if resampler:
            yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        decoder.check_whole(n_decoded)


def listen(
    embedder: Embedder,
    blocks: Iterable[FloatArray],
    settings: SegmentSettings,
    where: object = "samples",
    on_progress: Callable[[float], object] = lambda seconds: None,
) -> Track:
    """Embed the windows of a recording in which a voice sounds.

    The vector of a window is what `embedder.embed` makes of its samples alone, so it does not
    depend on how the recording came in blocks. A recording shorter than a window is one window.

    Args:
        embedder: makes the vectors.
        blocks: mono samples at the embedder's rate, in blocks of any length.
        settings: window, hop, least share of voice.
        where: the recording's name, for errors.
        on_progress: called with the seconds of audio after each stretch.

    Raises:
        AudioError: shorter than half a second.
    """
    rate = embedder.sample_rate
    listener = _Listener(embedder, settings)
    for samples in _stretches(blocks, listener.stretch, listener.margin):
        listener.hear(samples)
        on_progress(min(listener.stretch, samples.end - samples.start) / rate)
    if listener.n_samples < _LEAST_SECONDS * rate:
        raise AudioError(
            "is too short", where=where, found=f"{listener.n_samples / rate:.2f} s",
            expected=f"{_LEAST_SECONDS:g} s or more",
        )  # fmt: skip
    return listener.track()


@dataclass(frozen=True)
class _Stretch:
    """Samples `start` … `end` of a recording, with what surrounds them.

    Attributes:
        samples: from `offset` on, a window and more before `start` and beyond `end`.
        offset: sample at which they begin.
        start: first sample of the stretch itself.
        end: first sample of the next one.
        is_last: nothing follows.
    """

    samples: FloatArray
    offset: int
    start: int
    end: int
    is_last: bool

    def cut(self, start: int, end: int) -> FloatArray:
        """Samples by their number in the recording, as far as there are any."""
        return self.samples[max(0, start - self.offset) : max(0, end - self.offset)]


def _stretches(blocks: Iterable[FloatArray], length: int, margin: int) -> Iterator[_Stretch]:
    """Cut a stream into stretches; the last one may be shorter, and none is empty."""
    parts: list[FloatArray] = []
    held, offset, start = 0, 0, 0
    for block in blocks:
        parts.append(block)
        held += len(block)
        while offset + held > start + length + margin:
            samples = np.concatenate(parts)
            end = start + length
            yield _Stretch(samples[: end + margin - offset], offset, start, end, False)
            keep = max(offset, end - margin)
            parts = [samples[keep - offset :].copy()]
            held, offset, start = len(parts[0]), keep, end
    samples = np.concatenate([*parts, np.zeros(0, np.float32)])
    while start < offset + held:  # the margin may reach over more than one stretch
        end = min(start + length, offset + held)
        is_last = end == offset + held
        yield _Stretch(samples, offset, start, end, is_last)
        start = end


class _Listener:
    """Collects what stretches hold.

    Attributes:
        stretch: samples at a time.
        window: samples of a window.
        margin: samples around a stretch that it needs.
        n_samples: heard so far.
    """

    def __init__(self, embedder: Embedder, settings: SegmentSettings) -> None:
        self._embedder, self._settings = embedder, settings
        self._rate = embedder.sample_rate
        self._frame = find_voice(np.zeros(0, np.float32), self._rate).hop
        self.stretch = round(_STRETCH_SECONDS * self._rate / self._frame) * self._frame
        self.window = round(settings.window * self._rate)
        self.margin = max(self.window, _LEAD_FRAMES * self._frame)
        self._hop = max(1, round(settings.hop * self._rate))
        self.n_samples = 0
        self._starts: list[int] = []
        self._vectors: list[FloatArray] = []
        self._voiced: list[BoolArray] = []
        self._levels: list[FloatArray] = []
        self._peaks: list[FloatArray] = []

    def hear(self, stretch: _Stretch) -> None:
        """Take in the next stretch."""
        self.n_samples = stretch.end
        # Frames begin at multiples of their hop, counted from the start of the recording.
        lead = min(stretch.start, _LEAD_FRAMES * self._frame)
        around = stretch.cut(stretch.start - lead, stretch.end + lead)
        n_frames = (stretch.end - stretch.start) // self._frame
        first = lead // self._frame
        voiced = find_voice(around, self._rate).voiced[first : first + n_frames]
        self._voiced.append(voiced)
        self._measure(stretch.cut(stretch.start, stretch.end), len(voiced))
        starts = self._window_starts(stretch)
        length = min(self.window, self.n_samples)
        shares = Voicing(np.concatenate(self._voiced), self._frame, self._rate).shares(
            starts, length
        )
        kept = [s for s, share in zip(starts, shares, strict=True) if self._is_sung(share)]
        if kept:
            cuts = [stretch.cut(start, start + length) for start in kept]
            self._vectors.append(embed_windows(self._embedder, cuts))
            self._starts += kept

    def _is_sung(self, share: float) -> bool:
        return share > 0 and share >= self._settings.min_voice

    def _measure(self, samples: FloatArray, n_frames: int) -> None:
        whole = samples[: n_frames * self._frame].reshape(n_frames, self._frame)
        self._peaks.append(np.abs(whole).max(axis=1, initial=0.0))
        self._levels.append(np.square(whole).mean(axis=1))

    def _window_starts(self, stretch: _Stretch) -> list[int]:
        """Of the windows that end in a stretch; a last one ends where the recording ends."""
        first = max(0, -(-(stretch.start - self.window + 1) // self._hop)) * self._hop
        starts = list(range(first, stretch.end - self.window + 1, self._hop))
        last = max(0, stretch.end - self.window)
        if stretch.is_last and (last % self._hop or stretch.end < self.window):
            starts.append(last)
        return starts

    def track(self) -> Track:
        """All of it."""
        voiced = np.concatenate(self._voiced)
        levels = np.concatenate(self._levels)
        loud = np.percentile(levels, _LOUD_PERCENTILE) if len(levels) else 0.0
        voiced = voiced & (levels > loud * 10 ** (-_BELOW_LOUD_DB / 10))
        starts = np.asarray(self._starts, np.float64) / self._rate
        frame, window = self._frame / self._rate, min(self.window, self.n_samples) / self._rate
        vectors = np.concatenate(self._vectors) if self._vectors else np.zeros((0, 0), np.float32)
        return Track(
            self.n_samples / self._rate, starts, window, vectors, voiced,
            np.concatenate(self._peaks), frame,
        )  # fmt: skip


def embed_windows(embedder: Embedder, windows: list[FloatArray]) -> FloatArray:
    """Unit vectors `(n, dim)` of windows of equal length, in one batch where that is possible."""
    if not isinstance(embedder, PartialEmbedder):
        return np.stack([embedder.embed(window, embedder.sample_rate) for window in windows])
    frames = [embedder.front_end.frames(window) for window in windows]
    longest = embedder.partial_frames
    if longest is not None and len(frames[0]) > longest:
        return np.stack([mean_direction(embedder.embed_partials(own)) for own in frames])
    inputs = np.stack([embedder.front_end.encoder_input(own) for own in frames])
    return normalize(embedder.encode(inputs))
