"""A store as a torch `Dataset`, for training loops other than ours."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from singerid.errors import ConfigError, StoreError
from singerid.features import network_input
from singerid.frames import crop
from singerid.store import Store


class StoreDataset(Dataset[tuple[Tensor, int]]):
    """A partial at a random place of each recording of a store, and who sings it.

    An item is float32 `(partial_frames, spec.n_inputs)`, as an encoder sees it, and the singer's
    index in `singers`. Where a partial lies is a function of seed, epoch and index alone: neither
    workers nor their number change anything. Recordings shorter than a partial take no part.

    A `DataLoader` may shuffle it; one that never comes across the same singer twice in a batch,
    or always comes across him, is up to its sampler (ours: `singerid.batches.FairMaker`).

    Attributes:
        store: what it reads.
        partial_frames: length of a partial.
        seed: of the places.
        ids: the recording of each item, in the order of the store.
        singers: names, sorted; a singer's index is its class.
        n_short: recordings that are left out because they are too short.
    """

    def __init__(
        self,
        store: Store | str | os.PathLike[str],
        partial_frames: int = 160,
        split: str | None = "train",
        seed: int = 0,
    ) -> None:
        """Look which recordings take part.

        Args:
            store: features, or their folder.
            partial_frames: length of a partial.
            split: train, valid or test; None for all recordings.
            seed: of the places, at least 0.

        Raises:
            ConfigError: a number is out of range.
            StoreError: not a store, or no recording of the split is as long as a partial.
        """
        for name, value, least in (("partial_frames", partial_frames, 1), ("seed", seed, 0)):
            if value < least:
                raise ConfigError("is too small", where=name, found=value, expected=least)
        self.store = store if isinstance(store, Store) else Store(store)
        self.partial_frames, self.seed = partial_frames, seed
        own = [r for r in self.store.recordings if split is None or r.split == split]
        entries = self.store.entries
        kept = [r for r in own if entries[r.id].n_frames >= partial_frames]
        self.n_short = len(own) - len(kept)
        if not kept:
            where = f" in split {split!r}" if split else ""
            raise StoreError(
                f"has no recording of at least one partial{where}", where=self.store.path,
                found=f"{len(own)} recordings, all shorter", expected=f"{partial_frames} frames",
                do="choose another split, or a shorter partial",
            )  # fmt: skip
        self.ids = [r.id for r in kept]
        self.singers = sorted({r.singer for r in kept})
        index = {singer: i for i, singer in enumerate(self.singers)}
        self._targets = [index[r.singer] for r in kept]
        # Shared, so that workers that stay from one epoch to the next hear of it.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Choose which partials are drawn; another epoch, other places.

        To be called before the loader is iterated over.
        """
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        index = range(len(self.ids))[index]  # from the end, if negative
        frames = self.store.features(self.ids[index])
        rng = np.random.default_rng([self.seed, int(self._epoch), index])
        start = int(rng.integers(len(frames) - self.partial_frames + 1))
        partial = network_input(crop(frames, start, self.partial_frames), self.store.spec)
        return torch.from_numpy(np.array(partial)), self._targets[index]
