"""GE2E against loops written from the paper (Wan et al. 2018), equation by equation."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from singerid.losses import GE2ELoss, similarity_matrix


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def unit(n, dim=6, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, dim, generator=generator, dtype=dtype), dim=1)


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def naive_cosines(vectors, singers):
    """Eq. 9 with the centroids of eq. 1 and 8, without w and b."""
    vectors, names = np.asarray(vectors), sorted(set(singers))
    rows = []
    for i, singer in enumerate(singers):
        row = []
        for name in names:
            members = [
                vectors[k] for k, s in enumerate(singers)
                if s == name and not (name == singer and k == i)
            ]  # fmt: skip
            row.append(cosine(vectors[i], sum(members) / len(members)))
        rows.append(row)
    return rows


def naive_ge2e(vectors, singers, variant, w=10.0, b=-5.0):
    names = sorted(set(singers))
    losses = []
    for row, singer in zip(naive_cosines(vectors, singers), singers, strict=True):
        similarities = [w * c + b for c in row]  # eq. 5
        j = names.index(singer)
        others = [s for k, s in enumerate(similarities) if k != j]
        if variant == "softmax":  # eq. 6
            losses.append(-similarities[j] + math.log(sum(map(math.exp, similarities))))
        else:  # eq. 7
            sigmoid = [1 / (1 + math.exp(-s)) for s in others]
            losses.append(1 - 1 / (1 + math.exp(-similarities[j])) + max(sigmoid))
    return sum(losses) / len(losses)


LAYOUTS = {
    "equal": [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
    "unequal": [0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2],
    "shuffled": [4, 9, 4, 2, 9, 9, 2, 4, 2, 2, 9, 2],
    "smallest": [1, 0, 0, 1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("variant", ["softmax", "contrast"])
def test_ge2e_equals_the_loops(layout, variant):
    singers = LAYOUTS[layout]
    vectors = unit(len(singers), seed=len(layout))
    for w, b in ((10.0, -5.0), (3.5, 1.25)):
        loss = GE2ELoss(variant, w, b).double()
        found = loss(vectors, torch.tensor(singers)).item()
        assert found == pytest.approx(naive_ge2e(vectors, singers, variant, w, b), rel=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_similarity_matrix_equals_the_loops(layout):
    singers = LAYOUTS[layout]
    vectors = unit(len(singers), seed=5)
    cosines, own = similarity_matrix(vectors, torch.tensor(singers))
    np.testing.assert_allclose(cosines, naive_cosines(vectors, singers), rtol=1e-9, atol=1e-12)
    assert own.tolist() == [sorted(set(singers)).index(s) for s in singers]


def test_two_by_two_by_hand():
    """Two singers on the axes, one embedding of the second turned by 60 degrees."""
    half, root = 0.5, math.sqrt(3) / 2
    vectors = torch.tensor([[1, 0], [1, 0], [0, 1], [root, half]], dtype=torch.float64)
    cosines, own = similarity_matrix(vectors, torch.tensor([0, 0, 1, 1]))
    # The second singer's centroid lies halfway between 30 and 90 degrees.
    expected = [[1, half], [1, half], [0, half], [root, half]]
    np.testing.assert_allclose(cosines, expected, atol=1e-12)
    assert own.tolist() == [0, 0, 1, 1]
    softmax = [
        math.log(1 + math.exp(-5)), math.log(1 + math.exp(-5)),
        math.log(1 + math.exp(-5)), math.log(1 + math.exp(10 * (root - half))),
    ]  # fmt: skip
    found = GE2ELoss().double()(vectors, torch.tensor([0, 0, 1, 1])).item()
    assert found == pytest.approx(sum(softmax) / 4, rel=1e-12)


@pytest.mark.parametrize("variant", ["softmax", "contrast"])
def test_perfect_separation(variant):
    vectors = torch.eye(4, dtype=torch.float64).repeat_interleave(3, dim=0)
    singers = torch.arange(4).repeat_interleave(3)
    found = GE2ELoss(variant).double()(vectors, singers).item()
    sigmoid = 1 / (1 + math.exp(-5))
    expected = math.log(1 + 3 * math.exp(-10)) if variant == "softmax" else 2 * (1 - sigmoid)
    assert found == pytest.approx(expected, rel=1e-9)
    assert GE2ELoss(variant, 1000.0, -500.0).double()(vectors, singers).item() < 1e-9


def test_chance_is_the_log_of_the_number_of_singers():
    vectors = torch.ones(12, 6) / math.sqrt(6)
    loss = GE2ELoss()(vectors, torch.arange(4).repeat_interleave(3))
    assert loss.item() == pytest.approx(math.log(4), abs=1e-5)


@pytest.mark.parametrize("variant", ["softmax", "contrast"])
def test_order_of_embeddings_and_names_of_singers_do_not_matter(variant):
    singers = torch.tensor(LAYOUTS["unequal"])
    vectors = unit(len(singers), seed=3)
    loss = GE2ELoss(variant).double()
    expected = loss(vectors, singers).item()
    order = torch.randperm(len(singers), generator=torch.Generator().manual_seed(0))
    renamed = torch.tensor([17, -3, 5])[singers]
    assert loss(vectors[order], singers[order]).item() == pytest.approx(expected, rel=1e-12)
    assert loss(vectors, renamed).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("variant", ["softmax", "contrast"])
def test_gradients_are_those_of_finite_differences(variant):
    singers = torch.tensor(LAYOUTS["shuffled"])
    vectors = unit(len(singers), seed=1).requires_grad_()
    loss = GE2ELoss(variant, scale_gradient=1.0).double()
    assert torch.autograd.gradcheck(lambda v: loss(v, singers), (vectors,))

    def of_parameters(scale, bias):
        return torch.func.functional_call(loss, {"scale": scale, "bias": bias}, (vectors, singers))

    scale, bias = loss.scale.detach().clone(), loss.bias.detach().clone()
    assert torch.autograd.gradcheck(of_parameters, (scale.requires_grad_(), bias.requires_grad_()))


@pytest.mark.parametrize("variant", ["softmax", "contrast"])
def test_gradients_of_scale_and_bias_are_scaled_down(variant):
    singers = torch.tensor(LAYOUTS["equal"])
    vectors = unit(len(singers), seed=2).requires_grad_()
    gradients = {}
    for factor in (1.0, 0.01):
        vectors.grad = None
        loss = GE2ELoss(variant, scale_gradient=factor).double()
        loss(vectors, singers).backward()
        gradients[factor] = loss.scale.grad.item(), loss.bias.grad.item(), vectors.grad.clone()
    assert gradients[1.0][0] != 0
    assert gradients[0.01][0] == pytest.approx(0.01 * gradients[1.0][0])
    assert gradients[0.01][1] == pytest.approx(0.01 * gradients[1.0][1], abs=1e-15)
    assert torch.equal(gradients[0.01][2], gradients[1.0][2])
    assert GE2ELoss().scale.item() == 10
    assert GE2ELoss().bias.item() == -5


@pytest.mark.parametrize("variant", ["softmax", "contrast"])
@pytest.mark.parametrize("kind", ["identical", "zero", "opposite", "one zero"])
def test_degenerate_vectors_give_finite_losses_and_gradients(variant, kind):
    vectors = {
        "identical": unit(1, dtype=torch.float32).repeat(8, 1),
        "zero": torch.zeros(8, 6),
        "opposite": unit(1, dtype=torch.float32).repeat(8, 1) * torch.tensor([[1.0], [-1.0]] * 4),
        "one zero": torch.cat([torch.zeros(1, 6), unit(7, dtype=torch.float32)]),
    }[kind].requires_grad_()
    loss = GE2ELoss(variant)
    value = loss(vectors, torch.arange(4).repeat_interleave(2))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(vectors.grad).all()
    assert torch.isfinite(loss.scale.grad)


@pytest.mark.parametrize("singers", [[0, 0, 0], [0, 0, 1], [0, 1], []])
def test_too_few_are_refused(singers):
    with pytest.raises(ValueError, match="two singers with at least two embeddings each"):
        similarity_matrix(torch.zeros(len(singers), 4), torch.tensor(singers, dtype=torch.int64))


def test_loss_falls_when_descended():
    """Five singers whose embeddings start in a heap come apart."""
    vectors = (0.1 * unit(20, dim=16, seed=6) + unit(1, dim=16)).requires_grad_()
    singers = torch.arange(5).repeat_interleave(4)
    loss = GE2ELoss().double()
    first = loss(F.normalize(vectors, dim=1), singers).item()
    optimizer = torch.optim.Adam([vectors], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        value = loss(F.normalize(vectors, dim=1), singers)
        value.backward()
        optimizer.step()
    assert first == pytest.approx(math.log(5), rel=0.1)
    assert value.item() < 0.01
