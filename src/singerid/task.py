"""The task: encoder, losses, optimizer, and what is measured at each step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from singerid import metrics
from singerid.config import Config
from singerid.encoders import Encoder, build_encoder
from singerid.errors import ConfigError, SingeridError
from singerid.formats import FORMATS
from singerid.health import embedding_health
from singerid.losses import (
    AAMLoss,
    GE2ELoss,
    Objective,
    PredictionLoss,
    build_loss,
    gather_embeddings,
    prototype_logits,
    similarity_matrix,
)
from singerid.optimization import WeightAverage, build_optimizer, learning_rate_at
from singerid.precision import autocast
from singerid.ranks import joint_mean
from singerid.spec import FeatureSpec
from singerid.trial_validation import TrialValidation

Figures = dict[str, float]
MONITORED = "valid/monitored"
"""What early stopping looks at: `train.monitor`, by Lightning's name for it."""
NAMES = ("ge2e_loss", "prediction_loss", "total_loss", "accuracy", "prediction_accuracy")
"""Figures that every training and validation batch has."""


class SingerTask(L.LightningModule):  # type: ignore[misc]
    """Encoder, losses, optimizer, and the figures of each step.

    Figures, on training and validation batches alike:

    * ``ge2e_loss``;
    * ``accuracy``: share of partials whose nearest centroid in the batch is their own singer's,
      the partial itself left out of it;
    * ``prediction_loss`` and ``prediction_accuracy``: of the head over the training singers
      (AAM-softmax's without its margin, or a linear one). Validation singers are not among
      them; there, centroids of one half of the partials predict the other half
      (`singerid.losses.prototype_logits`);
    * ``total_loss``: the sum of both losses;
    * ``eer`` (validation only): of all cosines between partials and centroids of the cycle;
    * training only: ``objective``, what is optimized, each loss in it that is not named yet, and
      ``gradient_norm``, before it is clipped.

    `compiled` may hold the encoder's forward pass as a compiler made it (`singerid.compiling`).
    Whatever the objective, GE2E and prediction are measured, and their parameters (head, scale
    and bias) trained, if need be on detached embeddings, so that the figures mean something.
    """

    def __init__(self, config: Config, spec: FeatureSpec, n_singers: int, data: str = "") -> None:
        super().__init__()
        self.config = config
        self.identity = {
            "encoder": config.encoder.model_dump(), "features": spec.fingerprint(), "data": data,
            "classes": n_singers,
        }  # fmt: skip
        self.encoder = build_encoder(config.encoder, spec.n_inputs, spec.n_pitch_classes)
        freeze(self.encoder, config.train.freeze)
        self.objective = Objective(config.loss, config.encoder.dim, n_singers)
        missing = {"ge2e", "prediction"} - self.objective.losses.keys()
        if "aam" in self.objective.losses:
            missing -= {"prediction"}
        self.measured = nn.ModuleDict(
            {
                name: build_loss(name, config.loss, config.encoder.dim, n_singers)
                for name in sorted(missing)
            }
        )
        decay = config.train.average
        self.average = WeightAverage(self.encoder, decay) if decay > 0 else None
        others = sorted(self.objective.losses.keys() - {"ge2e", "prediction"})
        self.train_names = (
            *NAMES,
            *(f"{name}_loss" for name in others),
            "objective",
            "gradient_norm",
        )
        self.compiled: Callable[[Tensor], Tensor] | None = None
        self.steps_before = 0
        self.trials: TrialValidation | None = None
        self.train_figures: list[Tensor] = []
        self.valid_figures: list[Tensor] = []
        self._valid_scores: list[tuple[Tensor, Tensor]] = []
        self._trial_figures: Figures = {}

    @property
    def monitor(self) -> str:
        """The validation figure that decides: of trials, only where there are any."""
        return "ge2e_loss" if self.trials is None else self.config.train.monitor

    @property
    def kept(self) -> Encoder:
        """The encoder that is validated and saved: the weights' average, if there is one."""
        return self.encoder if self.average is None else cast(Encoder, self.average.module)

    @property
    def ge2e(self) -> GE2ELoss:
        """The GE2E loss, whether it is optimized or only measured."""
        measured = "ge2e" in self.measured
        return cast(GE2ELoss, (self.measured if measured else self.objective.losses)["ge2e"])

    @property
    def step(self) -> int:
        """Number of steps done, those of a run whose weights were taken over counted in."""
        return int(self.global_step) + self.steps_before

    def start_average(self) -> None:
        """Let the average begin with the encoder's weights as they are now."""
        if self.average is not None:
            self.average.module.load_state_dict(self.encoder.state_dict())

    def embed(self, features: Tensor, encoder: Encoder | None = None) -> Tensor:
        """`(n_singers, n_partials, n_frames, n_dims)` → `(n_singers · n_partials, dim)`.

        By the encoder that is trained, through the compiler if asked for; or by another.
        """
        precision = self.config.train.precision
        dtype = torch.float16 if precision == "fp16" else torch.bfloat16
        network = encoder or self.compiled or self.encoder
        with autocast(precision in ("bf16", "fp16"), self.device, dtype):
            vectors: Tensor = network(features.flatten(0, 1))
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
        cosines, own = similarity_matrix(*gather_embeddings(vectors, classes))
        progress = min(1.0, self.step / self.config.train.steps)
        found = self.objective(vectors, classes, progress, (cosines, own))
        detached = vectors.detach()
        logits = self._logits(detached)
        if "ge2e" in self.measured:
            found["ge2e"] = self.ge2e.from_similarities(cosines.detach(), own)
        prediction_loss = F.cross_entropy(logits, classes)
        loss: Tensor = found["objective"]
        if "ge2e" in self.measured:
            loss = loss + found["ge2e"]
        if "prediction" in self.measured:
            loss = loss + prediction_loss
        check_finite(float(loss.detach()), self.step + 1)
        figures = _figures(cosines, own, found["ge2e"], logits, classes, prediction_loss)
        named = [found[name.removesuffix("_loss")] for name in self.train_names[len(NAMES) : -1]]
        more = torch.stack([value.detach() for value in named])
        self.train_figures.append(torch.cat([figures, more, more.new_full((1,), math.nan)]))
        return loss

    def _logits(self, vectors: Tensor) -> Tensor:
        """Logits over the training singers of `(n, dim)`: of AAM-softmax, or of a linear head."""
        if "aam" in self.objective.losses:
            with torch.no_grad():
                return cast(AAMLoss, self.objective.losses["aam"]).logits(vectors)
        measured = "prediction" in self.measured
        losses = self.measured if measured else self.objective.losses
        return cast(Tensor, cast(PredictionLoss, losses["prediction"]).head(vectors))

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """One batch of singers that training never sees."""
        features, singers = batch
        vectors = self.embed(features, self.kept)
        classes = singers.repeat_interleave(features.shape[1])
        cosines, own = similarity_matrix(vectors, classes)
        ge2e_loss = self.ge2e.from_similarities(cosines, own)
        logits, targets = prototype_logits(vectors, len(singers), self.ge2e.scale)
        loss = F.cross_entropy(logits, targets)
        self.valid_figures.append(_figures(cosines, own, ge2e_loss, logits, targets, loss))
        self._valid_scores.append((cosines, F.one_hot(own, cosines.shape[1]).bool()))

    def on_validation_epoch_end(self) -> None:
        """Score the trials, and hand early stopping its figure."""
        loss = means(self.valid_figures, NAMES)["ge2e_loss"]
        check_finite(loss, self.step)
        figures = {"ge2e_loss": loss}
        if self.trials is not None:
            result = self.trials(self.kept, self.config.train.precision == "bf16")
            health = embedding_health(result.embeddings, result.singers)
            self._trial_figures = {**result.figures, **health}
            figures |= self._trial_figures
        self.log(MONITORED, figures[self.monitor], logger=False)

    def take_train_figures(self) -> list[Tensor]:
        """What the steps since the last call measured, in the order of `train_names`."""
        taken, self.train_figures = self.train_figures, []
        return [joint_mean(figures) for figures in taken]

    def take_valid_figures(self) -> Figures:
        """Means over the validation batches, their joint equal error rate, and the trials'."""
        taken, self.valid_figures = self.valid_figures, []
        scores, self._valid_scores = self._valid_scores, []
        all_scores = torch.cat([cosines.flatten() for cosines, _ in scores]).cpu().numpy()
        targets = torch.cat([own.flatten() for _, own in scores]).cpu().numpy()
        trials, self._trial_figures = self._trial_figures, {}
        return means(taken, NAMES) | {"eer": metrics.eer(all_scores, targets)[0]} | trials

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer over everything that is not frozen."""
        parts = {"encoder": self.encoder, "objective": self.objective, "measured": self.measured}
        return build_optimizer(nn.ModuleDict(parts), self.config.train)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """Limit the norm of the gradients, and note what it was."""
        free = [p for p in self.parameters() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(free, gradient_clip_val)
        if self.config.train.precision == "fp16":  # too large for it: the step is left out
            norm = norm.where(norm.isfinite(), 0.0)
        for figures in self.train_figures[-self.config.train.accumulate :]:
            figures[-1] = norm

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:  # fmt: skip
        """One step at the learning rate of its number, which the average then takes in."""
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(self.step, self.config.train)
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.average is not None:
            self.average.update_parameters(self.encoder)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say what the weights belong to (see `singerid.train`)."""
        checkpoint["singerid"] = {"format": FORMATS["checkpoint"]} | self.identity
        checkpoint["steps_before"] = self.steps_before

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Count on from where the weights came from."""
        self.steps_before = int(checkpoint["steps_before"])


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
    """The values of `NAMES`, as one tensor: no waiting for a GPU at every step."""
    accuracy = (cosines.argmax(dim=1) == own).float().mean()
    prediction_accuracy = (logits.argmax(dim=1) == classes).float().mean()
    total = ge2e_loss + prediction_loss
    values = [ge2e_loss, prediction_loss, total, accuracy, prediction_accuracy]
    return torch.stack([value.detach() for value in values])


def means(figures: list[Tensor], names: tuple[str, ...]) -> Figures:
    """Mean of each figure over steps; empty for none.

    Args:
        figures: `(len(names),)` of each step.
        names: of the figures.
    """
    if not figures:
        return {}
    return dict(zip(names, torch.stack(figures).mean(dim=0).tolist(), strict=True))
