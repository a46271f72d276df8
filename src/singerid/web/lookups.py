"""What the routes ask the registry, in calls that run in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from singerid.judge import Judge, Voice
from singerid.registry.exemplar import Exemplar, SingerInfo
from singerid.table import Candidate
from singerid.web.refusals import NobodyEnrolled

if TYPE_CHECKING:
    from singerid.registry import Hit, Registry

FloatArray = npt.NDArray[np.float32]
MOST_CANDIDATES = 50


def candidates_of(registry: Registry, judge: Judge, voice: Voice) -> tuple[int, list[Candidate]]:
    """How many singers are enrolled, and those whom it may be.

    Raises:
        NobodyEnrolled: the registry is empty.
        MismatchError: it holds vectors of another encoder.
    """
    n_singers = len(registry)
    if not n_singers:
        raise NobodyEnrolled
    fingerprint = judge.encoder.fingerprint
    return n_singers, registry.candidates(voice.vector, fingerprint, MOST_CANDIDATES)


def nearest_exemplars(registry: Registry, vector: FloatArray, encoder: str, top: int) -> list[Hit]:
    """See `Registry.search`.

    Raises:
        NobodyEnrolled: the registry is empty.
    """
    if not len(registry):
        raise NobodyEnrolled
    return registry.search(vector, encoder, top)


class ClipFinder:
    """Which exemplar of a singer can be heard; remembered until the registry changes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._kept: tuple[int, dict[str, str | None]] = (-1, {})

    def find(self, singers: Sequence[str]) -> list[str | None]:
        """Of each singer the best exemplar that has a clip; None if none has."""
        version = self._registry.version
        if self._kept[0] != version:
            self._kept = (version, {})
        known = self._kept[1]
        for singer in singers:
            if singer not in known:
                known[singer] = self._best(singer)
        return [known[singer] for singer in singers]

    def _best(self, singer: str) -> str | None:
        heard = [one for one in self._registry.exemplars(singer) if one.has_clip]
        return max(heard, key=lambda one: one.quality or 0.0).id if heard else None


def near_singers(
    registry: Registry,
    judge: Judge,
    vectors: Sequence[FloatArray],
    near: Sequence[tuple[str, float]],
) -> list[dict[str, Any]]:
    """Other singers who sound much like new exemplars, with the probability that they are one."""
    found: list[dict[str, Any]] = []
    for name, score in near:
        other = registry.singer(name)
        llrs = [judge.verify(vector, other.vector, other.seconds) for vector in vectors]
        probabilities = [one["probability"] for one in llrs if "probability" in one]
        probability = float(np.mean(probabilities)) if probabilities else None
        found.append({"singer": name, "score": float(score), "probability": probability})
    return found


def singer_line(info: SingerInfo) -> dict[str, Any]:
    """A singer as in a list."""
    return {
        "name": info.name, "n_exemplars": info.n_exemplars, "seconds": round(info.seconds, 3),
        "labels": dict(info.labels), "enrolled_at": info.enrolled_at,
    }  # fmt: skip


def singer_answer(name: str, exemplars: Sequence[Exemplar]) -> dict[str, Any]:
    """A singer with all exemplars, the oldest first; at least one."""
    shared = set.intersection(*(set(one.labels.items()) for one in exemplars))
    seconds = sum(one.seconds for one in exemplars)
    info = SingerInfo(name, len(exemplars), seconds, dict(shared), exemplars[0].enrolled_at)
    return singer_line(info) | {"exemplars": [exemplar_line(one) for one in exemplars]}


def exemplar_line(one: Exemplar) -> dict[str, Any]:
    """An exemplar as in a list."""
    return {
        "id": one.id, "file": one.path or one.source or one.id, "seconds": round(one.seconds, 3),
        "quality": one.quality, "labels": dict(one.labels), "enrolled_at": one.enrolled_at,
        "has_clip": one.has_clip,
    }  # fmt: skip
