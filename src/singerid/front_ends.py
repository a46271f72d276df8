"""What stands between samples and an encoder: features of ours, the waveform, or windows of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from singerid import audio
from singerid.appending import in_turn, readers
from singerid.errors import SingeridError
from singerid.extraction import Outcome, analyze
from singerid.features import extract_file, frames_of, network_input, prepared
from singerid.features.mel import pad_in_place, padded
from singerid.records import Recording
from singerid.spec import FeatureSpec
from singerid.voicing import find_voice

FloatArray = npt.NDArray[np.float32]
_ADVICE = "give a longer recording, or leave it out"


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
        """See `singerid.features.extract`; what is too short cannot be helped by a setting."""
        return frames_of(prepared(samples, self.spec, where, _ADVICE), self.spec, where)

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
        return prepared(samples, self.spec, where, _ADVICE)

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
        """By threads, or by processes where there are many; see `singerid.appending.readers`."""
        return in_turn(recordings, self._read_one, n_processes, readers(recordings))

    def _read_one(self, recording: Recording) -> tuple[FloatArray, list[str]]:
        return self.read(recording.path, recording.channel)

    def encoder_input(self, partial: FloatArray) -> FloatArray:
        """The partial as it is."""
        return partial


@dataclass(frozen=True)
class WindowFrontEnd(WaveformFrontEnd):
    """For an encoder that holds the rest of our mel front end itself (`singerid.runtime`).

    A frame is the window of samples that a mel frame is made of, so partials begin and end where
    those of `FeatureFrontEnd` do. All windows are views of the padded recording: no copies.
    """

    @property
    def step_seconds(self) -> float:
        """Distance of two frames in seconds."""
        return self.spec.hop_seconds

    def frames(self, samples: FloatArray, where: object = "samples") -> FloatArray:
        """Windows `(n_frames, n_fft)` of the prepared, high-passed and padded samples, read-only.

        Raises:
            AudioError: too short.
        """
        ready = prepared(samples, self.spec, where, _ADVICE)
        return self._windows(padded(ready, self.sample_rate, self.spec.mel))

    def read(self, path: str | os.PathLike[str], channel: str) -> tuple[FloatArray, list[str]]:
        """Windows of a file, which is in memory only once.

        Raises:
            AudioError: the file cannot be read or used.
        """
        continued, warnings = self._continued(path, channel)
        return self._windows(continued), warnings

    def read_all(
        self, recordings: Sequence[Recording], n_processes: int
    ) -> Iterator[tuple[Recording, Outcome]]:
        """As of `WaveformFrontEnd`: what comes from workers is samples, not windows."""
        for recording, outcome in super().read_all(recordings, n_processes):
            if not isinstance(outcome, SingeridError):
                outcome = self._windows(outcome[0]), outcome[1]
            yield recording, outcome

    def _read_one(self, recording: Recording) -> tuple[FloatArray, list[str]]:
        return self._continued(recording.path, recording.channel)

    def _continued(
        self, path: str | os.PathLike[str], channel: str
    ) -> tuple[FloatArray, list[str]]:
        """Samples of a file, prepared, high-passed and continued at both ends."""
        half = self.spec.mel.n_fft // 2
        whole, warnings = audio.load(path, self.sample_rate, channel, room=half)
        samples = whole[half:-half]
        ready = prepared(samples, self.spec, path, _ADVICE)
        if ready is not samples:
            return padded(ready, self.sample_rate, self.spec.mel), warnings
        pad_in_place(whole, self.sample_rate, self.spec.mel)
        return whole, warnings

    def _windows(self, continued: FloatArray) -> FloatArray:
        return sliding_window_view(continued, self.spec.mel.n_fft)[:: self.spec.mel.hop_length]

    def encoder_input(self, partial: FloatArray) -> FloatArray:
        """The samples `((n_frames - 1) · hop_length + n_fft,)` below a partial's windows."""
        n_samples = (len(partial) - 1) * self.spec.mel.hop_length + self.spec.mel.n_fft
        return as_strided(partial, (n_samples,), partial.strides[1:], writeable=False)

    def voice_shares(
        self, frames: FloatArray, starts: npt.NDArray[np.int64], length: int
    ) -> npt.NDArray[np.float64]:
        """Share of voice-like sound in partials, see `singerid.voicing`.

        Args:
            frames: of the recording, as `frames` gave them.
            starts: first frames of the partials, `(n_partials,)`.
            length: of a partial in frames.

        Returns:
            `(n_partials,)` in [0, 1].
        """
        mel = self.spec.mel
        voicing = find_voice(self.encoder_input(frames), self.sample_rate)
        return voicing.shares(starts * mel.hop_length, (length - 1) * mel.hop_length + mel.n_fft)
