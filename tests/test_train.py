"""Training: what it optimizes, keeps and logs; and that stopping and going on change nothing."""

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from singerid import keeper, run, task, train
from singerid.checkpoint import load_encoder, load_weights_only
from singerid.config import ORIGINAL, merge, resolve
from singerid.data import TrainingData
from singerid.errors import CheckpointError, SingeridError, StoreError
from singerid.keeper import Interrupted
from singerid.listing import Listing
from singerid.task import SingerTask
from singerid.train import fit, resolve_precision

TINY = {
    "batch": {"n_singers": 2, "n_partials": 2, "partial_frames": 32},
    "encoder": {"hidden_size": 16, "n_layers": 1, "dim": 8, "relu": False},
    "train": {
        "steps": 10, "train_iters": 4, "val_iters": 2, "log_every": 2, "precision": "32",
        "learning_rate": 0.01,
    },
}  # fmt: skip
TIMES = ["share_data", "share_step", "share_validation", "partials_per_second"]
TRIALS = ["trial_eer", "trial_min_dcf"]
HEALTH = [
    "zero_vectors", "effective_rank", "dead_dimensions", "within_variance", "between_variance",
    "between_share", "uniformity", "alignment",
]  # fmt: skip
SHOWN = ["ge2e_loss", "prediction_loss", "total_loss", "accuracy", "prediction_accuracy"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(run, "save_input_pictures", lambda *a: None)  # see test_run.py


def settings(**sections):
    return resolve(merge(ORIGINAL, TINY, sections))


def tiny(**train):
    return settings(train=train)


class Runner:
    """Starts runs and goes on with them, keeping what was said."""

    def __init__(self, path, store):
        self.path, self.store = path, store
        self.said: list[str] = []
        self.cycles: list[tuple] = []

    def __call__(self, config=None, resume=False, **more):
        config = config or tiny()
        if not resume:
            run.make_run_folder(self.path, False)
            run.describe_run(self.path, config, TrainingData.from_store(config, self.store), "", "")
        more = {"say": self.said.append, "on_cycle": lambda *a: self.cycles.append(a)} | more
        data = TrainingData.from_store(config, self.store)
        return fit(config, data, self.path, resume=resume, **more)

    def state(self):
        return load_weights_only(run.latest_checkpoint(self.path))

    def log(self):
        return [json.loads(line) for line in (self.path / "log.jsonl").open(encoding="utf-8")]


@pytest.fixture
def runner(tmp_path, store):
    return Runner(tmp_path / "run", store)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, store):
    """A run that nothing disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "save_input_pictures", lambda *a: None)
        torch.set_num_threads(1)
        runner = Runner(tmp_path_factory.mktemp("runs") / "whole", store)
        assert runner().step == 10
    return runner


def assert_same(a, b, where=""):
    """Equal bit for bit, through all levels."""
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype, where
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), where
        for i, pair in enumerate(zip(a, b, strict=True)):
            assert_same(*pair, f"{where}[{i}]")
    else:
        assert a == b, where


def assert_same_run(a, b, extra_lines=()):
    """Weights, optimizer, callbacks, log and encoder of `a` equal those of `b`.

    Args:
        a: a run that was stopped.
        b: one that was not.
        extra_lines: steps at which `a` had its limit, which it logs.
    """
    for part in ("global_step", "state_dict", "optimizer_states", "callbacks"):
        assert_same(a.state()[part], b.state()[part], part)
    assert [line for line in a.log() if line["step"] not in extra_lines] == b.log()
    files = [load_encoder(runner.path) for runner in (a, b)]
    assert_same(files[0].encoder.state_dict(), files[1].encoder.state_dict(), "encoder")
    assert files[0].fingerprint == files[1].fingerprint
    assert len(run.checkpoints(a.path)) == 1
    assert not list(a.path.glob("*.part"))


def at(wanted, number):
    """A signal at a step."""

    def on_step(step, figures):
        if step == wanted:
            os.kill(os.getpid(), number)

    return on_step


def only(store, keep):
    """A store, as if it had been completed for some of its recordings."""
    rows = np.flatnonzero([keep(recording) for recording in store.recordings])
    other = copy.copy(store)
    other.listing = Listing(store.listing.take(rows))
    other.rows, other.n_frames = store.rows[rows], store.n_frames[rows]
    return other


def without_valid(store):
    return only(store, lambda r: r.split != "valid")


# going on


def test_step_limits_change_nothing(runner, whole):
    """In mid-cycle and mid-window, then at the end of a cycle, then as the whole run."""
    for steps in (3, 8, 10):
        outcome = runner(tiny(steps=steps), resume=steps > 3)
        assert (outcome.step, outcome.reason) == (steps, "reached the step limit")
        assert os.path.exists(runner.path / f"ckpt_{steps}.ckpt")
    assert_same_run(runner, whole, extra_lines=[3])
    assert [(line["step"], line["split"]) for line in runner.log() if line["step"] == 3] == [
        (3, "train"), (3, "valid"),
    ]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupts_change_nothing(runner, whole, number):
    """After the first step, at the end of a cycle, in mid-cycle, at the end of the next."""
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    for step in (1, 4, 7, 8):
        message = f"run: stopped at step {step}, everything is saved; go on with: singerid train --"
        with pytest.raises(Interrupted, match=message):
            runner(resume=step > 1, on_step=at(step, number))
        assert run.latest_checkpoint(runner.path).name == f"ckpt_{step}.ckpt"
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
        assert (runner.path / "encoder.safetensors").exists() == (step >= 4)
    assert runner(resume=True).step == 10
    assert_same_run(runner, whole)
    assert runner.said.count("stopping after this step; press Ctrl-C again to stop at once") == 4


@pytest.mark.parametrize("steps", [3, 4])
def test_interrupt_at_the_last_step_is_the_end(runner, steps):
    outcome = runner(tiny(steps=steps), on_step=at(steps, signal.SIGINT))
    assert outcome.step == steps
    assert run.latest_checkpoint(runner.path).name == f"ckpt_{steps}.ckpt"
    assert [cycle[0] for cycle in runner.cycles] == [steps]


def test_second_interrupt_stops_at_once(runner):
    def on_step(step, figures):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        runner(on_step=on_step)
    assert run.checkpoints(runner.path) == []
    assert signal.getsignal(signal.SIGINT) == handler


PROGRAM = """
import os, sys
import test_train
from singerid.store import Store
from pathlib import Path
store, path = Store(sys.argv[1]), Path(sys.argv[2])
test_train.run.save_input_pictures = lambda *a: None
test_train.torch.set_num_threads(1)
runner = test_train.Runner(path, store)
runner(on_step=lambda step, figures: os.kill(os.getpid(), 9) if step == 7 else 0)
"""


@pytest.mark.slow
def test_kill_loses_at_most_a_cycle(runner, whole, store):
    arguments = [sys.executable, "-c", PROGRAM, str(store.path), str(runner.path)]
    killed = subprocess.run(arguments, cwd=os.path.dirname(__file__), capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert [line["step"] for line in runner.log()] == [2, 4, 4, 6]
    assert run.latest_checkpoint(runner.path).name == "ckpt_4.ckpt"
    assert runner(resume=True).step == 10
    assert_same_run(runner, whole)
    assert scalars(runner.path) == pytest.approx(scalars(whole.path))


def test_workers_change_nothing(tmp_path, store):
    """Without validation, whose workers would double the seconds that starting them takes."""
    alone, helped = (Runner(tmp_path / name, without_valid(store)) for name in ("a", "b"))
    assert alone().step == helped(tiny(workers=1)).step == 10
    assert_same_run(helped, alone)


def test_outside_the_main_thread(runner, whole):
    """Where no signals can be handled."""
    thread = threading.Thread(target=runner)
    thread.start()
    thread.join()
    assert_same_run(runner, whole)


def test_killed_before_the_last_encoder_is_kept(runner, whole, monkeypatch):
    """The last step is in the middle of a cycle: its state counts once all else is saved."""

    class Killed(BaseException):
        pass

    def killed(self, task, step, figures):
        if step == 10:
            raise Killed
        real(self, task, step, figures)

    real = keeper.Keeper._save_encoder
    with monkeypatch.context() as patch:
        patch.setattr(keeper.Keeper, "_save_encoder", killed)
        with pytest.raises(Killed):
            runner()
    assert run.latest_checkpoint(runner.path).name == "ckpt_8.ckpt"
    runner(resume=True)
    assert_same_run(runner, whole)


def test_the_last_checkpoint_but_one_goes_also_after_a_kill(runner):
    runner(tiny(steps=4))
    shutil.copy(runner.path / "ckpt_4.ckpt", runner.path / "ckpt_2.ckpt")
    with pytest.raises(SingeridError, match="already at step 4"):
        runner(tiny(steps=4), resume=True)
    assert [file.name for file in runner.path.glob("*.ckpt")] == ["ckpt_4.ckpt"]


def test_a_missing_card_is_written(runner):
    runner(tiny(steps=4))
    (runner.path / "MODEL_CARD.md").unlink()
    with pytest.raises(SingeridError, match="already at step 4"):
        runner(tiny(steps=4), resume=True)
    assert (runner.path / "MODEL_CARD.md").exists()


def test_seed_makes_another_run(runner, whole):
    runner(tiny(seed=1))
    assert runner.log()[0] != whole.log()[0]


def test_resumed_run_obeys_new_settings(runner):
    # Nothing is learned: the second cycle is no better than the first.
    frozen = {"learning_rate": 1e-12, "train_iters": 2, "patience": 1}
    assert runner(tiny(**frozen)).reason == "no improvement in 1 cycles"
    assert runner(tiny(**frozen | {"patience": 3, "learning_rate": 1e-11}), resume=True).step == 8
    assert runner.state()["optimizer_states"][0]["param_groups"][0]["lr"] == 1e-11


def test_what_cannot_be_gone_on_with(runner, whole):
    with pytest.raises(SingeridError, match=r"already at step 10; raise the limit: --train.s"):
        whole(resume=True)
    on = tiny(steps=20)
    name = r"ckpt_10\.ckpt: was made with other"
    with pytest.raises(CheckpointError, match=f"{name} encoder; give the run's own store and enco"):
        whole(settings(train={"steps": 20}, encoder={"dim": 4}), resume=True)
    with pytest.raises(CheckpointError, match=f"{name} encoder; "):
        whole(settings(train={"steps": 20}, encoder={"relu": True}), resume=True)
    first = whole.store.recordings[0].id
    other = TrainingData.from_store(on, only(whole.store, lambda r: r.id != first))
    with pytest.raises(CheckpointError, match=f"{name} data; "):
        fit(on, other, whole.path, resume=True, say=runner.said.append)
    runner.path.mkdir()
    (runner.path / "config.yaml").touch()
    with pytest.raises(CheckpointError, match="run: run has no checkpoint to go on from"):
        runner(on, resume=True)
    data = (whole.path / "ckpt_10.ckpt").read_bytes()
    (runner.path / "ckpt_10.ckpt").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=r"ckpt_10.ckpt: cannot be loaded as plain weights"):
        runner(on, resume=True)


# stopping, and the best


def test_patience(runner):
    config = tiny(learning_rate=1e-12, train_iters=2, patience=2, steps=100)
    outcome = runner(config)  # no cycle is better than the first
    assert (outcome.step, outcome.reason) == (6, "no improvement in 2 cycles")
    assert [best for *_, best in runner.cycles] == [True, False, False]
    assert load_encoder(runner.path).provenance["step"] == 2
    assert run.latest_checkpoint(runner.path).name == "ckpt_6.ckpt"


def test_threshold(runner):
    outcome = runner(tiny(train_iters=2, patience=1, threshold=10.0, steps=100))
    assert outcome.step == 4  # no improvement is ever large enough


def test_best_encoder_is_that_of_the_lowest_validation_loss(runner, tmp_path, store):
    outcome = runner(tiny(steps=16, train_iters=2, learning_rate=0.05))
    losses = {line["step"]: line["ge2e_loss"] for line in runner.log() if line["split"] == "valid"}
    assert len(losses) == 8
    best = min(losses, key=losses.get)
    assert best < 16  # else the test would say nothing
    found = load_encoder(runner.path)
    assert found.provenance["step"] == best
    assert outcome.best == pytest.approx(losses[best], abs=1e-6)
    assert found.provenance["valid"]["ge2e_loss"] == outcome.best
    other = Runner(tmp_path / "other", store)
    other(tiny(steps=best, train_iters=2, learning_rate=0.05))
    state = other.state()["state_dict"]
    weights = {k.removeprefix("encoder."): w for k, w in state.items() if k.startswith("encoder.")}
    assert_same(dict(found.encoder.state_dict()), weights)
    saved = load_weights_only(runner.path / "saved_model.pt")
    assert saved["step"] == best
    assert_same(saved["model_state"], weights)


def test_encoder_file_says_what_it_is(runner, store):
    runner(tiny(steps=1), provenance={"command": "x"})
    found = load_encoder(runner.path)
    assert found.spec == store.spec
    assert found.partial_frames == 32
    assert found.settings == tiny().encoder
    assert found.provenance["command"] == "x"


# figures


def scalars(path, times=False):
    """Values by tag and step; times, which differ from run to run, only if asked."""
    events = EventAccumulator(str(path), size_guidance={"scalars": 0})
    events.Reload()
    return {
        (tag, event.step): event.value
        for tag in events.Tags()["scalars"] if "/" in tag and tag.startswith("time/") == times
        for event in events.Scalars(tag)
    }  # fmt: skip


def test_tensorboard_and_log_hold_the_same_figures(whole):
    from_log = {
        (f"{line['split']}/{name}", line["step"]): value
        for line in whole.log() for name, value in line.items() if name not in ("step", "split")
    }  # fmt: skip
    assert scalars(whole.path) == pytest.approx(from_log, abs=2e-6)
    assert {tag for tag, _ in from_log} == {
        *(f"{split}/{name}" for split in ("train", "valid") for name in SHOWN), "valid/eer",
        "train/objective", "train/gradient_norm",
        *(f"valid/{name}" for name in [*TRIALS, *HEALTH]),
    }  # fmt: skip
    steps = [(line["step"], line["split"]) for line in whole.log()]
    assert steps == [
        (2, "train"), (4, "train"), (4, "valid"), (6, "train"), (8, "train"), (8, "valid"),
        (10, "train"), (10, "valid"),
    ]  # fmt: skip


def test_tensorboard_shows_where_the_time_goes(whole):
    found = scalars(whole.path, times=True)
    assert {tag for tag, _ in found} == {f"time/{name}" for name in TIMES}
    for step in {step for _, step in found}:
        shares = [found[f"time/{name}", step] for name in TIMES if name.startswith("share")]
        assert sum(shares) == pytest.approx(1, abs=1e-5)


def test_figures_mean_what_they_say(whole):
    for line in whole.log():
        total = line["ge2e_loss"] + line["prediction_loss"]
        assert line["total_loss"] == pytest.approx(total, abs=3e-6)
        # Two singers with two partials a batch: shares are quarters of a batch, two batches.
        assert line["accuracy"] * 8 == pytest.approx(round(line["accuracy"] * 8), abs=1e-4)
        assert 0 <= line["accuracy"] <= 1
    eers = [line["eer"] for line in whole.log() if line["split"] == "valid"]
    assert all(0 <= eer <= 1 for eer in eers)
    # The means of a cycle are those of its logged windows, which are equally long.
    lines = [line for line in whole.log() if line["split"] == "train"]
    for cycle, first in zip(whole.cycles, (0, 2, 4), strict=True):
        windows = lines[first : first + 2]
        for name in SHOWN:
            mean = sum(line[name] for line in windows) / len(windows)
            assert cycle[1][name] == pytest.approx(mean, abs=2e-6)


def test_steps_are_reported(runner):
    seen = []
    runner(tiny(steps=5, log_every=3), on_step=lambda step, figures: seen.append((step, figures)))
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5]
    assert [step for step, figures in seen if figures] == [3, 4, 5]
    assert runner.said[-1] == (
        "encoder 6,408 parameters, 2 training singers, precision 32, steps 0 to 5"
    )


# what is optimized


def gradients(objective, store, **loss):
    torch.manual_seed(0)
    config = settings(loss={"objective": objective, **loss})
    task = SingerTask(config, store.spec, 5)
    features = torch.rand(2, 3, 20, 80, generator=torch.Generator().manual_seed(1))
    task.training_step((features, torch.tensor([3, 1])), 0).backward()
    # A loss's parameters by the same name, whether it is optimized or only measured.
    grads = {name.split("losses.")[-1]: p.grad for name, p in task.named_parameters()}
    return {name.removeprefix("measured."): gradient for name, gradient in grads.items()}


def test_objective_decides_what_the_encoder_follows(store):
    of = {name: gradients(name, store) for name in ("ge2e", "prediction", "total")}
    for objective, found in of.items():
        for name, gradient in found.items():
            assert gradient is not None, (objective, name)
            assert gradient.abs().max() > 0 or name.endswith("ge2e.bias"), (objective, name)
    for name, total in of["total"].items():
        if name.startswith("encoder."):
            torch.testing.assert_close(total, of["ge2e"][name] + of["prediction"][name])
            assert not torch.allclose(of["ge2e"][name], of["prediction"][name])
        else:  # the losses' own parameters always follow their own loss
            assert_same(total, of["ge2e"][name])
            assert_same(total, of["prediction"][name])


def test_loss_settings_arrive(store):
    config = settings(loss={"ge2e": "contrast", "init_scale": 7.0, "init_bias": -2.0})
    task = SingerTask(config, store.spec, 2)
    assert (task.ge2e.variant, task.ge2e.scale.item(), task.ge2e.bias.item()) == (
        "contrast", 7.0, -2.0,
    )  # fmt: skip
    small, large = (gradients("total", store, scale_gradient=f) for f in (0.1, 1.0))
    assert small["ge2e.scale"] == pytest.approx(0.1 * large["ge2e.scale"].item())


@pytest.mark.parametrize("clip", [1e-3, 1e6])
def test_gradient_norm_is_clipped(runner, store, clip, monkeypatch):
    """One step of plain descent at rate 1 moves the parameters by exactly the gradient."""
    monkeypatch.setattr(
        SingerTask, "configure_optimizers", lambda self: torch.optim.SGD(self.parameters(), lr=1)
    )
    config = tiny(steps=1, gradient_clip=clip, learning_rate=1.0)
    runner(config)
    torch.manual_seed(config.train.seed)
    before = SingerTask(config, store.spec, 2).state_dict()
    after = runner.state()["state_dict"]
    moved = torch.cat([(after[name] - before[name]).flatten() for name in before]).norm().item()
    if clip < 1:
        assert moved == pytest.approx(clip, rel=1e-3)
    else:
        assert moved > 0.01


def test_it_learns(runner):
    runner(tiny(steps=80, train_iters=40, log_every=5, learning_rate=0.004))
    losses = [line["ge2e_loss"] for line in runner.log() if line["split"] == "train"]
    assert losses[0] > 0.55  # near log 2, the loss of a guess
    assert losses[-1] < 0.5 * losses[0]
    assert runner.log()[-2]["prediction_loss"] < runner.log()[0]["prediction_loss"]


def test_bf16(runner, whole):
    runner(tiny(precision="bf16"))
    first, exact = runner.log()[0], whole.log()[0]
    assert first["total_loss"] == pytest.approx(exact["total_loss"], rel=0.05)
    assert first != exact
    state = runner.state()["state_dict"]
    assert all(w.dtype == torch.float32 for w in state.values())


def test_resolve_precision(monkeypatch):
    def choose(wanted, network, batch, n_dims):
        assert (wanted, network.lstm.hidden_size, batch, n_dims) == ("auto", 16, 4, 80)
        return "chosen"

    monkeypatch.setattr(train, "choose_precision", choose)
    config = tiny(precision="auto")
    assert resolve_precision(config).train.precision == "chosen"
    assert config.train.precision == "auto"


# what can go wrong


@pytest.mark.parametrize(("call", "step", "kept"), [(8, 6, ["ckpt_4.ckpt"]), (5, 4, [])])
def test_loss_that_is_not_finite_ends_the_run(runner, whole, call, step, kept, monkeypatch):
    """In training (8: four steps, two validation steps, two steps) and in validation (5)."""
    true, calls = task.GE2ELoss.from_similarities, []

    def broken(self, cosines, own):
        calls.append(1)
        loss = true(self, cosines, own)
        return loss * float("nan") if len(calls) == call else loss

    monkeypatch.setattr(task.GE2ELoss, "from_similarities", broken)
    message = f"^step {step}: the loss is not finite; found nan; lower --train.learning_rate; the "
    with pytest.raises(SingeridError, match=message):
        runner()
    assert [file.name for file in run.checkpoints(runner.path)] == kept
    if kept:
        monkeypatch.undo()
        monkeypatch.setattr(run, "save_input_pictures", lambda *a: None)
        runner(resume=True)
        assert_same_run(runner, whole)


def test_without_validation_singers(tmp_path, store):
    """The last weights are kept; cycles end, checkpoints are saved, interrupts obeyed as ever."""
    one, two = (Runner(tmp_path / name, without_valid(store)) for name in ("one", "two"))
    assert one(tiny(patience=1)).step == 10
    assert one.said[0] == (
        "warning: no validation singers: no early stopping, the last weights are kept"
    )
    assert {line["split"] for line in one.log()} == {"train"}
    assert [(step, bool(figures), valid) for step, figures, valid, _ in one.cycles] == [
        (4, True, {}), (8, True, {}), (10, True, {}),
    ]  # fmt: skip
    assert load_encoder(one.path).provenance["step"] == 10
    for step in (2, 4):
        with pytest.raises(Interrupted, match=f"stopped at step {step}"):
            two(resume=step > 2, on_step=at(step, signal.SIGINT))
    assert load_encoder(two.path).provenance["step"] == 4
    for steps in (5, 8, 10):
        two(tiny(steps=steps), resume=True)
        assert load_encoder(two.path).provenance["step"] == steps
    assert_same_run(two, one, extra_lines=[5])


def test_kill_without_validation_loses_at_most_a_cycle(tmp_path, store):
    runner = Runner(tmp_path / "run", without_valid(store))

    def on_step(step, figures):
        if step == 7:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        runner(on_step=on_step)
    assert run.latest_checkpoint(runner.path).name == "ckpt_4.ckpt"


def test_too_few_singers(runner):
    runner.store = only(runner.store, lambda r: r.split != "train")
    with pytest.raises(StoreError, match="split 'train' has too few singers; found 0"):
        runner()


def test_warnings_are_passed_on(runner):
    runner(settings(batch={"n_singers": 5}, train={"steps": 1}))
    assert runner.said[:2] == [
        f"warning: {split}: 2 singers, fewer than batch.n_singers 5; batches hold 2"
        for split in ("train", "valid")
    ]


def test_full_disk_keeps_the_last_checkpoint(runner, whole, monkeypatch):
    true = torch.save

    def save(values, file, *more, **named):
        if isinstance(values, dict) and values.get("global_step") == 8:
            raise OSError(28, "No space left on device")
        return true(values, file, *more, **named)

    monkeypatch.setattr(torch, "save", save)
    message = "ckpt_8.ckpt: checkpoint cannot be written; found .*No space left on device; free sp"
    with pytest.raises(SingeridError, match=message):
        runner()
    assert not list(runner.path.glob("*.part"))
    assert [file.name for file in run.checkpoints(runner.path)] == ["ckpt_4.ckpt"]
    monkeypatch.undo()
    monkeypatch.setattr(run, "save_input_pictures", lambda *a: None)
    runner(resume=True)
    assert_same_run(runner, whole)


# optimization


MODERN = {
    "optimizer": "adamw", "weight_decay": 0.1, "warmup_steps": 3, "schedule": "cosine",
    "accumulate": 2, "average": 0.9, "monitor": "trial_eer",
}  # fmt: skip


def test_modern_training_goes_on_exactly(tmp_path, store):
    """Schedule, accumulation, average and margin are functions of the step or saved with it."""

    def made(name, stops):
        runner = Runner(tmp_path / name, store)
        loss = {"objective": "aam + 0.5 prototypical", "margin_warmup": 0.5}
        for i, stop in enumerate(stops):
            calls = []

            def interrupt(step, figures, stop=stop, calls=calls):
                calls.append(step)
                if step == stop:
                    os.kill(os.getpid(), signal.SIGINT)

            config = settings(train=MODERN, loss=loss)
            try:
                runner(config, resume=i > 0, on_step=interrupt)
            except Interrupted:
                assert calls[-1] == stop
        return runner

    whole, parts = made("whole", [None]), made("parts", [3, 6, None])
    assert_same_run(parts, whole)
    train = [line for line in whole.log() if line["split"] == "train"]
    assert {"aam_loss", "prototypical_loss", "objective", "gradient_norm"} <= train[0].keys()
    for line in train:
        total = line["aam_loss"] + 0.5 * line["prototypical_loss"]
        assert line["objective"] == pytest.approx(total, abs=1e-5)


def test_average_is_what_is_kept(runner):
    runner(tiny(average=0.9))
    state, kept = runner.state()["state_dict"], load_encoder(runner.path).encoder.state_dict()
    for name, value in kept.items():
        assert not torch.equal(value, state[f"encoder.{name}"])


def test_the_trials_choose_the_encoder(runner):
    outcome = runner(tiny(monitor="trial_eer", steps=24, patience=3))
    valid = [line for line in runner.log() if line["split"] == "valid"]
    eers = [line["trial_eer"] for line in valid]
    assert outcome.best == pytest.approx(min(eers), abs=1e-6)
    saved = load_encoder(runner.path).provenance
    assert saved["step"] == valid[eers.index(min(eers))]["step"]
    assert outcome.reason == "reached the step limit" or len(eers) - eers.index(min(eers)) == 4
