"""Calibrations that are made to fit the enrolled singers."""

import numpy as np
import pytest

from singerid.metrics.likelihood import cllr
from singerid.scoring import adaptation
from singerid.scoring.adaptation import adapt
from singerid.scoring.calibration import Calibration, Line
from singerid.scoring.scorer import Scorer

LINE = Line(20.0, -10.0, ((0.01, 0.6), (0.001, None)), 1000, 1000, 50, 0.3)
ENCODERS = Calibration("enc", Scorer(), LINE, (), (LINE,))


def corpus(n_singers, n_recordings, shift=0.0, seed=0, dim=32, noise=0.6):
    """Voices around centers that all lie, `shift` strongly, in one direction: a common tune."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(n_singers, dim))
    centers[:, 0] += shift * np.sqrt(dim)
    singers = np.repeat(np.arange(n_singers), n_recordings)
    vectors = centers[singers] + noise * rng.normal(size=(len(singers), dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), [f"s{i}" for i in singers]


def naive_trials(vectors, singers):
    """Leave one out, one after the other."""
    scores, targets = [], []
    for i, vector in enumerate(vectors):
        for name in sorted(set(singers)):
            rows = [j for j, other in enumerate(singers) if other == name and j != i]
            if rows:
                mean = vectors[rows].astype(float).mean(axis=0)
                scores.append(float(mean @ vector / np.linalg.norm(mean)))
                targets.append(singers[i] == name)
    return scores, targets


def test_trials_leave_the_recording_out():
    vectors, singers = corpus(4, 3)
    vectors, singers = vectors[:-2], singers[:-2]  # the last singer has one recording
    _, number, counts = np.unique(singers, return_inverse=True, return_counts=True)
    scores, targets, enroll, test = adaptation._leave_one_out(ENCODERS, vectors, number, counts)
    expected, is_target = naive_trials(vectors, singers)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    np.testing.assert_array_equal(targets, is_target)
    np.testing.assert_array_equal(targets, enroll == test)
    adapted = adapt(ENCODERS, vectors, singers)
    assert adapted.overall.n_targets == sum(is_target) == 9
    assert adapted.overall.n_nontargets == len(expected) - 9
    assert adapted.overall.n_singers == 3


def test_a_common_tune_no_longer_looks_like_a_common_voice():
    """All cosines are high; the encoder's line takes everybody for everybody."""
    vectors, singers = corpus(6, 4, shift=2.0)
    others, names = corpus(40, 4, shift=2.0, seed=1)
    scores, targets = map(np.array, naive_trials(others, names))
    adapted = adapt(ENCODERS, vectors, singers)
    before = cllr(ENCODERS.llr(scores), targets)
    after = cllr(adapted.llr(scores), targets)
    assert before > 1 > 0.4 > after


def test_what_the_encoder_knows_is_kept_where_it_fits():
    vectors, singers = corpus(80, 4, noise=1.0)
    fitted = adapt(ENCODERS, vectors, singers)
    again = adapt(Calibration("enc", Scorer(), fitted.overall, (), (fitted.overall,)),
                  *corpus(80, 4, seed=1, noise=1.0))  # fmt: skip
    assert again.overall.scale == pytest.approx(fitted.overall.scale, rel=0.15)
    # Separable scores of few singers: the slope stays near the encoder's.
    few = adapt(ENCODERS, *corpus(3, 2, noise=0.01))
    assert 0.5 * LINE.scale < few.overall.scale < 3 * LINE.scale


def test_thresholds_keep_their_ratio():
    adapted = adapt(ENCODERS, *corpus(6, 4, shift=2.0))
    (rate, score), (_, unmeasured) = adapted.overall.thresholds
    assert rate == 0.01
    assert unmeasured is None
    assert adapted.llr(score) == pytest.approx(ENCODERS.llr(0.6))


@pytest.mark.parametrize(("n_singers", "n_recordings"), [(2, 5), (9, 1)])
def test_too_few_are_not_adapted_to(n_singers, n_recordings):
    assert adapt(ENCODERS, *corpus(n_singers, n_recordings)) is None


def test_many_recordings_are_drawn_from(monkeypatch):
    vectors, singers = corpus(20, 10)
    whole = adapt(ENCODERS, vectors, singers)
    monkeypatch.setattr(adaptation, "MAX_RECORDINGS", 60)
    drawn = adapt(ENCODERS, vectors, singers)
    assert drawn.overall.n_targets == 60
    assert drawn.overall.offset == pytest.approx(whole.overall.offset, rel=0.15)
