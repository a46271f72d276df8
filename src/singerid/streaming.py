"""Samples as they come, from a microphone say → vectors of partials, and of all so far.

Partials lie where those of the whole recording will lie, and everything else is done as for a
whole recording, with as much context as it takes: resampling, high-pass, dither, padding, voice.
So the last mean is the embedding of the recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from singerid import audio
from singerid.embeddings import mean_direction
from singerid.errors import ConfigError
from singerid.features import check_duration
from singerid.features.highpass import highpass, reach
from singerid.features.mel import add_dither
from singerid.frames import n_frames, tile_starts
from singerid.runtime import OnnxSingerEncoder
from singerid.spec import FeatureSpec
from singerid.voicing import VoiceAnalysis, Voicing, voiced_frames, voiced_starts

FloatArray = npt.NDArray[np.float32]
_CHUNK_SECONDS = 0.5  # of samples that are waited for: less costs more work for the high-pass
_OPEN_PARTIALS = 360  # which may still be found to hold a voice, or none: an hour by default


@dataclass(frozen=True)
class StreamedPartial:
    """A partial of a stream, and what the stream sounds like so far.

    Attributes:
        start: where it begins, in seconds.
        end: where it ends, in seconds.
        vector: of it alone, float32 `(dim,)` of unit length.
        voice_share: of voice-like sound in it, in [0, 1], judged by what was heard so far.
        mean: embedding of the stream so far `(dim,)`; None as long as no partial held a voice.
    """

    start: float
    end: float
    vector: FloatArray
    voice_share: float
    mean: FloatArray | None


def embed_stream(
    encoder: OnnxSingerEncoder, blocks: Iterable[npt.NDArray[np.generic]], sample_rate: int
) -> Iterator[StreamedPartial]:
    """Vectors of a recording that comes block by block, each partial as soon as it is whole.

    A partial is given about a second of sound after its end: the high-pass looks ahead. The last
    one, aligned to the end, comes when the blocks end; with it, `mean` is what
    `OnnxSingerEncoder.embed` gives for all samples, to 1e-5.

    Memory does not grow with the stream. In very long ones (more than 720 partials: two hours
    where a partial has 10 s), whether the oldest half held a voice is settled by what had been
    heard by then; so much, and no more, may the mean differ.

    Args:
        encoder: whose settings ask for nothing that only a whole recording can tell.
        blocks: mono samples `(n_samples,)` each, of any lengths; floats in [-1, 1] or integers.
        sample_rate: their rate in Hz.

    Raises:
        ConfigError: the encoder or its settings need the whole recording.
        AudioError: not mono, not finite; in the end: silent, too short, or without a voice.
    """
    _check(encoder)
    spec = encoder.header.spec
    size = max(int(_CHUNK_SECONDS * encoder.sample_rate), spec.mel.n_fft)
    padding, stream = _Padding(spec), _Stream(encoder)
    for chunk in _rebuffered(audio.conform_blocks(blocks, sample_rate, encoder.sample_rate), size):
        yield from stream.add(padding.add(chunk))
    yield from stream.finish(padding.finish(), padding.n_samples)


def _check(encoder: OnnxSingerEncoder) -> None:
    """Refuse what cannot be done while the recording goes on."""
    settings, asked = encoder.settings, encoder.header.spec.audio
    for name, value in (
        ("embed.crops", settings.crops), ("embed.max_seconds", settings.max_seconds),
        ("audio.silence_db", asked.silence_db), ("audio.min_level_db", asked.min_level_db),
    ):  # fmt: skip
        if value:
            raise ConfigError(
                "needs the whole recording, a stream cannot be embedded with it", where=name,
                found=value, expected=0,
                do="embed the whole recording" if name[:5] == "audio" else "leave it at 0",
            )  # fmt: skip


def _rebuffered(blocks: Iterable[FloatArray], size: int) -> Iterator[FloatArray]:
    """The same samples in chunks of one size, the last one shorter."""
    kept: list[FloatArray] = []
    n_kept = 0
    for block in blocks:
        while len(block):
            part, block = block[: size - n_kept], block[size - n_kept :]
            kept.append(part)
            n_kept += len(part)
            if n_kept == size:
                yield np.concatenate(kept)
                kept, n_kept = [], 0
    if kept:
        yield np.concatenate(kept)


class _Padding:
    """`singerid.features.mel.padded` of samples that come one chunk after the other.

    Attributes:
        n_samples: that have come.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self._spec, self._rate = spec, spec.audio.sample_rate
        self._reach = reach(spec.mel.highpass, self._rate) if spec.mel.highpass else 0
        self._raw = np.zeros(0, np.float32)  # the last samples
        self._last = np.zeros(0, np.float32)  # of the result, to be mirrored
        self._n_done = self.n_samples = 0

    def add(self, samples: FloatArray) -> FloatArray:
        """What can be said of the padded recording now, behind what has been said."""
        self._raw = np.concatenate([self._raw, samples])
        self.n_samples += len(samples)
        half = self._spec.mel.n_fft // 2
        if self.n_samples - self._reach <= self._n_done + half:
            return np.zeros(0, np.float32)
        first = self._n_done == 0
        ready = self._filtered(self.n_samples - self._reach)
        return np.concatenate([self._mirrored(ready[half:0:-1]), ready]) if first else ready

    def finish(self) -> FloatArray:
        """The rest.

        Raises:
            AudioError: there were too few samples in all.
        """
        check_duration(
            self.n_samples, self._spec, "samples", "give a longer recording, or leave it out"
        )
        half = self._spec.mel.n_fft // 2
        first = self._n_done == 0
        ready = self._filtered(self.n_samples)
        head = self._mirrored(ready[half:0:-1]) if first else ready[:0]
        return np.concatenate([head, ready, self._mirrored(self._last[-2 : -2 - half : -1])])

    def _filtered(self, end: int) -> FloatArray:
        """High-passed samples from the last time's end on."""
        first = self.n_samples - len(self._raw)
        settings, ready = self._spec.mel, self._raw
        if settings.highpass:
            ready = highpass(ready, settings.highpass, self._rate)
        ready = ready[self._n_done - first : end - first].copy()
        add_dither(ready, settings, self._n_done)
        self._n_done = end
        # Twice the reach, so that the recording's end is filtered as if all were there.
        self._raw = self._raw[max(0, end - 2 * self._reach - first) :]
        self._last = np.concatenate([self._last, ready])[-settings.n_fft :]
        return ready

    def _mirrored(self, samples: FloatArray) -> FloatArray:
        return samples if self._spec.mel.padding == "reflect" else np.zeros_like(samples)


class _Stream:
    """Partials of padded samples that come one piece after the other."""

    def __init__(self, encoder: OnnxSingerEncoder) -> None:
        self._encoder, self._mel = encoder, encoder.header.spec.mel
        self._length = encoder.header.partial_frames
        self._hop = max(1, round(self._length * (1 - encoder.settings.overlap)))
        self._buffer, self._first = np.zeros(0, np.float32), 0  # its place in the recording
        self._n_done = 0  # partials that have been given
        self._analysis = VoiceAnalysis(encoder.sample_rate)
        self._heard = _Heard(encoder, self._analysis.hop)

    def add(self, samples: FloatArray) -> Iterator[StreamedPartial]:
        """Take more samples; gives the partials that are whole now."""
        self._buffer = np.concatenate([self._buffer, samples])
        end = self._first + len(self._buffer)
        self._listen(max(0, end - self._analysis.reach) // self._analysis.hop)
        n_whole = (end - self._analysis.reach - self._mel.n_fft) // self._mel.hop_length + 1
        starts = np.arange(self._n_done * self._hop, n_whole - self._length + 1, self._hop)
        self._n_done += len(starts)
        yield from self._embed(starts, self._length)
        # The last partial, aligned to the end, may begin where another one has been.
        needed = min(self._n_done * self._hop, n_whole - self._length)
        self._forget(max(0, needed) * self._mel.hop_length)

    def finish(self, samples: FloatArray, n_samples: int) -> Iterator[StreamedPartial]:
        """Take the last samples; gives the partials that are left.

        Raises:
            AudioError: no partial held a voice.
        """
        count = n_frames(n_samples, self._mel.hop_length)
        self._buffer = np.concatenate([self._buffer, samples])
        self._buffer = self._buffer[: self._end(0, count) - self._first]  # whole frames
        self._listen((self._first + len(self._buffer)) // self._analysis.hop)
        starts = tile_starts(count, self._length, self._hop)
        yield from self._embed(starts[self._n_done :], min(count, self._length))
        self._heard.check()

    def _end(self, start: int, length: int) -> int:
        """Place behind the last sample of `length` frames."""
        return (start + length - 1) * self._mel.hop_length + self._mel.n_fft

    def _listen(self, end: int) -> None:
        """Look for a voice in the frames up to `end` of 20 ms each."""
        n_before = self._first // self._analysis.hop
        first = self._heard.n_frames
        if end > first:
            found = self._analysis.measure(self._buffer, first - n_before, end - n_before)
            self._heard.add_frames(*found)

    def _embed(self, starts: npt.NDArray[np.int64], length: int) -> Iterator[StreamedPartial]:
        hop, at_once = self._mel.hop_length, self._encoder.settings.batch_partials
        seconds = self._encoder.front_end.step_seconds
        for first in range(0, len(starts), at_once):
            some = starts[first : first + at_once]
            places = some * hop - self._first
            n_samples = self._end(0, length)
            batch = np.stack([self._buffer[place : place + n_samples] for place in places])
            for start, vector in zip(some.tolist(), self._encoder.encode(batch), strict=True):
                found = self._heard.add_partial(start * hop, n_samples, vector)
                yield StreamedPartial(start * seconds, (start + length) * seconds, vector, *found)

    def _forget(self, place: int) -> None:
        """Drop samples before a place; from a hop of the voice's frames on."""
        hop = self._analysis.hop
        place = min(place, max(0, self._heard.n_frames * hop - self._analysis.reach))
        kept = place // hop * hop
        self._buffer, self._first = self._buffer[kept - self._first :], kept


class _Heard:
    """Vectors of partials, and which of them hold a voice by all frames that were heard.

    Attributes:
        n_frames: frames of voice analysis that were heard.
    """

    def __init__(self, encoder: OnnxSingerEncoder, hop: int) -> None:
        self._least, self._rate, self._hop = encoder.settings.min_voice, encoder.sample_rate, hop
        self._power, self._periodic = np.zeros(0, np.float32), np.zeros(0, bool)
        self._places: list[int] = []
        self._vectors: list[FloatArray] = []
        self._n_samples = 1  # of a partial
        self._settled = np.zeros(encoder.dim)  # sum of vectors that will not be looked at again
        self._n_settled = self._n_forgotten = 0

    @property
    def n_frames(self) -> int:
        """Frames of voice analysis that were heard."""
        return self._n_forgotten + len(self._power)

    def add_frames(self, power: FloatArray, periodic: npt.NDArray[np.bool_]) -> None:
        """Power `(n,)` of the next frames, and whether they repeat themselves `(n,)`."""
        self._power = np.concatenate([self._power, power])
        self._periodic = np.concatenate([self._periodic, periodic])

    def add_partial(
        self, place: int, n_samples: int, vector: FloatArray
    ) -> tuple[float, FloatArray | None]:
        """Share of voice in the partial, and mean of all partials with a voice."""
        if len(self._vectors) == 2 * _OPEN_PARTIALS:
            self._settle(_OPEN_PARTIALS)
        self._places.append(place)
        self._vectors.append(vector)
        self._n_samples = n_samples
        shares = self._shares()
        kept = np.stack(self._vectors)[shares >= self._least]
        n = self._n_settled + len(kept)
        if n == 0:
            return float(shares[-1]), None
        total = self._settled + kept.sum(axis=0, dtype=np.float64)
        return float(shares[-1]), mean_direction(total[None] / n)

    def check(self) -> None:
        """Raise the error of a recording without a voice.

        Raises:
            AudioError: no partial held one.
        """
        if self._n_settled == 0:
            voiced_starts(self._shares(), np.array(self._places), self._least)

    def _shares(self) -> npt.NDArray[np.float64]:
        voicing = Voicing(voiced_frames(self._power, self._periodic), self._hop, self._rate)
        starts = np.array(self._places) - self._n_forgotten * self._hop
        return voicing.shares(starts, self._n_samples)

    def _settle(self, n: int) -> None:
        """Look no more at the first partials, nor at the frames before the others."""
        kept = np.stack(self._vectors[:n])[self._shares()[:n] >= self._least]
        self._settled += kept.sum(axis=0, dtype=np.float64)
        self._n_settled += len(kept)
        del self._vectors[:n], self._places[:n]
        n_frames = self._places[0] // self._hop - self._n_forgotten
        self._power, self._periodic = self._power[n_frames:], self._periodic[n_frames:]
        self._n_forgotten += n_frames
