"""What stands between samples and an encoder: features of ours, or the waveform itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from singerid import audio
from singerid.appending import in_turn
from singerid.extraction import Outcome, analyze
from singerid.features import (
    check_duration,
    extract,
    extract_file,
    network_input,
    raise_level,
)
from singerid.records import Recording
from singerid.silence import remove_silence
from singerid.spec import FeatureSpec

FloatArray = npt.NDArray[np.float32]


class FrontEnd(Protocol):
    """Turns recordings into arrays whose first axis is time, which are then cut into partials."""

    @property
    def sample_rate(self) -> int:
        """Of the samples, in Hz."""

    @property
    def step_seconds(self) -> float:
        """Distance of two entries of the first axis in seconds."""

    def frames(self, samples: FloatArray, where: object = "samples") -> FloatArray:
        """Of mono samples at `sample_rate`.

        Raises:
            AudioError: too short, or not fit for analysis.
        """

    def read(self, path: str | os.PathLike[str], channel: str) -> tuple[FloatArray, list[str]]:
        """Of a file, with warnings about its audio.

        Raises:
            AudioError: the file cannot be read or used.
        """

    def read_all(
        self, recordings: Sequence[Recording], n_processes: int
    ) -> Iterator[tuple[Recording, Outcome]]:
        """Of each recording in turn, or its error."""

    def encoder_input(self, partial: FloatArray) -> FloatArray:
        """A partial as the encoder sees it."""


@dataclass(frozen=True)
class FeatureFrontEnd:
    """Our features: float32 `(n_frames, spec.n_dims)`, seen as `(n_frames, spec.n_inputs)`."""

    spec: FeatureSpec

    @property
    def sample_rate(self) -> int:
        """Of the samples, in Hz."""
        return self.spec.audio.sample_rate

    @property
    def step_seconds(self) -> float:
        """Distance of two frames in seconds."""
        return self.spec.hop_seconds

    def frames(self, samples: FloatArray, where: object = "samples") -> FloatArray:
        """See `singerid.features.extract`."""
        return extract(samples, self.spec, where)

    def read(self, path: str | os.PathLike[str], channel: str) -> tuple[FloatArray, list[str]]:
        """See `singerid.features.extract_file`."""
        return extract_file(path, channel, self.spec)

    def read_all(
        self, recordings: Sequence[Recording], n_processes: int
    ) -> Iterator[tuple[Recording, Outcome]]:
        """See `singerid.extraction.analyze`."""
        return analyze(recordings, self.spec, n_processes)

    def encoder_input(self, partial: FloatArray) -> FloatArray:
        """See `singerid.features.network_input`."""
        return network_input(partial, self.spec)


@dataclass(frozen=True)
class WaveformFrontEnd:
    """The samples, float32 `(n_samples,)` in [-1, 1], after what `spec.audio` asks for."""

    spec: FeatureSpec

    @property
    def sample_rate(self) -> int:
        """Of the samples, in Hz."""
        return self.spec.audio.sample_rate

    @property
    def step_seconds(self) -> float:
        """Distance of two samples in seconds."""
        return 1 / self.sample_rate

    def frames(self, samples: FloatArray, where: object = "samples") -> FloatArray:
        """The samples, without pauses and at the level that the settings ask for.

        Raises:
            AudioError: too short.
        """
        settings = self.spec.audio
        samples = remove_silence(samples, settings.sample_rate, settings.silence_db)
        check_duration(len(samples), self.spec, where)
        return raise_level(samples, settings.min_level_db) if settings.min_level_db else samples

    def read(self, path: str | os.PathLike[str], channel: str) -> tuple[FloatArray, list[str]]:
        """The samples of a file.

        Raises:
            AudioError: the file cannot be read or used.
        """
        samples, warnings = audio.load(path, self.sample_rate, channel)
        return self.frames(samples, path), warnings

    def read_all(
        self, recordings: Sequence[Recording], n_processes: int
    ) -> Iterator[tuple[Recording, Outcome]]:
        """By threads: decoding and resampling release the interpreter's lock."""
        return in_turn(recordings, self._read_one, n_processes, ThreadPoolExecutor)

    def _read_one(self, recording: Recording) -> tuple[FloatArray, list[str]]:
        return self.read(recording.path, recording.channel)

    def encoder_input(self, partial: FloatArray) -> FloatArray:
        """The partial as it is."""
        return partial
