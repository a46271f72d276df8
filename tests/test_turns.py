"""Forward-backward against the sum over all paths."""

import itertools

import numpy as np
import pytest

from singerid.turns import Turns


def every_path(turns, log_likelihoods):
    """Log probability of each path, by the definition."""
    n_steps, n_states = log_likelihoods.shape
    priors, result = turns.priors, {}
    for path in itertools.product(range(n_states), repeat=n_steps):
        total = np.log(priors[path[0]]) + log_likelihoods[0, path[0]]
        for t in range(1, n_steps):
            p = turns.switch[t] * priors[path[t]]
            p += (1 - turns.switch[t]) * (path[t] == path[t - 1])
            total += np.log(p) + log_likelihoods[t, path[t]]
        result[path] = total
    return result


@pytest.mark.parametrize("seed", range(8))
def test_posteriors_are_sums_over_all_paths(seed):
    rng = np.random.default_rng(seed)
    n_steps, n_states = 6, 3
    turns = Turns(rng.dirichlet(np.ones(n_states)), rng.uniform(0.05, 0.6, n_steps))
    ratios = rng.normal(0, 2, (n_steps, n_states))
    expected = np.zeros((n_steps, n_states))
    paths = every_path(turns, ratios)
    top = max(paths.values())
    for path, value in paths.items():
        expected[np.arange(n_steps), path] += np.exp(value - top)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(turns.posteriors(ratios), expected, rtol=1e-9)


def test_without_switching_one_state_wins():
    turns = Turns(np.array([0.5, 0.5]), np.zeros(50))
    ratios = np.zeros((50, 2))
    ratios[:25, 0], ratios[25:, 1] = 1.0, 1.01
    found = turns.posteriors(ratios)
    assert (found.argmax(axis=1) == 1).all()
    np.testing.assert_allclose(found, found[[0]].repeat(50, 0))


def test_with_free_switching_each_step_is_alone():
    rng = np.random.default_rng(0)
    ratios = rng.normal(size=(40, 4))
    turns = Turns(np.full(4, 0.25), np.ones(40))
    expected = np.exp(ratios) / np.exp(ratios).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(turns.posteriors(ratios), expected, rtol=1e-9)


def test_a_short_doubt_does_not_end_a_turn():
    ratios = np.zeros((60, 2))
    ratios[:, 0], ratios[30:33, 1] = 0.5, 1.5
    found = Turns(np.full(2, 0.5), np.full(60, 0.01)).posteriors(ratios)
    assert (found.argmax(axis=1) == 0).all()


def test_constants_of_a_row_do_not_matter():
    rng = np.random.default_rng(1)
    ratios = rng.normal(size=(30, 3))
    turns = Turns(np.full(3, 1 / 3), np.full(30, 0.1))
    shifted = ratios + rng.normal(0, 500, (30, 1))
    np.testing.assert_allclose(turns.posteriors(shifted), turns.posteriors(ratios), atol=1e-9)


def test_impossible_likelihoods_stay_finite():
    ratios = np.array([[0.0, -1e5], [-1e5, 0.0]] * 20)
    turns = Turns(np.array([1.0, 0.0]), np.full(40, 1e-9))
    assert np.isfinite(turns.posteriors(ratios)).all()


def test_hours_are_no_problem():
    rng = np.random.default_rng(2)
    truth = np.repeat(rng.integers(0, 5, 300), 120)
    ratios = rng.normal(size=(len(truth), 5)) + 1.0 * np.eye(5)[truth]
    turns = Turns(np.full(5, 0.2), np.full(len(truth), 0.01))
    assert np.mean(turns.posteriors(ratios).argmax(axis=1) == truth) > 0.97
