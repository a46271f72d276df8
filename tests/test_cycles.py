"""Cycle sizes against a count by hand."""

import pytest

from singerid.config import resolve
from singerid.cycles import cycle_size, resolve_cycles
from singerid.training_sections import BatchSettings


def naive(store, split, batch):
    durations = {}
    for recording in store.recordings:
        n_partials = len(store.features(recording.id)) // batch.partial_frames
        if recording.split == split and n_partials:
            durations.setdefault(recording.singer, []).append(n_partials)
    recordings = [n for own in durations.values() for n in own]
    per_singer, per_recording = len(recordings) / len(durations), sum(recordings) / len(recordings)
    batches = len(durations) // min(batch.n_singers, len(durations))
    return max(1, batches * (int(per_singer * per_recording) // batch.n_partials))


@pytest.mark.parametrize("split", ["train", "valid"])
@pytest.mark.parametrize(("n_singers", "n_partials"), [(2, 2), (2, 5), (8, 10)])
def test_size_is_the_originals_formula_on_real_durations(store, split, n_singers, n_partials):
    batch = BatchSettings(n_singers=n_singers, n_partials=n_partials, partial_frames=64)
    size, arithmetic = cycle_size(store, split, batch)
    assert size == naive(store, split, batch)
    assert arithmetic.startswith(f"{split}: (")
    assert arithmetic.endswith(f"{size} steps")


def test_auto_is_replaced_and_said(store):
    lines = []
    config = resolve({"train": {"iters": "auto"}, "batch": {"n_singers": 2, "n_partials": 2}})
    result = resolve_cycles(config, store, lines.append)
    assert result.train.iters == "given"
    assert result.train.train_iters == cycle_size(store, "train", config.batch)[0]
    assert result.train.val_iters == cycle_size(store, "valid", config.batch)[0]
    assert [line.split(":")[0] for line in lines] == ["cycle train", "cycle valid"]


def test_given_sizes_stay(store):
    config = resolve({})
    assert resolve_cycles(config, store, lambda line: pytest.fail(line)) is config


def test_too_short_recordings_still_give_a_step(store):
    assert cycle_size(store, "train", BatchSettings(partial_frames=100_000))[0] == 1
