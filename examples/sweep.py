"""Search settings with Optuna: python sweep.py STORE FOLDER [N_TRIALS]; again: goes on with it."""

import sys
from functools import partial
from pathlib import Path

import optuna

from singerid import run
from singerid.config import PRESETS, merge, resolve
from singerid.data import TrainingData
from singerid.errors import SingeridError
from singerid.store import Store
from singerid.train import fit, resolve_precision

FIXED = merge(PRESETS["small"], {"train": {"monitor": "trial_eer", "steps": 1000}})


def objective(trial: optuna.Trial, store: Store, folder: Path) -> float:
    """Lowest error rate of the validation trials in a run with drawn settings."""
    drawn = {
        "loss": {"objective": trial.suggest_categorical("objective", ["ge2e", "ge2e + aam"])},
        "train": {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)},
    }
    config = resolve_precision(resolve(merge(store.spec.model_dump(), FIXED, drawn)))
    data = TrainingData.from_store(config, store)
    path = run.make_run_folder(folder / f"trial_{trial.number:03d}", overwrite=True)
    run.describe_run(path, config, data, notes=str(trial.params), command="sweep.py")

    def on_cycle(step, train, valid, best):
        trial.report(valid["trial_eer"], step)
        if trial.should_prune():
            raise optuna.TrialPruned

    return fit(config, data, path, say=lambda line: None, on_cycle=on_cycle).best


def sweep(store: str, folder: str, n_trials: str = "20") -> None:
    """Add trials to the study in `folder`; one whose loss is no number only fails itself."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{folder}/study.db", study_name="singerid", load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_warmup_steps=200),
    )  # fmt: skip
    trained = partial(objective, store=Store(store), folder=Path(folder))
    study.optimize(trained, n_trials=int(n_trials), catch=SingeridError)
    print(f"best: trial {study.best_trial.number}, EER {study.best_value:.2%}, {study.best_params}")


if __name__ == "__main__":
    sweep(*sys.argv[1:])
