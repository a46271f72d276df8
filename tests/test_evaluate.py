"""Evaluation against loops written by the definition, on embeddings made to have the answer."""

import json

import numpy as np
import pytest

from singerid.embeddings import EmbeddingSet, normalize
from singerid.errors import SingeridError
from singerid.evaluate import Report, evaluate, summary_lines, write_report
from singerid.metrics import eer
from singerid.scoring import centroid_accuracy, cosine
from singerid.trials import read_trials


def make(n_singers=8, n_songs=3, takes=2, noise=1.0, seed=0, dim=16, **labels):
    """Recordings around a random direction a singer."""
    rng = np.random.default_rng(seed)
    each = n_songs * takes
    n = n_singers * each
    vectors = np.repeat(rng.normal(size=(n_singers, dim)), each, axis=0)
    vectors += noise * rng.normal(size=(n, dim))
    columns = {
        "song": [f"song {i % n_songs}" for i in range(n)],
        "gender": ["FM"[i // each % 2] for i in range(n)],
    }
    return EmbeddingSet(
        [f"recording {i}" for i in range(n)], [f"singer {i // each}" for i in range(n)],
        normalize(vectors), "encoder-1", labels=columns | labels,
    )  # fmt: skip


def by_definition(embeddings, keep):
    """EER of the pairs for which keep(i, j, target) is true."""
    scores, targets = [], []
    for i in range(len(embeddings)):
        for j in range(i):
            target = embeddings.singers[i] == embeddings.singers[j]
            if keep(i, j, target):
                scores.append(round(float(embeddings.vectors[i] @ embeddings.vectors[j]), 6))
                targets.append(target)
    return eer(scores, targets)[0], sum(targets), len(targets) - sum(targets)


def found(result):
    return result.eer, result.n_targets, result.n_nontargets


def test_slices_equal_the_definition():
    embeddings = make(corpus=["A"] * 24 + ["B"] * 24, noise=2)
    song, gender, corpus = (embeddings.label(name) for name in ("song", "gender", "corpus"))
    cross = [lambda i, j, target: not target or song[i] != song[j]]

    def slice_of(*conditions):
        return pytest.approx(
            by_definition(embeddings, lambda *t: all(c(*t) for c in cross + list(conditions))),
            abs=2e-3,  # float32 products may round to another sixth decimal
        )

    def same(i, j, target):
        return target or gender[i] == gender[j]

    report = evaluate(embeddings, n_bootstrap=0)
    assert found(report.slices["all"]) == slice_of()
    assert found(report.slices["same gender"]) == slice_of(same)
    for name in "AB":
        within = lambda i, j, _, name=name: corpus[i] == corpus[j] == name  # noqa: E731
        assert found(report.slices[f"corpus {name}"]) == slice_of(within)
        assert found(report.slices[f"corpus {name}, same gender"]) == slice_of(within, same)
    assert "nontargets of two corpora are easy: see each corpus by itself" in report.notes
    report = evaluate(embeddings, n_bootstrap=0, within_corpus=True)
    assert found(report.slices["all"]) == slice_of(lambda i, j, _: corpus[i] == corpus[j])
    cross.clear()
    report = evaluate(embeddings, n_bootstrap=0, cross_song=False)
    assert found(report.slices["all"]) == slice_of()


def accuracy_by_definition(embeddings, cross_song):
    singers, song = list(embeddings.singers), embeddings.label("song")
    right = []
    for i, singer in enumerate(singers):
        rows = {s: [j for j in range(len(singers)) if singers[j] == s] for s in set(singers)}
        others = [j for j in rows[singer] if j != i]
        if not others:
            continue
        of_other_songs = [j for j in others if song[j] != song[i]]
        rows[singer] = of_other_songs if cross_song and of_other_songs else others
        best = max(
            rows,
            key=lambda s: normalize(embeddings.vectors[rows[s]].mean(0)) @ embeddings.vectors[i],
        )
        right.append(best == singer)
    return np.mean(right), len(right)


@pytest.mark.parametrize("cross_song", [True, False])
@pytest.mark.parametrize("noise", [1.5, 3])
def test_centroid_accuracy_equals_the_definition(cross_song, noise):
    embeddings = make(noise=noise)
    # Singer 0 with a single recording, singer 1 with two of one song.
    embeddings = embeddings.select([0, 6, 9, *range(12, 48)])
    assert len({embeddings.label("song")[i] for i in (1, 2)}) == 1
    songs = embeddings.label("song") if cross_song else None
    accuracy, n = centroid_accuracy(embeddings.vectors, embeddings.singers, songs=songs)
    assert (accuracy, n) == pytest.approx(accuracy_by_definition(embeddings, cross_song))
    assert n == 38
    assert 0.1 < accuracy < 1


def test_own_recording_never_helps():
    """With noise alone, the nearest centroid must be right no more often than by chance."""
    embeddings = make(n_singers=10, n_songs=10, takes=2, noise=1e6, dim=64)
    accuracy, _ = centroid_accuracy(embeddings.vectors, embeddings.singers)
    assert accuracy < 0.2
    labels = {"songs": embeddings.label("song")}
    assert centroid_accuracy(embeddings.vectors, embeddings.singers, **labels)[0] < 0.2


def test_candidates_of_another_corpus_are_left_out():
    vectors = normalize(np.array([[1, 0], [0.6, 0.8], [1, 0.1], [1, 0.1]]))
    singers, corpora = ["a", "a", "b", "b"], ["A", "A", "B", "B"]
    assert centroid_accuracy(vectors, singers)[0] == 0.5
    assert centroid_accuracy(vectors, singers, corpora=corpora)[0] == 1


def test_collapsed_encoder_is_at_chance():
    embeddings = make(n_singers=5)
    vectors = np.tile(normalize(np.random.default_rng(0).normal(size=(1, 301))), (30, 1))
    collapsed = EmbeddingSet(
        embeddings.ids, embeddings.singers, vectors, "e", labels=embeddings.labels
    )
    report = evaluate(collapsed)
    assert report.slices["all"].eer == 0.5
    assert report.slices["all"].eer_interval == pytest.approx((0.5, 0.5))
    assert report.slices["all"].auc == 0.5
    assert report.centroid_accuracy == pytest.approx(1 / 5)


def test_perfect_encoder():
    report = evaluate(make(noise=0))
    result = report.slices["all"]
    assert (result.eer, result.min_dcf, result.auc) == (0, 0, 1)
    assert report.centroid_accuracy == 1


def test_interval_narrows_with_singers_and_holds_the_rate():
    widths = []
    for n_singers in (8, 64):
        result = evaluate(make(n_singers, noise=2)).slices["all"]
        low, high = result.eer_interval
        assert 0 <= low < result.eer < high <= 1
        widths.append(high - low)
    assert widths[1] < widths[0] / 1.5


def test_same_input_same_report_and_seed_matters():
    reports = [evaluate(make(), max_trials=300, seed=seed) for seed in (0, 0, 1)]
    assert reports[0].slices == reports[1].slices
    assert reports[0].slices != reports[2].slices
    assert len(reports[0].scores) == 300
    assert reports[0].notes[0] == "300 of 1,104 possible trials were sampled"


def test_few_singers_have_no_interval():
    report = evaluate(make(n_singers=4))
    assert report.slices["all"].eer_interval is None
    assert report.notes == ("fewer than 5 singers: no interval, do not trust the figures",)


def test_missing_labels_are_said():
    embeddings = make()
    bare = EmbeddingSet(embeddings.ids, embeddings.singers, embeddings.vectors, "e")
    report = evaluate(bare)
    assert list(report.slices) == ["all"]
    assert report.slices["all"].n_targets == 8 * 15
    assert report.notes == (
        "48 recordings have no song label: each counts as a song of its own",
        "no two singers of one known gender: no same-gender error rate",
    )
    unknown = make(gender=["?"] * 48)
    assert "same gender" not in evaluate(unknown).slices
    women = evaluate(make(gender=["F"] * 48)).slices
    assert women["same gender"] == women["all"]


def test_too_few_recordings():
    one = make(n_singers=1)
    with pytest.raises(
        SingeridError, match="no nontarget trials; expected recordings of at least two"
    ):
        evaluate(one)
    with pytest.raises(
        SingeridError, match="no target trials; expected a singer with two recordings of different"
    ):
        evaluate(make(n_songs=1))
    assert evaluate(make(n_songs=1), cross_song=False).slices["all"].n_targets == 8
    with pytest.raises(
        SingeridError, match=r"no target trials; expected a singer with two recordings$"
    ):
        evaluate(make(n_songs=1, takes=1), cross_song=False)
    with pytest.raises(SingeridError, match="no target trials"):
        evaluate(make(n_singers=0))


def test_cosine():
    vectors = normalize(np.random.default_rng(0).normal(size=(30, 7)))
    enroll, test = np.random.default_rng(1).integers(0, 30, (2, 10_000))
    expected = np.einsum("ij,ij->i", vectors[enroll].astype(float), vectors[test].astype(float))
    scores = cosine(vectors, enroll, test)
    np.testing.assert_allclose(scores, expected, atol=6e-7)
    np.testing.assert_array_equal(scores, np.round(scores, 6))
    assert scores[enroll == test].min() == scores.max() == 1


@pytest.fixture(scope="module")
def report() -> Report:
    return evaluate(make(noise=2))


def test_written_files_give_the_same_figures(report, tmp_path):
    write_report(report, tmp_path / "report")
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"report.json", "trials.txt", "scores.txt", "det.png", "histogram.png"}
    trials = read_trials(tmp_path / "report/trials.txt", report.trials.ids)
    lines = (tmp_path / "report/scores.txt").read_text().splitlines()
    scores = [float(line.split()[2]) for line in lines]
    fields = json.loads((tmp_path / "report/report.json").read_text())
    assert fields["slices"]["all"]["eer"] == report.slices["all"].eer
    assert eer(scores, trials.targets)[0] == report.slices["all"].eer
    assert fields["slices"]["all"]["eer_interval"] == list(report.slices["all"].eer_interval)
    assert fields["encoder"] == "encoder-1"
    assert fields["settings"]["cross_song"] is True
    assert (fields["n_recordings"], fields["n_singers"]) == (48, 8)
    for name in ("det.png", "histogram.png"):
        assert (tmp_path / "report" / name).read_bytes().startswith(b"\x89PNG")


def test_report_json_is_written_last(report, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr("singerid.plots.save_figure", full)
    with pytest.raises(OSError, match="disk full"):
        write_report(report, tmp_path)
    assert not (tmp_path / "report.json").exists()


def test_summary(report):
    lines = summary_lines(report)
    result = report.slices["same gender"]
    assert lines[0] == "48 recordings of 8 singers"
    assert lines[2].startswith(f"same gender  EER {100 * result.eer:.1f} % [")
    assert lines[2].endswith("(96 targets, 432 nontargets)")
    assert lines[3] == f"nearest centroid: {100 * report.centroid_accuracy:.1f} % of 48 recordings"
    assert len(lines) == 4
