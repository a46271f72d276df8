"""Crops of the real recordings of a bank, their frequency axis scaled for warped identities."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from singerid.features.mel import mel_bands
from singerid.resinging.bank_tensors import BankTensors
from singerid.resinging.draws import Draws
from singerid.resinging.levels import mel_sums
from singerid.resinging.traits import formant_shifts, source_hz

_LEAST = 1e-20


class RealCrops:
    """Real mel frames of a bank.

    Attributes:
        exist: bool `(n,)` on the CPU, which recordings have any; parametric voices have none.
    """

    def __init__(self, bank: BankTensors) -> None:
        self.bank, self._settings = bank, bank.spec.features.mel
        self.exist = bank.mel_starts.diff().cpu() > 0
        mel, rate = self._settings, bank.spec.sample_rate
        bands = torch.from_numpy(mel_bands(rate, mel.n_fft, mel.n_mels, mel.fmin, mel.fmax))
        bins = torch.arange(bands.shape[1]) * (rate / mel.n_fft)
        peaks = bands @ bins / bands.sum(1).clamp(min=1e-9)
        self._hz = peaks.cummax(0).values.to(bank.device)  # a band between two bins has no weight

    def __call__(
        self, rows: Tensor, traits: Mapping[str, Tensor], n_frames: int, draws: Draws
    ) -> Tensor:
        """Mel sums `(n_crops, n_frames, n_mels)` from random places.

        A crop that reaches the end of its recording goes on at the beginning. The larynx stays
        where it was.

        Args:
            rows: int64 `(n_crops,)`, recordings.
            traits: of the crops (`traits.Identities.draw`).
            n_frames: of each crop.
            draws: for `n_crops`.
        """
        rows = rows.to(self.bank.device)
        starts = self.bank.mel_starts[rows]
        lengths = self.bank.mel_starts[rows + 1] - starts
        first = (draws.uniform() * (lengths - n_frames + 1).clamp(min=1)).long()
        steps = torch.arange(n_frames, device=self.bank.device)
        index = starts[:, None] + (first[:, None] + steps) % lengths[:, None]
        frames = self.bank.mel.index_select(0, index.reshape(-1)).float()
        frames = frames.view(*index.shape, -1)
        if self._settings.scale == "linear":
            frames = frames.clamp_(min=_LEAST).log_()
        shifts = formant_shifts({**traits, "larynx": torch.zeros_like(traits["larynx"])})
        frames = frames @ self._interpolation(source_hz(shifts, self._hz))
        if self._settings.scale == "linear":
            return frames.exp_()
        return mel_sums(frames, self._settings)

    def _interpolation(self, hz: Tensor) -> Tensor:
        """Weights `(n_crops, n_mels in, n_mels out)` that read levels at `hz` `(n_crops, n_mels)`.

        Linear between the centers of bands, and constant beyond the first and the last.
        """
        n_mels = len(self._hz)
        right = torch.searchsorted(self._hz, hz.contiguous()).clamp(1, n_mels - 1)
        low, high = self._hz[right - 1], self._hz[right]
        weight = ((hz - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
        matrix = hz.new_zeros(len(hz), n_mels, n_mels)
        matrix.scatter_(1, right[:, None], weight[:, None])
        return matrix.scatter_add_(1, right[:, None] - 1, 1 - weight[:, None])
