"""Vectors prepared for scoring: centered, whitened or with less of what varies within singers.

A transform is fitted on given singers and applied to others. Every singer counts alike in it,
however many recordings there are: one who sang five hundred must not decide where the mean is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from singerid.embeddings import normalize
from singerid.errors import MismatchError, SingeridError

FloatArray = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.floating]
Kind = Literal["none", "center", "whiten", "wccn"]


@dataclass(frozen=True)
class Transform:
    """An affine map followed by normalization to unit length; by default the identity.

    Attributes:
        mean: float64 `(dim,)`, subtracted first; None: nothing is.
        projection: float64 `(dim, n_dims)`, multiplied from the right after that; None: none.
    """

    mean: FloatArray | None = None
    projection: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.projection is not None and (
            self.mean is None or self.projection.shape[:1] != self.mean.shape
        ):
            raise SingeridError(
                "projection does not fit the mean", found=f"shape {self.projection.shape}"
            )

    def apply(self, vectors: Vectors) -> npt.NDArray[np.float32]:
        """Transformed unit vectors, float32 `(n, n_dims)`, of unit vectors `(n, dim)`.

        Raises:
            MismatchError: the vectors have another dimension than those it was fitted on.
            SingeridError: a vector is not finite, not of unit length although there is nothing
                to do, or is the mean itself and so has no direction.
        """
        if self.mean is None:  # unchanged to the last bit, and so are their cosines
            return _checked_unit(vectors)
        if vectors.ndim != 2 or vectors.shape[1] != len(self.mean):
            raise MismatchError(
                "vectors do not fit the transform", found=f"shape {vectors.shape}",
                expected=f"(n, {len(self.mean)})", do="fit it on vectors of the same encoder",
            )  # fmt: skip
        centered = vectors - self.mean
        return normalize(centered if self.projection is None else centered @ self.projection)


def fit_transform(
    vectors: Vectors,
    singers: Sequence[str],
    kind: Kind = "center",
    *,
    shrinkage: float | None = None,
    n_dims: int | None = None,
) -> Transform:
    """Fit a transform.

    Whitening multiplies by the inverse square root of a covariance C: that of all vectors
    (``whiten``), or that within singers (``wccn``: within-class covariance normalization, Hatch
    et al. 2006). With fewer singers than dimensions C is singular, so it is shrunk towards a
    round one, `(1 - s)·C + s·trace(C)/dim·I` (Ledoit and Wolf 2004). By default
    `s = dim / (dim + n)`, as if `dim` round observations had been seen beside the `n` that are
    independent: the singers; for ``wccn`` the recordings less one a singer. Ledoit and Wolf's
    own estimate of s takes all recordings for independent and shrinks too little.

    Args:
        vectors: `(n, dim)`, unit length.
        singers: singer of each.
        kind: what to do.
        shrinkage: s, from 0 to 1; None: the default.
        n_dims: leading directions of C to keep; None: all.

    Raises:
        SingeridError: too few singers or recordings, a vector is not finite, or a setting is
            out of range.
    """
    if kind == "none":
        return Transform()
    vectors = checked_vectors(vectors, singers)
    weights, group = _weights(singers)
    n, dim = vectors.shape
    n_singers = int(group.max()) + 1
    if n_singers < 2:
        raise SingeridError(
            "a transform needs several singers", found=n_singers, expected="at least 2"
        )
    mean = weights @ vectors
    if kind == "center":
        return Transform(mean)
    n_independent = n_singers if kind == "whiten" else n - n_singers
    if not n_independent:
        raise SingeridError(
            "nothing is known of how a singer varies", found="one recording of each singer",
            expected="a singer with two recordings", do="use whiten instead of wccn",
        )  # fmt: skip
    centers = mean if kind == "whiten" else group_means(vectors, group)[group]
    deviations = (vectors - centers) * np.sqrt(weights)[:, None]
    share = dim / (dim + n_independent) if shrinkage is None else shrinkage
    return Transform(mean, _whitening(deviations.T @ deviations, share, n_dims))


def checked_vectors(vectors: Vectors, singers: Sequence[str]) -> FloatArray:
    """Vectors as float64 `(n, dim)`.

    Raises:
        SingeridError: not two-dimensional, not as many as singers, or not finite.
    """
    doubles = np.asarray(vectors, np.float64)
    if doubles.ndim != 2 or len(doubles) != len(singers) or not len(doubles):
        raise SingeridError(
            "vectors do not fit singers", found=f"shape {doubles.shape}, {len(singers)} singers"
        )
    if not np.isfinite(doubles).all():
        bad = int(np.flatnonzero(~np.isfinite(doubles).all(axis=1))[0])
        raise SingeridError("a vector is not finite", where=f"row {bad}")
    return doubles


def group_means(vectors: FloatArray, group: npt.NDArray[np.intp]) -> FloatArray:
    """Mean of the vectors `(n, dim)` of each group, numbered from 0: `(n_groups, dim)`."""
    sums = np.zeros((int(group.max()) + 1, vectors.shape[1]))
    np.add.at(sums, group, vectors)
    means: FloatArray = sums / np.bincount(group)[:, None]
    return means


def _checked_unit(vectors: Vectors) -> npt.NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=-1)
    if vectors.ndim != 2 or not (np.abs(lengths - 1) < 1e-3).all():  # NaN fails too
        raise SingeridError(
            "vectors to be scored must be of unit length",
            found=f"shape {vectors.shape}, lengths {lengths.min():.4g} … {lengths.max():.4g}",
        )
    return vectors.astype(np.float32, copy=False)


def _weights(singers: Sequence[str]) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Weight of each recording, their sum 1 and each singer's the same; and singers as numbers."""
    _, group, counts = np.unique(np.asarray(singers), return_inverse=True, return_counts=True)
    return 1 / (len(counts) * counts[group]), group


def _whitening(covariance: FloatArray, share: float, n_dims: int | None) -> FloatArray:
    """Leading eigenvectors of the shrunk covariance over their standard deviations."""
    dim = len(covariance)
    if not 0 <= share <= 1:
        raise SingeridError("shrinkage out of range", found=share, expected="0 … 1")
    if n_dims is not None and not 1 <= n_dims <= dim:
        raise SingeridError("n_dims out of range", found=n_dims, expected=f"1 … {dim}")
    spread = float(np.trace(covariance)) / dim
    shrunk = (1 - share) * covariance + share * spread * np.eye(dim)
    variances, directions = np.linalg.eigh(shrunk)
    kept = slice(dim - (n_dims or dim), None)  # ascending
    if variances[kept][0] <= 1e-9 * variances[-1]:
        raise SingeridError(
            "the covariance is singular", found=f"{dim} dimensions",
            do="give more singers, more shrinkage, or fewer n_dims",
        )  # fmt: skip
    whitening: FloatArray = directions[:, kept] / np.sqrt(variances[kept])
    return whitening
