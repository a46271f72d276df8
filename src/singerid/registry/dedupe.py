"""One voice under two names, two voices under one name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from singerid.registry.agreement import two_voices
from singerid.registry.exemplar import Exemplar
from singerid.registry.roll import Centroids
from singerid.scoring.calibration import Calibration
from singerid.scoring.scorer import Scorer

FloatArray = npt.NDArray[np.float32]
_BLOCK = 1024
Pair = tuple[int, int, float]


@dataclass(frozen=True)
class Finding:
    """What may be wrong with names.

    Attributes:
        kind: ``same`` (one voice under two names) or ``two`` (two voices under one name).
        singers: both names, or the one.
        score: mean score of the recordings of one voice with those of the other.
        probability: that they are the same voice; None: nobody knows.
        groups: of ``two``, ids of the exemplars of each voice; the smaller group last.
    """

    kind: str
    singers: tuple[str, ...]
    score: float
    probability: float | None = None
    groups: tuple[tuple[str, ...], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def prior_of_pairs(n_singers: int) -> float:
    """How probable it is of two names, before listening, that they are one voice's.

    As if every name had, on average, one other in `n_singers` half of the time: rare enough that
    the `n²/2` pairs of a large registry do not drown what is found.
    """
    return min(0.5, 1 / max(n_singers, 2))


def threshold(calibration: Calibration, n_singers: int) -> float:
    """The lowest score, of any duration, at which one voice is as probable as two."""
    prior = prior_of_pairs(n_singers)
    needed = math.log1p(-prior) - math.log(prior)
    lines = (calibration.overall, *calibration.classes)
    return min((needed - line.offset) / line.scale for line in lines)


def same_voice(
    centroids: Centroids,
    scorer: Scorer,
    least: float,
    calibration: Calibration | None = None,
    on_progress: Callable[[float], object] = lambda singers: None,
) -> list[Finding]:
    """Pairs of singers whose recordings score `least` or more with each other on average.

    With a calibration, those of them which are one voice rather than two. All pairs are compared,
    a block of singers with the rest at a time.
    """
    roll, prior = centroids.roll, prior_of_pairs(len(centroids.roll.names))
    found: list[Finding] = []
    for a, b, score in _pairs(centroids, scorer, least, on_progress):
        probability = None
        if calibration is not None:
            # Seconds of a single recording: the mean score is one of recordings.
            seconds = min(roll.seconds[i] / roll.counts[i] for i in (a, b))
            probability = float(calibration.probability(calibration.llr(score, seconds), prior))
            if probability < 0.5:
                continue
        found.append(Finding("same", (roll.names[a], roll.names[b]), round(score, 6), probability))
    return sorted(found, key=lambda one: (-(one.probability or 0), -one.score, one.singers))


def _pairs(
    centroids: Centroids, scorer: Scorer, least: float, on_progress: Callable[[float], object]
) -> Iterator[Pair]:
    """Rows of two singers, the first before the second, and their score."""
    plain = is_plain(scorer)
    vectors = centroids.vectors * centroids.agreement[:, None] if plain else centroids.vectors
    n = len(vectors)
    for start in range(0, n, _BLOCK):
        block = vectors[start : start + _BLOCK]
        for other in range(start, n, 4 * _BLOCK):
            rest = vectors[other : other + 4 * _BLOCK]
            scores = block @ rest.T if plain else scorer.matrix(block, rest)
            a, b = np.nonzero(scores >= least)
            for i, j in zip(a + start, b + other, strict=True):
                if i < j:
                    yield int(i), int(j), float(scores[i - start, j - other])
        on_progress(float(len(block)))


def is_plain(scorer: Scorer) -> bool:
    """Whether scores are cosines, whose means are those of sums."""
    changed = scorer.transform.mean is not None or scorer.transform.projection is not None
    return not (changed or scorer.plda or scorer.cohort)


def two_under_one(singer: str, exemplars: Sequence[Exemplar]) -> Finding | None:
    """Two voices among the exemplars of one singer, if it seems so."""
    split = two_voices(np.stack([one.vector for one in exemplars]))
    if split is None:
        return None
    groups = tuple(tuple(exemplars[i].id for i in group) for group in split.groups)
    return Finding("two", (singer,), round(split.between, 6), None, groups)
