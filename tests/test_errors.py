"""Errors: one line each, whatever names and values hold; they survive pickling."""

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid import errors
from singerid.config import ConfigErrors
from singerid.errors import AudioError, BatchError, ConfigError, MissingExtraError, SingeridError

ALL = [
    value for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, SingeridError)
]  # fmt: skip


def test_parts_stand_in_a_fixed_order():
    error = SingeridError("is bad", where=Path("a.wav"), found=3, expected="4", do="fix it")
    assert str(error) == "a.wav: is bad; found 3; expected 4; fix it"
    assert (error.what, error.where, error.found) == ("is bad", Path("a.wav"), 3)
    assert str(SingeridError("is bad")) == "is bad"
    assert str(SingeridError("is bad", found=0)) == "is bad; found 0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\nb\r\tc", r"a\nb\r\tc"),
        (Path("ä b/日本.wav"), "ä b/日本.wav"),
        (b"x\xff.wav", r"x\udcff.wav"),
        ("\x1b[31mred\u2028line", r"\x1b[31mred\u2028line"),
        (os.fsdecode(b"x\xff.wav"), r"x\udcff.wav"),
        (12.5, "12.5"),
    ],
)
def test_one_line_escapes_what_a_terminal_would_obey(value, text):
    assert errors.one_line(value) == text


@given(st.text(st.characters()), st.text(st.characters(codec=None)), st.binary())
def test_any_names_and_values_make_one_printable_line(what, where, found):
    text = str(SingeridError(what, where=where, found=found, do=where))
    assert len(text.splitlines()) <= 1
    assert text.isprintable()
    text.encode("utf-8")  # no lone surrogates are left


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_every_error_is_pickled_as_it_is(cls):
    made = {
        MissingExtraError: lambda: MissingExtraError("PyTorch", "train"),
        BatchError: lambda: BatchError("1 of 2 failed", [AudioError("x", where="y")]),
    }.get(cls, lambda: cls("is bad", where="a\nb", found="c", expected="d", do="e"))()
    copy = pickle.loads(pickle.dumps(made))
    assert type(copy) is cls
    assert str(copy) == str(made)
    assert copy.__dict__.keys() == made.__dict__.keys()


def test_errors_of_a_configuration_are_pickled_as_they_are():
    error = ConfigErrors([ConfigError("a is bad"), ConfigError("b is bad")])
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error) == "a is bad\nb is bad"
    assert [str(problem) for problem in copy.problems] == ["a is bad", "b is bad"]


def test_missing_extra_says_how_to_install_it():
    assert str(MissingExtraError("PyTorch", "train")) == (
        "PyTorch is not installed; install it with: pip install 'singerid[train]'"
    )


def test_a_batch_keeps_its_failures():
    failures = [AudioError("is empty", where="a.wav"), AudioError("is silent", where="b.wav")]
    error = BatchError("2 of 9 files failed", failures)
    assert str(error) == "2 of 9 files failed"
    assert error.failures == failures


def test_what_a_file_holds_cannot_flood_a_message():
    error = SingeridError("x" * 9000, where="/" + "p" * 9000, found="y" * 10_000_000, do="z" * 501)
    assert len(str(error)) < 3000
    assert str(SingeridError("a", where="/" + "p" * 9000 + "/end.wav")).endswith("pp/end.wav: a")
    assert "yyy… (9,999,500 more characters)" in str(error)
    assert str(SingeridError("a", found="y" * 500)) == "a; found " + "y" * 500
    assert error.found == "y" * 10_000_000  # for programs
