"""The example of a sweep: its trials are runs, poor ones end early, a failing one stops nothing."""

import types
from pathlib import Path

import pytest
import torch

from singerid import run, task
from singerid.checkpoint import load_encoder
from singerid.config import read_config_file, resolve

optuna = pytest.importorskip("optuna", exc_type=ImportError)
FILE = Path(__file__).resolve().parents[1] / "examples" / "sweep.py"
TINY = {
    "batch": {"n_singers": 2, "n_partials": 2, "partial_frames": 32},
    "encoder": {"hidden_size": 16, "n_layers": 1, "dim": 8, "relu": False},
    "train": {
        "steps": 6, "train_iters": 2, "val_iters": 1, "log_every": 2, "precision": "32",
        "monitor": "trial_eer",
    },
}  # fmt: skip


@pytest.fixture
def sweep(monkeypatch):
    """The example as a module, with a tiny training."""
    torch.set_num_threads(1)
    monkeypatch.setattr(run, "save_input_pictures", lambda *a: None)
    module = types.ModuleType("sweep")
    exec(compile(FILE.read_text("utf-8"), FILE, "exec"), module.__dict__)
    monkeypatch.setattr(module, "FIXED", TINY)
    return module


def study_of(folder):
    return optuna.load_study(study_name="singerid", storage=f"sqlite:///{folder}/study.db")


def test_sweep(sweep, store, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "study"
    sweep.sweep(str(store.path), str(folder), "2")
    study = study_of(folder)
    assert capsys.readouterr().out.startswith(f"best: trial {study.best_trial.number}, EER ")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE"]
    for trial in study.trials:
        path = folder / f"trial_{trial.number:03d}"
        kept = load_encoder(path).provenance["valid"]["trial_eer"]
        assert trial.value == kept == min(trial.intermediate_values.values())
        assert list(trial.intermediate_values) == [2, 4, 6]
        rate = trial.params["learning_rate"]
        assert resolve(read_config_file(path / "config.yaml")).train.learning_rate == rate

    # The study goes on: one run is pruned after its first cycle, another's loss is no number.
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda self: self.number == 2)
    true = task.check_finite
    monkeypatch.setattr(
        task, "check_finite",
        lambda loss, step: true(loss if len(study_of(folder).trials) < 4 else float("nan"), step),
    )  # fmt: skip
    sweep.sweep(str(store.path), str(folder), "2")
    study = study_of(folder)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL"]
    assert list(study.trials[2].intermediate_values) == [2]
