"""Robustness: a transparent encoder on made recordings, so that every figure can be checked."""

import dataclasses
import json
from functools import partial

import numpy as np
import pytest
import soundfile

from singerid import robustness as module
from singerid.errors import AudioError, ConfigError, SingeridError
from singerid.metrics import eer
from singerid.metrics.bootstrap import bootstrap_eer, interval
from singerid.records import Recording
from singerid.robustness import Row, robustness
from singerid.robustness.charts import robustness_figure
from singerid.robustness.degradations import Degradation, choose
from singerid.robustness.degraded import CLEAN, embed_degraded, generator
from singerid.robustness.distortion import excerpt, mix_in, white_noise
from singerid.robustness.files import markdown_lines, summary_lines, write_robustness
from singerid.robustness.sides import Sides
from singerid.scoring import cosine, model_cosine
from singerid.trials import TrialList, all_pairs

RATE = 8000


class Bands:
    """Level in 24 bands: knows a voice by its spectrum, refuses what is short or silent."""

    fingerprint = "bands"
    sample_rate = RATE

    def __init__(self):
        self.n_calls = 0

    def embed(self, samples, sample_rate):
        self.n_calls += 1
        if len(samples) < RATE // 2:
            raise AudioError("is too short", found=f"{len(samples)} samples")
        power = np.abs(np.fft.rfft(samples)) ** 2
        levels = np.array([part.sum() for part in np.array_split(power[1:], 24)])
        vector = np.log(levels + 1e-9) - np.log(levels + 1e-9).mean()
        return (vector / np.linalg.norm(vector)).astype("f4")


def noisy(ratio):
    return Degradation(
        "noise", "hiss", f"{ratio} dB", partial(mix_in, background=white_noise, ratio_db=ratio)
    )


def cut(seconds):
    return Degradation("duration", "cut", f"{seconds} s", partial(excerpt, seconds=seconds))


def same():
    return Degradation("nothing", "same", "", lambda samples, rate, rng: samples)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """7 singers × 3 recordings: noise through a filter of the singer, a little of its own."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    recordings = []
    for s in range(7):
        shape = rng.normal(0, 6, 24)
        for r in range(3):
            seconds = (0.7, 1.0, 2.0)[r]
            n = round(seconds * RATE)
            own = np.repeat(shape + rng.normal(0, 5, 24), -(-(n // 2 + 1) // 24))[: n // 2 + 1]
            spectrum = np.fft.rfft(rng.standard_normal(n)) * 10 ** (own / 20)
            samples = np.fft.irfft(spectrum, n)
            path = folder / f"{s}_{r}.wav"
            soundfile.write(path, 0.3 * samples / np.abs(samples).max(), RATE, subtype="FLOAT")
            recordings.append(Recording(f"{s}/{r}", f"singer {s}", str(path), seconds, RATE))
    return recordings


def pairs(recordings):
    return all_pairs([r.id for r in recordings], [r.singer for r in recordings])


def numbers(recordings):
    return np.array([int(r.singer.split()[1]) for r in recordings])


def vectors_of(recordings, degradation=None, seed=0):
    """Computed one by one, as an oracle."""
    rows = []
    for recording in recordings:
        samples, rate = soundfile.read(recording.path, dtype="float32")
        if degradation:
            samples = degradation(samples, rate, generator(seed, recording.id, degradation.kind))
        rows.append(Bands().embed(samples, rate))
    return np.stack(rows)


def test_rows_are_those_of_an_oracle(corpus):
    trials = pairs(corpus)
    result = robustness(corpus, Bands(), trials, [same(), noisy(-10)], seed=4, n_bootstrap=60)
    clean, noise = vectors_of(corpus), vectors_of(corpus, noisy(-10), seed=4)
    scores = np.stack([
        cosine(np.concatenate([clean, tested]), trials.enroll, len(corpus) + trials.test)
        for tested in (clean, noise)
    ])  # fmt: skip
    rates = [eer(row, trials.targets)[0] for row in scores]
    assert 0.02 < rates[0] < rates[1] < 0.6
    singers = numbers(corpus)
    samples = bootstrap_eer(
        scores, trials.targets, singers[trials.enroll], singers[trials.test], 60,
        np.random.default_rng([4, 1]),
    )  # fmt: skip
    unchanged, noised = result.rows
    assert noised == Row(
        "noise", "hiss", "-10 dB", 21, 189, 0, 0, rates[1], interval(samples[1]), rates[0],
        rates[1] - rates[0], interval(samples[1] - samples[0]),
    )  # fmt: skip
    assert (unchanged.eer, unchanged.difference, unchanged.n_unchanged) == (rates[0], 0, 20)
    assert unchanged.difference_interval == (0, 0)
    assert result.clean.interval == interval(samples[0])
    assert (result.n_enrolled, result.n_tested, result.n_singers, result.n_trials) == (
        20,
        20,
        7,
        210,
    )


def test_order_threads_and_other_conditions_change_nothing(corpus):
    trials = pairs(corpus)
    first = robustness(corpus, Bands(), trials, [noisy(10), cut(0.9)], n_bootstrap=20)
    other = robustness(
        corpus[::-1], Bands(), trials, [cut(0.9), noisy(0), noisy(10)], n_bootstrap=20, n_threads=3
    )
    assert [first.rows[0], first.rows[1], first.clean] == [
        other.rows[2],
        other.rows[0],
        other.clean,
    ]
    reseeded = robustness(corpus, Bands(), trials, [noisy(10)], n_bootstrap=0, seed=1)
    assert reseeded.rows[0].eer != first.rows[0].eer or reseeded.rows[0].interval is None


def test_levels_of_a_kind_share_what_is_drawn():
    draws = [generator(0, "a", "hiss").random() for _ in range(2)]
    assert draws[0] == draws[1]
    assert len({generator(*args).random() for args in [
        (0, "a", "hiss"), (1, "a", "hiss"), (0, "b", "hiss"), (0, "a", "room"), (0, "a\0h", "iss")
    ]}) == 5  # fmt: skip


def test_recordings_that_fail_are_left_out_on_both_sides(corpus):
    trials = pairs(corpus)

    def halve(samples, rate, rng):
        return samples[: len(samples) // 2]

    half = Degradation("duration", "half", "", halve)
    result = robustness(corpus, Bands(), trials, [half, same()], n_bootstrap=0)
    row = result.rows[0]
    lost = [r.id for r in corpus if r.duration < 1 and r.id in {corpus[i].id for i in trials.test}]
    assert row.n_failed == len(lost) == 6
    assert {f.recording for f in result.failures} == set(lost)
    error = result.failures[0].error
    assert str(error) == "1/0 (half): is too short; found 2800 samples"
    kept = np.array([corpus[i].id not in lost for i in trials.test])
    assert row.n_targets + row.n_nontargets == kept.sum() < len(trials)
    scores = cosine(vectors_of(corpus), trials.enroll, trials.test)
    assert row.clean_eer == eer(scores[kept], trials.targets[kept])[0]
    assert result.rows[1].clean_eer == eer(scores, trials.targets)[0]


def test_unreadable_files_are_left_out_of_everything(corpus):
    broken = dataclasses.replace(corpus[4], path="/nowhere.wav")
    recordings = [*corpus[:4], broken, *corpus[5:]]
    trials = pairs(recordings)
    result = robustness(recordings, Bands(), trials, [same()], n_bootstrap=0)
    kept = (trials.enroll != 4) & (trials.test != 4)
    scores = cosine(vectors_of(corpus), trials.enroll, trials.test)
    assert result.clean.eer == eer(scores[kept], trials.targets[kept])[0]
    assert (result.clean.n_failed, result.rows[0].n_failed, len(result.failures)) == (1, 1, 1)
    assert result.clean.n_targets + result.clean.n_nontargets == kept.sum()
    assert str(result.failures[0].error).startswith("1/1 (clean), /nowhere.wav: cannot be opened")


def test_models_of_several_recordings(corpus):
    ids = [r.id for r in corpus]
    models = [[3 * s, 3 * s + 1] for s in range(7)]
    enroll, test = np.repeat(np.arange(7), 7), np.tile(np.arange(7) * 3 + 2, 7)
    trials = TrialList(
        ids, enroll, test, enroll == test // 3, 49, models, [f"m{s}" for s in range(7)]
    )
    result = robustness(corpus, Bands(), trials, [same()], n_bootstrap=0)
    expected = model_cosine(vectors_of(corpus), models, enroll, test)
    clean = dict(zip(ids, vectors_of(corpus), strict=True))
    np.testing.assert_allclose(Sides.of(trials, corpus).scores(clean, clean), expected, atol=2e-6)
    assert result.clean.eer == pytest.approx(eer(expected, trials.targets)[0], abs=1e-9)
    assert (result.n_enrolled, result.n_tested) == (14, 7)
    del clean[ids[0]]  # the model goes on with the other
    scores = Sides.of(trials, corpus).scores(clean, clean)
    assert np.isfinite(scores).all()
    del clean[ids[1]]
    assert np.array_equal(np.isnan(Sides.of(trials, corpus).scores(clean, clean)), enroll == 0)


def test_only_tested_recordings_are_degraded(corpus):
    encoder = Bands()
    trials = TrialList(
        [r.id for r in corpus], np.array([0, 0]), np.array([1, 5]), np.array([True, False]), 2
    )
    result = robustness(corpus, encoder, trials, [noisy(0), noisy(5)], n_bootstrap=10)
    assert encoder.n_calls == 3 + 2 * 2
    assert result.clean.interval is None  # two singers


def test_vectors_are_cached(corpus, tmp_path):
    trials, conditions = pairs(corpus), [noisy(0), cut(1)]
    run = partial(robustness, corpus, trials=trials, n_bootstrap=10, cache=tmp_path / "vectors")
    first = run(embedder=Bands(), degradations=conditions)
    again = Bands()
    assert run(embedder=again, degradations=conditions) == first
    assert again.n_calls == 0
    assert first.rows[1].n_unchanged == 13  # 0.7 and 1 s; kept with the vectors
    run(embedder=again, degradations=[*conditions, noisy(5)])
    assert again.n_calls == 20
    run(embedder=again, degradations=conditions, seed=1)
    assert again.n_calls == 20 + 2 * 20
    other = Bands()
    other.fingerprint = "another"
    run(embedder=other, degradations=conditions)
    assert other.n_calls == 21 + 2 * 20


def test_changed_files_are_not_taken_from_the_cache(corpus, tmp_path):
    path = tmp_path / "a.wav"
    samples, _ = soundfile.read(corpus[0].path)
    recording = dataclasses.replace(corpus[0], path=str(path))
    cache, encoder = tmp_path / "vectors", Bands()
    from singerid.robustness.vector_cache import VectorCache

    for gain in (1.0, 1.0, 0.5):
        if not path.exists() or gain < 1:
            soundfile.write(path, gain * samples, RATE)
        embed_degraded([recording], [], encoder, [], cache=VectorCache(cache, "bands"))
    assert encoder.n_calls == 2


def test_what_was_done_is_kept_when_interrupted(corpus, tmp_path):
    class Interrupted(Bands):
        def embed(self, samples, sample_rate):
            if self.n_calls == 30:
                raise KeyboardInterrupt
            return super().embed(samples, sample_rate)

    run = partial(robustness, corpus, trials=pairs(corpus), degradations=[noisy(0)], cache=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(embedder=Interrupted())
    rest = Bands()
    run(embedder=rest)
    assert 0 < rest.n_calls <= 41 - 28


def test_conditions_that_cannot_be_applied_are_skipped(corpus):
    def missing():
        raise SingeridError("pyworld is not installed")

    warnings = []
    conditions = [dataclasses.replace(noisy(0), check=missing), same()]
    result = robustness(
        corpus, Bands(), pairs(corpus), conditions, n_bootstrap=0, on_warning=warnings.append
    )
    assert [row.name for row in result.rows] == ["same"]
    assert result.skipped == {"hiss 0 dB": "pyworld is not installed"}
    assert warnings == ["hiss 0 dB: skipped: pyworld is not installed"]


def test_progress_and_warnings_of_files(corpus, tmp_path):
    path = tmp_path / "clipped.wav"
    samples, _ = soundfile.read(corpus[0].path)
    soundfile.write(path, np.clip(20 * samples, -1, 1), RATE)
    done, lines = [], []
    embed_degraded(
        [dataclasses.replace(corpus[0], path=str(path)), corpus[1]], [], Bands(), [],
        on_progress=done.append, on_warning=lines.append,
    )  # fmt: skip
    assert done == [0.7, 1.0]
    assert len(lines) == 1
    assert "clipped.wav: clipped in" in lines[0]


def test_refusals(corpus):
    trials = pairs(corpus)
    run = partial(robustness, corpus, Bands())
    with pytest.raises(ConfigError, match="two degradations have one name; found hiss 0 dB"):
        run(trials, [noisy(0), same(), noisy(0)])
    with pytest.raises(ConfigError, match="two degradations have one name; found clean"):
        run(trials, [Degradation("a", "clean", "", lambda samples, rate, rng: samples)])
    with pytest.raises(SingeridError, match="a trial names an unknown recording; found 0/1; give"):
        robustness([corpus[0], *corpus[2:]], Bands(), trials, [same()])
    wrong = dataclasses.replace(trials, targets=~trials.targets)
    message = (
        "trial 0: a trial contradicts the recordings; found nontarget, singers singer 0 and si"
    )
    with pytest.raises(SingeridError, match=message):
        run(wrong, [same()])
    targets = TrialList(trials.ids, np.array([0]), np.array([1]), np.array([True]), 1)
    with pytest.raises(SingeridError, match="no trials to score; found 1 targets and 0 nontargets"):
        run(targets, [same()])
    lost = [dataclasses.replace(r, path="/nowhere") for r in corpus]
    with pytest.raises(
        SingeridError, match="found 0 targets and 0 nontargets; first of 21 failures: "
    ):
        robustness(lost, Bands(), trials, [same()])


def test_a_condition_that_leaves_one_class_has_no_rate(corpus, tmp_path):
    def keep_first_singer(samples, rate, rng):
        return samples if len(samples) == 2 * RATE else samples[:10]

    few = Degradation("a", "few", "", keep_first_singer)
    ids = [r.id for r in corpus]
    trials = TrialList(ids, np.array([0, 3]), np.array([1, 2]), np.array([True, False]), 2)
    result = robustness(corpus, Bands(), trials, [few], n_bootstrap=5)
    (row,) = result.rows
    assert (row.eer, row.difference, row.n_targets, row.n_nontargets) == (None, None, 0, 1)
    assert write_robustness(result, tmp_path) == [
        "robustness.md", "robustness.png", "robustness.json"
    ]  # fmt: skip
    assert json.loads((tmp_path / "robustness.json").read_text())["rows"][0]["eer"] is None
    assert "| few | none |" in (tmp_path / "robustness.md").read_text()


@pytest.fixture(scope="module")
def result(corpus):
    conditions = [noisy(20), noisy(0), cut(0.3), cut(1)]
    found = robustness(corpus, Bands(), pairs(corpus), conditions, n_bootstrap=50)
    return dataclasses.replace(found, skipped={"formants kept 0 st": "pyworld is not installed"})


def test_files(result, tmp_path):
    assert len(write_robustness(result, tmp_path)) == 3
    fields = json.loads((tmp_path / "robustness.json").read_text())
    assert fields["encoder"] == "bands"
    assert fields["rows"][1] == {
        "name": "hiss 0 dB",
        **json.loads(json.dumps(dataclasses.asdict(result.rows[1]))),
    }
    assert fields["rows"][2]["n_failed"] == 20
    assert fields["failures"][0] == {
        "recording": "0/1", "condition": "cut 0.3 s",
        "reason": "0/1 (cut 0.3 s): is too short; found 2400 samples",
    }  # fmt: skip
    assert (tmp_path / "robustness.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "robustness.md").read_text()
    row = result.rows[1]
    low, high = row.difference_interval
    cells = (
        f"| hiss 0 dB | {100 * row.eer:.1f} | [{100 * row.interval[0]:.1f}, "
        f"{100 * row.interval[1]:.1f}] | {100 * row.clean_eer:.1f} | {100 * row.difference:+.1f} | "
        f"[{100 * low:+.1f}, {100 * high:+.1f}] | 21 / 189 |  |  |"
    )
    assert cells in text
    assert "- formants kept 0 st: pyworld is not installed" in text
    assert "- cut 0.3 s: 20 of the recordings; the first: 0/1 (cut 0.3 s): is too short" in text
    assert list(markdown_lines(result)) == text.splitlines()


def test_nothing_but_clean(corpus, tmp_path):
    result = robustness(corpus, Bands(), pairs(corpus), [], n_bootstrap=0)
    assert write_robustness(result, tmp_path) == ["robustness.md", "robustness.json"]
    assert summary_lines(result)[1] == f"clean  EER {100 * result.clean.eer:.1f} %"


def test_summary(result):
    lines = summary_lines(result)
    assert lines[0] == "210 trials of 7 singers, 20 recordings enrolled, 20 tested"
    assert lines[1].startswith("clean       EER ")
    assert "unchanged" not in lines[1]
    row = result.rows[1]
    assert lines[3].startswith(f"hiss 0 dB   EER {100 * row.eer:.1f} % [")
    assert f"], {100 * row.difference:+.1f} [" in lines[3]
    assert lines[4] == "cut 0.3 s   EER none %, 20 recordings failed"
    assert lines[5].endswith(", 13 unchanged")
    assert lines[6] == "note: formants kept 0 st skipped: pyworld is not installed"


def rows(kind_levels, group="g"):
    return [
        Row(group, kind, level, 5, 5, 0, 0, 0.1 * i, (0.05 * i, 0.2 * i), 0.1, 0.0, (0.0, 0.0))
        for i, (kind, level) in enumerate(kind_levels, 1)
    ]


def test_figure_shows_rates_intervals_and_clean():
    clean = Row(CLEAN, CLEAN, "", 5, 5, 0, 0, 0.15, (0.1, 0.2))
    members = rows([("a", "2"), ("a", "1"), ("b", "1")])
    figure = robustness_figure(clean, [*members, *rows([("c", "x")], "h")], "a $title$")
    first, second = figure.axes
    assert (first.get_title("left"), second.get_title("left")) == ("g", "h")
    drawn = [line.get_xydata() for line in first.lines]
    dashed, a, bar, _, b, _ = drawn
    np.testing.assert_allclose(dashed[:, 1], 15)
    np.testing.assert_allclose(a[:, 1], [10, 20])
    np.testing.assert_allclose(bar[:, 1], [5, 20])
    np.testing.assert_allclose(b[:, 1], [30])
    np.testing.assert_allclose(np.round(b[:, 0]), [1])  # at the level "1"
    assert b[0, 0] != a[1, 0]  # beside each other
    assert [t.get_text() for t in first.get_xticklabels()] == ["2", "1"]
    assert [t.get_text() for t in first.get_legend().get_texts()] == ["a", "b"]
    assert second.get_legend() is None
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["clean 15.0%, 95 % interval"]
    assert first.get_ylim()[0] == 0
    assert first.get_ylim()[1] > 60
    figure.canvas.draw()


def test_figure_of_all_conditions_keeps_their_levels_in_order():
    every = [Row(d.group, d.kind, d.level, 1, 1, 0, 0, 0.2) for d in choose()]
    figure = robustness_figure(Row(CLEAN, CLEAN, "", 1, 1, 0, 0), every)
    labels = {
        panel.get_title("left"): [t.get_text() for t in panel.get_xticklabels()]
        for panel in figure.axes
    }
    assert len(labels) == 8
    assert labels["codec"] == [f"{k} kbit/s" for k in (64, 32, 24, 16, 8)]
    assert labels["pitch"] == ["-4 st", "-2 st", "0 st", "+2 st", "+4 st"]
    assert labels["noise"] == ["20 dB", "10 dB", "5 dB", "0 dB"]


def test_figure_of_nothing_is_refused():
    with pytest.raises(SingeridError, match="nothing to draw; found no conditions"):
        robustness_figure(Row(CLEAN, CLEAN, "", 1, 1, 0, 0), [])


def test_many_conditions_are_scored_in_parts(corpus, monkeypatch):
    trials, conditions = pairs(corpus), [noisy(r) for r in (20, 10, 5, 0)]
    whole = robustness(corpus, Bands(), trials, conditions, n_bootstrap=20)
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    assert robustness(corpus, Bands(), trials, conditions, n_bootstrap=20) == whole
