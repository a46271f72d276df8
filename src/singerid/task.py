"""The task: encoder, losses, optimizer, and what is measured at each step."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.nn import functional as F

from singerid import metrics
from singerid.config import Config
from singerid.encoders import build_encoder
from singerid.errors import ConfigError, SingeridError
from singerid.losses import GE2ELoss, PredictionLoss, prototype_logits, similarity_matrix
from singerid.precision import autocast
from singerid.spec import FeatureSpec

Figures = dict[str, float]
MONITORED = "valid/ge2e_loss"
"""What early stopping and the choice of the best encoder look at."""
_NAMES = ("ge2e_loss", "prediction_loss", "total_loss", "accuracy", "prediction_accuracy")


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
        freeze(self.encoder, config.train.freeze)
        self.prediction = PredictionLoss(config.encoder.dim, n_singers)
        self.train_figures: list[Tensor] = []
        self.valid_figures: list[Tensor] = []
        self._valid_scores: list[tuple[Tensor, Tensor]] = []

    def embed(self, features: Tensor) -> Tensor:
        """`(n_singers, n_partials, n_frames, n_dims)` → `(n_singers · n_partials, dim)`."""
        with autocast(self.config.train.precision == "bf16", self.device):
            vectors: Tensor = self.encoder(features.flatten(0, 1))
        return vectors.float()

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Raise the error that a batch could not be made for."""
        if isinstance(batch, SingeridError):
            raise batch
        return batch

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
        check_finite(float(total.detach()), self.global_step + 1)
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
        loss = means(self.valid_figures)["ge2e_loss"]
        check_finite(loss, self.global_step)
        self.log(MONITORED, loss, logger=False)

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
        return means(taken) | {"eer": metrics.eer(all_scores, targets)[0]}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over everything that is not frozen."""
        free = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.Adam(free, lr=self.config.train.learning_rate)

    def on_train_start(self) -> None:
        """A resumed run takes the learning rate that is asked for, not the checkpoint's."""
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.config.train.learning_rate

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say what the weights belong to (see `singerid.train`)."""
        checkpoint["singerid"] = self.identity


def freeze(encoder: torch.nn.Module, beginnings: str) -> None:
    """Keep the weights whose names start with one of the comma-separated beginnings.

    Raises:
        ConfigError: no weight's name starts so.
    """
    for beginning in filter(None, (part.strip() for part in beginnings.split(","))):
        frozen = [p for name, p in encoder.named_parameters() if name.startswith(beginning)]
        if not frozen:
            names = sorted({name.split(".")[0] for name, _ in encoder.named_parameters()})
            raise ConfigError(
                f"no weight starts with {beginning!r}", where="train.freeze", expected=names
            )
        for parameter in frozen:
            parameter.requires_grad = False


def check_finite(loss: float, step: int) -> None:
    """Stop at a loss that is no number.

    Raises:
        SingeridError: with what to do.
    """
    if not math.isfinite(loss):
        raise SingeridError(
            "the loss is not finite", where=f"step {step}", found=loss,
            do="lower --train.learning_rate; the last checkpoint is intact",
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


def means(figures: list[Tensor]) -> Figures:
    """Mean of each figure over steps; empty for none."""
    if not figures:
        return {}
    return dict(zip(_NAMES, torch.stack(figures).mean(dim=0).tolist(), strict=True))
