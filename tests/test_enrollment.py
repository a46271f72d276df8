"""Models of recordings: how many, of whom, of how many takes, and that the draw is fair."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid.errors import SingeridError
from singerid.trials.enrollment import draw_models

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=30)


def draw(rows, k, seed=0):
    owner, take = np.array(rows, np.int64).reshape(-1, 2).T
    return draw_models(owner, take, k, np.random.default_rng(seed))


@given(ROWS, st.integers(1, 5), st.integers(0, 5))
def test_as_many_models_as_can_be_and_as_many_of_one_take(rows, k, seed):
    owners, of_takes = Counter(owner for owner, _ in rows), Counter(rows)
    n_models = sum(n // k for n in owners.values())
    if not n_models:
        most = max(owners.values(), default=0)
        with pytest.raises(
            SingeridError,
            match=f"^nobody has {k} recordings to enroll; found at most {most}; lower n_enroll, or",
        ):
            draw(rows, k, seed)
        return
    models = draw(rows, k, seed).tolist()
    assert len(models) == n_models
    used = [row for members in models for row in members]
    assert len(set(used)) == len(used) == n_models * k
    assert all(members == sorted(members) for members in models)
    assert all(len({rows[row][0] for row in members}) == 1 for members in models)
    pure = sum(len({rows[row] for row in members}) == 1 for members in models)
    # What is left of a take, with others, makes no further model of one take.
    assert pure == sum(n // k for n in of_takes.values())
    np.testing.assert_array_equal(draw(rows, k, seed), models)


def test_sizes_that_do_not_divide_do_not_mix_takes():
    """Cut one after the other, of takes of 3, 3 and 2 the second model would be of two."""
    rows = [(7, 0)] * 3 + [(7, 1)] * 3 + [(7, 2)] * 2
    for seed in range(20):
        takes = [{rows[row][1] for row in members} for members in draw(rows, 2, seed).tolist()]
        assert sorted(map(len, takes)) == [1, 1, 1, 2]


def test_every_recording_is_left_over_equally_often():
    rows = [(0, 0)] * 3 + [(1, 1)] * 5
    left = np.zeros(8)
    for seed in range(1000):
        left[np.setdiff1d(np.arange(8), draw(rows, 3, seed))] += 1
    assert not left[:3].any()  # its three make the one model
    np.testing.assert_allclose(left[3:] / 1000, 2 / 5, atol=0.078)  # 5 sigma


def test_every_take_is_left_over_equally_often():
    rows = [(0, take) for take in range(4)]
    used = np.zeros(4)
    for seed in range(1000):
        used[draw(rows, 3, seed)] += 1
    np.testing.assert_allclose(used / 1000, 3 / 4, atol=0.069)  # 5 sigma
