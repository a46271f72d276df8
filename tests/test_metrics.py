"""Metrics against brute force, scikit-learn, hand-computed cases and what must always hold."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from singerid.errors import SingeridError
from singerid.metrics import auc, det_points, eer, min_dcf, miss_at_false_alarm, roc_points


def rates(scores, targets, threshold):
    """Miss and false alarm rate at one threshold, by the definition."""
    misses = [s < threshold for s, t in zip(scores, targets, strict=True) if t]
    alarms = [s >= threshold for s, t in zip(scores, targets, strict=True) if not t]
    return np.mean(misses), np.mean(alarms)


def brute_eer(scores, targets):
    """Try all thresholds; intersect the polyline of the operating points with the diagonal."""
    points = [rates(scores, targets, t) for t in [*sorted(set(scores)), np.inf]]
    for (m0, f0), (m1, f1) in itertools.pairwise(points):
        if m0 <= f0 and m1 >= f1:
            share = (f0 - m0) / ((m1 - m0) + (f0 - f1))
            return m0 + share * (m1 - m0)
    raise AssertionError


@st.composite
def trials(draw):
    """Scores with many ties, both classes present."""
    labels = [True, False, *draw(st.lists(st.booleans(), max_size=30))]
    scores = [draw(st.integers(-4, 4)) / 4 for _ in labels]
    return np.array(scores), np.array(labels)


@given(trials())
def test_eer_and_det_equal_brute_force(case):
    scores, targets = case
    thresholds, misses, alarms = det_points(scores, targets)
    expected = [rates(scores, targets, t) for t in thresholds]
    np.testing.assert_allclose(np.stack([misses, alarms], axis=1), expected, atol=1e-12)
    assert list(thresholds) == [*sorted(set(scores)), np.inf]
    assert eer(scores, targets)[0] == pytest.approx(brute_eer(scores, targets), abs=1e-12)


@given(trials())
def test_invariances(case):
    scores, targets = case
    rate, threshold = eer(scores, targets)
    assert 0 <= rate <= 1
    assert eer(np.exp(3 * scores) - 7, targets)[0] == rate
    assert auc(scores**3 + scores, targets) == auc(scores, targets)
    mirrored = eer(-scores, ~targets)  # who takes targets for nontargets, and counts backwards
    assert mirrored == (pytest.approx(rate, abs=1e-12), pytest.approx(-threshold, abs=1e-12))
    assert auc(-scores, targets) == pytest.approx(1 - auc(scores, targets), abs=1e-12)
    order = np.random.default_rng(0).permutation(len(scores))
    assert eer(scores[order], targets[order]) == (rate, threshold)


@given(trials())
def test_scikit_learn_agrees(case):
    scores, targets = case
    assert auc(scores, targets) == pytest.approx(roc_auc_score(targets, scores), abs=1e-12)
    alarms, hits, _ = roc_curve(targets, scores, drop_intermediate=False)
    # Interpolated on scikit-learn's points: miss - false alarm falls along the curve.
    expected = np.interp(0, -(1 - hits - alarms), alarms)
    assert eer(scores, targets)[0] == pytest.approx(expected, abs=1e-12)


def test_eer_of_normal_scores_is_the_known_value():
    rng = np.random.default_rng(0)
    targets = np.arange(400_000) % 4 == 0
    scores = rng.normal(size=400_000) + 2 * targets
    rate, threshold = eer(scores, targets)
    assert rate == pytest.approx(0.158655, abs=0.003)  # Φ(-1)
    assert threshold == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("targets", "nontargets", "rate", "threshold"),
    [
        ([3, 4], [1, 2], 0, 2.5),  # separated: halfway between
        ([1, 2], [3, 4], 1, 2.5),  # all wrong
        ([1, 3], [2, 0], 0.5, 1.5),  # reject 0 and 1, accept 2 and 3: an exact crossing
        ([5, 5, 5], [5], 0.5, 5),  # nothing to tell them by
        ([2, 2, 1], [1, 0], 0.2, 1),  # 1/3 share of the ties at 1: miss 1/3·x = fa 1/2·(1 - x)
        ([1, 2, 3], [0, 2], 1 / 3 * 1.2, 2),  # miss 1/3 + x/3 = fa 1/2 - x/2: x = 0.2
    ],
)
def test_eer_by_hand(targets, nontargets, rate, threshold):
    flags = np.array([True] * len(targets) + [False] * len(nontargets))
    found = eer(targets + nontargets, flags)
    assert found == (pytest.approx(rate), pytest.approx(threshold))


@pytest.mark.parametrize("n_targets", [1, 7, 33])
def test_a_collapsed_encoder_scores_half(n_targets):
    scores, targets = np.full(100, 0.99), np.arange(100) < n_targets
    assert eer(scores, targets) == (0.5, 0.99)
    assert auc(scores, targets) == 0.5
    assert min_dcf(scores, targets)[0] == 1


def test_min_dcf_by_hand_and_brute_force():
    # Threshold 3: miss 1/2, no false alarm. Threshold 1: no miss, false alarm 1/2.
    scores, targets = [1, 3, 0, 2], [True, True, False, False]
    assert min_dcf(scores, targets, 0.5) == (pytest.approx(0.5), 1)
    assert min_dcf(scores, targets, 0.1) == (pytest.approx(0.5), 3)
    rng = np.random.default_rng(1)
    targets = rng.random(200) < 0.3
    scores = np.round(rng.normal(size=200) + targets, 1)
    costs = []
    for threshold in [*scores, np.inf]:
        miss, alarm = rates(scores, targets, threshold)
        costs.append((0.01 * 10 * miss + 0.99 * alarm) / (0.01 * 10))
    assert min_dcf(scores, targets, 0.01, 10, 1)[0] == pytest.approx(min(costs))


@given(trials(), st.floats(0.001, 0.999))
def test_min_dcf_is_at_most_that_of_a_trivial_system(case, p_target):
    assert 0 <= min_dcf(*case, p_target)[0] <= 1 + 1e-12


@given(trials())
def test_roc_points_are_those_of_scikit_learn(case):
    scores, targets = case
    thresholds, alarms, hits = roc_points(scores, targets)
    expected_alarms, expected_hits, expected = roc_curve(targets, scores, drop_intermediate=False)
    np.testing.assert_array_equal(thresholds, expected)
    np.testing.assert_allclose(alarms, expected_alarms, atol=1e-12)
    np.testing.assert_allclose(hits, expected_hits, atol=1e-12)


@given(trials(), st.floats(0, 1))
def test_miss_at_false_alarm_equals_brute_force(case, rate):
    scores, targets = case
    points = [(t, *rates(scores, targets, t)) for t in [*sorted(set(scores)), np.inf]]
    allowed = [(miss, threshold) for threshold, miss, alarm in points if alarm <= rate]
    miss, threshold = miss_at_false_alarm(scores, targets, rate)
    assert (miss, threshold) == (pytest.approx(min(allowed)[0]), min(allowed)[1])


def test_miss_at_false_alarm_by_hand():
    scores, targets = [4, 3, 2, 1, 3.5, 2.5, 0, 0], [True] * 4 + [False] * 4
    assert miss_at_false_alarm(scores, targets, 0.24) == (0.75, 4)  # no false alarm is left
    assert miss_at_false_alarm(scores, targets, 0.25) == (0.5, 3)  # one of four: 3.5
    assert miss_at_false_alarm(scores, targets, 1) == (0, 0)
    assert miss_at_false_alarm([1, 2], [True, False], 0.5) == (1, np.inf)
    assert miss_at_false_alarm([7, 7], [True, False], 0) == (1, np.inf)  # a tie


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        ([0.1, 0.2], [True], r"scores do not fit targets; found shapes \(2,\) and \(1,\)"),
        ([[0.1]], [[True]], r"scores do not fit targets; found shapes \(1, 1\)"),
        ([0.1, np.nan], [True, False], "trial 1: a score is not finite; found nan"),
        ([-np.inf, 1], [True, False], "trial 0: a score is not finite; found -inf"),
        ([0.1, 0.2], [True, True], "found 2 targets and 0 nontargets; give at least two singers"),
        ([0.1], [False], "found 0 targets and 1 nontargets"),
        ([], [], "found 0 targets and 0 nontargets"),
        ([0.1, 0.2], [0.5, 1], "targets must be True or False"),
    ],
)
def test_bad_trials(scores, targets, message):
    for metric in (det_points, roc_points, eer, auc, min_dcf):
        with pytest.raises(SingeridError, match=message):
            metric(scores, targets)
    with pytest.raises(SingeridError, match=message):
        miss_at_false_alarm(scores, targets, 0.1)


@pytest.mark.parametrize(
    "parameters",
    [(1,), (0,), (np.nan,), (0.5, 0), (0.5, 1, -1), (0.5, np.inf), (0.5, 1, np.nan)],
)
def test_bad_costs(parameters):
    with pytest.raises(SingeridError, match="detection cost out of range; found p_target"):
        min_dcf([0, 1], [False, True], *parameters)


@pytest.mark.parametrize("rate", [-0.1, 1.1, np.nan])
def test_bad_rates(rate):
    with pytest.raises(SingeridError, match=f"false alarm rate is out of range; found {rate}"):
        miss_at_false_alarm([0, 1], [False, True], rate)
