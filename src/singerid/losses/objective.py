"""What training makes small: a weighted sum of losses, as the settings say."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from singerid.losses.gather import gather_embeddings
from singerid.losses.ge2e import GE2ELoss, similarity_matrix
from singerid.losses.margin import AAMLoss
from singerid.losses.prediction import PredictionLoss
from singerid.losses.prototypical import PrototypicalLoss
from singerid.losses.supcon import SupConLoss
from singerid.objective_line import parse_objective
from singerid.training_sections import LossSettings


class Objective(nn.Module):
    """The losses of `LossSettings.objective`, with their parameters, and their weighted sum.

    Everything is computed in float32 at least, also under autocast. Among several ranks,
    losses that compare embeddings (ge2e, prototypical, supcon) see the joint batch
    (`gather_embeddings`); losses over the training singers (aam, prediction) are means over
    embeddings, whose mean over ranks is that of the joint batch anyway.

    Attributes:
        weights: weight of each loss by its name.
        losses: the losses by name.

    Args:
        settings: the objective's line and the parameters of the losses.
        dim: length of an embedding.
        n_singers: number of training singers.
    """

    def __init__(self, settings: LossSettings, dim: int, n_singers: int) -> None:
        super().__init__()
        self.weights = parse_objective(settings.objective)
        self.losses = nn.ModuleDict(
            {name: build_loss(name, settings, dim, n_singers) for name in self.weights}
        )

    def forward(
        self,
        embeddings: Tensor,
        singers: Tensor,
        progress: float = 1.0,
        similarities: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Each loss by its name, and "objective", their weighted sum; all scalars.

        Args:
            embeddings: unit vectors `(n, dim)`.
            singers: index of the training singer of each, `(n,)`.
            progress: share of the training that is done, in [0, 1] (AAM's margin schedule).
            similarities: what `similarity_matrix` gave for the joint batch of these embeddings,
                if the caller has it already; only ge2e uses it.

        Raises:
            ValueError: the batch does not have what a loss needs; see the losses.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))
            joint = embeddings, singers
            if not self.losses.keys() <= {"aam", "prediction"}:
                joint = gather_embeddings(embeddings, singers)
            found: dict[str, Tensor] = {}
            for name, loss in self.losses.items():
                if isinstance(loss, AAMLoss):
                    found[name] = loss(embeddings, singers, progress)
                elif isinstance(loss, PredictionLoss):
                    found[name] = loss(embeddings, singers)
                elif isinstance(loss, GE2ELoss):
                    found[name] = loss.from_similarities(
                        *(similarities or similarity_matrix(*joint))
                    )
                else:
                    found[name] = loss(*joint)
            weighted = [weight * found[name] for name, weight in self.weights.items()]
            return found | {"objective": torch.stack(weighted).sum()}


def build_loss(name: str, settings: LossSettings, dim: int, n_singers: int) -> nn.Module:
    """One loss by its name in the objective's line.

    Args:
        name: one of `singerid.objective_line.LOSSES`.
        settings: the parameters of the losses.
        dim: length of an embedding.
        n_singers: number of training singers.
    """
    if name == "ge2e":
        return GE2ELoss(
            settings.ge2e, settings.init_scale, settings.init_bias, settings.scale_gradient
        )
    if name == "prediction":
        return PredictionLoss(dim, n_singers)
    if name == "prototypical":
        return PrototypicalLoss(settings.n_queries, settings.init_scale)
    if name == "supcon":
        return SupConLoss(settings.temperature)
    return AAMLoss(
        dim, n_singers, settings.margin, settings.scale, settings.sub_centers,
        settings.margin_warmup, settings.hard_singers, settings.hard_margin,
    )  # fmt: skip
