"""Transforms: what they make of the vectors that they were fitted on, and small samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid.embeddings import normalize
from singerid.errors import MismatchError, SingeridError
from singerid.scoring.backend import Transform, fit_transform


def sample(n_singers=40, n_each=10, dim=6, seed=0):
    """Unit vectors off center, wider in some directions, and their singers."""
    rng = np.random.default_rng(seed)
    scale = np.linspace(0.5, 2, dim)
    centers = rng.normal(size=(n_singers, 1, dim)) * scale
    x = 3 + centers + 0.5 * rng.normal(size=(n_singers, n_each, dim)) * scale[::-1]
    return normalize(x.reshape(-1, dim)), [
        f"s{i:03}" for i in range(n_singers) for _ in range(n_each)
    ]


def test_none_changes_nothing_to_the_last_bit():
    vectors, singers = sample()
    assert fit_transform(vectors, singers, "none").apply(vectors) is vectors


def test_center_subtracts_the_mean_of_the_singers_not_of_the_recordings():
    vectors = normalize(np.array([[1, 0]] * 9 + [[0, 1]], float))
    fitted = fit_transform(vectors, ["a"] * 9 + ["b"], "center")
    np.testing.assert_allclose(fitted.mean, [0.5, 0.5])
    np.testing.assert_allclose(fitted.apply(vectors)[-1], np.array([-1, 1]) / np.sqrt(2), atol=1e-6)


def projected(fitted, vectors):
    """Before the normalization."""
    return (vectors - fitted.mean) @ fitted.projection


def test_whitening_makes_the_covariance_round():
    vectors, singers = sample()
    fitted = fit_transform(vectors, singers, "whiten", shrinkage=0)
    np.testing.assert_allclose(
        np.cov(projected(fitted, vectors).T, bias=True), np.eye(6), atol=1e-6
    )
    np.testing.assert_allclose(np.linalg.norm(fitted.apply(vectors), axis=1), 1, atol=1e-6)


def test_wccn_makes_the_covariance_within_singers_round():
    vectors, singers = sample()
    fitted = fit_transform(vectors, singers, "wccn", shrinkage=0)
    x = projected(fitted, vectors).reshape(40, 10, -1)
    deviations = (x - x.mean(axis=1, keepdims=True)).reshape(-1, 6)
    np.testing.assert_allclose(deviations.T @ deviations / len(vectors), np.eye(6), atol=1e-6)


def test_repeating_a_singers_recordings_changes_nothing():
    vectors, singers = sample(5, 4)
    more = np.concatenate([vectors, vectors[:4], vectors[:4]])
    for kind in ("center", "whiten", "wccn"):
        a = fit_transform(vectors, singers, kind, shrinkage=0.1)
        b = fit_transform(more, [*singers, *singers[:4] * 2], kind, shrinkage=0.1)
        np.testing.assert_allclose(a.mean, b.mean, atol=1e-12)
        if kind != "center":
            np.testing.assert_allclose(
                a.apply(vectors) @ a.apply(vectors).T, b.apply(vectors) @ b.apply(vectors).T,
                atol=1e-5,
            )  # fmt: skip


@given(st.floats(0.01, 1), st.integers(0, 5))
def test_cosines_do_not_depend_on_the_axes(shrinkage, seed):
    vectors, singers = sample(8, 5)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))
    turned = normalize(vectors @ turn)
    a = fit_transform(vectors, singers, "whiten", shrinkage=shrinkage).apply(vectors)
    b = fit_transform(turned, singers, "whiten", shrinkage=shrinkage).apply(turned)
    np.testing.assert_allclose(a @ a.T, b @ b.T, atol=1e-4)


def test_full_shrinkage_is_centering():
    vectors, singers = sample()
    white = fit_transform(vectors, singers, "whiten", shrinkage=1).apply(vectors)
    centered = fit_transform(vectors, singers, "center").apply(vectors)
    np.testing.assert_allclose(white @ white.T, centered @ centered.T, atol=1e-5)


def test_fewer_singers_than_dimensions_and_dead_dimensions_work():
    vectors, singers = sample(4, 3, dim=50)
    vectors[:, :20] = 0
    vectors = normalize(vectors)
    for kind in ("whiten", "wccn"):
        found = fit_transform(vectors, singers, kind).apply(vectors)
        assert found.shape == vectors.shape
        assert np.isfinite(found).all()
    with pytest.raises(SingeridError, match=r"covariance is singular; found 50 dim.*more singers"):
        fit_transform(vectors, singers, "whiten", shrinkage=0)
    assert fit_transform(vectors, singers, "whiten", shrinkage=0, n_dims=3).apply(
        vectors
    ).shape == (12, 3)


def test_default_shrinkage_vanishes_as_singers_grow():
    shares = []
    for n in (10, 1000):
        vectors, singers = sample(n, 2)
        x = projected(fit_transform(vectors, singers, "whiten"), vectors)
        shares.append(np.abs(np.cov(x.T, bias=True) - np.eye(6)).max())
    assert shares[1] < 0.06 < 0.3 < shares[0]


@pytest.mark.parametrize(("kind", "n"), [("whiten", 40), ("wccn", 400 - 40)])
def test_default_shrinkage_counts_what_is_independent(kind, n):
    vectors, singers = sample()
    expected = fit_transform(vectors, singers, kind, shrinkage=6 / (6 + n))
    found = fit_transform(vectors, singers, kind)
    np.testing.assert_array_equal(found.projection, expected.projection)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": np.full((4, 3), np.nan)}, "row 0: a vector is not finite"),
        ({"singers": ["a", "b"]}, r"do not fit singers; found shape \(4, 3\), 2 singers"),
        ({"singers": ["a"] * 4}, "needs several singers; found 1"),
        ({"singers": list("abcd"), "kind": "wccn"}, "nothing is known of how a singer varies"),
        ({"shrinkage": 1.5, "kind": "whiten"}, "shrinkage out of range; found 1.5"),
        ({"n_dims": 4, "kind": "whiten"}, "n_dims out of range; found 4; expected 1 … 3"),
    ],
)
def test_what_cannot_be_fitted(change, message):
    case = {"vectors": sample(2, 2, 3)[0], "singers": list("aabb"), "kind": "center"} | change
    with pytest.raises(SingeridError, match=message):
        fit_transform(**case)


def test_what_cannot_be_transformed():
    vectors, singers = sample()
    fitted = fit_transform(vectors, singers, "center")
    with pytest.raises(MismatchError, match=r"found shape \(2, 5\); expected \(n, 6\)"):
        fitted.apply(np.ones((2, 5)))
    with pytest.raises(SingeridError, match="row 0: an embedding has no direction"):
        fitted.apply(fitted.mean[None])
    for bad in (np.nan, 0.5):
        with pytest.raises(SingeridError, match="must be of unit length"):
            Transform().apply(np.full((1, 3), bad))
    with pytest.raises(SingeridError, match="projection does not fit the mean"):
        Transform(np.zeros(3), np.eye(4))
