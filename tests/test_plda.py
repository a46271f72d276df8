"""PLDA against brute-force Gaussian likelihoods, and on data sampled from the model."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, wishart

from singerid.errors import MismatchError, SingeridError
from singerid.scoring.logistic import fit_line
from singerid.scoring.plda import Plda, fit_plda


def model(dim=4, seed=0):
    """Mean, B and W of a random model."""
    rng = np.random.default_rng(seed)
    b = wishart.rvs(dim + 2, np.eye(dim) / dim, random_state=rng)
    return rng.normal(size=dim), b, wishart.rvs(dim + 2, np.eye(dim) / dim, random_state=rng)


def draw(mean, b, w, n_singers, n_each, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.multivariate_normal(mean, b, n_singers)
    group = np.repeat(np.arange(n_singers), n_each)
    return y[group] + rng.multivariate_normal(np.zeros(len(mean)), w, len(group)), list(
        map(str, group)
    )


def covariances(plda):
    """B and W of a fitted model."""
    back = np.linalg.inv(plda.basis)
    return back.T @ np.diag(plda.between) @ back, back.T @ back


def log_likelihood(x, singers, mean, b, w):
    """Of all recordings: those of one singer are jointly Gaussian."""
    total = 0.0
    for singer in set(singers):
        rows = x[[s == singer for s in singers]]
        n = len(rows)
        joint = np.kron(np.ones((n, n)), b) + np.kron(np.eye(n), w)
        total += multivariate_normal.logpdf(rows.ravel(), np.tile(mean, n), joint)
    return total


def test_ratios_equal_brute_force():
    x, singers = draw(*model(), 30, 4)
    plda = fit_plda(x, singers, prior=2)
    b, w = covariances(plda)
    queries, candidates = x[:7], x[50:55]
    joint = np.block([[b + w, b], [b, b + w]])
    two = np.tile(plda.mean, 2)
    expected = [
        [
            multivariate_normal.logpdf(np.append(q, c), two, joint)
            - multivariate_normal.logpdf(q, plda.mean, b + w)
            - multivariate_normal.logpdf(c, plda.mean, b + w)
            for c in candidates
        ]
        for q in queries
    ]
    np.testing.assert_allclose(plda.matrix(queries, candidates), expected, atol=1e-9)
    rows = np.arange(5000) % 5  # more than one block
    found = plda.trials(queries, rows, candidates, rows)
    np.testing.assert_allclose(found, np.diag(expected)[rows], atol=1e-9)
    np.testing.assert_allclose(
        plda.matrix(candidates, queries), plda.matrix(queries, candidates).T, atol=1e-9
    )


def test_the_covariances_of_the_model_are_recovered():
    mean, b, w = model()
    counts = np.random.default_rng(1).integers(1, 8, 3000)  # unbalanced
    x, singers = draw(mean, b, w, 3000, counts)
    plda = fit_plda(x, singers)
    found_b, found_w = covariances(plda)
    assert np.abs(found_b - b).max() < 0.06 * np.abs(b).max()
    assert np.abs(found_w - w).max() < 0.04 * np.abs(w).max()
    assert np.abs(plda.mean - mean).max() < 0.05


def test_each_step_raises_the_likelihood():
    x, singers = draw(*model(), 12, 5)
    values = []
    for n in range(12):
        plda = fit_plda(x, singers, prior=0, n_iterations=n)
        values.append(log_likelihood(x, singers, plda.mean, *covariances(plda)))
    assert (np.diff(values) > -1e-9).all()
    assert values[-1] > values[0] + 1


def test_its_ratios_need_no_calibration_on_its_own_data():
    mean, b, w = model(3)
    plda = fit_plda(*draw(mean, b, w, 5000, 4))
    x, _ = draw(mean, b, w, 20_000, 2, seed=1)
    rows = np.arange(0, 40_000, 2)
    llrs = np.append(plda.trials(x, rows, x, rows + 1), plda.trials(x, rows, x, np.roll(rows, -1)))
    targets, weights = np.arange(40_000) < 20_000, np.full(40_000, 1 / 20_000)
    scale, offset = fit_line(llrs, targets, weights, n_singers=10**6)
    assert scale == pytest.approx(1, abs=0.06)
    assert offset == pytest.approx(0, abs=0.06)


def test_fewer_singers_than_dimensions():
    dim = 40
    rng = np.random.default_rng(0)
    b = np.diag(np.r_[np.full(5, 4.0), np.full(dim - 5, 0.1)])
    mean, w = np.zeros(dim), np.eye(dim)
    x, singers = draw(mean, b, w, 6, 5)
    fresh, names = draw(mean, b, w, 200, 2, seed=2)
    rows = np.arange(0, 400, 2)
    plda = fit_plda(x, singers)
    assert np.isfinite(plda.basis).all()
    assert plda.between.max() < 10  # not the hundreds that six singers would fit
    targets = plda.trials(fresh, rows, fresh, rows + 1)
    nontargets = plda.trials(fresh, rows, fresh, rng.permutation(rows))
    assert np.mean(targets > np.median(nontargets)) > 0.9
    assert (np.array(names)[rows] == np.array(names)[rows + 1]).all()
    with pytest.raises(SingeridError, match=r"without a prior needs more.*6 singers, 40 dim"):
        fit_plda(x, singers, prior=0)


def test_orientation_and_size_do_not_matter():
    x, singers = draw(*model(), 20, 3)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    a = fit_plda(x, singers).matrix(x, x)
    np.testing.assert_allclose(
        fit_plda(5 * x @ turn, singers).matrix(5 * x @ turn, 5 * x @ turn), a, atol=1e-8
    )


def test_singers_who_are_all_alike_give_ratios_near_none():
    x, singers = np.random.default_rng(0).normal(size=(600, 3)), [str(i % 100) for i in range(600)]
    assert np.abs(fit_plda(x, singers).matrix(x[:50], x[50:100])).max() < 0.5


@pytest.mark.parametrize(
    ("x", "singers", "message"),
    [
        (np.eye(3), "aaa", "PLDA needs two singers.*found 3 recordings of 1 singers"),
        (np.eye(3), "abc", "PLDA needs two singers.*found 3 recordings of 3 singers"),
        (np.eye(3)[[0, 0, 1]], "aab", "all recordings of each singer have the same vector"),
        (np.full((3, 3), np.inf), "aab", "row 0: a vector is not finite"),
    ],
)
def test_what_cannot_be_fitted(x, singers, message):
    with pytest.raises(SingeridError, match=message):
        fit_plda(x, list(singers))


def test_wrong_shapes_and_prior():
    x, singers = draw(*model(), 5, 3)
    with pytest.raises(MismatchError, match=r"found shape \(2, 3\); expected \(n, 4\)"):
        fit_plda(x, singers).matrix(np.ones((2, 3)), x)
    with pytest.raises(SingeridError, match="prior of the PLDA out of range; found -1"):
        fit_plda(x, singers, prior=-1)
    with pytest.raises(SingeridError, match="arrays of the PLDA do not fit"):
        Plda(np.zeros(3), np.eye(4), np.ones(3))
