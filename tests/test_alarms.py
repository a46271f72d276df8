"""Alarms: each speaks when it should, says what was found, and is silent in a healthy training."""

import json
import math

import pytest

from singerid.alarms import Alarms, Cycle

HEALTHY = {
    "effective_rank": 20.0, "dead_dimensions": 0.0, "zero_vectors": 0.0,
    "within_variance": 0.2, "between_variance": 0.5,
}  # fmt: skip


def healthy(i, **changes):
    """Cycle i of a training that goes well."""
    values = {
        "step": 40 * (i + 1), "loss": 3 * math.exp(-i / 10) + 0.1, "accuracy": 1 - 0.8 ** (i + 1),
        "eer": 0.1 + 0.4 * math.exp(-i / 8) + 0.01 * (-1) ** i, "gradient_norm": 1 + 0.3 * (i % 3),
        "learning_rate": 1e-3, "health": HEALTHY,
        "seconds": {"data": 2.0, "step": 100.0, "validation": 20.0},
    }  # fmt: skip
    return Cycle(**values | changes)


def lines_of(cycles, **settings):
    """Every line, with the number of the cycle that it was said in."""
    alarms = Alarms(64, **{"gradient_clip": 3.0} | settings)
    return [(i, line) for i, cycle in enumerate(cycles) for line in alarms.cycle(cycle)]


def one_line(cycles, **settings):
    ((i, line),) = lines_of(cycles, **settings)
    return i, line


def test_a_healthy_training_is_silent():
    assert lines_of(healthy(i) for i in range(100)) == []


def test_unknown_figures_raise_no_alarm():
    assert lines_of(Cycle(i, 3 * 0.9**i) for i in range(60)) == []


@pytest.mark.parametrize(
    ("health", "found"),
    [
        (HEALTHY | {"effective_rank": 1.2}, "effective rank 1.2, variance 0.7"),
        (HEALTHY | {"within_variance": 1e-5, "between_variance": 1e-5},
         "effective rank 20, variance 2e-05"),
    ],
)  # fmt: skip
def test_collapse(health, found):
    i, line = one_line(healthy(i, eer=0.4, health=health if i > 1 else HEALTHY) for i in range(9))
    assert i == 4  # the third such cycle
    assert line == (
        "step 200: the embeddings have collapsed: all singers get nearly the same vector; found "
        f"{found}; lower --train.learning_rate, raise --batch.n_singers, or take another "
        "--loss.objective"
    )
    assert lines_of(healthy(i, eer=0.1, health=health) for i in range(9)) == []  # two singers, say


def test_chance():
    i, line = one_line(healthy(i, eer=0.2 if i < 3 else 0.46, accuracy=None) for i in range(8))
    assert i == 7
    assert line.startswith("step 320: validation is at chance; found EER 46.0% after 8 cycles; ")
    assert "inputs/" in line
    assert lines_of(healthy(i, eer=0.46 if i % 5 else 0.44, accuracy=None) for i in range(20)) == []


def test_zero_vectors():
    cycles = [healthy(0), healthy(1, health={"zero_vectors": 0.25}), healthy(2)]
    assert one_line(cycles) == (
        1, "step 80: embeddings without a direction: the ReLU left nothing of them; found 25% of "
        "the validation recordings; start again with --encoder.relu false",
    )  # fmt: skip


def test_dead_dimensions():
    cycles = [healthy(i, health=HEALTHY | {"dead_dimensions": 16.0}) for i in range(5)]
    i, line = one_line(cycles)
    assert i == 2
    assert "dimensions of the embedding are dead: the same for every recording; found 16" in line
    assert "of 64; start again with --encoder.relu false, or lower --train.learning_r" in line
    assert lines_of(healthy(i, health=HEALTHY | {"dead_dimensions": 15.0}) for i in range(5)) == []


def test_overfitting():
    rates = [0.4, 0.3, 0.2, 0.15, 0.15, 0.15] + [0.15 + 0.01 * i for i in range(1, 12)]
    i, line = one_line(healthy(i, eer=rate) for i, rate in enumerate(rates))
    assert rates[i] == pytest.approx(0.20)  # five cycles after the best, whose mean is 0.15
    assert "the training overfits: singers it knows get better, others worse" in line
    assert "found training accuracy 66.7% → 89.1%, validation EER 15.0% → 19.0%; stop: " in line
    # Without a training that goes on to learn, it is not overfitting.
    assert lines_of(
        healthy(i, eer=rate, accuracy=0.9 - 0.01 * i) for i, rate in enumerate(rates)
    ) == []  # fmt: skip


def test_gradients_explode():
    i, line = one_line(healthy(i, gradient_norm=1.0 if i < 10 else 11.0) for i in range(12))
    assert i == 10
    assert "gradients explode; found norm 11, before 1; lower --train.learning_rate or" in line
    small = lines_of(healthy(i, gradient_norm=0.1 if i < 10 else 2.5) for i in range(12))
    assert small == []  # below the clipping, it does no harm
    assert one_line(healthy(i, gradient_norm=1.0 if i < 10 else math.inf) for i in range(12))


def test_gradients_vanish():
    i, line = one_line(
        healthy(i, gradient_norm=1.0 if i < 7 else 9e-4, loss=3.0 - 0.05 * i) for i in range(12)
    )
    assert i == 7
    assert "gradients vanish: the network no longer learns; found norm 0.0009, at first 1" in line
    learned = lines_of(
        healthy(i, gradient_norm=1.0 if i < 7 else 9e-4, loss=3.0 if i < 7 else 0.1)
        for i in range(12)
    )
    assert learned == []


def test_divergence():
    losses = [3, 2, 1, 1, 1, 1.2, 1.6, 2, 2.5]
    i, line = one_line(healthy(i, loss=x, accuracy=0.9 / x) for i, x in enumerate(losses))
    assert i == 7
    assert "the training diverges; found loss 1 → 1.6; lower --train.learning_rate; the" in line
    # A margin that grows makes the loss rise, but nobody is mistaken more often.
    assert lines_of(healthy(i, loss=x, accuracy=0.8) for i, x in enumerate(losses)) == []


def stuck(i, jump=0.0, **changes):
    """No progress from cycle 5 on."""
    loss = 2 + jump * (-1) ** i + max(0, 5 - i)
    return healthy(i, **{"loss": loss, "accuracy": 0.3} | changes)


@pytest.mark.parametrize(
    ("jump", "norm", "advice"),
    [
        (0.0, 0.5, "it is smooth, which speaks for a rate too low: multiply"),
        (0.3, 0.5, "it jumps about, which speaks for a rate too high: divide"),
        (0.0, 3.5, "it jumps about, which speaks for a rate too high: divide"),  # always clipped
    ],
)
def test_plateau(jump, norm, advice):
    i, line = one_line(stuck(i, jump, gradient_norm=norm) for i in range(40))
    assert 24 <= i <= 26
    assert "the training loss stands still; found 2 for 20 cycles at a learning rate of 0." in line
    assert f"{advice} --train.learning_rate by 3" in line


@pytest.mark.parametrize(
    "changes",
    [
        lambda i: {"learning_rate": 1e-3 * 0.9**i},  # a schedule ends as it should
        lambda i: {"accuracy": 0.01 * i},  # a margin grows
        lambda i: {"accuracy": 0.95},
        lambda i: {"loss": 0.2 if i > 4 else 5.0},
    ],
)
def test_no_plateau(changes):
    assert lines_of(stuck(i, **changes(i)) for i in range(45)) == []


def test_starvation():
    slow = {"data": 40.0, "step": 50.0, "validation": 10.0}
    i, line = one_line([healthy(0), healthy(1, seconds=slow), healthy(2, seconds=slow)], workers=2)
    assert i == 1
    assert line == (
        "step 80: the training waits for its batches; found 40% of the time; raise "
        "--train.workers (now 2) up to the number of free cores, or train from a store"
    )
    assert lines_of([healthy(0, seconds={"data": 25.0, "step": 75.0})]) == []
    assert lines_of([healthy(0, seconds={"data": 9.0, "step": 1.0})]) == []  # a tiny run


def test_a_resumed_run_says_what_the_uninterrupted_one_says():
    cycles = [stuck(i, eer=0.47, health=HEALTHY | {"effective_rank": 1.1}) for i in range(40)]
    whole, expected = Alarms(64, 3.0), []
    for cycle in cycles:
        expected.append(whole.cycle(cycle))
    assert sum(map(len, expected)) >= 3
    for stop in (1, 3, 20):
        first = Alarms(64, 3.0)
        said = [first.cycle(cycle) for cycle in cycles[:stop]]
        second = Alarms(64, 3.0)
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert said + [second.cycle(cycle) for cycle in cycles[stop:]] == expected
        assert second.state_dict() == whole.state_dict()
        assert second.said == whole.said


def test_the_state_does_not_depend_on_the_clock():
    slow, fast = Alarms(64), Alarms(64)
    slow.cycle(healthy(0, seconds={"data": 5.0, "step": 6.0}))
    fast.cycle(healthy(0, seconds={"data": 1.0, "step": 2.0}))
    assert slow.state_dict() == fast.state_dict()
