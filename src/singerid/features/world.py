"""WORLD: audio ↔ F0, spectral envelope and aperiodicity.

The analysis is Morise's (Morise et al. 2016, WORLD: a vocoder-based high-quality speech
synthesis system, IEICE Trans. E99-D; D4C: Morise 2016, Speech Communication 84), by pyworld.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from singerid.errors import AudioError, ConfigError, MismatchError, MissingExtraError

FloatArray = npt.NDArray[np.float64]
Method = Literal["dio", "harvest", "wav2world"]

LOWEST_SAMPLE_RATE = 8000
"""In Hz; harvest works at 8 kHz inside and corrupts memory below."""


@dataclass(frozen=True, slots=True, eq=False)
class WorldAnalysis:
    """What WORLD finds in a recording; frame i is centered at i · `frame_period_ms`.

    Attributes:
        f0: `(n_frames,)` in Hz, 0 where unvoiced.
        envelope: `(n_frames, n_bins)`, power from 0 Hz to half the sample rate.
        aperiodicity: `(n_frames, n_bins)`, amplitude of noise over all sound, 0 … 1.
        frame_period_ms: distance of two frames in milliseconds.
        sample_rate: Hz.
    """

    f0: FloatArray
    envelope: FloatArray
    aperiodicity: FloatArray
    frame_period_ms: float
    sample_rate: int


def analyze(
    samples: npt.ArrayLike,
    sample_rate: int,
    *,
    method: Method = "dio",
    fmin: float = 50.0,
    fmax: float = 1100.0,
    frame_period_ms: float = 5.0,
    where: object = None,
) -> WorldAnalysis:
    """F0, envelope (CheapTrick) and aperiodicity (D4C) of a recording.

    Args:
        samples: mono `(n_samples,)` in [-1, 1].
        sample_rate: Hz, at least `LOWEST_SAMPLE_RATE`.
        method: F0 by dio or harvest, both refined by stonemask; "wav2world" is pyworld's one
            call: dio + stonemask with limits of its own, 71 … 800 Hz.
        fmin: lowest F0 in Hz; also decides the FFT's length (see `fft_size`).
        fmax: highest F0 in Hz.
        frame_period_ms: distance of two frames in milliseconds.
        where: the recording's name, for errors.

    Returns:
        `1 + n_samples / sample_rate / frame period` frames, float64.

    Raises:
        AudioError: the samples are not mono, too few, or not finite.
        ConfigError: a setting is out of range.
        MissingExtraError: pyworld is not installed.
    """
    _check_settings(sample_rate, method, fmin, fmax, frame_period_ms)
    size = fft_size(sample_rate, fmin if method != "wav2world" else None)
    x = _checked(samples, size, sample_rate, where)
    world = pyworld()
    if method == "wav2world":
        f0, envelope, aperiodicity = world.wav2world(x, sample_rate, size, frame_period_ms)
        return WorldAnalysis(f0, envelope, aperiodicity, frame_period_ms, sample_rate)
    f0, times = _f0(world, x, sample_rate, method, fmin, fmax, frame_period_ms)
    envelope = world.cheaptrick(x, f0, times, sample_rate, fft_size=size)
    aperiodicity = world.d4c(x, f0, times, sample_rate, fft_size=size)
    return WorldAnalysis(f0, envelope, aperiodicity, frame_period_ms, sample_rate)


def track_f0(
    samples: npt.ArrayLike,
    sample_rate: int,
    *,
    method: Method = "dio",
    fmin: float = 50.0,
    fmax: float = 1100.0,
    frame_period_ms: float = 5.0,
    where: object = None,
) -> FloatArray:
    """F0 alone `(n_frames,)` in Hz, 0 where unvoiced; arguments and errors as of `analyze`."""
    _check_settings(sample_rate, method, fmin, fmax, frame_period_ms)
    x = _checked(samples, fft_size(sample_rate, fmin), sample_rate, where)
    world = pyworld()
    if method == "wav2world":
        method, fmin, fmax = "dio", world.default_f0_floor, world.default_f0_ceil
    return _f0(world, x, sample_rate, method, fmin, fmax, frame_period_ms)[0]


def _f0(
    world: Any,
    x: FloatArray,
    sample_rate: int,
    method: str,
    fmin: float,
    fmax: float,
    period: float,
) -> tuple[FloatArray, FloatArray]:
    """F0 refined by stonemask, and the times of its frames in seconds."""
    track = world.dio if method == "dio" else world.harvest
    f0, times = track(x, sample_rate, f0_floor=fmin, f0_ceil=fmax, frame_period=period)
    return world.stonemask(x, f0, times, sample_rate), times


def synthesize(analysis: WorldAnalysis) -> npt.NDArray[np.float32]:
    """Samples `(n_samples,)` that sound like the analysis; up to a frame longer than its audio.

    Raises:
        MismatchError: the parts do not fit one another, or hold what no analysis gives.
        MissingExtraError: pyworld is not installed.
    """
    parts = (analysis.f0, analysis.envelope, analysis.aperiodicity)
    _check_parts(*parts, analysis.sample_rate)
    contiguous = [np.ascontiguousarray(part, np.float64) for part in parts]
    samples = pyworld().synthesize(*contiguous, analysis.sample_rate, analysis.frame_period_ms)
    return np.asarray(samples, np.float32)


def fft_size(sample_rate: int, fmin: float | None = None) -> int:
    """Length of CheapTrick's FFT: the power of 2 above three periods of `fmin` (None: 71 Hz)."""
    return int(2 ** (1 + int(np.log2(3 * sample_rate / (fmin or 71.0) + 1))))


def _check_settings(
    sample_rate: int, method: str, fmin: float, fmax: float, frame_period_ms: float
) -> None:
    if method not in get_args(Method):
        raise ConfigError("no such F0 method", found=repr(method), expected=get_args(Method))
    if sample_rate < LOWEST_SAMPLE_RATE:
        raise ConfigError(
            "WORLD cannot work at this sample rate", found=f"{sample_rate} Hz",
            expected=f"at least {LOWEST_SAMPLE_RATE} Hz",
        )  # fmt: skip
    # Where nothing is voiced CheapTrick takes three periods of 500 Hz, which the FFT must hold.
    if not (20 <= fmin <= 200 and fmin < fmax <= 2000):
        raise ConfigError(
            "F0 limits out of range",
            found=f"{fmin:g} … {fmax:g} Hz",
            expected="fmin 20 … 200 Hz, fmax above it and up to 2000 Hz",
        )
    if not 1 <= frame_period_ms <= 100:
        raise ConfigError(
            "frame period out of range", found=f"{frame_period_ms:g} ms", expected="1 … 100 ms"
        )


def _checked(samples: npt.ArrayLike, least: int, sample_rate: int, where: object) -> FloatArray:
    """Samples as pyworld wants them; it crashes on none and turns NaN into NaN features."""
    x = np.ascontiguousarray(samples, np.float64)
    if x.ndim != 1:
        raise AudioError(
            "is not mono", where=where, found=f"shape {x.shape}", expected="(n_samples,)"
        )
    if len(x) < least:
        raise AudioError(
            "is too short for WORLD", where=where, found=f"{len(x) / sample_rate:.3f} s",
            expected=f"at least {least / sample_rate:.3f} s",
        )  # fmt: skip
    if not np.isfinite(x).all():
        raise AudioError("holds samples that are not finite", where=where)
    return x


def _check_parts(
    f0: FloatArray, envelope: FloatArray, aperiodicity: FloatArray, sample_rate: int
) -> None:
    """What pyworld would not survive, or turn into noise."""
    shapes = [part.shape for part in (f0, envelope, aperiodicity)]
    n_bins = envelope.shape[-1]
    if len(f0) == 0 or shapes != [(len(f0),), (len(f0), n_bins), (len(f0), n_bins)]:
        raise MismatchError(
            "F0, envelope and aperiodicity do not fit", found=shapes,
            expected="(n_frames,), (n_frames, n_bins) twice",
        )  # fmt: skip
    within = {
        "F0": (f0, sample_rate / 2), "envelope": (envelope, np.finfo(float).max),
        "aperiodicity": (aperiodicity, 1.0),
    }  # fmt: skip
    for name, (part, most) in within.items():
        if not np.all((part >= 0) & (part <= most)):
            raise MismatchError(
                f"the {name} cannot be synthesized", found="NaN or values out of range",
                expected=f"0 … {most:g}",
            )  # fmt: skip


def pyworld() -> Any:
    """The package of this name; it comes with the extra "world".

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # 0.3.5: pkg_resources is deprecated
            return import_module("pyworld")
    except ImportError as error:
        raise MissingExtraError("pyworld", "world") from error
