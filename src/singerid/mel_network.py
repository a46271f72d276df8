"""The mel front end as a network, so that a graph of an encoder can hold it."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from singerid.features.mel import hann, mel_bands
from singerid.spec import FeatureSpec

_MAX_BLOCKS = 64  # a window of more, of odd hops, is gathered sample by sample


class MelNetwork(nn.Module):
    """Windows of samples → mel frames, as `singerid.features.mel.log_mel` has them.

    The Fourier transform is a product with cosines and sines at the bins that the bands reach.
    The window w is even about its middle h = n_fft / 2 and w[0] = 0, so

        Σ w[n] x[n] cos(2πkn / 2h) = Σ w[n] (x[n] + x[2h - n]) cos(2πkn / 2h), n = 1 … h,

    (half of that for n = h), and likewise with x[n] - x[2h - n] for the sines: half the work. On
    onnxruntime this is 2.5 times as fast as its own STFT, and 1.5 times as fast as a convolution.

    Args:
        spec: the front end; what comes before the window (high-pass, dither, padding) is not here.
    """

    cosines: Tensor
    sines: Tensor
    bands: Tensor

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        mel = self.settings = spec.mel
        half = mel.n_fft // 2
        bands = mel_bands(spec.audio.sample_rate, mel.n_fft, mel.n_mels, mel.fmin, mel.fmax)
        bins = np.flatnonzero(bands.any(axis=0))
        n = np.arange(1, half + 1)
        window = hann(mel.n_fft)[n].astype(np.float64) * mel.gain
        window[-1] /= 2  # the middle is added to itself
        angles = 2 * np.pi * np.outer(n, bins) / mel.n_fft
        self.register_buffer("cosines", _tensor(window[:, None] * np.cos(angles)))
        self.register_buffer("sines", _tensor(window[:, None] * np.sin(angles)))
        self.register_buffer("bands", _tensor(bands[:, bins].T))

    def forward(self, samples: Tensor) -> Tensor:
        """`(batch, n_samples)` → `(batch, 1 + (n_samples - n_fft) // hop_length, n_mels)`."""
        windows, half = self._windows(samples), self.settings.n_fft // 2
        left, right = windows[..., 1 : half + 1], windows[..., half:].flip(2)
        power = ((left + right) @ self.cosines).square() + ((left - right) @ self.sines).square()
        return self._scaled(power if self.settings.spectrum == "power" else power.sqrt())

    def _windows(self, samples: Tensor) -> Tensor:
        """`(batch, n_frames, n_fft)`."""
        n_fft, hop = self.settings.n_fft, self.settings.hop_length
        n_frames = (samples.shape[1] - n_fft) // hop + 1
        size = math.gcd(n_fft, hop)
        n_blocks, step = n_fft // size, hop // size
        if n_blocks > _MAX_BLOCKS:
            return samples[:, hop * torch.arange(n_frames).unsqueeze(1) + torch.arange(n_fft)]
        last = step * (n_frames - 1)
        used = samples[:, : (last + n_blocks) * size]
        blocks = used.reshape(samples.shape[0], -1, size)
        return torch.cat([blocks[:, i : i + last + 1 : step] for i in range(n_blocks)], dim=2)

    def _scaled(self, spectra: Tensor) -> Tensor:
        """Bands, and their levels as `singerid.features.mel` scales them."""
        mel, levels = self.settings, spectra @ self.bands
        if mel.scale == "linear":
            return levels
        per_decade = 20 if mel.spectrum == "magnitude" else 10
        decades = levels.clamp_min(10 ** (mel.floor_db / per_decade)).log10()
        scaled = decades * (per_decade / -mel.floor_db) + (1 + mel.reference_db / mel.floor_db)
        return scaled.clamp(0, 1)


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
