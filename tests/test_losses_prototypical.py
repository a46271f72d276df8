"""The angular prototypical loss against a loop written from the paper (Chung et al. 2020)."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from singerid.losses import PrototypicalLoss


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def unit(n, dim=6, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, dim, generator=generator, dtype=dtype), dim=1)


def naive(vectors, singers, n_queries, w):
    """Section 2.2: the prototype is the mean of the support; S = w · cos; cross-entropy."""
    names = sorted(set(singers))
    members = {name: [i for i, s in enumerate(singers) if s == name] for name in names}
    prototypes = [
        np.mean([vectors[i] for i in members[name][:-n_queries]], axis=0) for name in names
    ]
    losses = []
    for j, name in enumerate(names):
        for i in members[name][-n_queries:]:
            similarities = [w * float(vectors[i] @ p / np.linalg.norm(p)) for p in prototypes]
            losses.append(math.log(sum(map(math.exp, similarities))) - similarities[j])
    return sum(losses) / len(losses)


LAYOUTS = {
    "grouped": [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
    "unequal": [0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2],
    "shuffled": [4, 9, 4, -2, 9, 9, -2, 4, -2, -2, 9, -2],
}


@pytest.mark.parametrize("n_queries", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_prototypical_equals_the_loops(layout, n_queries):
    singers = LAYOUTS[layout]
    vectors = unit(len(singers), seed=n_queries)
    for w in (10.0, 2.5):
        loss = PrototypicalLoss(n_queries, w).double()
        found = loss(vectors, torch.tensor(singers)).item()
        expected = naive(vectors.numpy(), singers, n_queries, w)
        assert found == pytest.approx(expected, rel=1e-9)


def test_pairs_are_as_in_the_paper():
    """Two partials a singer: the one predicts the other's singer."""
    vectors = unit(8, seed=3)
    support, query = vectors[0::2], vectors[1::2]
    expected = F.cross_entropy(10 * query @ support.T, torch.arange(4)).item()
    singers = torch.arange(4).repeat_interleave(2)
    found = PrototypicalLoss().double()(vectors, singers).item()
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n_queries", [1, 2])
def test_gradients_are_those_of_finite_differences(n_queries):
    singers = torch.tensor(LAYOUTS["shuffled"])
    vectors = unit(len(singers), seed=1).requires_grad_()
    loss = PrototypicalLoss(n_queries, init_scale=3.0).double()
    scale = loss.scale.detach().clone().requires_grad_()

    def of(vectors, scale):
        return torch.func.functional_call(loss, {"scale": scale}, (vectors, singers))

    assert torch.autograd.gradcheck(of, (vectors, scale))


def test_names_of_singers_and_order_of_their_blocks_do_not_matter():
    singers, vectors = torch.arange(4).repeat_interleave(3), unit(12, seed=4)
    loss = PrototypicalLoss().double()
    expected = loss(vectors, singers).item()
    renamed = torch.tensor([17, -3, 5, 900])[singers]
    assert loss(vectors, renamed).item() == pytest.approx(expected, rel=1e-12)
    blocks = torch.tensor([9, 10, 11, 3, 4, 5, 0, 1, 2, 6, 7, 8])
    assert loss(vectors[blocks], singers[blocks]).item() == pytest.approx(expected, rel=1e-12)


def test_known_values():
    perfect = torch.eye(4, dtype=torch.float64).repeat_interleave(3, dim=0)
    singers = torch.arange(4).repeat_interleave(3)
    found = PrototypicalLoss().double()(perfect, singers).item()
    assert found == pytest.approx(math.log(1 + 3 * math.exp(-10)), rel=1e-9)
    collapsed = torch.ones(12, 4, dtype=torch.float64) / 2
    found = PrototypicalLoss().double()(collapsed, singers).item()
    assert found == pytest.approx(math.log(4), rel=1e-12)
    assert PrototypicalLoss()(unit(3, dtype=torch.float32), torch.zeros(3)).item() == 0


@pytest.mark.parametrize("kind", ["identical", "zero", "opposite"])
def test_degenerate_vectors_give_finite_losses_and_gradients(kind):
    vectors = {
        "identical": unit(1, dtype=torch.float32).repeat(9, 1),
        "zero": torch.zeros(9, 6),
        "opposite": unit(1, dtype=torch.float32) * torch.tensor([[1.0], [-1.0], [1.0]] * 3),
    }[kind].requires_grad_()
    loss = PrototypicalLoss()
    value = loss(vectors, torch.arange(3).repeat_interleave(3))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(vectors.grad).all()
    assert torch.isfinite(loss.scale.grad)


@pytest.mark.parametrize("scale", [-1.0, 0.0])
def test_a_scale_that_wandered_below_zero_does_not_pull_singers_together(scale):
    singers = torch.arange(4).repeat_interleave(2)
    found = PrototypicalLoss(init_scale=scale).double()(unit(8), singers).item()
    assert found == pytest.approx(math.log(4), abs=1e-5)


@pytest.mark.parametrize(
    ("singers", "n_queries"), [([0, 0, 1], 1), ([0, 0, 1, 1, 1], 2), ([], 1), ([3], 1)]
)
def test_too_few_are_refused(singers, n_queries):
    wanted = f"needs at least {n_queries + 1} embeddings of each singer"
    with pytest.raises(ValueError, match=wanted):
        PrototypicalLoss(n_queries)(
            torch.zeros(len(singers), 4), torch.tensor(singers, dtype=torch.int64)
        )
