"""What a voice bank keeps of a recording: WORLD's analysis of its sounding frames, reduced."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from singerid import audio
from singerid.errors import AudioError
from singerid.features import extract, world
from singerid.features.highpass import highpass
from singerid.records import Recording
from singerid.voicebank.codes import (
    APERIODICITY_RANGE_DB,
    cepstra_of,
    quantized_aperiodicity,
    quantized_cepstra,
)
from singerid.voicebank.spec import BankSpec

FloatArray = npt.NDArray[np.float64]

_HIGHPASS_ORDER = 10  # 27 dB at 60 Hz, 0.6 dB at 80 Hz, by the default cut-off of 70 Hz
_POWER_SECONDS = 0.03  # two periods of a low voice
_FRAMES_AT_ONCE = 1024
_TRACKED_AT_ONCE, _BESIDE = 10_000, 250  # frames; and how many more on both sides
_RELATIVE_GATE = 0.1  # ITU-R BS.1770's -10 dB: what is softer does not count as loud
_MARGIN_SECONDS = 0.02  # beside what is loud: the ends of sounds are soft
_LEAST_VOICED_SECONDS = 0.2
_MOST_SATURATED = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """One recording, analyzed.

    Attributes:
        rows: by name of the array, in the order of `BankSpec.arrays`.
        median_f0: Hz.
        level: dB that was scaled away.
        warnings: remarks on its audio.
    """

    rows: dict[str, npt.NDArray[Any]]
    median_f0: float
    level: float
    warnings: tuple[str, ...] = ()


def analyze_recording(recording: Recording, spec: BankSpec) -> Voice:
    """`analyze_voice` of a recording's file, with what its audio gives cause to remark.

    Raises:
        AudioError: unreadable, or as there.
        MissingExtraError: as there.
    """
    samples, warnings = audio.load(recording.path, spec.sample_rate, recording.channel)
    voice = analyze_voice(samples, spec, recording.path)
    return replace(voice, warnings=(*warnings, *voice.warnings))


def analyze_voice(
    samples: npt.NDArray[np.float32], spec: BankSpec, where: object = "samples"
) -> Voice:
    """What a bank keeps of a recording.

    Args:
        samples: mono `(n_samples,)` in [-1, 1] at the spec's sample rate.
        spec: the analysis.
        where: the recording's name, for errors.

    Raises:
        AudioError: too short, or without a voice.
        MissingExtraError: pyworld is not installed.
    """
    mel = extract(samples, spec.features, where)
    settings = spec.settings
    if settings.highpass > 0:
        samples = highpass(samples, settings.highpass, spec.sample_rate, _HIGHPASS_ORDER)
    track = _track(samples, spec, where)
    power = frame_power(samples, spec, len(track))
    kept = np.flatnonzero(sounding(power, settings.gate_db, settings.pause, spec.frame_period))
    f0, cepstra, aperiodicity, level = _spectra(
        samples, track, kept, float(power[kept].mean()), spec
    )
    if (voiced_seconds := np.count_nonzero(f0) * spec.frame_period) < _LEAST_VOICED_SECONDS:
        raise AudioError(
            "holds no voice", where=where, found=f"{voiced_seconds:.2f} s voiced",
            expected=f"at least {_LEAST_VOICED_SECONDS} s", do="leave it out",
        )  # fmt: skip
    rows = {
        "f0": f0.astype("<f4"),
        "onset": (np.diff(kept, prepend=-2) > 1).astype("u1"),
        "cepstrum": quantized_cepstra(cepstra),
        "aperiodicity": quantized_aperiodicity(aperiodicity),
        "mel": mel.astype(spec.arrays[-1].dtype),
    }
    saturated = float(np.mean(np.abs(rows["cepstrum"].astype(int)) == 127))
    warnings = [f"{saturated:.1%} of the cepstra are out of range"] * (saturated > _MOST_SATURATED)
    return Voice(rows, float(np.median(f0[f0 > 0])), level, tuple(warnings))


def _track(samples: npt.NDArray[np.float32], spec: BankSpec, where: object) -> FloatArray:
    """F0 of all frames in Hz, 0 where unvoiced.

    Long recordings are tracked piece by piece, since dio transforms all it is given at once.
    """
    settings, frame = spec.settings, spec.frame_period * spec.sample_rate
    n_frames = 1 + int(len(samples) / frame)
    starts = [*range(0, max(1, n_frames - _BESIDE), _TRACKED_AT_ONCE), n_frames]
    tracks = []
    for start, stop in itertools.pairwise(starts):
        first = max(0, start - _BESIDE)
        last = stop + _BESIDE if stop < n_frames else n_frames
        piece = world.track_f0(
            samples[round(first * frame) : round(last * frame)], spec.sample_rate,
            method=settings.f0_method, fmin=settings.fmin, fmax=settings.fmax,
            frame_period_ms=settings.frame_period, where=where,
        )  # fmt: skip
        tracks.append(piece[start - first :][: stop - start])
    return np.concatenate(tracks)


def _spectra(
    samples: npt.NDArray[np.float32], track: FloatArray, kept: npt.NDArray[np.intp],
    mean_power: float, spec: BankSpec,
) -> tuple[FloatArray, FloatArray, FloatArray, float]:  # fmt: skip
    """WORLD's spectra of the kept frames, reduced block by block: an hour is no matter of memory.

    Args:
        samples: the recording.
        track: F0 of all its frames.
        kept: which frames.
        mean_power: about that of the kept frames.
        spec: the analysis.

    Returns:
        F0 `(n,)`, 0 where D4C finds noise only, which it makes of all frames that are not voiced;
        cepstra `(n, order)` of a mean power of 1; aperiodicity `(n, n_bands)` in dB; the level in
        dB that this takes away.
    """
    engine, rate = world.pyworld(), spec.sample_rate
    x, size = samples.astype(np.float64), world.fft_size(rate, spec.settings.fmin)
    f0 = track[kept]
    cepstra, bands = np.empty((len(kept), spec.order)), np.empty((len(kept), spec.n_bands))
    total = 0.0
    for start in range(0, len(kept), _FRAMES_AT_ONCE):
        block = slice(start, start + _FRAMES_AT_ONCE)
        where = x, f0[block].copy(), kept[block] * spec.frame_period, rate
        envelope = engine.cheaptrick(*where, fft_size=size)
        aperiodicity = engine.d4c(*where, fft_size=size)
        f0[block][aperiodicity[:, 0] > 0.5] = 0
        bands[block] = bands_db(aperiodicity, spec)
        envelope /= mean_power
        total += envelope.mean(axis=1).sum()
        cepstra[block] = cepstra_of(envelope, spec.order, spec.alpha)
    cepstra[:, 0] -= np.log(total / len(kept))
    return f0, cepstra, bands, float(10 * np.log10(mean_power * total / len(kept)))


def frame_power(samples: npt.NDArray[np.float32], spec: BankSpec, n_frames: int) -> FloatArray:
    """Mean square of the samples within 15 ms of each frame, `(n_frames,)`."""
    squares = np.square(samples, dtype=np.float64)
    smooth = uniform_filter1d(squares, max(1, round(_POWER_SECONDS * spec.sample_rate)))
    at = np.rint(np.arange(n_frames) * spec.frame_period * spec.sample_rate).astype(np.intp)
    return np.asarray(smooth[np.minimum(at, len(smooth) - 1)])


def sounding(
    power: FloatArray, gate_db: float, pause: float, frame_period: float
) -> npt.NDArray[np.bool_]:
    """Frames to keep: all but long stretches of silence.

    Levels are relative to the mean power of the loud frames: those within 10 dB of the mean of
    all (the relative gate of ITU-R BS.1770-4, so that pauses do not lower the reference).

    Args:
        power: `(n_frames,)`.
        gate_db: below it a frame is silent.
        pause: seconds from which silence is cut out; shorter ones (stops) belong to speech.
        frame_period: seconds.

    Returns:
        bool `(n_frames,)`.
    """
    loud = power[power >= _RELATIVE_GATE * power.mean()].mean()
    silent = power < loud * 10 ** (gate_db / 10)
    margin = round(_MARGIN_SECONDS / frame_period)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], silent, [0]])))
    kept = np.ones(len(power), np.bool_)
    for start, stop in edges.reshape(-1, 2).tolist():
        if (stop - start) * frame_period >= pause:
            first = start + margin if start > 0 else 0
            last = stop - margin if stop < len(power) else stop
            kept[first : max(first, last)] = False
    return kept


def bands_db(aperiodicity: FloatArray, spec: BankSpec) -> FloatArray:
    """Aperiodicity in dB at the bands, `(n_frames, n_bands)`."""
    n_bins = aperiodicity.shape[1]
    position = np.array(spec.band_hz) * (2 * (n_bins - 1) / spec.sample_rate)
    left = np.minimum(position.astype(int), n_bins - 2)
    db = 20 * np.log10(np.maximum(aperiodicity, 10 ** (APERIODICITY_RANGE_DB[0] / 20)))
    return np.asarray(db[:, left] + (position - left) * (db[:, left + 1] - db[:, left]))
