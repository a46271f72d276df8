"""A voice bank as tensors on a device: codes stay quantized until a crop needs them."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from singerid.errors import ConfigError
from singerid.voicebank.bank import VoiceBank
from singerid.voicebank.codes import APERIODICITY_RANGE_DB
from singerid.voicebank.spec import BankSpec


@dataclass(frozen=True, slots=True, eq=False)
class BankTensors:
    """`VoiceBank` for torch; on the CPU it shares the bank's memory map.

    Attributes:
        spec: how the arrays were made.
        names: of the singers, in alphabetic order.
        singers: int64 `(n,)`, index in `names` of each recording.
        order: int64 `(n,)`, recordings sorted by singer.
        first: int64 `(n_singers + 1,)`: recordings of singer i are `order[first[i]:first[i + 1]]`.
        median_f0: float32 `(n,)` Hz.
        levels: float32 `(n,)` dB.
        starts: int64 `(n + 1,)`.
        mel_starts: int64 `(n + 1,)`.
        f0: float32 `(n_frames,)` Hz, 0 unvoiced.
        onset: bool `(n_frames,)`.
        cepstrum: int8 `(n_frames, order)`.
        scale: float32 `(order,)`.
        offset: float32 `(order,)`.
        aperiodicity: uint8 `(n_frames, n_bands)`.
        mel: `(n_mel_frames, n_mels)`.
    """

    spec: BankSpec
    names: tuple[str, ...]
    singers: Tensor
    order: Tensor
    first: Tensor
    median_f0: Tensor
    levels: Tensor
    starts: Tensor
    mel_starts: Tensor
    f0: Tensor
    onset: Tensor
    cepstrum: Tensor
    scale: Tensor
    offset: Tensor
    aperiodicity: Tensor
    mel: Tensor

    @classmethod
    def of(cls, bank: VoiceBank, device: torch.device | str = "cpu") -> Self:
        """Tensors of a bank.

        Raises:
            ConfigError: the bank holds no recordings, or one without frames.
        """
        if len(bank) == 0 or int(np.diff(bank.starts).min()) < 2:
            raise ConfigError("a bank needs recordings of two frames and more", found=len(bank))
        names = tuple(sorted(set(bank.singers)))
        place = {name: i for i, name in enumerate(names)}
        singers = np.array([place[name] for name in bank.singers], np.int64)
        first = np.searchsorted(np.sort(singers), np.arange(len(names) + 1))
        arrays: tuple[npt.NDArray[Any], ...] = (
            singers, np.argsort(singers, kind="stable"), first, bank.median_f0, bank.levels,
            bank.starts, bank.mel_starts, bank.f0, bank.onset, bank.cepstrum,
            bank.cepstrum_scale, bank.cepstrum_offset, bank.aperiodicity, bank.mel,
        )  # fmt: skip
        tensors = cls(bank.spec, names, *(_tensor(array) for array in arrays))
        return tensors.to(device)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.f0.device

    def __len__(self) -> int:
        return len(self.singers)

    def to(self, device: torch.device | str) -> Self:
        """The same bank on another device."""
        moved: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                moved[field.name] = value.to(device)
        return replace(self, **moved)

    def codes(self, left: Tensor, right: Tensor, fraction: Tensor, out: Tensor) -> None:
        """Cepstra between frames, still to be scaled.

        Args:
            left: int64 `(…,)`, frame before.
            right: int64 `(…,)`, frame after.
            fraction: float32 `(…,)`, weight of `right`, 0 … 1.
            out: float32 `(…, order)`, where the codes are written.
        """
        _write_between(self.cepstrum, left, right, fraction, out)

    def aperiodicity_nepers(self, left: Tensor, right: Tensor, fraction: Tensor) -> Tensor:
        """Nepers of the noise's share of power, float32 `(…, n_bands)`; arguments as of `codes`."""
        low, high = APERIODICITY_RANGE_DB
        codes = torch.empty(*left.shape, self.aperiodicity.shape[1], device=self.device)
        _write_between(self.aperiodicity, left, right, fraction, codes)
        return codes.mul_((high - low) / 255).add_(low).mul_(math.log(10) / 10)


def _write_between(
    table: Tensor, left: Tensor, right: Tensor, fraction: Tensor, out: Tensor
) -> None:
    shape = (*left.shape, table.shape[1])
    before = table.index_select(0, left.reshape(-1)).view(shape)
    after = table.index_select(0, right.reshape(-1)).view(shape)
    out.copy_(before).lerp_(after.float(), fraction[..., None])


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    array = np.ascontiguousarray(array)
    if array.dtype.byteorder not in "=|<":
        array = array.astype(array.dtype.newbyteorder("="))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # read-only maps: we never write
        return torch.from_numpy(array)
