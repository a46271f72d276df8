"""Identification within a set, against loops written by the definition."""

import numpy as np
import pytest

from singerid.embeddings import normalize
from singerid.naming import _Asking, name_recordings
from test_evaluate import make


def asked(embeddings, **columns):
    found = name_recordings(embeddings.vectors, embeddings.singers, **columns)
    return found.top_1, found.n


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
def test_top_1_equals_the_definition(cross_song, noise):
    embeddings = make(noise=noise)
    # Singer 0 with a single recording, singer 1 with two of one song.
    embeddings = embeddings.select([0, 6, 9, *range(12, 48)])
    assert len({embeddings.label("song")[i] for i in (1, 2)}) == 1
    songs = embeddings.label("song") if cross_song else None
    accuracy, n = asked(embeddings, songs=songs)
    assert (accuracy, n) == pytest.approx(accuracy_by_definition(embeddings, cross_song))
    assert n == 38
    assert 0.1 < accuracy < 1


def test_own_recording_never_helps():
    """With noise alone, the nearest centroid must be right no more often than by chance."""
    embeddings = make(n_singers=10, n_songs=10, takes=2, noise=1e6, dim=64)
    assert asked(embeddings)[0] < 0.2
    assert asked(embeddings, songs=embeddings.label("song"))[0] < 0.2


def test_candidates_of_another_corpus_are_left_out():
    vectors = normalize(np.array([[1, 0], [0.6, 0.8], [1, 0.1], [1, 0.1]]))
    singers, corpora = ["a", "a", "b", "b"], ["A", "A", "B", "B"]
    assert name_recordings(vectors, singers).top_1 == 0.5
    within = name_recordings(vectors, singers, corpora=corpora)
    assert within.top_1 == 1
    assert within.mean_normalized_rank == 0


def ranks_by_definition(embeddings):
    """Singers that come before the right one; no songs, so only the recording is left out."""
    singers, vectors = list(embeddings.singers), embeddings.vectors
    ranks = []
    for i, singer in enumerate(singers):
        scores = {}
        for s in set(singers):
            rows = [j for j in range(len(singers)) if singers[j] == s and j != i]
            scores[s] = normalize(vectors[rows].mean(0)) @ vectors[i]
        ranks.append(sum(score > scores[singer] for score in scores.values()))
    return np.array(ranks)


def test_ranks_equal_the_definition():
    embeddings = make(noise=3)
    ranks = ranks_by_definition(embeddings)
    found = name_recordings(embeddings.vectors, embeddings.singers)
    assert found.top_1 == pytest.approx(np.mean(ranks == 0))
    assert found.top_5 == pytest.approx(np.mean(ranks < 5))
    assert found.mean_normalized_rank == pytest.approx(np.mean(ranks / 8))
    assert 0 < found.mean_normalized_rank < 0.5
    assert found.top_1 < found.top_5 < 1


def average_precision_by_definition(embeddings):
    song, precisions = embeddings.label("song"), []
    for i, singer in enumerate(embeddings.singers):
        others = [
            j for j in range(len(embeddings))
            if j != i and (embeddings.singers[j] != singer or song[j] != song[i])
        ]  # fmt: skip
        others.sort(key=lambda j: -embeddings.vectors[j] @ embeddings.vectors[i])
        hits = [embeddings.singers[j] == singer for j in others]
        found = [sum(hits[: k + 1]) / (k + 1) for k, hit in enumerate(hits) if hit]
        precisions.append(np.mean(found))
    return np.mean(precisions)


def test_mean_average_precision_equals_the_definition():
    embeddings = make(noise=2)
    songs = embeddings.label("song")
    found = name_recordings(embeddings.vectors, embeddings.singers, songs=songs)
    expected = average_precision_by_definition(embeddings)
    assert found.mean_average_precision == pytest.approx(expected, abs=1e-3)
    assert 0.2 < expected < 0.95


def test_the_open_set_needs_strangers_and_is_harder_than_the_closed_one():
    few = make(n_singers=8, noise=1)
    assert name_recordings(few.vectors, few.singers).open_set_rate is None  # 48 recordings
    many = make(n_singers=30, noise=1)
    found = name_recordings(many.vectors, many.singers)
    assert 0.1 < found.open_set_rate < found.top_1 < 1
    perfect = make(n_singers=30, noise=0)
    found = name_recordings(perfect.vectors, perfect.singers)
    assert found.open_set_rate == found.top_1 == 1
    noise = make(n_singers=30, noise=1e6)
    assert name_recordings(noise.vectors, noise.singers).open_set_rate < 0.1


def test_the_interval_is_over_singers():
    embeddings = make(n_singers=12, noise=2)
    found = name_recordings(embeddings.vectors, embeddings.singers, n_bootstrap=300)
    low, high = found.top_1_interval
    assert low < found.top_1 < high
    again = name_recordings(embeddings.vectors, embeddings.singers, n_bootstrap=300)
    assert again == found
    few = make(n_singers=4)
    assert name_recordings(few.vectors, few.singers, n_bootstrap=99).top_1_interval is None


def test_nobody_asks_where_every_singer_has_one_recording():
    vectors = normalize(np.random.default_rng(0).normal(size=(4, 3)))
    assert name_recordings(vectors, list("abcd")) is None


def test_two_candidates_have_no_top_5():
    embeddings = make(n_singers=2)
    found = name_recordings(embeddings.vectors, embeddings.singers)
    assert found.n_singers == 2
    assert found.top_5 is None


def test_of_very_many_recordings_some_ask_but_all_are_candidates(monkeypatch):
    embeddings = make(n_singers=10, n_songs=4, takes=2, noise=1.5)
    everybody = name_recordings(embeddings.vectors, embeddings.singers)
    monkeypatch.setattr("singerid.naming.MAX_ASKING", 30)
    some = name_recordings(embeddings.vectors, embeddings.singers)
    assert (everybody.n, some.n) == (80, 30)
    assert some.n_singers == everybody.n_singers == 10
    assert some.top_1 == pytest.approx(everybody.top_1, abs=0.3)
    assert some == name_recordings(embeddings.vectors, embeddings.singers)
    assert some != name_recordings(embeddings.vectors, embeddings.singers, seed=1)


def test_who_else_asks_changes_no_score():
    embeddings = make(n_singers=10, n_songs=4, takes=2, noise=1.5)
    songs = embeddings.columns()["song"]
    asking = _Asking(embeddings.vectors, embeddings.singers, songs, None)
    everybody = np.concatenate([scores for scores, _ in asking.scores()])
    asking.rows = asking.rows[1::3]
    some = np.concatenate([scores for scores, _ in asking.scores()])
    np.testing.assert_allclose(some, everybody[1::3], atol=1e-6)


def test_blocks_change_nothing(monkeypatch):
    embeddings = make(noise=1.5)
    whole = name_recordings(embeddings.vectors, embeddings.singers)
    monkeypatch.setattr("singerid.naming._BLOCK_SCORES", 1)
    monkeypatch.setattr("singerid.naming._BLOCK_ROWS", 1)
    assert name_recordings(embeddings.vectors, embeddings.singers) == whole


def test_the_longer_the_lists_the_fewer_are_ranked(monkeypatch):
    embeddings = make(noise=1.5)
    every = name_recordings(embeddings.vectors, embeddings.singers)
    monkeypatch.setattr("singerid.naming._MAX_RANKED", 5 * len(embeddings))
    few = name_recordings(embeddings.vectors, embeddings.singers)
    assert 0 < few.mean_average_precision <= 1
    assert few.mean_average_precision != every.mean_average_precision
    assert few.top_1 == every.top_1
