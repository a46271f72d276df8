"""Sizes of the training and validation cycles, from what the corpus really holds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from singerid.config import Config
from singerid.store import Store
from singerid.training_sections import BatchSettings


def cycle_size(store: Store, split: str, batch: BatchSettings) -> tuple[int, str]:
    """Steps in which a split is shown about once, and the arithmetic in words.

    The original's formula: (singers // singers in a batch) · (recordings per singer ·
    partials per recording // partials of a singer in a batch), with means of what the store
    holds. At least 1.

    Args:
        store: the features.
        split: train, valid or test.
        batch: sizes of a batch and of a partial.
    """
    rows = store.listing.of_split(split)
    partials = store.n_frames[rows] // batch.partial_frames
    _, singer = store.listing.codes("singer")
    n_singers, n_recordings = len(np.unique(singer[rows[partials > 0]])), np.count_nonzero(partials)
    if not n_recordings:
        return 1, f"{split}: no recording of a partial or more"
    per_singer = n_recordings / n_singers
    per_recording = int(partials.sum()) / n_recordings
    n_batches = n_singers // min(batch.n_singers, n_singers)
    n_rounds = int(per_singer * per_recording) // batch.n_partials
    size = max(1, n_batches * n_rounds)
    arithmetic = (
        f"{split}: ({n_singers} singers // {min(batch.n_singers, n_singers)}) × "
        f"({per_singer:.1f} recordings × {per_recording:.1f} partials // {batch.n_partials}) "
        f"= {n_batches} × {n_rounds} → {size} steps"
    )
    return size, arithmetic


def resolve_cycles(config: Config, store: Store, say: Callable[[str], object]) -> Config:
    """The configuration with ``train.iters: auto`` replaced by numbers, which are said."""
    if config.train.iters == "given":
        return config
    sizes = {}
    for split, key in (("train", "train_iters"), ("valid", "val_iters")):
        sizes[key], arithmetic = cycle_size(store, split, config.batch)
        say(f"cycle {arithmetic}")
    changed = config.train.model_copy(update={**sizes, "iters": "given"})
    return config.model_copy(update={"train": changed})
