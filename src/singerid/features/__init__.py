"""Audio → the frames that an encoder sees, as its feature spec says.

Streams lie on one frame grid, so that they can be concatenated: mel (`singerid.features.mel`) or
WORLD (`world`, `worldcoding`, `melcepstrum`), and pitch (`pitch`, `neural`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from singerid import audio
from singerid.errors import AudioError
from singerid.features import world
from singerid.features.mel import log_mel
from singerid.features.neural import neural_f0
from singerid.features.pitch import midi_pitch, one_hot_pitch, resample_track
from singerid.silence import remove_silence
from singerid.spec import FeatureSpec, WorldSettings

if TYPE_CHECKING:
    from singerid.features.worldcoding import Coding

FloatArray = npt.NDArray[np.float32]

_LOWER = "leave it out, or lower --audio.min_seconds"
_BLOCK = 1 << 16  # samples; float32 sums over a whole recording would lose digits


def extract(samples: FloatArray, spec: FeatureSpec, where: object = "samples") -> FloatArray:
    """Features of samples at the spec's sample rate.

    Args:
        samples: mono `(n_samples,)` in [-1, 1].
        spec: the front end.
        where: the recording's name, for errors.

    Returns:
        float32 `(n_frames, spec.n_dims)`.

    Raises:
        AudioError: too short, or not fit for WORLD.
        MissingExtraError: WORLD or the neural tracker is not installed.
    """
    return frames_of(prepared(samples, spec, where), spec, where)


def prepared(
    samples: FloatArray, spec: FeatureSpec, where: object, advice: str = _LOWER
) -> FloatArray:
    """What concerns a whole recording: samples without pauses, long and loud enough.

    Args:
        samples: mono `(n_samples,)` in [-1, 1].
        spec: the front end.
        where: the recording's name, for errors.
        advice: what to do where it is too short.

    Raises:
        AudioError: too short.
    """
    samples = remove_silence(samples, spec.audio.sample_rate, spec.audio.silence_db)
    check_duration(len(samples), spec, where, advice)
    if spec.audio.min_level_db < 0:
        samples = raise_level(samples, spec.audio.min_level_db)
    return samples


def frames_of(samples: FloatArray, spec: FeatureSpec, where: object) -> FloatArray:
    """`extract` of samples that are `prepared` already, or should be taken as they are."""
    if spec.features.stream == "world":
        return _world(samples, spec, where)
    mel = log_mel(samples, spec.audio.sample_rate, spec.mel)
    if not spec.pitch.condition:
        return mel
    midi, unvoiced = _pitch(samples, len(mel), spec, where)
    return np.column_stack([mel, midi, unvoiced]).astype(np.float32)


def _world(samples: FloatArray, spec: FeatureSpec, where: object) -> FloatArray:
    from singerid.features.worldcoding import encode  # scipy: slow to import, and rarely needed

    settings = spec.world
    analysis = world.analyze(
        samples, spec.audio.sample_rate, method=settings.f0_method, fmin=settings.fmin,
        fmax=settings.fmax, frame_period_ms=settings.frame_period, where=where,
    )  # fmt: skip
    return encode(analysis, coding_of(settings))


def coding_of(settings: WorldSettings) -> Coding:
    """The reduction that the settings ask for."""
    from singerid.features.worldcoding import Coding

    dims = settings.envelope_dims, settings.aperiodicity_dims
    return Coding(settings.reduction, *dims, settings.alpha)


def _pitch(
    samples: FloatArray, n_frames: int, spec: FeatureSpec, where: object
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """MIDI numbers and unvoiced flags on the grid of the mel frames."""
    settings = spec.world
    if spec.pitch.tracker == "swift-f0":
        f0, hop_seconds = neural_f0(samples, spec.audio.sample_rate, settings.fmin, settings.fmax)
    else:
        hop_seconds = settings.frame_period / 1000
        f0 = world.track_f0(
            samples, spec.audio.sample_rate, method=settings.f0_method, fmin=settings.fmin,
            fmax=settings.fmax, frame_period_ms=settings.frame_period, where=where,
        )  # fmt: skip
    return midi_pitch(resample_track(f0, hop_seconds, n_frames, spec.hop_seconds))


def network_input(frames: FloatArray, spec: FeatureSpec) -> FloatArray:
    """Stored frames as the encoder sees them.

    Args:
        frames: float32 `(n_frames, spec.n_dims)`.
        spec: the front end.

    Returns:
        float32 `(n_frames, spec.n_inputs)`: mel, or envelope (and aperiodicity), and the
        one-hot pitch if the encoder is conditioned on it.
    """
    parts = _input_parts(frames, spec)
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _input_parts(frames: FloatArray, spec: FeatureSpec) -> list[FloatArray]:
    columns = spec.columns
    parts = [frames[:, columns[name]] for name in spec.input_streams]
    if spec.pitch.condition:
        midi, unvoiced = frames[:, columns["midi"]][:, 0], frames[:, columns["unvoiced"]][:, 0]
        parts.append(one_hot_pitch(midi, unvoiced > 0.5, spec.pitch.low, spec.pitch.high))
    return parts


def input_streams(inputs: FloatArray, spec: FeatureSpec) -> dict[str, FloatArray]:
    """The encoder's input `(n_frames, spec.n_inputs)` by stream, for pictures."""
    result, start = {}, 0
    for name in spec.input_streams:
        width = spec.columns[name].stop - spec.columns[name].start
        result[name] = inputs[:, start : start + width]
        start += width
    return result | ({"pitch": inputs[:, start:]} if spec.pitch.condition else {})


def raise_level(samples: FloatArray, level_db: float) -> FloatArray:
    """Amplify a recording to an RMS level; louder ones are left alone, and so is silence.

    Args:
        samples: mono `(n_samples,)`.
        level_db: dBFS.
    """
    blocks = np.split(samples, range(_BLOCK, len(samples), _BLOCK))
    power = sum(float(np.dot(block, block)) for block in blocks) / len(samples)
    if power == 0 or 10 * np.log10(power) >= level_db:
        return samples
    return samples * np.float32(10 ** (level_db / 20) / power**0.5)


def extract_file(
    path: str | os.PathLike[str], channel: str, spec: FeatureSpec
) -> tuple[FloatArray, list[str]]:
    """Features of a file, and warnings about its audio.

    Raises:
        AudioError: the file cannot be read, or is too short.
    """
    samples, warnings = audio.load(path, spec.audio.sample_rate, channel)
    return extract(samples, spec, path), warnings


def check_duration(n_samples: int, spec: FeatureSpec, where: object, advice: str = _LOWER) -> None:
    """Refuse audio that is too short to say anything about a voice.

    Raises:
        AudioError: shorter than `min_seconds`, or than the window needs.
    """
    least = max(spec.audio.min_seconds, (spec.mel.n_fft // 2 + 1) / spec.audio.sample_rate)
    found = n_samples / spec.audio.sample_rate
    if found < least:
        raise AudioError(
            "is too short", where=where, found=f"{found:.2f} s", expected=f"at least {least:.2f} s",
            do=advice,
        )  # fmt: skip
