"""The table of singers against loops; what it draws, keeps and refuses."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singerid.embeddings import EmbeddingSet, normalize, write_embeddings
from singerid.errors import MismatchError, SingeridError
from singerid.sections import TableSettings
from singerid.table import build_table, draw, read_table, write_table


def make(counts, dim=5, seed=0, **labels):
    """`counts`: recordings of each singer; their rows are interleaved."""
    rng = np.random.default_rng(seed)
    singers = [s for s, n in counts.items() for _ in range(n)]
    rng.shuffle(singers)
    n = len(singers)
    columns = {name: [value(s, i) for i, s in enumerate(singers)] for name, value in labels.items()}
    return EmbeddingSet(
        [f"r{i}" for i in range(n)], singers, normalize(rng.normal(size=(n, dim)) + 0.5), "enc",
        [1.0 + i for i in range(n)], labels=columns,
    )  # fmt: skip


def naive(embeddings):
    """Per singer: the normalized mean, the number, the seconds and the spread, by loops."""
    result = {}
    for singer in set(embeddings.singers):
        rows = [i for i, s in enumerate(embeddings.singers) if s == singer]
        total = np.zeros(embeddings.vectors.shape[1])
        for i in rows:
            total += embeddings.vectors[i]
        centroid = total / np.sqrt((total**2).sum())
        distances = [1 - float(embeddings.vectors[i] @ centroid) for i in rows]
        seconds = sum(embeddings.seconds[i] for i in rows)
        spread = sum(distances) / len(rows) if len(rows) > 1 else 0.0
        result[singer] = centroid, len(rows), seconds, spread
    return result


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.text("abcé ", min_size=1, max_size=3), st.integers(1, 5), min_size=1),
    st.integers(0, 99),
)
def test_equals_the_loops(counts, seed):
    embeddings = make(counts, seed=seed)
    table = build_table(embeddings)
    expected = naive(embeddings)
    assert list(table.singers) == sorted(counts)
    assert len(table) == len(counts)
    assert table.encoder == "enc"
    np.testing.assert_allclose(np.linalg.norm(table.centroids, axis=1), 1, atol=1e-6)
    for row, singer in enumerate(table.singers):
        centroid, n, seconds, spread = expected[singer]
        np.testing.assert_allclose(table.centroids[row], centroid, atol=1e-6)
        assert table.n_recordings[row] == n
        assert table.seconds[row] == pytest.approx(seconds)
        assert table.spread[row] == pytest.approx(spread, abs=1e-6)


def test_spread_by_hand():
    """Two recordings 60 degrees apart lie 30 degrees from their centroid."""
    vectors = np.array([[1, 0], [0.5, np.sqrt(0.75)], [0, 1]], np.float32)
    table = build_table(EmbeddingSet(["a", "b", "c"], ["x", "x", "y"], vectors, "e"))
    assert table.spread == pytest.approx([1 - np.sqrt(0.75), 0.0], abs=1e-6)


def test_spread_of_equal_recordings_is_not_negative():
    vectors = normalize(np.random.default_rng(0).normal(size=(200, 7)))
    singers = [f"s{i}" for i in range(200)]
    twice = EmbeddingSet(
        [f"r{i}" for i in range(400)], singers * 2, np.concatenate([vectors, vectors]), "e"
    )
    spread = build_table(twice).spread
    assert min(spread) >= 0
    assert max(spread) < 1e-6


def test_order_of_rows_does_not_matter():
    embeddings = make({"a": 4, "b": 2, "c": 3})
    table = build_table(embeddings)
    turned = build_table(embeddings.select(np.random.default_rng(1).permutation(9)))
    assert list(turned.singers) == list(table.singers)
    np.testing.assert_allclose(turned.centroids, table.centroids, atol=1e-6)


def test_singers_with_few_recordings_are_left_out():
    embeddings = make({"a": 1, "b": 3, "c": 2})
    assert build_table(embeddings, TableSettings(min_recordings=2)).singers == ["b", "c"]
    with pytest.raises(SingeridError) as caught:
        build_table(embeddings, TableSettings(min_recordings=4))
    assert str(caught.value) == (
        "no singer has enough recordings; found at most 3; expected 4; lower --table.min_recordings"
    )


def test_limits_are_drawn_by_seed():
    embeddings = make({f"s{i:02d}": 6 for i in range(20)})

    def table(seed):
        return build_table(embeddings, TableSettings(max_singers=5, max_recordings=2, seed=seed))

    first = table(0)
    assert len(first) == 5
    assert list(first.singers) == sorted(first.singers)
    assert list(first.n_recordings) == [2] * 5
    np.testing.assert_array_equal(first.centroids, table(0).centroids)
    assert len({tuple(table(seed).singers) for seed in range(5)}) == 5
    # Each centroid is that of some two of the singer's recordings.
    for singer, centroid in zip(first.singers, first.centroids, strict=True):
        rows = embeddings.vectors[[s == singer for s in embeddings.singers]]
        pairs = [normalize((a + b)[None])[0] for i, a in enumerate(rows) for b in rows[:i]]
        assert min(np.abs(pair - centroid).max() for pair in pairs) < 1e-6
    assert len(build_table(embeddings, TableSettings(max_singers=99, max_recordings=99))) == 20


def test_draw():
    items = list("abcdefgh")
    rng = np.random.default_rng(0)
    assert draw(items, 0, rng) == draw(items, 8, rng) == draw(items, 9, rng) == items
    draws = [draw(items, 3, rng) for _ in range(200)]
    assert all(d == sorted(set(d)) and len(d) == 3 for d in draws)
    assert {item for d in draws for item in d} == set(items)


def test_labels_are_kept_where_they_are_the_singers_own():
    embeddings = make(
        {"a": 3, "b": 2, "c": 1},
        gender=lambda s, i: {"a": "F", "b": "M", "c": ""}[s],
        song=lambda s, i: f"song {i}" if s != "c" else "only",
        take=lambda s, i: str(i) if s != "c" else "",
    )
    table = build_table(embeddings)
    assert table.labels == {"gender": ["F", "M", ""], "song": ["", "", "only"]}


def test_questions():
    table = build_table(make({"a": 4, "b": 3, "c": 2}))
    vector = table.centroids[1]
    scores = table.score(np.stack([vector, -vector]), "enc")
    assert scores.shape == (2, 3)
    for column, centroid in enumerate(table.centroids):
        assert scores[0, column] == pytest.approx(float(np.dot(vector, centroid)), abs=1e-6)
        assert scores[1, column] == pytest.approx(-scores[0, column], abs=1e-6)
    assert table.verify(vector, "b", "enc") == pytest.approx(1, abs=1e-6)
    assert table.verify(vector, "c", "enc") == pytest.approx(float(scores[0, 2]))
    ranked = table.identify(vector, "enc", top=2)
    order = sorted(range(3), key=lambda i: -scores[0, i])[:2]
    assert [name for name, _ in ranked] == [table.singers[i] for i in order]
    assert ranked[0] == ("b", pytest.approx(1, abs=1e-6))
    assert len(table.identify(vector, "enc", top=99)) == 3
    with pytest.raises(SingeridError, match="no singer 'z' in the table; found 3 singers"):
        table.verify(vector, "z", "enc")
    for ask in (
        lambda: table.score(vector, "other"),
        lambda: table.verify(vector, "a", "other"),
        lambda: table.identify(vector, "other"),
    ):
        with pytest.raises(
            MismatchError, match=r"table: vectors of two different encoders.*other and"
        ):
            ask()


def test_conditioning_vectors_come_in_the_order_asked_for():
    table = build_table(make({"a": 2, "b": 3, "c": 1}))
    assert (table.vectors(["c", "a", "c"]) == table.centroids[[2, 0, 2]]).all()
    assert table.vectors([]).shape == (0, 5)
    with pytest.raises(SingeridError, match="no singer 'd' in the table; found 3 singers"):
        table.vectors(["a", "d"])


def test_round_trip(tmp_path):
    embeddings = make({"ü ж": 2, "日本\n": 3}, gender=lambda s, i: "F" if s == "ü ж" else "M")
    table = build_table(embeddings)
    write_table(tmp_path / "t.parquet", table)
    found = read_table(tmp_path / "t.parquet")
    for name in ("singers", "n_recordings", "seconds", "spread", "labels", "encoder"):
        assert getattr(found, name) == getattr(table, name)
    np.testing.assert_array_equal(found.centroids, table.centroids)
    assert found.centroids.dtype == np.float32
    names = pq.read_table(tmp_path / "t.parquet").column_names
    assert names == ["singer", "n_recordings", "seconds", "spread", "embedding", "gender"]


def test_other_files_are_refused(tmp_path):
    embeddings = make({"a": 2})
    write_embeddings(tmp_path / "e.parquet", embeddings)
    with pytest.raises(SingeridError, match="not a file of table; found kind 'embeddings', no col"):
        read_table(tmp_path / "e.parquet")
    table = dataclasses.replace(build_table(embeddings))
    write_table(tmp_path / "t.parquet", table)
    with pytest.raises(SingeridError, match=r"cannot read table; found .*No such file"):
        read_table(tmp_path / "u.parquet")
