"""Vectors on a plane or in space, for maps; the same for the same input.

Everything runs in one thread: sums of several come out in another order each time, and on a busy
machine their waiting for each other made t-SNE 5 times slower.
"""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import numpy.typing as npt

from singerid.errors import MissingExtraError, SingeridError
from singerid.neighbors import nearest

FloatArray = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
Method = Literal["tsne", "pca", "umap", "opentsne"]
NAMES: dict[Method, str] = {"tsne": "t-SNE", "pca": "PCA", "umap": "UMAP", "opentsne": "t-SNE"}
MIN_POINTS = 6  # below, neighborhoods mean nothing and PCA is drawn instead
STEPS = 250, 500  # of openTSNE: with clusters pulled together, and without


def fitting_perplexity(n: int, wanted: float) -> float:
    """The perplexity to use for `n` points: `wanted`, but at most (n - 1) / 3 and at least 1.

    t-SNE looks at 3 × perplexity neighbors of each point (van der Maaten 2014), so more than
    that would make every point a neighbor of every other.
    """
    return max(1.0, min(wanted, (n - 1) / 3))


def project(
    vectors: npt.NDArray[np.floating],
    method: Method = "tsne",
    seed: int = 0,
    perplexity: float = 40.0,
    dimensions: int = 2,
) -> FloatArray:
    """Put vectors on a plane or in space, neighbors near neighbors; the same for the same input.

    Args:
        vectors: `(n, dim)`, unit length.
        method: "tsne" (cosine distance, started from the PCA; scikit-learn's), "opentsne" (the
            same, by interpolation: Linderman et al. 2019, for large sets), "umap" (McInnes et al.
            2018) or "pca". Fewer than 6 vectors, or vectors that are all equal, get the PCA in
            any case.
        seed: of t-SNE and UMAP.
        perplexity: effective number of neighbors, shrunk by `fitting_perplexity`.
        dimensions: 2 or 3.

    Returns:
        float64 `(n, dimensions)`.

    Raises:
        SingeridError: no such method, or another number of dimensions.
        MissingExtraError: openTSNE or umap-learn is not installed.
    """
    if method not in NAMES:
        raise SingeridError(
            "unknown projection", found=method, expected="tsne, pca, umap or opentsne"
        )
    if dimensions not in (2, 3):
        raise SingeridError("a map is flat or solid", found=dimensions, expected="2 or 3")
    plane = _pca(np.asarray(vectors, np.float64), dimensions)
    spread = plane[:, 0].std() if len(plane) else 0.0
    if method == "pca" or len(vectors) < MIN_POINTS or spread < 1e-6:
        return plane
    rows, near = np.asarray(vectors, np.float32), fitting_perplexity(len(vectors), perplexity)
    first = plane / spread * 1e-4  # Kobak & Linderman 2021
    if method == "umap":
        points = _umap(rows, seed, dimensions)
    elif method == "opentsne":
        points = _opentsne(rows, seed, near, first)
    else:
        points = _tsne(rows, seed, near, first)
    return _pca(points, dimensions)  # its orientation means nothing: lay the longest axis flat


def _tsne(vectors: Vectors, seed: int, perplexity: float, first: FloatArray) -> FloatArray:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    tsne = TSNE(
        n_components=first.shape[1], perplexity=perplexity, metric="cosine",
        init=first.astype(np.float32), random_state=seed,
    )  # fmt: skip
    with threadpool_limits(1):
        return np.asarray(tsne.fit_transform(vectors), np.float64)


def _opentsne(vectors: Vectors, seed: int, perplexity: float, first: FloatArray) -> FloatArray:
    """t-SNE by openTSNE, with exact neighbors; in space, where it can't interpolate, by a tree."""
    try:
        from openTSNE import TSNE
        from openTSNE.affinity import PerplexityBasedNN
        from openTSNE.nearest_neighbors import PrecomputedNeighbors
    except ImportError:
        raise MissingExtraError("openTSNE", "opentsne") from None
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        rows, cosines = nearest(vectors, int(3 * perplexity))
        distances = np.maximum(1 - cosines.astype(np.float64), 0)
        affinities = PerplexityBasedNN(
            perplexity=perplexity, knn_index=PrecomputedNeighbors(rows, distances)
        )
        gradient = "bh" if first.shape[1] == 3 else "auto"
        tsne = TSNE(
            n_components=first.shape[1], initialization=first, random_state=seed,
            negative_gradient_method=gradient, early_exaggeration_iter=STEPS[0], n_iter=STEPS[1],
        )  # fmt: skip
        return np.asarray(tsne.fit(affinities=affinities), np.float64)


def _umap(vectors: Vectors, seed: int, dimensions: int) -> FloatArray:
    try:
        from umap import UMAP
    except ImportError:
        raise MissingExtraError("umap-learn", "umap") from None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*n_jobs value.*")  # a seed needs one thread
        n_neighbors = min(15, len(vectors) - 1)
        reducer = UMAP(
            n_neighbors=n_neighbors, n_components=dimensions, metric="cosine", random_state=seed
        )
        return np.asarray(reducer.fit_transform(vectors), np.float64)


def _pca(vectors: FloatArray, dimensions: int) -> FloatArray:
    """First principal components `(n, dimensions)`, zeros if there are fewer; signs are fixed."""
    plane = np.zeros((len(vectors), dimensions))
    if len(vectors) > 1:
        centered = vectors - vectors.mean(axis=0)
        _, _, axes = np.linalg.svd(centered, full_matrices=False)
        axes = axes[:dimensions]
        largest = np.abs(axes).argmax(axis=1)[:, None]
        axes = axes * np.sign(np.take_along_axis(axes, largest, axis=1))
        plane[:, : len(axes)] = centered @ axes.T
    return plane
