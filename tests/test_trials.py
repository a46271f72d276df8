"""Trials against double loops over all pairs of recordings."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid.errors import SingeridError
from singerid.records import Trial
from singerid.trials import TrialList, all_pairs, draw_trials, same_gender

COLUMNS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", ""]), st.sampled_from(["", "x", "y", "z"]),
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
        if "" in (a[0], b[0]):
            continue
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


ROWS = st.lists(
    st.fixed_dictionaries({
        "singer": st.sampled_from(["a", "b", "c", "d", ""]),
        "song": st.sampled_from(["", "x", "y", "z"]),
        "gender": st.sampled_from(["F", "M", "M", "?", ""]), "corpus": st.sampled_from("pq"),
        "technique": st.sampled_from(["", "belt", "fry"]),
        "kind": st.sampled_from(["speech", "singing"]),
        "f0": st.sampled_from(["", "110", "131.5", "220.0", "440"]),
    }),
    min_size=2, max_size=12,
)  # fmt: skip
RULES = st.fixed_dictionaries({
    "cross": st.sampled_from([(), ("song",), ("song", "technique"), ("technique", "kind")]),
    "nontargets": st.sampled_from(["all", "same_gender", "cross_gender"]),
    "enroll": st.sampled_from([(), ("kind=speech",), ("kind!=speech", "song=x,y")]),
    "test": st.sampled_from([(), ("kind=singing",)]),
    "pitch_gap": st.sampled_from([None, (0, 3), (3, 12), (12, 99)]),
    "within_corpus": st.booleans(),
    "n_enroll": st.sampled_from([1, 1, 2, 3]),
})  # fmt: skip


def table(rows):
    """Columns of rows."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def midi(row):
    return 12 * np.log2(float(row["f0"])) if row["f0"] else np.nan


def may(rules, members, test, rows):
    """True if the rules for both classes allow members to be enrolled and compared with a test."""
    one = rows[members[0]]
    if not (one["singer"] and rows[test]["singer"]):
        return False
    if test in members or (rules["within_corpus"] and one["corpus"] != rows[test]["corpus"]):
        return False
    for member in members:
        if "kind=speech" in rules["enroll"] and rows[member]["kind"] != "speech":
            return False
        if "kind!=speech" in rules["enroll"] and (
            rows[member]["kind"] == "speech" or rows[member]["song"] not in ("x", "y")
        ):
            return False
    if rules["test"] and rows[test]["kind"] != "singing":
        return False
    if rules["pitch_gap"]:
        low, high = rules["pitch_gap"]
        gap = abs(np.mean([midi(rows[member]) for member in members]) - midi(rows[test]))
        return bool(low <= round(gap, 6) < high)  # not where the pitch is unknown
    return True


def question(rules, members, test, rows):
    """True for a target, False for a nontarget, None for no trial."""
    if not may(rules, members, test, rows):
        return None
    one, other = rows[members[0]], rows[test]
    if one["singer"] == other["singer"]:
        for name in rules["cross"]:
            for value in (rows[member][name] for member in members):
                if value == other[name] and (value or name != "song"):
                    return None
                if name != "song" and not (value and other[name]):
                    return None
        return True
    of_all = {rows[row]["gender"] for row in (*members, test)}
    if rules["nontargets"] != "all" and of_all & {"", "?"}:
        return None
    genders = {one["gender"], other["gender"]}
    wanted = {"all": len(genders), "same_gender": 1, "cross_gender": 2}[rules["nontargets"]]
    return False if len(genders) == wanted else None


def by_definition(rules, models, rows):
    """All trials by a double loop; of a pair that fits both ways, the one in ascending order."""
    found = {}
    for (i, members), test in itertools.product(enumerate(models), range(len(rows))):
        target = question(rules, members, test, rows)
        if target is not None and not (rules["n_enroll"] == 1 and (test, i) in found):
            found[i, test] = target
    return [(i, test, target) for (i, test), target in sorted(found.items())]


@given(ROWS, RULES, st.integers(0, 3))
def test_draw_trials_equals_double_loop(rows, rules, seed):
    ids = names(len(rows))
    try:
        trials = draw_trials(ids, table(rows), **rules, seed=seed)
    except SingeridError as error:
        message = str(error)
        if "to enroll" in message:
            assert rules["n_enroll"] > 1
            return
        assert message.startswith(("no target trials", "no nontarget trials"))
        if rules["n_enroll"] == 1:
            expected = by_definition(rules, [(i,) for i in range(len(rows))], rows)
            classes = {target for *_, target in expected}
            assert (message.startswith("no target")) == (True not in classes)
            assert classes != {True, False}
        return
    models = trials.models or [(i,) for i in range(len(rows))]
    assert listed(trials) == by_definition(rules, models, rows)
    assert trials.n_possible == len(trials)


@given(ROWS, st.integers(2, 3), st.booleans(), st.integers(0, 3))
def test_models_use_recordings_once_and_as_many_as_can_be(rows, k, within_corpus, seed):
    columns = table(rows)
    try:
        trials = draw_trials(
            names(len(rows)), columns, cross=(), n_enroll=k, within_corpus=within_corpus, seed=seed
        )
    except SingeridError:
        return
    used = [row for members in trials.models for row in members]
    assert len(set(used)) == len(used)
    owners = [(row["singer"], row["corpus"] if within_corpus else "") for row in rows]
    for members in trials.models:
        assert len(members) == k
        assert len({owners[row] for row in members}) == 1
    assert len(trials.models) == sum(owners.count(owner) // k for owner in set(owners) if owner[0])
    assert len(set(trials.model_names)) == len(trials.models)
    np.testing.assert_array_equal(trials.members(), trials.models)
    first = trials.enroll_first
    assert [trials.enroll_rows(i)[0] for i in range(len(trials))] == first.tolist()
    singers = np.array(columns["singer"])
    np.testing.assert_array_equal(singers[first] == singers[trials.test], trials.targets)
    assert trials[0].enroll == trials.model_names[trials.enroll[0]]


def test_models_leave_songs_to_test_with():
    """Of 4 songs with 3 recordings each, drawn at random most models would mix songs."""
    n = 24
    columns = {"singer": ["ab"[i // 12] for i in range(n)], "song": [str(i % 4) for i in range(n)]}
    trials = draw_trials(names(n), columns, n_enroll=3)
    assert all(len({columns["song"][row] for row in rows}) == 1 for rows in trials.models)
    assert trials.targets.sum() == 8 * 9
    assert trials.model_names == ["a-1", "a-2", "a-3", "a-4", "b-1", "b-2", "b-3", "b-4"]
    other = draw_trials(names(n), columns, n_enroll=3, seed=1)
    assert other.models != trials.models


def test_ragged_models_are_filled_up():
    trials = TrialList(
        names(4), np.array([1, 0]), np.array([3, 3]), np.array([True, False]), 2,
        [(2, 0, 1), (3,)], ["m", "n"],
    )  # fmt: skip
    assert trials.members().tolist() == [[2, 0, 1], [3, -1, -1]]
    assert trials.enroll_first.tolist() == [3, 2]
    assert trials.enroll_rows(1).tolist() == [2, 0, 1]
    assert trials[0] == Trial("n", "r3", True)


@given(ROWS, RULES, st.integers(2, 9), st.integers(0, 3))
def test_a_sample_is_a_subset_of_all(rows, rules, limit, seed):
    ids, columns = names(len(rows)), table(rows)
    try:
        everything = draw_trials(ids, columns, **rules, seed=seed)
    except SingeridError:
        return
    some = draw_trials(ids, columns, **rules, seed=seed, max_trials=limit)
    assert set(listed(some)) <= set(listed(everything))
    assert some.models == everything.models
    assert len(some) == min(limit, len(everything)) == len(set(listed(some)))
    assert some.n_possible == len(everything)
    assert listed(draw_trials(ids, columns, **rules, seed=seed, max_trials=limit)) == listed(some)


def test_every_pair_that_a_filter_leaves_is_sampled_equally_often():
    columns = {"singer": list("aaabbbccc"), "f0": ["100", "150", "300"] * 3}
    hits = np.zeros((9, 9))
    for seed in range(800):
        trials = draw_trials(names(9), columns, pitch_gap=(6, 30), max_trials=10, seed=seed)
        hits[trials.enroll, trials.test] += 1
    possible = draw_trials(names(9), columns, pitch_gap=(6, 30))
    classes = [possible.targets, ~possible.targets]
    assert [mask.sum() for mask in classes] == [9, 18]
    for mask in classes:  # 5 of each; deviations of 5 sigma
        share = hits[possible.enroll[mask], possible.test[mask]] / 800
        np.testing.assert_allclose(share, 5 / mask.sum(), atol=0.088)
    assert hits.sum() == 8000


@given(ROWS, st.integers(1, 4), st.booleans(), st.integers(0, 5))
def test_hardest_nontargets_by_a_loop(rows, k, directed, seed):
    """For each recording its most similar ones of other singers of the same gender and corpus."""
    n, columns = len(rows), table(rows)
    vectors = np.random.default_rng(seed).standard_normal((n, 5))
    rules = {"enroll": ("kind=speech",), "test": ("kind=singing",)} if directed else {}
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = unit @ unit.T
    expected = set()
    for i, row in enumerate(rows):
        if directed and row["kind"] != "speech":
            continue
        rivals = [
            j
            for j, other in enumerate(rows)
            if other["singer"] != row["singer"]
            and "" not in (other["singer"], row["singer"])
            and other["corpus"] == row["corpus"]
            and other["gender"].strip("?") == row["gender"].strip("?")
            and not (directed and other["kind"] == "speech")
        ]
        for j in sorted(rivals, key=lambda j: -scores[i, j])[:k]:
            expected.add((i, j) if directed else (min(i, j), max(i, j)))
    try:
        trials = draw_trials(
            names(n), columns, nontargets="hardest", hardest_k=k, vectors=vectors * 3, cross=(),
            **rules,
        )  # fmt: skip
    except SingeridError:
        return
    found = {(a, b) for a, b, target in listed(trials) if not target}
    assert found == expected
    assert len(found) == (~trials.targets).sum()


def test_hardest_in_blocks_and_with_ties(monkeypatch):
    singers = [f"s{i % 7}" for i in range(60)]
    vectors = np.random.default_rng(0).integers(-1, 2, (60, 3)) + 0.5  # many are alike
    arguments = {"nontargets": "hardest", "hardest_k": 4, "vectors": vectors}
    whole = draw_trials(names(60), {"singer": singers}, **arguments)
    monkeypatch.setattr("singerid.trials.hardest._BLOCK", 60)
    in_blocks = draw_trials(names(60), {"singer": singers}, **arguments)
    assert listed(in_blocks) == listed(whole)
    chosen = {(a, b) for a, b, target in listed(whole) if not target}
    per_row = np.bincount([row for pair in chosen for row in pair], minlength=60)
    assert per_row.min() >= 4  # exactly 4 of each row's own choice; others may choose it too


def test_filters_work_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    columns = {
        "singer": [f"s{i % 5}" for i in range(80)],
        "f0": [f"{f:.1f}" for f in 100 * 2 ** rng.random(80)],
    }
    whole = draw_trials(names(80), columns, pitch_gap=(2, 5))
    some = draw_trials(names(80), columns, pitch_gap=(2, 5), max_trials=50)
    monkeypatch.setattr("singerid.trials.pairs._BLOCK", 37)
    assert listed(draw_trials(names(80), columns, pitch_gap=(2, 5))) == listed(whole)
    again = draw_trials(names(80), columns, pitch_gap=(2, 5), max_trials=50)
    assert listed(again) == listed(some)


def test_a_singer_of_two_genders_is_nobodys_nontarget_of_himself():
    columns = {"singer": list("aab"), "gender": list("FMM")}
    trials = draw_trials(names(3), columns, nontargets="cross_gender")
    assert listed(trials) == [(0, 1, True), (0, 2, False)]


def test_hardest_models_are_those_with_the_nearest_mean():
    singers, vectors = list("aabbccaa"), np.eye(8)[:, :4].copy()
    vectors[:] = [[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1],
                  [0, 0, 1, 1], [0, 0, 1, 0], [0, 1, 0, 0]]  # fmt: skip
    trials = draw_trials(
        names(8), {"singer": singers}, n_enroll=2, nontargets="hardest", hardest_k=1,
        vectors=vectors,
    )  # fmt: skip
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for i in np.flatnonzero(~trials.targets):
        mean = unit[trials.enroll_rows(i)].mean(axis=0)
        rivals = [j for j in range(8) if singers[j] != singers[trials.enroll_first[i]]]
        assert unit[trials.test[i]] @ mean == pytest.approx(max(unit[rivals] @ mean))
    assert (~trials.targets).sum() == len(trials.models) == 4


COLUMNS_OF_FOUR = {
    "singer": list("aabb"), "song": list("xyxx"), "gender": list("FFMM"),
    "kind": ["speech", "singing"] * 2, "f0": ["100", "120", "150", "170"],
    "corpus": list("ppqq"), "technique": ["belt", "", "fry", "fry"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cross": ("mood",)}, "cross: no label 'mood'; found corpus, f0, gender, kind, singer"),
        ({"enroll": ("mood=sad",)}, "enroll: no label 'mood'; found corpus, f0, gender, id, kind"),
        ({"test": ("kind",)}, "cannot read the condition; found kind"),
        ({"nontargets": "easy"}, "no such nontargets; found 'easy'; expected all or same_gender"),
        ({"n_enroll": 0}, "n_enroll out of range; found 0; expected at least 1"),
        ({"n_enroll": 3}, "nobody has 3 recordings to enroll; found at most 2; lower n_enroll"),
        ({"pitch_gap": (3, 3)}, "pitch_gap out of range; found .3, 3.; expected least and"),
        ({"nontargets": "hardest"}, "hardest nontargets need a vector for each recording; found n"),
        (
            {"nontargets": "hardest", "vectors": np.eye(3)},
            "need a vector for each recording; found 3; expected 4",
        ),
        (
            {"nontargets": "hardest", "vectors": np.diag([1, 1, 0, 1])},
            "row 2: an embedding has no direction",
        ),
        (
            {"nontargets": "hardest", "vectors": np.diag([1, 1, 1, np.nan])},
            "row 3: an embedding has no direction",
        ),
        (
            {"nontargets": "hardest", "vectors": np.eye(4), "hardest_k": 0},
            "hardest_k out of range; found 0; expected at least 1",
        ),
        ({}, "^no nontarget trials; found within_corpus removes them all; set within_corpus to f"),
        (
            {"within_corpus": False, "nontargets": "same_gender"},
            "^no nontarget trials; found nontargets=same_gender removes them all; take nontargets=",
        ),
        (
            {"cross": ("song", "technique"), "within_corpus": False},
            "^no target trials; found cross=technique removes them all; take technique out of cr",
        ),
        (
            {"enroll": ("kind=humming",)},
            "^no target trials; found enroll=kind=humming removes them all; check the condition",
        ),
        (
            {"pitch_gap": (40, 50)},
            "^no target trials; found pitch_gap=40 to 50 semitones removes them all; widen the gap",
        ),
        ({"n_enroll": 2}, "^no target trials; found n_enroll=2 removes them all; lower n_enroll"),
        (
            {"enroll": ("kind=humming",), "pitch_gap": (40, 50)},
            "^no target trials; found these rules together remove them all; loosen cross, enroll",
        ),
    ],
)
def test_what_is_wrong_is_said(arguments, message):
    with pytest.raises(SingeridError, match=message):
        draw_trials(names(4), COLUMNS_OF_FOUR, **arguments)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "trials: no label 'singer'; found no labels"),
        ({"singer": "abc"}, "column 'singer' has 3 rows; expected 4"),
        ({"singer": "aabb", "song": "xx"}, "column 'song' has 2 rows; expected 4"),
        ({"singer": "abcd"}, "^no target trials; expected a singer with two recordings$"),
        ({"singer": "aaaa"}, "^no nontarget trials; expected recordings of at least two singers$"),
    ],
)
def test_bad_labels(columns, message):
    with pytest.raises(SingeridError, match=message):
        draw_trials(names(4), columns)


@pytest.mark.parametrize("text", ["low", "0", "-100", "nan", "inf"])
def test_f0_must_be_a_frequency(text):
    columns = {"singer": list("aabb"), "f0": ["100", text, "", "150"]}
    with pytest.raises(SingeridError, match=f"row 1: label 'f0' is not a frequency; found '{text}"):
        draw_trials(names(4), columns, pitch_gap=(0, 9))


def test_a_gap_of_an_octave_is_twelve_semitones():
    columns = {"singer": list("aab") * 4, "f0": ["110", "220", "440"] * 4}
    octaves = draw_trials(names(12), columns, pitch_gap=(12, 24))
    pitch = np.log2(np.array(columns["f0"], float))
    gap = np.abs(pitch[octaves.enroll] - pitch[octaves.test])
    np.testing.assert_allclose(gap, 1)


def test_the_pitch_of_a_model_is_the_mean_of_its_members_in_semitones():
    columns = {"singer": list("aaabb"), "f0": ["100", "400", "200", "200", "200"]}
    one = ("id=r0,r1,r3,r4",)
    trials = draw_trials(
        names(5), columns, cross=(), n_enroll=2, enroll=one, pitch_gap=(0, 1)
    )  # fmt: skip
    assert trials.models == [(0, 1), (3, 4)]
    assert listed(trials) == [(0, 2, True), (0, 3, False), (0, 4, False), (1, 2, False)]
