"""Waveform tensors → the mel frames that an encoder sees, with a gradient all the way.

Every step is that of `singerid.features`, written in differentiable operations: resampling by
windowed sincs, the zero-phase high-pass as a product of spectra, dither, mirrored ends, and
`singerid.mel_network`.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from singerid.errors import AudioError, CheckpointError
from singerid.features.mel import padded
from singerid.mel_network import MelNetwork
from singerid.spec import FeatureSpec

# Of the sincs: as steep as soxr's, with which vectors then agree to 1e-4; 0.97 gave 3e-3.
_ZERO_CROSSINGS, _ROLLOFF, _BETA = 64, 0.96, 9.0
_ORDER = 5  # of the high-pass, as in `singerid.features.highpass`
_LEAST_DITHER = 1e-7  # magnitudes have no gradient at 0, where digital silence would be


class WaveformMel(nn.Module):
    """Waveforms → frames, as `singerid.features.extract` has them.

    Args:
        spec: the front end of an encoder that sees mel features.

    Raises:
        CheckpointError: the front end has steps without a gradient: WORLD, pitch, or the removal
            of pauses.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        found = [name for name in spec.input_streams if name != "mel"]
        found += ["pitch"] * spec.pitch.condition
        found += ["removal of pauses"] * (spec.audio.silence_db < 0)
        if found:
            raise CheckpointError(
                "the encoder's front end has no gradient", found=" and ".join(found),
                expected="mel features of all of a recording",
            )  # fmt: skip
        self.spec, self.mel = spec, MelNetwork(spec)

    def samples(self, waveforms: Tensor, sample_rate: int) -> Tensor:
        """Waveforms at the encoder's rate, loud enough.

        Args:
            waveforms: float32 `(batch, n_samples)` in [-1, 1].
            sample_rate: Hz.

        Raises:
            AudioError: too short.
        """
        audio = self.spec.audio
        result = resample(waveforms, sample_rate, audio.sample_rate)
        least = max(audio.min_seconds, (self.spec.mel.n_fft // 2 + 1) / audio.sample_rate)
        if result.shape[1] < least * audio.sample_rate:
            raise AudioError(
                "is too short", where="waveform", expected=f"at least {least:.2f} s",
                found=f"{result.shape[1] / audio.sample_rate:.2f} s",
            )  # fmt: skip
        if audio.min_level_db < 0:
            level = result.square().mean(1, keepdim=True).clamp_min(1e-20).sqrt()
            result = result * (10 ** (audio.min_level_db / 20) / level).clamp_min(1)
        return result

    def continued(self, samples: Tensor) -> Tensor:
        """High-passed samples with half a window beyond both ends; `singerid.features.mel.padded`.

        Args:
            samples: `(batch, n_samples)` at the encoder's rate.

        Returns:
            `(batch, n_samples + n_fft)`.
        """
        mel, rate, half = self.spec.mel, self.spec.audio.sample_rate, self.spec.mel.n_fft // 2
        if mel.highpass > 0:
            samples = highpass(samples, mel.highpass, rate)
        if mel.padding == "reflect":
            samples = F.pad(samples[:, None], (half, half), mode="reflect")[:, 0]
        else:
            samples = F.pad(samples, (half, half))
        dither = max(mel.dither, _LEAST_DITHER)
        silent = mel.model_copy(update={"highpass": 0.0, "dither": dither})
        noise = padded(np.zeros(samples.shape[1] - 2 * half, np.float32), rate, silent)
        return samples + torch.from_numpy(noise).to(samples.device)

    def forward(self, continued: Tensor) -> Tensor:
        """Frames `(batch, n_frames, n_mels)` of `continued` samples or stretches of them."""
        frames: Tensor = self.mel(continued)
        return frames


def highpass(samples: Tensor, cutoff: float, sample_rate: int) -> Tensor:
    """`singerid.features.highpass.highpass`, order 5, with a gradient.

    The filter runs forwards and backwards over the samples and an odd extension of both ends. It
    begins as if the first sample had been there for ever; of that a high-pass makes zero, so what
    is filtered is the distance from the first sample. As a product of spectra this is exact where
    the transform is longer than signal and ringing together.

    Args:
        samples: float32 `(batch, n_samples)`, at least two samples.
        cutoff: Hz.
        sample_rate: Hz.

    Returns:
        Float32 of the same shape.
    """
    n = samples.shape[1]
    edge = min(3 * (_ORDER + 1), n - 1)
    head, tail = samples[:, 1 : edge + 1].flip(1), samples[:, n - 1 - edge : n - 1].flip(1)
    x = torch.cat([2 * samples[:, :1] - head, samples, 2 * samples[:, -1:] - tail], 1)
    # The slowest pole decays as exp(-2π cutoff sin(π / 10) t): after this time 1e-9 is left.
    ringing = int(sample_rate * math.log(1e9) / (2 * math.pi * cutoff * math.sin(math.pi / 10)))
    n_fft = 1 << (x.shape[1] + ringing - 1).bit_length()
    response = _response(cutoff, sample_rate, n_fft).to(samples.device)
    for _ in range(2):
        spectrum = torch.fft.rfft(x - x[:, :1], n_fft) * response
        x = torch.fft.irfft(spectrum, n_fft)[:, : x.shape[1]].flip(1)
    return x[:, edge : edge + n]


@lru_cache(maxsize=8)
def _response(cutoff: float, sample_rate: int, n_fft: int) -> Tensor:
    """Butterworth high-pass at the bins, complex64; by the bilinear transform, s = j tan(ω / 2)."""
    angles = np.pi * (2 * np.arange(_ORDER) + _ORDER + 1) / (2 * _ORDER)
    poles = np.tan(np.pi * cutoff / sample_rate) * np.exp(1j * angles)
    s = 1j * np.tan(np.pi * np.arange(n_fft // 2) / n_fft)
    response = s**_ORDER / np.prod(s[:, None] - poles, axis=1)
    return torch.from_numpy(np.append(response, 1.0).astype(np.complex64))  # Nyquist: s infinite


def resample(waveforms: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Waveforms at another rate, by windowed sincs.

    One convolution with a filter for each phase of the common grid (J. O. Smith, Digital Audio
    Resampling Home Page, 2002).

    Args:
        waveforms: float32 `(batch, n_samples)`.
        from_rate: Hz.
        to_rate: Hz.

    Returns:
        `(batch, ceil(n_samples * to_rate / from_rate))`.

    Raises:
        AudioError: a rate is not a positive whole number.
    """
    if not (isinstance(from_rate, int) and from_rate > 0):
        raise AudioError("sample rate out of range", found=from_rate, expected="whole Hz above 0")
    if from_rate == to_rate:
        return waveforms
    common = math.gcd(from_rate, to_rate)
    step, phases = from_rate // common, to_rate // common
    kernels, reach = _sincs(step, phases)
    n_wanted = -(-waveforms.shape[1] * phases // step)
    n_steps = -(-n_wanted // phases)
    room = (n_steps - 1) * step + kernels.shape[2] - reach - waveforms.shape[1]
    around = F.pad(waveforms[:, None], (reach, max(0, room)))
    phased = F.conv1d(around, kernels.to(waveforms.device), stride=step)
    return phased.transpose(1, 2).flatten(1)[:, :n_wanted]


@lru_cache(maxsize=8)
def _sincs(step: int, phases: int) -> tuple[Tensor, int]:
    """Kernels `(phases, 1, n_taps)`, and how many samples before its own one the first reaches."""
    cut = _ROLLOFF * min(1.0, phases / step)  # of the old Nyquist frequency
    reach = math.ceil(_ZERO_CROSSINGS / cut)
    # Output phase p lies at p * step / phases old samples behind the first of its group.
    at = np.arange(-reach, reach + step + 1) - (np.arange(phases) * step / phases)[:, None]
    window = np.i0(_BETA * np.sqrt(np.clip(1 - (at / reach) ** 2, 0, None))) / np.i0(_BETA)
    kernels = cut * np.sinc(cut * at) * window * (np.abs(at) <= reach)
    kernels /= kernels.sum(1, keepdims=True)  # constants stay what they are
    return torch.from_numpy(kernels.astype(np.float32))[:, None], reach
