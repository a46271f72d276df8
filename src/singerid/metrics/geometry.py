"""How embeddings lie on the sphere, and whether they are healthy: pure functions on arrays.

Conventions: vectors are brought to unit length first; a distance of two is Euclidean, so that its
square is 2 - 2 cosine; cosines are rounded to six decimals, so that equal vectors tie.

- *Alignment* (Wang & Isola 2020, ICML, α = 2): mean squared distance of two different recordings
  of one singer, over all such pairs. 0: every singer is a point; 2: no closer than strangers.
- *Uniformity* (the same, t = 2): ln of the mean of exp(-2 distance²) over all pairs of different
  recordings. 0: all in one point; about -4: spread evenly over a sphere of many dimensions.
- *Effective rank* (Roy & Vetterli 2007, EUSIPCO): exp of the entropy of the singular values
  divided by their sum, after the mean vector is taken off (it tells nobody apart).
- *Dead dimensions*: those whose standard deviation is below a thousandth of 1 / sqrt(dim), that
  of vectors that are spread evenly.
- *Hubness* (Radovanović, Nanopoulos & Ivanović 2010, JMLR 11): skewness of how often a recording
  is among the k = 10 nearest of the others. 0: nobody is favored; above 1, a few recordings are
  neighbors of very many, and draw false alarms. Ties share a place.
- Purity and silhouette are in `clustering`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from singerid.errors import SingeridError
from singerid.metrics.clustering import (
    IntArray,
    Labels,
    Vectors,
    checked,
    clusters,
    cosine_blocks,
    numbered,
    purity,
    silhouette,
    unit_rows,
)

N_NEIGHBORS = 10


@dataclass(frozen=True)
class Health:
    """What the vectors look like; None where too few recordings leave a figure undefined.

    Attributes:
        n_recordings: number of recordings looked at.
        n_singers: number of singers of theirs.
        dim: length of a vector.
        dead_dimensions: number of dimensions that are (almost) constant.
        effective_rank: dimensions in use, at most dim; 0 if all vectors are equal.
        uniformity: 0 (a point) to about -4.
        alignment: 0 to 4.
        hubness: skewness of the 10-occurrences.
        silhouette: -1 to 1.
        purity: 0 to 1, of as many clusters as singers.
    """

    n_recordings: int
    n_singers: int
    dim: int
    dead_dimensions: int
    effective_rank: float
    uniformity: float | None
    alignment: float | None
    hubness: float | None
    silhouette: float | None
    purity: float | None


def health(
    vectors: Vectors, singers: Labels, rng: np.random.Generator, max_rows: int = 4000
) -> Health:
    """All figures of this module, of all recordings or of a sample with equal shares of singers.

    Args:
        vectors: `(n, dim)`, finite; those that are looked at not zero.
        singers: `(n,)`, singer of each.
        rng: source of the sample.
        max_rows: number of recordings from which on a sample is taken, at least 2.

    Raises:
        SingeridError: shapes do not fit, or a vector has no direction.
    """
    if len(vectors) != len(singers):
        checked(vectors, singers)  # says so
    rows = sample_rows(singers, max_rows, rng)
    unit, singer = checked(vectors[rows], numbered(singers)[rows])
    n, n_singers = len(rows), len(np.unique(singer))
    repeated, several = n_singers < n, n_singers > 1
    return Health(
        n_recordings=n,
        n_singers=n_singers,
        dim=unit.shape[1],
        dead_dimensions=dead_dimensions(unit),
        effective_rank=effective_rank(unit),
        uniformity=uniformity(unit) if n > 1 else None,
        alignment=alignment(unit, singer) if repeated else None,
        hubness=hubness(unit) if n > N_NEIGHBORS + 1 else None,
        silhouette=silhouette(unit, singer) if repeated and several else None,
        purity=purity(clusters(unit, n_singers), singer) if repeated and several else None,
    )


def sample_rows(singers: Labels, max_rows: int, rng: np.random.Generator) -> IntArray:
    """At most so many recordings, ascending: as equal a number of each singer as there are.

    A singer keeps two recordings (but for the last one), if need be at the price of other
    singers: a recording alone says nothing of how a singer's recordings lie.

    Raises:
        SingeridError: max_rows is below 2.
    """
    if max_rows < 2:
        raise SingeridError("max_rows is out of range", found=max_rows, expected="at least 2")
    singer = numbered(singers)
    n = len(singer)
    if n <= max_rows:
        return np.arange(n)
    shuffled = rng.permutation(n)
    by_singer = shuffled[np.argsort(singer[shuffled], kind="stable")]
    starts = np.searchsorted(singer[by_singer], singer[by_singer])
    turn = np.arange(n) - starts  # of a recording among its singer's
    place = rng.permutation(singer.max() + 1)[singer[by_singer]]
    # Singers take turns, two recordings at first; whoever comes late goes without.
    return np.sort(by_singer[np.lexsort((place, np.maximum(turn, 1)))[:max_rows]])


def alignment(vectors: Vectors, singers: Labels) -> float:
    """Mean squared distance of two different recordings of one singer, 0 to 4.

    Args:
        vectors: `(n, dim)`.
        singers: `(n,)`.

    Raises:
        SingeridError: see `health`; or no singer has two recordings.
    """
    unit, singer = checked(vectors, singers)
    n = np.bincount(singer)
    n_pairs = int(np.sum(n * (n - 1)))
    if not n_pairs:
        raise SingeridError("no singer has two recordings", found=f"{len(n)} singers")
    order = np.argsort(singer, kind="stable")
    sums = np.add.reduceat(unit[order], np.append(0, np.cumsum(n)[:-1]))
    # Of n unit vectors: sum over pairs of (2 - 2 cosine) = 2 n² - 2 |sum|².
    return max(0.0, float(np.sum(2 * n**2 - 2 * np.sum(sums**2, axis=1)) / n_pairs))


def uniformity(vectors: Vectors) -> float:
    """Logarithm of the mean Gaussian potential of two different recordings, at most 0.

    Args:
        vectors: `(n, dim)`, n at least 2.

    Raises:
        SingeridError: see `health`; or there are not two recordings.
    """
    unit, n = unit_rows(vectors), len(vectors)
    if n < 2:
        raise SingeridError("uniformity needs two recordings", found=n)
    total = sum(float(np.exp(4 * cosines - 4).sum()) for _, cosines in cosine_blocks(unit))
    return math.log((total - n) / (n * (n - 1)))  # without each with itself, exp(0)


def effective_rank(vectors: Vectors) -> float:
    """Number of dimensions that the vectors use, about their mean.

    Args:
        vectors: `(n, dim)`.

    Returns:
        1 to the lesser of dim and n - 1; 0 if all vectors are equal.

    Raises:
        SingeridError: see `health`.
    """
    unit = unit_rows(vectors)
    values = np.linalg.svd(unit - unit.mean(axis=0), compute_uv=False)
    if values[0] < 1e-6 * math.sqrt(len(unit)):
        return 0.0
    shares = values[values > 0] / values.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def dead_dimensions(vectors: Vectors) -> int:
    """Number of dimensions that are the same, or almost, for all recordings.

    Raises:
        SingeridError: see `health`.
    """
    unit = unit_rows(vectors)
    return int(np.sum(unit.std(axis=0) < 1e-3 / math.sqrt(unit.shape[1])))


def hubness(vectors: Vectors, k: int = N_NEIGHBORS) -> float:
    """Skewness of the number of recordings that have a recording among their k nearest.

    Args:
        vectors: `(n, dim)`, n at least k + 2.
        k: number of neighbors, at least 1.

    Returns:
        The skewness; 0 if all occur equally often.

    Raises:
        SingeridError: see `health`; or k does not fit the number of recordings.
    """
    unit = unit_rows(vectors)
    if not 1 <= k <= len(unit) - 2:
        raise SingeridError(
            "k does not fit the number of recordings", found=f"k {k}, {len(unit)} recordings",
            expected="1 ≤ k ≤ recordings - 2",
        )  # fmt: skip
    occurrences = np.zeros(len(unit))
    for rows, cosines in cosine_blocks(unit):
        cosines[np.arange(len(rows)), rows] = -np.inf
        kth = np.partition(cosines, -k, axis=1)[:, -k, None]
        above, level = cosines > kth, cosines == kth
        share = (k - above.sum(axis=1)) / level.sum(axis=1)
        occurrences += above.sum(axis=0) + share @ level
    deviations = occurrences - k  # the mean is k
    spread = math.sqrt(np.mean(deviations**2))
    return float(np.mean(deviations**3) / spread**3) if spread > 1e-9 else 0.0
