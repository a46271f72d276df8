"""Training: cycles of training and validation steps, by Lightning's Trainer."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor

from singerid import run
from singerid.batch_augment import BatchAugment
from singerid.checkpoint import load_strictly, load_weights_only
from singerid.compiling import compiled
from singerid.config import Config
from singerid.data import TrainingData
from singerid.encoders import build_encoder
from singerid.errors import CheckpointError, SingeridError
from singerid.faults import explained
from singerid.formats import check_format
from singerid.keeper import Keeper
from singerid.loading import CycleSampler, make_loader
from singerid.loggers import open_loggers
from singerid.model_card import write_model_card
from singerid.precision import choose_precision, flushed_denormals
from singerid.projector import write_projector
from singerid.ranks import check_divisible, device, rank
from singerid.task import Figures, SingerTask
from singerid.trainer import Stopping, build_trainer, quiet_lightning
from singerid.trial_validation import plan_trials
from singerid.watcher import Watcher

_FOR_LIFE = ("train.optimizer", "train.weight_decay", "train.freeze")
"""Settings that the optimizer's saved state belongs to."""


def _check_belongs(
    checkpoint: Path, task: SingerTask, changed: Mapping[str, str], trains: bool
) -> None:
    """Refuse to go on with another network, other data or another optimizer than the checkpoint's.

    Args:
        checkpoint: what the run goes on from.
        task: as it is set up now.
        changed: settings that differ from the run's.
        trains: whether the optimizer is needed.

    Raises:
        CheckpointError: they differ, or the checkpoint is damaged.
    """
    state = load_weights_only(checkpoint)
    found, weights = state.get("singerid", {}), state.get("state_dict")
    if not isinstance(found, Mapping) or not _are_weights(weights):
        raise CheckpointError(
            "holds no state of a training", where=checkpoint, do="restore it, or start a new run"
        )
    check_format(found.get("format", 1), "checkpoint", checkpoint, CheckpointError)
    differ = [name for name, value in task.identity.items() if repr(found.get(name)) != repr(value)]
    if differ:
        raise CheckpointError(
            f"was made with other {' and '.join(differ)}", where=checkpoint,
            do="give the run's own store and encoder settings, or start a new run",
        )  # fmt: skip
    stuck = [name for name in _FOR_LIFE if trains and name in changed]
    if _shapes(weights) != _shapes(task.state_dict()):
        stuck += [name for name in changed if name.startswith("loss.") or name == "train.average"]
    if stuck:
        raise CheckpointError(
            "cannot be gone on from with other settings", where=checkpoint,
            found=", ".join(f"{name} {changed[name]}" for name in stuck),
            do="leave them, or start a new run with --init",
        )  # fmt: skip


def _are_weights(value: object) -> TypeGuard[Mapping[str, Tensor]]:
    return isinstance(value, Mapping) and all(isinstance(one, Tensor) for one in value.values())


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in weights.items()}


@dataclass(frozen=True)
class Initial:
    """Weights that a new run starts from.

    Attributes:
        origin: where they come from.
        weights: of the encoder, every one.
        scale: GE2E's scale w.
        bias: GE2E's bias b.
        step: number of the step that they were saved at; 0 starts counting anew.
    """

    origin: str
    weights: Mapping[str, Tensor]
    scale: float
    bias: float
    step: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        step: the last step.
        reason: why it ended.
        best: lowest value of the validation figure that was monitored (`train.monitor`).
    """

    step: int
    reason: str
    best: float


@flushed_denormals()
def fit(
    config: Config,
    data: TrainingData,
    path: str | os.PathLike[str],
    *,
    resume: bool = False,
    validate_only: bool = False,
    initial: Initial | None = None,
    provenance: Mapping[str, Any] | None = None,
    say: Callable[[str], object] = print,
    on_step: Callable[[int, Figures], object] = lambda step, figures: None,
    on_cycle: Callable[[int, Figures, Figures, bool], object] = lambda *a: None,
) -> Outcome:
    """Train an encoder, validating it on other singers.

    Args:
        config: all settings; ``train.precision`` must be resolved (see `resolve_precision`).
        data: batches of both splits.
        path: the run folder, which must exist.
        resume: go on from its latest checkpoint.
        validate_only: of the latest checkpoint; nothing is trained or saved.
        initial: weights to start a new run from.
        provenance: goes into the encoder file.
        say: receives lines for the user.
        on_step: called after each step with its number and, on logged steps, its figures.
        on_cycle: called after each cycle: step, training means, validation means, best so far.

    Raises:
        SingeridError: there is nothing to validate, or nothing left to train; or memory, a worker
            or a logger failed.
        ConfigError: `train.compile` without a compiler.
        CheckpointError: the checkpoint is missing, damaged, or of another network or other data.
        Interrupted: after Ctrl-C, once everything is saved.
    """
    path = Path(path)
    checkpoint = run.latest_checkpoint(path) if resume else None
    first_step = int(checkpoint.stem.removeprefix("ckpt_")) if checkpoint else 0
    if checkpoint and first_step >= config.train.steps and not validate_only:
        # All that a kill at the very end can cost: what stands behind the last checkpoint.
        for old in run.checkpoints(path)[:-1]:
            old.unlink()
        if not (path / "MODEL_CARD.md").exists():
            with suppress(SingeridError):
                write_model_card(path, alarms=[])
        raise SingeridError(
            f"run is already at step {first_step}", where=path,
            do=f"raise the limit: --train.steps {2 * first_step}",
        )  # fmt: skip
    if validate_only and (checkpoint is None or data.valid is None):
        raise SingeridError("there is nothing to validate", where=path, do="give --resume RUN")
    check_divisible(data.train.n_singers)
    torch.manual_seed(config.train.seed)
    for warning in data.warnings:
        say(f"warning: {warning}")
    n_singers, augment = len(data.train.singers), None
    if config.batch_augment.changes_anything:
        augment = BatchAugment(
            data.spec, config.batch_augment, config.channel, n_singers, config.train.seed, device()
        )
        n_singers = augment.n_classes
    task = SingerTask(config, data.spec, n_singers, data.fingerprint)
    changed: dict[str, str] = {}
    if checkpoint:
        changed = run.changed_settings(path, config)
        _check_belongs(checkpoint, task, changed, not validate_only)
        if not validate_only and rank() == 0:
            run.write_config(path, config)  # the limit may be another now
    else:
        _prepare(task, data, initial)
        for split, maker in {"train": data.train, "valid": data.valid}.items():
            if maker is not None and rank() == 0:
                run.save_input_pictures(path, maker, split, data.spec)
        first_step = initial.step if initial else 0
    task.steps_before = 0 if resume else first_step
    task.trials, lines = plan_trials(
        data.valid_store, config.batch.partial_frames, config.validation
    )
    for line in lines:
        say(f"warning: {line}")
    if task.trials:
        say(task.trials.summary)
    say(
        f"encoder {run.n_parameters(task.encoder):,} parameters, {n_singers} training "
        f"singers, precision {config.train.precision}, steps {first_step} to {config.train.steps}"
    )
    for name, values in changed.items():
        say(f"changed since: {name} {values}")
    if config.train.compile and not validate_only:
        task.compiled = compiled(task.encoder)
    log = None if validate_only or rank() else run.RunLog(path, first_step)
    watcher = Watcher(config, say)

    def end_of_cycle(step: int, train: Figures, valid: Figures, best: bool) -> None:
        on_cycle(step, train, valid, best)
        if train:
            watcher.cycle(step, train, valid)

    keeper = Keeper(path, log, data.spec, provenance or {}, on_step, end_of_cycle)
    keeper.first_step = first_step
    opened: AbstractContextManager[list[Logger]] = nullcontext([])
    if not validate_only and rank() == 0:
        opened = open_loggers(path, config, first_step)
    with quiet_lightning(), opened as loggers:
        callbacks = [*([Stopping(config.train)] if data.valid else []), watcher, keeper]
        trainer = build_trainer(config.train, loggers, callbacks, data.valid is not None)
        numbers = CycleSampler(lambda: trainer.global_step, config.train)
        loader = make_loader(data.train, config.train, numbers, shared=True, augment=augment)
        valid_loader = None
        if data.valid:
            valid_loader = make_loader(data.valid, config.train, range(config.train.val_iters))
        restoring = _restored(checkpoint, keeper)
        with _ctrl_c(keeper, say), explained(path, lambda: task.step), restoring:
            if validate_only:
                trainer.validate(
                    task, valid_loader, ckpt_path=checkpoint, verbose=False, weights_only=True
                )
                return Outcome(first_step, "was validated", keeper.best)
            trainer.fit(task, loader, valid_loader, ckpt_path=checkpoint, weights_only=True)
    if rank() == 0:
        _describe(path, task, config, list(watcher.alarms.said.values()), say)
    step = keeper.step(trainer)
    reached, idle = step >= config.train.steps, f"no improvement in {config.train.patience} cycles"
    return Outcome(step, "reached the step limit" if reached else idle, keeper.best)


@contextmanager
def _restored(checkpoint: Path | None, keeper: Keeper) -> Iterator[None]:
    """One line for a checkpoint whose parts, each of which is plain, are no state of this training.

    Raises:
        CheckpointError: instead of what Lightning, torch and our own parts raise before they begin.
    """
    try:
        yield
    except (SingeridError, OSError, MemoryError):
        raise
    except Exception as error:
        if checkpoint is None or keeper.has_begun:
            raise
        raise CheckpointError(
            "cannot be gone on from: it holds another state than a training leaves",
            where=checkpoint, found=" ".join(f"{type(error).__name__} {error}".split())[:160],
            do="restore it, or start a new run",
        ) from error  # fmt: skip


def _describe(
    path: Path, task: SingerTask, config: Config, alarms: list[str], say: Callable[[str], object]
) -> None:
    """Write the model card, and a map for TensorBoard if asked; neither can fail a run."""
    try:
        write_model_card(path, alarms=alarms)
        if config.train.projector and task.trials is not None:
            result = task.trials(task.kept, config.train.precision == "bf16")
            write_projector(path, result.embeddings, task.trials.recordings)
    except SingeridError as error:
        say(f"warning: {error}")


def _prepare(task: SingerTask, data: TrainingData, initial: Initial | None) -> None:
    """Give a new run's network its normalization and, if asked, its first weights."""
    if initial:
        load_strictly(task.encoder, initial.weights, initial.origin)
        with torch.no_grad():
            task.ge2e.scale.fill_(initial.scale)
            task.ge2e.bias.fill_(initial.bias)
    elif task.encoder.normalization.needs_statistics:
        mean, variance = map(torch.as_tensor, data.statistics())
        task.encoder.normalization.set_statistics(mean.float(), variance.float())
    task.start_average()


@flushed_denormals()
def resolve_precision(config: Config) -> Config:
    """The configuration with ``train.precision`` decided for this machine."""
    n_inputs = config.feature_spec.n_inputs
    batch = config.batch.n_singers * config.batch.n_partials
    network = build_encoder(config.encoder, n_inputs)
    precision = choose_precision(config.train.precision, network, batch, n_inputs)
    return config.model_copy(
        update={"train": config.train.model_copy(update={"precision": precision})}
    )


@contextmanager
def _ctrl_c(keeper: Keeper, say: Callable[[str], object]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the training after this step, a second one at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: object) -> None:
        if keeper.interrupted:
            raise KeyboardInterrupt
        keeper.interrupted = True
        say("stopping after this step; press Ctrl-C again to stop at once")

    def listen() -> None:
        for number in previous:
            signal.signal(number, handle)

    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    keeper.listen = listen
    listen()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
