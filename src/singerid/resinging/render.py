"""Rendering: a plan → mel frames as of a recording, without a sound in between.

The power spectrum of a frame is E(f) · [(1 - a(f)) · C(f) + a(f) · N(f)]: the envelope E on the
identity's frequency axis and with the effort of the moment, the noise's share a, the comb C of
the partials (`singerid.resinging.comb`) and a piece of noise N. All that acts on ln E, from the
cepstrum to nasality, is a weighted sum of functions of frequency: one matrix product. E changes
within a window; neighboring frames stand for that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from singerid.errors import ConfigError
from singerid.features.mel import mel_bands
from singerid.resinging.bank_tensors import BankTensors
from singerid.resinging.comb import comb_table, frozen_noise
from singerid.resinging.plan import Plan
from singerid.resinging.traits import source_hz
from singerid.spec import FeatureSpec
from singerid.voicebank.spec import band_weights

_NEPERS_PER_DB = math.log(10) / 10  # of power
_TILT_HZ, _TILT_RANGE_HZ = 500.0, (100.0, 8000.0)
_TILT_PEAK_HZ, _TILT_FALL = 4000.0, 1.5  # above, it falls by so many times as it rose
_LOWEST_BUMP, _BUMPS_PER_OCTAVE, _N_BUMPS = 60.0, 3, 15  # first partials: 60 … 1524 Hz
_N_SHAPES = 5 + _N_BUMPS
_OPENED_HZ, _UNCHANGED_HZ = 900.0, 2000.0  # what F1's rise takes along, and where it has no effect
_CELLS_AT_ONCE = 1 << 17  # on the CPU: what its second-level cache holds


class Renderer:
    """Mel frames of plans in one front end.

    Attributes:
        spec: the front end.
        hz: float32 `(n_bins,)`, frequencies of the bins that reach the mel bands.
    """

    def __init__(self, bank: BankTensors, spec: FeatureSpec | None = None) -> None:
        """Prepare tables for a bank.

        Args:
            bank: the voices; tables go to its device.
            spec: the front end; None for the bank's own.

        Raises:
            ConfigError: the front end makes no plain mel spectrogram at the bank's sample rate.
        """
        self.bank, self.spec = bank, spec or bank.spec.features
        rate, mel = bank.spec.sample_rate, self.spec.mel
        if self.spec.input_streams != ["mel"] or self.spec.audio.sample_rate != rate:
            raise ConfigError(
                "cannot be rendered from this bank",
                found=f"{self.spec.input_streams} at {self.spec.audio.sample_rate} Hz",
                expected=f"mel at {rate} Hz",
            )
        bands = mel_weights(self.spec)
        reached = bands.any(0).nonzero()[:, 0]
        first, last = int(reached[0]), int(reached[-1]) + 1
        device = bank.device
        self._mel = bands[:, first:last].T.contiguous().to(device)
        self.hz = (torch.arange(first, last) * (rate / mel.n_fft)).to(device)
        self._bands = torch.from_numpy(band_weights(bank.spec, self.hz.cpu().numpy())).to(device)
        self._comb = comb_table(rate, mel.n_fft, first, last).to(device)
        self._noise = frozen_noise(rate, mel.n_fft, mel.hop_length, first, last).to(device)
        self._neighbors = neighbor_share(mel.n_fft, mel.hop_length)

    def __call__(self, plan: Plan) -> Tensor:
        """Mel sums of a plan, float32 `(n_crops, n_frames, n_mels)`, before any logarithm.

        Powers or magnitudes, as the front end sums them, at the level of the recordings.

        Raises:
            ConfigError: the plan's frames are not as far apart as the front end's.
        """
        if not math.isclose(plan.hop_seconds, self.spec.hop_seconds, rel_tol=1e-6):
            raise ConfigError(
                "the plan is for another front end", found=f"{plan.hop_seconds} s between frames",
                expected=f"{self.spec.hop_seconds} s",
            )  # fmt: skip
        mels = torch.empty(*plan.f0.shape, self.spec.mel.n_mels, device=self.bank.device)
        parts = self._parts(plan)
        for which in self._blocks(plan):
            self._project(self._power(parts, which), mels[which])
        return mels

    def power(self, plan: Plan) -> Tensor:
        """Power spectra `(n_crops, n_frames, n_bins)` at `hz`; white noise of variance 1 has 1."""
        return self._power(self._parts(plan), slice(None))

    def _parts(self, plan: Plan) -> _Parts:
        frames = torch.arange(plan.n_frames, device=self.bank.device)
        return _Parts(
            weights=envelope_weights(self.bank, plan),
            functions=envelope_functions(self.bank, plan, self.hz),
            opening=plan.opening,
            shares=noise_shares(self.bank, plan),
            combs=self._comb.rows(plan.f0, plan.slope),
            noises=(plan.noise[:, None] + frames) % len(self._noise),
        )

    def _power(self, parts: _Parts, which: slice) -> Tensor:
        combs, noises = parts.combs[which], parts.noises[which]
        shape = (*combs.shape, len(self.hz))
        power = self._comb.table.index_select(0, combs.reshape(-1)).view(shape)
        noise = self._noise.index_select(0, noises.reshape(-1)).view(shape)
        power.lerp_(noise, torch.matmul(parts.shares[which], self._bands).exp_())
        nepers = torch.bmm(parts.weights[which], parts.functions[which])
        open_mouth(nepers, parts.opening[which], self.hz)
        return power.mul_(smoothed(nepers.exp_(), self._neighbors))

    def _blocks(self, plan: Plan) -> Iterator[slice]:
        """Crops at once: all on an accelerator, on a CPU what stays in the cache."""
        step = max(1, len(plan))
        if self.bank.device.type == "cpu":
            step = max(1, _CELLS_AT_ONCE // (plan.n_frames * len(self.hz)))
        for start in range(0, len(plan), step):
            yield slice(start, min(start + step, len(plan)))

    def _project(self, power: Tensor, out: Tensor) -> None:
        if self.spec.mel.spectrum == "magnitude":
            power = power.sqrt_()
        n_bins, n_mels = self._mel.shape
        torch.mm(power.view(-1, n_bins), self._mel, out=out.view(-1, n_mels))


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """What a batch's spectra are products of; first dimensions `(n_crops, n_frames)`."""

    weights: Tensor  # (…, n_functions)
    functions: Tensor  # (n_crops, n_functions, n_bins)
    opening: Tensor
    shares: Tensor  # (…, n_bands)
    combs: Tensor  # rows of the table
    noises: Tensor  # frames of the noise


def neighbor_share(n_fft: int, hop_length: int) -> float:
    """What a window sees of the envelope at the frame before, and at the one after.

    Three frames weighted p, 1 - 2p, p spread in time as much as the squared Hann window does
    (same variance); 1/3, equal weights, at most.
    """
    t = torch.arange(n_fft, dtype=torch.float64) - n_fft / 2
    window = torch.cos(math.pi * t / n_fft) ** 4
    variance = float((window * t**2).sum() / window.sum())
    return min(variance / (2 * hop_length**2), 1 / 3)


def smoothed(power: Tensor, neighbors: float) -> Tensor:
    """Means over each frame and the two beside it, `(n_crops, n_frames, n_bins)` (see above).

    The first and the last frame take themselves for what is not there.
    """
    mixed = power * (1 - 2 * neighbors)
    mixed[:, 1:].add_(power[:, :-1], alpha=neighbors)
    mixed[:, :-1].add_(power[:, 1:], alpha=neighbors)
    for edge in (0, -1):
        mixed[:, edge].add_(power[:, edge], alpha=neighbors)
    return mixed


def envelope_nepers(bank: BankTensors, plan: Plan, hz: Tensor) -> Tensor:
    """Nepers of the power envelope that a plan asks for, `(n_crops, n_frames, n_hz)`.

    Args:
        bank: the voices.
        plan: what is sung.
        hz: `(n_hz,)`, evenly spaced, on the bank's device.
    """
    nepers = torch.bmm(envelope_weights(bank, plan), envelope_functions(bank, plan, hz))
    open_mouth(nepers, plan.opening, hz)
    return nepers


def noise_nepers(bank: BankTensors, plan: Plan, hz: Tensor) -> Tensor:
    """Nepers of the noise's share of power, 0 at most: `(n_crops, n_frames, n_hz)`; as above."""
    weights = torch.from_numpy(band_weights(bank.spec, hz.cpu().numpy()))
    return noise_shares(bank, plan) @ weights.to(hz.device)


def noise_shares(bank: BankTensors, plan: Plan) -> Tensor:
    """Nepers of the noise's share of power in each band, `(n_crops, n_frames, n_bands)`."""
    shares = bank.aperiodicity_nepers(plan.left, plan.right, plan.fraction)
    shares += (plan.breath * _NEPERS_PER_DB)[..., None]
    return shares.clamp_(max=0).mul_((plan.f0 > 0)[..., None])


def envelope_weights(bank: BankTensors, plan: Plan) -> Tensor:
    """Weight of each of `envelope_functions` in each frame, `(n_crops, n_frames, n_functions)`."""
    order = bank.spec.order
    weights = plan.f0.new_zeros(*plan.f0.shape, order + _N_SHAPES)
    bank.codes(plan.left, plan.right, plan.fraction, out=weights[..., :order])
    _write_gains(plan, weights[..., order:])
    return weights


def envelope_functions(bank: BankTensors, plan: Plan, hz: Tensor) -> Tensor:
    """Functions of frequency whose weighted sum is ln E, `(n_crops, n_functions, n_hz)`."""
    basis = cosines(source_hz(plan.warp, hz), bank)
    shapes = _shapes(plan, hz)
    shapes[:, 0] += (bank.offset[:, None] * basis).sum(1) + _level(bank, plan)
    return torch.cat([basis.mul_(bank.scale[:, None]), shapes], 1)


def cosines(hz: Tensor, bank: BankTensors) -> Tensor:
    """`singerid.voicebank.cosines` of a batch: `(n_crops, n_hz)` → `(n_crops, order, n_hz)`.

    Above half the sample rate the envelope is its own mirror image.
    """
    omega = hz * (2 * math.pi / bank.spec.sample_rate)
    if alpha := bank.spec.alpha:
        omega = omega + 2 * torch.atan2(alpha * omega.sin(), 1 - alpha * omega.cos())
    k = torch.arange(bank.spec.order, device=hz.device)[:, None]
    basis = torch.cos(k * omega[:, None]).mul_(2)
    basis[:, 0] = 1
    return basis


def _write_gains(plan: Plan, out: Tensor) -> None:
    """Weight of each of `_shapes` in each frame, `(n_crops, n_frames, n_shapes)`; `out` is zeros.

    The first partial's bell is a mix of the two fixed ones next to it.
    """
    out[..., 0] = 1
    for i, gain in enumerate((plan.level, plan.tilt, plan.nasal, plan.ring), start=1):
        torch.mul(gain, _NEPERS_PER_DB, out=out[..., i])
    place = torch.log2(plan.f0.clamp(min=_LOWEST_BUMP) / _LOWEST_BUMP) * _BUMPS_PER_OCTAVE
    place = place.clamp(max=_N_BUMPS - 1.001)
    left = place.long()
    gain = plan.first_partial * _NEPERS_PER_DB
    weight = place - left
    bumps = out[..., 5:]
    bumps.scatter_(2, left[..., None], (gain * (1 - weight))[..., None])
    bumps.scatter_(2, left[..., None] + 1, (gain * weight)[..., None])


def _shapes(plan: Plan, hz: Tensor) -> Tensor:
    """Functions of frequency `(n_crops, n_shapes, n_hz)`, in the order of `_write_gains`.

    A constant; level; tilt, which ends at 4 kHz and falls above: where real singers differ most
    between soft and loud is 1.5 to 4.5 kHz (docs/experiments.md); nasality: a zero at `nasal_hz`
    with a pole half as strong an octave and a half below (Hawkins and Stevens 1985); ring: a bell
    of a third of an octave; and bells that follow one another, whose weights move one bell
    continuously along.
    """
    octaves = torch.log2(hz.clamp(*_TILT_RANGE_HZ))
    flat = torch.ones_like(hz)
    beyond = (octaves - math.log2(_TILT_PEAK_HZ)).clamp(min=0)
    tilt = octaves - math.log2(_TILT_HZ) - (1 + _TILT_FALL) * beyond
    at = torch.arange(_N_BUMPS, device=hz.device)[:, None] / _BUMPS_PER_OCTAVE
    bumps = _bell(torch.log2(hz.clamp(min=1) / _LOWEST_BUMP) - at, 0.3)
    shared = torch.cat([torch.stack([flat * 0, flat, tilt]), bumps]).expand(len(plan), -1, -1)
    zero = octaves - torch.log2(plan.nasal_hz)[:, None]
    nasal = 0.5 * _bell(zero + 1.5, 0.35) - _bell(zero, 0.35)
    ring = _bell(octaves - torch.log2(plan.ring_hz)[:, None], 0.2)
    return torch.cat([shared[:, :3], nasal[:, None], ring[:, None], shared[:, 3:]], 1)


def _bell(octaves: Tensor, width: float) -> Tensor:
    return torch.exp(-0.5 * (octaves / width) ** 2)


def _level(bank: BankTensors, plan: Plan) -> Tensor:
    """Nepers from a bank's unit power back to the recordings' level, `(n_crops, 1)`."""
    return (bank.levels[plan.rows] * _NEPERS_PER_DB)[:, None]


def open_mouth(nepers: Tensor, opening: Tensor, hz: Tensor) -> None:
    """Move the envelope below 900 Hz up by `opening`, in place; nothing changes above 2 kHz.

    The frequencies lie evenly, so that the envelope between two is a mix of theirs.
    """
    if not bool((opening > 1).any()):
        return
    n_low = int(torch.searchsorted(hz, _UNCHANGED_HZ))
    low, step = hz[:n_low], float(hz[1] - hz[0])
    opening = opening[..., None]
    edge = (_OPENED_HZ * opening).clamp(max=_UNCHANGED_HZ - 100)
    above = edge / opening + (low - edge) * (
        (_UNCHANGED_HZ - edge / opening) / (_UNCHANGED_HZ - edge)
    )
    source = torch.where(low < edge, low / opening, above)
    place = ((source - hz[0]) / step).clamp(0, len(hz) - 1.001)
    left = place.long()
    before, after = nepers.gather(2, left), nepers.gather(2, left + 1)
    nepers[..., :n_low] = torch.lerp(before, after, place - left)


def mel_weights(spec: FeatureSpec) -> Tensor:
    """Mel bands `(n_mels, n_fft // 2 + 1)` for spectra in units of white noise of variance 1.

    The window's power, the front end's gain and its high-pass are in them.
    """
    mel, rate = spec.mel, spec.audio.sample_rate
    bands = mel_bands(rate, mel.n_fft, mel.n_mels, mel.fmin, mel.fmax).astype(np.float64)
    gain = mel.gain * np.sqrt(0.375 * mel.n_fft) * _highpass_gain(spec)
    gain = gain**2 if mel.spectrum == "power" else gain
    return torch.from_numpy((bands * gain).astype(np.float32))


def _highpass_gain(spec: FeatureSpec) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Amplitude `(n_bins,)` of the front end's zero-phase high-pass (see `features.highpass`)."""
    mel, rate = spec.mel, spec.audio.sample_rate
    hz = np.fft.rfftfreq(mel.n_fft, 1 / rate)[:-1]
    if mel.highpass <= 0:
        return np.ones(len(hz) + 1)
    ratio = np.tan(np.pi * hz / rate) / np.tan(np.pi * mel.highpass / rate)
    return np.append(ratio**10 / (1 + ratio**10), 1.0)
