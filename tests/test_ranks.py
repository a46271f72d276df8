"""Processes that train together: who they are, and that they learn what one would."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from singerid import extraction, ranks
from singerid.checkpoint import load_encoder
from singerid.cli import main
from singerid.errors import ConfigError
from singerid.spec import FeatureSpec


def test_alone():
    assert (ranks.rank(), ranks.n_ranks(), ranks.n_hosts()) == (0, 1, 1)
    values = torch.tensor([1.0, 2.0])
    assert ranks.joint_mean(values) is values
    assert ranks.any_rank(True, values.device)
    assert not ranks.any_rank(False, values.device)
    ranks.check_divisible(3)


def test_as_torchrun_says(monkeypatch):
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert (ranks.rank(), ranks.n_ranks(), ranks.n_hosts()) == (5, 8, 2)


@pytest.mark.parametrize("n_singers", [5, 2])
def test_batches_that_cannot_be_shared(monkeypatch, n_singers):
    monkeypatch.setenv("WORLD_SIZE", "2")
    message = rf"batch.n_singers.*found {n_singers} for 2 processes; expected a multiple, two each"
    with pytest.raises(ConfigError, match=message):
        ranks.check_divisible(n_singers)


def test_shares_make_up_the_batch():
    rows = torch.arange(8)
    parts = [ranks.this_ranks(rows, (r, 4)) for r in range(4)]
    assert sorted(torch.cat(parts).tolist()) == rows.tolist()
    assert len({len(part) for part in parts}) == 1


COMMON = [
    "--preset", "original",
    "--encoder.hidden_size", "16", "--encoder.n_layers", "1", "--encoder.dim", "8",
    "--batch.n_singers", "4", "--batch.n_partials", "2", "--batch.partial_frames", "32",
    "--train.steps", "4", "--train.train_iters", "2", "--train.val_iters", "1",
    "--train.precision", "32", "--train.optimizer", "sgd", "--train.learning_rate", "0.1",
    "--train.average", "0.5", "--loss.objective", "ge2e + aam + 0.5 prototypical",
]  # fmt: skip


@pytest.fixture
def four_singers(recordings, tmp_path):
    """A store with four training singers."""
    train = [replace(r, split="train") if r.split == "test" else r for r in recordings]
    path = tmp_path / "store"
    done, _ = extraction.extract(train, path, FeatureSpec())
    assert not done.failures
    return str(path)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path, four_singers, capsys):
    """The joint batch: contrast across both, mean of the gradients, one set of files."""

    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    torch.set_num_threads(1)
    assert main(["train", four_singers, "-o", one, *COMMON]) == 0
    said = capsys.readouterr().out
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "singerid"]
    found = subprocess.run(
        [sys.executable, *launcher, "train", four_singers, "-o", two, *COMMON],
        capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=240,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-3000:]
    a, b = (load_encoder(path).encoder.state_dict() for path in (one, two))
    for name, value in a.items():
        torch.testing.assert_close(b[name], value, rtol=1e-3, atol=1e-5, msg=name)
    logs = [(tmp_path / name / "log.jsonl").read_text("utf-8") for name in ("one", "two")]
    first, second = ([json.loads(line) for line in log.splitlines()] for log in logs)
    assert len(first) == len(second) > 0
    for line, other in zip(first, second, strict=True):
        assert other == pytest.approx(line, abs=1e-4)  # means over both processes

    def steps(text):
        return [line for line in text.splitlines() if line.startswith("step")]

    assert len(steps(said)) == len(steps(found.stdout)) > 0  # the first speaks, once
