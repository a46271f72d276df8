"""How singers cluster: pure functions on unit vectors.

- *Purity* (Manning, Raghavan & Schütze 2008, section 16.3): share of recordings that belong to
  the most frequent singer of their cluster. Clusters are ours: average linkage of cosine
  distances, as many as there are singers. It grows with the number of clusters.
- *Silhouette* (Rousseeuw 1987), by scikit-learn, of the singers, with cosine distances: from -1
  to 1; 0 for a singer with a single recording.

Vectors are brought to unit length first. Cosines are rounded to six decimals, so that equal
vectors tie whatever the order in which a processor adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from singerid.embeddings import normalize
from singerid.errors import SingeridError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.floating]
Labels = Sequence[str] | npt.NDArray[np.generic]
_BLOCK = 512  # rows of the matrix of cosines at a time
_DECIMALS = 6


def silhouette(vectors: Vectors, singers: Labels) -> float:
    """Mean over the recordings of (b - a) / max(a, b), by scikit-learn.

    a is the mean cosine distance to the singer's other recordings, b that to the nearest other
    singer's.

    Args:
        vectors: `(n, dim)`; time and memory grow with n².
        singers: `(n,)`.

    Raises:
        SingeridError: see `checked`; or there is one singer, or no singer has two recordings.
    """
    from sklearn.metrics import silhouette_score  # takes half a second to import

    unit, singer = checked(vectors, singers)
    n_singers = len(np.unique(singer))
    if not 2 <= n_singers < len(unit):
        raise SingeridError(
            "a silhouette needs two singers, and one of them two recordings",
            found=f"{n_singers} singers, {len(unit)} recordings",
        )
    return float(silhouette_score(unit, singer, metric="cosine"))


def clusters(vectors: Vectors, n_clusters: int) -> IntArray:
    """Clusters by average linkage of cosine distances; no randomness.

    Args:
        vectors: `(n, dim)`; time and memory grow with n².
        n_clusters: how many, 1 to n; fewer where ties cannot be parted.

    Returns:
        `(n,)`, numbers from 0.

    Raises:
        SingeridError: see `checked`; or the number of clusters is out of range.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    unit, n = unit_rows(vectors), len(vectors)
    if not 1 <= n_clusters <= n:
        raise SingeridError("number of clusters out of range", found=n_clusters, expected=f"1…{n}")
    if n == 1:
        return np.zeros(1, np.int64)
    distances = [
        1 - cosines[i, row + 1 :] for rows, cosines in cosine_blocks(unit)
        for i, row in enumerate(rows)
    ]  # fmt: skip
    tree = linkage(np.concatenate(distances), "average")
    return np.asarray(fcluster(tree, n_clusters, "maxclust"), np.int64) - 1


def purity(clusters: Labels, singers: Labels) -> float:
    """Share of recordings that belong to the most frequent singer of their cluster.

    Args:
        clusters: `(n,)`, cluster of each recording.
        singers: `(n,)`, singer of each.

    Raises:
        SingeridError: lengths differ or are 0.
    """
    a, b = np.asarray(clusters), np.asarray(singers)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise SingeridError(
            "clusters do not fit singers", found=f"shapes {a.shape} and {b.shape}",
            expected="one cluster and one singer a recording",
        )  # fmt: skip
    pairs, n = np.unique(np.stack([numbered(a), numbered(b)]), axis=1, return_counts=True)
    most = np.zeros(pairs[0].max() + 1)
    np.maximum.at(most, pairs[0], n)
    return float(most.sum() / len(a))


def checked(vectors: Vectors, singers: Labels) -> tuple[FloatArray, IntArray]:
    """Unit vectors, and singers numbered from 0.

    Raises:
        SingeridError: shapes do not fit, or a vector has no direction.
    """
    unit, singer = unit_rows(vectors), np.asarray(singers)
    if singer.shape != unit.shape[:1]:
        raise SingeridError(
            "singers do not fit vectors", found=f"shapes {singer.shape} and {unit.shape}",
            expected="one singer a vector",
        )  # fmt: skip
    return unit, numbered(singer)


def unit_rows(vectors: Vectors) -> FloatArray:
    """Vectors at unit length, float64 `(n, dim)`.

    Raises:
        SingeridError: not `(n, dim)`, empty, or a vector has no direction.
    """
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or not vectors.size:
        raise SingeridError(
            "no vectors", found=f"shape {vectors.shape}", expected="(n, dim), not empty"
        )
    return normalize(vectors).astype(np.float64)


def numbered(labels: Labels) -> IntArray:
    """A number from 0 for each distinct label."""
    _, numbers = np.unique(np.asarray(labels), return_inverse=True)
    return np.asarray(numbers, np.int64)


def cosine_blocks(unit: FloatArray) -> Iterator[tuple[IntArray, FloatArray]]:
    """Cosines of some rows with all, `(r, n)`, and which rows, until all had their turn."""
    for start in range(0, len(unit), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(unit)))
        yield rows, np.clip(np.round(unit[rows] @ unit.T, _DECIMALS), -1, 1)
