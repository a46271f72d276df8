"""Trials against a double loop; lists on disk, there and back."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid.errors import SingeridError
from singerid.records import Trial
from singerid.trials import (
    TrialList,
    all_pairs,
    read_trials,
    same_gender,
    write_scores,
    write_trials,
)

COLUMNS = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.sampled_from(["", "x", "y", "z"]),
        st.sampled_from(["F", "M", "?", ""]), st.sampled_from(["p", "q"]),
    ),
    max_size=14,
)  # fmt: skip


def names(n):
    return [f"r{i}" for i in range(n)]


def double_loop(rows, cross_song, match_gender, within_corpus):
    """The trials by their definition."""
    found = []
    for (i, a), (j, b) in itertools.combinations(enumerate(rows), 2):
        target = a[0] == b[0]
        if within_corpus and a[3] != b[3]:
            continue
        if target and cross_song and a[1] == b[1] != "":
            continue
        if not target and match_gender and (a[2] != b[2] or a[2] in ("", "?")):
            continue
        found.append((i, j, target))
    return found


def build(rows, cross_song, match_gender, within_corpus, **limit):
    singers, songs, genders, corpora = zip(*rows, strict=True) if rows else ((), (), (), ())
    return all_pairs(
        names(len(rows)), singers, songs=songs if cross_song else None,
        genders=genders if match_gender else None, corpora=corpora if within_corpus else None,
        **limit,
    )  # fmt: skip


def listed(trials):
    return list(
        zip(trials.enroll.tolist(), trials.test.tolist(), trials.targets.tolist(), strict=True)
    )


@given(COLUMNS, st.booleans(), st.booleans(), st.booleans())
def test_all_pairs_equals_double_loop(rows, cross_song, match_gender, within_corpus):
    trials = build(rows, cross_song, match_gender, within_corpus)
    assert listed(trials) == double_loop(rows, cross_song, match_gender, within_corpus)
    assert trials.n_possible == len(trials)


@given(COLUMNS, st.booleans(), st.integers(2, 20), st.integers(0, 3))
def test_sample_is_a_balanced_subset_without_repeats(rows, match_gender, limit, seed):
    everything = double_loop(rows, True, match_gender, False)
    rng = np.random.default_rng(seed)
    trials = build(rows, True, match_gender, False, max_trials=limit, rng=rng)
    assert len(trials) == min(limit, len(everything))
    assert trials.n_possible == len(everything)
    assert set(listed(trials)) <= set(everything)
    assert len(set(listed(trials))) == len(trials)
    assert listed(trials) == sorted(listed(trials))
    n_targets = sum(target for *_, target in everything)
    at_least = min(n_targets, limit // 2) if len(everything) > limit else n_targets
    assert trials.targets.sum() >= at_least
    assert (~trials.targets).sum() >= min(len(everything) - n_targets, limit - n_targets)


def test_every_pair_is_sampled_equally_often():
    rng = np.random.default_rng(0)
    singers = list("aaabbbccc")
    hits = np.zeros((9, 9))
    for _ in range(2000):
        trials = all_pairs(names(9), singers, max_trials=10, rng=rng)
        hits[trials.enroll, trials.test] += 1
    same = np.equal.outer(singers, singers)
    upper = np.triu(np.ones((9, 9), bool), 1)
    assert not hits[~upper].any()
    # 5 of 9 targets, 5 of 27 nontargets; deviations of 5 sigma
    np.testing.assert_allclose(hits[upper & same] / 2000, 5 / 9, atol=0.056)
    np.testing.assert_allclose(hits[upper & ~same] / 2000, 5 / 27, atol=0.044)


def test_sample_of_billions_of_pairs_stays_small():
    n = 100_000
    singers = [f"s{i % 1000}" for i in range(n)]
    trials = all_pairs(names(n), singers, max_trials=10_000, rng=np.random.default_rng(0))
    assert trials.n_possible == n * (n - 1) // 2
    assert trials.targets.sum() == 5000
    columns = np.array(singers)
    np.testing.assert_array_equal(columns[trials.enroll] == columns[trials.test], trials.targets)
    again = all_pairs(names(n), singers, max_trials=10_000, rng=np.random.default_rng(0))
    assert listed(again) == listed(trials)


@given(COLUMNS)
def test_same_gender_mask_equals_building_with_genders(rows):
    trials = build(rows, True, False, False)
    mask = same_gender(trials, [row[2] for row in rows])
    kept = [trial for trial, keep in zip(listed(trials), mask, strict=True) if keep]
    assert kept == listed(build(rows, True, True, False))


def test_bad_columns():
    with pytest.raises(SingeridError, match="column 'song' has 1 rows; expected 2"):
        all_pairs(names(2), "ab", songs=["x"])
    with pytest.raises(
        SingeridError, match="max_trials out of range; found 1; expected at least 2"
    ):
        all_pairs(names(3), "aab", max_trials=1)
    with pytest.raises(SingeridError, match="a sample of the trials needs a random generator"):
        all_pairs(names(9), "aaabbbccc", max_trials=4)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=5, unique=True))
def test_any_id_survives_the_file(tmp_path_factory, ids):
    path = tmp_path_factory.mktemp("trials") / "trials.txt"
    trials = all_pairs(ids, ["a"] * len(ids))
    write_trials(path, trials)
    back = read_trials(path, ids)
    assert listed(back) == listed(trials)
    assert [back[i] for i in range(len(back))] == [trials[i] for i in range(len(trials))]
    assert all(len(line.split(" ")) == 3 for line in path.read_text("utf-8").splitlines())


def test_format(tmp_path):
    ids = ["a/1.wav", "李 明\n100%", "b\udcff\u2028"]
    trials = TrialList(ids, np.array([0, 1]), np.array([1, 2]), np.array([True, False]), 2)
    write_trials(tmp_path / "trials.txt", trials)
    lines = ["1 a/1.wav 李%20明%0A100%25", "0 李%20明%0A100%25 b%ED%B3%BF%E2%80%A8", ""]
    assert (tmp_path / "trials.txt").read_text("utf-8").split("\n") == lines
    assert read_trials(tmp_path / "trials.txt").ids == ids
    write_scores(tmp_path / "scores.txt", trials, np.array([0.5, -1 / 3]))
    lines = [
        "a/1.wav 李%20明%0A100%25 0.500000",
        "李%20明%0A100%25 b%ED%B3%BF%E2%80%A8 -0.333333",
        "",
    ]
    assert (tmp_path / "scores.txt").read_text("utf-8").split("\n") == lines


def test_reads_the_list_of_voxceleb(tmp_path):
    path = tmp_path / "veri_test.txt"
    path.write_bytes(
        b"1 id10270/5r0dWxy17C8/00001.wav id10270/5r0dWxy17C8/00003.wav\r\n\r\n"
        b"0 id10270/5r0dWxy17C8/00001.wav id10300/ize_eiCFEg0/00003.wav\r\n"
    )
    trials = read_trials(path)
    assert len(trials) == 2
    first = "id10270/5r0dWxy17C8/00001.wav"
    assert trials[0] == Trial(first, "id10270/5r0dWxy17C8/00003.wav", True)
    assert trials[1] == Trial(first, "id10300/ize_eiCFEg0/00003.wav", False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 a b\n1 a\n", "t.txt:2: line is not a trial; found 1 a; expected '1 enroll test'"),
        ("2 a b\n", "t.txt:1: line is not a trial; found 2 a b"),
        ("1 a b c\n", "t.txt:1: line is not a trial"),
        ("1 a c\n", "t.txt:1: no recording 'c' for the trial"),
        ("1 a %FF\n", "t.txt:1: id is not percent-encoded UTF-8; found %FF"),
        ("\n\n", "t.txt: the file lists no trials"),
    ],
)
def test_bad_lists(tmp_path, text, message):
    path = tmp_path / "t.txt"
    path.write_text(text)
    with pytest.raises(SingeridError, match=message):
        read_trials(path, ["a", "b"])


def test_bad_files(tmp_path):
    with pytest.raises(SingeridError, match=r"none\.txt: cannot read trials; found .*No such file"):
        read_trials(tmp_path / "none.txt")
    (tmp_path / "latin").write_bytes(b"1 \xe9 b\n")
    with pytest.raises(SingeridError, match="latin: cannot read trials; found 'utf-8' codec"):
        read_trials(tmp_path / "latin")
    trials = all_pairs(["", "b"], "ab")
    with pytest.raises(SingeridError, match="row 0: a recording has no id"):
        write_trials(tmp_path / "t.txt", trials)
    with pytest.raises(SingeridError, match="3 scores do not fit 1 trials"):
        write_scores(tmp_path / "t.txt", trials, np.zeros(3))
    assert not (tmp_path / "t.txt").exists()
