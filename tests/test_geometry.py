"""Geometry of embeddings against loops over pairs, known distributions and collapsed encoders."""

import numpy as np
import pytest
from scipy.stats import skew
from sklearn.neighbors import NearestNeighbors

from singerid.errors import SingeridError
from singerid.metrics.geometry import (
    Health,
    alignment,
    dead_dimensions,
    effective_rank,
    health,
    hubness,
    sample_rows,
    uniformity,
)

METRICS = (uniformity, effective_rank, dead_dimensions, hubness)


def sphere(n, dim, seed=0):
    """Directions that are spread evenly."""
    vectors = np.random.default_rng(seed).normal(size=(n, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def pairs_of(n):
    return [(i, j) for i in range(n) for j in range(n) if i != j]


def test_alignment_and_uniformity_by_the_definition():
    vectors = sphere(40, 5)
    singers = np.random.default_rng(1).integers(0, 6, 40)
    squared = {(i, j): np.sum((vectors[i] - vectors[j]) ** 2) for i, j in pairs_of(40)}
    own = [squared[i, j] for i, j in squared if singers[i] == singers[j]]
    names = [f"s{singer}" for singer in singers]
    assert alignment(vectors, names) == pytest.approx(np.mean(own), abs=1e-6)
    expected = np.log(np.mean([np.exp(-2 * d) for d in squared.values()]))
    assert uniformity(vectors) == pytest.approx(expected, abs=1e-5)
    assert uniformity(7 * vectors) == pytest.approx(uniformity(vectors))


def test_by_hand():
    vectors = [[1, 0], [0, 1], [-1, 0], [0, 2]]
    # Singer a: at right angles, squared distance 2. Singer b: at right angles too.
    assert alignment(np.array(vectors), list("aabb")) == pytest.approx(2)
    assert alignment(np.array([[1, 0], [-3, 0]]), list("aa")) == pytest.approx(4)
    assert uniformity(np.array([[1, 0], [0, 1]])) == pytest.approx(-4)
    assert uniformity(np.array([[1, 0], [-1, 0]])) == pytest.approx(-8)
    # Pairs: a-b and b-c at right angles, a-c opposite.
    expected = np.log((2 * np.exp(-4) + np.exp(-8)) / 3)
    assert uniformity(np.array(vectors[:3])) == pytest.approx(expected)


def test_uniformity_of_the_sphere_is_the_known_value():
    """Cosines are about normal, of variance 1/dim: ln E exp(4 cos - 4) = -4 + 8/dim."""
    assert uniformity(sphere(2000, 256)) == pytest.approx(-4 + 8 / 256, abs=0.005)


def test_effective_rank_by_the_definition():
    rng = np.random.default_rng(0)
    vectors = sphere(300, 12) * np.geomspace(1, 0.01, 12)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    values = np.sqrt(np.linalg.eigvalsh(np.cov(unit.T, bias=True)))
    shares = values / values.sum()
    expected = np.exp(-np.sum(shares * np.log(shares)))
    assert effective_rank(vectors) == pytest.approx(expected, rel=1e-4)
    rotation = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    assert effective_rank(vectors @ rotation) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("rank", [1, 3, 10])
def test_effective_rank_of_evenly_used_dimensions(rank):
    vectors = np.zeros((2 * rank, 16))  # plus and minus each axis
    vectors[np.arange(rank), np.arange(rank)] = 1
    vectors[rank + np.arange(rank), np.arange(rank)] = -1
    assert effective_rank(vectors) == pytest.approx(rank)
    assert dead_dimensions(vectors) == 16 - rank


def test_dead_dimensions():
    vectors = np.abs(sphere(200, 20))
    vectors[:, 3:9] = 0  # what a ReLU leaves of half a layer
    vectors[:, 12] = 1e-6 * vectors[:, 0]
    assert dead_dimensions(vectors) == 7
    assert dead_dimensions(sphere(200, 20)) == 0


def test_hubness_by_neighbor_counts():
    vectors = sphere(150, 30) + 0.5 * sphere(150, 30, seed=1)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near = NearestNeighbors(n_neighbors=10).fit(unit).kneighbors(return_distance=False)
    counts = np.bincount(near.ravel(), minlength=150)
    assert hubness(vectors) == pytest.approx(skew(counts), abs=1e-6)


@pytest.mark.parametrize(("dim", "low", "high"), [(3, -0.3, 0.5), (30, 1.2, 3), (200, 3, 10)])
def test_hubs_come_with_a_center_in_many_dimensions(dim, low, high):
    """Radovanović et al. 2010: points closer to the data's mean become hubs. A sphere has none."""
    even = sphere(1000, dim)
    assert abs(hubness(even)) < 0.5
    even[:, 0] += 1  # all lean to one side
    assert low < hubness(even) < high


def test_hubness_shares_ties():
    """On a ring everybody has two neighbors, and one nearest of two that tie."""
    angles = np.arange(12) * np.pi / 6
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert hubness(ring, 1) == 0
    assert hubness(ring, 2) == 0
    assert hubness(np.ones((20, 4)), 5) == 0
    # Leaves of a star (equal cosines with each other, higher with the center): k = 1 is the
    # center for all of the 9 leaves; its own nearest is any leaf, 1/9 each.
    star = np.append(np.eye(9), np.ones((1, 9)), axis=0)
    counts = np.append(np.full(9, 1 / 9), 9)
    assert hubness(star, 1) == pytest.approx(skew(counts))


def test_a_collapsed_encoder_is_seen():
    found = health(np.full((60, 8), 0.3), np.arange(60) // 6, np.random.default_rng(0))
    assert (found.dead_dimensions, found.effective_rank, found.hubness) == (8, 0, 0)
    assert found.uniformity == 0
    assert found.alignment == pytest.approx(0, abs=1e-6)
    assert found.silhouette == 0
    assert found.purity == pytest.approx(0.1)


def test_health_of_singers_well_apart():
    singers = np.repeat(np.arange(20), 6)
    vectors = sphere(20, 32)[singers] + 0.02 * sphere(120, 32, seed=1)
    found = health(vectors, singers, np.random.default_rng(0))
    assert (found.n_recordings, found.n_singers, found.dim) == (120, 20, 32)
    assert found.purity == 1
    assert found.silhouette > 0.9
    assert found.alignment < 0.01
    assert found.effective_rank == pytest.approx(effective_rank(vectors))
    assert found.uniformity == pytest.approx(uniformity(vectors))
    assert found.hubness == pytest.approx(hubness(vectors))
    assert found.dead_dimensions == 0


def test_what_few_recordings_leave_undefined_is_none():
    rng = np.random.default_rng(0)
    assert health(sphere(1, 4), ["a"], rng) == Health(1, 1, 4, 4, 0, *[None] * 5)
    two = health(sphere(2, 4), ["a", "b"], rng)
    assert two.uniformity < 0
    assert (two.alignment, two.hubness, two.silhouette, two.purity) == (None,) * 4
    same = health(sphere(12, 4), ["a"] * 12, rng)
    assert same.alignment > 0
    assert same.hubness is not None
    assert (same.silhouette, same.purity) == (None, None)


def test_sample_has_equal_shares_and_pairs():
    singers = np.repeat(np.arange(30), [200] * 10 + [3] * 20)
    rows = sample_rows(singers, 160, np.random.default_rng(0))
    assert len(set(rows)) == 160
    assert (np.diff(rows) > 0).all()
    counts = np.bincount(singers[rows], minlength=30)
    assert list(counts[10:]) == [3] * 20
    assert set(counts[:10]) == {10}
    few = np.bincount(singers[sample_rows(singers, 20, np.random.default_rng(0))], minlength=30)
    assert sorted(few) == [0] * 20 + [2] * 10
    np.testing.assert_array_equal(
        sample_rows(singers[:50], 50, np.random.default_rng(0)), range(50)
    )
    again = sample_rows(singers, 160, np.random.default_rng(0))
    np.testing.assert_array_equal(rows, again)
    assert (sample_rows(singers, 160, np.random.default_rng(1)) != rows).any()
    found = health(sphere(len(singers), 6), singers, np.random.default_rng(0), max_rows=160)
    assert (found.n_recordings, found.n_singers) == (160, 30)


def test_bad_vectors():
    for metric in METRICS:
        with pytest.raises(SingeridError, match=r"no vectors; found shape \(3,\)"):
            metric(np.ones(3))
        with pytest.raises(SingeridError, match=r"no vectors; found shape \(0, 3\)"):
            metric(np.ones((0, 3)))
        for bad in (np.nan, np.inf, 0.0):
            vectors = sphere(20, 3)
            vectors[4] = bad
            with pytest.raises(SingeridError, match="row 4: an embedding has no direction"):
                metric(vectors)


def test_bad_parameters():
    rng = np.random.default_rng(0)
    with pytest.raises(SingeridError, match="no singer has two recordings; found 3 singers"):
        alignment(np.eye(3), ["a", "b", "c"])
    with pytest.raises(SingeridError, match=r"singers do not fit vectors; found shapes \(2,\)"):
        alignment(np.eye(3), ["a", "b"])
    with pytest.raises(SingeridError, match="singers do not fit vectors"):
        health(np.eye(3), ["a", "b"], rng)
    with pytest.raises(SingeridError, match="uniformity needs two recordings; found 1"):
        uniformity(np.eye(3)[:1])
    with pytest.raises(SingeridError, match=r"k does not fit .* found k 2, 3 recordings"):
        hubness(np.eye(3), 2)
    with pytest.raises(SingeridError, match="found k 0"):
        hubness(np.eye(3), 0)
    with pytest.raises(SingeridError, match="max_rows is out of range; found 1; expected at least"):
        sample_rows(["a", "b"], 1, rng)
