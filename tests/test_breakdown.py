"""Errors by singer, confusions and reliability, against loops in plain Python."""

from collections import defaultdict

import numpy as np
import pytest

from singerid.breakdown import break_down, confusions, reliability, singer_errors
from singerid.errors import SingeridError
from singerid.trials import TrialList

THRESHOLD = 0.4


@pytest.fixture(scope="module", params=[6, 400])  # few singers; more pairs than trials
def case(request):
    rng = np.random.default_rng(3)
    n_recordings, n = 3 * request.param, 3000
    singers = [f"s{i % request.param:03d}" for i in range(n_recordings)]
    enroll, test = rng.integers(n_recordings, size=(2, n))
    targets = np.array([singers[a] == singers[b] for a, b in zip(enroll, test, strict=True)])
    trials = TrialList([f"r{i}" for i in range(n_recordings)], enroll, test, targets, n)
    scores = np.round(rng.normal(size=n) + targets, 2)
    return trials, scores, {"singer": singers}


def by_loops(trials, scores, singers):
    """Scores by singer (targets) and by pair of singers (nontargets)."""
    own, pairs = defaultdict(list), defaultdict(list)
    for i, score in enumerate(scores):
        a, b = singers[trials.enroll[i]], singers[trials.test[i]]
        (own[a] if a == b else pairs[tuple(sorted((a, b)))]).append(score)
    return own, pairs


def share(values):
    return float(np.mean(values)) if len(values) else None


def test_errors_by_singer_are_those_of_a_loop(case):
    trials, scores, columns = case
    own, pairs = by_loops(trials, scores, columns["singer"])
    found = singer_errors(trials, scores, columns, THRESHOLD)
    assert {one.singer for one in found} == set(own) | {name for pair in pairs for name in pair}
    for one in found:
        against = np.array([x for pair, some in pairs.items() if one.singer in pair for x in some])
        assert (one.n_targets, one.n_nontargets) == (len(own[one.singer]), len(against))
        assert one.miss_rate == share(np.array(own[one.singer]) < THRESHOLD)
        assert one.false_alarm_rate == share(against >= THRESHOLD)
        if one.impostor:
            pair = pairs[tuple(sorted((one.singer, one.impostor)))]
            assert one.impostor_rate == share(np.array(pair) >= THRESHOLD)
    sums = [(one.miss_rate or 0) + (one.false_alarm_rate or 0) for one in found]
    assert sums == sorted(sums, reverse=True)


def test_confusions_are_those_of_a_loop(case):
    trials, scores, columns = case
    _, pairs = by_loops(trials, scores, columns["singer"])
    found = confusions(trials, scores, columns, THRESHOLD, k=10_000)
    assert len(found) == len(pairs)
    for one in found:
        some = np.array(pairs[one.singer_a, one.singer_b])
        assert (one.n_trials, one.false_alarm_rate) == (len(some), share(some >= THRESHOLD))
        assert one.mean_score == pytest.approx(some.mean())
        assert one.max_score == some.max()
    assert confusions(trials, scores, columns, THRESHOLD, k=3) == found[:3]


def test_a_mask_counts_as_if_the_others_were_not_there(case):
    trials, scores, columns = case
    mask = np.random.default_rng(0).random(len(trials)) < 0.5
    part = TrialList(trials.ids, trials.enroll[mask], trials.test[mask], trials.targets[mask], 1)
    whole = break_down(trials, scores, columns, THRESHOLD, mask=mask)
    assert whole == break_down(part, scores[mask], columns, THRESHOLD)
    assert whole != break_down(trials, scores, columns, THRESHOLD)


def nontargets(pairs_and_scores):
    """Nontargets between recordings a, b … of singers A, B …"""
    enroll = [ord(a) - ord("a") for (a, _), _ in pairs_and_scores]
    test = [ord(b) - ord("a") for (_, b), _ in pairs_and_scores]
    n = len(enroll)
    listed = TrialList(list("abcd"), np.array(enroll), np.array(test), np.zeros(n, bool), n)
    return listed, np.array([score for _, score in pairs_and_scores]), {"singer": list("ABCD")}


def test_one_trial_of_one_is_less_than_many_of_many():
    many = [(("a", "b"), 0.9)] * 40 + [(("b", "a"), 0.1)] * 10
    found = confusions(*nontargets([(("c", "d"), 0.95), *many]), THRESHOLD)
    assert [(one.singer_a, one.singer_b, one.n_trials) for one in found] == [
        ("A", "B", 50), ("C", "D", 1)
    ]  # fmt: skip
    assert found[0].false_alarm_rate == 0.8


def test_without_false_alarms_the_mean_score_decides():
    given = nontargets([(("a", "b"), 0.1), (("a", "c"), 0.3), (("a", "d"), 0.2)])
    assert [one.singer_b for one in confusions(*given, THRESHOLD)] == ["C", "D", "B"]
    assert {one.singer: one.impostor for one in singer_errors(*given, THRESHOLD)} == {
        "A": "C", "B": "A", "C": "A", "D": "A"
    }  # fmt: skip


def test_a_singer_without_targets_has_no_miss_rate():
    (one, _) = singer_errors(*nontargets([(("a", "b"), 0.4)]), THRESHOLD)
    assert (one.n_targets, one.miss_rate, one.false_alarm_rate) == (0, None, 1.0)


def test_a_singer_without_nontargets_has_no_impostor():
    trials = TrialList(["a", "b"], np.array([0]), np.array([1]), np.array([True]), 1)
    (one,) = singer_errors(trials, np.array([0.1]), {"singer": ["A", "A"]}, THRESHOLD)
    assert (one.miss_rate, one.false_alarm_rate, one.impostor) == (1.0, None, "")
    assert one.impostor_rate is None


def test_what_does_not_fit_is_refused():
    trials, scores, columns = nontargets([(("a", "b"), 0.4)])
    with pytest.raises(SingeridError, match="do not fit the trials; found shapes"):
        singer_errors(trials, np.append(scores, 1), columns, THRESHOLD)
    with pytest.raises(SingeridError, match="3 singers; expected 1 trials of 4 recordings"):
        confusions(trials, scores, {"singer": list("ABC")}, THRESHOLD)


def test_well_calibrated_ratios_come_true_at_any_prior():
    rng = np.random.default_rng(0)
    targets = np.arange(200_000) < 20_000
    # Gaussians of variance 2m at ±m: the score is its own log-likelihood ratio.
    llrs = rng.normal(np.where(targets, 1.5, -1.5), np.sqrt(3))
    for prior in (0.5, 0.05):
        points = reliability(llrs, targets, prior)
        assert len(points) == 10
        assert sum(point["n"] for point in points) == 200_000
        for point in points:
            assert point["observed"] == pytest.approx(point["predicted"], abs=0.05)
    bold = reliability(3 * llrs, targets)
    assert bold[-1]["observed"] < bold[-1]["predicted"] - 0.03  # too sure of itself


def test_reliability_of_a_single_bin():
    (point,) = reliability([0, 0, 0], [True, False, False])
    assert point == pytest.approx({"predicted": 0.5, "observed": 0.5, "n": 3})
