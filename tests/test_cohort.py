"""AS-norm against a double loop, and what it must not change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid.embeddings import normalize
from singerid.errors import SingeridError
from singerid.scoring import cohort as module
from singerid.scoring.cohort import Cohort, as_norm, fit_cohort


def unit(n, dim=6, seed=0):
    return normalize(np.random.default_rng(seed).normal(size=(n, dim)))


def dot(a, b):
    return np.asarray(a, float) @ np.asarray(b, float).T


def brute(vectors, cohort, singers=None):
    """Mean and deviation of each vector's highest scores, one by one."""
    found = []
    for row, vector in enumerate(vectors):
        scores = [
            float(vector.astype(float) @ other)
            for other, name in zip(cohort.vectors.astype(float), cohort.singers, strict=True)
            if singers is None or name != singers[row]
        ]
        best = sorted(scores)[-cohort.top :]
        found.append((np.mean(best), np.std(best)))
    return np.array(found).T


@pytest.mark.parametrize("block", [1, 10**6])
@pytest.mark.parametrize("known", [False, True])
def test_statistics_equal_a_loop(monkeypatch, block, known):
    monkeypatch.setattr(module, "_BLOCK_SCORES", block)
    cohort = Cohort(unit(12), [f"c{i // 3}" for i in range(12)], 10)
    vectors = unit(9, seed=1)
    singers = [f"c{i}" for i in range(9)] if known else None  # c4 … c8 are strangers
    found = cohort.statistics(vectors, dot, singers)
    np.testing.assert_allclose(found, brute(vectors, cohort, singers), atol=1e-12)


def test_a_normalized_score_by_hand():
    # Enrolled against the cohort: mean 2, deviation 1; tested: 0 and 4.
    assert (
        as_norm(np.array(4.0), (np.array(2.0), np.array(1.0)), (np.array(0.0), np.array(4.0)))
        == 1.5
    )


@given(st.floats(0.1, 10), st.floats(-5, 5))
def test_scale_and_offset_of_the_scores_do_not_matter(scale, offset):
    cohort, vectors = Cohort(unit(20), ["c"] * 20, 8), unit(6, seed=2)

    def normalized(score):
        mean, deviation = cohort.statistics(vectors, score)
        return as_norm(
            score(vectors, vectors), (mean[:, None], deviation[:, None]), (mean, deviation)
        )

    a = normalized(dot)
    np.testing.assert_allclose(
        normalized(lambda x, y: scale * dot(x, y) + offset), a, rtol=1e-6, atol=1e-9
    )
    np.testing.assert_allclose(a, a.T, atol=1e-12)


def test_it_removes_what_one_recording_scores_with_everybody():
    """Recordings with a hum score high with all who hum: half of that is gone."""
    rng = np.random.default_rng(0)
    singers = np.repeat(np.arange(40), 2)
    voices = rng.normal(size=(40, 9))[singers] + 0.5 * rng.normal(size=(80, 9))
    voices[:, 0] = rng.normal(size=80)  # the hum: by recording, not by singer
    vectors = normalize(voices)

    def score(x, y):
        return dot(x, y) + 2 * x[:, :1] + 2 * y[:, 0]

    tried, held = vectors[:40], vectors[40:]
    cohort = fit_cohort(held, [str(s) for s in singers[40:]])
    mean, deviation = cohort.statistics(tried, score)
    raw = score(tried, tried)
    normalized = as_norm(raw, (mean[:, None], deviation[:, None]), (mean, deviation))
    a, b = np.triu_indices(40, 1)
    target = singers[a] == singers[b]

    def auc(scores):
        return np.mean(scores[a, b][target][:, None] > scores[a, b][~target])

    assert auc(normalized) > auc(raw) + 0.1


def test_who_is_in_the_cohort():
    vectors = normalize(np.array([[1, 0], [0, 1], [1, 0.1], [-1, 0], [0, -1], [1, 1]], float))
    singers = ["a", "b", "a", "c", "d", "e"]
    centroids = fit_cohort(vectors, singers, top=200)
    assert (list(centroids.singers), centroids.top) == (["a", "b", "c", "d", "e"], 5)
    np.testing.assert_allclose(
        centroids.vectors[0], normalize(vectors[[0, 2]].sum(0)[None])[0], atol=1e-6
    )
    recordings = fit_cohort(vectors, singers, size=3, top=3, centroids=False)
    assert list(recordings.singers) == ["a", "b", "d"]  # evenly over aabcde
    np.testing.assert_array_equal(recordings.vectors, vectors[[0, 1, 4]])


def test_a_cohort_of_equal_vectors_stays_finite():
    cohort = Cohort(np.repeat(unit(1), 5, axis=0), list("abcde"), 5)
    _, deviation = cohort.statistics(unit(3, seed=1), dot)
    assert (deviation > 0).all()


def test_too_few_strangers():
    with pytest.raises(
        SingeridError, match="too few singers for a cohort; found 2; expected at least 3"
    ):
        fit_cohort(unit(4), list("aabb"))
    for top in (2, 6):
        with pytest.raises(
            SingeridError, match=f"cohort_top out of range; found {top}; expected 3 … 5"
        ):
            Cohort(unit(5), list("abcde"), top)
    with pytest.raises(SingeridError, match="5 vectors, 4 singers"):
        Cohort(unit(5), list("abcd"), 3)
    cohort = Cohort(unit(5), list("aaabc"), 4)
    with pytest.raises(
        SingeridError, match="too few other singers; found 2; expected at least 3 vec"
    ):
        cohort.statistics(unit(2), dot, ["b", "a"])
