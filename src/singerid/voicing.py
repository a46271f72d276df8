"""Where in a recording a voice may sound: noise, clicks and hum say nothing about whose it is.

A frame counts as voiced if its sound repeats itself 65 to 1100 times a second and is not much
softer than the recording's loud frames. Repetition is measured by the normalized autocorrelation
of a windowed frame, divided by that of the window (Boersma 1993, Accurate short-term analysis of
the fundamental frequency and the harmonics-to-noise ratio of a sampled sound); its peaks count
only beyond its first zero, as in McLeod and Wyvill 2005, A smarter way to find pitch: nearby
samples are alike in any dull sound. An instrument or a whistle is periodic too and passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from singerid.errors import AudioError
from singerid.frames import fast_length

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

LOWEST_HZ, HIGHEST_HZ = 65.0, 1100.0
"""Fundamentals of singing: C2 … about C6."""

_FRAME_SECONDS = 0.05  # three periods of the lowest fundamental
_HOP_SECONDS = 0.02
_BAND_HZ = 2500.0  # two harmonics of the highest; above, breath and consonants
_RUMBLE_HZ = 150.0  # below, a first-order high-pass attenuates
_PERIODICITY = 0.6  # of 1 for a sound that repeats itself exactly; noise stays below 0.5
_BELOW_LOUD_DB = 35.0
_LOUD_PERCENTILE = 95
_BLOCK = 512  # frames at a time: they fit into the cache


@dataclass(frozen=True)
class Voicing:
    """Which frames of a recording hold a voice-like sound.

    Attributes:
        voiced: bool `(n_frames,)`; frame i stands for samples `i * hop` … `(i + 1) * hop`.
        hop: samples.
        sample_rate: Hz.
    """

    voiced: BoolArray
    hop: int
    sample_rate: int

    @property
    def seconds(self) -> float:
        """How long a voice sounds."""
        return float(np.count_nonzero(self.voiced)) * self.hop / self.sample_rate

    def shares(self, starts: npt.ArrayLike, length: int) -> npt.NDArray[np.float64]:
        """Voiced share of each stretch of `length` samples.

        Args:
            starts: first sample of each, `(n,)`.
            length: samples, at least 1.

        Returns:
            `(n,)` in [0, 1]; what lies beyond the last frame counts as unvoiced.
        """
        sums = np.concatenate([[0], np.cumsum(self.voiced)])
        first = np.asarray(starts, np.int64)
        n_frames = max(1, round(length / self.hop))
        low = np.minimum(np.round(first / self.hop).astype(np.int64), len(self.voiced))
        high = np.minimum(low + n_frames, len(self.voiced))
        return np.asarray((sums[high] - sums[low]) / n_frames)


def find_voice(samples: FloatArray, sample_rate: int) -> Voicing:
    """Find the voiced frames of 20 ms.

    Args:
        samples: mono `(n_samples,)`.
        sample_rate: Hz, at least 4000.

    Returns:
        One flag for each whole hop; shorter recordings than one have none.
    """
    hop = round(_HOP_SECONDS * sample_rate)
    n_frames = len(samples) // hop
    if not n_frames:
        return Voicing(np.zeros(0, bool), hop, sample_rate)
    analysis = _Analysis(sample_rate)
    margin = (analysis.length - hop) // 2  # frames are centered on their hop
    padded = np.zeros(n_frames * hop + analysis.length, np.float32)
    used = min(len(samples), len(padded) - margin)
    np.subtract(samples[1:used], samples[: used - 1], out=padded[margin + 1 : margin + used])
    frames = np.lib.stride_tricks.sliding_window_view(padded, analysis.length)[::hop][:n_frames]
    parts = [analysis.run(frames[i : i + _BLOCK]) for i in range(0, n_frames, _BLOCK)]
    power, periodicity = (np.concatenate(values) for values in zip(*parts, strict=True))
    loud = np.percentile(power, _LOUD_PERCENTILE)
    voiced = (power > loud * 10 ** (-_BELOW_LOUD_DB / 10)) & (periodicity > _PERIODICITY)
    return Voicing(_without_single(voiced), hop, sample_rate)


def voiced_starts(shares: npt.NDArray[np.float64], starts: IntArray, min_voice: float) -> IntArray:
    """The partials that hold enough voice.

    Args:
        shares: voiced share of each partial, `(n,)`.
        starts: where they begin, `(n,)`, at least one.
        min_voice: least share that is kept; 0 keeps all.

    Returns:
        Some of the starts.

    Raises:
        AudioError: no partial holds so much.
    """
    kept = starts[shares >= min_voice]
    if not len(kept):
        raise AudioError(
            "holds no voice", found=f"at most {100 * shares.max():.0f} % voice-like sound",
            expected=f"{100 * min_voice:g} % or more in one of its partials",
            do="give singing or speech, or take all of it: --embed.min_voice 0",
        )  # fmt: skip
    return kept


class _Analysis:
    """Power and periodicity of frames at one sample rate."""

    def __init__(self, sample_rate: int) -> None:
        self.length = round(_FRAME_SECONDS * sample_rate)
        self._window = np.hanning(self.length + 2)[1:-1].astype(np.float32)
        # At least a frame and the longest lag, so that the correlation does not wrap around.
        self._n_fft = fast_length(self.length + int(sample_rate / LOWEST_HZ) + 2)
        hz = np.arange(self._n_fft // 2 + 1) * sample_rate / self._n_fft
        self._band = int(np.searchsorted(hz, _BAND_HZ))
        hz = hz[: self._band]
        # With the difference of samples, which rises with f², a first-order high-pass. (All of it
        # by weights would move the peak of a hum, which is as broad as the window's, upwards.)
        self._weights = (1 / (hz**2 + _RUMBLE_HZ**2)).astype(np.float32)
        # Only the band is transformed back: a correlation at twice the band's rate.
        self._n_lags = fast_length(2 * self._band)
        rate = sample_rate * self._n_lags / self._n_fft
        self._first = int(rate / HIGHEST_HZ)
        self._last = int(np.ceil(rate / LOWEST_HZ)) + 1
        of_window = np.abs(np.fft.rfft(self._window, self._n_fft)[: self._band]) ** 2
        self._of_window = np.fft.irfft(of_window, self._n_lags)[: self._last]
        self._of_window /= self._of_window[0]

    def run(self, frames: FloatArray) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Of `(n, length)`: power `(n,)`, periodicity `(n,)`, 1 for a perfect one."""
        spectrum = np.fft.rfft(frames * self._window, self._n_fft)[:, : self._band]
        power = (spectrum.real**2 + spectrum.imag**2) * self._weights
        correlation = np.fft.irfft(power, self._n_lags)[:, : self._last]
        total = correlation[:, 0]
        correlation = correlation / np.maximum(total[:, None] * self._of_window, 1e-20)
        is_peak = np.logical_or.accumulate(correlation < 0, axis=1)
        is_peak[:, : self._first] = is_peak[:, -1] = False
        is_peak[:, 1:] &= correlation[:, 1:] >= correlation[:, :-1]
        is_peak[:, :-1] &= correlation[:, :-1] >= correlation[:, 1:]
        return total, np.max(correlation, axis=1, where=is_peak, initial=0)


def _without_single(voiced: BoolArray) -> BoolArray:
    """Without single voiced frames: noise repeats itself by chance, but not for long."""
    padded = np.pad(voiced, 1)
    return voiced & (padded[:-2] | padded[2:])
