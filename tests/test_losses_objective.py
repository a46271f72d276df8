"""The objective: the losses of a line, each as it is alone, and their weighted sum."""

import pytest
import torch
from torch.nn import functional as F

from singerid.losses import (
    AAMLoss,
    GE2ELoss,
    Objective,
    PredictionLoss,
    PrototypicalLoss,
    SupConLoss,
    build_loss,
    similarity_matrix,
)
from singerid.losses import objective as module
from singerid.objective_line import LOSSES
from singerid.training_sections import LossSettings

ALL = "aam + 0.5 ge2e + 2 prediction + 0.25 prototypical + 3 supcon"


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def batch(n_singers=4, n_partials=3, dim=6, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(n_singers * n_partials, dim, generator=generator, dtype=dtype)
    return F.normalize(vectors, dim=1), torch.arange(n_singers).repeat_interleave(n_partials)


def objective_of(line, seed=0, **settings):
    torch.manual_seed(seed)
    return Objective(LossSettings(objective=line, **settings), dim=6, n_singers=7)


@pytest.mark.parametrize("name", LOSSES)
def test_a_single_loss_is_the_objective(name):
    objective = objective_of(name)
    found = objective(*batch())
    assert set(found) == {name, "objective"}
    assert found["objective"].item() == found[name].item()
    alone = objective.losses[name](*batch()).item()
    assert found[name].item() == pytest.approx(alone, rel=1e-6)


def test_the_sum_is_weighted():
    objective = objective_of(ALL)
    vectors, singers = batch()
    found = objective(vectors.requires_grad_(), singers)
    weights = {"aam": 1, "ge2e": 0.5, "prediction": 2, "prototypical": 0.25, "supcon": 3}
    assert objective.weights == weights
    assert list(found) == [*weights, "objective"]
    expected = sum(weight * found[name].item() for name, weight in weights.items())
    assert found["objective"].item() == pytest.approx(expected, rel=1e-6)
    (whole,) = torch.autograd.grad(found["objective"], vectors, retain_graph=True)
    parts = sum(
        weight * torch.autograd.grad(found[name], vectors, retain_graph=True)[0]
        for name, weight in weights.items()
    )
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-6)


def test_every_parameter_is_trained():
    objective = objective_of(ALL, sub_centers=2)
    objective(*batch(7))["objective"].backward()
    names = {name for name, _ in objective.named_parameters()}
    assert names == {
        "losses.aam.weight", "losses.ge2e.scale", "losses.ge2e.bias", "losses.prototypical.scale",
        "losses.prediction.head.weight", "losses.prediction.head.bias",
    }  # fmt: skip
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0 or name == "losses.ge2e.bias", name


def test_settings_reach_the_losses():
    settings = LossSettings(
        ge2e="contrast", init_scale=3.0, init_bias=-1.0, margin=0.4, margin_warmup=0.1, scale=20.0,
        sub_centers=3, hard_singers=2, hard_margin=0.05, n_queries=2, temperature=0.5,
    )  # fmt: skip
    built = {name: build_loss(name, settings, dim=6, n_singers=7) for name in LOSSES}
    aam = built["aam"]
    assert isinstance(aam, AAMLoss)
    assert aam.weight.shape == (7, 3, 6)
    assert (aam.margin, aam.margin_warmup, aam.scale) == (0.4, 0.1, 20.0)
    assert (aam.hard_singers, aam.hard_margin) == (2, 0.05)
    ge2e = built["ge2e"]
    assert isinstance(ge2e, GE2ELoss)
    assert (ge2e.variant, ge2e.scale.item(), ge2e.bias.item()) == ("contrast", 3.0, -1.0)
    assert isinstance(built["prototypical"], PrototypicalLoss)
    assert (built["prototypical"].n_queries, built["prototypical"].scale.item()) == (2, 3.0)
    assert isinstance(built["supcon"], SupConLoss)
    assert built["supcon"].temperature == 0.5
    assert isinstance(built["prediction"], PredictionLoss)
    assert built["prediction"].head.weight.shape == (7, 6)


def test_the_margin_follows_the_progress():
    objective = objective_of("aam", margin=0.4, margin_warmup=0.5)
    values = [objective(*batch(), progress=p)["aam"].item() for p in (0.0, 0.25, 0.5, 1.0)]
    assert values[0] < values[1] < values[2] == values[3]
    assert objective(*batch())["aam"].item() == values[3]


def test_similarities_are_computed_once_and_can_be_shared(monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return similarity_matrix(*arguments)

    monkeypatch.setattr(module, "similarity_matrix", counted)
    objective = objective_of(ALL)
    alone = objective(*batch())
    assert len(calls) == 1
    shared = objective(*batch(), similarities=similarity_matrix(*batch()))
    assert len(calls) == 1
    assert shared["objective"].item() == alone["objective"].item()
    objective_of("aam + supcon")(*batch())
    assert len(calls) == 1


def test_autocast_does_not_make_the_losses_coarse():
    objective = objective_of(ALL)
    vectors, singers = batch()
    plain = objective(vectors, singers)
    with torch.autocast("cpu", torch.bfloat16):
        found = objective(vectors, singers)
        coarse = objective(vectors.bfloat16(), singers)
    for name, value in found.items():
        assert value.dtype == torch.float32
        assert value.item() == plain[name].item()
        assert coarse[name].dtype == torch.float32
    rounded = objective(vectors.bfloat16().float(), singers)
    assert coarse["objective"].item() == rounded["objective"].item()


def test_double_stays_double():
    found = objective_of("ge2e + supcon").double()(*batch(dtype=torch.float64))
    assert found["objective"].dtype == torch.float64


def test_a_single_singer_where_it_is_defined():
    objective = objective_of("aam + prediction + prototypical + supcon")
    found = objective(*batch(1, 4))
    assert all(torch.isfinite(value) for value in found.values())
    assert found["prototypical"].item() == 0
    with pytest.raises(ValueError, match="two singers with at least two embeddings each"):
        objective_of("ge2e")(*batch(1, 4))


def test_descended_the_objective_falls():
    objective = objective_of("aam + 0.5 prototypical", scale=10.0, margin_warmup=0.5)
    vectors, singers = batch(5, 4, seed=3)
    vectors = vectors.requires_grad_()
    optimizer = torch.optim.Adam([vectors, *objective.parameters()], lr=0.05)
    for step in range(150):
        optimizer.zero_grad()
        value = objective(F.normalize(vectors, dim=1), singers, step / 150)["objective"]
        value.backward()
        optimizer.step()
    logits = objective.losses["aam"].logits(F.normalize(vectors, dim=1))
    assert logits.argmax(dim=1).tolist() == singers.tolist()
    assert value.item() < 0.1
