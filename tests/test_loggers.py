"""Loggers: all of them hear every figure, and each is set up, gone on with, and closed."""

import contextlib
import json
import sys

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.logger import DummyLogger

from singerid import loggers, run, train
from singerid.config import resolve
from singerid.errors import ConfigError, MissingExtraError, SingeridError
from singerid.loggers import open_loggers
from test_train import Runner, scalars, tiny


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(run, "save_input_pictures", lambda *a: None)


class Remembering(DummyLogger):
    """Keeps what it is told."""

    def __init__(self):
        super().__init__()
        self.told = {}

    def log_metrics(self, metrics, step=None):
        assert not self.told.keys() & {(name, step) for name in metrics}  # nothing twice
        self.told |= {(name, step): value for name, value in metrics.items()}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tensorbord", "train.loggers: 'tensorbord' is no logger; expected tensorboard, wandb, ml"),
        ("wandb,", "train.loggers: '' is no logger; expected tensorboard, wandb, mlflow"),
        ("wandb, wandb", "train.loggers: wandb is there twice"),
    ],
)
def test_wrong_names(line, message):
    with pytest.raises(ConfigError) as caught:
        tiny(loggers=line)
    assert str(caught.value).startswith(f"settings: {message}")
    assert len(str(caught.value).splitlines()) == 1


def test_names():
    assert tiny(loggers=" wandb ,tensorboard").train.logger_names == ["wandb", "tensorboard"]
    assert tiny(loggers=" ").train.logger_names == []
    assert resolve({}).train.logger_names == ["tensorboard"]


def test_all_loggers_hear_every_figure(tmp_path, store, monkeypatch):
    """What TensorBoard shows by itself is what two others are told: times, too."""
    others = [Remembering(), Remembering()]
    true = loggers.open_loggers

    @contextlib.contextmanager
    def with_others(*arguments):
        with true(*arguments) as opened:
            yield [others[0], *opened, others[1]]

    monkeypatch.setattr(train, "open_loggers", with_others)
    runner = Runner(tmp_path / "run", store)
    runner()
    shown = scalars(runner.path) | scalars(runner.path, times=True)
    assert {tag.split("/")[0] for tag, _ in shown} == {"train", "valid", "time"}
    for other in others:
        assert other.told == pytest.approx(shown, rel=1e-6)


def test_no_logger_at_all(tmp_path, store):
    runner = Runner(tmp_path / "run", store)
    runner(tiny(loggers=""))
    assert len(runner.log()) == 8
    assert not list(runner.path.glob("events*"))
    assert not (runner.path / "loggers.json").exists()


def test_tensorboard_goes_on_after_the_step(tmp_path):
    for first_step, purge in ((0, None), (4, 5)):
        with open_loggers(tmp_path, tiny(), first_step) as (only,):
            assert isinstance(only, TensorBoardLogger)
            assert only._kwargs.get("purge_step") == purge


@pytest.mark.parametrize(
    ("name", "message"),
    [("wandb", r"Weights & Biases \(wandb\) is not installed; install it with: pip install "
      r"'singerid\[wandb\]'$"),
     ("mlflow", r"MLflow is not installed; install it with: pip install 'singerid\[mlflow\]'$")],
)  # fmt: skip
def test_missing_package(tmp_path, store, monkeypatch, name, message):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=message):
        Runner(tmp_path / "run", store)(tiny(loggers=f"tensorboard, {name}"))
    assert run.checkpoints(tmp_path / "run") == []


# the services themselves, where they are installed


def test_mlflow(tmp_path, store, monkeypatch):
    """A run and its figures, gone on with; one of another database says what is wrong."""
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    uri = f"sqlite:///{tmp_path}/figures.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    runner = Runner(tmp_path / "sung", store)
    runner(tiny(loggers="mlflow", steps=4))
    (number,) = json.loads((runner.path / "loggers.json").read_text()).values()
    runner(tiny(loggers="mlflow"), resume=True)
    client = mlflow.MlflowClient(uri)
    found = client.get_run(number)
    assert (found.info.run_name, found.info.status) == ("sung", "FINISHED")
    assert client.get_experiment(found.info.experiment_id).name == "singerid"
    assert found.data.params["encoder/hidden_size"] == "16"
    history = client.get_metric_history(number, "valid/ge2e_loss")
    logged = {line["step"]: line["ge2e_loss"] for line in runner.log() if line["split"] == "valid"}
    assert {point.step: point.value for point in history} == pytest.approx(logged, abs=1e-6)
    assert "time/share_data" in found.data.metrics
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/other.db")
    message = "other.db: MLflow cannot be used; found .*not found; set MLFLOW_TRACKING_URI, say to"
    with pytest.raises(SingeridError, match=message):
        runner(tiny(loggers="mlflow", steps=12), resume=True)


def test_wandb_offline(tmp_path, store, monkeypatch):
    """Files of an offline run lie in the run folder; the resumed one has the same name there."""
    wandb = pytest.importorskip("wandb", exc_type=ImportError)
    for name, value in {"MODE": "offline", "SILENT": "true", "DIR": str(tmp_path)}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    runner = Runner(tmp_path / "sung", store)
    runner(tiny(loggers="wandb,tensorboard", steps=4))
    assert wandb.run is None  # it was closed: another run in this process is another run
    (number,) = json.loads((runner.path / "loggers.json").read_text()).values()
    runner(tiny(loggers="wandb,tensorboard"), resume=True)
    files = sorted(path.name for path in (runner.path / "wandb").glob("offline-run-*/*.wandb"))
    assert files == [f"run-{number}.wandb"] * 2
    assert len(scalars(runner.path)) > 0
