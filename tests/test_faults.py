"""What ends a training from outside: one line, what to do, and the last checkpoint intact."""

import errno
import io
import multiprocessing
import os
import shutil
import signal

import numpy as np
import pytest
import torch

from singerid import run, task
from singerid.checkpoint import load_weights_only
from singerid.errors import CheckpointError, SingeridError, StoreError
from singerid.faults import explain
from singerid.store import Store
from test_train import Runner, assert_same_run, settings, tiny, without_valid


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(run, "save_input_pictures", lambda *a: None)


@pytest.fixture
def runner(tmp_path, store):
    return Runner(tmp_path / "run", without_valid(store))


def cpu_error():
    """What PyTorch itself says for more than there is."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    return caught.value


def numpy_error():
    with pytest.raises(MemoryError) as caught:
        np.empty(10**17)
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        cpu_error(), numpy_error(), MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)  # fmt: skip
def test_out_of_memory_is_explained(tmp_path, error):
    (tmp_path / "ckpt_4.ckpt").touch()
    found = explain(error, tmp_path, 7)
    first = (str(error) or "MemoryError").splitlines()[0]
    assert str(found) == (
        f"step 7: memory does not suffice; found {first}; lower --batch.n_singers, "
        "--batch.n_partials or --batch.partial_frames (and raise --train.accumulate instead), "
        f"then: singerid train --resume {tmp_path}"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("DataLoader worker (pid 12) is killed by signal: Killed. ",
         "is killed by signal: Killed."),
        ("DataLoader worker (pid(s) 12, 34) exited unexpectedly", "exited unexpectedly"),
    ],
)  # fmt: skip
def test_dead_worker_is_explained(tmp_path, text, found):
    line = str(explain(RuntimeError(text), tmp_path, 1))
    assert line == (
        f"step 1: a process that makes batches has died; found {found}; most often memory is "
        "short: lower --train.workers (0 for none), or give a container more shared memory; then: "
        "start again with --overwrite (there is no checkpoint yet)"
    )


def test_what_is_not_known_stays_as_it_is(tmp_path, runner):
    assert explain(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), tmp_path, 1) is None
    error = RuntimeError("something else")

    def on_step(step, figures):
        raise error

    with pytest.raises(RuntimeError) as caught:
        runner(on_step=on_step)
    assert caught.value is error


def test_out_of_memory_in_a_step(runner, store, tmp_path, monkeypatch):
    """In the sixth: the checkpoint of the fourth is whole, and a smaller batch goes on from it."""
    true, calls = task.SingerTask.training_step, []

    def hungry(self, *arguments):
        calls.append(1)
        if len(calls) == 6:
            torch.empty(10**15)
        return true(self, *arguments)

    monkeypatch.setattr(task.SingerTask, "training_step", hungry)
    message = r"^step 6: memory does not suffice; found .*you tried to allocate.*; lower --batch.n"
    with pytest.raises(SingeridError, match=message):
        runner()
    monkeypatch.undo()
    monkeypatch.setattr(run, "save_input_pictures", lambda *a: None)
    assert [file.name for file in run.checkpoints(runner.path)] == ["ckpt_4.ckpt"]
    assert load_weights_only(run.latest_checkpoint(runner.path))["global_step"] == 4
    kept = shutil.copytree(runner.path, tmp_path / "kept")
    runner(resume=True)
    whole = Runner(tmp_path / "whole", runner.store)
    whole()
    assert_same_run(runner, whole)
    smaller = Runner(kept, runner.store)
    smaller(settings(batch={"partial_frames": 16}, train={"accumulate": 2}), resume=True)
    lines = [line for line in smaller.said if line.startswith("changed")]
    assert lines == [
        "changed since: batch.partial_frames 32 → 16", "changed since: train.accumulate 1 → 2",
    ]  # fmt: skip


def test_a_worker_dies(runner):
    def on_step(step, figures):
        if step == 5:
            (worker,) = multiprocessing.active_children()
            os.kill(worker.pid, signal.SIGKILL)

    with pytest.raises(SingeridError) as caught:
        runner(tiny(workers=1, steps=10**6, train_iters=4), on_step=on_step)
    line = str(caught.value)
    assert "a process that makes batches has died; found " in line
    assert line.endswith(f"then: singerid train --resume {runner.path}")
    assert len(run.checkpoints(runner.path)) == 1


def test_a_shard_is_missing(runner, store, tmp_path):
    """Before a run, and for a store whose shards are looked for in the middle of one."""
    path = shutil.copytree(store.path, tmp_path / "store")
    runner.store = without_valid(Store(path))
    (shard,) = path.glob("features-*.f32")
    shard.rename(tmp_path / "away")
    message = rf"{shard.name}: .*run singerid features again"
    with pytest.raises(StoreError, match=message) as caught:
        runner()
    assert len(str(caught.value).splitlines()) == 1


def test_changed_settings_are_named_before_it_goes_on(runner):
    runner(tiny(steps=4))
    assert not any(line.startswith("changed") for line in runner.said)
    for settings_now, lines in (
        ({"steps": 6, "learning_rate": 0.02},
         ["train.steps 4 → 6", "train.learning_rate 0.01 → 0.02"]),
        ({"steps": 8, "learning_rate": 0.02}, ["train.steps 6 → 8"]),  # of what it went by last
    ):  # fmt: skip
        del runner.said[:]
        runner(tiny(**settings_now), resume=True)
        assert runner.said[-len(lines) :] == [f"changed since: {line}" for line in lines]


@pytest.mark.parametrize(
    ("sections", "found"),
    [
        ({"train": {"optimizer": "sgd"}}, "train.optimizer adam → sgd"),
        ({"train": {"weight_decay": 0.1, "freeze": "lstm"}},
         "train.weight_decay 0.0 → 0.1, train.freeze  → lstm"),
        ({"train": {"average": 0.9}}, "train.average 0.0 → 0.9"),
        ({"loss": {"objective": "aam", "sub_centers": 2}},
         "loss.objective ge2e → aam, loss.sub_centers 1 → 2"),
    ],
)  # fmt: skip
def test_settings_that_a_run_keeps_for_life(stopped, sections, found):
    before = (stopped.path / "config.yaml").read_bytes()
    sections = {**sections, "train": {"steps": 8, **sections.get("train", {})}}
    with pytest.raises(CheckpointError) as caught:
        stopped(settings(**sections), resume=True)
    assert str(caught.value) == (
        f"{stopped.path}/ckpt_4.ckpt: cannot be gone on from with other settings; found {found}; "
        "leave them, or start a new run with --init"
    )
    assert (stopped.path / "config.yaml").read_bytes() == before
    if "optimizer" in found:  # which validation does without
        changed = stopped(settings(**sections), resume=True, validate_only=True)
        assert changed.reason == "was validated"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, store):
    """A run of four steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "save_input_pictures", lambda *a: None)
        torch.set_num_threads(1)
        runner = Runner(tmp_path_factory.mktemp("stopped") / "run", store)
        runner(tiny(steps=4))
    return runner


class Full(io.BytesIO):
    """A file on a disk that is full after so many bytes."""

    def write(self, data):
        if self.tell() + len(data) > 1100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_checkpoint_that_cannot_be_written_is_explained(tmp_path):
    (tmp_path / "ckpt_4.ckpt").touch()
    with pytest.raises(RuntimeError) as caught:
        torch.save({"weights": torch.zeros(1000)}, Full())
    line = str(explain(caught.value, tmp_path, 7))
    assert line.startswith(f"{tmp_path}: a checkpoint cannot be written; found ")
    assert line.endswith(f"free space, then: singerid train --resume {tmp_path}")
