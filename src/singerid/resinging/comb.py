"""Combs: what the partials of a steady or gliding voice look like through an analysis window.

Partials at h·f0 of a signal with power spectral density 1, seen through a window w, have the
expected power spectrum

    C(f) = f0 / fs · Σ_h |W_c(f - h·f0)|² / Σ w²,

where W_c is the transform of the window times a chirp: a partial at frequency f of a voice whose
ln F0 changes at ρ per second sweeps at c = f·ρ Hz per second, which widens its lobe. By Poisson's
formula that is a short sum over the window's autocorrelation r_c, exact for any lobe:

    C(f) = 1 + 2 Σ_k r_c(k·fs / f0) / r_0(0) · cos(2π k f / f0).

Its mean over frequency is 1, as is that of white noise of variance 1; the line at 0 Hz, which no
voice has, is taken out afterwards. Partials count as of random
phase: what they do to one another where lobes overlap is averaged out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor

LOWEST_F0, HIGHEST_F0 = 50.0, 1600.0
"""Hz; what lies outside is moved to the nearer end."""
_STEPS_PER_OCTAVE = 300  # of F0: 4 cents, so that a partial is at most 2 cents off
_RATE_UNIT, _N_RATES = 0.8, 9  # slopes of ln F0: 0, 0.33, 0.8, 1.5, 2.4, 3.7, 5.6, 8.3, 12 per s
_F0_AT_ONCE = 32
_HANN_LOBE = (2 / 3, 1 / 6)  # |W|² / (n_fft · Σ w²) at bins 0 and 1; it is 0 at all others
_NOISE_FRAMES = 2048
_LEAST = 1e-9  # of power: interpolation may leave less than nothing between two lobes


@dataclass(frozen=True, slots=True, eq=False)
class CombTable:
    """Combs of all F0 and slopes for some bins of a spectrum.

    Attributes:
        table: float32 `(n_rows, n_bins)`: slopes, within them F0; the last row is all ones.
    """

    table: Tensor

    def rows(self, f0: Tensor, slope: Tensor) -> Tensor:
        """Row of each frame, int64 in the shape of both; unvoiced ones (F0 0) get the last.

        Args:
            f0: Hz.
            slope: change of ln F0 per second.
        """
        n_f0 = _n_f0()
        place = torch.log2(f0.clamp(LOWEST_F0, HIGHEST_F0) / LOWEST_F0) * _STEPS_PER_OCTAVE
        rate = (2 * torch.log2(1 + slope.abs() / _RATE_UNIT)).round().clamp(max=_N_RATES - 1)
        rows = rate.long() * n_f0 + place.round().long()
        return torch.where(f0 > 0, rows, _N_RATES * n_f0)

    def to(self, device: torch.device | str) -> Self:
        """The same table on another device."""
        return type(self)(self.table.to(device))


@lru_cache(maxsize=4)
def comb_table(
    sample_rate: int, n_fft: int, first: int, last: int, n_rates: int = _N_RATES
) -> CombTable:
    """Combs at bins `first` … `last` - 1 of an FFT with a Hann window of its length.

    Args:
        sample_rate: Hz.
        n_fft: length of the window.
        first: bin.
        last: bin behind the last one.
        n_rates: slopes in the table; 1 if all that is asked for is steady, and voiced.
    """
    f0 = LOWEST_F0 * torch.exp2(torch.arange(_n_f0()) / _STEPS_PER_OCTAVE)
    hz = torch.arange(first, last) * (sample_rate / n_fft)
    rates = _RATE_UNIT * (torch.exp2(torch.arange(n_rates) / 2) - 1)
    combs = _combs(f0, hz, rates, sample_rate, n_fft)
    return CombTable(torch.cat([combs.flatten(0, 1), torch.ones(1, last - first)]))


def _n_f0() -> int:
    return 1 + round(_STEPS_PER_OCTAVE * math.log2(HIGHEST_F0 / LOWEST_F0))


def _combs(f0: Tensor, hz: Tensor, rates: Tensor, sample_rate: int, n_fft: int) -> Tensor:
    """Combs `(n_rates, n_f0, n_hz)`; F0 ascend, so that few sums are long."""
    lags = [_autocorrelations(hz * float(rate), sample_rate, n_fft) for rate in rates]
    combs = torch.ones(len(rates), len(f0), len(hz))
    for start in range(0, len(f0), _F0_AT_ONCE):
        some = f0[start : start + _F0_AT_ONCE]
        n_terms = math.ceil(n_fft * float(some[-1]) / sample_rate)
        k = torch.arange(1, n_terms + 1)[:, None]
        lag = (k * sample_rate / some).clamp(max=n_fft)  # (n_terms, n_some)
        left = lag.long().clamp(max=n_fft - 1)
        cycles = k[..., None] * (hz / some[:, None])  # (n_terms, n_some, n_hz)
        waves = torch.cos(2 * math.pi * cycles.frac())
        for own, of_rate in zip(combs, lags, strict=True):
            r = torch.lerp(of_rate[left], of_rate[left + 1], (lag - left)[..., None])
            own[start : start + len(some)] += 2 * (r * waves).sum(0)
    constant = _HANN_LOBE[0] * (hz == 0) + _HANN_LOBE[1] * (hz == sample_rate / n_fft)
    combs -= f0[:, None] * constant * (n_fft / sample_rate)
    return combs.clamp_(min=_LEAST)


def _autocorrelations(chirps: Tensor, sample_rate: int, n_fft: int) -> Tensor:
    """Autocorrelation of the chirped Hann window at lags 0 … n_fft: `(n_fft + 1, n_chirps)`.

    Args:
        chirps: Hz per second `(n_chirps,)`.
        sample_rate: Hz.
        n_fft: length of the window.
    """
    time = (torch.arange(n_fft) - n_fft // 2) / sample_rate
    window = torch.hann_window(n_fft, periodic=True)
    phase = math.pi * chirps[:, None].double() * time.double() ** 2
    chirped = torch.polar(window.double().expand_as(phase).contiguous(), phase)
    power = torch.fft.fft(chirped, 2 * n_fft).abs().square()
    lags: Tensor = torch.fft.ifft(power).real[:, : n_fft + 1]
    return (lags / window.double().square().sum()).float().T.contiguous()


@lru_cache(maxsize=4)
def frozen_noise(sample_rate: int, n_fft: int, hop_length: int, first: int, last: int) -> Tensor:
    """Power spectra of white noise of mean 1, `(n_frames, n_bins)`, as a recording has them.

    Neighboring frames and bins are as much alike as the window makes them. One stretch serves all
    crops, each from a place of its own.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(n_fft + hop_length * (_NOISE_FRAMES - 1), generator=generator)
    window = torch.hann_window(n_fft, periodic=True)
    spectra: Tensor = torch.fft.rfft(noise.unfold(0, n_fft, hop_length) * window)[:, first:last]
    return (spectra.abs().square() / window.square().sum()).contiguous()
