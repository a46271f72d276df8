"""Sets of vectors: checked, selected, and the same after a journey through Parquet."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singerid.embeddings import (
    EmbeddingSet,
    check_same_encoder,
    mean_direction,
    normalize,
    read_embeddings,
    write_embeddings,
)
from singerid.errors import ManifestError, MismatchError, SingeridError


def vectors(n, dim=4, seed=0):
    return normalize(np.random.default_rng(seed).normal(size=(n, dim)))


def make(n=5):
    """Rows with values of every kind that a file must bring back."""
    ids = ["a b", "ü/ж", "x\ny", "日本", 'q"\\,', *(f"r{i}" for i in range(n))][:n]
    return EmbeddingSet(
        ids, [f"s {i % 2}é" for i in range(n)], vectors(n), "abc123",
        [1.5 + i / 3 for i in range(n)], [i + 1 for i in range(n)],
        ["train", "valid", "test", "", "test"][:n], [f"/audio/{i}.wav" for i in range(n)],
        {"gender": ["F", "M", "", "F", "M"][:n], "größe": ["", "", "", "", "x"][:n]},
        [f"{i:064x}" for i in range(n)],
    )  # fmt: skip


def assert_same(a, b):
    for name in ("ids", "singers", "seconds", "n_partials", "splits", "paths", "hashes"):
        assert list(getattr(a, name)) == list(getattr(b, name)), name
    np.testing.assert_array_equal(a.vectors, b.vectors)
    assert a.vectors.dtype == b.vectors.dtype == np.float32
    assert a.encoder == b.encoder
    assert {k: list(v) for k, v in a.labels.items()} == {k: list(v) for k, v in b.labels.items()}


# directions


def test_normalize_equals_the_loop():
    rows = np.random.default_rng(1).normal(size=(7, 5))
    expected = [[x / np.sqrt(sum(y * y for y in row)) for x in row] for row in rows]
    np.testing.assert_allclose(normalize(rows), expected, rtol=1e-6)
    assert normalize(rows).dtype == np.float32


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, 1e-20])
def test_vector_without_direction_is_refused(bad):
    rows = np.ones((4, 3))
    rows[2] = bad
    with pytest.raises(SingeridError, match="row 2: an embedding has no direction; found a zero o"):
        normalize(rows)


def test_mean_direction_equals_the_loop():
    rows = vectors(6)
    total = [sum(float(row[k]) for row in rows) for k in range(4)]
    expected = np.array(total) / np.sqrt(sum(x * x for x in total))
    np.testing.assert_allclose(mean_direction(rows), expected, rtol=1e-6)
    np.testing.assert_allclose(mean_direction(rows[:1]), rows[0], rtol=1e-6)
    with pytest.raises(SingeridError, match="no direction"):
        mean_direction(np.array([[1.0, 0.0], [-1.0, 0.0]]))


def test_two_encoders_never_mix():
    check_same_encoder("a", "a")
    with pytest.raises(MismatchError) as caught:
        check_same_encoder("aaa", "bbb", "table")
    assert str(caught.value) == (
        "table: vectors of two different encoders cannot be compared; found encoders aaa and bbb; "
        "embed both with the same --encoder"
    )


# the set


def test_defaults():
    few = EmbeddingSet(["a", "b"], ["x", "y"], vectors(2), "e")
    assert list(few.seconds) == [0.0, 0.0]
    assert list(few.n_partials) == [0, 0]
    assert list(few.splits) == list(few.paths) == ["", ""]
    assert len(few) == 2
    assert len(EmbeddingSet([], [], np.zeros((0, 4), np.float32), "e")) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"singers": ["x"]}, "column 'singers' has 1 rows; expected 5"),
        ({"seconds": [1.0, 2.0]}, "column 'seconds' has 2 rows; expected 5"),
        ({"splits": ["train"]}, "column 'splits' has 1 rows; expected 5"),
        ({"paths": ["x"] * 6}, "column 'paths' has 6 rows; expected 5"),
        ({"labels": {"gender": ["F"]}}, "column 'gender' has 1 rows; expected 5"),
        ({"vectors": vectors(4)}, r"vectors do not fit ids; found \(4, 4\); expected \(5, 'dim'\)"),
        ({"vectors": vectors(5)[0]}, r"vectors do not fit ids; found \(4,\)"),
        ({"vectors": 2 * vectors(5)}, "a b: vector is not of unit length; found length 2$"),
        ({"vectors": vectors(5) * np.nan}, "a b: vector is not of unit length; found length nan"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(SingeridError, match=message):
        dataclasses.replace(make(), **changes)


def test_label():
    embeddings = make()
    assert embeddings.label("gender") == ["F", "M", "", "F", "M"]
    assert embeddings.label("singer") == list(embeddings.singers)
    assert embeddings.label("split") == list(embeddings.splits)
    with pytest.raises(
        SingeridError, match="no label 'song' in the embeddings; expected gender or "
    ):
        embeddings.label("song")


@pytest.mark.parametrize(
    ("conditions", "rows"),
    [
        (["gender=F"], [0, 3]), (["gender!=F"], [1, 2, 4]), (["split=test,valid"], [1, 2, 4]),
        (["gender=M", "split=test"], [4]), (["id=x\ny"], [2]), (["singer=s 1é"], [1, 3]),
        (["größe="], [0, 1, 2, 3]), ([], [0, 1, 2, 3, 4]),
    ],
)  # fmt: skip
def test_where(conditions, rows):
    assert_same(make().where(conditions), make().select(rows))


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("gender=X", "--select: nothing fits; found gender=X"),
        ("song=1", "--select: nothing has a label 'song'; expected gender or "),
        ("gender", "--select: cannot read the condition; found gender; expected label=value"),
        ("=F", "--select: cannot read the condition; found =F"),
    ],
)
def test_condition_errors(condition, message):
    with pytest.raises((SingeridError, ManifestError), match=message):
        make().where([condition])


def test_select_keeps_rows_together_in_the_given_order():
    embeddings, order = make(), [3, 0, 4]
    chosen = embeddings.select(order)
    for new, old in enumerate(order):
        assert chosen.ids[new] == embeddings.ids[old]
        assert chosen.singers[new] == embeddings.singers[old]
        assert chosen.seconds[new] == embeddings.seconds[old]
        assert chosen.n_partials[new] == embeddings.n_partials[old]
        assert chosen.splits[new] == embeddings.splits[old]
        assert chosen.paths[new] == embeddings.paths[old]
        assert chosen.labels["gender"][new] == embeddings.labels["gender"][old]
        np.testing.assert_array_equal(chosen.vectors[new], embeddings.vectors[old])
    mask = np.array([True, False, False, True, True])
    assert_same(embeddings.select(mask), embeddings.select([0, 3, 4]))
    assert len(embeddings.select([])) == 0


# on disk


@pytest.mark.parametrize("n", [0, 1, 5])
def test_round_trip(tmp_path, n):
    path = tmp_path / "split=test" / "e.parquet"  # a name that Parquet readers may interpret
    write_embeddings(path, make(n))
    found = read_embeddings(path)
    assert_same(found, make(n))
    assert found.vectors.shape == (n, 4)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 6), texts.filter(bool))
def test_any_text_survives(tmp_path_factory, data, n, encoder):
    column = st.lists(texts, min_size=n, max_size=n)
    label = data.draw(texts.filter(lambda name: name not in ("id", "singer", "split", "path")))
    embeddings = EmbeddingSet(
        data.draw(column), data.draw(column), vectors(n), encoder,
        labels={label: data.draw(column)} if label else {},
    )  # fmt: skip
    path = tmp_path_factory.mktemp("any") / "e.parquet"
    write_embeddings(path, embeddings)
    assert_same(read_embeddings(path), embeddings)


def test_other_programs_can_read_it(tmp_path):
    write_embeddings(tmp_path / "e.parquet", make())
    table = pq.read_table(tmp_path / "e.parquet")
    assert table.column_names == [
        "id", "singer", "split", "path", "sha256", "seconds", "n_partials", "embedding",
        "gender", "größe",
    ]  # fmt: skip
    assert table.schema.metadata[b"singerid.encoder"] == b"abc123"
    assert table["embedding"].type == pa.list_(pa.float32(), 4)
    np.testing.assert_array_equal(np.array(table["embedding"].to_pylist()), make().vectors)


def test_files_of_the_first_version_have_no_hashes(tmp_path):
    write_embeddings(tmp_path / "e.parquet", make())
    table = pq.read_table(tmp_path / "e.parquet")
    metadata = dict(table.schema.metadata)
    metadata.pop(b"singerid.crc32")  # and no checksum
    old = table.drop_columns(["sha256"]).replace_schema_metadata(metadata)
    pq.write_table(old, tmp_path / "old.parquet")
    old = read_embeddings(tmp_path / "old.parquet")
    assert list(old.hashes) == [""] * 5
    assert "sha256" not in old.labels


def test_what_is_no_file_of_embeddings_is_refused(tmp_path):
    def refused(path, message):
        with pytest.raises(SingeridError, match=message) as caught:
            read_embeddings(path)
        assert len(str(caught.value).splitlines()) == 1

    path = tmp_path / "e.parquet"
    refused(path, r"e.parquet: cannot read embeddings; found .*[Nn]o such file")
    write_embeddings(path, make())
    # A folder of two encoders' files could otherwise pass as one set.
    refused(tmp_path, r": cannot read embeddings; found .*")
    good = path.read_bytes()
    for bad in (b"", b"text", good[:-1], good[: len(good) // 2], good[100:]):
        path.write_bytes(bad)
        refused(path, r"e.parquet: cannot read embeddings; found ")
    path.write_bytes(good)
    table = pq.read_table(path)

    def rewrite(changed):
        pq.write_table(changed, path)

    rewrite(table.replace_schema_metadata({}))
    refused(path, "not a file of embeddings; found kind 'unknown'; make one: singerid embed")
    rewrite(table.drop_columns(["seconds"]))
    refused(path, "found kind 'embeddings', no column 'seconds'; make one: singerid embed")
    rewrite(table.replace_schema_metadata({**table.schema.metadata, b"singerid.kind": b"table"}))
    refused(path, "not a file of embeddings; found kind 'table'; make one: singerid embed")
    index = table.column_names.index("embedding")
    rewrite(table.set_column(index, "embedding", pa.array(["x"] * 5)))
    refused(path, "found kind 'embeddings', no vectors in column 'embedding'; make one")


def test_damaged_values_are_noticed(tmp_path):
    path = tmp_path / "e.parquet"
    write_embeddings(path, make())
    data = path.read_bytes()
    place = data.index(make().vectors.tobytes()[:4]) + 1
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    with pytest.raises(SingeridError, match=r"cannot read embeddings; found .*CRC checksum"):
        read_embeddings(path)


def test_damage_that_no_page_has_is_noticed(tmp_path):
    """Names, the fingerprint and headers of pages are outside of Parquet's own checksums."""
    path = tmp_path / "e.parquet"
    write_embeddings(path, make())
    data = path.read_bytes()
    for text in ("größe", "abc123"):
        altered = data.replace(text.encode(), text.encode()[:-1] + b"x")
        assert altered != data
        path.write_bytes(altered)
        with pytest.raises(SingeridError, match=r"e.parquet: embeddings: content does not match"):
            read_embeddings(path)
    path.write_bytes(data)
    assert_same(read_embeddings(path), make())


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "e.parquet"
    write_embeddings(path, make(2))

    def full_disk(*more, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_embeddings(path, make())
    assert_same(read_embeddings(path), make(2))
    assert [p.name for p in tmp_path.iterdir()] == ["e.parquet"]


@pytest.mark.parametrize(
    ("column", "values", "found"),
    [
        ("singer", pa.nulls(5, pa.string()), "no texts in column 'singer'"),
        ("id", pa.array(range(5)), "no texts in column 'id'"),
        ("seconds", pa.nulls(5, pa.float64()), "no numbers in column 'seconds'"),
        ("seconds", pa.array([None, 1.0, 1, 1, 1]), "no numbers in column 'seconds'"),
        ("embedding", pa.nulls(5, pa.list_(pa.float32(), 3)),  # which an older Arrow does not read
         "(no vectors in column 'embedding'|cannot read embeddings; found Expected all lists)"),
        ("embedding", pa.array([["a"]] * 5, pa.list_(pa.string(), 1)), "no vectors in column"),
        ("embedding", pa.array([[]] * 5, pa.list_(pa.float32(), 0)), "cannot read embeddings"),
        ("embedding", pa.array([[np.nan, 0]] * 5, pa.list_(pa.float32(), 2)), "nan in row 0"),
        ("embedding", pa.array([[1, 0]] * 4 + [[2, 0]], pa.list_(pa.float32(), 2)), "2 in row 4"),
    ],
)  # fmt: skip
def test_columns_of_other_values_are_refused(tmp_path, column, values, found):
    path = tmp_path / "e.parquet"
    write_embeddings(path, make())
    table = pq.read_table(path)
    facts = {k: v for k, v in table.schema.metadata.items() if b"crc32" not in k}
    place = table.column_names.index(column)
    table = table.set_column(place, column, values).replace_schema_metadata(facts)
    pq.write_table(table, path)
    with pytest.raises(SingeridError, match=f"e.parquet: .*{found}"):
        read_embeddings(path)


def test_a_checksum_of_columns_that_are_never_written(tmp_path):
    path = tmp_path / "e.parquet"
    write_embeddings(path, make())
    table = pq.read_table(path).append_column("label", pa.nulls(5, pa.date32()))
    pq.write_table(table, path)
    with pytest.raises(SingeridError, match="content does not match its checksum"):
        read_embeddings(path)
    pq.write_table(table.append_column("label", table["id"]), path)
    with pytest.raises(SingeridError, match="found kind 'embeddings', 'label' twice"):
        read_embeddings(path)
