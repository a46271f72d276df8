"""Identification against brute force over all orders of ties, scikit-learn and hand counts."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, top_k_accuracy_score

from singerid.errors import SingeridError
from singerid.metrics.identification import (
    average_precisions,
    detection_identification_rate,
    mean_average_precision,
    mean_normalized_rank,
    normalized_ranks,
    top_k,
    top_k_hits,
)


@st.composite
def lists(draw, highest=3):
    """Scores of few candidates with ties, some out of the question; which is right."""
    n = draw(st.integers(1, 5))
    scores = [draw(st.sampled_from([-np.inf, 0, 1, 2, highest])) for _ in range(n)]
    right = draw(st.integers(0, n - 1))
    scores[right] = draw(st.integers(0, 3))
    return np.array(scores, float), right


def orders(scores):
    """Every order of the candidates that is sorted by score, those out of the question left out."""
    asked = [i for i in range(len(scores)) if scores[i] > -np.inf]
    for order in itertools.permutations(asked):
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order)):
            yield order


@given(lists(), st.integers(1, 6))
def test_ties_are_the_mean_over_all_orders(case, k):
    scores, right = case
    places = [order.index(right) for order in orders(scores)]
    asked = np.sum(scores > -np.inf)
    assert top_k_hits([scores], [right], k)[0] == pytest.approx(np.mean(np.array(places) < k))
    assert normalized_ranks([scores], [right])[0] == pytest.approx(np.mean(places) / asked)


@given(lists(), st.data())
def test_average_precision_is_the_mean_over_all_orders(case, data):
    scores, right = case
    relevant = np.array([data.draw(st.booleans()) for _ in scores])
    relevant[right] = True
    values = []
    for order in orders(scores):
        found = np.cumsum(relevant[list(order)])
        at = [found[i] / (i + 1) for i, candidate in enumerate(order) if relevant[candidate]]
        values.append(np.mean(at))
    assert average_precisions([scores], [relevant])[0] == pytest.approx(np.mean(values))


@pytest.mark.parametrize("seed", range(5))
def test_scikit_learn_agrees_without_ties(seed):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(40, 12))
    singers = np.append(np.arange(12), rng.integers(0, 12, 28))
    scores[np.arange(40), singers] += 1
    for k in (1, 3):
        expected = top_k_accuracy_score(singers, scores, k=k)
        assert top_k(scores, singers, k) == pytest.approx(expected)
    relevant = rng.random((40, 12)) < 0.3
    relevant[:, 0] = True
    expected = [average_precision_score(r, s) for r, s in zip(relevant, scores, strict=True)]
    np.testing.assert_allclose(average_precisions(scores, relevant), expected, atol=1e-12)
    assert mean_average_precision(scores, relevant) == pytest.approx(np.mean(expected))


def test_by_hand():
    scores = [[0.9, 0.1, 0.5], [0.2, 0.3, 0.4], [0.7, 0.7, 0.0]]
    assert top_k(scores, [0, 0, 0]) == pytest.approx((1 + 0 + 0.5) / 3)
    assert top_k(scores, [0, 0, 0], k=2) == pytest.approx((1 + 0 + 1) / 3)
    assert top_k(scores, [0, 0, 0], k=3) == 1
    assert top_k([[0.5, -np.inf]], [0]) == 1
    assert mean_normalized_rank(scores, [0, 0, 0]) == pytest.approx((0 + 2 + 0.5) / 9)
    assert mean_normalized_rank([[0.5, -np.inf, 0.7]], [0]) == 0.5  # second of two
    relevant = [[True, False, True], [True, False, True], [False, False, True]]
    precision = [1, (1 + 2 / 3) / 2, 1 / 3]
    assert mean_average_precision(scores, relevant) == pytest.approx(np.mean(precision))
    unasked = [[True, True, True], [False] * 3, [False] * 3]
    assert mean_average_precision(scores, unasked) == 1  # queries without an answer do not count


@given(st.integers(1, 9), st.integers(1, 9))
def test_equal_scores_are_chance(n_singers, k):
    scores, singers = np.ones((4, n_singers)), np.arange(4) % n_singers
    assert top_k(scores, singers, k) == pytest.approx(min(1, k / n_singers))
    assert mean_normalized_rank(scores, singers) == pytest.approx((1 - 1 / n_singers) / 2)


def test_ranks_of_noise_are_chance_and_do_not_depend_on_the_number_of_candidates():
    rng = np.random.default_rng(0)
    for n in (10, 500):
        scores = rng.normal(size=(4000, n))
        assert mean_normalized_rank(scores, np.zeros(4000, int)) == pytest.approx(0.5, abs=0.06)
        scores[:, 0] += 2
        assert mean_normalized_rank(scores, np.zeros(4000, int)) == pytest.approx(0.079, abs=0.02)


def brute_open_set(scores, singers, false_alarm):
    """Try every threshold there is; ties of the best are shared."""
    best = scores.max(axis=1)
    for threshold in [*sorted(set(best)), np.inf]:
        alarms = np.mean(best[singers < 0] >= threshold)
        if alarms <= false_alarm:
            found = [
                (row[s] == row.max()) * (row[s] >= threshold) / np.sum(row == row.max())
                for row, s in zip(scores, singers, strict=True)
                if s >= 0
            ]
            return np.mean(found), threshold
    raise AssertionError


@given(st.integers(0, 10_000), st.sampled_from([0, 0.1, 0.2, 0.5, 1]))
def test_open_set_equals_brute_force(seed, false_alarm):
    rng = np.random.default_rng(seed)
    n, c = rng.integers(2, 12), rng.integers(1, 5)
    scores = rng.integers(0, 5, (n, c)).astype(float)
    singers = rng.integers(-1, c, n)
    singers[:2] = 0, -1
    found = detection_identification_rate(scores, singers, false_alarm)
    assert found == pytest.approx(brute_open_set(scores, singers, false_alarm))


def test_open_set_by_hand():
    # Enrolled: right at 0.9; right at 0.6; wrong at 0.8. Strangers: best 0.7 and 0.5.
    scores = [[0.9, 0.1], [0.2, 0.6], [0.8, 0.3], [0.7, 0.0], [0.1, 0.5]]
    singers = [0, 1, 1, -1, -1]
    assert detection_identification_rate(scores, singers, 0) == (pytest.approx(1 / 3), 0.8)
    assert detection_identification_rate(scores, singers, 0.5) == (pytest.approx(2 / 3), 0.6)
    assert detection_identification_rate(scores, singers, 1) == (pytest.approx(2 / 3), 0.5)
    assert detection_identification_rate([[1], [1]], [0, -1], 0.9) == (0, np.inf)


def test_more_false_alarms_never_find_fewer():
    rng = np.random.default_rng(0)
    singers = rng.integers(-1, 8, 300)
    scores = rng.normal(size=(300, 8))
    scores[np.arange(300), singers] += 2.0 * (singers >= 0)
    rates, thresholds = np.transpose(
        [detection_identification_rate(scores, singers, x) for x in np.linspace(0, 1, 21)]
    )
    assert (np.diff(rates) >= 0).all()
    assert (np.diff(thresholds) <= 0).all()
    assert rates[-1] == top_k(scores[singers >= 0], singers[singers >= 0])  # nobody is refused


NAN = [[1, 2], [1, np.nan]]


@pytest.mark.parametrize("metric", [top_k, mean_normalized_rank])
@pytest.mark.parametrize(
    ("scores", "singers", "message"),
    [
        ([[1, 2]], [0, 1], r"scores do not fit singers; found shapes \(1, 2\) and \(2,\)"),
        ([1, 2], [0, 1], r"scores do not fit singers; found shapes \(2,\)"),
        (np.empty((0, 3)), [], r"scores do not fit singers; found shapes \(0, 3\)"),
        ([[1, 2]], [2], "a singer is no column of the scores; found 2…2; expected integers in 0…1"),
        ([[1, 2]], [-1], "a singer is no column of the scores; found -1…-1"),
        ([[1, 2]], [0.0], "a singer is no column of the scores"),
        (NAN, [0, 0], "query 1: a score is NaN"),
        ([[1, -np.inf]], [1], "query 0: the right singer is out of the question"),
    ],
)
def test_bad_scores(metric, scores, singers, message):
    with pytest.raises(SingeridError, match=message):
        metric(scores, singers)


def test_bad_parameters():
    with pytest.raises(SingeridError, match="k is out of range; found 0; expected at least 1"):
        top_k([[1, 2]], [1], 0)
    with pytest.raises(SingeridError, match="false alarm rate is out of range; found 2"):
        detection_identification_rate([[1], [2]], [0, -1], 2)
    with pytest.raises(SingeridError, match="other singers; found 2 of 2 queries enrolled"):
        detection_identification_rate([[1], [2]], [0, 0], 0.1)
    with pytest.raises(SingeridError, match="other singers; found 0 of 2 queries enrolled"):
        detection_identification_rate([[1], [2]], [-1, -1], 0.1)
    with pytest.raises(SingeridError, match="query 1: the best score is not finite"):
        detection_identification_rate([[1], [-np.inf]], [0, -1], 0.1)
    with pytest.raises(SingeridError, match="query 1: a score is NaN"):
        detection_identification_rate(NAN, [0, -1], 0.1)
    with pytest.raises(SingeridError, match=r"found -2…0; expected integers in -1…1"):
        detection_identification_rate([[1, 2], [1, 2]], [0, -2], 0.1)
    with pytest.raises(SingeridError, match=r"scores do not fit relevant; found shapes \(1, 2\)"):
        mean_average_precision([[1, 2]], [[True]])
    with pytest.raises(SingeridError, match="query 1: a score is NaN"):
        mean_average_precision(NAN, [[True, False]] * 2)
    with pytest.raises(SingeridError, match="no query has a relevant candidate; found 1 queries"):
        mean_average_precision([[1, 2]], [[False, False]])
