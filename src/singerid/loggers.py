"""Where figures go besides ``log.jsonl``: TensorBoard, Weights & Biases, MLflow.

Each is Lightning's own logger, set up by the service's own environment variables
(``WANDB_MODE``, ``WANDB_PROJECT``; ``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``). A run that
is resumed goes on under its name there, which ``loggers.json`` in the run folder remembers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from singerid.config import Config
from singerid.errors import MissingExtraError, SingeridError
from singerid.records import atomic_write

PROJECT = "singerid"
"""Name under which runs lie together at a service, unless its environment variable says another."""


@contextmanager
def open_loggers(path: Path, config: Config, first_step: int) -> Iterator[list[Logger]]:
    """The loggers of a run (`train.loggers`), for as long as it takes.

    Args:
        path: the run folder.
        config: all settings, which are logged too.
        first_step: that the run goes on from; 0 for a new one.

    Raises:
        MissingExtraError: a logger's package is not installed.
        SingeridError: a service cannot be reached or refuses.
    """
    file = path / "loggers.json"
    names: dict[str, str] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    known = dict(names)
    loggers: list[Logger] = []
    closing: list[Callable[[bool], object]] = []
    failed = True
    try:
        for name in config.train.logger_names:
            if name == "tensorboard":
                loggers.append(_tensorboard(path, config, first_step))
                continue
            open_one = _wandb if name == "wandb" else _mlflow
            logger, close = open_one(path, config, names.get(name))
            loggers.append(logger)
            closing.append(close)
            names[name] = str(logger.version)
        if names != known:
            with atomic_write(file) as opened:
                json.dump(names, opened)
        yield loggers
        failed = False
    finally:
        for close in closing:
            close(failed)


def _tensorboard(path: Path, config: Config, first_step: int) -> TensorBoardLogger:
    # purge_step hides what a killed run logged after the checkpoint that it resumes from.
    more = {"purge_step": first_step + 1} if first_step else {}
    logger = TensorBoardLogger(path, name="", version="", default_hp_metric=False, **more)
    logger.log_hyperparams(config.model_dump())
    return logger


def _wandb(path: Path, config: Config, known: str | None) -> tuple[WandbLogger, Any]:
    """Weights & Biases; files of the offline mode lie in the run folder."""
    try:
        import wandb
        from wandb.errors import Error  # a folder of W&B's files is called wandb, too
    except ImportError:
        raise MissingExtraError("Weights & Biases (wandb)", "wandb") from None
    others = wandb.run is not None  # a run that somebody else began, and ends
    try:
        logger = WandbLogger(
            name=path.name, save_dir=path, id=known,
            project=os.environ.get("WANDB_PROJECT", PROJECT), settings={"quiet": True},
        )  # fmt: skip
        logger.log_hyperparams(config.model_dump())
    except Error as error:
        raise SingeridError(
            "Weights & Biases cannot be used", where="train.loggers", found=_first_line(error),
            do="log in with: wandb login, or keep the figures here: WANDB_MODE=offline",
        ) from error  # fmt: skip

    def close(failed: bool) -> None:
        if not others:
            logger.experiment.finish(exit_code=int(failed))

    return logger, close


def _mlflow(path: Path, config: Config, known: str | None) -> tuple[MLFlowLogger, Any]:
    """MLflow, where its own configuration says."""
    try:
        from mlflow import get_tracking_uri
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise MissingExtraError("MLflow", "mlflow") from None
    uri = get_tracking_uri()
    try:
        logger = MLFlowLogger(
            experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT),
            run_name=path.name, tracking_uri=uri, run_id=known,
        )  # fmt: skip
        _ = logger.run_id
        if known is None:  # there, settings cannot be changed
            logger.log_hyperparams(config.model_dump())
    except (MlflowException, ImportError) as error:
        raise SingeridError(
            "MLflow cannot be used", where=uri, found=_first_line(error),
            do="set MLFLOW_TRACKING_URI, say to sqlite:///mlflow.db",
        ) from error  # fmt: skip
    return logger, lambda failed: logger.finalize("failed" if failed else "success")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
