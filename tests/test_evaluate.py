"""Evaluation against loops written by the definition, on embeddings made to have the answer."""

import numpy as np
import pytest

from singerid.embeddings import EmbeddingSet, normalize
from singerid.errors import SingeridError
from singerid.evaluate import Report, evaluate, summary_lines
from singerid.metrics import eer
from singerid.sections import EvaluateSettings, TrialSettings


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

    quick = EvaluateSettings(n_bootstrap=0)
    report = evaluate(embeddings, TrialSettings(within_corpus=False), quick)
    assert found(report.slices["all"]) == slice_of()
    assert found(report.slices["same gender"]) == slice_of(same)
    for name in "AB":
        within = lambda i, j, _, name=name: corpus[i] == corpus[j] == name  # noqa: E731
        assert found(report.slices[f"corpus {name}"]) == slice_of(within)
        assert found(report.slices[f"corpus {name}, same gender"]) == slice_of(within, same)
    report = evaluate(embeddings, settings=quick)
    assert found(report.slices["all"]) == slice_of(lambda i, j, _: corpus[i] == corpus[j])
    cross.clear()
    report = evaluate(embeddings, TrialSettings(cross="", within_corpus=False), quick)
    assert found(report.slices["all"]) == slice_of()


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
    assert report.naming.top_1 == pytest.approx(1 / 5)


def test_perfect_encoder():
    report = evaluate(make(noise=0))
    result = report.slices["all"]
    assert (result.eer, result.min_dcf, result.auc) == (0, 0, 1)
    assert report.naming.top_1 == 1


def test_interval_narrows_with_singers_and_holds_the_rate():
    widths = []
    for n_singers in (8, 64):
        result = evaluate(make(n_singers, noise=2)).slices["all"]
        low, high = result.eer_interval
        assert 0 <= low < result.eer < high <= 1
        widths.append(high - low)
    assert widths[1] < widths[0] / 1.5


def test_same_input_same_report_and_seed_matters():
    reports = [evaluate(make(), TrialSettings(max_trials=300, seed=seed)) for seed in (0, 0, 1)]
    assert reports[0].slices == reports[1].slices
    assert reports[0].slices != reports[2].slices
    assert len(reports[0].scores) == 300
    assert reports[0].notes[0] == "300 of 1,104 possible trials were sampled"


def test_few_singers_have_no_interval():
    report = evaluate(make(n_singers=4))
    assert report.slices["all"].eer_interval is None
    assert any("singers" in f.text for f in report.findings if f.level != "info")


def test_missing_labels_are_said():
    embeddings = make()
    bare = EmbeddingSet(embeddings.ids, embeddings.singers, embeddings.vectors, "e")
    report = evaluate(bare)
    assert list(report.slices) == ["all"]
    assert report.slices["all"].n_targets == 8 * 15
    assert report.notes == ["no two singers of one known gender: no same-gender error rate"]
    assert any("song" in f.text for f in report.findings)
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
        SingeridError, match="no target trials; found cross=song removes them all; take song out"
    ):
        evaluate(make(n_songs=1))
    assert evaluate(make(n_songs=1), TrialSettings(cross="")).slices["all"].n_targets == 8
    with pytest.raises(SingeridError, match="no target trials"):
        evaluate(make(n_songs=1, takes=1), TrialSettings(cross=""))
    with pytest.raises(SingeridError, match="no target trials"):
        evaluate(make(n_singers=0))


@pytest.fixture(scope="module")
def report() -> Report:
    return evaluate(make(noise=2))


def test_summary(report):
    lines = summary_lines(report)
    result = report.slices["same gender"]
    assert lines[0] == "48 recordings of 8 singers"
    assert lines[2].startswith(f"same gender  EER {100 * result.eer:.1f} % [")
    assert lines[2].endswith("(96 targets, 432 nontargets)")
    assert [line.split("  ")[0] for line in lines[1:5]] == [
        "all", "same gender", "gender F", "gender M"
    ]  # fmt: skip
    assert lines[5].startswith(f"nearest centroid: {100 * report.naming.top_1:.1f} % [")
    assert lines[5].endswith("] of 48 recordings")
