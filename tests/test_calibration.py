"""Calibration: lines by duration, thresholds, what cannot be measured, and the file."""

import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from singerid.embeddings import normalize
from singerid.errors import CheckpointError, ConfigError, MismatchError, SingeridError
from singerid.metrics.likelihood import cllr
from singerid.scoring.calibration import Calibration, Line
from singerid.scoring.calibration_file import (
    from_bytes,
    read_calibration,
    to_bytes,
    write_calibration,
)
from singerid.scoring.calibration_fit import MIN_ERRORS, fit_calibration
from singerid.scoring.logistic import fit_line, trial_weights
from singerid.scoring.scorer import Scorer, fit_scorer

THRESHOLDS = ((0.1, 0.4), (0.01, None))


def trials(n_singers=30, n_each=12, seed=0, mean=2.0):
    """Scores, targets, singers of both sides: Gaussian, their ratio mean · score - mean² / 2."""
    rng = np.random.default_rng(seed)
    singers = np.array([f"s{i // n_each:03}" for i in range(n_singers * n_each)])
    enroll, test = np.triu_indices(len(singers), 1)
    targets = singers[enroll] == singers[test]
    scores = rng.normal(size=len(targets)) + mean * targets
    return scores, targets, list(singers[enroll]), list(singers[test])


@pytest.fixture(scope="module")
def fitted():
    return fit_calibration(*trials(), encoder="abc", false_alarms=(0.5, 0.1, 0.01, 0.0001))


def test_ratios_of_gaussian_scores(fitted):
    line = fitted.overall
    assert 1.5 < line.scale < 1.9  # not 2: only 30 singers vouch for it
    assert fitted.llr(1.0) == pytest.approx(0, abs=0.15)
    assert (line.n_targets, line.n_nontargets, line.n_singers) == (1980, 62640, 30)
    scores, targets, *_ = trials(seed=5)
    assert cllr(fitted.llr(scores), targets) == pytest.approx(
        cllr(2 * scores - 2, targets), abs=0.02
    )
    assert line.held_out_cllr == pytest.approx(cllr(2 * scores - 2, targets), abs=0.03)


def test_thresholds_keep_their_rates_or_are_none(fitted):
    scores, targets, *_ = trials()
    alarms = scores[~targets]
    for rate in (0.5, 0.1, 0.01):
        threshold = fitted.threshold(rate)
        assert rate - 2 / len(alarms) < np.mean(alarms >= threshold) <= rate
    assert fitted.threshold(0.0001) is None  # 6 of 62,640 would be too few
    assert "too few nontarget trials for a threshold at 0.01 % false alarms" in fitted.notes()
    with pytest.raises(ConfigError, match=r"no threshold.*found 0\.2; expected 0\.5 or 0\.1 or"):
        fitted.threshold(0.2)


def test_a_rate_is_measured_from_thirty_errors_on():
    scores, targets, a, b = trials(30, 2)  # 30 targets, 1740 nontargets
    n = int((~targets).sum())
    rates = (MIN_ERRORS / n * 1.0001, MIN_ERRORS / n * 0.9999)
    found = fit_calibration(scores, targets, a, b, encoder="x", false_alarms=rates)
    assert found.threshold(rates[0]) is not None
    assert found.threshold(rates[1]) is None


def test_ties_are_rejected_together():
    scores, targets, a, b = trials(10, 8)
    coarse = np.round(scores)
    found = fit_calibration(coarse, targets, a, b, encoder="x", false_alarms=(0.1, 0.01))
    threshold = found.threshold(0.1)
    assert np.mean(coarse[~targets] >= threshold) <= 0.1
    assert threshold % 1 == 0.5  # halfway between two scores
    constant = np.where(targets, coarse, 0)
    assert fit_calibration(constant, targets, a, b, encoder="x").threshold(0.1) is None


def test_each_singer_counts_alike():
    """A singer with a hundred times the trials does not decide."""
    scores, targets, a, b = trials(10, 6)
    own = [i for i in range(len(targets)) if a[i] == b[i] == "s000"]
    more = np.r_[np.arange(len(targets)), np.repeat(own, 100)]
    doubled = [np.asarray(column)[more] for column in (scores, targets, a, b)]
    one = fit_calibration(scores, targets, a, b, encoder="x").overall
    other = fit_calibration(*doubled, encoder="x").overall
    assert other.scale == pytest.approx(one.scale, rel=1e-6)
    assert other.n_targets > 5 * one.n_targets


def test_durations_have_lines_of_their_own():
    scores, targets, a, b = trials(20, 12)
    rng = np.random.default_rng(1)
    seconds = rng.choice(
        [0.0, 2.0, 5.0, 6.0, 20.0], size=len(scores), p=[0.1, 0.3, 0.3, 0.299, 0.001]
    )
    noisy = np.where(seconds < 3, scores + rng.normal(0, 3, len(scores)), scores)
    found = fit_calibration(noisy, targets, a, b, encoder="x", seconds=seconds)
    short, middle, longer, longest = found.classes
    assert found.class_names() == ["0-3 s", "3-6 s", "6-12 s", "12 s and longer"]
    assert short.scale < 0.3 * middle.scale
    assert middle.scale == pytest.approx(longer.scale, rel=0.15)
    assert longest.borrowed
    assert not any(line.borrowed for line in (short, middle, longer))
    assert (longest.scale, longest.thresholds) == (found.overall.scale, found.overall.thresholds)
    assert longest.n_nontargets == np.count_nonzero(~targets & (seconds == 20))
    assert any("12 s and longer: fitted on all durations" in note for note in found.notes())
    lines = [found.overall, short, middle, longer, longest]
    at = [0, 2.9, 3, 6, 12]  # a class begins at its edge
    np.testing.assert_allclose(
        found.llr(np.ones(5), at), [line.scale + line.offset for line in lines]
    )
    assert [found.line(s) for s in at] == lines
    assert found.threshold(0.1, 2) == dict(short.thresholds)[0.1]
    assert found.llr(np.ones((2, 5)), at).shape == (2, 5)
    own = trials(20, 12)
    of_short = seconds == 2
    alone = fit_calibration(
        noisy[of_short], targets[of_short], np.array(own[2])[of_short], np.array(own[3])[of_short],
        encoder="x",
    )  # fmt: skip
    assert short == alone.overall


def test_a_class_of_few_singers_or_reversed_scores_borrows():
    scores, targets, a, b = trials(20, 12)
    few = np.array([x < "s004" and y < "s004" for x, y in zip(a, b, strict=True)])
    found = fit_calibration(
        scores, targets, a, b, encoder="x", seconds=np.where(few, 1.0, 9.0), edges=[3]
    )
    assert [line.borrowed for line in found.classes] == [True, False]
    assert (found.classes[0].n_targets, found.classes[0].n_singers) == (264, 4)
    short = np.arange(len(scores)) % 4 == 0
    seconds, turned = np.where(short, 1.0, 9.0), np.where(short, -scores, scores)
    found = fit_calibration(turned, targets, a, b, encoder="x", seconds=seconds, edges=[3])
    assert [line.borrowed for line in found.classes] == [True, False]


def test_separable_scores_stay_finite():
    _, targets, a, b = trials(6, 4)
    found = fit_calibration(targets * 1.0, targets, a, b, encoder="x")
    assert found.llr(1.0) == pytest.approx(np.log(7))  # as six singers without an exception allow
    assert found.llr(0.0) == pytest.approx(-np.log(7))


def test_the_held_out_check_knows_neither_singer():
    scores, targets, a, b = trials(7, 4, mean=1)
    a, b = (np.array([int(name[1:]) for name in column]) for column in (a, b))
    llrs = np.empty(len(scores))
    for row in range(len(scores)):
        out = (a[row], b[row])
        rest = ~np.isin(a, out) & ~np.isin(b, out)
        weights = trial_weights(targets[rest], a[rest], b[rest])
        scale, offset = fit_line(scores[rest], targets[rest], weights, 7 - len(set(out)))
        llrs[row] = scale * scores[row] + offset
    found = fit_calibration(scores, targets, list(map(str, a)), list(map(str, b)), encoder="x")
    assert found.overall.held_out_cllr == pytest.approx(cllr(llrs, targets), abs=1e-9)


def test_few_singers():
    scores, targets, a, b = trials(2, 10)
    found = fit_calibration(scores, targets, a, b, encoder="x")
    assert found.overall.held_out_cllr is None
    assert "only 2 singers: do not trust the calibration" in found.notes()


def test_probabilities():
    assert Calibration.probability(0.0) == 0.5
    assert Calibration.probability(0.0, 0.01) == pytest.approx(0.01)
    assert Calibration.probability(np.log(99), 0.01) == pytest.approx(0.5)
    assert (Calibration.probability([-1e4, 1e4], 0.3) == [0, 1]).all()
    for prior in (0, 1, np.nan):
        with pytest.raises(ConfigError, match="prior out of range"):
            Calibration.probability(0.0, prior)


def test_chance_is_noted():
    scores, targets, a, b = trials(12, 4, mean=0.05, seed=3)
    found = fit_calibration(scores, targets, a, b, encoder="x")
    assert found.overall.held_out_cllr == pytest.approx(1, abs=0.05)
    worse = dataclasses.replace(found.overall, held_out_cllr=1.2)
    notes = Calibration("x", Scorer(), worse, (), (worse,)).notes()
    assert any("worse than none" in note for note in notes)


def test_another_encoder_is_refused(fitted):
    fitted.check("abc")
    with pytest.raises(MismatchError, match=r"t\.parquet: .*calibration of abc, vectors of xyz"):
        fitted.check("xyz", where="t.parquet")


def case(**changes):
    scores, targets, a, b = trials(6, 4)
    return {
        "scores": scores, "targets": targets, "enroll_singers": a, "test_singers": b,
        "encoder": "x", **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"scores": -case()["scores"]}, SingeridError, "targets score no higher than nontargets"),
        ({"scores": np.full(276, 0.3)}, SingeridError, r"all scores are equal; found 0\.3"),
        ({"scores": np.full(276, np.nan)}, SingeridError, "trial 0: a score is not finite"),
        ({"targets": np.zeros(276, bool)}, SingeridError, "found 0 targets and 276 nontargets"),
        ({"test_singers": ["a"]}, SingeridError, "test_singers has 1 rows; expected 276"),
        ({"seconds": [1.0]}, SingeridError, r"durations do not fit the trials; found shape \(1,\)"),
        ({"seconds": np.full(276, np.nan)}, SingeridError, "durations do not fit"),
        ({"seconds": np.ones(276), "edges": (6, 3)}, ConfigError, r"out of order; found \[6, 3\]"),
        ({"edges": (0.0,)}, ConfigError, "edges of the duration classes out of order"),
        ({"false_alarms": (0.0,)}, ConfigError, "false alarm rate out of range; found 0"),
        ({"prior": 1.0}, ConfigError, r"prior out of range; found 1\.0"),
    ],
)
def test_what_cannot_be_fitted(changes, kind, message):
    with pytest.raises(kind, match=message):
        fit_calibration(**case(**changes))


def vectors(seed=0, prefix="d"):
    x = np.random.default_rng(seed).normal(size=(10, 1, 6)) + np.random.default_rng(9).normal(
        size=(10, 4, 6)
    )
    return normalize(x.reshape(-1, 6)), [f"{prefix}{i // 4}" for i in range(40)]


def test_a_scorer_of_the_same_singers_is_refused_unless_crossed():
    scorer = fit_scorer(*vectors(prefix="s00"), transform="center")
    with pytest.raises(MismatchError, match="the scorer was fitted on singers of these trials"):
        fit_calibration(**case(scorer=scorer))
    assert fit_calibration(**case(scorer=scorer, crossed=True)).scorer is scorer


def test_queries_of_a_calibration_are_checked(fitted):
    with pytest.raises(SingeridError, match="a duration is negative or not a number"):
        fitted.llr(0.5, -1)
    with pytest.raises(SingeridError, match="a scale above 0"):
        Line(-1.0, 0.0, (), 1, 1, 1)
    with pytest.raises(SingeridError, match="found 1 classes; expected 2"):
        dataclasses.replace(fitted, edges=(3.0,))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"transform": "center"},
        {"transform": "whiten", "plda": True, "cohort_size": 5, "cohort_top": 4, "n_dims": 3},
    ],
)
def test_the_file_gives_back_what_was_written(tmp_path, settings):
    scorer = fit_scorer(*vectors(), **settings)
    scores, targets, a, b = trials(8, 12)
    seconds = np.where(np.arange(len(scores)) % 2, 2.0, 8.0)
    written = fit_calibration(
        scores, targets, a, b, encoder="ä", scorer=scorer, seconds=seconds, false_alarms=(0.1, 1e-5)
    )
    path = tmp_path / "calibration.safetensors"
    write_calibration(path, written)
    read = read_calibration(path)
    for name in ("encoder", "overall", "edges", "classes"):
        assert getattr(read, name) == getattr(written, name)
    x, _ = vectors(3)
    np.testing.assert_array_equal(read.scorer.matrix(x, x), scorer.matrix(x, x))
    assert read.scorer.singers == scorer.singers
    write_calibration(path, read)
    assert read_calibration(path).classes == written.classes


@pytest.fixture
def file(tmp_path):
    """Path of a calibration with every part."""
    scorer = fit_scorer(*vectors(), transform="whiten", plda=True, cohort_size=9)
    path = tmp_path / "c.safetensors"
    write_calibration(path, fit_calibration(**case(scorer=scorer)))
    return path


def rewrite(path, change):
    """Change the header and the arrays of a calibration file."""
    arrays, data = load(path.read_bytes()), path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    fields = json.loads(header["singerid.scoring.calibration"])
    change(fields, arrays)
    path.write_bytes(save(arrays, {"singerid.scoring.calibration": json.dumps(fields)}))


def change_array(name, value):
    return lambda fields, arrays: arrays.__setitem__(name, value(arrays.get(name)))


def change_field(name, value):
    return lambda fields, arrays: fields.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_field("version", 2), "calibration format 2 is newer than this singerid .know"),
        (change_field("version", "x"), "format is damaged; found .x.; expected a whole numb"),
        (change_field("surprise", 1), "damaged; .*surprise Extra inputs are not permitted"),
        (lambda f, a: f.pop("encoder"), "damaged; .*encoder Field required"),
        (lambda f, a: f["overall"].update(scale=-1), "damaged; .*a scale above 0"),
        (lambda f, a: f["overall"].update(scale=float("nan")), "damaged"),
        (lambda f, a: f["classes"].append(f["overall"]), "damaged; .*2 classes; expected 1"),
        (change_field("cohort_top", 99), "damaged; .*cohort_top out of range"),
        (
            change_array("plda.between", lambda x: x * np.nan),
            "plda.between: an array is not of fin",
        ),
        (change_array("plda.basis", lambda x: x[:2]), "arrays of the PLDA do not fit"),
        (change_array("transform.projection", lambda x: x[:, :5].copy()), "different dimensions"),
        (change_array("transform.mean", lambda x: x.astype(int)), "not of finite numbers"),
        (change_array("stranger", lambda _: np.ones(1)), "an array is unexpected; found stranger"),
        (lambda f, a: a.pop("plda.basis"), "damaged; found 'plda.basis'"),
    ],
)
def test_a_file_that_is_not_as_written(file, change, message):
    rewrite(file, change)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_calibration(file)
    assert str(caught.value).startswith(str(file))


def test_files_that_are_none(tmp_path):
    path = tmp_path / "no.safetensors"
    with pytest.raises(CheckpointError, match=r"cannot read the calibration.*singerid calibrate"):
        read_calibration(path)
    path.write_bytes(b"junk" * 10)
    with pytest.raises(CheckpointError, match="cannot read the calibration"):
        read_calibration(path)
    path.write_bytes(save({"a": np.ones(2)}))
    with pytest.raises(CheckpointError, match="is not a calibration"):
        read_calibration(path)


def test_bytes_are_the_file(file):
    data = file.read_bytes()
    assert to_bytes(from_bytes(data)) == to_bytes(read_calibration(file)) == data
    with pytest.raises(CheckpointError, match=r"^my\.onnx: cannot read the calibration"):
        from_bytes(data[:-1], "my.onnx")
    with pytest.raises(CheckpointError, match=r"^my\.onnx: cannot read the calibration"):
        from_bytes(b"", "my.onnx")
