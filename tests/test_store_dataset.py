"""A store for the training loops of others: crops by (seed, epoch, index), in any worker."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from singerid.errors import ConfigError, StoreError
from singerid.store_dataset import StoreDataset

FRAMES = 64


def places(dataset):
    """Where in its recording each partial lies."""
    found = []
    for row, (partial, _) in enumerate(dataset):
        frames = dataset.store.features(dataset.ids[row])
        starts = np.flatnonzero((frames[: len(frames) - FRAMES + 1] == partial[0].numpy()).all(1))
        (start,) = [s for s in starts if np.array_equal(frames[s : s + FRAMES], partial.numpy())]
        found.append(int(start))
    return found


def test_items(store):
    dataset = StoreDataset(store, FRAMES)
    own = [r for r in store.recordings if r.split == "train"]
    assert dataset.ids == [r.id for r in own]
    assert dataset.singers == sorted({r.singer for r in own})
    assert (len(dataset), dataset.n_short) == (len(own), 0)
    for recording, (partial, target) in zip(own, dataset, strict=True):
        assert (partial.dtype, partial.shape) == (torch.float32, (FRAMES, store.spec.n_inputs))
        assert dataset.singers[target] == recording.singer
    assert len(set(places(dataset))) > 1
    last, from_end = dataset[len(dataset) - 1], dataset[-1]
    torch.testing.assert_close(last[0], from_end[0], atol=0, rtol=0)
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_places_are_of_seed_epoch_and_index_alone(store):
    one, other = StoreDataset(store, FRAMES, seed=3), StoreDataset(store.path, FRAMES, seed=3)
    first = places(one)
    assert places(other) == first
    torch.testing.assert_close(other[1][0], one[1][0], atol=0, rtol=0)
    one.set_epoch(1)
    assert places(one) != first
    assert places(pickle.loads(pickle.dumps(one))) == places(one)
    one.set_epoch(0)
    assert places(one) == first
    assert places(StoreDataset(store, FRAMES, seed=4)) != first


def test_all_places_are_drawn(store):
    """From the first to the last frame, and evenly."""
    id = store.recordings[0].id
    n = store.entries[id].n_frames
    dataset = StoreDataset(store, n - 3, split=None)
    row, found = dataset.ids.index(id), []
    frames = store.features(id)
    for epoch in range(200):
        dataset.set_epoch(epoch)
        partial = dataset[row][0].numpy()
        found.append(next(s for s in range(4) if np.array_equal(frames[s : s + n - 3], partial)))
    counts = np.bincount(found, minlength=4)
    assert counts.min() > 25  # of 50 each; five standard deviations below


def test_splits_and_short_recordings(store):
    everything = StoreDataset(store, FRAMES, split=None)
    assert everything.ids == [r.id for r in store.recordings]
    lengths = sorted(store.entries[r.id].n_frames for r in store.recordings)
    long = StoreDataset(store, lengths[-1], split=None)
    assert (len(long), long.n_short) == (lengths.count(lengths[-1]), len(lengths) - len(long))
    with pytest.raises(StoreError) as caught:
        StoreDataset(store, lengths[-1] + 1, split="valid")
    assert str(caught.value) == (
        f"{store.path}: has no recording of at least one partial in split 'valid'; found "
        f"4 recordings, all shorter; expected {lengths[-1] + 1} frames; choose another split, or "
        "a shorter partial"
    )
    for name in ("partial_frames", "seed"):
        with pytest.raises(ConfigError, match=rf"^{name}: is too small; found -1"):
            StoreDataset(store, **{name: -1})


def test_workers_change_nothing_and_hear_of_epochs(store):
    dataset = StoreDataset(store, FRAMES)
    loader = DataLoader(dataset, batch_size=2, num_workers=2, persistent_workers=True)
    for epoch in range(2):
        dataset.set_epoch(epoch)
        found = [torch.cat(parts) for parts in zip(*loader, strict=True)]
        expected = [dataset[row] for row in range(len(dataset))]
        torch.testing.assert_close(found[0], torch.stack([p for p, _ in expected]), atol=0, rtol=0)
        assert found[1].tolist() == [target for _, target in expected]
