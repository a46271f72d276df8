"""Lists on disk, there and back, in each format; what is wrong with a list is said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid.errors import SingeridError
from singerid.records import Trial
from singerid.trials import TrialList, all_pairs, draw_trials
from singerid.trials.files import FORMATS, read_scores, read_trials, write_scores, write_trials
from singerid.trials.models import read_models, write_models

IDS = st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=5, unique=True)


def listed(trials):
    return [trials[i] for i in range(len(trials))]


def make(pairs, targets, ids="abcd", **models):
    enroll, test = np.array(pairs, np.int64).reshape(-1, 2).T
    return TrialList(list(ids), enroll, test, np.array(targets, bool), len(targets), **models)


@given(IDS, st.sampled_from(FORMATS), st.booleans())
def test_any_id_survives_the_file(tmp_path_factory, ids, format, detected):
    path = tmp_path_factory.mktemp("trials") / "trials.txt"
    trials = all_pairs(ids, ["a", "a", *"bcd"][: len(ids)])
    if format == "speaker_pairs" and any(not c.isprintable() or c == "," for c in "".join(ids)):
        ids = [f"{i} {ord(name[0]):x}%2f" for i, name in enumerate(ids)]
        trials = all_pairs(ids, ["a", "a", *"bcd"][: len(ids)])
    write_trials(path, trials, format)
    back = read_trials(path, ids, "auto" if detected and format != "speaker_pairs" else format)
    assert listed(back) == listed(trials)
    np.testing.assert_array_equal(back.enroll, trials.enroll)
    assert set(read_trials(path, format=format).ids) == set(ids)


@pytest.mark.parametrize("format", FORMATS)
def test_blocks_and_formats_agree(tmp_path, monkeypatch, format):
    monkeypatch.setattr("singerid.trials.files._BLOCK", 3)
    monkeypatch.setattr("singerid.trials.words._BLOCK", 5)
    ids = [f"s{i % 4}/take {i}.wav" for i in range(12)]
    trials = all_pairs(ids, [id[:2] for id in ids])
    write_trials(tmp_path / "t", trials, format)
    back = read_trials(tmp_path / "t", ids)
    assert listed(back) == listed(trials)
    assert read_trials(tmp_path / "t").ids[:3] == [trials[0].enroll, trials[0].test, trials[1].test]
    scores = np.random.default_rng(0).standard_normal(len(trials)).round(6)
    write_scores(tmp_path / "s", trials, scores)
    np.testing.assert_array_equal(read_scores(tmp_path / "s", trials), scores)


def test_format(tmp_path):
    ids = ["a/1.wav", "李 明\n100%", "b\udcff\u2028"]
    trials = make([[0, 1], [1, 2]], [True, False], ids)
    write_trials(tmp_path / "trials.txt", trials)
    lines = ["1 a/1.wav 李%20明%0A100%25", "0 李%20明%0A100%25 b%ED%B3%BF%E2%80%A8", ""]
    assert (tmp_path / "trials.txt").read_text("utf-8").split("\n") == lines
    assert read_trials(tmp_path / "trials.txt").ids == ids
    write_trials(tmp_path / "trials", trials, "kaldi")
    lines = [
        "a/1.wav 李%20明%0A100%25 target", "李%20明%0A100%25 b%ED%B3%BF%E2%80%A8 nontarget", "",
    ]  # fmt: skip
    assert (tmp_path / "trials").read_text("utf-8").split("\n") == lines
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
        b"\xef\xbb\xbf1 id10270/5r0dWxy17C8/00001.wav id10270/5r0dWxy17C8/00003.wav\r\n\r\n"
        b"0 id10270/5r0dWxy17C8/00001.wav id10300/ize_eiCFEg0/00003.wav\r\n"
    )
    trials = read_trials(path)
    first = "id10270/5r0dWxy17C8/00001.wav"
    assert listed(trials) == [
        Trial(first, "id10270/5r0dWxy17C8/00003.wav", True),
        Trial(first, "id10300/ize_eiCFEg0/00003.wav", False),
    ]


def test_reads_trials_of_kaldi(tmp_path):
    (tmp_path / "trials").write_text(
        "id10270-5r0dWxy17C8-00001\tid10270-5r0dWxy17C8-00003 target\n"
        "id10270-5r0dWxy17C8-00001 id10300-ize_eiCFEg0-00003 nontarget"
    )
    trials = read_trials(tmp_path / "trials")
    assert trials.targets.tolist() == [True, False]
    assert trials.ids[2] == "id10300-ize_eiCFEg0-00003"


def test_reads_pairs_of_ssl_singer_identity(tmp_path):
    """Paths relative to the corpus, as they are: nothing is percent-encoded."""
    path = tmp_path / "speaker_pairs.txt"
    path.write_text(
        "1,Alto-7/Alto-7#越来越不懂-0005_0_4_4s.wav,Alto-7/Alto-7#体面-0005_0_4_4s.wav\n"
        "0,female8/f8 100%25.wav,female5/f5_scales_vibrato_i_0_4_4s.wav\n",
        encoding="utf-8",
    )
    trials = read_trials(path)
    assert trials.targets.tolist() == [True, False]
    assert trials[1].enroll == "female8/f8 100%25.wav"
    write_trials(tmp_path / "again.txt", trials, "speaker_pairs")
    assert (tmp_path / "again.txt").read_bytes() == path.read_bytes()


def test_models_there_and_back(tmp_path):
    ids = [f"take {i}" for i in range(12)]
    trials = draw_trials(ids, {"singer": ["a b"] * 6 + ["c"] * 6}, n_enroll=2)
    write_trials(tmp_path / "trials", trials, "kaldi")
    write_models(tmp_path / "models", trials)
    write_scores(tmp_path / "scores", trials, np.arange(len(trials)))
    assert (tmp_path / "models").read_text().split("\n")[0].startswith("a%20b-1 take%20")
    models = read_models(tmp_path / "models")
    assert list(models) == trials.model_names
    back = read_trials(tmp_path / "trials", ids, models=models)
    assert listed(back) == listed(trials)
    assert back.models == trials.models
    np.testing.assert_array_equal(read_scores(tmp_path / "scores", back), np.arange(len(trials)))
    unseen = read_trials(tmp_path / "trials", models=models)
    assert listed(unseen) == listed(trials)
    assert [unseen.ids[row] for row in unseen.models[0]] == models["a b-1"]
    with pytest.raises(SingeridError, match=r"trials name 6 recordings that nobody gave.*, …;"):
        read_trials(tmp_path / "trials", ids)
    with pytest.raises(
        SingeridError, match=r"models name 12 recordings that nobody gave; found 'take \d+' \(model"
    ):
        read_trials(tmp_path / "trials", ["x"], models=models)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "1 x x\n1 m y\n",
            r"name a model that nobody gave; found 'x' \(line 1\); give the list of",
        ),
        ("1 m a\n0 n a\n0 k a\n", r"name 2 models .* found 'n' \(line 2\), 'k' \(line 3\); give"),
        ("1 m a\n0 m m\n", r"name a recording .* found 'm' \(line 2\); give the manifest or emb"),
    ],
)
def test_unknown_models_are_no_recordings(tmp_path, text, message):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(SingeridError, match=message):
        read_trials(tmp_path / "t.txt", ["a", "b"], models={"m": ["a", "b"]})


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("1 x target\n0 y b\n", "voxceleb"),
        ("1 x target\n\n1 y nontarget\nb y target\n", "kaldi"),
        ("1,x y,z target\n0,x,y\n", "speaker_pairs"),
        ("1,x y,z target\nx y nontarget\n", "kaldi"),
        ("0 x target\n", "voxceleb"),
    ],
)
def test_a_line_of_two_formats_is_told_by_the_next(tmp_path, text, format):
    (tmp_path / "t.txt").write_text(text)
    assert listed(read_trials(tmp_path / "t.txt")) == listed(
        read_trials(tmp_path / "t.txt", format=format)
    )


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1), st.randoms())
def test_scores_in_any_order(tmp_path_factory, pairs, random):
    """A pair that comes twice has its scores in the order of its lines."""
    path = tmp_path_factory.mktemp("scores") / "s"
    trials = make(pairs, [True] * len(pairs))
    lines = [("abcd"[a], "abcd"[b], i) for i, (a, b) in enumerate(pairs)]
    random.shuffle(lines)
    path.write_text("".join(f"{a}  {b}\t{score}e-1\n\n" for a, b, score in lines))
    expected = {}
    for a, b, score in lines:
        expected.setdefault((a, b), []).append(score / 10)
    wanted = [expected["abcd"[a], "abcd"[b]].pop(0) for a, b in pairs]
    np.testing.assert_allclose(read_scores(path, trials), wanted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 a b\n1 a\n", "t.txt:2: line is not a trial; found 1 a; expected '1 enroll test'"),
        ("\n2 a b\n", "t.txt:2: line is not a trial; found 2 a b"),
        ("1 a b c\n", "t.txt:1: line is not a trial; found 1 a b c"),
        ("1 a b\n\n2 a b\n", "t.txt:3: line is not a trial; found 2 a b"),
        ("1 a b\na b target\n", "t.txt:2: line is not a trial; found a b target"),
        ("1,a,b\n1,a,b,c\n", "t.txt:2: line is not a trial; found 1,a,b,c"),
        ("a b target\na b maybe\n", "t.txt:2: line is not a trial; found a b maybe"),
        ("a b 0.5\n", "t.txt:1: line is not a trial; found a b 0.5"),
        (
            "1 a c\n",
            r"t.txt: the trials name a recording that nobody gave; found 'c' \(line 1\); give the",
        ),
        (
            "1 a b\n\n1 x%20y c\n0 c d\n0 b e\n",
            r"name 4 recordings .*found 'x y' \(line 3\), 'c' \(line 3\), 'd' \(line 4\), …; give",
        ),
        # one name in two spellings; two strangers on a line, in their order
        ("1 a b\n0 a %41\n0 A b\n", r"name a recording that nobody gave; found 'A' \(line 2\); g"),
        ("1 z y\n", r"name 2 recordings that nobody gave; found 'z' \(line 1\), 'y' \(line 1\); g"),
        ("1 x target\n1 x y z\n", "t.txt:2: line is not a trial; found 1 x y z"),
        ("1,a,\n", r"name a recording that nobody gave; found '' \(line 1\)"),
        ("1 a b\n\n1 a %FF\n", "t.txt:3: id is not percent-encoded UTF-8; found %FF"),
        ("\n\n", "t.txt: the file lists no trials"),
    ],
)
def test_bad_lists(tmp_path, text, message):
    path = tmp_path / "t.txt"
    path.write_text(text)
    with pytest.raises(SingeridError, match=message):
        read_trials(path, ["a", "b"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b 1\n", "1 trials have no score; found 'b' with 'c'; expected one score for each of 2"),
        ("a b 1\nb c 2\nc a 3\n", "s: 1 scored pairs are no trials; found 'c' with 'a'"),
        ("a b 1\nb c 2\nb c 2\n", "s: 1 trials have more than one score; found 'b' with 'c'"),
        ("a b 1\nb c nan\n", "s:2: score is not a finite number; found nan"),
        ("a b 1\n\nb c inf\n", "s:3: score is not a finite number; found inf"),
        ("a b 1\nb c high\n", "s:2: score is not a finite number; found high"),
        ("a b 1\nb c\n", "s:2: line is not a score; found b c; expected 'enroll test score'"),
        ("a b 1\nb x 2\n", r"scores name a recording that nobody gave; found 'x' \(line 2\)"),
        ("", "s: 2 trials have no score; found 'a' with 'b'"),
    ],
)
def test_bad_scores(tmp_path, text, message):
    (tmp_path / "s").write_text(text)
    with pytest.raises(SingeridError, match=message):
        read_scores(tmp_path / "s", make([[0, 1], [1, 2]], [True, False]))


def test_bad_files(tmp_path):
    path = tmp_path / "t.txt"
    with pytest.raises(SingeridError, match=r"none: cannot read trials; found .*No such file"):
        read_trials(tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"1 \xe9 b\n")
    for format in ("auto", "voxceleb"):
        with pytest.raises(SingeridError, match="latin: cannot read trials; found 'utf-8' codec"):
            read_trials(tmp_path / "latin", format=format)
    trials = all_pairs(["", "b"], "ab")
    with pytest.raises(SingeridError, match="row 0: a recording has no id"):
        write_trials(path, trials)
    with pytest.raises(SingeridError, match="3 scores do not fit 1 trials"):
        write_scores(path, trials, np.zeros(3))
    with pytest.raises(SingeridError, match="trial 0: a score is not finite; found nan"):
        write_scores(path, trials, np.array([np.nan]))
    with pytest.raises(
        SingeridError, match=r"t.txt: no such format of trials; found 'csv'; expect"
    ):
        write_trials(path, trials, "csv")
    with pytest.raises(SingeridError, match="row 1: id cannot stand between commas; found 'b,c'"):
        write_trials(path, all_pairs(["a", "b,c"], "ab"), "speaker_pairs")
    assert not path.exists()
    path.write_text("1 a b\n")
    with pytest.raises(SingeridError, match="two recordings have one id; found 'a'"):
        read_trials(path, ["a", "b", "a"])
