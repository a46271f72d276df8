"""What every encoder offers, and how the partials of many recordings share its batches."""

from __future__ import annotations

import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from singerid import audio
from singerid.embeddings import EmbeddingSet, embedding_set, mean_direction
from singerid.errors import AudioError, BatchError, SingeridError, one_line
from singerid.extraction import Outcome
from singerid.frames import tile_starts
from singerid.front_ends import FrontEnd
from singerid.records import Recording
from singerid.sections import EmbedSettings

_Key = TypeVar("_Key")
FloatArray = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]
Frames = FloatArray | SingeridError
"""Of a recording: its frames or its partials' vectors, or why there are none."""
BLOCK = 64
"""Recordings, across whose ends no batch reaches (see `singerid.blocks`)."""


class Embedder(Protocol):
    """Audio → unit vectors: an encoder of ours, or one from elsewhere.

    `singerid.runtime.OnnxSingerEncoder` is one; `singerid.external` holds the others.
    """

    @property
    def fingerprint(self) -> str:
        """Of the encoder; only vectors of equal fingerprints can be compared."""

    @property
    def sample_rate(self) -> int:
        """The rate in Hz that it works at; audio of other rates is resampled."""

    def embed(self, samples: npt.NDArray[np.floating], sample_rate: int) -> FloatArray:
        """Embedding of mono samples `(n_samples,)` in [-1, 1]: float32 `(dim,)` of unit length.

        Raises:
            SingeridError: the samples, or what the encoder makes of them, cannot be used.
        """

    def embed_recordings(
        self,
        recordings: Sequence[Recording],
        n_processes: int = 1,
        on_progress: Callable[[float], object] = lambda seconds: None,
        on_warning: Callable[[str], object] = lambda line: None,
    ) -> tuple[EmbeddingSet, list[SingeridError]]:
        """Embed audio files; one that fails is left out.

        Args:
            recordings: what to embed.
            n_processes: files that are decoded and analyzed at once.
            on_progress: called with the seconds of audio after each recording.
            on_warning: called with a line for each remark on a file.

        Returns:
            The set, and the error of each recording that failed.

        Raises:
            BatchError: all failed.
        """


def passed(
    outcomes: Iterable[tuple[Recording, Outcome]], on_warning: Callable[[str], object]
) -> Iterator[tuple[Recording, Frames]]:
    """What was read of each recording, or its error; warnings are said on the way."""
    for recording, outcome in outcomes:
        if isinstance(outcome, SingeridError):
            yield recording, outcome
            continue
        frames, warnings = outcome
        for warning in warnings:
            on_warning(f"{one_line(recording.path)}: {warning}")
        yield recording, frames


def gather(
    items: Iterable[tuple[Recording, Frames]],
    encoder: str,
    on_progress: Callable[[float], object] = lambda seconds: None,
) -> tuple[EmbeddingSet, list[SingeridError]]:
    """Average each recording's partials, and collect those that have a vector.

    Args:
        items: recordings, with float32 `(n_partials, dim)` or an error each.
        encoder: fingerprint of the encoder.
        on_progress: called with the seconds of audio after each recording.

    Returns:
        The set, and the error of each recording that failed.

    Raises:
        BatchError: all failed.
        SingeridError: there are none.
    """
    kept: list[Recording] = []
    vectors: list[FloatArray] = []
    counts: list[int] = []
    failures: list[SingeridError] = []
    for recording, partials in items:
        on_progress(recording.duration)
        if isinstance(partials, SingeridError):
            failures.append(partials)
            continue
        try:
            vectors.append(mean_direction(partials))
        except SingeridError as error:
            failures.append(SingeridError(error.what, where=recording.path, do=error.do))
            continue
        kept.append(recording)
        counts.append(len(partials))
    if not failures and not kept:
        raise SingeridError("there is nothing to embed")
    if not kept:
        raise BatchError(f"all {len(failures)} recordings failed, nothing is saved", failures)
    return embedding_set(kept, np.stack(vectors), counts, encoder), failures


class PartialEmbedder(ABC):
    """An embedder whose network sees partials.

    A recording is cut into partials of one length; its embedding is the normalized mean of
    theirs. A recording shorter than a partial is encoded at its own length, never padded.

    Attributes:
        front_end: what turns samples into frames.
        partial_frames: length of a partial, None for whole recordings.
        settings: overlap, places and batches of the partials.
        fingerprint: of the encoder; only vectors of equal fingerprints can be compared.
        dim: length of an embedding.
        can_travel: True if a copy of it, with all that it needs, can be sent to other machines.
    """

    dim: int
    can_travel: ClassVar[bool] = False

    def __init__(
        self,
        front_end: FrontEnd,
        partial_frames: int | None,
        fingerprint: str,
        settings: EmbedSettings | None = None,
    ) -> None:
        self.front_end = front_end
        self.partial_frames = partial_frames
        self.fingerprint = fingerprint
        self.settings = settings or EmbedSettings()

    @abstractmethod
    def encode(self, batch: FloatArray) -> FloatArray:
        """Vectors `(batch, dim)` of `(batch, n_frames, n_inputs)`, or of `(batch, n_samples)`.

        Raises:
            SingeridError: the network cannot take it.
        """

    @property
    def sample_rate(self) -> int:
        """The rate in Hz that the encoder works at; audio of other rates is resampled."""
        return self.front_end.sample_rate

    def embed(self, samples: npt.NDArray[np.floating], sample_rate: int) -> FloatArray:
        """Embedding of samples.

        Args:
            samples: mono `(n_samples,)` in [-1, 1].
            sample_rate: their rate in Hz; other rates than the encoder's are resampled.

        Returns:
            float32 `(dim,)` of unit length.

        Raises:
            AudioError: not mono, not finite, silent or too short.
        """
        mono = audio.conform(samples, sample_rate, self.sample_rate, copy=False)
        return mean_direction(self.embed_partials(self.front_end.frames(mono)))

    def embed_file(self, path: str | os.PathLike[str], channel: str = "mix") -> FloatArray:
        """Embedding of a file, float32 `(dim,)` of unit length.

        Raises:
            AudioError: the file cannot be read or used.
        """
        return mean_direction(self.embed_partials(self.front_end.read(path, channel)[0]))

    def embed_partials(self, frames: FloatArray) -> FloatArray:
        """Vectors `(n_partials, dim)` of the partials of a recording's frames."""
        frames = self._middle(frames)
        vectors = next(self._embed_group([("", frames, self.places(frames))]))[1]
        if isinstance(vectors, SingeridError):
            raise vectors
        return vectors

    def places(self, frames: FloatArray) -> Places:
        """First frames `(n_partials,)` of a recording's partials: its tiles, or random crops.

        A recording shorter than a partial has the one place 0. An encoder may override this, and
        refuse recordings by raising a `SingeridError`.
        """
        length = self._length(frames)
        last = len(frames) - length
        if self.settings.crops and last > 0:  # places depend on seed and recording alone
            mark = zlib.crc32(np.ascontiguousarray(frames[:length]).data)
            rng = np.random.default_rng([self.settings.seed, mark, len(frames)])
            return rng.integers(0, last + 1, self.settings.crops)
        hop = max(1, round(length * (1 - self.settings.overlap)))
        return tile_starts(len(frames), length, hop)

    def embed_recordings(
        self,
        recordings: Sequence[Recording],
        n_processes: int = 1,
        on_progress: Callable[[float], object] = lambda seconds: None,
        on_warning: Callable[[str], object] = lambda line: None,
    ) -> tuple[EmbeddingSet, list[SingeridError]]:
        """Embed audio files, decoded by other processes; see `Embedder.embed_recordings`."""
        pairs = passed(self.front_end.read_all(recordings, n_processes), on_warning)
        return gather(self.embed_many(pairs), self.fingerprint, on_progress)

    def embed_many(
        self, pairs: Iterable[tuple[Recording, Frames]]
    ) -> Iterator[tuple[Recording, Frames]]:
        """Partials' vectors of each recording, not in their order; recordings share batches."""
        group: list[tuple[Recording, FloatArray, Places]] = []
        n_partials = 0
        for number, (recording, frames) in enumerate(pairs):
            if number % BLOCK == 0:
                yield from self._located(group)
                group, n_partials = [], 0
            if isinstance(frames, SingeridError):
                yield recording, frames
                continue
            if len(some := self._middle(frames)) < len(frames):
                recording, frames = replace(recording, duration=self.settings.max_seconds), some
            try:
                places = self.places(frames)
            except SingeridError as error:
                yield recording, _at(recording, error)
                continue
            group.append((recording, frames, places))
            n_partials += len(places)
            if self.partial_frames is None or n_partials >= self.settings.batch_partials:
                yield from self._located(group)
                group, n_partials = [], 0
        yield from self._located(group)

    def _middle(self, frames: FloatArray) -> FloatArray:
        """What `settings.max_seconds` leaves of a recording."""
        limit = self.settings.max_seconds
        n_frames = max(1, round(limit / self.front_end.step_seconds))
        if not limit or len(frames) <= n_frames:
            return frames
        start = (len(frames) - n_frames) // 2
        return frames[start : start + n_frames]

    def _located(
        self, group: Sequence[tuple[Recording, FloatArray, Places]]
    ) -> Iterator[tuple[Recording, Frames]]:
        """`_embed_group`, with errors that name the recording's file."""
        for recording, vectors in self._embed_group(group):
            yield recording, _at(recording, vectors)

    def _embed_group(
        self, group: Sequence[tuple[_Key, FloatArray, Places]]
    ) -> Iterator[tuple[_Key, Frames]]:
        """Partials' vectors; only those of one batch are ever copied out of the frames."""
        vectors: list[list[FloatArray]] = [[] for _ in group]
        whole = [
            (row, start)
            for row, (_, frames, starts) in enumerate(group)
            if self.partial_frames is not None and len(frames) >= self.partial_frames
            for start in starts
        ]
        for first in range(0, len(whole), self.settings.batch_partials):
            some = whole[first : first + self.settings.batch_partials]
            of_some = self._encode_whole([(group[row][1], start) for row, start in some])
            for (row, _), vector in zip(some, of_some, strict=True):
                vectors[row].append(vector)
        for (key, frames, _), own in zip(group, vectors, strict=True):
            yield key, np.stack(own) if own else self._encode_alone(frames)

    def _encode_whole(self, places: Sequence[tuple[FloatArray, np.int64]]) -> FloatArray:
        """A function of its own, so that two batches are never in memory together."""
        return self.encode(np.stack([self._partial(frames, start) for frames, start in places]))

    def _partial(self, frames: FloatArray, start: np.int64) -> FloatArray:
        return self.front_end.encoder_input(frames[start : start + self._length(frames)])

    def _encode_alone(self, frames: FloatArray) -> Frames:
        """A recording at its own length, which padding would change."""
        try:
            return self.encode(self.front_end.encoder_input(frames)[None])
        except SingeridError as error:
            return error

    def _length(self, frames: FloatArray) -> int:
        return len(frames) if self.partial_frames is None else self.partial_frames


def _at(recording: Recording, vectors: Frames) -> Frames:
    """The same, but an error names the recording's file."""
    if not isinstance(vectors, SingeridError):
        return vectors
    kind = AudioError if isinstance(vectors, AudioError) else SingeridError
    return kind(
        vectors.what, where=recording.path, found=vectors.found, expected=vectors.expected,
        do=vectors.do,
    )  # fmt: skip
