"""Batches from the device's memory: the very batches of the store."""

import numpy as np
import pytest
import torch

from singerid import resident
from singerid.batches import BatchMaker
from singerid.errors import ConfigError, StoreError
from singerid.extraction import extract
from singerid.resident import ResidentBatches, is_resident
from singerid.spec import FeatureSpec, MelSettings, PitchSettings
from singerid.training_sections import BatchSettings

SMALL = BatchSettings(n_singers=2, n_partials=3, partial_frames=40)


@pytest.mark.parametrize("split", ["train", "valid"])
@pytest.mark.parametrize("spread", [False, True])
def test_batches_are_those_of_the_store_bit_for_bit(store, split, spread):
    chosen = SMALL.model_copy(update={"spread_pitch": spread})
    stored = BatchMaker(store, split, chosen, 7)
    kept = ResidentBatches(store, split, chosen, 7)
    assert kept.singers == stored.singers
    assert kept.n_singers == stored.n_singers
    assert kept.warnings == stored.warnings
    for t in (0, 5, 1, 100, 2):
        batch, expected = kept.batch(t), stored.batch(t)
        np.testing.assert_array_equal(batch.features, expected.features)
        np.testing.assert_array_equal(batch.singers, expected.singers)
        assert batch.features.dtype == np.float32
        assert batch.ids == expected.ids
        features, singers = kept.tensors(t)
        assert torch.equal(features, torch.from_numpy(expected.features))
        assert torch.equal(singers, torch.from_numpy(expected.singers))


def test_pitch_is_kept_as_the_encoder_sees_it(recordings, tmp_path):
    pytest.importorskip("pyworld")
    spec = FeatureSpec(mel=MelSettings(n_mels=16), pitch=PitchSettings(condition=True))
    _, opened = extract([r for r in recordings if r.split == "train"], tmp_path / "store", spec)
    stored, kept = (make(opened, "train", SMALL, 0) for make in (BatchMaker, ResidentBatches))
    assert kept.frames.shape[1] == spec.n_inputs == 16 + 47
    for t in range(4):
        np.testing.assert_array_equal(kept.batch(t).features, stored.batch(t).features)


def test_frames_are_copied_in_parts(store, monkeypatch):
    whole = ResidentBatches(store, "train", SMALL, 0)
    monkeypatch.setattr(resident, "_BYTES_AT_ONCE", 300 * 80 * 4)
    assert torch.equal(ResidentBatches(store, "train", SMALL, 0).frames, whole.frames)
    n_frames = [store.entries[r.id].n_frames for r in store.recordings if r.split == "train"]
    assert len(whole.frames) == sum(n_frames) > 300


def test_half_precision_takes_half_the_memory_and_rounds(store):
    whole, half = (
        ResidentBatches(store, "train", SMALL, 0, dtype=dtype)
        for dtype in (torch.float32, torch.float16)
    )
    assert 2 * half.frames.nbytes == whole.frames.nbytes
    features, _ = half.tensors(3)
    assert features.dtype == torch.float32
    difference = (features - whole.tensors(3)[0]).abs().max()
    assert 0 < float(difference) <= 2**-12  # half a unit in the last place below 1: 0.024 dB


def test_frames_that_do_not_fit_are_refused(store, monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(ConfigError) as caught:
        ResidentBatches(store, "train", SMALL, 0)
    n_bytes = sum(4 * 80 * store.entries[r.id].n_frames for r in store.recordings
                  if r.split == "train")  # fmt: skip
    assert str(caught.value) == (
        "train.resident: the frames of split 'train' do not fit the memory of cpu; found "
        f"{n_bytes / 1e9:.1f} GB; set train.resident to off: batches are then read from the store"
    )


def test_too_few_singers_are_refused_as_by_the_store(store):
    long = SMALL.model_copy(update={"partial_frames": 100_000})
    with pytest.raises(StoreError, match="split 'train' has too few singers"):
        ResidentBatches(store, "train", long, 0)


def test_what_is_resident(store, monkeypatch):
    arguments = store, "train", SMALL
    assert is_resident("on", *arguments, "cpu")
    assert not is_resident("off", *arguments, "cuda")
    assert not is_resident("auto", *arguments, "cpu")
    needed = sum(4 * 80 * store.entries[r.id].n_frames for r in store.recordings
                 if r.split == "train")  # fmt: skip
    for free, fits in ((2 * needed, True), (2 * needed - 2, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 8 * free))
        assert is_resident("auto", *arguments, "cuda") == fits
