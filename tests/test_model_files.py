"""Lists of enrollment models, there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid.errors import SingeridError
from singerid.trials import TrialList, all_pairs
from singerid.trials.models import member_rows, read_models, write_models
from singerid.trials.words import Index

NAMES = st.lists(st.text(min_size=1, max_size=6), min_size=4, max_size=7, unique=True)


def make(ids, models, names):
    nothing = np.zeros(0, np.int64)
    return TrialList(ids, nothing, nothing, nothing > 0, 0, models, names)


@given(NAMES, NAMES)
def test_any_name_survives_the_file(tmp_path_factory, ids, names):
    path = tmp_path_factory.mktemp("models") / "models.txt"
    models = [(0, 2), (3,), (1, 2, 3), (2,)]
    write_models(path, make(ids, models, names[:4]))
    back = read_models(path)
    assert list(back) == names[:4]
    assert list(back.values()) == [[ids[row] for row in rows] for rows in models]
    assert member_rows(path, back, Index(ids, decode=True)) == models


def test_format(tmp_path):
    write_models(tmp_path / "m", make(["a 1", "b"], [(0, 1), (1,)], ["m\n", "李"]))
    assert (tmp_path / "m").read_text("utf-8") == "m%0A a%201 b\n李 b\n"
    (tmp_path / "m").write_bytes(b"\xef\xbb\xbfm\ta  b\r\n\r\nn c")
    assert read_models(tmp_path / "m") == {"m": ["a", "b"], "n": ["c"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("m a b\nm c\n", "^.*m.txt:2: model comes twice; found 'm'"),
        (
            "m a b\n\nn\n",
            "^.*m.txt:3: model has no recordings; found 'n'; expected model recording",
        ),
        ("n a\n\nm a b c b\n", "^.*m.txt:3: recording comes twice; found 'b'"),
        ("m %FF\n", "^.*m.txt:1: id is not percent-encoded UTF-8; found %FF"),
        ("\n", "^.*m.txt: the file lists no models"),
    ],
)
def test_bad_models(tmp_path, text, message):
    (tmp_path / "^.*m.txt").write_text(text)
    with pytest.raises(SingeridError, match=message):
        read_models(tmp_path / "^.*m.txt")


def test_what_cannot_be_read_or_written(tmp_path):
    with pytest.raises(SingeridError, match=r"none: cannot read models; found .*No such file"):
        read_models(tmp_path / "none")
    with pytest.raises(SingeridError, match="m: the trials have no models; set n_enroll above 1"):
        write_models(tmp_path / "m", all_pairs("ab", "ab"))
    with pytest.raises(SingeridError, match="row 1: a recording has no id"):
        write_models(tmp_path / "m", make(["a", ""], [(0,)], ["m"]))
    assert not (tmp_path / "m").exists()


def test_strange_members_are_counted_and_the_first_named():
    models = {"m": ["a", "x"], "n": ["y", "z", "x"]}
    message = (
        r"^p: the models name 4 recordings that nobody gave; found 'x' \(model 'm'\), "
        r"'y' \(model 'n'\), 'z' \(model 'n'\), …; give the manifest or embeddings"
    )
    with pytest.raises(SingeridError, match=message):
        member_rows("p", models, Index(["a"], decode=True))
    grown = Index(None, decode=True)
    assert member_rows("p", models, grown) == [(0, 1), (2, 3, 1)]
    assert list(grown.of_name) == ["a", "x", "y", "z"]
