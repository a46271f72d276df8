"""Costs of log-likelihood ratios against brute force, hand-computed cases and what must hold."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid.errors import SingeridError
from singerid.metrics import det_points, min_dcf
from singerid.metrics.likelihood import act_dcf, bayes_threshold, cllr, min_cllr, pooled

PRIORS = [0.01, 0.05, 0.5, 0.9]


@st.composite
def trials(draw):
    """Scores with many ties, both classes present."""
    labels = [True, False, *draw(st.lists(st.booleans(), max_size=30))]
    scores = [draw(st.integers(-8, 8)) / 2 for _ in labels]
    return np.array(scores), np.array(labels)


def brute_cllr(llrs, targets):
    """Brümmer & du Preez 2006, equation 28, trial by trial."""
    of_targets = [math.log2(1 + math.exp(-x)) for x, t in zip(llrs, targets, strict=True) if t]
    of_others = [math.log2(1 + math.exp(x)) for x, t in zip(llrs, targets, strict=True) if not t]
    return (sum(of_targets) / len(of_targets) + sum(of_others) / len(of_others)) / 2


def brute_pav(scores, targets):
    """Pool adjacent violators by the textbook: merge neighbors until the shares rise strictly."""
    pools = []
    for score in sorted(set(scores)):
        n_targets = sum(t for s, t in zip(scores, targets, strict=True) if s == score)
        pools.append((n_targets, sum(s == score for s in scores) - n_targets))
        while len(pools) > 1 and pools[-2][0] * sum(pools[-1]) >= pools[-1][0] * sum(pools[-2]):
            last, before = pools.pop(), pools.pop()
            pools.append((last[0] + before[0], last[1] + before[1]))
    return pools


@given(trials())
def test_cllr_equals_brute_force(case):
    assert cllr(*case) == pytest.approx(brute_cllr(*case), abs=1e-12)


@given(trials())
def test_pools_equal_brute_force(case):
    found = pooled(*case)
    np.testing.assert_array_equal(np.transpose(found), brute_pav(*case))


@given(trials())
def test_min_cllr_is_the_cllr_of_the_pools(case):
    scores, targets = case
    pools = brute_pav(scores, targets)
    total = 0.0
    for n_targets, n_others in pools:
        p, q = n_targets / targets.sum(), n_others / (~targets).sum()
        total += p * math.log2(1 + q / p) / 2 if p else 0
        total += q * math.log2(1 + p / q) / 2 if q else 0
    assert min_cllr(scores, targets) == pytest.approx(total, abs=1e-12)


@given(trials(), st.floats(0.1, 3), st.floats(-3, 3))
def test_no_monotone_map_is_better_than_the_minimum(case, scale, offset):
    scores, targets = case
    least = min_cllr(scores, targets)
    assert -1e-12 <= least <= 1 + 1e-12
    for llrs in (scores, scale * scores + offset, np.tanh(scores), np.cbrt(scores)):
        assert least <= cllr(llrs, targets) + 1e-12
        assert min_cllr(llrs, targets) >= least - 1e-12  # rounding may tie scores, no more


@given(trials())
def test_min_cllr_asks_only_for_the_order(case):
    scores, targets = case
    least = min_cllr(scores, targets)
    assert min_cllr(np.exp(scores) - 7, targets) == least
    assert min_cllr(-scores, ~targets) == pytest.approx(least, abs=1e-12)
    order = np.random.default_rng(0).permutation(len(scores))
    assert min_cllr(scores[order], targets[order]) == least


@pytest.mark.parametrize("p_target", PRIORS)
@given(case=trials())
def test_actual_cost_by_definition_and_never_below_the_minimum(p_target, case):
    scores, targets = case
    found = act_dcf(scores, targets, p_target, 2, 3)
    threshold = math.log(3 * (1 - p_target) / (2 * p_target))
    miss = np.mean([s < threshold for s in scores[targets]])
    alarm = np.mean([s >= threshold for s in scores[~targets]])
    cost = 2 * p_target * miss + 3 * (1 - p_target) * alarm
    assert found == pytest.approx(cost / min(2 * p_target, 3 * (1 - p_target)))
    assert min_dcf(scores, targets, p_target, 2, 3)[0] <= found


@pytest.mark.parametrize("p_target", PRIORS)
def test_calibrated_llrs_lose_nothing(p_target):
    """Of two normal distributions the LLR is known: its actual costs are the least there are."""
    rng = np.random.default_rng(0)
    targets = np.arange(200_000) % 2 == 0
    x = rng.normal(size=200_000) + 2 * targets
    llrs = 2 * x - 2
    least = min_dcf(llrs, targets, p_target)[0]
    assert act_dcf(llrs, targets, p_target) == pytest.approx(least, abs=0.01)
    assert cllr(llrs, targets) == pytest.approx(min_cllr(llrs, targets), abs=0.001)
    assert act_dcf(llrs + 3, targets, p_target) > least + 0.01
    assert cllr(3 * llrs, targets) > 1.3 * cllr(llrs, targets)  # too sure of itself


def test_by_hand():
    targets = [True, True, False, False]
    assert cllr([0, 0, 0, 0], targets) == pytest.approx(1)
    # ln 3 for a target: log2(1 + 1/3); -ln 3 for a nontarget the same.
    llr = math.log(3)
    assert cllr([llr, llr, -llr, -llr], targets) == pytest.approx(math.log2(4 / 3))
    # Pools: {0: one of each class, all tied}, {1: targets}: half of both classes is mixed.
    assert min_cllr([1, 0, 0, 0], [True, True, False, False]) == pytest.approx(
        (0.5 * math.log2(1 + 1 / 0.5) + 1 * math.log2(1 + 0.5)) / 2
    )
    assert min_cllr([3, 2, 1, 0], targets) == 0
    assert min_cllr([0, 1, 2, 3], targets) == pytest.approx(1)  # upside down: one pool
    assert min_cllr([7, 7, 7, 7], targets) == pytest.approx(1)
    assert bayes_threshold(0.5) == 0
    assert bayes_threshold(0.05, 1, 2) == pytest.approx(math.log(38))
    assert act_dcf([9, 9, -9, -9], targets) == 0
    assert act_dcf([-9, -9, -9, -9], targets) == 1
    assert act_dcf([9, 9, 9, 9], targets) == pytest.approx(19)  # far above 1: wrong and sure


def test_huge_llrs_do_not_overflow():
    assert cllr([1e4, -1e4], [True, False]) == 0
    assert cllr([-1e4, 1e4], [True, False]) == pytest.approx(1e4 / math.log(2))


def test_the_minimum_lies_on_the_hull_of_the_operating_points():
    """Where the pools end, no straight line between two operating points runs lower."""
    rng = np.random.default_rng(1)
    targets = rng.random(500) < 0.3
    scores = np.round(rng.normal(size=500) + targets, 1)
    n_targets, n_others = pooled(scores, targets)
    hull_alarm = 1 - np.append(0, np.cumsum(n_others)) / n_others.sum()
    hull_miss = np.append(0, np.cumsum(n_targets)) / n_targets.sum()
    _, misses, alarms = det_points(scores, targets)
    on_hull = np.interp(alarms, hull_alarm[::-1], hull_miss[::-1])
    assert np.all(on_hull <= misses + 1e-12)
    assert np.all(np.diff(n_targets / (n_targets + n_others)) > 0)


@pytest.mark.parametrize("metric", [cllr, min_cllr, act_dcf, pooled])
@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        ([0.1, 0.2], [True], r"scores do not fit targets; found shapes \(2,\) and \(1,\)"),
        ([0.1, np.nan], [True, False], "trial 1: a score is not finite; found nan"),
        ([-np.inf, 1], [True, False], "trial 0: a score is not finite; found -inf"),
        ([0.1, 0.2], [True, True], "found 2 targets and 0 nontargets"),
    ],
)
def test_bad_trials(metric, scores, targets, message):
    with pytest.raises(SingeridError, match=message):
        metric(scores, targets)


def test_bad_costs():
    with pytest.raises(SingeridError, match="detection cost out of range; found p_target 0"):
        act_dcf([0, 1], [False, True], 0)
    with pytest.raises(SingeridError, match="c_miss -1"):
        bayes_threshold(0.5, -1)
