"""Alarms: what a training shows when it goes wrong, and what to do about it.

Each rule looks at the cycles so far and, where it holds, says one line: what, found, what to do.
A line is said once in a run. The limits are meant to be silent in a training that is merely slow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from statistics import fmean, median, pstdev
from typing import Any

from singerid.errors import SingeridError

CHANCE_EER = 0.45  # from here on, trials are decided by a coin
POOR_EER = 0.25  # an encoder that is better has not collapsed, whatever its spread
LEAST_SPREAD = 1e-3  # variance of unit vectors (1: evenly over the sphere)
LEAST_RANK = 1.5
DEAD_SHARE = 0.25
ZERO_SHARE = 0.05
WORSE_EER = 0.02
WAITING_SHARE, WAITING_SECONDS = 0.3, 10.0


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one cycle of training and validation showed; None or nothing where not measured.

    Attributes:
        step: number of its last step.
        loss: mean of what is optimized.
        accuracy: of the training batches, 0 to 1.
        eer: equal error rate of the validation trials, 0 to 1.
        gradient_norm: mean over the steps, before clipping.
        learning_rate: at its end.
        health: of the validation embeddings (see `singerid.health`).
        seconds: by part, with ``data`` for waiting for batches (see `singerid.throughput`).
    """

    step: int
    loss: float
    accuracy: float | None = None
    eer: float | None = None
    gradient_norm: float | None = None
    learning_rate: float | None = None
    health: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is remembered of a cycle: nothing that depends on the clock, so that runs repeat."""

    loss: float
    accuracy: float | None
    eer: float | None
    gradient_norm: float | None
    learning_rate: float | None
    rank: float | None
    spread: float | None


_NAMES = tuple(f.name for f in fields(_Kept))
Finding = tuple[str, str, str]
"""What, found, what to do."""


class Alarms:
    """Looks at each cycle and says what is wrong, each thing once in a run.

    Attributes:
        said: the lines so far, by the name of their rule.
    """

    def __init__(self, dim: int, gradient_clip: float = math.inf, workers: int = 0) -> None:
        """Start with no cycles.

        Args:
            dim: length of an embedding.
            gradient_clip: limit of the gradient norm.
            workers: processes that make batches.
        """
        self.said: dict[str, str] = {}
        self._dim, self._clip, self._workers = dim, gradient_clip, workers
        self._kept: list[_Kept] = []
        self._rules: dict[str, Callable[[Cycle], Finding | None]] = {
            "collapse": self._collapse, "chance": self._chance, "zeros": self._zeros,
            "dead": self._dead, "overfitting": self._overfitting, "explosion": self._explosion,
            "vanishing": self._vanishing, "divergence": self._divergence,
            "plateau": self._plateau, "starvation": self._starvation,
        }  # fmt: skip

    def cycle(self, cycle: Cycle) -> list[str]:
        """Take in a cycle; returns the lines that are to be said now."""
        spread = None
        if "within_variance" in cycle.health:
            spread = cycle.health["within_variance"] + cycle.health["between_variance"]
        self._kept.append(
            _Kept(
                cycle.loss, cycle.accuracy, cycle.eer, cycle.gradient_norm, cycle.learning_rate,
                cycle.health.get("effective_rank"), spread,
            )
        )  # fmt: skip
        lines = []
        for name, rule in self._rules.items():
            if name not in self.said and (finding := rule(cycle)):
                what, found, do = finding
                line = str(SingeridError(what, where=f"step {cycle.step}", found=found, do=do))
                self.said[name] = line
                lines.append(line)
        return lines

    def state_dict(self) -> dict[str, Any]:
        """Plain values; a resumed run says what the uninterrupted one would have said.

        Waiting for batches is left out: it depends on the clock, and may be said again.
        """
        said = {name: line for name, line in self.said.items() if name != "starvation"}
        columns = {name: [getattr(kept, name) for kept in self._kept] for name in _NAMES}
        return {"said": said, "cycles": columns}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up where `state_dict` left off."""
        self.said = dict(state["said"])
        columns = [state["cycles"][name] for name in _NAMES]
        self._kept = [_Kept(*values) for values in zip(*columns, strict=True)]

    def _column(self, name: str) -> list[float]:
        """Values of the cycles that have one."""
        return [v for kept in self._kept if (v := getattr(kept, name)) is not None]

    def _collapse(self, cycle: Cycle) -> Finding | None:
        """All vectors (almost) equal, or on a line, for three cycles."""
        last = self._kept[-3:]
        for kept in last:
            narrow = kept.spread is not None and kept.spread < LEAST_SPREAD
            flat = kept.rank is not None and kept.rank < LEAST_RANK
            good = kept.eer is not None and kept.eer < POOR_EER
            if not (narrow or flat) or good:
                return None
        if len(last) < 3:
            return None
        rank, spread = last[-1].rank, last[-1].spread
        return (
            "the embeddings have collapsed: all singers get nearly the same vector",
            f"effective rank {_number(rank)}, variance {_number(spread)}",
            "lower --train.learning_rate, raise --batch.n_singers, or take another "
            "--loss.objective",
        )

    def _chance(self, cycle: Cycle) -> Finding | None:
        """Validation at chance for five cycles."""
        rates = self._column("eer")[-5:]
        if len(rates) < 5 or min(rates) < CHANCE_EER:
            return None
        return (
            "validation is at chance", f"EER {rates[-1]:.1%} after {len(self._kept)} cycles",
            "look at inputs/ and the singers' labels; try another --train.learning_rate",
        )  # fmt: skip

    def _zeros(self, cycle: Cycle) -> Finding | None:
        share = cycle.health.get("zero_vectors", 0.0)
        if share < ZERO_SHARE:
            return None
        return (
            "embeddings without a direction: the ReLU left nothing of them",
            f"{share:.0%} of the validation recordings", "start again with --encoder.relu false",
        )  # fmt: skip

    def _dead(self, cycle: Cycle) -> Finding | None:
        """Dimensions that stay constant after three cycles."""
        dead = cycle.health.get("dead_dimensions", 0.0)
        if len(self._kept) < 3 or dead < DEAD_SHARE * self._dim:
            return None
        return (
            "dimensions of the embedding are dead: the same for every recording",
            f"{dead:.0f} of {self._dim}",
            "start again with --encoder.relu false, or lower --train.learning_rate",
        )

    def _overfitting(self, cycle: Cycle) -> Finding | None:
        """Validation EER worse than five cycles ago and before, training no worse."""
        pairs = [(k.eer, k.accuracy) for k in self._kept]
        known = [(eer, right) for eer, right in pairs if eer is not None and right is not None]
        rates, right = (
            (_smooth(column) for column in zip(*known, strict=True)) if known else ([], [])
        )
        if len(rates) < 6:
            return None
        best = min(range(len(rates)), key=rates.__getitem__)
        if len(rates) - best < 6 or rates[-1] < rates[best] + WORSE_EER or right[-1] < right[best]:
            return None
        return (
            "the training overfits: singers it knows get better, others worse",
            f"training accuracy {right[best]:.1%} → {right[-1]:.1%}, validation EER "
            f"{rates[best]:.1%} → {rates[-1]:.1%}",
            "stop: the best encoder is kept; more singers, more augmentation or a smaller encoder "
            "would help",
        )

    def _explosion(self, cycle: Cycle) -> Finding | None:
        """Gradient ten times what it was usually."""
        norms = self._column("gradient_norm")
        if len(norms) < 6:
            return None
        usual, now = median(norms[:-1]), norms[-1]
        if math.isfinite(now) and now <= max(
            10 * usual, self._clip if self._clip < math.inf else 0
        ):
            return None
        return (
            "gradients explode", f"norm {now:.3g}, before {usual:.3g}",
            "lower --train.learning_rate or --train.gradient_clip",
        )  # fmt: skip

    def _vanishing(self, cycle: Cycle) -> Finding | None:
        """Gradient a thousandth of what it was at first, although the loss is not small."""
        norms = self._column("gradient_norm")
        if len(norms) < 6 or cycle.loss < 0.5 * self._kept[0].loss:
            return None
        first, now = median(norms[:5]), norms[-1]
        if now > max(1e-3 * first, 1e-7):
            return None
        return (
            "gradients vanish: the network no longer learns",
            f"norm {now:.3g}, at first {first:.3g}, loss {cycle.loss:.3g}",
            "start again with a lower --train.learning_rate or --encoder.relu false",
        )

    def _divergence(self, cycle: Cycle) -> Finding | None:
        """Loss up by half, and accuracy down (else it is a margin that grows)."""
        losses, right = _smooth(self._column("loss")), _smooth(self._column("accuracy"))
        if len(losses) < 4:
            return None
        best = min(range(len(losses)), key=losses.__getitem__)
        fell = len(right) < len(losses) or right[-1] < right[best] - 0.1
        if not fell or losses[-1] < 1.5 * losses[best]:
            return None
        return (
            "the training diverges", f"loss {losses[best]:.3g} → {losses[-1]:.3g}",
            "lower --train.learning_rate; the best encoder is kept",
        )  # fmt: skip

    def _plateau(self, cycle: Cycle) -> Finding | None:
        """Loss and accuracy the same over ten cycles as over the ten before, at a full rate."""
        losses, rates = self._column("loss"), self._column("learning_rate")
        now, before = losses[-10:], losses[-20:-10]
        if len(before) < 10 or fmean(now) < 0.99 * fmean(before) or fmean(now) < 0.1 * losses[0]:
            return None
        right = self._column("accuracy")
        if len(right) == len(losses) and (
            right[-1] > 0.9 or fmean(right[-10:]) > fmean(right[-20:-10]) + 0.01
        ):
            return None
        if rates and rates[-1] < 0.5 * max(rates):  # it is being lowered: as it should be
            return None
        norms = self._column("gradient_norm")[-10:]
        wild = pstdev(now) > 0.05 * fmean(now) or (bool(norms) and min(norms) > self._clip)
        rate = f" at a learning rate of {rates[-1]:.3g}" if rates else ""
        return (
            "the training loss stands still", f"{fmean(now):.3g} for 20 cycles{rate}",
            "it jumps about, which speaks for a rate too high: divide --train.learning_rate by 3"
            if wild else
            "it is smooth, which speaks for a rate too low: multiply --train.learning_rate by 3",
        )  # fmt: skip

    def _starvation(self, cycle: Cycle) -> Finding | None:
        """Much of the time goes by waiting for batches."""
        waited, total = cycle.seconds.get("data", 0.0), sum(cycle.seconds.values())
        if waited < WAITING_SECONDS or waited < WAITING_SHARE * total:
            return None
        return (
            "the training waits for its batches", f"{waited / total:.0%} of the time",
            f"raise --train.workers (now {self._workers}) up to the number of free cores, or "
            "train from a store",
        )  # fmt: skip


def _smooth(values: Sequence[float]) -> list[float]:
    """Running mean of three, from the third value on."""
    return [fmean(values[i : i + 3]) for i in range(len(values) - 2)]


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
