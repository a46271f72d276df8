"""Vectors from elsewhere: every format gives the same set, every bad row its own line."""

import csv
import hashlib
import io
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from singerid.embeddings import read_embeddings, write_embeddings
from singerid.errors import BatchError, SingeridError
from singerid.records import Recording
from singerid.vectors_file import import_vectors

IDS = ["r0", "r1", "r2", "r3"]
SINGERS = ["a", "a", "b", "b"]
SONGS = ["x", "", "y", "x"]
VECTORS = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
UNIT = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)


def write(path, /, vectors=VECTORS, ids=IDS, **columns):
    """One file of any format; `vectors` may be a list of lists of any length in Parquet."""
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["id", *columns, *(f"e{i}" for i in range(len(vectors[0])))])
            for row, id in enumerate(ids):
                lines.writerow([id, *(c[row] for c in columns.values()), *vectors[row]])
    elif path.suffix == ".npz":
        arrays = {name: np.array(column) for name, column in columns.items()}
        np.savez(path, id=np.array(ids), embedding=np.array(vectors), **arrays)
    else:
        lists = [None if v is None else list(map(float, v)) for v in vectors]
        type = pa.list_(pa.float32(), 5) if path.stem == "fixed" else pa.list_(pa.float64())
        pq.write_table(pa.table({"id": ids, **columns, "embedding": pa.array(lists, type)}), path)
    return path


FORMATS = ["v.parquet", "fixed.parquet", "v.npz", "v.csv"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same(tmp_path, name):
    path = write(tmp_path / name, singer=SINGERS, song=SONGS, split=["test"] * 4, path=IDS,
                 sha256=["0"] * 4, seconds=[1.5, 2, 3, 4])  # fmt: skip
    found, failures = import_vectors(path, "theirs")
    assert failures == []
    assert (found.ids, found.singers) == (IDS, SINGERS)
    np.testing.assert_allclose(found.vectors, UNIT, atol=1e-6)
    assert found.vectors.dtype == np.float32
    assert found.labels == {"song": SONGS}
    assert (list(found.splits), list(found.paths)) == (["test"] * 4, IDS)
    assert list(found.seconds) == [1.5, 2, 3, 4]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    assert found.encoder == f"external:theirs:{digest}"
    write_embeddings(tmp_path / "again.parquet", found)
    assert read_embeddings(tmp_path / "again.parquet").labels == found.labels


def test_our_own_file_can_be_read(tmp_path):
    found, _ = import_vectors(write(tmp_path / "v.npz", singer=SINGERS, song=SONGS), "x")
    write_embeddings(tmp_path / "own.parquet", found)
    again, failures = import_vectors(tmp_path / "own.parquet", "y")
    assert failures == []
    np.testing.assert_allclose(again.vectors, found.vectors, atol=1e-6)
    assert (again.ids, again.labels) == (found.ids, {"song": SONGS})
    assert again.encoder.startswith("external:y:")


def recording(id, singer, **labels):
    return Recording(id, singer, f"/{id}.wav", 7.5, 16000, split="valid", labels=labels)


@pytest.mark.parametrize("name", FORMATS)
def test_manifest_says_who_sings(tmp_path, name):
    path = write(tmp_path / name, ids=["r3", "r0", "zz", "r1"], song=SONGS)
    known = [recording(id, s, gender="F") for id, s in zip(IDS, SINGERS, strict=True)]
    warnings = []
    found, failures = import_vectors(path, "theirs", known, warnings.append)
    assert (found.ids, found.singers) == (["r3", "r0", "r1"], ["b", "a", "a"])
    np.testing.assert_allclose(found.vectors, UNIT[[0, 1, 3]], atol=1e-6)
    assert found.labels == {"gender": ["F"] * 3}
    assert list(found.seconds) == [7.5] * 3
    assert list(map(str, failures)) == [f"{path}: row 2 (zz): id is not in the manifest"]
    assert warnings == [f"1 of 4 recordings of the manifest have no vector in {path}"]


def test_singer_that_the_manifest_contradicts(tmp_path):
    path = write(tmp_path / "v.csv", singer=["a", "", "b", "c"])
    known = [recording(id, s) for id, s in zip(IDS, SINGERS, strict=True)]
    found, failures = import_vectors(path, "theirs", known)
    assert found.ids == ["r0", "r1", "r2"]
    message = "row 3 (r3): the manifest names another singer, 'b'; found 'c'"
    assert list(map(str, failures)) == [f"{path}: {message}"]


@pytest.mark.parametrize("name", FORMATS)
def test_bad_vectors_are_named_and_the_rest_goes_on(tmp_path, name):
    vectors = VECTORS.copy()
    vectors[1], vectors[2, 3] = 0, np.nan
    path = write(tmp_path / name, vectors, singer=SINGERS)
    found, failures = import_vectors(path, "theirs")
    assert found.ids == ["r0", "r3"]
    np.testing.assert_allclose(found.vectors, UNIT[[0, 3]], atol=1e-6)
    assert list(map(str, failures)) == [
        f"{path}: row 1 (r1): vector is zero: it has no direction",
        f"{path}: row 2 (r2): vector holds values that are not finite numbers",
    ]
    path = write(tmp_path / name, np.zeros((4, 5)), singer=SINGERS)
    with pytest.raises(BatchError, match="none of 4 vectors can be used") as caught:
        import_vectors(path, "theirs")
    assert len(caught.value.failures) == 4


def test_vectors_of_another_length(tmp_path):
    rows = [[1, 2], VECTORS[1], None, VECTORS[3]]
    path = write(tmp_path / "v.parquet", rows, singer=SINGERS)
    found, failures = import_vectors(path, "theirs")
    np.testing.assert_allclose(found.vectors, UNIT[[1, 3]], atol=1e-6)
    assert list(map(str, failures)) == [
        f"{path}: row 0 (r0): is no vector of 5 dimensions; found 2 numbers",
        f"{path}: row 2 (r2): is no vector of 5 dimensions; found 0 numbers",
    ]


def test_words_among_the_numbers_of_a_csv(tmp_path):
    path = tmp_path / "v.csv"
    path.write_text("id,singer,e0,e1\na,x,1,2\nb,x,oops,2\nc,y,,3\nd,y,1e-3,inf\ne,y,0,-1\n")
    found, failures = import_vectors(path, "theirs")
    np.testing.assert_allclose(found.vectors, [[5**-0.5, 2 * 5**-0.5], [0, -1]], atol=1e-6)
    assert [str(f).partition(": ")[2] for f in failures] == [
        f"row {row} ({id}): vector holds values that are not finite numbers"
        for row, id in ((1, "b"), (2, "c"), (3, "d"))
    ]


def test_ids_and_singers_must_be_there_once(tmp_path):
    path = write(tmp_path / "v.csv", ids=["a", "b", "a", ""], singer=["x", "", "y", "z"])
    found, failures = import_vectors(path, "theirs")
    assert found.ids == ["a"]
    assert list(map(str, failures)) == [
        f"{path}: row 1 (b): singer is empty",
        f"{path}: row 2 (a): id appears twice; found first in row 0",
        f"{path}: row 3 (): id is empty",
    ]


def test_numbers_as_ids(tmp_path):
    for name in ("v.npz", "v.csv", "v.parquet"):
        found, _ = import_vectors(write(tmp_path / name, ids=[3, 1, 2, 7], singer=SINGERS), "x")
        assert found.ids == ["3", "1", "2", "7"]


def test_labels_of_categories(tmp_path):
    columns = {"id": IDS, "singer": pa.array(SINGERS).dictionary_encode(),
               "song": pa.array(["x", None, "y", "x"]).dictionary_encode(),
               "year": [1, 2, 3, 4], "embedding": VECTORS.tolist()}  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "v.parquet")
    found, _ = import_vectors(tmp_path / "v.parquet", "x")
    assert found.singers == SINGERS
    assert found.labels == {"song": SONGS}  # numbers are no labels


def test_files_that_cannot_be_used(tmp_path):
    def refused(name, message, content=None):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SingeridError, match=message) as caught:
            import_vectors(path, "x")
        assert str(caught.value).startswith(f"{path}: ")

    refused(
        "v.txt", r"is not a file of vectors; found .txt; expected .parquet or .npz or .csv", b""
    )
    refused("gone.csv", "cannot be read; found No such file")
    refused("a.parquet", "cannot be read as Parquet", b"PAR1 nothing")
    refused("a.npz", "cannot be read as .npz", b"nothing")
    refused("b.npz", "cannot be read as .npz", b"PK\x03\x04 nothing")
    refused("a.csv", "cannot be read as CSV", b"")
    refused("b.csv", "cannot be read as CSV", b"id,e0\na,1,2\n")
    refused("c.csv", "has no column 'e0'; found id, singer", b"id,singer\na,b\n")
    refused("d.csv", "has no column 'singer'; found id; give the manifest", b"id,e0\na,1\n")
    refused("e.csv", "has no column 'id'", b"singer,e0\na,1\n")
    refused("f.csv", "none of 0 vectors", b"id,singer,e0\n")
    np.savez(tmp_path / "c.npz", id=np.array(IDS))
    refused("c.npz", "has no column 'embedding'; found id")
    np.savez(tmp_path / "d.npz", id=np.array(IDS), embedding=VECTORS[:3])
    refused(
        "d.npz", r"'embedding' does not fit the ids; found float32 \(3, 5\); expected \(4, dim\)"
    )
    np.savez(tmp_path / "e.npz", id=np.array(IDS, object), embedding=VECTORS)
    refused("e.npz", "cannot be read as .npz")  # a pickle could run code
    np.save(tmp_path / "f", VECTORS)
    (tmp_path / "f.npy").rename(tmp_path / "f.npz")
    refused("f.npz", "cannot be read as .npz")
    pq.write_table(pa.table({"id": IDS, "singer": SINGERS}), tmp_path / "b.parquet")
    refused("b.parquet", "has no column 'embedding'; found id, singer")
    pq.write_table(pa.table({"id": IDS, "embedding": SINGERS}), tmp_path / "c.parquet")
    refused("c.parquet", "'embedding' holds no vectors; found string; expected lists of numbers")


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return type(self.canary).touch, (self.canary,)


def npz(path, **members):
    """Arrays, or bytes as they are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in members.items():
            data = io.BytesIO()
            if isinstance(value, bytes):
                data.write(value)
            else:
                np.save(data, value)
            archive.writestr(f"{name}.npy", data.getvalue())
    return path


def test_pickled_objects_are_never_unpickled(tmp_path):
    evil = np.array([Payload(tmp_path / "canary"), "b"], object)
    with pytest.raises(SingeridError, match=r"v.npz: cannot be read as .npz; found Object arrays"):
        import_vectors(npz(tmp_path / "v.npz", id=evil, embedding=np.eye(2)), "x")
    assert not (tmp_path / "canary").exists()
    evil[0].canary.touch()  # it would have
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("embedding", "found"),
    [
        (np.zeros((1 << 12, 1 << 10)), "bytes that unpack to"), (b"no array", "which is no array"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, "
         b"'shape': (1000000000000, 4)}".ljust(128) + b"\n", "Unable to allocate|."),
    ],
)  # fmt: skip
def test_npz_files_that_lie(tmp_path, embedding, found):
    path = npz(tmp_path / "v.npz", id=np.array(["a"]), embedding=embedding)
    with pytest.raises(SingeridError, match=f"v.npz: cannot be read as .npz; found .*({found})"):
        import_vectors(path, "x")


def test_vectors_too_large_to_have_a_length(tmp_path):
    path = npz(tmp_path / "v.npz", id=np.array(["a", "b"]), singer=np.array(["x", "y"]),
               embedding=np.array([[1e300, 1e300], [1, 0]]))  # fmt: skip
    found, failures = import_vectors(path, "x")
    assert found.ids == ["b"]
    assert "row 0 (a): vector holds values that are not finite numbers" in str(failures[0])
