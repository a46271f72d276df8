"""Projections: neighbors stay neighbors, any number of vectors, the same each time."""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from singerid.embeddings import normalize
from singerid.errors import SingeridError
from singerid.projection import fitting_perplexity, project

METHODS = ["tsne", "pca"]
if find_spec("openTSNE"):
    METHODS.append("opentsne")


def clusters(n_singers, each=6):
    """Singers of a row, and vectors around a direction of each."""
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(n_singers, 12)), each, axis=0)
    vectors += 0.3 * rng.normal(size=vectors.shape)
    return np.repeat(np.arange(n_singers), each), normalize(vectors)


@pytest.mark.parametrize(
    ("n", "wanted", "expected"),
    [(1000, 40, 40), (121, 40, 40), (61, 40, 20), (4, 40, 1), (1, 40, 1)],
)
def test_fitting_perplexity(n, wanted, expected):
    assert fitting_perplexity(n, wanted) == expected


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [0, 1, 3, 40])
def test_project_into_space(n, method):
    vectors = normalize(np.random.default_rng(0).normal(size=(n, 8)))
    points = project(vectors, method, perplexity=5, dimensions=3)
    assert points.shape == (n, 3)
    assert np.isfinite(points).all()
    if n == 40:
        spread = points.std(axis=0)
        assert spread[0] >= spread[1] >= spread[2] > 0
        if method == "pca":
            np.testing.assert_allclose(points[:, :2], project(vectors, method))
    with pytest.raises(SingeridError, match="a map is flat or solid; found 4; expected 2 or 3"):
        project(vectors, method, dimensions=4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 6, 7])
def test_project_any_number(n, method):
    vectors = normalize(np.random.default_rng(0).normal(size=(n, 8)))
    points = project(vectors, method)
    assert points.shape == (n, 2)
    assert np.isfinite(points).all()
    assert len(np.unique(points, axis=0)) == n


def agreement(points, singers, n_asked=1000):
    """Share of the points whose nearest neighbor on the map is of their singer."""
    asked = np.linspace(0, len(points) - 1, min(n_asked, len(points)), dtype=int)
    distances = np.linalg.norm(points[asked, None] - points, axis=2)
    distances[np.arange(len(asked)), asked] = np.inf
    return (singers[distances.argmin(axis=1)] == singers[asked]).mean()


@pytest.mark.parametrize("method", ["tsne", *METHODS[2:]])
def test_project_keeps_neighbors_and_is_deterministic(method):
    singers, vectors = clusters(8)
    points = project(vectors, method, perplexity=5)
    np.testing.assert_array_equal(points, project(vectors, method, perplexity=5))
    assert agreement(points, singers) > 0.9


@pytest.mark.slow
def test_ten_thousand_points_by_interpolation(monkeypatch):
    """From there on openTSNE interpolates; below, it has a tree."""
    pytest.importorskip("openTSNE")
    monkeypatch.setattr("singerid.projection.STEPS", (60, 20))
    singers, vectors = clusters(1000, each=10)
    points = project(vectors, "opentsne", perplexity=5)
    np.testing.assert_array_equal(points, project(vectors, "opentsne", perplexity=5))
    assert agreement(points, singers) > 0.9


def test_pca_equals_scikit_learn():
    from sklearn.decomposition import PCA

    vectors = clusters(3)[1]
    expected = PCA(2).fit_transform(vectors.astype(float))
    points = project(vectors, "pca")
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-9)
    loadings = points.T @ vectors  # up to scale; the largest of each axis is positive
    assert (loadings.max(axis=1) > -loadings.min(axis=1)).all()


def test_equal_vectors_are_one_point():
    vectors = np.tile(normalize(np.ones((1, 4))), (20, 1))
    np.testing.assert_allclose(project(vectors), 0, atol=1e-6)
    with pytest.raises(
        SingeridError, match="unknown projection; found mds; expected tsne, pca, umap or opentsne"
    ):
        project(vectors, "mds")


@pytest.mark.slow
def test_umap_is_reproducible_where_it_is_installed():
    """In a process of its own that compiles nothing, which would take longer than all the rest."""
    if find_spec("umap") is None:
        pytest.skip("umap-learn is not installed")
    code = (
        "import numpy as np\nfrom singerid import embeddings, projection\n"
        "vectors = embeddings.normalize(np.random.default_rng(0).normal(size=(12, 8)))\n"
        "one, other = (projection.project(vectors, 'umap', seed=1) for _ in range(2))\n"
        "print(one.shape, (one == other).all(), np.ptp(one) > 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
    )  # fmt: skip
    assert done.stdout == "(12, 2) True True\n", done.stderr
