"""Slices of trials by labels and pitch."""

import numpy as np
import pytest

from singerid.errors import SingeridError
from singerid.slices import f0_gap, singer_sides, slice_masks
from singerid.trials import TrialList

# 0, 1, 2 by singer A; 3, 4 by singer B; 5 of an unknown technique by C
COLUMNS = {
    "singer": list("AAABBC"),
    "technique": ["belt", "belt", "fry", "belt", "fry", "?"],
    "f0": ["100", "200", "100", "150", "", "100"],
    "gender": ["F"] * 6,
}


def trials(pairs, models=()):
    enroll, test = np.array(pairs).T
    first = [rows[0] for rows in models] or range(6)
    singers = COLUMNS["singer"]
    targets = np.array([singers[first[a]] == singers[b] for a, b in pairs])
    names = [f"model{i}" for i in range(len(models))]
    return TrialList([f"r{i}" for i in range(6)], enroll, test, targets, len(pairs), models, names)


def test_label_slices_by_hand():
    pairs = [(0, 1), (0, 2), (3, 4), (0, 3), (2, 3), (2, 4), (0, 5)]
    masks = slice_masks(trials(pairs), COLUMNS, labels=["technique"])
    shown = {name: "".join(str(int(flag)) for flag in mask) for name, mask in masks.items()}
    assert shown == {
        "technique belt": "1001000",  # "technique fry" has no targets
        "same technique": "1001111",  # its targets, and all nontargets
        "different technique": "0111111",
    }


def test_f0_gap_is_in_semitones_and_bins_include_their_lower_edge():
    listed = trials([(0, 1), (0, 2), (0, 3), (1, 3), (0, 4)])
    gap = f0_gap(listed, COLUMNS["f0"])
    assert gap[:2] == pytest.approx([12, 0])
    assert gap[2] == pytest.approx(7.02, abs=0.01)  # a pure fifth
    assert np.isnan(gap[4])
    f0 = ["100", "100", str(100 * 2 ** (7 / 12)), "100", str(100 * 2 ** (2.9 / 12)), "100"]
    listed = trials([(0, 1), (0, 2), (0, 3), (0, 4), (2, 3)])
    masks = slice_masks(listed, {"f0": f0})
    assert {name: np.flatnonzero(mask).tolist() for name, mask in masks.items()} == {
        "F0 gap 0-3 semitones": [0, 2, 3], "F0 gap above 7 semitones": [1, 4],
    }  # fmt: skip


def test_a_wrong_f0_is_told():
    with pytest.raises(SingeridError, match="'f0' is not a frequency; found 'high'"):
        f0_gap(trials([(0, 1)]), ["100", "high"] + ["100"] * 4)


def test_slices_of_everything_or_of_one_class_are_left_out():
    assert slice_masks(trials([(0, 1), (0, 3)]), COLUMNS, labels=["gender", "no such"]) == {}
    assert slice_masks(trials([(0, 1), (0, 2)]), COLUMNS) == {}  # no nontargets


def test_within_limits_every_slice():
    listed = trials([(0, 1), (0, 2), (0, 3), (3, 4), (1, 3)])
    within = np.array([True, True, True, True, False])
    masks = slice_masks(listed, COLUMNS, within=within)
    assert masks
    assert not any(mask[4] for mask in masks.values())


def test_only_the_commonest_values_become_slices():
    columns = {"technique": ["a", "a", "a", "a", "b", "b"]}
    listed = TrialList(
        list("abcdef"), np.array([0, 0, 0, 4, 4, 1]), np.array([1, 2, 3, 5, 5, 2]),
        np.array([True, False, True, True, False, True]), 6,
    )  # fmt: skip
    both = slice_masks(listed, columns, labels=["technique"])
    assert list(both) == ["technique a", "technique b"]
    assert list(slice_masks(listed, columns, labels=["technique"], max_values=1)) == ["technique a"]


def test_a_model_has_a_label_only_if_all_its_recordings_have_it():
    models = [(0, 1), (1, 2), (3,)]
    listed = trials([(0, 1), (1, 1), (2, 1), (0, 3)], models)
    masks = slice_masks(listed, COLUMNS, labels=["technique"])
    assert np.flatnonzero(masks["technique belt"]).tolist() == [0, 2, 3]  # model 1 is mixed
    names, enroll, test = singer_sides(listed, np.zeros(4), COLUMNS, None)
    assert [names[i] for i in enroll] == ["A", "A", "B", "A"]
    assert [names[i] for i in test] == ["A", "A", "A", "B"]
    f0 = ["100", "200", "100", "400", "100", "100"]
    assert f0_gap(listed, f0)[0] == pytest.approx(6)  # the model: between 100 and 200 Hz
