"""Statistics over the training frames against NumPy on everything at once."""

import numpy as np
import pytest
import torch

from singerid import statistics
from singerid.encoders.normalization import Normalization
from singerid.statistics import frame_statistics, training_statistics


def test_frame_statistics_equal_numpys_on_the_whole():
    rng = np.random.default_rng(0)
    arrays = [rng.normal(1000, 1, (n, 3)).astype(np.float32) * [1, 2, 3] for n in (5, 1, 700, 33)]
    whole = np.concatenate(arrays)
    mean, variance = frame_statistics(arrays)
    np.testing.assert_allclose(mean, whole.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(variance, whole.var(axis=0), rtol=1e-9)


def test_training_statistics_are_of_the_training_split_and_kept(store, monkeypatch):
    training = [store.features(r.id) for r in store.recordings if r.split == "train"]
    whole = np.concatenate(training).astype(np.float64)
    mean, variance = training_statistics(store)
    np.testing.assert_allclose(mean, whole.mean(axis=0))
    np.testing.assert_allclose(variance, whole.var(axis=0))
    monkeypatch.setattr(statistics, "frame_statistics", None)  # not computed again
    again = training_statistics(store)
    assert np.array_equal(again[0], mean)
    assert np.array_equal(again[1], variance)


@pytest.fixture
def features():
    return torch.rand(4, 9, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 5, 9])


def test_range_puts_each_partial_on_the_unit_interval(features):
    result = Normalization("range", 3)(features)
    assert torch.allclose(result.amin((1, 2)), torch.zeros(4))
    assert torch.allclose(result.amax((1, 2)), torch.ones(4))


def test_standard_gives_each_partial_mean_0_and_variance_1(features):
    result = Normalization("standard", 3)(features)
    assert torch.allclose(result.mean((1, 2)), torch.zeros(4), atol=1e-6)
    assert torch.allclose(result.var((1, 2), unbiased=False), torch.ones(4), atol=1e-5)


def test_feature_and_global_use_the_training_frames(features):
    frames = features.reshape(-1, 3)
    mean, variance = frames.mean(0), frames.var(0, unbiased=False)
    by_feature, overall = Normalization("feature", 3), Normalization("global", 3)
    by_feature.set_statistics(mean, variance)
    overall.set_statistics(mean, variance)
    whole = by_feature(features).reshape(-1, 3)
    assert torch.allclose(whole.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(whole.var(0, unbiased=False), torch.ones(3), atol=1e-4)
    expected = (features - features.mean()) / features.std(unbiased=False)
    assert torch.allclose(overall(features), expected, atol=1e-5)
    assert set(by_feature.state_dict()) == {"mean", "deviation"}


@pytest.mark.parametrize("kind", ["none", "range", "standard", "global", "feature"])
def test_constant_input_stays_finite(kind):
    normalization = Normalization(kind, 3)
    if normalization.needs_statistics:
        normalization.set_statistics(torch.full((3,), 0.5), torch.zeros(3))
    assert torch.isfinite(normalization(torch.full((2, 4, 3), 0.5))).all()


def test_none_changes_nothing_and_has_no_weights(features):
    normalization = Normalization("none", 3)
    assert normalization(features) is features
    assert not normalization.state_dict()
