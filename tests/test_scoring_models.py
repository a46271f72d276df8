"""Scores of models of several recordings, against the definition."""

import numpy as np
import pytest

from singerid.embeddings import normalize
from singerid.errors import SingeridError
from singerid.scoring import cosine, model_cosine, model_means


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    vectors = normalize(rng.normal(size=(30, 5)))
    models = [[0], [1, 2], [3, 4, 5], [6, 6], [7, 8, 9, 10]]
    enroll, test = rng.integers(0, 5, 5000), rng.integers(11, 30, 5000)  # more than one block
    return vectors, models, enroll, test


def brute(vectors, models, enroll, test, how):
    scores = []
    for model, row in zip(enroll, test, strict=True):
        members = vectors[models[model]].astype(float)
        if how == "centroid":
            mean = members.mean(axis=0)
            scores.append(mean @ vectors[row] / np.linalg.norm(mean))
        else:
            scores.append(getattr(np, how)(members @ vectors[row]))
    return np.array(scores)


@pytest.mark.parametrize("how", ["centroid", "mean", "max"])
def test_models_by_the_definition(case, how):
    found = model_cosine(*case, how=how)
    np.testing.assert_allclose(found, brute(*case, how), atol=2e-6)
    assert (found == np.round(found, 6)).all()


@pytest.mark.parametrize("how", ["centroid", "mean", "max"])
def test_a_model_of_one_recording_is_that_recording(case, how):
    vectors, _, enroll, test = case
    found = model_cosine(vectors, [[row] for row in range(30)], enroll, test, how=how)
    np.testing.assert_allclose(found, cosine(vectors, enroll, test), atol=1.1e-6)


def test_the_order_within_a_model_and_opposites(case):
    vectors, _, enroll, test = case
    a = model_cosine(vectors, [[1, 2, 3]], enroll * 0, test)
    b = model_cosine(vectors, [[3, 1, 2]], enroll * 0, test)
    assert (a == b).all()
    opposite = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    zero = np.zeros(1, np.int64)
    assert model_cosine(opposite, [[0, 1]], zero, zero) == 0  # points nowhere


def test_many_models_are_averaged_in_blocks():
    vectors = normalize(np.random.default_rng(0).normal(size=(50, 3)))
    models = [[i % 50, (i * 7) % 50] for i in range(9000)]
    means = model_means(vectors, models)
    expected = (vectors[[m[0] for m in models]] + vectors[[m[1] for m in models]]) / 2
    np.testing.assert_allclose(means, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([[0], []], "model 1: a model has no recordings"),
        ([[0, 30]], "a model names a row that does not exist; found 30; expected < 30"),
        ([[0, -1]], "found -1"),
    ],
)
@pytest.mark.parametrize("how", ["mean", "max"])
def test_models_that_are_none(case, models, message, how):
    vectors, _, _, test = case
    with pytest.raises(SingeridError, match=message):
        model_cosine(vectors, models, test * 0, test, how=how)
