"""Whether embeddings are healthy: figures that a training shows after every cycle.

All are of unit vectors; a vector that a ReLU left all zero has no direction and is counted apart.

- ``effective_rank`` (Roy & Vetterli 2007, EUSIPCO), ``uniformity`` and ``alignment`` (Wang & Isola
  2020, ICML), ``dead_dimensions``: those of `singerid.metrics.geometry`.
- ``within_variance``, ``between_variance``: mean squared distance of a recording from its singer's
  mean, and of that mean from the mean of all (each singer weighted by its recordings). Their sum
  is 1 - |mean of all|²: 0 where all vectors are one, at most 1.
- ``between_share``: between / (within + between), the correlation ratio η² (Fisher 1925,
  *Statistical Methods for Research Workers*, §45); 0 to 1. Vectors that know nothing of singers
  reach (singers - 1) / (recordings - 1) by chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from singerid.errors import SingeridError
from singerid.metrics.geometry import alignment, dead_dimensions, effective_rank, uniformity

FloatArray = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.floating]
Labels = Sequence[str] | npt.NDArray[np.generic]
_SHORTEST = 1e-6  # below it, a vector has no direction


def embedding_health(embeddings: Vectors, singers: Labels) -> dict[str, float]:
    """Figures of one set of embeddings.

    Time grows with n² · dim: 200 recordings of 256 dimensions take some 10 ms.

    Args:
        embeddings: `(n, dim)`, finite; of unit length, or zero.
        singers: `(n,)`, singer of each.

    Returns:
        By name, each left out where the vectors do not define it:

        * ``zero_vectors``: share of vectors without a direction, 0 to 1; the rest is of the others;
        * ``effective_rank``: dimensions in use, 1 to min(dim, n - 1); 0 if all vectors are equal;
        * ``dead_dimensions``: number of dimensions that are (almost) constant, 0 to dim;
        * ``within_variance``, ``between_variance``, ``between_share``: see above, 0 to 1;
        * ``uniformity``: 0 (one point) to about -4 (evenly over the sphere);
        * ``alignment``: mean squared distance of two recordings of one singer, 0 to 4.

    Raises:
        SingeridError: shapes do not fit, or a value is not finite.
    """
    vectors, singer = _checked(embeddings, singers)
    there = np.linalg.norm(vectors, axis=1) > _SHORTEST
    figures = {"zero_vectors": float(1 - there.mean())}
    vectors, singer = vectors[there], singer[there]
    if not len(vectors):
        return figures
    figures["effective_rank"] = effective_rank(vectors)
    figures["dead_dimensions"] = float(dead_dimensions(vectors))
    figures |= variance_shares(vectors, singer)
    if len(vectors) > 1:
        figures["uniformity"] = uniformity(vectors)
    if len(np.unique(singer)) < len(singer):
        figures["alignment"] = alignment(vectors, singer)
    return figures


def variance_shares(vectors: Vectors, singers: Labels) -> dict[str, float]:
    """Variance within singers and between them, by the law of total variance.

    Args:
        vectors: `(n, dim)`, brought to unit length first; none of them zero.
        singers: `(n,)`, singer of each.

    Returns:
        ``within_variance`` and ``between_variance``, 0 to 1 both together; ``between_share``, 0
        to 1, only where there is any variance.

    Raises:
        SingeridError: shapes do not fit, or a value is not finite.
    """
    vectors, singer = _checked(vectors, singers)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    _, number, counts = np.unique(singer, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), unit.shape[1]))
    np.add.at(sums, number, unit)
    means = sums / counts[:, None]
    within = float(np.mean(np.sum((unit - means[number]) ** 2, axis=1)))
    about_all = np.sum((means - unit.mean(axis=0)) ** 2, axis=1)
    between = float(np.sum(counts * about_all) / len(unit))
    figures = {"within_variance": within, "between_variance": between}
    if within + between > _SHORTEST**2:
        figures["between_share"] = between / (within + between)
    return figures


def _checked(vectors: Vectors, singers: Labels) -> tuple[FloatArray, npt.NDArray[np.generic]]:
    rows, singer = np.asarray(vectors, np.float64), np.asarray(singers)
    if rows.ndim != 2 or singer.shape != (len(rows),) or not len(rows):
        raise SingeridError(
            "embeddings do not fit singers", found=f"shapes {rows.shape} and {singer.shape}",
            expected="(n, dim) and (n,), n at least 1",
        )  # fmt: skip
    if not np.isfinite(rows).all():
        bad = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise SingeridError(
            "an embedding is not finite", where=f"row {bad}",
            do="lower --train.learning_rate; the last checkpoint is intact",
        )  # fmt: skip
    return rows, singer
