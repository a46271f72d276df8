"""Optimization: learning rates by hand, who decays, and the average against a naive loop."""

import copy
import math

import pytest
import torch

from singerid.optimization import WeightAverage, build_optimizer, learning_rate_at
from singerid.training_sections import TrainSettings


def small_network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


def test_learning_rate_rises_and_falls():
    settings = TrainSettings(learning_rate=0.1, warmup_steps=4, schedule="cosine", steps=24)
    rates = [learning_rate_at(step, settings) for step in range(25)]
    assert rates[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert rates[4] == pytest.approx(0.1)
    assert rates[14] == pytest.approx(0.05)  # halfway down
    assert rates[24] == pytest.approx(0)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert learning_rate_at(1000, settings) == pytest.approx(0)


def test_learning_rate_stays():
    settings = TrainSettings(learning_rate=0.1, warmup_steps=2, steps=10, schedule="constant")
    assert [learning_rate_at(step, settings) for step in (0, 1, 2, 9, 99)] == [
        0.05,
        0.1,
        0.1,
        0.1,
        0.1,
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)],
)  # fmt: skip
def test_only_matrices_decay_and_frozen_weights_stay(name, kind):
    network = small_network()
    network[0].bias.requires_grad = False
    settings = TrainSettings(optimizer=name, weight_decay=0.3, learning_rate=0.01)
    optimizer = build_optimizer(network, settings)
    assert type(optimizer) is kind
    decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert decays == {
        id(network[0].weight): 0.3, id(network[1].weight): 0.0, id(network[1].bias): 0.0
    }  # fmt: skip
    assert all(group["lr"] == 0.01 for group in optimizer.param_groups)


def test_adamw_shrinks_weights_without_a_gradient():
    network = small_network()
    settings = TrainSettings(optimizer="adamw", weight_decay=0.5, learning_rate=0.1)
    optimizer = build_optimizer(network, settings)
    before = network[0].weight.detach().clone()
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(network[0].weight, before * (1 - 0.1 * 0.5))
    assert torch.equal(network[1].weight, torch.ones(4))


@pytest.mark.parametrize("precision", ["32", "fp16"])
def test_adamw_is_that_of_the_paper(precision):
    """Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019, algorithm 2."""
    network = small_network()
    settings = TrainSettings(
        optimizer="adamw", weight_decay=0.5, learning_rate=0.1, precision=precision
    )
    optimizer = build_optimizer(network, settings)
    weight = network[0].weight
    expected, m, v = weight.detach().double(), 0.0, 0.0
    for t in range(1, 6):
        for parameter in network.parameters():
            parameter.grad = torch.randn_like(parameter)
        g = weight.grad.double()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        root = (v / (1 - 0.999**t)).sqrt() + 1e-8
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * m / (1 - 0.9**t) / root
        optimizer.step()
    torch.testing.assert_close(weight.detach().double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_kernels_are_fused_unless_gradients_are_scaled(name):
    for precision, fused in {"32": True, "bf16": True, "fp16": False}.items():
        settings = TrainSettings(optimizer=name, precision=precision)
        optimizer = build_optimizer(small_network(), settings)
        assert [group["fused"] for group in optimizer.param_groups] == [fused, fused]
        # What torch's and Lightning's scalers ask for.
        assert getattr(optimizer, "_step_supports_amp_scaling", False) is fused


def test_average_is_that_of_a_naive_loop():
    network, decay = small_network(), 0.6
    average = WeightAverage(network, decay)
    expected = copy.deepcopy(network.state_dict())
    for n in range(12):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        network(torch.randn(5, 3))  # moves the batch norm's statistics
        average.update_parameters(network)
        share = min(decay, (1 + n) / (10 + n))
        for name, value in network.state_dict().items():
            if not value.is_floating_point():
                continue
            # The first update takes the weights as they are.
            old = value if n == 0 else expected[name]
            expected[name] = share * old + (1 - share) * value
    found = average.module.state_dict()
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(found[name], value)
    assert not math.isclose(float(found["0.weight"][0, 0]), float(network[0].weight[0, 0]))


def test_average_leaves_the_network_alone():
    network = small_network()
    before = copy.deepcopy(network.state_dict())
    WeightAverage(network, 0.9).update_parameters(network)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
