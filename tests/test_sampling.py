"""Draws: every kind is fair, and puts together what it promises to."""

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singerid.sampling import HardDraw, fair_draw, fair_turn, spread_draw


def check_fair(draw, n_items, n_drawn, n_passes):
    """No item twice in a pass, none ever drawn more than once more often than another."""
    counts = np.zeros(n_items, int)
    for number in range(n_passes):
        draws_per_pass = n_items // n_drawn
        drawn = [draw(number * draws_per_pass + i) for i in range(draws_per_pass)]
        assert all(d.shape == (n_drawn,) for d in drawn)
        in_pass = np.bincount(np.concatenate(drawn), minlength=n_items)
        assert in_pass.max() <= 1
        counts += in_pass
        assert counts.max() - counts.min() <= 1


# HardDraw


@settings(max_examples=80)
@given(st.data(), st.integers(2, 40), st.integers(1, 4), st.floats(0, 1), st.integers(0, 1000))
def test_hard_draws_are_fair_and_counted_by_fair_turn(data, n, n_genders, share, seed):
    size = data.draw(st.integers(1, n))
    rng = np.random.default_rng(seed)
    pitch = rng.uniform(80, 110, n)
    pitch[rng.random(n) < 0.2] = np.nan
    draw = HardDraw(rng.integers(n_genders, size=n), pitch, size, share, (seed, 1))
    check_fair(draw, n, size, n + 2)
    t = data.draw(st.integers(0, 3 * n))
    before = np.concatenate([[], *(draw(i) for i in range(t // (n // size) * (n // size)))])
    item = data.draw(st.integers(0, n - 1))
    assert fair_turn(n, size, t, item, (seed, 1)) == np.count_nonzero(before == item)


def alike(n=400, seed=0):
    """Singers of two genders, an octave apart in the mean."""
    rng = np.random.default_rng(seed)
    genders = rng.integers(2, size=n)
    return genders, 84.0 + 12 * genders + rng.uniform(-6, 6, n)


def test_hard_draws_are_of_one_gender_and_similar_pitch():
    genders, pitch = alike()
    hard, any_draw = (HardDraw(genders, pitch, 10, share, (3,)) for share in (1.0, 0.0))
    n_mixed, spans, met = 0, [], set()
    for t in range(40 * 10):
        drawn = hard(t)
        if len(set(genders[drawn])) > 1:
            n_mixed += 1
        else:
            spans.append(np.ptp(pitch[drawn]))
        met.update(int(i) for i in drawn if 7 in drawn)
    assert n_mixed <= 10  # at most one a pass: what is left of both genders
    assert np.median(spans) < 4  # of 12 semitones; 10 of 200 neighbors span 0.6, and the noise
    assert len(met) > 30  # in 10 passes singer 7 met more than 10 others
    wide = [np.ptp(pitch[any_draw(t)]) for t in range(400)]
    assert np.median(wide) > 15


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_the_share_of_hard_draws_is_as_asked(share):
    genders, pitch = alike()
    draw = HardDraw(genders, pitch, 16, share, (0,))
    single = np.mean([len(set(genders[draw(t)])) == 1 for t in range(25 * 40)])
    assert single == pytest.approx(share, abs=0.02)


def test_hard_and_easy_draws_of_a_pass_come_in_random_order():
    genders, pitch = alike()
    draw = HardDraw(genders, pitch, 20, 0.5, (1,))
    is_hard = np.array([len(set(genders[draw(t)])) == 1 for t in range(20 * 40)]).reshape(40, 20)
    assert np.abs(is_hard.mean(0) - 0.5).max() < 0.3  # at each place of a pass


def test_singers_of_unknown_pitch_meet_one_another():
    pitch = np.where(np.arange(60) < 20, np.nan, 90.0)
    draw = HardDraw(np.zeros(60, int), pitch, 20, 1.0, (0,))
    for t in range(30):
        assert len({bool(np.isnan(p)) for p in pitch[draw(t)]}) == 1


def test_the_reachable_share():
    genders = np.array([0] * 19 + [1] * 5 + [2] * 16)
    draw = HardDraw(genders, np.zeros(40), 8, 1.0, (0,))
    assert draw.reachable == pytest.approx((2 + 0 + 2) / 5)
    single = [len(set(genders[draw(t)])) == 1 for t in range(50)]
    assert np.mean(single) == pytest.approx(0.8, abs=0.01)


def test_a_hard_draw_is_a_function_of_seed_and_number():
    genders, pitch = alike(90)
    forth = HardDraw(genders, pitch, 8, 0.5, (5,))
    drawn = [forth(t) for t in range(60)]
    again = pickle.loads(pickle.dumps(HardDraw(genders, pitch, 8, 0.5, (5,))))
    other = HardDraw(genders, pitch, 8, 0.5, (6,))
    for t in reversed(range(60)):
        np.testing.assert_array_equal(again(t), drawn[t])
        assert not np.array_equal(other(t), drawn[t])


# spread_draw


@settings(max_examples=80)
@given(st.data(), st.integers(1, 40), st.integers(0, 1000))
def test_spread_draws_are_fair(data, n, seed):
    size = data.draw(st.integers(1, n))
    check_fair(lambda t: spread_draw(n, size, t, (seed,)), n, size, n + 2)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 300), st.integers(0, 1000))
def test_spread_draws_take_one_of_every_neighborhood(n_neighborhoods, size, t, seed):
    n = n_neighborhoods * size
    drawn = spread_draw(n, n_neighborhoods, t, (seed,))
    assert sorted(i // size for i in drawn) == list(range(n_neighborhoods))


def test_spread_draws_with_repeats_are_fair_draws():
    for t in range(20):
        np.testing.assert_array_equal(spread_draw(3, 5, t, (0,)), fair_draw(3, 5, t, (0,)))


def test_spread_draws_lie_further_apart_and_in_random_order():
    spread = [spread_draw(12, 3, t, (0,)) for t in range(800)]
    fair = [fair_draw(12, 3, t, (0,)) for t in range(800)]
    gaps = [np.mean([np.diff(np.sort(d)).min() for d in draws]) for draws in (spread, fair)]
    assert gaps[0] > 1.3 * gaps[1]
    first = Counter(int(d[0]) for d in spread)
    assert min(first.values()) > 30  # expected 67, standard deviation 8
    sets = {tuple(sorted(d)) for d in spread}
    assert len(sets) == 4**3
