"""The bootstrap against trials written out, on every path, and what intervals must do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singerid.errors import SingeridError
from singerid.metrics import eer, min_dcf, resampling
from singerid.metrics.bootstrap import bootstrap_eer, bootstrap_mean, bootstrap_rates, interval


def written_out(scores, targets, a, b, counts):
    """EER and minDCF with each trial written out as often as its singers were drawn."""
    times = np.where(targets, counts[a], counts[a] * counts[b])
    copies, flags = np.repeat(scores, times), np.repeat(targets, times)
    if flags.all() or not flags.any():
        return np.nan, np.nan
    return eer(copies, flags)[0], min_dcf(copies, flags)[0]


def draws(n_singers, n_resamples, seed):
    """How often each singer is drawn, `(n_resamples, n_singers)`."""
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(n_singers, size=n_singers) for _ in range(n_resamples)]
    return [np.bincount(singers, minlength=n_singers) for singers in drawn]


def make(n, n_singers, decimals, seed=0, p_target=0.2, separation=1.0):
    """Trials of singers who are more or less easy, all of whom appear."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, n_singers, (2, n))
    a[:n_singers] = np.arange(n_singers)
    targets = rng.random(n) < p_target
    b[targets] = a[targets]
    targets = a == b
    scores = rng.normal(size=n) + separation * targets + 0.5 * rng.normal(size=n_singers)[a]
    return np.round(scores, decimals), targets, a, b


@st.composite
def cases(draw):
    """Few trials with many ties, and how finely to search."""
    n = draw(st.integers(2, 60))
    a = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    b = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    a, b = np.array([0, 0, *a]), np.array([0, 1, *b])
    scores = np.array([draw(st.integers(-3, 3)) for _ in a])
    return scores, a == b, a, b, draw(st.integers(2, 5)), draw(st.integers(0, 9))


@settings(max_examples=60)
@given(cases())
def test_equals_trials_written_out_on_every_path(case):
    """With stretches so short that small cases are cut many times."""
    scores, targets, a, b, parts, short = case
    singers = np.unique([a, b], return_inverse=True)[1].reshape(2, -1)
    counts = draws(singers.max() + 1, 20, 3)
    expected = np.transpose([written_out(scores, targets, *singers, c) for c in counts])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "_PARTS", parts)
        patch.setattr(resampling, "_SHORT", short)
        patch.setattr(resampling, "_COLUMNS", 7)
        found = bootstrap_rates(scores, targets, a, b, 20, np.random.default_rng(3))
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("n", "n_singers", "decimals"),
    [(20_000, 12, 6), (20_000, 12, 1), (20_000, 12, 0), (20_000, 3000, 3), (400, 399, 6)],
)
def test_equals_trials_written_out_at_full_size(n, n_singers, decimals):
    scores, targets, a, b = make(n, n_singers, decimals)
    names = np.random.default_rng(9).permutation(10 * n_singers)[:n_singers] - 7  # any integers
    order = np.argsort(np.argsort(names))
    found = bootstrap_rates(scores, targets, names[a], names[b], 15, np.random.default_rng(3))
    counts = draws(n_singers, 15, 3)
    expected = [written_out(scores, targets, order[a], order[b], count) for count in counts]
    np.testing.assert_allclose(np.transpose(found), expected, atol=1e-12)


@pytest.mark.parametrize("shares", [(0.95, 0.0), (0.0, 0.95), (0.5, 0.5)])
def test_large_ties_at_the_ends(shares):
    """Scores clipped from below or above: most trials are one tie."""
    scores, targets, a, b = make(5000, 20, 6)
    low, high = np.quantile(scores, [shares[0], 1 - shares[1]])
    scores = np.clip(scores, min(low, high), max(low, high))
    found = bootstrap_rates(scores, targets, a, b, 10, np.random.default_rng(3))
    expected = [written_out(scores, targets, a, b, count) for count in draws(20, 10, 3)]
    np.testing.assert_allclose(np.transpose(found), expected, atol=1e-12)


@pytest.mark.parametrize("separation", [-30.0, 0.0, 30.0])
def test_hopeless_and_perfect_scores(separation):
    scores, targets, a, b = make(3000, 10, 6, separation=separation)
    rates, costs = bootstrap_rates(scores, targets, a, b, 30, np.random.default_rng(0))
    if separation:
        assert set(rates) == {float(separation < 0)}
        assert set(costs) == {float(separation < 0)}
    constant = np.full(3000, 0.3)
    rates, costs = bootstrap_rates(constant, targets, a, b, 30, np.random.default_rng(0))
    assert set(rates) == {0.5}
    assert set(costs) == {1.0}


def test_rows_share_their_draws():
    scores, targets, a, b = make(3000, 15, 6)
    better = scores + 0.1 * targets
    both = bootstrap_eer([scores, better], targets, a, b, 80, np.random.default_rng(5))
    for row, alone in zip(both, (scores, better), strict=True):
        expected = bootstrap_eer(alone, targets, a, b, 80, np.random.default_rng(5))
        np.testing.assert_array_equal(row, expected)
    rates, costs = bootstrap_rates([scores, better], targets, a, b, 80, np.random.default_rng(5))
    np.testing.assert_array_equal(rates, both)
    assert costs.shape == (2, 80)
    # Each one's interval is wide, yet what was done to the scores helps in every single draw.
    assert interval(both[0])[0] < both[1].mean()
    assert (both[1] <= both[0]).all()
    low, high = interval(both[1] - both[0])
    assert low < high < 0


def test_same_seed_same_rates_and_order_of_trials_does_not_matter():
    scores, targets, a, b = make(4000, 15, 2)
    rates = bootstrap_eer(scores, targets, a, b, 30, np.random.default_rng(5))
    order = np.random.default_rng(0).permutation(len(scores))
    shuffled = [x[order] for x in (scores, targets, a, b)]
    np.testing.assert_array_equal(bootstrap_eer(*shuffled, 30, np.random.default_rng(5)), rates)
    np.testing.assert_array_equal(
        bootstrap_eer(scores, targets, b, a, 30, np.random.default_rng(5)), rates
    )
    assert (bootstrap_eer(scores, targets, a, b, 30, np.random.default_rng(6)) != rates).any()


def test_sees_that_trials_of_a_singer_depend_on_each_other():
    rng = np.random.default_rng(4)
    offset = rng.normal(size=20)  # an easy or a hard singer
    a, b = rng.integers(0, 20, (2, 20_000))
    targets = a == b
    scores = 1.5 * targets + offset[a] + offset[b] + 0.1 * rng.normal(size=20_000)
    by_singer = bootstrap_eer(scores, targets, a, b, 100, rng)
    each_its_own = np.arange(20_000)
    other = np.where(targets, each_its_own, each_its_own + 20_000)
    independent = bootstrap_eer(scores, targets, each_its_own, other, 20, rng)
    assert by_singer.std() > 3 * independent.std()
    low, high = interval(by_singer)
    assert low < eer(scores, targets)[0] < high


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """40 recordings of each of 30 singers, the truth being known: Φ(-1) = 0.1587."""
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        a = np.repeat(np.arange(30), 40)
        b = np.concatenate([a, (a + rng.integers(1, 30, len(a))) % 30])
        a = np.concatenate([a, a])
        targets = a == b
        shift = rng.normal(size=30) * 0.6  # of a singer's targets: sum of variances 1
        scores = 2 * targets + np.where(targets, shift[a], 0)
        noise = rng.normal(size=len(a))
        scores += np.where(targets, 0.8, 1) * noise
        low, high = interval(bootstrap_eer(scores, targets, a, b, 100, rng), 0.9)
        held += low < 0.158655 < high
    assert 46 <= held <= 60  # 54 expected; a bootstrap over trials would hold it in about 25


def test_draws_without_a_class_are_nan_and_left_out():
    rng = np.random.default_rng(0)
    rates, costs = bootstrap_rates([1.0, 0.0], [True, False], [0, 0], [0, 1], 200, rng)
    assert np.isnan(rates).any()
    assert set(rates[~np.isnan(rates)]) == {0.0}
    np.testing.assert_array_equal(np.isnan(rates), np.isnan(costs))
    assert interval([np.nan, 1, 2, 3], 0.5) == (1.5, 2.5)


def test_no_resample_can_be_done():
    """A class of singers of whom none can be drawn together, in all draws at once."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rates, costs = bootstrap_rates([1.0, 0.0], [True, False], [0, 0], [0, 1], 1, rng)
        assert np.isnan(rates).all() == np.isnan(costs).all()
    assert bootstrap_eer([1, 0], [True, False], [0, 0], [0, 1], 0, rng).shape == (0,)


def test_mean_equals_items_written_out():
    rng = np.random.default_rng(1)
    singers = rng.integers(0, 7, 200)
    values = rng.random((2, 200))
    found = bootstrap_mean(values, singers * 11 - 3, 25, np.random.default_rng(3))
    for counts, means in zip(draws(7, 25, 3), found.T, strict=True):
        copies = np.repeat(values, counts[singers], axis=1)
        np.testing.assert_allclose(means, copies.mean(axis=1), atol=1e-12)
    alone = bootstrap_mean(values[1], singers, 25, np.random.default_rng(3))
    np.testing.assert_array_equal(alone, found[1])


def test_interval_of_known_samples():
    assert interval(np.arange(101), 0.9) == (pytest.approx(5), pytest.approx(95))
    assert interval([0.3]) == (0.3, 0.3)


TRIALS = ([0, 1], [False, True], [0, 1], [1, 1])


@pytest.mark.parametrize(
    ("scores", "targets", "enroll", "test", "message"),
    [
        ([0, 1], [False, True], [0], [0], r"singers do not fit scores; found shapes \(1,\) and"),
        ([0, 1], [False, True], [0, 1], [0, 1], "trial 0: .*targets; found a nontarget of one"),
        ([0, 1], [False, True], [0, 1], [1, 0], "trial 1: .*targets; found a target of two"),
        ([[0, 1], [0, np.nan]], *TRIALS[1:], "trial 1: a score is not finite"),
        ([0, 1], [True, True], [0, 1], [0, 1], "found 2 targets and 0 nontargets"),
        (np.empty((0, 2)), *TRIALS[1:], "no row of scores"),
        ([0, 1, 2], *TRIALS[1:], r"scores do not fit targets; found shapes \(3,\) and \(2,\)"),
    ],
)
def test_bad_trials(scores, targets, enroll, test, message):
    for function in (bootstrap_eer, bootstrap_rates):
        with pytest.raises(SingeridError, match=message):
            function(scores, targets, enroll, test, 5, np.random.default_rng(0))


def test_bad_parameters():
    rng = np.random.default_rng(0)
    with pytest.raises(SingeridError, match="detection cost out of range; found p_target 1"):
        bootstrap_rates(*TRIALS, 5, rng, p_target=1)
    with pytest.raises(SingeridError, match="no interval; found 0 samples"):
        interval([np.nan])
    with pytest.raises(SingeridError, match="no interval; found 2 samples, level 1"):
        interval([1, 2], 1)
    with pytest.raises(SingeridError, match=r"values do not fit singers; found shapes \(2,\)"):
        bootstrap_mean([1, 2], [0], 5, rng)
    with pytest.raises(SingeridError, match=r"found shapes \(0,\) and \(0,\)"):
        bootstrap_mean([], [], 5, rng)
    with pytest.raises(SingeridError, match="item 1: a value is not finite"):
        bootstrap_mean([[1, 2], [3, np.nan]], [0, 0], 5, rng)
