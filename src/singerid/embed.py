"""Audio or stored features → one unit vector a recording."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from singerid import audio
from singerid.checkpoint import EncoderFile, load_encoder
from singerid.embeddings import EmbeddingSet, embedding_set, mean_direction
from singerid.errors import BatchError, MismatchError, SingeridError, one_line
from singerid.extraction import analyze
from singerid.features import extract, extract_file, network_input
from singerid.frames import tile_starts
from singerid.precision import autocast, choose_precision
from singerid.records import Recording
from singerid.sections import EmbedSettings
from singerid.store import Store

_Key = TypeVar("_Key")
FloatArray = npt.NDArray[np.float32]


class SingerEncoder:
    """A trained encoder with its front end: samples, files or stored features → vectors.

    A recording is cut into partials of the length that the encoder was trained on; its
    embedding is the normalized mean of theirs. A recording shorter than a partial is encoded
    at its own length, never padded.

    Attributes:
        file: the network and its specifications.
        fingerprint: of the encoder; only vectors of equal fingerprints can be compared.
    """

    def __init__(self, file: EncoderFile, settings: EmbedSettings | None = None) -> None:
        self.file = file
        self.settings = settings or EmbedSettings()
        self.fingerprint = file.fingerprint
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._precision = choose_precision(
            self.settings.precision, file.encoder, self.settings.batch_partials, file.spec.n_inputs
        )
        self._network = file.encoder.to(self._device).eval()

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], settings: EmbedSettings | None = None
    ) -> SingerEncoder:
        """From a run folder or encoder file.

        Raises:
            CheckpointError: see `singerid.checkpoint.load_encoder`.
        """
        return cls(load_encoder(path), settings)

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
        mono = audio.conform(samples, sample_rate, self.file.spec.audio.sample_rate)
        return mean_direction(self.embed_partials(extract(mono, self.file.spec)))

    def embed_file(self, path: str | os.PathLike[str], channel: str = "mix") -> FloatArray:
        """Embedding of a file, float32 `(dim,)` of unit length.

        Raises:
            AudioError: the file cannot be read or used.
        """
        features, _ = extract_file(path, channel, self.file.spec)
        return mean_direction(self.embed_partials(features))

    def embed_partials(self, features: FloatArray) -> FloatArray:
        """Unit vectors `(n_partials, dim)` of the partials that tile `(n_frames, n_dims)`."""
        return next(self._embed_group([("", features)]))[1]

    def embed_store(
        self,
        store: Store,
        recordings: Sequence[Recording],
        on_progress: Callable[[float], object] = lambda seconds: None,
    ) -> tuple[EmbeddingSet, list[SingeridError]]:
        """Embed recordings of a store; returns the set and the errors of those that failed.

        Raises:
            MismatchError: the store was made by another front end.
        """
        if store.spec != self.file.spec:
            raise MismatchError(
                "store and encoder have different feature specs", where=store.path,
                found=f"store {store.spec.fingerprint()}, encoder {self.file.spec.fingerprint()}",
                do="extract again with the encoder's settings, or embed the audio itself",
            )  # fmt: skip
        pairs = ((r, store.features(r.id)) for r in recordings)
        return self._embed_all(pairs, on_progress, [])

    def embed_recordings(
        self,
        recordings: Sequence[Recording],
        n_processes: int = 1,
        on_progress: Callable[[float], object] = lambda seconds: None,
        on_warning: Callable[[str], object] = lambda line: None,
    ) -> tuple[EmbeddingSet, list[SingeridError]]:
        """Embed audio files, decoded by other processes; a file that fails is left out.

        Returns:
            The set, and the error of each recording that failed.
        """
        failures: list[SingeridError] = []

        def readable() -> Iterator[tuple[Recording, FloatArray]]:
            for recording, outcome in analyze(recordings, self.file.spec, n_processes):
                if isinstance(outcome, SingeridError):
                    failures.append(outcome)
                    on_progress(recording.duration)
                    continue
                features, warnings = outcome
                for warning in warnings:
                    on_warning(f"{one_line(recording.path)}: {warning}")
                yield recording, features

        return self._embed_all(readable(), on_progress, failures)

    def _embed_all(
        self,
        pairs: Iterable[tuple[Recording, FloatArray]],
        on_progress: Callable[[float], object],
        failures: list[SingeridError],
    ) -> tuple[EmbeddingSet, list[SingeridError]]:
        kept: list[Recording] = []
        vectors: list[FloatArray] = []
        counts: list[int] = []
        for recording, partials in self._embed_many(pairs):
            on_progress(recording.duration)
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
        return embedding_set(kept, np.stack(vectors), counts, self.fingerprint), failures

    def _embed_many(
        self, pairs: Iterable[tuple[Recording, FloatArray]]
    ) -> Iterator[tuple[Recording, FloatArray]]:
        """Partials' vectors of each recording; recordings share batches."""
        group: list[tuple[Recording, FloatArray]] = []
        n_partials = 0
        for recording, features in pairs:
            group.append((recording, features))
            n_partials += len(self._starts(features))
            if n_partials >= self.settings.batch_partials:
                yield from self._embed_group(group)
                group, n_partials = [], 0
        yield from self._embed_group(group)

    def _embed_group(
        self, group: Sequence[tuple[_Key, FloatArray]]
    ) -> Iterator[tuple[_Key, FloatArray]]:
        length = self.file.partial_frames
        tiles = [self._starts(features) for _, features in group]
        partials = [
            network_input(features[start : start + length], self.file.spec)
            for (_, features), starts in zip(group, tiles, strict=True)
            for start in starts
        ]
        vectors = np.empty((len(partials), self.file.settings.dim), np.float32)
        whole = [i for i, partial in enumerate(partials) if len(partial) == length]
        for first in range(0, len(whole), self.settings.batch_partials):
            rows = whole[first : first + self.settings.batch_partials]
            vectors[rows] = self._encode(np.stack([partials[i] for i in rows]))
        for i, partial in enumerate(partials):
            if len(partial) < length:  # alone, at its own length: padding would change it
                vectors[i] = self._encode(partial[None])[0]
        ends = np.cumsum([len(starts) for starts in tiles])
        for (key, _), end, starts in zip(group, ends, tiles, strict=True):
            yield key, vectors[end - len(starts) : end]

    def _starts(self, features: FloatArray) -> npt.NDArray[np.int64]:
        length, last = self.file.partial_frames, len(features) - self.file.partial_frames
        if self.settings.crops and last > 0:  # places depend on seed and recording alone
            mark = zlib.crc32(np.ascontiguousarray(features[:length]).data)
            rng = np.random.default_rng([self.settings.seed, mark, len(features)])
            return rng.integers(0, last + 1, self.settings.crops)
        hop = max(1, round(length * (1 - self.settings.overlap)))
        return tile_starts(len(features), length, hop)

    def _encode(self, batch: FloatArray) -> FloatArray:
        """`(batch, n_frames, n_dims)` → `(batch, dim)`."""
        with torch.inference_mode(), autocast(self._precision == "bf16", self._device):
            vectors = self._network(torch.from_numpy(batch).to(self._device))
        result: FloatArray = vectors.float().cpu().numpy()
        return result
