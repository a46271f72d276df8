"""SupCon against a loop written from eq. 2 (Khosla et al. 2020), and pytorch-metric-learning's."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning import losses as reference
from pytorch_metric_learning.reducers import MeanReducer
from torch.nn import functional as F

from singerid.losses import SupConLoss


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def unit(n, dim=6, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, dim, generator=generator, dtype=dtype), dim=1)


def naive(vectors, singers, temperature):
    losses = []
    for i in range(len(singers)):
        others = [a for a in range(len(singers)) if a != i]
        positives = [p for p in others if singers[p] == singers[i]]
        if not positives:
            continue
        similarities = {a: float(vectors[i] @ vectors[a]) / temperature for a in others}
        total = math.log(sum(math.exp(s) for s in similarities.values()))
        losses.append(-sum(similarities[p] - total for p in positives) / len(positives))
    return sum(losses) / len(losses)


@settings(deadline=None, max_examples=60)
@given(
    singers=st.lists(st.integers(-3, 5), min_size=2, max_size=14).filter(
        lambda s: len(set(s)) < len(s)
    ),
    temperature=st.floats(0.05, 2),
    seed=st.integers(0, 99),
)
def test_supcon_equals_the_loops(singers, temperature, seed):
    vectors = unit(len(singers), seed=seed)
    found = SupConLoss(temperature)(vectors, torch.tensor(singers)).item()
    assert found == pytest.approx(naive(vectors, singers, temperature), rel=1e-9, abs=1e-12)


def test_supcon_equals_pytorch_metric_learning():
    vectors, singers = unit(24, 16, seed=2).requires_grad_(), torch.arange(24) % 6
    theirs = reference.SupConLoss(temperature=0.1, reducer=MeanReducer())
    found, expected = SupConLoss(0.1)(vectors, singers), theirs(vectors, singers)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(found, vectors)
    (wanted,) = torch.autograd.grad(expected, vectors)
    rows = vectors.detach()  # theirs normalizes the embeddings once more
    along = gradient - (gradient * rows).sum(dim=1, keepdim=True) * rows
    torch.testing.assert_close(along, wanted, rtol=1e-5, atol=1e-7)


def test_gradients_are_those_of_finite_differences():
    singers = torch.tensor([0, 1, 0, 2, 1, 0])
    vectors = unit(6, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: SupConLoss(0.3)(v, singers), (vectors,))


def test_known_values():
    collapsed = torch.ones(12, 4, dtype=torch.float64) / 2
    singers = torch.arange(4).repeat_interleave(3)
    assert SupConLoss()(collapsed, singers).item() == pytest.approx(math.log(11), rel=1e-12)
    perfect = torch.eye(4, dtype=torch.float64).repeat_interleave(3, dim=0)
    assert SupConLoss(0.5)(perfect, singers).item() == pytest.approx(
        math.log(2 + 9 * math.exp(-2)), rel=1e-12
    )  # two positives at cosine 1 share the probability


@pytest.mark.parametrize("temperature", [0.001, 0.07])
def test_small_temperatures_stay_finite(temperature):
    vectors = unit(8, dtype=torch.float32).requires_grad_()
    value = SupConLoss(temperature)(vectors, torch.arange(4).repeat_interleave(2))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(vectors.grad).all()
    assert vectors.grad.abs().max() > 0


@pytest.mark.parametrize("singers", [[0, 1, 2], [4], []])
def test_too_few_are_refused(singers):
    with pytest.raises(ValueError, match="SupCon needs at least two embeddings of a singer"):
        SupConLoss()(torch.zeros(len(singers), 4), torch.tensor(singers, dtype=torch.int64))
