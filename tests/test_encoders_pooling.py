"""Pooling over time: by plain loops, with padding, and what attention can and cannot change."""

import numpy as np
import pytest
import torch

from singerid.encoders.pooling import AttentivePooling, build_pooling

KINDS = ["last", "mean", "statistics", "attentive", "context"]


def make(kind, n_channels=6, seed=0):
    torch.manual_seed(seed)
    if kind == "context":
        return AttentivePooling(n_channels, bottleneck=8, context=True)
    return build_pooling(kind, n_channels)


def frames(batch=4, n_frames=9, n_channels=6, seed=1):
    return torch.randn(batch, n_frames, n_channels, generator=torch.Generator().manual_seed(seed))


def by_hand(pooling, kind, row):
    """One row `(n_frames, n_channels)`, by numpy in double precision."""
    x = row.double().numpy()
    if kind == "last":
        return x[-1]
    weights = np.full_like(x, 1 / len(x))
    plain = np.concatenate([x.mean(axis=0), x.std(axis=0)])
    if kind == "mean":
        return x.mean(axis=0)
    if kind != "statistics":
        w = {name: p.detach().double().numpy() for name, p in pooling.named_parameters()}
        hidden = x @ w["hidden.weight"].T + w["hidden.bias"]
        if kind == "context":
            hidden += w["context.weight"] @ plain
        scores = np.tanh(hidden) @ w["scores.weight"].T
        weights = np.exp(scores) / np.exp(scores).sum(axis=0)
    mean = (weights * x).sum(axis=0)
    return np.concatenate([mean, np.sqrt((weights * (x - mean) ** 2).sum(axis=0))])


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_equations(kind):
    pooling, x = make(kind), frames()
    vectors = pooling(x)
    assert vectors.shape == (4, pooling.n_outputs)
    for row, vector in zip(x, vectors.detach(), strict=True):
        np.testing.assert_allclose(vector, by_hand(pooling, kind, row), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind):
    pooling, x, lengths = make(kind), frames(), [9, 5, 2, 1]
    mask = torch.arange(9) < torch.tensor(lengths)[:, None]
    garbage = torch.where(mask[..., None], x, 1e4)
    alone = torch.cat([pooling(row[None, :n]) for row, n in zip(x, lengths, strict=True)])
    np.testing.assert_allclose(pooling(garbage, mask).detach(), alone.detach(), atol=1e-6)


@pytest.mark.parametrize("kind", ["mean", "statistics", "attentive", "context"])
def test_the_order_of_frames_does_not_matter(kind):
    pooling, x = make(kind), frames()
    np.testing.assert_allclose(pooling(x.flip(1)).detach(), pooling(x).detach(), atol=1e-6)


@pytest.mark.parametrize("kind", ["statistics", "attentive", "context"])
def test_equal_frames_have_no_deviation_and_a_finite_gradient(kind):
    x = frames(n_frames=1).expand(-1, 7, -1).clone().requires_grad_()
    vectors = make(kind)(x)
    np.testing.assert_allclose(vectors[:, :6].detach(), x[:, 0].detach(), atol=1e-6)
    assert vectors[:, 6:].max() < 1e-3
    vectors.square().sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_pooled_in_float32(kind):
    x = 100 + frames(n_frames=50)
    with torch.autocast("cpu", torch.bfloat16):
        vectors = make(kind)(x.bfloat16())
    assert vectors.dtype == torch.float32


def test_attention_finds_the_frame_it_looks_for():
    pooling, x = make("attentive"), 0.1 * frames()
    x[:, 3] += 5
    with torch.no_grad():
        pooling.hidden.weight.fill_(1)
        pooling.hidden.bias.fill_(-1)
        pooling.scores.weight.fill_(1)
    np.testing.assert_allclose(pooling(x)[:, :6].detach(), x[:, 3], atol=1e-3)


def test_an_unknown_pooling():
    with pytest.raises(KeyError, match="median"):
        build_pooling("median", 6)
