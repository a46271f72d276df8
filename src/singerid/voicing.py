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

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from singerid.blas import one_thread
from singerid.decimation import decimated, lowpass
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
_SLOW_RATE = 6400.0  # at least: samples are decimated as far as the band allows
_LOWPASS_ROWS, _LOWPASS_BETA = 12, 4.0  # 45 dB down where it would fold into the band
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


@one_thread()
def find_voice(samples: FloatArray, sample_rate: int) -> Voicing:
    """Find the voiced frames of 20 ms; in bounded memory beside the samples.

    Args:
        samples: mono `(n_samples,)`.
        sample_rate: Hz, at least 4000.

    Returns:
        One flag for each whole hop; shorter recordings than one have none.
    """
    analysis = VoiceAnalysis(sample_rate)
    power, periodic = analysis.measure(samples, 0, len(samples) // analysis.hop)
    return Voicing(voiced_frames(power, periodic), analysis.hop, sample_rate)


def voiced_frames(power: FloatArray, periodic: BoolArray) -> BoolArray:
    """Which frames of a recording hold a voice-like sound.

    Args:
        power: of all of them, `(n_frames,)`.
        periodic: whether they repeat themselves, `(n_frames,)`.

    Returns:
        `(n_frames,)`.
    """
    if not len(power):
        return periodic
    loud = np.percentile(power, _LOUD_PERCENTILE)
    return _without_single((power > loud * 10 ** (-_BELOW_LOUD_DB / 10)) & periodic)


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


class VoiceAnalysis:
    """Power and periodicity of frames at one sample rate.

    Attributes:
        hop: distance of two frames in samples.
        reach: samples before and behind a hop that its frame depends on, at most.
    """

    def __init__(self, sample_rate: int) -> None:
        self._factor = max(1, int(sample_rate / _SLOW_RATE))
        rate = sample_rate / self._factor
        self._slow_hop = round(_HOP_SECONDS * rate)
        self.hop = self._slow_hop * self._factor
        self._length = round(_FRAME_SECONDS * rate)
        self.reach = (self._length + _LOWPASS_ROWS) * self._factor
        self._window = np.hanning(self._length + 2)[1:-1].astype(np.float32)
        # At least a frame and the longest lag, so that the correlation does not wrap around.
        self._n_fft = fast_length(self._length + int(rate / LOWEST_HZ) + 2)
        hz = np.arange(self._n_fft // 2 + 1) * rate / self._n_fft
        hz = hz[hz < _BAND_HZ]
        self._band = len(hz)
        # Lags at twice the band's rate.
        self._first = int(2 * _BAND_HZ / HIGHEST_HZ)
        lags = np.arange(int(np.ceil(2 * _BAND_HZ / LOWEST_HZ)) + 2) / (2 * _BAND_HZ)
        waves = np.cos(2 * np.pi * hz[:, None] * lags)
        waves[1:] *= 2  # for the bins of negative frequencies
        of_window = np.abs(np.fft.rfft(self._window, self._n_fft)[: self._band]) ** 2 @ waves
        # With the difference of samples, which rises with f², a first-order high-pass. (All of it
        # by weights would move the peak of a hum, which is as broad as the window's, upwards.)
        weights = 1 / (hz**2 + _RUMBLE_HZ**2)
        self._correlate = (weights[:, None] * waves * (of_window[0] / of_window)).astype(np.float32)

    @one_thread()
    def measure(self, samples: FloatArray, first: int, end: int) -> tuple[FloatArray, BoolArray]:
        """Of the frames `first` … `end` of a recording; beyond its samples there are zeros.

        Returns:
            Power `(end - first,)`, and whether they repeat themselves `(end - first,)`.
        """
        power, periodic = np.empty(end - first, np.float32), np.empty(end - first, bool)
        for start in range(first, end, _BLOCK):
            stop = min(start + _BLOCK, end)
            block = slice(start - first, stop - first)
            power[block], periodic[block] = self._run(self._frames(samples, start, stop))
        return power, periodic

    def _frames(self, samples: FloatArray, first: int, end: int) -> FloatArray:
        """Frames `(end - first, length)` of the difference of samples, at the slow rate.

        A frame is centered on its hop; beyond the recording there are zeros.
        """
        start = first * self._slow_hop - (self._length - self._slow_hop) // 2
        n_slow = (end - first - 1) * self._slow_hop + self._length
        if self._factor > 1:
            taps = lowpass(self._factor, _LOWPASS_ROWS, _LOWPASS_BETA)
            start -= _LOWPASS_ROWS // 2
            stop = start + n_slow + _LOWPASS_ROWS - 1
            differences = _differences(samples, start * self._factor, stop * self._factor)
            slow = decimated(differences, taps)[_LOWPASS_ROWS - 1 :][:n_slow]
        else:
            slow = _differences(samples, start, start + n_slow)
        return sliding_window_view(slow, self._length)[:: self._slow_hop]

    def _run(self, frames: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Of `(n, length)`: power `(n,)`, and whether they repeat themselves `(n,)`."""
        spectrum = np.fft.rfft(frames * self._window, self._n_fft)[:, : self._band]
        correlation = (spectrum.real**2 + spectrum.imag**2) @ self._correlate
        power = correlation[:, 0].copy()
        inner = correlation[:, 1:-1]
        is_high = inner > _PERIODICITY * power[:, None]
        is_high &= inner >= correlation[:, :-2]
        is_high &= inner >= correlation[:, 2:]
        is_high[:, : self._first - 1] = False
        is_negative = correlation < 0
        first_zero = np.where(is_negative.any(axis=1), is_negative.argmax(axis=1), len(inner.T))
        is_high &= np.arange(1, len(inner.T) + 1) > first_zero[:, None]
        return power, is_high.any(axis=1)


def _differences(samples: FloatArray, start: int, stop: int) -> FloatArray:
    """Of the samples `start` … `stop` from those before; zero beyond the recording."""
    result = np.zeros(stop - start, np.float32)
    low, high = max(1, start), min(len(samples), stop)
    if high > low:
        within = result[low - start : high - start]
        np.subtract(samples[low:high], samples[low - 1 : high - 1], out=within)
    return result


def _without_single(voiced: BoolArray) -> BoolArray:
    """Without single voiced frames: noise repeats itself by chance, but not for long."""
    padded = np.pad(voiced, 1)
    return voiced & (padded[:-2] | padded[2:])
