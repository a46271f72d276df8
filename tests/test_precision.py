"""The choice of arithmetic: what is asked for, or what was measured to be faster."""

import itertools

import pytest
import torch

from singerid import precision
from singerid.encoders import build_encoder
from singerid.precision import autocast, choose_precision, flushed_denormals
from singerid.training_sections import EncoderSettings

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


class Timed(torch.nn.Module):
    """A network that takes as long as it is told, by a clock of its own."""

    def __init__(self, bf16_seconds):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.seconds = {True: bf16_seconds, False: 1.0}
        self.now, self.calls = 0.0, itertools.count()
        self.shapes = set()

    def __deepcopy__(self, memo):
        return self  # it has the clock

    def forward(self, features):
        bf16 = torch.is_autocast_enabled("cpu")
        # The first passes are slow, as warm-ups are; and something else disturbs one of bf16.
        stall = 100 if next(self.calls) in (0, 3) else 0
        self.now += self.seconds[bf16] + stall
        self.shapes.add(features.shape[::2])
        return self.weight * features


@pytest.mark.parametrize("wanted", ["32", "bf16"])
def test_a_wish_is_followed(wanted):
    assert choose_precision(wanted, None, 4, 5) == wanted  # nothing is measured


@pytest.mark.parametrize(
    ("bf16_seconds", "expected"), [(0.3, "bf16"), (0.8, "bf16"), (0.9, "32"), (5.0, "32")]
)
def test_auto_takes_the_faster(bf16_seconds, expected, monkeypatch):
    network = Timed(bf16_seconds)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: network.now)
    assert choose_precision("auto", network, 4, 5) == expected
    assert network.shapes == {(4, 5)}


def test_auto_on_this_machine_leaves_the_network_alone():
    network = build_encoder(
        EncoderSettings(kind="lstm", normalization="none", hidden_size=16, n_layers=2, dim=8), 10
    )
    before = {name: w.clone() for name, w in network.state_dict().items()}
    assert choose_precision("auto", network, 8, 10) in ("32", "bf16")
    assert all(torch.equal(w, before[name]) for name, w in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16"), (False, "32")])
def test_auto_on_a_gpu(supported, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    assert choose_precision("auto", None, 4, 5) == expected


def test_denormals_are_flushed_within_and_only_there():
    tiny = torch.tensor([1e-40])

    def bits():
        return (tiny * torch.ones(1)).view(torch.int32).item()

    before = bits()
    assert before != 0
    with flushed_denormals():
        assert bits() == 0
    assert bits() == before
    with pytest.raises(MemoryError), flushed_denormals():
        raise MemoryError
    assert bits() == before


@pytest.mark.parametrize("bf16", [True, False])
def test_autocast(bf16):
    matrix = torch.ones(4, 4)
    with autocast(bf16, CPU):
        product = matrix @ matrix
    assert product.dtype == (torch.bfloat16 if bf16 else torch.float32)
