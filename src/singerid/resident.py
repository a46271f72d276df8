"""Batches from frames that lie on the device: gathered there by index, without a data loader.

They are the very batches of `singerid.batches.BatchMaker`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from singerid.batches import Batch, BatchMaker, IntArray
from singerid.errors import ConfigError
from singerid.features import network_input
from singerid.store import Store
from singerid.training_sections import BatchSettings

FloatArray = npt.NDArray[np.float32]
Residence = Literal["auto", "on", "off"]
_SHARE = 0.5  # of the free memory; the network needs the rest
_BYTES_AT_ONCE = 1 << 26  # copied to the device


class ResidentBatches(BatchMaker):
    """Batch t of a split of a store, from memory of the device.

    Attributes:
        frames: `(n_frames, n_inputs)` on the device, of all recordings that take part.
        on_device: True: data loaders' workers would copy them.
    """

    def __init__(
        self,
        store: Store,
        split: str,
        settings: BatchSettings,
        seed: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Copy the frames of a split.

        Args:
            store: features.
            split: train, valid or test.
            settings: size of a batch.
            seed: of the draws.
            device: where the frames are kept, and batches made.
            dtype: float32, as stored; float16 takes half the memory, and rounds to 0.02 dB (of
                the default front end's 100).

        Raises:
            StoreError: fewer than two singers have a recording of at least one partial.
            ConfigError: the frames do not fit the device's memory.
        """
        super().__init__(store, split, settings, seed)
        self.device, self.on_device = torch.device(device), True
        lengths = store.n_frames[self._rows]
        self._starts = np.cumsum(lengths) - lengths
        self._n_starts = lengths - settings.partial_frames + 1
        needed = int(lengths.sum()) * self.spec.n_inputs * dtype.itemsize
        try:
            self.frames = torch.empty(
                int(lengths.sum()), self.spec.n_inputs, dtype=dtype, device=self.device
            )
        except (torch.OutOfMemoryError, RuntimeError) as error:  # the CPU's is a RuntimeError
            raise ConfigError(
                f"the frames of split {split!r} do not fit the memory of {self.device}",
                where="train.resident", found=f"{needed / 1e9:.1f} GB",
                do="set train.resident to off: batches are then read from the store",
            ) from error  # fmt: skip
        self._fill()

    def _fill(self) -> None:
        """Copy recordings to the device, many at once."""
        at_once, n, done = _BYTES_AT_ONCE // (4 * self.spec.n_inputs), 0, 0
        parts: list[FloatArray] = []
        for i, row in enumerate(self._store.rows[self._rows].tolist()):
            frames = network_input(self._store.frames(row), self.spec)
            parts.append(frames)
            n += len(frames)
            if i + 1 == len(self.ids) or n - done >= at_once:
                some = torch.from_numpy(np.concatenate(parts))
                self.frames[done:n] = some.to(self.device)
                done, parts = n, []

    def tensors(self, t: int) -> tuple[Tensor, Tensor]:
        """Batch `t` on the device.

        Returns:
            float32 `(n_singers, n_partials, n_frames, n_inputs)`, and int64 `(n_singers,)`.
        """
        chosen, rows, rng = self._draw(t)
        return self._gather(rows, rng), torch.from_numpy(chosen).to(self.device)

    def batch(self, t: int) -> Batch:
        """Batch number `t`, counted from 0."""
        chosen, rows, rng = self._draw(t)
        ids = [[self.ids[i] for i in row] for row in rows]
        return Batch(self._gather(rows, rng).cpu().numpy(), chosen, ids)

    def _gather(self, rows: IntArray, rng: np.random.Generator) -> Tensor:
        """A random partial of each recording `(n_singers, n_partials)`."""
        starts = self._starts[rows] + rng.integers(self._n_starts[rows])
        first = torch.from_numpy(starts).to(self.device)
        index = first[..., None] + torch.arange(self.settings.partial_frames, device=self.device)
        return self.frames[index].float()


def is_resident(
    choice: Residence, store: Store, split: str, settings: BatchSettings, device: torch.device | str
) -> bool:
    """Whether a split shall be kept on the device.

    Args:
        choice: on and off are obeyed; auto takes a CUDA device half of whose free memory holds
            the split. The CPU reads a mapped store as fast.
        store: features.
        split: train, valid or test.
        settings: size of a batch.
        device: where training runs.
    """
    if choice != "auto":
        return choice == "on"
    device = torch.device(device)
    if device.type != "cuda":
        return False
    lengths = store.n_frames[store.listing.of_split(split)]
    n_frames = int(lengths[lengths >= settings.partial_frames].sum())
    return 4 * n_frames * store.spec.n_inputs <= _SHARE * torch.cuda.mem_get_info(device)[0]
