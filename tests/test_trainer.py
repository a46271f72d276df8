"""The Trainer's set-up: what Lightning is asked for, and scaled gradients in fp16."""

import lightning as L
import pytest
import torch

from singerid import run
from singerid.config import resolve
from singerid.errors import ConfigError
from singerid.precision import choose_precision
from singerid.task import SingerTask
from singerid.train import resolve_precision
from singerid.trainer import build_trainer
from test_train import Runner, assert_same_run, settings, without_valid


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(run, "save_input_pictures", lambda *a: None)


def fp16(**train):
    """A network that a CPU runs in fp16, too: its LSTM does not."""
    encoder = {"kind": "resnet", "depth": 10, "channels": 4, "dim": 8, "stem_stride": 2}
    return settings(encoder=encoder, train={"precision": "fp16", **train})


def test_fp16_needs_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError) as caught:
        resolve_precision(fp16())
    assert str(caught.value) == (
        "train.precision: fp16 needs a GPU; found none; expected 32, bf16 or auto"
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_precision("fp16", None, 4, 5) == "fp16"


@pytest.mark.parametrize("precision", ["32", "bf16", "fp16"])
def test_16_mixed_is_asked_for_in_fp16_only(monkeypatch, precision):
    asked = {}
    monkeypatch.setattr(L, "Trainer", lambda **more: asked.update(more))
    train = resolve({"train": {"precision": precision, "accumulate": 3}}).train
    build_trainer(train, [], [], validated=False)
    assert asked["accumulate_grad_batches"] == 3
    assert asked["limit_val_batches"] == 0
    assert (asked["plugins"] is not None) == (precision == "fp16")
    if precision == "fp16":
        (plugin,) = asked["plugins"]
        assert plugin.precision == "16-mixed"
        assert isinstance(plugin.scaler, torch.amp.GradScaler)
        assert plugin.scaler.is_enabled()
        with plugin.forward_context():
            assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("clip", [1e-3, 1e6])
def test_scaled_gradients_are_unscaled_before_they_are_clipped(tmp_path, store, clip, monkeypatch):
    """One step of plain descent at rate 1 moves the parameters by the gradient, not 64 times.

    On a CPU, whose scaler works as a GPU's does.
    """
    true = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda **more: true(init_scale=64.0, **more))
    monkeypatch.setattr(
        SingerTask, "configure_optimizers", lambda self: torch.optim.SGD(self.parameters(), lr=1)
    )
    moved, norms = {}, {}
    for precision in ("32", "fp16"):
        config = fp16(steps=1, gradient_clip=clip, learning_rate=1.0, precision=precision)
        runner = Runner(tmp_path / precision, without_valid(store))
        runner(config)
        torch.manual_seed(config.train.seed)
        before = dict(SingerTask(config, store.spec, 2).named_parameters())
        after = runner.state()["state_dict"]
        moved[precision] = torch.cat(
            [(after[name] - before[name]).detach().flatten() for name in before]
        )
        norms[precision] = runner.log()[0]["gradient_norm"]
    assert norms["fp16"] == pytest.approx(norms["32"], rel=0.05)
    assert moved["fp16"].norm() == pytest.approx(min(clip, norms["fp16"]), rel=1e-3)
    cosine = torch.cosine_similarity(moved["32"], moved["fp16"], dim=0)
    assert cosine > 0.99
    assert not torch.equal(moved["32"], moved["fp16"])


def test_a_step_with_too_large_gradients_is_left_out(tmp_path, store, monkeypatch):
    true = torch.amp.GradScaler
    monkeypatch.setattr(
        torch.amp, "GradScaler", lambda **more: true(init_scale=2.0**126, growth_interval=2, **more)
    )
    whole, parts = (Runner(tmp_path / name, without_valid(store)) for name in ("whole", "parts"))
    whole(fp16(steps=8, log_every=1))
    norms = [line["gradient_norm"] for line in whole.log()]
    assert norms[0] == 0  # left out, and not averaged as infinite
    assert all(0 <= norm < float("inf") for norm in norms)
    scale = whole.state()["ScaledGradients"]["scale"]
    assert 0 < scale < 2.0**126
    parts(fp16(steps=3, log_every=1))
    parts(fp16(steps=8, log_every=1), resume=True)  # the scale, too, goes on where it was
    assert_same_run(parts, whole)
    assert parts.state()["ScaledGradients"] == whole.state()["ScaledGradients"]
