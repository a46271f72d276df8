"""The encoder as Python code meets it: one way to load it, one method for each kind of input."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from singerid import audio, hub
from singerid.embedder import Frames, PartialEmbedder, passed
from singerid.embeddings import EmbeddingSet, mean_direction
from singerid.errors import ConfigError, SingeridError
from singerid.external import load_embedder
from singerid.records import Recording
from singerid.runtime import OnnxSingerEncoder
from singerid.scoring.calibration import Calibration
from singerid.scoring.calibration_file import from_bytes
from singerid.sections import EmbedSettings
from singerid.streaming import StreamedPartial, embed_stream

FloatArray = npt.NDArray[np.float32]
Embedding = FloatArray | SingeridError
"""Of one of several recordings: float32 `(dim,)` of unit length, or why there is none."""


class SingerEncoder:
    """Singing → unit vectors that say whose voice it is; the dot product of two is their score.

    Made by `from_pretrained`. It is an `singerid.embedder.Embedder`, too.

    Attributes:
        embedder: what does the work.
    """

    def __init__(self, embedder: PartialEmbedder) -> None:
        self.embedder = embedder

    @classmethod
    def from_pretrained(
        cls,
        encoder: str | os.PathLike[str] = "default",
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | None = None,
        settings: EmbedSettings | None = None,
    ) -> Self:
        """Load an encoder.

        Args:
            encoder: ``default``, the one that comes with the package; a file of ``singerid
                export``; a folder of `save_pretrained`; ``user/name`` on the Hugging Face Hub
                (what lies here under that name goes first); or, with PyTorch, a run folder or
                encoder file. A model from elsewhere with its declaration is taken, too.
            revision: branch, tag or commit of a repository on the Hub.
            cache_dir: where downloads are kept; None for huggingface_hub's usual place.
            token: for a private repository.
            settings: how a recording becomes one vector.

        Raises:
            CheckpointError: there is no such encoder, or it cannot be used.
            ConfigError: a revision of what is not on the Hub; or a baseline, which embeds
                whole corpora only.
            MissingExtraError: what it takes is not installed.
        """
        if hub.is_name(encoder):
            model = hub.fetch(os.fspath(encoder), revision, cache_dir, token)
            return cls(OnnxSingerEncoder(model, encoder, settings))
        if revision is not None:
            raise ConfigError(
                "has no revisions: it is not on the Hugging Face Hub", where=encoder, found=revision
            )
        if encoder != "default" and (Path(encoder) / hub.MODEL).is_file():
            return cls(OnnxSingerEncoder(hub.read_folder(encoder), encoder, settings))
        embedder = load_embedder(encoder, settings)
        if not isinstance(embedder, PartialEmbedder):
            raise ConfigError(
                "is a baseline, and embeds no single recordings in the ways of SingerEncoder",
                where=encoder, do="use singerid.load_encoder",
            )  # fmt: skip
        return cls(embedder)

    @property
    def fingerprint(self) -> str:
        """Of the encoder; only vectors of equal fingerprints can be compared."""
        return self.embedder.fingerprint

    @property
    def sample_rate(self) -> int:
        """The rate in Hz that it works at; audio of other rates is resampled."""
        return self.embedder.sample_rate

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.embedder.dim

    @property
    def calibration(self) -> Calibration | None:
        """What turns its scores into probabilities, if its file holds that."""
        if not isinstance(self.embedder, OnnxSingerEncoder):
            return None
        data = self.embedder.calibration_bytes
        return None if data is None else from_bytes(data)

    def embed(self, samples: npt.NDArray[np.generic], sample_rate: int) -> FloatArray:
        """Embedding of samples.

        Args:
            samples: mono `(n_samples,)`; floats in [-1, 1] or signed integers of full scale.
            sample_rate: their rate in Hz.

        Returns:
            float32 `(dim,)` of unit length.

        Raises:
            AudioError: not mono, not finite, silent, too short, or without a voice.
        """
        return self.embedder.embed(samples, sample_rate)  # type: ignore[arg-type]

    def embed_file(self, path: str | os.PathLike[str], channel: str = "mix") -> FloatArray:
        """Embedding of an audio file of any format and rate.

        Args:
            path: the file.
            channel: that holds the voice: ``mix`` (mean of all), ``left`` or ``right``.

        Returns:
            float32 `(dim,)` of unit length.

        Raises:
            AudioError: it cannot be read, is silent, too short, or without a voice.
        """
        return self.embedder.embed_file(path, channel)

    def embed_batch(
        self, batch: Iterable[npt.NDArray[np.generic]], sample_rate: int
    ) -> list[Embedding]:
        """Embeddings of several recordings' samples, which share the network's batches.

        Args:
            batch: mono samples each, of any lengths; see `embed`.
            sample_rate: their rate in Hz.

        Returns:
            For each its embedding, the same as alone to 1e-6, or the error that `embed` raises.
        """

        def frames() -> Iterator[tuple[Recording, Frames]]:
            for row, samples in enumerate(batch):
                yield _named(row, f"recording {row}"), self._frames(samples, sample_rate, row)

        return _in_order(self.embedder.embed_many(frames()))

    def embed_files(
        self,
        paths: Iterable[str | os.PathLike[str]],
        channel: str = "mix",
        n_processes: int = 1,
        on_warning: Callable[[str], object] = lambda line: None,
    ) -> list[Embedding]:
        """Embeddings of audio files, which share the network's batches.

        Args:
            paths: the files.
            channel: that holds the voice: ``mix`` (mean of all), ``left`` or ``right``.
            n_processes: files that are decoded at once.
            on_warning: called with a line for each remark on a file.

        Returns:
            For each its embedding, the same as alone to 1e-6, or the error that `embed_file`
            raises.
        """
        found: dict[str, Embedding] = {}
        recordings = []
        for row, path in enumerate(paths):
            try:
                seconds = audio.probe(path).duration  # bounds what is decoded ahead
            except SingeridError as error:
                found[str(row)] = error
            else:
                recordings.append(_named(row, os.fspath(path), channel, seconds))
        read = self.embedder.front_end.read_all(recordings, n_processes)
        for recording, vectors in self.embedder.embed_many(passed(read, on_warning)):
            found[recording.id] = _mean(vectors)
        return [found[str(row)] for row in range(len(found))]

    def embed_stream(
        self, blocks: Iterable[npt.NDArray[np.generic]], sample_rate: int
    ) -> Iterator[StreamedPartial]:
        """Embeddings of what is still being sung; see `singerid.streaming.embed_stream`.

        Args:
            blocks: mono samples each, of any lengths, one after the other: of a microphone, say.
            sample_rate: their rate in Hz.

        Yields:
            Each partial about a second after its end, with the embedding of all so far; the last
            one is the embedding of the whole, to 1e-5.

        Raises:
            ConfigError: the encoder is not an exported one, or needs the whole recording.
            AudioError: see `embed`; what only the end can tell is raised there.
        """
        return embed_stream(self._exported("embed streams"), blocks, sample_rate)

    def embed_recordings(
        self,
        recordings: Sequence[Recording],
        n_processes: int = 1,
        on_progress: Callable[[float], object] = lambda seconds: None,
        on_warning: Callable[[str], object] = lambda line: None,
    ) -> tuple[EmbeddingSet, list[SingeridError]]:
        """Embeddings of a manifest's recordings; see `singerid.embedder.Embedder`."""
        return self.embedder.embed_recordings(recordings, n_processes, on_progress, on_warning)

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        license: str = "",
        weights: str | os.PathLike[str] | None = None,
        card: str | os.PathLike[str] | None = None,
    ) -> None:
        """Write a folder that `from_pretrained` takes, and that can be put on the Hub.

        Args:
            folder: made if need be; a ``README.md`` that is there stays.
            license: of the weights, as the Hub names it (``cc-by-4.0``); "" for unknown.
            weights: an ``encoder.safetensors`` to lie beside, for those who want to train on.
            card: a Markdown file instead of the card that is made.

        Raises:
            ConfigError: the encoder is not an exported one.
            CheckpointError: a file cannot be read or written.
            MissingExtraError: huggingface_hub is not installed.
        """
        model = self._exported("be saved").model
        files = hub.files_of(model, Path(folder).name, license, weights, card)
        hub.save_folder(folder, files)

    def push_to_hub(
        self,
        name: str,
        *,
        message: str = "Singer encoder",
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        license: str = "",
        weights: str | os.PathLike[str] | None = None,
        card: str | os.PathLike[str] | None = None,
    ) -> str:
        """Put it on the Hugging Face Hub, where ``from_pretrained("user/name")`` finds it.

        Args:
            name: ``user/name``; made if need be.
            message: of the commit.
            private: whether a new repository can be seen by its owner only.
            token: of an account that may write; None for the one that is logged in.
            branch: None for the main one.
            license: see `save_pretrained`; so for weights and card.
            weights: an encoder file to lie beside.
            card: a Markdown file instead of the card that is made.

        Returns:
            The URL of the commit.

        Raises:
            ConfigError: the encoder is not an exported one.
            CheckpointError: the Hub cannot be reached, or refuses.
            MissingExtraError: huggingface_hub is not installed.
        """
        model = self._exported("be put on the Hub").model
        files = hub.files_of(model, name, license, weights, card)
        return hub.push(name, files, message, private, token, branch)

    def _exported(self, what: str) -> OnnxSingerEncoder:
        if not isinstance(self.embedder, OnnxSingerEncoder):
            raise ConfigError(
                f"only an exported encoder can {what}", found=type(self.embedder).__name__,
                do="export it: singerid export RUN -o encoder.onnx",
            )  # fmt: skip
        return self.embedder

    def _frames(self, samples: npt.NDArray[np.generic], sample_rate: int, row: int) -> Frames:
        try:
            mono = audio.conform(samples, sample_rate, self.sample_rate, copy=False)
            return self.embedder.front_end.frames(mono, f"recording {row}")
        except SingeridError as error:
            return error


def _named(row: int, path: str, channel: str = "mix", seconds: float = 0.0) -> Recording:
    """A recording that is found again by its row."""
    return Recording(str(row), "", path, seconds, 1, channel=channel)


def _in_order(pairs: Iterable[tuple[Recording, Frames]]) -> list[Embedding]:
    found = {recording.id: _mean(vectors) for recording, vectors in pairs}
    return [found[str(row)] for row in range(len(found))]


def _mean(vectors: Frames) -> Embedding:
    """Of a recording's partials."""
    if isinstance(vectors, SingeridError):
        return vectors
    try:
        return mean_direction(vectors)
    except SingeridError as error:
        return error
