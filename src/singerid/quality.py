"""How far an embedding of a recording can be trusted, and why not further.

The voice is found by `singerid.voicing`; levels come from spectra of at most some 1000 frames, so
that an hour costs no more than minutes. Steady noise is found by quantiles: in each band of
frequency even a singer without pauses leaves moments in which nothing but the noise sounds
(Stahl, Fischer and Bippus 2000, Quantile based noise estimation for spectral subtraction and
Wiener filtering). Accompaniment is no noise in this sense and is not measured.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from singerid.frames import fast_length
from singerid.voicing import BoolArray, FloatArray, Voicing, find_voice

Spectrum = npt.NDArray[np.float64]

_FRAME_SECONDS = 0.064  # tells the harmonics of all but the lowest voices apart
_MAX_FRAMES = 1000
_RUMBLE_HZ = 60.0
_QUANTILE = 0.1
_SMOOTH_HZ = 400.0  # some harmonics wide: a held tone is no noise
_NOTHING = 1e-10  # power: what gates and digital silence leave
_LEAST_DB, _MOST_SNR_DB = -120.0, 80.0
_FULL_SCALE = 0.999
_BAND_DB = -70.0  # below the strongest frequency there is nothing

# What is remarked on.
_SHORT_SECONDS, _LITTLE_VOICE, _QUIET_DB = 3.0, 0.2, -45.0
_CLIPPED_SHARE, _NOISY_DB, _NARROW_HZ = 1e-3, 15.0, 4500.0

# Where the score has lost half (seconds: of v / (v + half)).
_HALF_SECONDS, _HALF_SNR_DB, _HALF_CLIPPED, _HALF_BAND_HZ = 0.7, 5.0, 0.2, 1500.0


@dataclass(frozen=True)
class Quality:
    """What a recording is worth to an encoder.

    Attributes:
        score: in [0, 1]: the share of its power to tell singers apart that is left, about.
        reasons: what is wrong, for people; () if nothing is.
        seconds: duration.
        voice_seconds: how long a voice sounds.
        peak_db: largest sample in dBFS, at least -120.
        snr_db: power of the voice over that of steady noise, -20 to 80; 0 without a voice.
        clipped_share: share of samples at full scale.
        bandwidth_hz: above it there is nothing.
    """

    score: float
    reasons: tuple[str, ...]
    seconds: float
    voice_seconds: float
    peak_db: float
    snr_db: float
    clipped_share: float
    bandwidth_hz: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON, rounded to what the numbers are worth."""
        rounded = {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }
        return rounded | {"reasons": list(self.reasons)}


def assess(samples: FloatArray, sample_rate: int, voicing: Voicing | None = None) -> Quality:
    """Judge a recording.

    The score is the product of five factors, each 1 for a good recording. That of the seconds of
    voice v, v / (v + 0.7), follows the share of `1 - 2 EER` that was left on MIR-1K (EER 16.6 %
    at 2 s, 10.9 % at 4 s, 7.3 % at whole recordings). See docs/segments.md for the others.

    Args:
        samples: mono `(n_samples,)` in [-1, 1].
        sample_rate: Hz, at least 4000.
        voicing: of the same samples, if it is known.

    Returns:
        The score, its reasons, and what was measured.
    """
    voicing = voicing or find_voice(samples, sample_rate)
    seconds = len(samples) / sample_rate
    peak = max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))
    clipped = 0.0
    if peak >= _FULL_SCALE:
        clipped = np.count_nonzero(np.abs(samples) >= _FULL_SCALE) / len(samples)
    snr_db, bandwidth = _spectral(samples, sample_rate, voicing)
    measured = {
        "seconds": seconds, "voice_seconds": min(seconds, voicing.seconds),
        "peak_db": max(_LEAST_DB, 20 * float(np.log10(max(peak, 1e-9)))),
        "snr_db": snr_db, "clipped_share": clipped, "bandwidth_hz": bandwidth,
    }  # fmt: skip
    return Quality(score=_score(**measured), reasons=_reasons(**measured), **measured)


def _score(
    seconds: float, voice_seconds: float, peak_db: float, snr_db: float, clipped_share: float,
    bandwidth_hz: float,
) -> float:  # fmt: skip
    """Product of the factors; see `assess`."""
    if not voice_seconds:
        return 0.0
    voice = voice_seconds / (voice_seconds + _HALF_SECONDS)
    noise = 1 / (1 + 10 ** ((_HALF_SNR_DB - snr_db) / 10))
    clipping = 1 / (1 + clipped_share / _HALF_CLIPPED)
    band = 1 / (1 + (_HALF_BAND_HZ / max(1.0, bandwidth_hz)) ** 2)
    full_band = 1 / (1 + (_HALF_BAND_HZ / 8000) ** 2)
    level = min(1.0, 1 - (_QUIET_DB - peak_db) / 60)  # at -75 dBFS five bits of 16 are left
    return float(np.clip(voice * noise * clipping * min(1.0, band / full_band) * level, 0, 1))


def _reasons(
    seconds: float, voice_seconds: float, peak_db: float, snr_db: float, clipped_share: float,
    bandwidth_hz: float,
) -> tuple[str, ...]:  # fmt: skip
    """What is wrong, the gravest first."""
    if not voice_seconds:
        return ("no voice",)
    found = {
        f"short: {voice_seconds:.1f} s of voice": voice_seconds < _SHORT_SECONDS,
        f"noisy: about {snr_db:.0f} dB above the noise": snr_db < _NOISY_DB,
        f"clipped: {100 * clipped_share:.2g} % of samples": clipped_share > _CLIPPED_SHARE,
        f"narrow band: nothing above {bandwidth_hz / 1000:.1f} kHz": bandwidth_hz < _NARROW_HZ,
        f"quiet: peak {peak_db:.0f} dB": peak_db < _QUIET_DB,
        f"little voice: {100 * voice_seconds / seconds:.0f} %": (
            voice_seconds < _LITTLE_VOICE * seconds
        ),
    }
    return tuple(reason for reason, holds in found.items() if holds)


def _spectral(samples: FloatArray, sample_rate: int, voicing: Voicing) -> tuple[float, float]:
    """Signal-to-noise ratio in dB, and bandwidth in Hz."""
    length = fast_length(round(_FRAME_SECONDS * sample_rate))
    if len(samples) < length:
        return 0.0, sample_rate / 2
    starts = _places(len(samples), length)
    power = _power(samples, starts, length)
    hz = np.fft.rfftfreq(length, 1 / sample_rate)
    sounding = power.sum(axis=1) > _NOTHING
    voiced = sounding & (voicing.shares(starts, length) >= 0.5)
    bandwidth = _bandwidth(power[sounding], hz)
    if not voiced.any():
        return 0.0, bandwidth
    smooth = max(1, round(_SMOOTH_HZ / hz[1]))
    noise = _noise(power[sounding], smooth)[hz >= _RUMBLE_HZ].sum()
    both = power[voiced].mean(axis=0)[hz >= _RUMBLE_HZ].sum()
    ratio = max(both - noise, 1e-2 * noise) / max(noise, 1e-20)
    return float(np.clip(10 * np.log10(max(ratio, 1e-2)), -20.0, _MOST_SNR_DB)), bandwidth


def _places(n_samples: int, length: int) -> npt.NDArray[np.int64]:
    """First samples of half-overlapping frames, or of as many as are looked at, evenly spread."""
    n_frames = min(_MAX_FRAMES, 1 + (n_samples - length) // (length // 2))
    return np.linspace(0, n_samples - length, n_frames).astype(np.int64)


def _power(samples: FloatArray, starts: npt.NDArray[np.int64], length: int) -> FloatArray:
    """Power spectra `(n_frames, length // 2 + 1)`; a row's sum is its mean square."""
    window = np.hanning(length + 1)[:-1].astype(np.float32)
    window /= np.sqrt(0.5 * length * np.square(window).sum())
    spectra = np.fft.rfft(sliding_window_view(samples, length)[starts] * window)
    power: FloatArray = np.square(spectra.real) + np.square(spectra.imag)
    return power


def _noise(power: FloatArray, smooth: int) -> Spectrum:
    """Power of steady noise in each bin.

    The spectrum of Gaussian noise in a frame is distributed exponentially, so its q-quantile is
    -ln(1 - q) of its mean.
    """
    rank = int(_QUANTILE * (len(power) - 1))
    low = np.partition(np.ascontiguousarray(power.T), rank, axis=1)[:, rank]
    quantile = low.astype(np.float64) / -np.log1p(-_QUANTILE)
    padded = np.pad(quantile, (smooth // 2, smooth - 1 - smooth // 2), mode="reflect")
    medians: Spectrum = np.median(sliding_window_view(padded, smooth), axis=1)
    return medians


def _bandwidth(power: FloatArray, hz: npt.NDArray[np.floating]) -> float:
    """Highest frequency at which the mean spectrum is not far below its largest value."""
    mean = power.mean(axis=0) if len(power) else np.zeros(len(hz))
    present: BoolArray = mean > mean.max(initial=0.0) * 10 ** (_BAND_DB / 10)
    return float(hz[np.flatnonzero(present)[-1]]) if present.any() else float(hz[-1])
