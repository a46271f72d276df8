"""Worst trials."""

import numpy as np
import pytest

from singerid import worst
from singerid.trials import TrialList
from singerid.worst import worst_trials


def many(n=5000, n_recordings=60, n_singers=12):
    rng = np.random.default_rng(1)
    singers = [f"s{i % n_singers}" for i in range(n_recordings)]
    enroll, test = rng.integers(n_recordings, size=(2, n))
    targets = np.array([singers[a] == singers[b] for a, b in zip(enroll, test, strict=True)])
    trials = TrialList([f"r{i}" for i in range(n_recordings)], enroll, test, targets, n)
    return trials, np.round(rng.normal(size=n) + targets, 1), {"singer": singers}


def greedy(trials, scores, singers, k, per_pair):
    """The definition: from the worst on, whatever still fits."""
    found = []
    for target in (False, True):
        rows = [i for i in range(len(trials)) if trials.targets[i] == target]
        rows.sort(key=lambda i: scores[i] if target else -scores[i])  # stable, as ours
        pairs, times, some = {}, {}, []
        for i in rows:
            a, b = int(trials.enroll[i]), int(trials.test[i])
            pair = tuple(sorted((singers[a], singers[b])))
            pairs[pair] = pairs.get(pair, 0) + 1
            if pairs[pair] > per_pair or max(times.get(a, 0), times.get(b, 0)) >= per_pair:
                continue
            times[a] = times.get(a, 0) + 1
            times[b] = times.get(b, 0) + 1
            some.append((trials.ids[a], trials.ids[b], float(scores[i])))
        found += some[:k]
    return found


@pytest.mark.parametrize("first_look", [50, 1 << 16])
def test_worst_are_those_of_a_greedy_loop(monkeypatch, first_look):
    monkeypatch.setattr(worst, "_FIRST_LOOK", first_look)
    trials, scores, columns = many()
    for k, per_pair in ((10, 2), (20, 1), (200, 3)):
        found = worst_trials(trials, scores, columns, k=k, per_pair=per_pair)
        want = greedy(trials, scores, columns["singer"], k, per_pair)
        assert [one.score for one in found] == [score for _, _, score in want]
        assert [(one.enroll, one.test) for one in found] == [(a, b) for a, b, _ in want]


def test_classes_and_limits():
    trials, scores, columns = many()
    found = worst_trials(trials, scores, columns, k=15, per_pair=2)
    assert [one.target for one in found] == [False] * 15 + [True] * 15
    for target in (False, True):
        some = [one for one in found if one.target == target]
        pairs = [frozenset((one.enroll_singer, one.test_singer)) for one in some]
        assert max(pairs.count(pair) for pair in pairs) <= 2


def test_equal_scores_and_a_class_that_is_missing():
    trials, scores, columns = many(n=500)
    flat = worst_trials(trials, np.zeros_like(scores), columns, k=3)
    assert len(flat) == 6
    assert {one.score for one in flat} == {0.0}
    found = worst_trials(trials, scores, columns, mask=~trials.targets, k=3)
    assert [one.target for one in found] == [False] * 3
    assert worst_trials(trials, scores, columns, k=0) == []


def test_labels_of_both_sides_are_told_but_not_those_of_files():
    trials = TrialList(["a", "b"], np.array([0]), np.array([1]), np.array([False]), 1)
    columns = {
        "singer": ["A", "B"], "song": ["x", ""], "gender": ["?", ""], "path": ["/a", "/b"],
        "sha256": ["1", "2"], "split": ["valid", "valid"],
    }  # fmt: skip
    (one,) = worst_trials(trials, np.array([0.5]), columns)
    assert one.labels == {"song": ("x", "")}
    assert (one.enroll_singer, one.test_singer, one.enroll_recording) == ("A", "B", "a")


def test_models_have_their_name_and_their_first_recording():
    trials = TrialList(
        ["a", "b", "c"], np.array([0]), np.array([2]), np.array([True]), 1, [(1, 0)], ["model A"]
    )
    (one,) = worst_trials(trials, np.array([0.1]), {"singer": ["A", "A", "A"]})
    assert (one.enroll, one.enroll_recording, one.test) == ("model A", "b", "c")
