"""Each check against a loop over the trials, and what it says of a list made to be bad."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid.errors import SingeridError
from singerid.trials import TrialList, draw_trials
from singerid.trials.findings import Finding
from singerid.trials.lint import lint


def make(pairs, targets, n, **models):
    enroll, test = np.array(pairs, np.int64).reshape(-1, 2).T
    ids = [f"r{i}" for i in range(n)]
    return TrialList(ids, enroll, test, np.array(targets, bool), len(targets), **models)


def clean():
    """24 singers with two sessions of four songs each: there is nothing to say."""
    n = 24 * 4
    columns = {
        "singer": [f"s{i // 4:02d}" for i in range(n)], "song": [str(i % 4) for i in range(n)],
        "gender": ["FM"[i // 4 % 2] for i in range(n)], "session": [str(i % 4) for i in range(n)],
        "path": [f"{i}.wav" for i in range(n)], "sha256": [f"{i:064x}" for i in range(n)],
        "split": ["test"] * n,
    }  # fmt: skip
    trials = draw_trials([f"r{i}" for i in range(n)], columns, nontargets="same_gender")
    return trials, columns


def codes(trials, columns, **options):
    return [finding.code for finding in lint(trials, columns, **options)]


def only(trials, columns, code, **options):
    """The one finding of a code."""
    found = [finding for finding in lint(trials, columns, **options) if finding.code == code]
    assert len(found) == 1
    return found[0]


def appended(trials, enroll, test, target):
    """The trials and one more."""
    return TrialList(
        trials.ids, np.append(trials.enroll, enroll), np.append(trials.test, test),
        np.append(trials.targets, target), len(trials) + 1,
    )  # fmt: skip


def test_nothing_to_say_about_a_clean_list():
    trials, columns = clean()
    vectors = np.random.default_rng(0).standard_normal((len(trials.ids), 4))
    assert lint(trials, columns, vectors=vectors, train_singers=["somebody"]) == []


@pytest.mark.parametrize(
    ("change", "code", "count", "text", "examples"),
    [
        ((5, 5, True), "T101", 1, "1 trial with one recording on both sides", ("r5 r5",)),
        ((0, 8, True), "T105", 1, "1 trial called targets, of two singers", ("r0 r8",)),
        ((0, 1, False), "T106", 1, "1 trial called nontargets, of one singer", ("r0 r1",)),
        ((0, 1, True), "T201", 1, "1 trial listed before: they count more than once", ("r0 r1",)),
        ((1, 0, True), "T202", 1, "1 trial with the sides of another swapped", ("r1 r0",)),
    ],
)
def test_one_bad_trial_is_found(change, code, count, text, examples):
    trials, columns = clean()
    found = only(appended(trials, *change), columns, code)
    assert (found.count, found.examples) == (count, examples)
    assert found.text.startswith(text)
    assert found.level == {"1": "error", "2": "warning"}[code[1]]


@pytest.mark.parametrize(
    ("label", "code", "text"),
    [
        ("path", "T102", "1 trial with one file on both sides, under two ids"),
        ("sha256", "T103", r"1 trial with the same audio on both sides \(equal hashes\)"),
        ("song", "T203", r"1 trial \(1% of the targets\) of one song: words and melody help"),
        ("session", "T204", r"1 trial \(1% of the targets\) of one session: microphone and room"),
    ],
)
def test_one_label_too_many(label, code, text):
    trials, columns = clean()
    columns[label][1] = columns[label][0]
    found = only(trials, columns, code)
    assert found.count == 1
    assert found.examples == ("r0 r1",)
    columns[label][0] = columns[label][1] = ""
    assert code not in codes(trials, columns)


def test_equal_vectors_are_the_same_audio():
    trials, columns = clean()
    vectors = np.random.default_rng(0).standard_normal((len(trials.ids), 4)).astype(np.float32)
    vectors[3] = vectors[2]
    found = only(trials, columns, "T104", vectors=vectors)
    assert (found.level, found.count, found.examples) == ("error", 1, ("r2 r3",))
    columns["sha256"][3] = columns["sha256"][2]  # told of once
    assert codes(trials, columns, vectors=vectors) == ["T103"]


def test_singers_in_both_train_and_test():
    trials, columns = clean()
    found = only(trials, columns, "T108", train_singers=["s07", "nobody", "s03"])
    assert found.level == "error"
    assert found.examples == ("s03", "s07")
    columns["split"][8] = "train"
    found = only(trials, columns, "T210")
    assert found.text.startswith("1 singer marked as split train")
    assert found.examples == ("s02",)
    assert codes(trials, columns, train_singers=["somebody"]) == []


def test_singers_that_do_not_take_part_do_no_harm():
    trials, columns = clean()
    columns["split"][8] = "train"
    keep = ~np.isin(trials.enroll // 4, 2) & ~np.isin(trials.test // 4, 2)
    some = TrialList(trials.ids, trials.enroll[keep], trials.test[keep], trials.targets[keep], 0)
    assert codes(some, columns) == []
    assert codes(some, columns, train_singers=["s02"]) == []


@pytest.mark.parametrize(("target", "name"), [(True, "nontarget"), (False, "target")])
def test_a_class_is_missing(target, name):
    trials, columns = clean()
    keep = trials.targets == target
    some = TrialList(trials.ids, trials.enroll[keep], trials.test[keep], trials.targets[keep], 0)
    found = only(some, columns, "T109")
    assert found.text == f"no {name} trials: there is no error rate"


def test_no_trials_at_all():
    _, columns = clean()
    assert codes(make([], [], 96), columns) == ["T109", "T109"]
    assert codes(make([], [], 0), {}) == ["T109", "T109"]


def test_genders():
    _, columns = clean()
    trials = draw_trials([f"r{i}" for i in range(96)], columns)
    found = only(trials, columns, "T205")
    gender = np.array(columns["gender"])
    mixed = ~trials.targets & (gender[trials.enroll] != gender[trials.test])
    assert found.count == mixed.sum()
    assert "(52% of the nontargets of known gender)" in found.text  # 12 of 23
    columns["gender"] = ["M"] * 12 + ["F"] * 84
    assert only(trials, columns, "T206").text == "of 24 singers 3 are of the other gender"
    columns["gender"] = ["F"] * 96
    assert only(trials, columns, "T206").text == "of 24 singers 0 are of the other gender"
    columns["gender"] = ["?"] * 96
    assert codes(trials, columns) == ["T303"]


def test_corpora():
    trials, columns = clean()
    columns["corpus"] = ["a"] * 48 + ["b"] * 48
    found = only(trials, columns, "T211")
    corpus = np.array(columns["corpus"])
    mixed = ~trials.targets & (corpus[trials.enroll] != corpus[trials.test])
    assert found.count == mixed.sum()
    assert "of two corpora (55% of the nontargets of known corpus): microphone" in found.text
    columns["corpus"] = ["a"] * 4 + ["b"] * 92  # 11 of 132 pairs of singers
    assert codes(trials, columns) == []
    columns["corpus"] = ["a"] * 48 + [""] * 48
    assert codes(trials, columns) == []
    within = draw_trials(trials.ids, columns, nontargets="same_gender")
    assert codes(within, columns) == []


def test_sessions():
    trials, columns = clean()
    columns["session"] = ["1"] * 8 + columns["session"][8:]
    found = only(trials, columns, "T207")
    assert found.text.startswith("2 of 24 singers recorded in a single session")
    assert found.examples == ("s00", "s01")
    columns["album"] = columns.pop("session")
    assert only(trials, columns, "T207").text.startswith("2 of 24 singers recorded in a single alb")
    columns["album"][0] = ""  # perhaps another one
    assert only(trials, columns, "T207").examples == ("s01",)
    columns["session"] = ["1"] * 96
    assert "T301" not in codes(trials, columns)
    columns["session"][:8] = [""] * 8
    found = only(trials, columns, "T301")
    assert (found.level, found.count) == ("info", 1)
    assert found.text.startswith("1 recording of unknown session and album: microphone and room")
    del columns["album"], columns["session"]
    assert codes(trials, columns) == ["T301"]
    columns["corpus"] = ["a", "b"] + ["a"] * 94
    found = only(trials, columns, "T301")
    assert (found.level, found.count) == ("info", 96)
    assert found.text.endswith("unseen (23 of 24 singers within one corpus each)")


@pytest.mark.parametrize(
    ("n", "text"),
    [(4, "only 4 singers: no interval, do not trust the rates"),
     (5, "only 5 singers: intervals are wide"), (19, "only 19 singers: intervals are wide")],
)  # fmt: skip
def test_few_singers(n, text):
    _, columns = clean()
    columns = {name: column[: 4 * n] for name, column in columns.items()}
    trials = draw_trials([f"r{i}" for i in range(4 * n)], columns)
    found = only(trials, columns, "T208")
    assert (found.count, found.text) == (n, text)


def test_one_singer_has_most_of_the_targets():
    n = 60
    columns = {"singer": ["loud"] * 20 + [f"s{i // 2}" for i in range(40)]}
    trials = draw_trials([f"r{i}" for i in range(n)], columns)
    found = only(trials, columns, "T209")
    assert found.count == 1
    assert found.examples == ("loud",)
    assert "one with 90%" in found.text  # 190 of 210
    columns["singer"][-1] = "single"
    trials = draw_trials([f"r{i}" for i in range(n)], columns)
    found = only(trials, columns, "T302")
    assert (found.level, found.count) == ("info", 2)
    assert found.examples == ("s19", "single")


def test_unknown_labels():
    trials, columns = clean()
    columns["singer"] = ["", *columns["singer"][1:]]
    columns["gender"][1] = "?"
    del columns["song"]
    found = [f for f in lint(trials, columns) if f.code == "T303"]
    assert [(f.count, f.text.split(":")[0], f.examples) for f in found] == [
        (1, "1 recording of unknown singer", ("r0",)),
        (96, "96 recordings of unknown song", ("r0", "r1", "r2")),
        (1, "1 recording of unknown gender", ("r1",)),
    ]
    bare = codes(trials, {})
    assert bare == ["T301", "T303", "T303", "T303"]


def test_columns_that_do_not_fit():
    trials, columns = clean()
    with pytest.raises(SingeridError, match="column 'mood' has 2 rows; expected 96"):
        lint(trials, {**columns, "mood": ["sad", "glad"]})
    with pytest.raises(SingeridError, match="vectors do not fit the recordings; found 2; expected"):
        lint(trials, columns, vectors=np.eye(2))


CASES = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 7), st.booleans()), min_size=1, max_size=25
)
LABELS = st.fixed_dictionaries({
    "singer": st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=8, max_size=8),
    "song": st.lists(st.sampled_from(["", "x", "y"]), min_size=8, max_size=8),
    "gender": st.lists(st.sampled_from(["", "?", "F", "M"]), min_size=8, max_size=8),
    "session": st.lists(st.sampled_from(["", "1", "2"]), min_size=8, max_size=8),
    "path": st.lists(st.sampled_from(["", "1.wav", "2.wav"]), min_size=8, max_size=8),
    "sha256": st.lists(st.sampled_from(["", "1f", "2f"]), min_size=8, max_size=8),
})  # fmt: skip


def by_loop(trials, columns):
    """Counts of the findings that a loop over the trials can give."""
    counts = Counter()
    seen = Counter()
    n_mixed = n_judged = 0
    singer, gender = columns["singer"], columns["gender"]
    for i in range(len(trials)):
        rows, test = trials.enroll_rows(i).tolist(), int(trials.test[i])
        item, target, head = int(trials.enroll[i]), bool(trials.targets[i]), int(rows[0])

        def alike(label, rows=rows, test=test):
            return any(columns[label][row] == columns[label][test] != "" for row in rows)

        if test in rows:
            counts["T101"] += 1
        elif alike("path"):
            counts["T102"] += 1
        elif alike("sha256"):
            counts["T103"] += 1
        if singer[head] and singer[test]:
            counts["T105"] += target and singer[head] != singer[test]
            counts["T106"] += not target and singer[head] == singer[test]
        counts["T203"] += target and alike("song")
        counts["T204"] += target and alike("session")
        if not target and gender[head] in ("F", "M") and gender[test] in ("F", "M"):
            n_judged += 1
            n_mixed += gender[head] != gender[test]
        counts["T201"] += (item, test) in seen
        first_swapped = (test, item) in seen and (item, test) not in seen and item != test
        counts["T202"] += first_swapped and not trials.models
        seen[item, test] += 1
    if n_mixed > 0.1 * n_judged:
        counts["T205"] = n_mixed
    return {code: count for code, count in counts.items() if count}


@given(CASES, LABELS)
def test_findings_equal_a_loop(cases, columns):
    trials = make([case[:2] for case in cases], [case[2] for case in cases], 8)
    expected = by_loop(trials, columns)
    found = {f.code: f for f in lint(trials, columns)}
    counted = {"T101", "T102", "T103", "T105", "T106", "T201", "T202", "T203", "T204", "T205"}
    assert {code: found[code].count for code in found.keys() & counted} == expected
    listed = {f"{trials[i].enroll} {trials[i].test}" for i in range(len(trials))}
    for code in found.keys() & counted:
        assert len(found[code].examples) == min(3, expected[code])
        assert set(found[code].examples) <= listed


@given(CASES, LABELS)
def test_findings_about_models_equal_a_loop(cases, columns):
    models = [(0, 3), (1,), (2, 4, 5), (6, 7)]
    trials = make(
        [(a % 4, b) for a, b, _ in cases], [case[2] for case in cases], 8,
        models=models, model_names=list("klmn"),
    )  # fmt: skip
    expected = by_loop(trials, columns)
    found = {f.code: f for f in lint(trials, columns)}
    for code in ("T101", "T102", "T103", "T105", "T106", "T201", "T202", "T203", "T204", "T205"):
        assert (found[code].count if code in found else 0) == expected.get(code, 0), code
    mixed = [
        name for name, rows in zip("klmn", models, strict=True)
        if len({columns["singer"][row] for row in rows} - {""}) > 1
    ]  # fmt: skip
    assert (list(found["T107"].examples) if "T107" in found else []) == mixed[:3]


def test_findings_come_by_severity():
    trials, columns = clean()
    trials = appended(appended(trials, 5, 5, True), 0, 1, True)
    del columns["session"]
    levels = [finding.level for finding in lint(trials, columns)]
    assert levels == ["error", "warning", "warning", "info"]
    assert isinstance(lint(trials, columns)[0], Finding)
