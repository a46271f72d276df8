"""Training: the Lightning task, cycles of training and validation, checkpoints, early stopping."""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler

from singerid import metrics, run
from singerid.batches import BatchMaker
from singerid.checkpoint import load_weights_only, save_encoder
from singerid.config import Config, FeatureSpec
from singerid.encoders import build_encoder
from singerid.errors import CheckpointError, SingeridError
from singerid.losses import GE2ELoss, PredictionLoss, prototype_logits, similarity_matrix
from singerid.precision import autocast, choose_precision, flushed_denormals
from singerid.records import atomic_write
from singerid.statistics import training_statistics
from singerid.store import Store

Figures = dict[str, float]
_MONITORED = "valid/ge2e_loss"
_NAMES = ("ge2e_loss", "prediction_loss", "total_loss", "accuracy", "prediction_accuracy")


class Interrupted(SingeridError):
    """The user stopped the training; everything is saved."""


class SingerTask(L.LightningModule):  # type: ignore[misc]
    """Encoder, losses, optimizer, and the figures of each step.

    Figures, on training and validation batches alike:

    * ``ge2e_loss``;
    * ``accuracy``: share of partials whose nearest centroid in the batch is their own singer's,
      the partial itself left out of it;
    * ``prediction_loss`` and ``prediction_accuracy``: of the linear head over the training
      singers. Validation singers are not among them; there, centroids of one half of the
      partials predict the other half (`singerid.losses.prototype_logits`);
    * ``total_loss``: the sum of both losses;
    * ``eer`` (validation only): of all cosines between partials and centroids of the cycle.

    Whichever loss is the objective, the parameters of the other (head, or scale and bias) are
    trained on detached embeddings, so that its figures mean something too.
    """

    def __init__(self, config: Config, spec: FeatureSpec, n_singers: int, data: str = "") -> None:
        super().__init__()
        self.config = config
        self.identity = {
            "encoder": config.encoder.model_dump(), "features": spec.fingerprint(), "data": data
        }  # fmt: skip
        self.encoder = build_encoder(config.encoder, spec.n_inputs, spec.n_pitch_classes)
        self.ge2e = GE2ELoss(
            config.loss.ge2e, config.loss.init_scale, config.loss.init_bias,
            config.loss.scale_gradient,
        )  # fmt: skip
        self.prediction = PredictionLoss(config.encoder.dim, n_singers)
        self.train_figures: list[Tensor] = []
        self.valid_figures: list[Tensor] = []
        self._valid_scores: list[tuple[Tensor, Tensor]] = []

    def embed(self, features: Tensor) -> Tensor:
        """`(n_singers, n_partials, n_frames, n_dims)` → `(n_singers · n_partials, dim)`."""
        with autocast(self.config.train.precision == "bf16", self.device):
            vectors: Tensor = self.encoder(features.flatten(0, 1))
        return vectors.float()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """One step; the loss that is returned is the objective."""
        features, singers = batch
        vectors = self.embed(features)
        classes = singers.repeat_interleave(features.shape[1])
        objective = self.config.loss.objective
        for_ge2e = vectors.detach() if objective == "prediction" else vectors
        for_head = vectors.detach() if objective == "ge2e" else vectors
        cosines, own = similarity_matrix(for_ge2e, classes)
        ge2e_loss = self.ge2e.from_similarities(cosines, own)
        logits = self.prediction.head(for_head)
        prediction_loss = F.cross_entropy(logits, classes)
        total = ge2e_loss + prediction_loss
        _check_finite(float(total.detach()), self.global_step + 1)
        self.train_figures.append(
            _figures(cosines, own, ge2e_loss, logits, classes, prediction_loss)
        )
        return total

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """One batch of singers that training never sees."""
        features, singers = batch
        vectors = self.embed(features)
        classes = singers.repeat_interleave(features.shape[1])
        cosines, own = similarity_matrix(vectors, classes)
        ge2e_loss = self.ge2e.from_similarities(cosines, own)
        logits, targets = prototype_logits(vectors, len(singers), self.ge2e.scale)
        loss = F.cross_entropy(logits, targets)
        self.valid_figures.append(_figures(cosines, own, ge2e_loss, logits, targets, loss))
        self._valid_scores.append((cosines, F.one_hot(own, cosines.shape[1]).bool()))

    def on_validation_epoch_end(self) -> None:
        """Hand the monitored loss to early stopping."""
        loss = _means(self.valid_figures)["ge2e_loss"]
        _check_finite(loss, self.global_step)
        self.log(_MONITORED, loss, logger=False)

    def take_train_figures(self) -> list[Tensor]:
        """What the steps since the last call measured."""
        taken, self.train_figures = self.train_figures, []
        return taken

    def take_valid_figures(self) -> Figures:
        """Means over the validation batches, and their joint equal error rate."""
        taken, self.valid_figures = self.valid_figures, []
        scores, self._valid_scores = self._valid_scores, []
        all_scores = torch.cat([cosines.flatten() for cosines, _ in scores]).cpu().numpy()
        targets = torch.cat([own.flatten() for _, own in scores]).cpu().numpy()
        return _means(taken) | {"eer": metrics.eer(all_scores, targets)[0]}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over everything."""
        return torch.optim.Adam(self.parameters(), lr=self.config.train.learning_rate)

    def on_train_start(self) -> None:
        """A resumed run takes the learning rate that is asked for, not the checkpoint's."""
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.config.train.learning_rate

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say what the weights belong to (see `_check_belongs`)."""
        checkpoint["singerid"] = self.identity


def _check_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise SingeridError(
            "the loss is not finite", where=f"step {step}", found=loss,
            do="lower --train.learning_rate; the last checkpoint is intact",
        )  # fmt: skip


def _check_belongs(checkpoint: Path, task: SingerTask) -> None:
    """Refuse to go on with another network or other data than the checkpoint's.

    Raises:
        CheckpointError: they differ, or the checkpoint is damaged.
    """
    found = load_weights_only(checkpoint).get("singerid", {})
    differ = [name for name, value in task.identity.items() if found.get(name) != value]
    if differ:
        raise CheckpointError(
            f"was made with other {' and '.join(differ)}", where=checkpoint,
            do="give the run's own store and encoder settings, or start a new run",
        )  # fmt: skip


def _figures(
    cosines: Tensor, own: Tensor, ge2e_loss: Tensor,
    logits: Tensor, classes: Tensor, prediction_loss: Tensor,
) -> Tensor:  # fmt: skip
    """The values of `_NAMES`, as one tensor: no waiting for a GPU at every step."""
    accuracy = (cosines.argmax(dim=1) == own).float().mean()
    prediction_accuracy = (logits.argmax(dim=1) == classes).float().mean()
    total = ge2e_loss + prediction_loss
    values = [ge2e_loss, prediction_loss, total, accuracy, prediction_accuracy]
    return torch.stack([value.detach() for value in values])


def _means(figures: list[Tensor]) -> Figures:
    if not figures:
        return {}
    return dict(zip(_NAMES, torch.stack(figures).mean(dim=0).tolist(), strict=True))


class _BatchDataset(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, maker: BatchMaker) -> None:
        self.maker = maker

    def __getitem__(self, t: int) -> tuple[Tensor, Tensor]:
        batch = self.maker.batch(t)
        return torch.from_numpy(batch.features), torch.from_numpy(batch.singers)


class _CycleSampler(Sampler[int]):
    """Numbers of the batches that are left in the current cycle.

    Taking them from the step count makes a resumed run go on with the very batch that the
    interrupted one would have seen next.
    """

    def __init__(self, current_step: Callable[[], int], train_iters: int) -> None:
        self._current_step, self._train_iters = current_step, train_iters

    def __iter__(self) -> Iterator[int]:
        step = self._current_step()
        return iter(range(step, (step // self._train_iters + 1) * self._train_iters))

    def __len__(self) -> int:
        return self._train_iters


class _Keeper(Callback):  # type: ignore[misc]
    """Logs figures, saves checkpoints and the best encoder, ends the training."""

    def __init__(
        self,
        path: Path,
        log: run.RunLog,
        spec: FeatureSpec,
        provenance: Mapping[str, Any],
        on_step: Callable[[int, Figures], object],
        on_cycle: Callable[[int, Figures, Figures, bool], object],
    ) -> None:
        self.path, self.log_file, self.spec, self.provenance = path, log, spec, dict(provenance)
        self.on_step, self.on_cycle = on_step, on_cycle
        self.best_loss = math.inf
        self.interrupted = False
        self.listen: Callable[[], object] = lambda: None
        self._cycle: list[Tensor] = []
        self._window: list[Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        """Figures that are not logged yet belong to it: a resumed run logs the same lines."""
        return {"best_loss": self.best_loss, "cycle": self._cycle, "window": self._window}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_loss = float(state_dict["best_loss"])
        self._cycle, self._window = list(state_dict["cycle"]), list(state_dict["window"])

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Listen again: Lightning has just put its own handler of SIGTERM, which saves nothing."""
        self.listen()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        settings, step = pl_module.config.train, trainer.global_step
        new = pl_module.take_train_figures()
        self._cycle += new
        self._window += new
        last, cycle_ends = step >= settings.steps, step % settings.train_iters == 0
        due = step % settings.log_every == 0 or cycle_ends
        figures = _means(self._window) if due or last else {}
        if due:  # else a run that goes on from the last step shall log what it would have
            self._window = []
        if figures:
            self._log(trainer, "train", step, figures)
        self.on_step(step, figures)
        if last:
            trainer.should_stop = True
        if (self.interrupted or last) and not cycle_ends:
            self._save_state(trainer)
        if not trainer.enable_validation and (cycle_ends or last):
            self._end_cycle(trainer, pl_module, {})
        elif self.interrupted and not (cycle_ends or last):
            self._leave(step)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        valid = pl_module.take_valid_figures()
        self._log(trainer, "valid", trainer.global_step, valid)
        self._end_cycle(trainer, pl_module, valid)

    def _end_cycle(self, trainer: Any, task: SingerTask, valid: Figures) -> None:
        """Keep the encoder if it is the best; without validation, the last."""
        step, settings = trainer.global_step, task.config.train
        train, self._cycle = _means(self._cycle), []
        best = not valid or valid["ge2e_loss"] < self.best_loss
        if best:
            self.best_loss = valid.get("ge2e_loss", math.inf)
            self._save_encoder(task, step, valid)
        self.on_cycle(step, train, valid, best)
        if step % settings.train_iters == 0:
            self._save_state(trainer)
        if self.interrupted and step < settings.steps:
            self._leave(step)

    def _log(self, trainer: Any, split: str, step: int, figures: Figures) -> None:
        trainer.logger.log_metrics({f"{split}/{k}": v for k, v in figures.items()}, step)
        self.log_file.write(split, step, figures)

    def _save_state(self, trainer: Any) -> None:
        """Full state as ``ckpt_<step>.ckpt``; the one before it goes once the new one is whole."""
        target = self.path / f"ckpt_{trainer.global_step}.ckpt"
        partial = target.with_suffix(".part")
        trainer.save_checkpoint(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, target)
        for old in run.checkpoints(self.path):
            if old != target:
                old.unlink()

    def _save_encoder(self, task: SingerTask, step: int, figures: Figures) -> None:
        weights = {
            name: tensor.detach().cpu() for name, tensor in task.encoder.state_dict().items()
        }
        made_by = self.provenance | {"step": step, "valid": figures}
        config = task.config
        frames = config.batch.partial_frames
        save_encoder(
            self.path / "encoder.safetensors", weights, config.encoder, self.spec, frames, made_by
        )
        with atomic_write(self.path / "saved_model.pt", "wb") as file:
            torch.save({"step": step, "model_state": weights}, file)

    def _leave(self, step: int) -> None:
        raise Interrupted(
            f"stopped at step {step}, everything is saved", where=self.path,
            do=f"go on with: singerid train --resume {self.path}",
        )  # fmt: skip


class _Stopping(EarlyStopping):  # type: ignore[misc]
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A resumed run has the patience that is asked for, not the checkpoint's."""
        super().load_state_dict(state_dict | {"patience": self.patience})


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        step: the last step.
        reason: why it ended.
        best_loss: lowest validation GE2E loss.
    """

    step: int
    reason: str
    best_loss: float


@flushed_denormals()
def fit(
    config: Config,
    store: Store,
    path: str | os.PathLike[str],
    *,
    resume: bool = False,
    provenance: Mapping[str, Any] | None = None,
    say: Callable[[str], object] = print,
    on_step: Callable[[int, Figures], object] = lambda step, figures: None,
    on_cycle: Callable[[int, Figures, Figures, bool], object] = lambda *a: None,
) -> Outcome:
    """Train an encoder on the split ``train`` of a store, validating on its split ``valid``.

    Args:
        config: all settings; ``train.precision`` must be resolved (see `resolve_precision`).
        store: the features.
        path: the run folder, which must exist.
        resume: go on from its latest checkpoint.
        provenance: goes into the encoder file.
        say: receives lines for the user.
        on_step: called after each step with its number and, on logged steps, its figures.
        on_cycle: called after each cycle: step, training means, validation means, best so far.

    Raises:
        StoreError: too few singers.
        CheckpointError: the checkpoint is missing, damaged, or of another network or other data.
        Interrupted: after Ctrl-C, once everything is saved.
    """
    path = Path(path)
    checkpoint = run.latest_checkpoint(path) if resume else None
    first_step = int(checkpoint.stem.removeprefix("ckpt_")) if checkpoint else 0
    if checkpoint and first_step >= config.train.steps:
        raise SingeridError(
            f"run is already at step {first_step}", where=path,
            do=f"raise the limit: --train.steps {2 * first_step}",
        )  # fmt: skip
    torch.manual_seed(config.train.seed)
    train, valid = _makers(config, store, say)
    task = SingerTask(config, store.spec, len(train.singers), run.data_fingerprint(store))
    if checkpoint:
        _check_belongs(checkpoint, task)
        run.write_config(path, config)  # the limit may be another now
    else:
        if task.encoder.normalization.needs_statistics:
            mean, variance = map(torch.as_tensor, training_statistics(store))
            task.encoder.normalization.set_statistics(mean.float(), variance.float())
        for split, maker in {"train": train, "valid": valid}.items():
            if maker is not None:
                run.save_input_pictures(path, maker, split, store.spec)
    say(
        f"encoder {run.n_parameters(task.encoder):,} parameters, {len(train.singers)} training "
        f"singers, precision {config.train.precision}, steps {first_step} to {config.train.steps}"
    )
    log = run.RunLog(path, first_step)
    keeper = _Keeper(path, log, store.spec, provenance or {}, on_step, on_cycle)
    stopping = _Stopping(
        _MONITORED, config.train.threshold, config.train.patience, check_on_train_epoch_end=False
    )
    with _quiet_lightning():
        trainer = L.Trainer(
            accelerator="auto", devices=1, max_epochs=-1,
            logger=_tensorboard(path, config, first_step),
            callbacks=[*([stopping] if valid else []), keeper],
            gradient_clip_val=config.train.gradient_clip,
            limit_val_batches=None if valid else 0, num_sanity_val_steps=0,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            use_distributed_sampler=False, log_every_n_steps=1,
        )  # fmt: skip
        loader = _loader(
            train, config, _CycleSampler(lambda: trainer.global_step, config.train.train_iters)
        )
        valid_loader = _loader(valid, config, range(config.train.val_iters)) if valid else None
        with _ctrl_c(keeper, say):
            trainer.fit(task, loader, valid_loader, ckpt_path=checkpoint, weights_only=True)
    if trainer.global_step >= config.train.steps:
        reason = "reached the step limit"
    else:
        reason = f"no improvement in {config.train.patience} cycles"
    return Outcome(trainer.global_step, reason, keeper.best_loss)


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


def check_singers(config: Config, store: Store) -> None:
    """Refuse a store that `fit` would refuse, before a run folder is made or replaced.

    Raises:
        StoreError: too few singers.
    """
    _makers(config, store, lambda line: None)


def _makers(
    config: Config, store: Store, say: Callable[[str], object]
) -> tuple[BatchMaker, BatchMaker | None]:
    train = BatchMaker(store, "train", config.batch, config.train.seed)
    valid = None
    if any(r.split == "valid" for r in store.recordings):
        valid = BatchMaker(store, "valid", config.batch, config.train.seed)
    else:
        say("warning: no validation singers: no early stopping, the last weights are kept")
    for maker in (train, valid):
        for warning in maker.warnings if maker else []:
            say(f"warning: {warning}")
    return train, valid


def _loader(
    maker: BatchMaker, config: Config, numbers: Sampler[int] | range
) -> DataLoader[tuple[Tensor, Tensor]]:
    workers = config.train.workers
    return DataLoader(
        _BatchDataset(maker), batch_size=None, sampler=numbers, num_workers=workers,
        persistent_workers=workers > 0, worker_init_fn=_ignore_ctrl_c,
        multiprocessing_context="forkserver" if workers else None,
    )  # fmt: skip


def _ignore_ctrl_c(worker: int) -> None:
    """A terminal sends Ctrl-C to all processes; the training still needs its batches."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _tensorboard(path: Path, config: Config, first_step: int) -> TensorBoardLogger:
    # purge_step hides what a killed run logged after the checkpoint that it resumes from.
    more = {"purge_step": first_step + 1} if first_step else {}
    logger = TensorBoardLogger(path, name="", version="", default_hp_metric=False, **more)
    logger.log_hyperparams(config.model_dump())
    return logger


@contextmanager
def _ctrl_c(keeper: _Keeper, say: Callable[[str], object]) -> Iterator[None]:
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


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning's hints on hardware and worker counts, which do not apply, are not shown."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
        warnings.filterwarnings("ignore", message=r".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=r".*have no `val_dataloader`.*")
        warnings.filterwarnings("ignore", message=r".*checkpoint that ended before the epoch.*")
        warnings.filterwarnings("ignore", message=r".*Checkpoint directory.*exists.*")
        hook = threading.excepthook
        # TensorBoard's thread tells the training of a full disk too, which then says it once.
        threading.excepthook = lambda args: None if args.exc_type is OSError else hook(args)
        try:
            yield
        finally:
            threading.excepthook = hook
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
