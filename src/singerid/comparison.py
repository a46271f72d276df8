"""Several encoders on the same trials: how far apart, and could chance have done it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from singerid import metrics
from singerid.embeddings import EmbeddingSet
from singerid.errors import MismatchError, SingeridError
from singerid.evaluate import rate_text, score, slices_of
from singerid.metrics.bootstrap import bootstrap_eer, interval
from singerid.sections import EvaluateSettings
from singerid.trials import TrialList
from singerid.verification import MIN_SINGERS, singer_numbers

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """Equal error rates of two encoders on the same trials; rates are fractions.

    Attributes:
        slice: which trials.
        a: name of the one encoder.
        b: name of the other.
        n_targets: number of target trials.
        n_nontargets: number of nontarget trials.
        eer_a: rate of the one.
        eer_b: rate of the other.
        difference: `eer_b - eer_a`; negative: b is better.
        interval: 95 % interval of the difference, by a bootstrap over singers in which both
            encoders see the same draws; None below 5 singers.
    """

    slice: str
    a: str
    b: str
    n_targets: int
    n_nontargets: int
    eer_a: float
    eer_b: float
    difference: float
    interval: tuple[float, float] | None

    @property
    def is_clear(self) -> bool:
        """True if the interval does not hold zero."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


def common(sets: Mapping[str, EmbeddingSet]) -> tuple[dict[str, EmbeddingSet], list[str]]:
    """The sets with the recordings that all have, in the order of the first; and what was left out.

    Raises:
        MismatchError: they have no recording in common, or disagree about whose one is.
    """
    shared = set.intersection(*(set(embeddings.ids) for embeddings in sets.values()))
    first = next(iter(sets.values()))
    ids = [id for id in first.ids if id in shared]
    if not ids:
        raise MismatchError(
            "the sets have no recording in common", where=" and ".join(sets),
            do="embed the same manifest with each encoder",
        )  # fmt: skip
    singer_of = dict(zip(first.ids, first.singers, strict=True))
    same, remarks = {}, []
    for name, embeddings in sets.items():
        row = {id: i for i, id in enumerate(embeddings.ids)}
        same[name] = embeddings.select(np.array([row[id] for id in ids]))
        for id, singer in zip(ids, same[name].singers, strict=True):
            if singer != singer_of[id]:
                raise MismatchError(
                    "the sets disagree about a recording's singer", where=f"{name}: {id}",
                    found=singer, expected=singer_of[id],
                )  # fmt: skip
        if len(embeddings) > len(ids):
            remarks.append(
                f"{name}: {len(embeddings) - len(ids)} of {len(embeddings)} recordings are not "
                "in all sets and are left out"
            )
    return same, remarks


def compare(
    sets: Mapping[str, EmbeddingSet], trials: TrialList, settings: EvaluateSettings | None = None
) -> list[Difference]:
    """Compare every encoder with the first, on every slice.

    Args:
        sets: embeddings by encoder's name, of the same recordings in the same order.
        trials: indices into them.
        settings: scoring, slices, intervals.

    Raises:
        SingeridError: fewer than two sets.
    """
    if len(sets) < 2:
        raise SingeridError("nothing to compare with", found=f"{len(sets)} set")
    settings = settings or EvaluateSettings()
    names, first = list(sets), next(iter(sets.values()))
    scores = np.stack([score(embeddings, trials, settings.scoring) for embeddings in sets.values()])
    _, numbers = np.unique(first.singers, return_inverse=True)
    pairs = singer_numbers(trials, numbers)
    found = []
    for name, mask in slices_of(trials, first.columns(), settings).items():
        targets = trials.targets[mask]
        rates = [metrics.eer(row[mask], targets)[0] for row in scores]
        draws = None
        if settings.n_bootstrap and len(np.unique(pairs[:, mask])) >= MIN_SINGERS:
            rng = np.random.default_rng([settings.seed, 1])
            draws = bootstrap_eer(
                scores[:, mask], targets, pairs[0, mask], pairs[1, mask], settings.n_bootstrap, rng
            )
        n_targets = int(np.count_nonzero(targets))
        for i in range(1, len(names)):
            bounds = None if draws is None else interval(draws[i] - draws[0])
            found.append(
                Difference(
                    name,
                    names[0],
                    names[i],
                    n_targets,
                    len(targets) - n_targets,
                    rates[0],
                    rates[i],
                    rates[i] - rates[0],
                    bounds,
                )
            )  # fmt: skip
    return found


def comparison_lines(differences: Sequence[Difference]) -> list[str]:
    """One line a difference, for a terminal."""
    width = max(len(d.slice) for d in differences)
    lines = []
    for d in differences:
        points = 100 * d.difference
        text = f"{points:+.1f} points"
        if d.interval:
            low, high = (100 * bound for bound in d.interval)
            text += f" [{low:+.1f}, {high:+.1f}]"
        verdict = "" if d.is_clear else ": not clear"
        lines.append(
            f"{d.slice:<{width}}  {d.b} {rate_text(d.eer_b, None)}, {d.a} "
            f"{rate_text(d.eer_a, None)}: {text}{verdict}"
        )
    return lines
