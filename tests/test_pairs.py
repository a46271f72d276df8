"""Sets of pairs against double loops; samples of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid.errors import SingeridError
from singerid.trials.pairs import Filtered, Listed, across, joined, sample, within

CODES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=12)


def all_of(pairs):
    return pairs.at(np.arange(len(pairs))).T.tolist()


def arrays(rows):
    return np.array(rows, np.int64).reshape(-1, 2).T


def fits(a, b):
    return a[0] == b[0] and a[1] != b[1]


@given(CODES)
def test_within_has_each_pair_once(rows):
    pool, part = arrays(rows)
    names = np.arange(len(rows)) * 10
    found = [sorted(pair) for pair in all_of(within(names, pool, part))]
    expected = [
        [10 * i, 10 * j] for j in range(len(rows)) for i in range(j) if fits(rows[i], rows[j])
    ]
    assert sorted(found) == sorted(expected)


@given(CODES, CODES)
def test_across_has_each_pair_once(first, second):
    (pool_a, part_a), (pool_b, part_b) = arrays(first), arrays(second)
    names = np.arange(len(first)) * 10, np.arange(len(second)) * 10 + 1
    found = all_of(across(names, (pool_a, pool_b), (part_a, part_b)))
    expected = [
        [10 * i, 10 * j + 1]
        for i, a in enumerate(first)
        for j, b in enumerate(second)
        if fits(a, b)
    ]
    assert sorted(found) == expected


@given(CODES, CODES, st.integers(0, 200), st.integers(1, 200))
def test_joined_keeps_all_and_blocks_are_slices(first, second, start, length):
    sets = []
    for rows in (first, second):
        pool, part = arrays(rows)
        names = np.arange(len(rows))
        sets += [within(names, pool, part), across((names, names), (pool, pool), (part, part))]
    whole = joined(sets)
    expected = [pair for s in sets for pair in all_of(s)]
    assert all_of(whole) == expected
    stop = min(start + length, len(whole))
    if start < stop:
        assert whole.block(start, stop).T.tolist() == expected[start:stop]


@given(CODES, st.integers(1, 9), st.integers(0, 9), st.integers(0, 3))
def test_filtered_is_what_the_predicate_keeps(rows, block, size, seed):
    pool, part = arrays(rows)
    pairs = within(np.arange(len(rows)), pool, part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("singerid.trials.pairs._BLOCK", block)
        kept = Filtered(pairs, lambda a, b: (a + b) % 3 > 0)
        expected = [pair for pair in all_of(pairs) if sum(pair) % 3]
        assert all_of(kept) == expected
        some = sample(kept, min(size, len(kept)), np.random.default_rng(seed)).T.tolist()
    assert len(some) == min(size, len(expected)) == len({tuple(pair) for pair in some})
    assert all(pair in expected for pair in some)


class Endless:
    """More pairs than the square root of what 64 bits hold, by their numbers."""

    def __len__(self):
        return 10**16

    def at(self, numbers):
        return np.stack([numbers, numbers])


def test_a_sample_of_more_pairs_than_products_can_count():
    numbers = sample(Endless(), 10_000, np.random.default_rng(0))[0]
    assert numbers.min() >= 0
    assert numbers.max() < 10**16
    gaps = np.diff(numbers)  # one of each stretch of 10**12
    assert gaps.min() > 0
    assert gaps.max() < 2 * 10**12


@given(st.integers(1, 30), st.data())
def test_a_sample_has_one_pair_of_each_stretch(total, data):
    size = data.draw(st.integers(0, total))
    pairs = Listed(np.arange(2 * total).reshape(2, total))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    found = sample(pairs, size, rng)
    assert found.shape == (2, size)
    np.testing.assert_array_equal(found[1], found[0] + total)
    assert len(set(found[0].tolist())) == size
    np.testing.assert_array_equal(found[0], np.sort(found[0]))


def test_each_pair_and_stretch_of_a_sample_has_the_same_chance():
    rng = np.random.default_rng(0)
    pairs = joined([
        within(np.arange(4), np.zeros(4, np.int64), np.array([0, 0, 1, 2])),
        across((np.array([9]), np.arange(2)), (np.zeros(1, int), np.zeros(2, int)),
               (np.zeros(1, int), np.array([1, 2]))),
    ])  # fmt: skip
    hits = np.zeros((10, 10))
    for _ in range(3000):
        hits[tuple(sample(pairs, 3, rng))] += 1
    possible = tuple(pairs.at(np.arange(len(pairs))))
    assert len(pairs) == 7
    np.testing.assert_allclose(hits[possible] / 3000, 3 / 7, atol=0.046)  # 5 sigma
    assert hits.sum() == 9000


def test_a_sample_needs_a_generator_only_if_it_is_one():
    pairs = Listed(np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(sample(pairs, 3, None), pairs.pairs)
    with pytest.raises(SingeridError, match="a sample of the trials needs a random generator"):
        sample(pairs, 2, None)
