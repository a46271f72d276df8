"""Clusters, purity and silhouette against hand counts, scikit-learn and brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

from singerid.errors import SingeridError
from singerid.metrics.clustering import clusters, numbered, purity, silhouette


def make(n_singers=6, each=8, dim=16, spread=0.2, seed=0):
    rng = np.random.default_rng(seed)
    singers = np.repeat(np.arange(n_singers), each)
    return rng.normal(size=(n_singers, dim))[singers] + spread * rng.normal(
        size=(len(singers), dim)
    ), singers


def test_purity_by_hand():
    # Clusters of 3 a, 1 b; 2 b, 2 c; 1 c.
    assert purity(list("111122223"), list("aaabbbccc")) == pytest.approx((3 + 2 + 1) / 9)
    assert purity([5, 5, 5], ["a", "a", "a"]) == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_purity_by_the_contingency_table(pairs):
    found, singers = np.transpose(pairs)
    expected = contingency_matrix(singers, found).max(axis=0).sum() / len(pairs)
    assert purity(found, singers) == pytest.approx(expected)
    assert purity(np.arange(len(pairs)), singers) == 1  # each its own cluster
    assert purity(np.zeros(len(pairs)), singers) == np.bincount(singers).max() / len(pairs)


@pytest.mark.parametrize("spread", [0.2, 2.0])
def test_clusters_are_those_of_scikit_learn(spread):
    vectors, _ = make(spread=spread)
    other = AgglomerativeClustering(6, metric="cosine", linkage="average").fit_predict(vectors)
    assert adjusted_rand_score(clusters(vectors, 6), other) == 1


def test_well_apart_singers_are_clusters():
    vectors, singers = make()
    assert purity(clusters(vectors, 6), singers) == 1
    assert purity(clusters(vectors, 2), singers) < 1
    assert sorted(set(clusters(vectors, 48))) == list(range(48))
    assert list(clusters(vectors[:1], 1)) == [0]
    assert set(clusters(np.ones((5, 3)), 2)) == {0}  # nothing to part them by


def test_silhouette_by_the_definition():
    vectors, singers = make(n_singers=4, each=5, spread=0.8)
    vectors, singers = np.append(vectors, [np.ones(16)], axis=0), np.append(singers, 9)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    distances = 1 - unit @ unit.T
    values = []
    for i, own in enumerate(singers):
        mine = (singers == own) & (np.arange(len(singers)) != i)
        if not mine.any():
            values.append(0)
            continue
        a = distances[i, mine].mean()
        b = min(distances[i, singers == other].mean() for other in set(singers) - {own})
        values.append((b - a) / max(a, b))
    assert silhouette(vectors, singers) == pytest.approx(np.mean(values), abs=1e-6)
    names = [f"singer {singer}" for singer in singers]
    assert silhouette(5 * vectors, names) == pytest.approx(silhouette(vectors, singers), abs=1e-6)


def test_numbers_of_labels():
    np.testing.assert_array_equal(numbered(["b", "a", "b"]), [1, 0, 1])


def test_bad_input():
    vectors = np.eye(3)
    with pytest.raises(SingeridError, match="singers do not fit vectors; found shapes"):
        silhouette(vectors, ["a", "b"])
    with pytest.raises(SingeridError, match="two recordings; found 1 singers, 3 recordings"):
        silhouette(vectors, ["a", "a", "a"])
    with pytest.raises(SingeridError, match="two recordings; found 3 singers, 3 recordings"):
        silhouette(vectors, ["a", "b", "c"])
    with pytest.raises(SingeridError, match="number of clusters out of range; found 4; expected 1"):
        clusters(vectors, 4)
    with pytest.raises(SingeridError, match="number of clusters out of range; found 0"):
        clusters(vectors, 0)
    with pytest.raises(SingeridError, match=r"clusters do not fit singers; found shapes \(2,\)"):
        purity([1, 2], ["a"])
    with pytest.raises(SingeridError, match=r"clusters do not fit singers; found shapes \(0,\)"):
        purity([], [])
