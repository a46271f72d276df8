"""The keeper: logs figures, saves checkpoints and the best encoder, ends the training."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from singerid import run
from singerid.checkpoint import save_encoder
from singerid.errors import SingeridError
from singerid.formats import FORMATS
from singerid.ranks import any_rank, rank
from singerid.records import atomic_write
from singerid.spec import FeatureSpec
from singerid.task import Figures, SingerTask, means
from singerid.training_sections import TrainSettings


class Interrupted(SingeridError):
    """The user stopped the training; everything is saved."""


class Keeper(Callback):  # type: ignore[misc]
    """Logs figures, saves checkpoints and the best encoder, ends the training."""

    def __init__(
        self,
        path: Path,
        log: run.RunLog | None,
        spec: FeatureSpec,
        provenance: Mapping[str, Any],
        on_step: Callable[[int, Figures], object],
        on_cycle: Callable[[int, Figures, Figures, bool], object],
    ) -> None:
        self.path, self.log_file, self.spec, self.provenance = path, log, spec, dict(provenance)
        self.on_step, self.on_cycle = on_step, on_cycle
        self.best = math.inf
        self.interrupted = self.has_begun = False
        self.first_step = 0
        self.listen: Callable[[], object] = lambda: None
        self._cycle: list[Tensor] = []
        self._window: list[Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        """Figures that are not logged yet belong to it: a resumed run logs the same lines."""
        return {
            "best": self.best, "cycle": self._cycle, "window": self._window
        }  # fmt: skip

    def step(self, trainer: Any) -> int:
        """Number of the last step, those of a run whose weights were taken over counted in."""
        return int(trainer.lightning_module.step)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where a checkpoint left off."""
        self.best = float(state_dict["best"])
        self._cycle, self._window = list(state_dict["cycle"]), list(state_dict["window"])

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Listen again: Lightning has just put its own handler of SIGTERM, which saves nothing."""
        self.has_begun = True
        self.listen()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log, and end or leave where it is time."""
        settings, step = pl_module.config.train, self.step(trainer)
        if (batch_idx + 1) % settings.accumulate:  # the step is still to come
            return
        self.interrupted = any_rank(self.interrupted, pl_module.device)
        new = pl_module.take_train_figures()
        self._cycle += new
        self._window += new
        last, cycle_ends = step >= settings.steps, self._cycle_ends(trainer, settings)
        due = step % settings.log_every == 0 or cycle_ends
        figures = means(self._window, pl_module.train_names) if due or last else {}
        if due:  # else a run that goes on from the last step shall log what it would have
            self._window = []
        if figures:
            self._log(trainer, "train", step, figures)
        self.on_step(step, figures)
        if last:
            trainer.should_stop = True
        if last and not cycle_ends:
            self._write_state(trainer)  # it counts once the encoder is kept (see `_end_cycle`)
        elif self.interrupted and not cycle_ends:
            self._save_state(trainer)
        if not trainer.enable_validation and (cycle_ends or last):
            self._end_cycle(trainer, pl_module, {})
        elif self.interrupted and not (cycle_ends or last):
            self._leave(step)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """All that a checkpoint holds is in its place."""
        self.has_begun = True

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Log and end the cycle."""
        valid = pl_module.take_valid_figures()
        if trainer.state.fn == "validate":  # nothing is trained
            self.on_cycle(self.first_step, {}, valid, False)
            return
        self._log(trainer, "valid", self.step(trainer), valid)
        self._end_cycle(trainer, pl_module, valid)

    def _end_cycle(self, trainer: Any, task: SingerTask, valid: Figures) -> None:
        """Keep the encoder if it is the best; without validation, the last."""
        step, settings = self.step(trainer), task.config.train
        train, self._cycle = means(self._cycle, task.train_names), []
        best = not valid or valid[task.monitor] < self.best
        if best:
            self.best = valid.get(task.monitor, math.inf)
            self._save_encoder(task, step, valid)
        self.on_cycle(step, train, valid, best)
        if self._cycle_ends(trainer, settings):
            self._save_state(trainer)
        elif step >= settings.steps:
            self._publish_state(trainer)
        if self.interrupted and step < settings.steps:
            self._leave(step)

    def _cycle_ends(self, trainer: Any, settings: TrainSettings) -> bool:
        return bool(trainer.global_step % settings.train_iters == 0)

    def _log(self, trainer: Any, split: str, step: int, figures: Figures) -> None:
        if self.log_file is not None:
            tagged = {f"{split}/{name}": value for name, value in figures.items()}
            for logger in trainer.loggers:
                logger.log_metrics(tagged, step)
            self.log_file.write(split, step, figures)

    def _save_state(self, trainer: Any) -> None:
        """Full state as ``ckpt_<step>.ckpt``; the one before it goes once the new one is whole."""
        self._write_state(trainer)
        self._publish_state(trainer)

    def _write_state(self, trainer: Any) -> None:
        """Full state in a file that does not count yet."""
        target = self._target(trainer)
        with _writing(target, self.path):
            trainer.save_checkpoint(target.with_suffix(".part"))  # all ranks; the first writes

    def _publish_state(self, trainer: Any) -> None:
        """Let the state that was written count."""
        if rank():
            return
        target = self._target(trainer)
        partial = target.with_suffix(".part")
        with _writing(target, self.path):
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(partial, target)
        for old in run.checkpoints(self.path):
            if old != target:
                old.unlink()

    def _target(self, trainer: Any) -> Path:
        return self.path / f"ckpt_{self.step(trainer)}.ckpt"

    def _save_encoder(self, task: SingerTask, step: int, figures: Figures) -> None:
        if rank():
            return
        weights = {name: tensor.detach().cpu() for name, tensor in task.kept.state_dict().items()}
        made_by = self.provenance | {"step": step, "valid": figures}
        config = task.config
        frames = config.batch.partial_frames
        save_encoder(
            self.path / "encoder.safetensors", weights, config.encoder, self.spec, frames, made_by
        )
        with atomic_write(self.path / "saved_model.pt", "wb") as file:
            torch.save(
                {"format": FORMATS["saved model"], "step": step, "model_state": weights}, file
            )

    def _leave(self, step: int) -> None:
        raise Interrupted(
            f"stopped at step {step}, everything is saved", where=self.path,
            do=f"go on with: singerid train --resume {self.path}",
        )  # fmt: skip


@contextmanager
def _writing(target: Path, path: Path) -> Iterator[None]:
    """Say in one line why a checkpoint cannot be written.

    Raises:
        SingeridError: instead of what Python and torch raise.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:  # torch's own writer raises the latter
        target.with_suffix(".part").unlink(missing_ok=True)
        raise SingeridError(
            "checkpoint cannot be written", where=target, found=str(error).split("\n")[0],
            do=f"free space, then: singerid train --resume {path}",
        ) from error  # fmt: skip
