"""Prior-weighted logistic regression against scikit-learn, known Gaussians and hand counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from singerid.errors import SingeridError
from singerid.scoring.logistic import fit_line, fit_line_near, trial_weights


def gaussians(n=20_000, seed=0, mean=2.0):
    """Scores whose true ratio is mean · score - mean² / 2, and their targets."""
    targets = np.arange(n) % 2 == 0
    return np.random.default_rng(seed).normal(size=n) + mean * targets, targets


def equal(targets):
    return np.where(targets, 1 / targets.sum(), 1 / (~targets).sum())


def test_weights_by_hand():
    targets = np.array([1, 1, 1, 0, 0, 0, 0], bool)
    enroll, test = np.array([0, 0, 1, 0, 1, 0, 2]), np.array([0, 0, 1, 1, 0, 2, 1])
    # Targets of singers 0 (two) and 1 (one); nontargets of pairs 01 (two, mirrored), 02 and 12.
    expected = [1 / 4, 1 / 4, 1 / 2, 1 / 6, 1 / 6, 1 / 3, 1 / 3]
    np.testing.assert_allclose(trial_weights(targets, enroll, test), expected)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_weights_sum_to_one_in_each_class_and_ignore_repeats(pairs):
    a, b = np.array(pairs, np.int64).T
    targets = a == b
    weights = trial_weights(targets, a, b)
    for target in (True, False):
        if (targets == target).any():
            assert weights[targets == target].sum() == pytest.approx(1)
    twice = trial_weights(np.tile(targets, 2), np.tile(a, 2), np.tile(b, 2))
    np.testing.assert_allclose(twice, np.tile(weights, 2) / 2)


@pytest.mark.parametrize("prior", [0.5, 0.05, 0.9])
def test_scikit_learn_agrees_on_mixed_classes(prior):
    scores, targets = gaussians(2000)
    scores = np.round(scores**3, 1)  # no line is right
    weights, share = equal(targets), 1 / 12
    scale, offset = fit_line(scores, targets, weights, n_singers=10, prior=prior)
    # Every trial once as a target, once as a nontarget.
    doubled = np.r_[
        np.where(targets, 1 - share, share) * weights * prior,
        np.where(targets, share, 1 - share) * weights * (1 - prior),
    ]
    oracle = LogisticRegression(C=1e12, tol=1e-12, max_iter=1000).fit(
        np.tile(scores, 2)[:, None], np.repeat([1, 0], 2000), doubled * 1e4
    )
    assert scale == pytest.approx(oracle.coef_[0, 0], rel=1e-4)
    logit = np.log(prior / (1 - prior))
    assert offset + logit == pytest.approx(oracle.intercept_[0], rel=1e-4)


@pytest.mark.parametrize("prior", [0.5, 0.01])
def test_known_gaussians(prior):
    scores, targets = gaussians(400_000)
    scale, offset = fit_line(scores, targets, equal(targets), n_singers=10**9, prior=prior)
    assert scale == pytest.approx(2, abs=0.05)
    assert offset == pytest.approx(-2, abs=0.06)


def test_class_balance_does_not_matter():
    scores, targets = gaussians()
    few = ~targets | (np.arange(len(scores)) % 20 == 0)
    a = fit_line(scores, targets, equal(targets), 10**9)
    b = fit_line(scores[few], targets[few], equal(targets[few]), 10**9)
    np.testing.assert_allclose(a, b, rtol=0.1)


@given(st.floats(0.01, 100), st.floats(-50, 50))
def test_units_of_the_scores_do_not_matter(factor, shift):
    scores, targets = gaussians(200)
    scale, offset = fit_line(scores, targets, equal(targets), 20)
    found = fit_line(factor * scores + shift, targets, equal(targets), 20)
    assert found[0] * factor == pytest.approx(scale, rel=1e-5)
    assert found[1] + found[0] * shift == pytest.approx(
        offset, abs=1e-4 + 1e-6 * abs(shift / factor)
    )


@pytest.mark.parametrize("n_singers", [2, 13, 1000])
def test_separable_scores_get_the_ratio_that_the_singers_allow(n_singers):
    targets = np.arange(40) % 4 == 0
    scale, offset = fit_line(targets * 1.0, targets, equal(targets), n_singers)
    # Two points, so the line goes through both: (n + 1) to 1 for and against.
    assert scale + offset == pytest.approx(np.log(n_singers + 1), rel=1e-6)
    assert offset == pytest.approx(-np.log(n_singers + 1), rel=1e-6)
    far = np.where(targets, 1e6, -1e6) + np.arange(40)
    scale, offset = fit_line(far, targets, equal(targets), n_singers)
    assert np.isfinite([scale, offset]).all()
    assert np.abs(scale * far + offset).max() < np.log(n_singers + 1) + 0.1


def test_chance_gives_no_evidence():
    scores, _ = gaussians(50_000, mean=0)
    scale, offset = fit_line(scores, np.arange(50_000) % 2 == 0, np.full(50_000, 1 / 25_000), 100)
    assert np.abs(scale * scores + offset).max() < 0.15


def test_reversed_scores_have_a_negative_slope():
    scores, targets = gaussians(1000)
    assert fit_line(-scores, targets, equal(targets), 20)[0] < -0.5


def test_it_is_the_minimum():
    scores, targets = gaussians(500)
    scores[:5] = [400, -300, 5, 0, 90]  # far outliers: Newton's steps overshoot
    weights = equal(targets)
    share = 1 / 22

    def cost(line):
        llrs = line[0] * scores + line[1]
        soft = np.where(targets, 1 - share, share)
        return weights @ (soft * np.logaddexp(0, -llrs) + (1 - soft) * np.logaddexp(0, llrs))

    best = np.array(fit_line(scores, targets, weights, 20))
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-2):
        for _ in range(20):
            assert cost(best) <= cost(best + size * np.array([0.1, 1]) * rng.normal(size=2)) + 1e-12


def test_equal_scores_are_refused():
    targets = np.arange(10) < 5
    with pytest.raises(SingeridError, match=r"all scores are equal; found 0\.7; the encoder has"):
        fit_line(np.full(10, 0.7), targets, equal(targets), 5)


def test_a_line_near_another_is_the_best_by_search():
    rng = np.random.default_rng(3)
    targets = rng.random(200) < 0.4
    scores = np.where(targets, 1.0, 0.0) + rng.normal(size=200)
    weights = np.where(targets, 1 / targets.sum(), 1 / (~targets).sum())
    slope, offset = fit_line_near(scores, targets, weights, 3.0, 0.1)

    def cost(a, b):
        llrs = a * scores + b
        costs = np.logaddexp(0, np.where(targets, -llrs, llrs))
        return float(weights @ costs) / 2 + 0.1 * (a / 3 - 1) ** 2

    best = cost(slope, offset)
    for a, b in rng.normal([slope, offset], 0.2, size=(300, 2)):
        assert cost(a, b) >= best
    assert fit_line(scores, targets, weights, 10**9)[0] < slope < 3


def test_a_line_near_another_follows_it_more_the_stronger_it_is_tied():
    rng = np.random.default_rng(4)
    targets = np.arange(40) % 2 == 0
    scores = targets + 0.01 * rng.normal(size=40)  # separable
    weights = np.full(40, 1 / 20)
    slopes = [fit_line_near(scores, targets, weights, 5.0, s)[0] for s in (1e-3, 0.1, 10.0)]
    assert slopes == sorted(slopes, reverse=True)
    assert slopes[-1] == pytest.approx(5.0, rel=0.01)
    with pytest.raises(SingeridError, match="all scores are equal; found 0"):
        fit_line_near(np.zeros(40), targets, weights, 5.0, 0.1)
