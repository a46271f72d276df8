"""Diarization error rates by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid.segment_errors import SegmentErrors, segment_errors

TRUTH = [(0.0, 10.0, "anna"), (10.0, 20.0, "bob")]


def parts(errors):
    return errors.total, errors.missed, errors.false_alarm, errors.confused


def test_nothing_is_wrong():
    errors = segment_errors(TRUTH, TRUTH, collar=0)
    assert parts(errors) == pytest.approx((20, 0, 0, 0))
    assert errors.rate == 0


def test_names_are_matched_unless_they_are_known():
    found = [(0.0, 10.0, "singer B"), (10.0, 20.0, "singer A")]
    assert segment_errors(TRUTH, found).rate == 0
    assert segment_errors(TRUTH, found, match=False).rate == pytest.approx(1)


def test_each_kind_of_error():
    found = [(2.0, 12.0, "anna"), (12.0, 23.0, "bob")]
    errors = segment_errors(TRUTH, found, collar=0, match=False)
    assert parts(errors) == pytest.approx((20, 2, 3, 2))
    assert errors.rate == pytest.approx(7 / 20)


def test_the_collar_forgives_what_is_near_a_boundary():
    found = [(0.2, 10.2, "anna"), (10.2, 20.2, "bob")]
    assert segment_errors(TRUTH, found, collar=0).rate > 0
    errors = segment_errors(TRUTH, found, collar=0.25)
    assert errors.rate == 0
    assert errors.total == pytest.approx(20 - 0.25 - 0.5 - 0.25)


def test_both_at_once_count_twice():
    truth = [(0.0, 10.0, "anna"), (0.0, 10.0, "bob")]
    errors = segment_errors(truth, [(0.0, 10.0, "x")], collar=0)
    assert parts(errors) == pytest.approx((20, 10, 0, 0))


def test_a_singer_cut_in_two_is_confused():
    found = [(0.0, 6.0, "a"), (6.0, 10.0, "b"), (10.0, 20.0, "c")]
    assert parts(segment_errors(TRUTH, found, collar=0)) == pytest.approx((20, 0, 0, 4))


def test_two_singers_taken_for_one_are_confused():
    assert segment_errors(TRUTH, [(0.0, 20.0, "a")], collar=0).rate == pytest.approx(0.5)


def test_nobody_found_and_nobody_there():
    assert segment_errors(TRUTH, []).rate == pytest.approx(1)
    nothing = segment_errors([], [(0.0, 3.0, "a")])
    assert parts(nothing) == pytest.approx((0, 0, 3, 0))
    assert np.isnan(nothing.rate)


def test_errors_of_files_add_up():
    total = SegmentErrors(10, 1, 2, 3) + SegmentErrors(30, 1, 1, 0)
    assert parts(total) == (40, 2, 3, 3)
    assert total.rate == pytest.approx(0.2)


turns = st.lists(
    st.tuples(st.integers(0, 300), st.integers(1, 100), st.sampled_from("abc")), max_size=6
).map(lambda rows: [(a / 10, (a + n) / 10, name) for a, n, name in rows])


@given(turns, turns)
def test_against_a_count_frame_by_frame(truth, found):
    errors = segment_errors(truth, found, collar=0, match=False)
    total = missed = false_alarm = confused = 0
    for frame in range(410):
        t = frame / 10 + 0.05
        true = {name for start, end, name in truth if start <= t < end}
        named = {name for start, end, name in found if start <= t < end}
        total += len(true)
        missed += max(0, len(true) - len(named))
        false_alarm += max(0, len(named) - len(true))
        confused += min(len(true), len(named)) - len(true & named)
    expected = np.array([total, missed, false_alarm, confused]) / 10
    np.testing.assert_allclose(parts(errors), expected, atol=1e-6)


@given(turns, turns)
def test_matching_names_never_makes_it_worse(truth, found):
    matched = segment_errors(truth, found)
    named = segment_errors(truth, found, match=False)
    assert matched.confused <= named.confused + 1e-9
    assert parts(matched)[:3] == pytest.approx(parts(named)[:3])
