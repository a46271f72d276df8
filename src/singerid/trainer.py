"""The Trainer: Lightning's, set up for a run, and without what it says that does not apply."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import MixedPrecision

from singerid.ranks import device, n_hosts, n_ranks
from singerid.task import MONITORED
from singerid.training_sections import TrainSettings


class Stopping(EarlyStopping):  # type: ignore[misc]
    """Ends a training that gets no better."""

    def __init__(self, settings: TrainSettings) -> None:
        super().__init__(
            MONITORED, settings.threshold, settings.patience, check_on_train_epoch_end=False
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A resumed run has the patience that is asked for, not the checkpoint's."""
        super().load_state_dict(state_dict | {"patience": self.patience})


class ScaledGradients(MixedPrecision):  # type: ignore[misc]
    """Lightning's ``16-mixed``, but what runs in fp16 is for the task to say: the encoder only.

    The loss is scaled before the backward pass, since small gradients would be zero in fp16;
    gradients are unscaled before their norm is limited, and a step whose gradients are too large
    is left out (Micikevicius et al., Mixed precision training, ICLR 2018, section 3.2).
    """

    def __init__(self) -> None:
        super().__init__("16-mixed", device().type)

    def forward_context(self) -> AbstractContextManager[None]:
        """Nothing: losses stay in float32."""
        return nullcontext()


def build_trainer(
    settings: TrainSettings,
    loggers: Sequence[Logger],
    callbacks: Sequence[Callback],
    validated: bool,
) -> L.Trainer:
    """Lightning's Trainer for the steps of a run.

    Args:
        settings: how to train.
        loggers: where figures go.
        callbacks: which keep and watch the run.
        validated: whether there are validation batches.
    """
    return L.Trainer(
        accelerator="auto", devices=max(1, n_ranks() // n_hosts()), num_nodes=n_hosts(),
        strategy="ddp" if n_ranks() > 1 else "auto", max_epochs=-1,
        plugins=[ScaledGradients()] if settings.precision == "fp16" else None,
        # torch has it for GPUs only: on CPUs each rank normalizes by its own part.
        sync_batchnorm=n_ranks() > 1 and torch.cuda.is_available(),
        logger=list(loggers), callbacks=list(callbacks),
        gradient_clip_val=settings.gradient_clip, accumulate_grad_batches=settings.accumulate,
        limit_val_batches=None if validated else 0, num_sanity_val_steps=0,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False, log_every_n_steps=1,
    )  # fmt: skip


@contextmanager
def quiet_lightning() -> Iterator[None]:
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
        # All ranks validate alike; and the compiler lays gradients out as it likes.
        warnings.filterwarnings("ignore", message=r".*recommended to use `self.log.*sync_dist.*")
        warnings.filterwarnings("ignore", message=r"(?s).*Grad strides do not match bucket.*")
        hook = threading.excepthook
        # TensorBoard's thread tells the training of a full disk too, which then says it once.
        threading.excepthook = lambda args: None if args.exc_type is OSError else hook(args)
        try:
            yield
        finally:
            threading.excepthook = hook
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
