"""Scorers: their parts in order, the same scores whichever way they are asked for."""

import numpy as np
import pytest

from singerid.embeddings import normalize
from singerid.errors import MismatchError, SingeridError
from singerid.metrics import eer
from singerid.scoring import cosine, model_cosine
from singerid.scoring.backend import fit_transform
from singerid.scoring.cohort import Cohort
from singerid.scoring.plda import fit_plda
from singerid.scoring.scorer import Scorer, cross_scores, fit_scorer

SETTINGS = {
    "cosine": {},
    "center": {"transform": "center"},
    "whiten": {"transform": "whiten", "n_dims": 5},
    "plda": {"transform": "wccn", "plda": True},
    "asnorm": {"cohort_size": 10, "cohort_top": 6},
    "all": {"transform": "center", "plda": True, "cohort_size": 50, "cohort_centroids": False},
}


def corpus(n_singers=20, n_each=5, dim=8, seed=0, prefix="s"):
    """Unit vectors off center whose singers differ in some directions, recordings in others."""
    rng = np.random.default_rng(seed)
    of_singers, within = np.linspace(0.5, 1.2, dim), np.linspace(1.2, 0.2, dim)
    x = rng.normal(size=(n_singers, 1, dim)) * of_singers
    x = 1 + x + rng.normal(size=(n_singers, n_each, dim)) * within
    return normalize(x.reshape(-1, dim)), [
        f"{prefix}{i // n_each:02}" for i in range(n_singers * n_each)
    ]


def all_trials(singers):
    enroll, test = np.triu_indices(len(singers), 1)
    return enroll, test, np.array(singers)[enroll] == np.array(singers)[test]


@pytest.fixture(params=SETTINGS)
def scorer(request):
    return fit_scorer(*corpus(seed=1, prefix="d"), **SETTINGS[request.param])


def test_trials_pairs_and_matrix_agree(scorer):
    vectors, singers = corpus()
    enroll, test, _ = all_trials(singers)
    scores = scorer.trials(vectors, enroll, test)
    pairs = scorer.pairs(vectors[enroll], vectors[test])
    matrix = scorer.matrix(vectors, vectors)
    assert matrix.shape == (100, 100)
    np.testing.assert_allclose(pairs, scores, atol=2e-6)
    np.testing.assert_allclose(matrix[enroll, test], scores, atol=1e-4)
    np.testing.assert_allclose(scorer.trials(vectors, test, enroll), scores, atol=2e-6)
    assert (scores == np.round(scores, 6)).all()


def test_models_are_scored_by_their_centroids(scorer):
    vectors, _ = corpus()
    models = [[0, 1], [5, 6, 7], [10]]
    enroll, test = np.array([0, 1, 2, 2]), np.array([2, 2, 50, 11])
    centroids = normalize(np.stack([vectors[model].mean(axis=0) for model in models]))
    expected = scorer.pairs(centroids[enroll], vectors[test])
    found = scorer.trials(vectors, enroll, test, models=models)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_default_is_the_cosine_exactly():
    vectors, singers = corpus()
    enroll, test, _ = all_trials(singers)
    assert (Scorer().trials(vectors, enroll, test) == cosine(vectors, enroll, test)).all()
    models = [[0, 1], [2]]
    rows = np.array([0, 1])
    found = Scorer().trials(vectors, rows, rows + 9, models=models)
    np.testing.assert_allclose(found, model_cosine(vectors, models, rows, rows + 9), atol=1.1e-6)
    assert fit_scorer(vectors, singers).singers == ()


def test_parts_come_in_order():
    dev, names = corpus(seed=1, prefix="d")
    vectors, _ = corpus()
    scorer = fit_scorer(dev, names, transform="whiten", plda=True, cohort_size=99, cohort_top=7)
    white = fit_transform(dev, names, "whiten")
    plda = fit_plda(white.apply(dev), names)
    a, b = white.apply(vectors[:1]), white.apply(vectors[1:2])
    assert scorer.cohort.vectors.shape == (20, 8)
    normalized = 0.0
    for side in (a, b):
        best = np.sort(plda.matrix(side, scorer.cohort.vectors)[0])[-7:]
        normalized += (plda.matrix(a, b)[0, 0] - best.mean()) / best.std() / 2
    assert scorer.pairs(vectors[:1], vectors[1:2])[0] == pytest.approx(normalized, abs=1e-6)
    assert scorer.singers == tuple(sorted(set(names)))


def test_a_fitted_backend_helps_where_recordings_vary_more_than_singers():
    dev, names = corpus(100, seed=1, prefix="d")
    vectors, singers = corpus()
    enroll, test, targets = all_trials(singers)
    rates = {
        name: eer(fit_scorer(dev, names, **settings).trials(vectors, enroll, test), targets)[0]
        for name, settings in {
            "cosine": {}, "wccn": {"transform": "wccn"}, "plda": {"plda": True},
        }.items()
    }  # fmt: skip
    assert rates["wccn"] < rates["cosine"] - 0.03
    assert rates["plda"] < rates["cosine"] - 0.03


def test_singers_of_the_trial_are_left_out_of_the_cohort():
    vectors, singers = corpus(6, 4)
    scorer = fit_scorer(vectors, singers, cohort_size=99, cohort_centroids=False, cohort_top=8)
    others = [i for i, s in enumerate(singers) if s != "s00"]
    without = Scorer(cohort=Cohort(vectors[others], [singers[i] for i in others], 8))
    rows, target = np.array([0]), np.array([1])
    kept = scorer.trials(vectors, rows, target, singers=singers)
    assert kept == pytest.approx(without.trials(vectors, rows, target), abs=2e-6)
    assert abs(kept - scorer.trials(vectors, rows, target)).max() > 0.1
    names = {"enroll_singers": ["s00"], "test_singers": ["s00"]}
    assert scorer.pairs(vectors[:1], vectors[1:2], **names) == pytest.approx(kept, abs=2e-6)
    names = {"query_singers": ["s00"], "candidate_singers": ["s00"]}
    assert scorer.matrix(vectors[:1], vectors[1:2], **names)[0] == pytest.approx(kept, abs=1e-5)
    modelled = scorer.trials(vectors, rows + 1, target, models=[[8, 9], [0]], singers=singers)
    assert modelled == pytest.approx(kept, abs=1e-5)


def test_singers_it_was_fitted_on_are_refused(scorer):
    scorer.check_unseen(["s00"])
    if scorer.singers:
        with pytest.raises(
            MismatchError, match=r"fitted on singers of these trials; found 1 of.*'d03'"
        ):
            scorer.check_unseen(["s00", "d03"])


def test_cross_scores_never_know_their_singers(monkeypatch):
    vectors, singers = corpus(7, 3)
    enroll, test, targets = all_trials(singers)
    calls = []

    def spy(self, rows, a, b, models):
        enrolled = [models[i][0] for i in a] if len(models) else a
        calls.append({singers[i] for i in [*enrolled, *b]} & set(self.singers))
        return np.asarray(a * 100.0 + b)

    monkeypatch.setattr(Scorer, "trials", spy)
    found = cross_scores(vectors, singers, enroll, test, n_folds=4, transform="center")
    assert (found == enroll * 100 + test).all()  # every trial once, in its place
    models = [[row] for row in range(20, -1, -1)]
    found = cross_scores(
        vectors, singers, 20 - enroll, test, models=models, n_folds=4, transform="center"
    )
    assert (found == (20 - enroll) * 100 + test).all()
    assert calls
    assert not any(calls)
    assert targets.any()


def test_on_noise_cross_scores_are_not_too_good():
    """Vectors without any singer in them: a scorer of the same singers would tell them apart."""
    vectors = normalize(np.random.default_rng(0).normal(size=(60, 50)))
    singers = [f"s{i // 4}" for i in range(60)]
    enroll, test, targets = all_trials(singers)
    settings = {"transform": "wccn", "shrinkage": 0.1}
    known = fit_scorer(vectors, singers, **settings).trials(vectors, enroll, test)
    assert eer(known, targets)[0] < 0.25
    crossed = cross_scores(vectors, singers, enroll, test, n_folds=5, **settings)
    assert eer(crossed, targets)[0] == pytest.approx(0.5, abs=0.1)


def test_what_cannot_be():
    vectors, singers = corpus()
    with pytest.raises(SingeridError, match="found 3 and 2"):
        Scorer().pairs(vectors[:3], vectors[:2])
    with pytest.raises(SingeridError, match="cohort_size out of range; found -1"):
        fit_scorer(vectors, singers, cohort_size=-1)
    with pytest.raises(SingeridError, match="row 4: a vector is not finite"):
        fit_scorer(np.where(np.arange(100)[:, None] == 4, np.nan, vectors), singers)
    with pytest.raises(SingeridError, match="too few folds, or singers for them; found 2"):
        cross_scores(vectors[:10], singers[:10], np.zeros(1, int), np.ones(1, int))
    with pytest.raises(MismatchError, match="different dimensions; found transform 5, cohort 8"):
        Scorer(
            fit_transform(vectors, singers, "whiten", n_dims=5),
            cohort=Cohort(vectors, singers, 10),
        )
