"""Columns of texts as arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid.errors import ManifestError, SingeridError
from singerid.trials.labels import (
    check_lengths,
    codes,
    column_of,
    combined,
    known,
    own_codes,
    satisfied,
    semitones,
)

TEXTS = st.lists(st.sampled_from(["", "?", "a", "b", "c"]), max_size=12)


@given(TEXTS)
def test_codes_are_equal_where_the_texts_are(column):
    code, own = codes(column), own_codes(column)
    assert code.dtype == own.dtype == np.int64
    for i, a in enumerate(column):
        for j, b in enumerate(column):
            assert (code[i] == code[j]) == (a == b)
            assert (own[i] == own[j]) == (i == j or a == b != "")
    assert sorted(set(code.tolist())) == list(range(len(set(column))))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_combined_codes_are_equal_where_both_are(rows):
    a, b = np.array(rows, np.int64).reshape(-1, 2).T
    both = combined(a, b)
    for i, row in enumerate(rows):
        for j, other in enumerate(rows):
            assert (both[i] == both[j]) == (row == other)


def test_known():
    assert known(["", "?", "x"]).tolist() == [False, True, True]
    assert known(["", "?", "x"], ("", "?")).tolist() == [False, False, True]


def test_semitones():
    pitch = semitones(["110", "", "220.0", "8.1757989156437"])
    assert np.isnan(pitch).tolist() == [False, True, False, False]
    assert pitch[2] - pitch[0] == pytest.approx(12)
    assert pitch[0] - pitch[3] == pytest.approx(45)  # A2 is MIDI note 45


@pytest.mark.parametrize("text", ["low", "0", "-1", "nan", "inf", "1,5"])
def test_f0_must_be_a_frequency(text):
    message = f"^row 1: label 'f0' is not a frequency; found '{text}'; expected the median F0 in Hz"
    with pytest.raises(SingeridError, match=message):
        semitones(["100", text])


def test_satisfied():
    columns = {"kind": ["speech", "singing", ""], "song": ["x", "y", "x"]}
    assert satisfied(columns, [], 3, "enroll").all()
    assert satisfied(columns, ["kind=speech"], 3, "enroll").tolist() == [True, False, False]
    assert satisfied(columns, ["kind!=speech", "song=x,z"], 3, "test").tolist() == [
        False, False, True,
    ]  # fmt: skip
    with pytest.raises(SingeridError, match=r"^test: no label 'mood'; found kind, song$"):
        satisfied(columns, ["mood=sad"], 3, "test")
    with pytest.raises(ManifestError, match="cannot read the condition; found speech; expected"):
        satisfied(columns, ["speech"], 3, "test")


def test_columns():
    assert column_of({"a": ["x"]}, "a", "cross") == ["x"]
    with pytest.raises(SingeridError, match=r"^cross: no label 'b'; found a$"):
        column_of({"a": ["x"]}, "b", "cross")
    with pytest.raises(SingeridError, match=r"^cross: no label 'b'; found no labels$"):
        column_of({}, "b", "cross")
    check_lengths({"a": ["x"], "b": ["y"]}, 1)
    with pytest.raises(SingeridError, match=r"^column 'b' has 2 rows; expected 1$"):
        check_lengths({"a": ["x"], "b": ["y", "z"]}, 1)
