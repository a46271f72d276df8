"""Losses: what makes embeddings of one singer alike and of different singers unlike.

A loss maps `(embeddings, singer indices)` to a scalar and owns its parameters. Some compare the
embeddings of a batch with each other (GE2E, prototypical, SupCon), others with what they know of
each training singer (AAM, prediction). `Objective` sums them up as one line of the settings says.
"""

from singerid.losses.gather import gather_embeddings
from singerid.losses.ge2e import GE2ELoss, similarity_matrix
from singerid.losses.margin import AAMLoss
from singerid.losses.objective import Objective, build_loss
from singerid.losses.prediction import PredictionLoss, prototype_logits
from singerid.losses.prototypical import PrototypicalLoss
from singerid.losses.supcon import SupConLoss
from singerid.objective_line import parse_objective

__all__ = [
    "AAMLoss",
    "GE2ELoss",
    "Objective",
    "PredictionLoss",
    "PrototypicalLoss",
    "SupConLoss",
    "build_loss",
    "gather_embeddings",
    "parse_objective",
    "prototype_logits",
    "similarity_matrix",
]
