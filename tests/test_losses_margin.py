"""AAM against a loop with arc cosines, pytorch-metric-learning's, and what its schedule does."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning import losses as reference
from torch.nn import functional as F

from singerid.losses import AAMLoss
from singerid.losses.margin import add_margin, subtract_margin


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def unit(n, dim=6, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, dim, generator=generator, dtype=dtype), dim=1)


def loss_of(dim=6, n_singers=5, seed=0, **options):
    torch.manual_seed(seed)
    return AAMLoss(dim, n_singers, **options).double()


def naive_aam(vectors, singers, weight, margin, scale, hard_singers=0, hard_margin=0.0):
    """Deng et al. 2019, eq. 3, with the nearest of the sub-centers (2020) and inter-top-k."""
    losses = []
    for vector, singer in zip(vectors, singers, strict=True):
        angles = []
        for centers in weight:
            cosines = [float(vector @ c / np.linalg.norm(c)) for c in centers]
            angles.append(math.acos(max(cosines)))
        others = sorted((a, k) for k, a in enumerate(angles) if k != singer)
        logits = [scale * math.cos(a) for a in angles]
        for angle, k in others[:hard_singers]:
            logits[k] = scale * math.cos(angle - hard_margin)
        logits[singer] = scale * math.cos(angles[singer] + margin)
        losses.append(math.log(sum(map(math.exp, logits))) - logits[singer])
    return sum(losses) / len(losses)


@pytest.mark.parametrize("sub_centers", [1, 3])
@pytest.mark.parametrize("hard_singers", [0, 1, 3])
@pytest.mark.parametrize("margin", [0.0, 0.2, 0.5])
def test_aam_equals_the_loops(margin, hard_singers, sub_centers):
    singers = [0, 1, 1, 4, 4, 4, 2, 0]
    vectors = unit(len(singers), seed=3)
    loss = loss_of(
        margin=margin, scale=12.0, sub_centers=sub_centers, hard_singers=hard_singers,
        hard_margin=0.1,
    )  # fmt: skip
    penalty = 0.1 if margin else 0.0  # both are off at the start of the schedule
    expected = naive_aam(
        vectors.numpy(), singers, loss.weight.detach().numpy(), margin, 12.0, hard_singers, penalty
    )
    assert loss(vectors, torch.tensor(singers)).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("sub_centers", [1, 3])
@pytest.mark.parametrize("margin", [0.0, 0.2, 0.5])
def test_aam_equals_pytorch_metric_learning(margin, sub_centers):
    vectors = unit(40, dim=16, seed=1).requires_grad_()
    singers = torch.arange(40) % 7
    ours = loss_of(16, 7, margin=margin, scale=30.0, sub_centers=sub_centers)
    theirs = reference.SubCenterArcFaceLoss(
        num_classes=7, embedding_size=16, margin=math.degrees(margin), scale=30.0,
        sub_centers=sub_centers,
    )  # fmt: skip
    theirs.W.data = ours.weight.data.flatten(0, 1).T.clone()
    found, expected = ours(vectors, singers), theirs(vectors, singers)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    (gradient,) = torch.autograd.grad(found, vectors)
    (wanted,) = torch.autograd.grad(expected, vectors)
    # Theirs normalizes the embeddings once more: compare along the sphere.
    rows = vectors.detach()
    along = gradient - (gradient * rows).sum(dim=1, keepdim=True) * rows
    torch.testing.assert_close(along, wanted, rtol=1e-7, atol=1e-10)
    torch.testing.assert_close(ours.logits(vectors), theirs.get_logits(vectors))


@given(
    cosine=st.floats(-1, 1), margin=st.floats(0, math.pi / 2), step=st.floats(1e-6, 0.5)
)  # fmt: skip
def test_margins_move_the_angle_and_keep_the_order(cosine, margin, step):
    cosines = torch.tensor([cosine, max(-1.0, cosine - step)], dtype=torch.float64)
    farther, nearer = add_margin(cosines, margin), subtract_margin(cosines, margin)
    assert (farther <= cosines + 1e-7).all()
    assert (nearer >= cosines - 1e-7).all()
    assert farther[1] <= farther[0] + 1e-7
    assert nearer[1] <= nearer[0] + 1e-7
    angle = math.acos(cosine)
    if angle + margin < math.pi:
        assert farther[0].item() == pytest.approx(math.cos(angle + margin), abs=1e-7)
    if angle > margin:
        assert nearer[0].item() == pytest.approx(math.cos(angle - margin), abs=1e-7)


def test_the_nearest_branch_of_the_penalty_is_continuous():
    for margin in (0.06, 0.5):
        edge = torch.tensor([math.cos(margin) - 1e-9, math.cos(margin) + 1e-9], dtype=torch.float64)
        below, above = subtract_margin(edge, margin).tolist()
        assert below == pytest.approx(1, abs=1e-6)
        assert above == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("hard_singers", [0, 2])
def test_embeddings_on_a_class_vector_have_finite_gradients(sign, hard_singers):
    """The slope of the arc cosine is infinite there; float32 rounds beyond 1."""
    loss = AAMLoss(8, 4, margin=0.3, hard_singers=hard_singers)
    vectors = (sign * F.normalize(loss.weight.detach()[:, 0], dim=1)).requires_grad_()
    value = loss(vectors * (1 + 1e-6), torch.arange(4))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(vectors.grad).all()
    assert torch.isfinite(loss.weight.grad).all()
    assert vectors.grad.abs().max() > 0 or sign > 0


@pytest.mark.parametrize("options", [{}, {"sub_centers": 3}, {"hard_singers": 2}])
def test_gradients_are_those_of_finite_differences(options):
    singers = torch.tensor([0, 3, 2, 2, 1])
    vectors = unit(5, seed=2).requires_grad_()
    loss = loss_of(margin=0.3, scale=8.0, **options)
    weight = loss.weight.detach().clone().requires_grad_()

    def of(vectors, weight):
        return torch.func.functional_call(loss, {"weight": weight}, (vectors, singers))

    assert torch.autograd.gradcheck(of, (vectors, weight))


def test_the_margin_grows_over_the_share_of_the_training():
    loss = AAMLoss(4, 3, margin=0.4, margin_warmup=0.2)
    found = [loss.margin_at(p) for p in (-0.1, 0.0, 0.05, 0.1, 0.2, 0.5, 1.0)]
    assert found == pytest.approx([0, 0, 0.1, 0.2, 0.4, 0.4, 0.4])
    assert AAMLoss(4, 3, margin=0.4).margin_at(0.0) == 0.4
    vectors, singers = unit(6, 4, dtype=torch.float32), torch.tensor([0, 1, 2, 0, 1, 2])
    values = [loss(vectors, singers, p).item() for p in (0.0, 0.1, 0.2, 1.0)]
    assert values == sorted(values)
    assert values[0] < values[1] < values[2] == values[3]
    plain = F.cross_entropy(loss.logits(vectors), singers).item()
    assert values[0] == pytest.approx(plain, rel=1e-6)


def test_a_singer_is_told_without_the_margin():
    loss = loss_of(16, 9, sub_centers=2, scale=10.0)
    vectors = F.normalize(loss.weight.detach()[:, 1], dim=1)
    logits = loss.logits(vectors)
    assert logits.shape == (9, 9)
    assert logits.argmax(dim=1).tolist() == list(range(9))
    assert logits.diagonal().tolist() == pytest.approx([10.0] * 9)


def test_one_singer_costs_nothing():
    """A softmax over one class; there is no wrong singer to penalize either."""
    loss = AAMLoss(6, 1, hard_singers=5)
    assert loss(unit(3, dtype=torch.float32), torch.zeros(3, dtype=torch.int64)).item() == 0


def test_length_of_class_vectors_does_not_matter():
    loss = loss_of(sub_centers=2)
    vectors, singers = unit(6, seed=5), torch.arange(6) % 5
    before = loss(vectors, singers).item()
    with torch.no_grad():
        loss.weight *= torch.rand(5, 2, 1) + 0.5
    assert loss(vectors, singers).item() == pytest.approx(before, rel=1e-12)


def test_a_margin_separates_more():
    """Descended, the angle to the other singers is larger with a margin than without."""
    found = {}
    for margin in (0.0, 0.5):
        start = (unit(1, 4) + 0.3 * unit(12, 4, seed=7)).requires_grad_()
        singers = torch.arange(12) % 4
        loss = loss_of(4, 4, margin=margin, scale=10.0)
        optimizer = torch.optim.Adam([start, loss.weight], lr=0.05)
        for _ in range(60):
            optimizer.zero_grad()
            loss(F.normalize(start, dim=1), singers).backward()
            optimizer.step()
        cosines = loss.logits(F.normalize(start, dim=1)).detach() / 10
        own = cosines.gather(1, singers[:, None])[:, 0]
        others = cosines.scatter(1, singers[:, None], -1).amax(dim=1)
        found[margin] = float((own - others).min())
    assert found[0.5] > found[0.0] + 0.05
