"""The pairs that the rules allow against a double loop, each class by itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singerid.errors import SingeridError
from singerid.trials.enrollment import draw_models
from singerid.trials.rules import NONTARGETS, Candidates, Rules
from test_trials import RULES, by_definition, names, table

ROWS = st.lists(
    st.fixed_dictionaries({
        "singer": st.sampled_from(["a", "a", "a", "b", "b", ""]),
        "song": st.sampled_from(["x", "x", "y", ""]),
        "gender": st.sampled_from(["F", "F", "M", "?"]),
        "corpus": st.sampled_from("pppq"),
        "technique": st.sampled_from(["belt", "fry", "fry", ""]),
        "kind": st.sampled_from(["speech", "singing", "singing"]),
        "f0": st.sampled_from(["110", "131.5", "220.0", "440", ""]),
    }),
    min_size=9, max_size=18,
)  # fmt: skip


def both_classes(candidates):
    """All pairs `(enroll, test, target)`, ascending."""
    found = []
    for pairs, target in ((candidates.targets(), True), (candidates.nontargets(), False)):
        enroll, test = candidates.turned(pairs.at(np.arange(len(pairs))))
        found += [(i, j, target) for i, j in zip(enroll.tolist(), test.tolist(), strict=True)]
    return sorted(found)


@settings(max_examples=150)
@given(ROWS, RULES, st.integers(0, 3))
def test_pairs_equal_a_double_loop(rows, rules, seed):
    try:
        candidates = Candidates(names(len(rows)), table(rows), Rules(**rules), seed=seed)
    except SingeridError:  # of models: see test_enrollment
        assert rules["n_enroll"] > 1
        return
    models = [tuple(members) for members in candidates.members.tolist()]
    if rules["n_enroll"] == 1:
        assert models == [(i,) for i in range(len(rows))]
    assert both_classes(candidates) == by_definition(rules, models, rows)


@given(st.lists(st.sampled_from("ab"), min_size=6, max_size=14), st.integers(2, 3), st.data())
def test_labels_that_differ_do_so_from_every_member(songs, k, data):
    n = len(songs)
    labels = st.lists(st.sampled_from(["1", "2", "3"]), min_size=n, max_size=n)
    columns = {"singer": ["s"] * n, "song": songs, "session": data.draw(labels)}
    candidates = Candidates(names(n), columns, Rules(("song", "session"), n_enroll=k))
    pairs = candidates.targets()
    enroll, test = pairs.at(np.arange(len(pairs)))
    found = set(zip(enroll.tolist(), test.tolist(), strict=True))
    assert len(found) == len(pairs)
    for i, members in enumerate(candidates.members.tolist()):
        for row in range(n):
            differs = all(
                columns[label][member] != columns[label][row]
                for label in ("song", "session")
                for member in members
            )
            assert ((i, row) in found) == differs


@given(st.lists(st.sampled_from(["a", "a", "b", ""]), min_size=4, max_size=12), st.integers(0, 3))
def test_models_are_of_those_that_may_be_enrolled(singers, seed):
    """Nobody's recordings, and those that fit no condition, are not put into models."""
    n = len(singers)
    columns = {"singer": singers, "kind": ["speech", "singing"] * n, "f0": ["100", "", "200"] * n}
    columns = {name: column[:n] for name, column in columns.items()}
    rules = Rules((), enroll=("kind=singing",), pitch_gap=(0, 99), n_enroll=2)
    eligible = [i for i in range(n) if singers[i] and i % 2 and columns["f0"][i]]
    owner = np.array([ord(singers[i]) for i in eligible], np.int64)
    rng = np.random.default_rng([seed, 1])
    try:
        expected = np.array(eligible)[draw_models(owner, np.arange(len(owner)), 2, rng)]
    except SingeridError:
        with pytest.raises(SingeridError, match="nobody has 2 recordings to enroll; found at most"):
            Candidates(names(n), columns, rules, seed=seed)
        return
    members = Candidates(names(n), columns, rules, seed=seed).members
    assert len(members) == len(expected)
    assert set(members.ravel().tolist()) <= set(eligible)


@pytest.mark.parametrize("kind", NONTARGETS)
def test_a_recording_of_an_unknown_singer_takes_no_part(kind):
    columns = {
        "singer": ["", "", "a", "a", "b"],
        "gender": ["F", "M", "F", "F", "FM"[kind[0] == "c"]],
    }
    rules = Rules(nontargets=kind)
    candidates = Candidates(names(5), columns, rules, vectors=np.eye(5) + 1)
    assert both_classes(candidates) == [(2, 3, True), (2, 4, False), (3, 4, False)]


def test_no_recordings_make_no_pairs():
    columns = {"singer": [], "gender": [], "f0": []}
    for kind in NONTARGETS:
        rules = Rules(nontargets=kind, pitch_gap=(0, 9))
        assert both_classes(Candidates([], columns, rules, vectors=np.zeros((0, 3)))) == []
