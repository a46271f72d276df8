"""The most alike pairs against a sort of each row; directions of models."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid.errors import SingeridError
from singerid.trials.hardest import hardest_pairs, model_vectors

# Few distinct vectors, so that many scores are equal.
SIDES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=9)
DIRECTIONS = np.eye(4, dtype=np.float32)
DIRECTIONS[3] = [0.6, 0.8, 0, 0]


def side(rows, offset):
    direction, pool = np.array(rows, np.int64).reshape(-1, 2).T
    return DIRECTIONS[direction], np.arange(len(rows)) * 10 + offset, pool


def allowed(a, b):
    return (a // 10 + b // 10) % 3 > 0


@given(SIDES, SIDES, st.integers(1, 12), st.sampled_from([1, 7, 1 << 22]))
def test_pairs_equal_a_sort_of_each_row(first, second, k, block):
    (a, names_a, pool_a), (b, names_b, pool_b) = side(first, 1), side(second, 2)
    expected = set()
    for i, name in enumerate(names_a):
        rivals = [
            j
            for j, other in enumerate(names_b)
            if pool_a[i] == pool_b[j] and (name // 10 + other // 10) % 3
        ]
        rivals.sort(key=lambda j: (-float(a[i] @ b[j]), j))
        expected |= {(int(name), int(names_b[j])) for j in rivals[:k]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("singerid.trials.hardest._BLOCK", block)
        found = hardest_pairs((a, b), (names_a, names_b), (pool_a, pool_b), allowed, k)
    assert found.dtype == np.int64
    assert sorted(map(tuple, found.T.tolist())) == sorted(expected)


def test_equal_up_to_the_noise_of_float32_is_equal():
    """Of vectors a rounding error apart the lower row wins, whatever the error."""
    one = np.array([[1, 0]], np.float32)
    many = np.array([[0.6, 0.8], [0.6, 0.8], [0.6000001, 0.8]], np.float32)
    assert many[2, 0] > many[0, 0]
    pairs = hardest_pairs(
        (one, many), (np.array([0]), np.arange(3)), (np.array([0]), np.zeros(3, np.int64)),
        lambda a, b: np.ones(np.broadcast_shapes(a.shape, b.shape), bool), 2,
    )  # fmt: skip
    assert pairs.tolist() == [[0, 0], [0, 1]]


def test_at_least_one():
    nothing = np.zeros(0, np.int64)
    vectors = np.zeros((0, 4), np.float32)
    with pytest.raises(SingeridError, match="hardest_k out of range; found 0; expected at least 1"):
        hardest_pairs((vectors, vectors), (nothing, nothing), (nothing, nothing), allowed, 0)


def test_a_models_direction_is_the_mean_of_its_members_directions():
    vectors = np.array([[3.0, 0], [0, 0.1], [-2, 0]])
    np.testing.assert_allclose(
        model_vectors(vectors, np.array([[0, 1], [1, 2]])), np.array([[1, 1], [-1, 1]]) / 2**0.5,
        atol=1e-7,
    )  # fmt: skip
    np.testing.assert_allclose(model_vectors(vectors, np.array([[2], [1]])), [[-1, 0], [0, 1]])
    with pytest.raises(SingeridError, match="row 1: an embedding has no direction"):
        model_vectors(vectors, np.array([[0, 1], [0, 2]]))  # they cancel
    with pytest.raises(SingeridError, match="row 2: an embedding has no direction"):
        model_vectors(np.array([[1.0], [1], [np.nan]]), np.array([[0]]))
