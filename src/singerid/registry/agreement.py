"""Whether the exemplars of one singer agree: outliers, and two voices under one name.

The bounds were set on real recordings (508 of singing and 60 of speech, encoder `default`, the
intruder of the same corpus and gender): of singers without an intruder, 6 % with 3 exemplars and
1 % with 6 or more had one pointed out; of intruders, 60 to 67 % were. Groups were seen in 0.2 to
1.5 % of single singers, and in 59 to 66 % of two with half of the exemplars each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage

from singerid.registry.exemplar import Exemplar

FloatArray = npt.NDArray[np.float32]
LEAST = 3
"""Exemplars from which on one can be told from the others."""
_SHARE, _GAP, _CEILING = 0.5, 0.15, 0.3
_LEAST_GROUP, _MOST = 2, 1000


@dataclass(frozen=True)
class Odd:
    """An exemplar unlike the others.

    Attributes:
        row: which.
        score: mean of its scores with the others.
        usual: mean of the others' scores with each other.
    """

    row: int
    score: float
    usual: float


def odd_ones(vectors: FloatArray) -> list[Odd]:
    """Of a singer's vectors `(n, dim)`, those far less like the others than they to each other.

    None if there are fewer than three. Time and memory of the order of `n`.
    """
    n = len(vectors)
    if n < LEAST:
        return []
    exact = vectors.astype(np.float64)
    with_all = np.einsum("ij,j->i", exact, exact.sum(axis=0)) - 1  # sum of scores with others
    own = with_all / (n - 1)
    usual = (with_all.sum() - 2 * with_all) / ((n - 1) * (n - 2))
    odd = (own < _SHARE * usual) & (own < usual - _GAP)
    return [Odd(int(i), float(own[i]), float(usual[i])) for i in np.flatnonzero(odd)]


@dataclass(frozen=True)
class Split:
    """Two groups of vectors.

    Attributes:
        groups: rows of the greater, and of the smaller.
        between: mean score of one group with the other.
        within: mean score within the groups.
    """

    groups: tuple[Sequence[int], Sequence[int]]
    between: float
    within: float


def two_voices(vectors: FloatArray) -> Split | None:
    """Two groups among a singer's vectors `(n, dim)` that seem to be two voices, if there are.

    Groups of at least two by average linkage; of many vectors the first thousand are looked at.
    """
    vectors = vectors[:_MOST].astype(np.float64)
    n = len(vectors)
    if n < 2 * _LEAST_GROUP:
        return None
    scores = vectors @ vectors.T
    distances = np.maximum(1 - scores[np.triu_indices(n, 1)], 0)
    first = fcluster(linkage(distances, "average"), 2, "maxclust") == 1
    if first.sum() * 2 < n:
        first = ~first
    if min(first.sum(), n - first.sum()) < _LEAST_GROUP:
        return None
    same = first[:, None] == first[None]
    between = float(scores[~same].mean())
    np.fill_diagonal(same, False)
    within = float(scores[same].mean())
    if between >= min(_SHARE * within, _CEILING):
        return None
    a, b = np.flatnonzero(first).tolist(), np.flatnonzero(~first).tolist()
    return Split((a, b), between, within)


def outliers(exemplars: Sequence[Exemplar]) -> list[tuple[str, str]]:
    """Id and reason of the exemplars of one singer that are unlike the others."""
    if len(exemplars) < LEAST:
        return []
    return [
        (
            exemplars[odd.row].id,
            f"score {odd.score:.2f} with the other {len(exemplars) - 1}, which have "
            f"{odd.usual:.2f} with each other: another voice, or a bad recording?",
        )
        for odd in odd_ones(np.stack([one.vector for one in exemplars]))
    ]


def mean_score(new: FloatArray, earlier: FloatArray) -> float | None:
    """Mean score of new vectors with a singer's earlier ones, or with each other.

    None if there are no earlier ones and fewer than three new ones.
    """
    if len(earlier):
        return float(np.mean(new @ earlier.T))
    n = len(new)
    if n < LEAST:
        return None
    return float((np.sum(new @ new.T) - n) / (n * (n - 1)))
