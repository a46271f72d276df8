"""The objective as one line of configuration: a weighted sum of losses."""

from __future__ import annotations

import math
import re

LOSSES = ("aam", "ge2e", "prediction", "prototypical", "supcon")
"""Names that a line may hold; `singerid.losses` has what they stand for."""
SUMS = {"total": ("ge2e", "prediction")}
"""Names for sums of losses: the original's "total"."""
_TERM = re.compile(
    r"(?:(?P<weight>[\d.]+(?:e-?\d+)?)\s*[*·]?\s*)?(?P<name>[a-z]\w*)", re.IGNORECASE
)


def parse_objective(line: str) -> dict[str, float]:
    """Weight of each loss in a line such as ``aam + 0.5 prototypical``.

    Terms are joined by ``+``; a term is a name, or a positive weight and a name (``0.5 aam``,
    ``0.5 * aam``). ``total`` stands for ``ge2e + prediction``.

    Raises:
        ValueError: a term cannot be read, its weight is no positive number, its name is unknown
            or was there before; the message names it and what is expected.
    """
    weights: dict[str, float] = {}
    for term in line.split("+"):
        weight, name = _read_term(term.strip())
        for loss in SUMS.get(name, (name,)):
            if loss in weights:
                raise ValueError(f"{loss} is twice in the objective {line!r}; add up its weights")
            weights[loss] = weight
    return weights


def _read_term(term: str) -> tuple[float, str]:
    found = _TERM.fullmatch(term)
    known = ", ".join((*LOSSES, *SUMS))
    if not found:
        raise ValueError(
            f"cannot read {term!r} in the objective; expected terms like "
            f"'0.5 prototypical', joined by +, of {known}"
        )
    name = found["name"]
    if name not in LOSSES and name not in SUMS:
        raise ValueError(f"{name!r} is no loss for the objective; expected {known}")
    try:
        weight = float(found["weight"] or 1)
    except ValueError:  # 1.2.3
        weight = math.nan
    if not 0 < weight < math.inf:
        raise ValueError(
            f"{found['weight']!r} is no weight for {name} in the objective; "
            "expected a positive number"
        )
    return weight, name
