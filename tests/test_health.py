"""Health of embeddings, against naive loops and sets whose figures are known."""

import math

import numpy as np
import pytest

from singerid.errors import SingeridError
from singerid.health import embedding_health, variance_shares


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def around(centers, n_each, spread, rng):
    """Unit vectors about centers, and the singers' names."""
    rows = np.repeat(centers, n_each, axis=0)
    rows = rows + spread * rng.standard_normal(rows.shape)
    return unit(rows), [f"singer {i}" for i in range(len(centers)) for _ in range(n_each)]


def naive_variances(vectors, singers):
    """Mean squared distances by loops."""
    within = between = 0.0
    overall = sum(vectors) / len(vectors)
    for vector, singer in zip(vectors, singers, strict=True):
        own = [v for v, s in zip(vectors, singers, strict=True) if s == singer]
        mean = sum(own) / len(own)
        within += sum((a - b) ** 2 for a, b in zip(vector, mean, strict=True))
        between += sum((a - b) ** 2 for a, b in zip(mean, overall, strict=True))
    return within / len(vectors), between / len(vectors)


def test_variances_are_those_of_loops_and_add_up():
    rng = np.random.default_rng(0)
    vectors, singers = around(rng.standard_normal((4, 6)), 5, 0.3, rng)
    order = rng.permutation(20)[:17]  # unequal numbers, in no order
    vectors, singers = vectors[order], [singers[i] for i in order]
    found = variance_shares(vectors, singers)
    within, between = naive_variances(list(vectors), singers)
    assert found["within_variance"] == pytest.approx(within)
    assert found["between_variance"] == pytest.approx(between)
    total = found["within_variance"] + found["between_variance"]
    assert total == pytest.approx(1 - np.sum(vectors.mean(axis=0) ** 2))
    assert found["between_share"] == pytest.approx(between / total)
    scaled = variance_shares(7 * vectors, singers)
    assert scaled == pytest.approx(found)


def test_singers_that_are_points():
    figures = embedding_health(np.repeat(np.eye(4), 3, axis=0), np.repeat(list("abcd"), 3))
    assert figures["within_variance"] == 0
    assert figures["between_variance"] == pytest.approx(0.75)
    assert figures["between_share"] == 1
    assert figures["effective_rank"] == pytest.approx(3)  # four points about their mean
    assert figures["alignment"] == 0
    assert figures["dead_dimensions"] == figures["zero_vectors"] == 0
    # Of 12 · 11 pairs, 12 · 2 are equal and the others at squared distance 2.
    assert figures["uniformity"] == pytest.approx(math.log((24 + 108 * math.exp(-4)) / 132))


def test_strangers_share_the_variance_as_chance_has_it():
    rng = np.random.default_rng(1)
    vectors = unit(rng.standard_normal((600, 64)))
    share = embedding_health(vectors, np.arange(600) % 30)["between_share"]
    assert share == pytest.approx(29 / 599, abs=0.01)


def test_a_collapsed_encoder():
    figures = embedding_health(np.tile([0.6, 0.8, 0], (8, 1)), list("aabbccdd"))
    assert figures["effective_rank"] == 0
    assert figures["dead_dimensions"] == 3
    assert figures["within_variance"] == pytest.approx(0, abs=1e-20)
    assert figures["uniformity"] == pytest.approx(0)
    assert "between_share" not in figures


def test_dead_dimensions_and_rank_of_a_subspace():
    rng = np.random.default_rng(2)
    vectors = np.zeros((200, 16))
    vectors[:, 3:8] = unit(rng.standard_normal((200, 5)))
    figures = embedding_health(vectors, np.arange(200) % 20)
    assert figures["dead_dimensions"] == 11
    assert 4.5 < figures["effective_rank"] <= 5


def test_zero_vectors_are_counted_apart():
    rng = np.random.default_rng(3)
    vectors, singers = around(np.eye(5)[:3], 4, 0.2, rng)
    padded = np.concatenate([np.zeros((4, 5)), vectors])
    found = embedding_health(padded, ["new"] * 4 + singers)
    assert found.pop("zero_vectors") == pytest.approx(4 / 16)
    without = embedding_health(vectors, singers)
    without.pop("zero_vectors")
    assert found == without
    assert embedding_health(np.zeros((3, 4)), list("abc")) == {"zero_vectors": 1}


def test_what_is_not_defined_is_left_out():
    assert {"uniformity", "alignment"} & embedding_health(np.eye(1, 4), ["a"]).keys() == set()
    assert "alignment" not in embedding_health(np.eye(4), list("abcd"))
    assert "uniformity" in embedding_health(np.eye(4), list("abcd"))


@pytest.mark.parametrize(("shape", "n"), [((3,), 3), ((3, 4), 2), ((0, 4), 0)])
def test_shapes_must_fit(shape, n):
    with pytest.raises(SingeridError, match=r"embeddings do not fit singers; found shapes \("):
        embedding_health(np.ones(shape), ["a"] * n)


def test_no_number_is_refused():
    vectors = np.eye(3)
    vectors[1, 0] = np.nan
    with pytest.raises(SingeridError, match="row 1: an embedding is not finite; lower"):
        embedding_health(vectors, list("abc"))
