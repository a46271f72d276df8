"""Manifest: files measured, double ones left out, singers divided, records selected."""

import dataclasses
import hashlib
from collections import Counter, defaultdict

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from singerid import corpora, manifest
from singerid.errors import ManifestError
from singerid.manifest import Scan, Source, build, draw_splits, select
from singerid.records import Recording
from singerid.sections import ManifestSettings

RATE = 8000


def sound(path, seed, seconds=0.5):
    """A file of its own noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (int(seconds * RATE), 2))
    soundfile.write(path, samples, RATE)
    return path


def sources(tmp_path, *names, split=None):
    """Sources `singer/song`, each a file of its own."""
    return [
        Source(sound(tmp_path / f"{name}.wav", i), name, name.split("/")[0], split)
        for i, name in enumerate(names)
    ]


def test_recordings_are_measured(tmp_path):
    path = sound(tmp_path / "a b.wav", 1, 0.75)
    scan = Scan([Source(path, "x", "ann", "valid", "right", {"song": "one"})])
    (recording,) = build(scan, ManifestSettings()).recordings
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert recording == Recording(
        "x", "ann", str(path), 0.75, RATE, 2, "right", "valid", digest, {"song": "one"}
    )


def test_paths_are_absolute(tmp_path, monkeypatch):
    sound(tmp_path / "a.wav", 1)
    monkeypatch.chdir(tmp_path)
    (recording,) = build(Scan([Source(tmp_path.__class__("a.wav"), "x", "ann")]),
                         ManifestSettings()).recordings  # fmt: skip
    assert recording.path == str(tmp_path / "a.wav")


def test_result_does_not_depend_on_order_or_threads(tmp_path):
    made = sources(tmp_path, *[f"{singer}/{song}" for singer in "abcdef" for song in "12"])
    made.append(Source(tmp_path / "missing.wav", "missing", "a"))
    results = []
    for order, threads in ((1, 1), (-1, 4), (1, 8)):
        steps = []
        results.append(build(Scan(made[::order]), ManifestSettings(), threads, steps.append))
        assert steps == [1] * len(made)
    assert results[0].recordings == results[1].recordings == results[2].recordings
    assert [r.id for r in results[0].recordings] == sorted(s.id for s in made[:-1])
    assert {tuple(map(str, r.problems)) for r in results} == {
        (f"{tmp_path}/missing.wav: cannot be opened; found No such file or directory",)
    }


def test_broken_files_are_problems_and_the_rest_goes_on(tmp_path):
    made = sources(tmp_path, "a/1", "b/1", "c/1")
    made[1].path.write_text("no sound")
    made[2].path.write_bytes(b"")
    result = build(Scan(made, [ManifestError("earlier")]), ManifestSettings())
    assert [r.id for r in result.recordings] == ["a/1"]
    assert [str(p)[:60] for p in result.problems] == [
        "earlier",
        f"{made[1].path}: is not audio that libsndfile"[:60],
        f"{made[2].path}: is empty (0 bytes); copy or"[:60],
    ]


def test_the_second_file_of_an_id_is_left_out(tmp_path):
    made = sources(tmp_path, "a/1", "b/1")
    made.append(dataclasses.replace(made[1], id="a/1"))
    result = build(Scan(made), ManifestSettings())
    assert [r.id for r in result.recordings] == ["a/1", "b/1"]
    assert [str(problem) for problem in result.problems] == [
        f"{made[1].path}: id 'a/1' is taken, the file was left out; found also {made[0].path}; "
        "rename one of the files"
    ]


def test_identical_files_of_one_singer_are_kept_once(tmp_path):
    made = sources(tmp_path, "a/1", "a/2", "a/3", "b/1")
    for source in made[1:3]:
        source.path.write_bytes(made[0].path.read_bytes())
    result = build(Scan(made), ManifestSettings())
    assert [r.id for r in result.recordings] == ["a/1", "b/1"]
    assert result.problems == []
    assert result.warnings == [
        f"{made[i].path}: same bytes as {made[0].path}; left out" for i in (1, 2)
    ]


def test_identical_files_of_two_singers_are_all_left_out(tmp_path):
    made = sources(tmp_path, "a/1", "b/2", "b/3", "c/4")
    for source in made[1:3]:
        source.path.write_bytes(made[0].path.read_bytes())
    result = build(Scan(made), ManifestSettings())
    assert [r.id for r in result.recordings] == ["c/4"]
    (problem,) = map(str, result.problems)
    assert problem.startswith(
        f"{made[0].path}: identical files under different singers were all left out; "
        f"found b ({made[1].path}), b ({made[2].path}); expected one singer for one recording"
    )
    assert result.warnings == []


def test_two_singers_may_share_a_file_in_its_two_channels(tmp_path):
    path = sound(tmp_path / "duet.wav", 1)
    pair = [Source(path, "l", "ann", None, "left"), Source(path, "r", "bob", None, "right")]
    result = build(Scan(pair), ManifestSettings())
    assert [(r.singer, r.channel) for r in result.recordings] == [("ann", "left"), ("bob", "right")]
    assert result.problems == []


def test_a_singer_in_two_splits_is_left_out(tmp_path):
    made = sources(tmp_path / "train", "ann/1", "bob/1", split="train")
    made += [dataclasses.replace(s, id="v" + s.id, split="valid")
             for s in sources(tmp_path / "valid", "cec/7", "ann/8")]  # fmt: skip
    made[2] = dataclasses.replace(made[2], path=sound(made[2].path, 77))
    made[3] = dataclasses.replace(made[3], path=sound(made[3].path, 78))
    result = build(Scan(made), ManifestSettings())
    assert {(r.singer, r.split) for r in result.recordings} == {("bob", "train"), ("cec", "valid")}
    (problem,) = map(str, result.problems)
    assert problem.startswith(
        f"ann: singer is in more than one split and was left out; found train ({tmp_path}/train/ann"
        f") and valid ({tmp_path}/valid/ann); expected splits that are disjoint in singers"
    )
    drawn = build(Scan(made), ManifestSettings(splits="draw"))  # the given splits do not count
    assert {r.singer for r in drawn.recordings} == {"ann", "bob", "cec"}
    assert drawn.problems == []


def test_given_splits_are_kept_or_asked_for(tmp_path):
    made = sources(tmp_path, "a/1", "b/1", split="test")
    for splits in ("auto", "given"):
        result = build(Scan(made), ManifestSettings(splits=splits))
        assert {r.split for r in result.recordings} == {"test"}
        assert result.warnings == []
    made[1] = dataclasses.replace(made[1], split=None)
    with pytest.raises(ManifestError, match=r"does not say the split of every rec.*splits draw"):
        build(Scan(made), ManifestSettings(splits="given"))


def test_splits_that_only_some_recordings_have_are_drawn_with_a_warning(tmp_path):
    made = sources(tmp_path, "a/1", "b/1", "c/1", "d/1", split="test")
    made[3] = dataclasses.replace(made[3], split=None)
    result = build(Scan(made), ManifestSettings())
    assert Counter(r.split for r in result.recordings) == {"train": 2, "valid": 2}
    assert result.warnings == ["1 of 4 recordings have no split: all splits are drawn anew"]


def test_summary(tmp_path):
    made = sources(tmp_path, *"abcde")
    result = build(Scan(made), ManifestSettings())
    assert result.summary() == (
        "train: 3 singers, 3 recordings, 0.00 h · valid: 2 singers, 2 recordings, 0.00 h"
    )
    assert manifest.Manifest().summary() == "nothing"


def test_the_virtual_corpus(corpus_csv):
    result = build(corpora.scan("csv", corpus_csv), ManifestSettings())
    assert Counter(r.split for r in result.recordings) == {"train": 4, "valid": 4, "test": 4}
    assert all(r.labels["gender"] in "FM" for r in result.recordings)


# ------------------------------------------------------------------------------------------ splits


def some(genders, songs=1):
    """Recordings of singers of these genders."""
    return [
        Recording(f"{i}/{j}", f"s{i}", "x", 1, 8000, labels={"gender": g} if g else {})
        for i, g in enumerate(genders)
        for j in range(songs)
    ]


def singers_by_split(recordings):
    result = defaultdict(set)
    for recording in recordings:
        result[recording.split].add(recording.singer)
    return result


shares = st.tuples(st.floats(0, 0.98), st.floats(0, 0.98)).filter(lambda s: sum(s) < 0.99)


@given(st.lists(st.sampled_from(["F", "M", ""]), min_size=1, max_size=40), shares,
       st.integers(0, 99))  # fmt: skip
def test_drawn_splits(genders, shares, seed):
    settings = ManifestSettings(valid_share=shares[0], test_share=shares[1], seed=seed)
    given_recordings = some(genders, 2)
    drawn = draw_splits(given_recordings, settings)
    assert [dataclasses.replace(r, split="train") for r in drawn] == given_recordings
    assert draw_splits(given_recordings, settings) == drawn
    splits = singers_by_split(drawn)
    assert not splits["train"] & splits["valid"]
    assert not splits["train"] & splits["test"]
    assert not splits["valid"] & splits["test"]
    n = len(genders)
    sizes = {name: len(splits[name]) for name in ("train", "valid", "test")}
    assert sizes["train"] >= min(2, n)
    wants_valid, wants_test = shares[0] > 0, shares[1] > 0
    if wants_valid:
        assert sizes["valid"] >= 2 or n < 4
        assert sizes["valid"] <= max(2, round(n * shares[0]))
    else:
        assert sizes["valid"] == 0
    if wants_test:
        assert sizes["test"] >= 2 or n < (6 if wants_valid else 4)
        assert sizes["test"] <= max(2, round(n * shares[1]))
    else:
        assert sizes["test"] == 0
    assert 1 not in (sizes["valid"], sizes["test"])


@given(st.integers(2, 15), st.floats(0.1, 0.5), st.integers(0, 99))
def test_both_genders_are_spread_evenly(n_pairs, share, seed):
    drawn = draw_splits(some(["F", "M"] * n_pairs), ManifestSettings(valid_share=share, seed=seed))
    gender = {r.singer: r.labels["gender"] for r in drawn}
    counts = Counter(gender[singer] for singer in singers_by_split(drawn)["valid"])
    assert abs(counts["F"] - counts["M"]) <= 1


def test_the_seed_decides():
    recordings = some(["F", "M"] * 10)
    draws = {
        tuple(r.split for r in draw_splits(recordings, ManifestSettings(seed=seed)))
        for seed in range(20)
    }
    assert len(draws) > 10


def test_every_singer_has_the_same_chance():
    recordings = some(["F"] * 3 + ["M"] * 9)
    times = Counter()
    for seed in range(600):
        drawn = draw_splits(recordings, ManifestSettings(valid_share=0.25, seed=seed))
        times.update(singers_by_split(drawn)["valid"])
    # 3 of 12: each singer in a quarter of 600 draws, ± 5 standard deviations of 10.6.
    assert all(abs(times[f"s{i}"] - 150) < 53 for i in range(12))


# ---------------------------------------------------------------------------------------- selection

CHOICE = [
    Recording("a", "ann", "x", 1, 8000, split="train", labels={"gender": "F", "song": "1"}),
    Recording("b", "bob", "x", 1, 8000, split="valid", labels={"gender": "M"}),
    Recording("c", "cec", "x", 1, 8000, split="test", labels={"gender": "F"}),
]


@pytest.mark.parametrize(
    ("conditions", "ids"),
    [
        ([], "abc"),
        (["gender=F"], "ac"),
        (["gender!=F"], "b"),
        (["singer=ann,bob"], "ab"),
        (["split!=train", "gender=F"], "c"),
        (["id=b"], "b"),
        (["song="], "bc"),
        (["song!="], "a"),
    ],
)
def test_selection(conditions, ids):
    assert [r.id for r in select(CHOICE, conditions)] == list(ids)
    assert [r.id for r in select(iter(CHOICE), conditions)] == list(ids)


def test_selection_that_cannot_be():
    with pytest.raises(
        ManifestError, match="--select: nothing has a label 'sex'; expected gender o"
    ):
        select(CHOICE, ["sex=F"])
    with pytest.raises(ManifestError, match="--select: cannot read the condition; found gender"):
        select(CHOICE, ["gender"])
    with pytest.raises(ManifestError, match="--select: no recording fits; found gender=X id=a"):
        select(CHOICE, ["gender=X", "id=a"])


def test_the_channel_can_be_set_for_all(tmp_path):
    made = sources(tmp_path, "a/1", "b/1")
    made[0] = dataclasses.replace(made[0], channel="right")
    for channel, expected in (("corpus", ["right", "mix"]), ("left", ["left", "left"])):
        result = build(Scan(made), ManifestSettings(channel=channel))
        assert [r.channel for r in result.recordings] == expected
