"""Files elsewhere: whole or an error, and tried again when the network fails."""

import io
import secrets

import fsspec
import numpy as np
import pytest
import soundfile
from fsspec.implementations.memory import MemoryFileSystem

from singerid import audio, remote
from singerid.corpora import scan
from singerid.embeddings import read_embeddings, write_embeddings
from singerid.errors import AudioError, ManifestError, MissingExtraError, SingeridError
from singerid.manifest import build
from singerid.pretrained import path_of
from singerid.records import Recording, atomic_write, read_recordings, write_recordings
from singerid.sections import ManifestSettings
from test_embeddings import make

RATE = 16000


class Flaky(MemoryFileSystem):
    """A file system in memory whose transfers fail, or end too soon, as often as it is told.

    Attributes:
        failures: that are still to come.
        cut: bytes that the next copies lack.
    """

    protocol = "flaky"
    store, pseudo_dirs = {}, [""]
    failures, cut = 0, 0

    def get_file(self, rpath, lpath, **kwargs):
        if Flaky.failures:
            Flaky.failures -= 1
            raise ConnectionResetError("connection reset")
        data = self.cat_file(rpath)
        with open(lpath, "wb") as file:
            file.write(data[: len(data) - Flaky.cut])

    def put_file(self, lpath, rpath, **kwargs):
        if Flaky.failures:
            Flaky.failures -= 1
            raise TimeoutError("timed out")
        with open(lpath, "rb") as file:
            self.pipe_file(rpath, file.read())


fsspec.register_implementation("flaky", Flaky, clobber=True)


@pytest.fixture(autouse=True)
def _calm(monkeypatch):
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0, 0.0))
    Flaky.failures = Flaky.cut = 0


@pytest.fixture
def folder():
    return f"memory://{secrets.token_hex(4)}"


def put(url, data):
    system, path = remote.file_system(url)
    system.pipe_file(path, data)


def wav(seconds=1.0, seed=0):
    file = io.BytesIO()
    samples = np.random.default_rng(seed).normal(0, 0.1, round(RATE * seconds))
    soundfile.write(file, samples, RATE, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("s3://b/x", True), ("memory://x", True), ("a.wav", False), ("C:/x.wav", False),
     ("C:\\x", False), ("://x", False), ("x:y", False), ("/s3://b", False)],
)  # fmt: skip
def test_what_is_a_url(name, expected):
    assert remote.is_url(name) is expected


def test_a_path_is_no_url(tmp_path):
    assert not remote.is_url(tmp_path)
    with remote.fetched(tmp_path / "none") as file:
        assert file == tmp_path / "none"


def test_names_below_a_url():
    assert remote.joined("s3://b/x/", "y/z.wav") == "s3://b/x/y/z.wav"
    assert remote.joined("s3://b/x", "s3://c/z") == "s3://c/z"
    assert remote.joined("s3://b/x", "/z") == "/z"
    assert remote.parent_of("s3://b/x/y.wav") == "s3://b/x"


def test_a_copy_lasts_as_long_as_it_is_needed(folder):
    put(f"{folder}/a.parquet", b"abc")
    with remote.fetched(f"{folder}/a.parquet") as file:
        assert (file.read_bytes(), file.suffix) == (b"abc", ".parquet")
    assert not file.exists()


def test_a_kept_copy_is_fetched_once(folder):
    put(f"{folder}/encoder.onnx", b"abc")
    first = path_of(f"{folder}/encoder.onnx", ".onnx")
    put(f"{folder}/encoder.onnx", b"xyz")
    assert path_of(f"{folder}/encoder.onnx", ".onnx") == first
    assert (first.name, first.read_bytes()) == ("encoder.onnx", b"abc")


def test_written_when_whole_or_not_at_all(folder):
    url = f"{folder}/below/x.txt"
    with atomic_write(url) as file:
        file.write("first")
    with pytest.raises(ZeroDivisionError), atomic_write(url) as file:
        file.write("second") / 0
    with remote.fetched(url) as copy:
        assert copy.read_text() == "first"


def test_what_fails_is_tried_again():
    Flaky.failures = 3
    with atomic_write("flaky://x/a.txt") as file:
        file.write("abc")
    Flaky.failures = 3
    with remote.fetched("flaky://x/a.txt") as copy:
        assert copy.read_text() == "abc"


def test_what_fails_each_time_is_an_error():
    put("flaky://x/b.txt", b"abc")
    Flaky.failures = 4
    expected = (
        "flaky://x/b.txt: cannot be fetched; found connection reset, 4 times; check the network "
        "and run the same command again"
    )
    with pytest.raises(AudioError) as caught, remote.fetched("flaky://x/b.txt", AudioError):
        pass
    assert str(caught.value) == expected
    Flaky.failures = 4
    with (
        pytest.raises(SingeridError, match=r"b.txt: cannot be written; found timed out, 4 times"),
        atomic_write("flaky://x/b.txt") as file,
    ):
        file.write("x")


def test_a_copy_that_ends_too_soon_is_an_error():
    put("flaky://x/a.wav", wav())
    Flaky.cut = 1000
    with pytest.raises(AudioError, match=r"a.wav: cannot be fetched; found 31044 of 32044 bytes"):
        audio.load("flaky://x/a.wav", RATE)


@pytest.mark.parametrize(
    ("url", "expected"),
    [("nothing://x/a.wav", "nothing://x/a.wav: is no URL that fsspec can open; found Protocol not"),
     ("memory://none/a.wav", "memory://none/a.wav: cannot be fetched; found No such file or dir"),
     ("zip://a.wav::memory://x.zip", "zip://a.wav::memory://x.zip: is a chain of URLs; expected")],
)  # fmt: skip
def test_errors(url, expected):
    with pytest.raises(SingeridError) as caught:
        audio.load(url, RATE)
    assert str(caught.value).startswith(expected)


def test_a_package_that_is_missing_is_named(monkeypatch):
    def none(url):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", none)
    with pytest.raises(SingeridError, match=r"needs a package .* found Install s3fs to access S3"):
        remote.file_system("s3://b/x")
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'singerid\[remote\]'"):
        remote.file_system("s3://b/x")


def test_audio_is_the_same_from_elsewhere(tmp_path, folder):
    data = wav()
    (tmp_path / "a.wav").write_bytes(data)
    put(f"{folder}/a.wav", data)
    assert np.array_equal(
        audio.load(f"{folder}/a.wav", RATE)[0], audio.load(tmp_path / "a.wav", RATE)[0]
    )
    put(f"{folder}/bad.wav", data[:2000])
    with pytest.raises(AudioError, match=f"^{folder}/bad.wav: is truncated"):
        audio.load(f"{folder}/bad.wav", RATE)


def test_a_manifest_elsewhere_names_its_neighbors(tmp_path, folder):
    rows = [
        Recording("a", "s", "deep/a.wav", 1.0, RATE),
        Recording("b", "s", "s3://other/b.wav", 1.0, RATE),
        Recording("c", "s", "/here/c.wav", 1.0, RATE),
    ]
    expected = [f"{folder}/deep/a.wav", "s3://other/b.wav", "/here/c.wav"]
    write_recordings(f"{folder}/m.jsonl", rows)
    assert [r.path for r in read_recordings(f"{folder}/m.jsonl")] == expected
    write_recordings(tmp_path / "m.jsonl", rows)
    assert [r.path for r in read_recordings(tmp_path / "m.jsonl")][1:] == expected[1:]
    with pytest.raises(ManifestError, match=r"none.jsonl: cannot be fetched"):
        read_recordings(f"{folder}/none.jsonl")


def test_embeddings_elsewhere(folder):
    embeddings = make()
    write_embeddings(f"{folder}/e.parquet", embeddings)
    found = read_embeddings(f"{folder}/e.parquet")
    assert np.array_equal(found.vectors, embeddings.vectors)
    assert (found.ids, found.encoder) == (embeddings.ids, embeddings.encoder)


@pytest.fixture
def corpus(folder, tmp_path):
    """The same folder of singers here and elsewhere."""
    for place in ("train/ann/a.wav", "train/ann/.hidden.wav", "train/ben/deep/b.wav", "x.txt",
                  "valid/cy/c.wav", "valid/d.wav"):  # fmt: skip
        data = wav(seed=len(place))
        put(f"{folder}/{place}", data)
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(data)
    return folder, tmp_path


def test_a_corpus_elsewhere_is_listed_as_one_here(corpus):
    url, path = corpus
    there, here = (build(scan("folder", at), ManifestSettings()) for at in (url, path))
    assert len(there.recordings) == 3
    for one, other in zip(there.recordings, here.recordings, strict=True):
        assert one.path == f"{url}/{other.path.removeprefix(f'{path}/')}"
        assert (one.id, one.singer, one.split, one.sha256, one.duration) == (
            other.id, other.singer, other.split, other.sha256, other.duration,
        )  # fmt: skip
    assert [str(p).removeprefix(url) for p in there.problems] == [
        str(p).removeprefix(str(path)) for p in here.problems
    ]


def test_a_csv_file_elsewhere(corpus):
    url, _ = corpus
    put(f"{url}/list.csv", f"path,singer\ntrain/ann/a.wav,A\n{url}/valid/cy/c.wav,C\n".encode())
    found = build(scan("csv", f"{url}/list.csv"), ManifestSettings()).recordings
    assert {(r.singer, r.path) for r in found} == {
        ("A", f"{url}/train/ann/a.wav"), ("C", f"{url}/valid/cy/c.wav")
    }  # fmt: skip


def test_corpora_that_are_read_here_only(folder):
    with pytest.raises(ManifestError, match=r"corpus 'vctk' is read from a local folder only"):
        scan("vctk", folder)
    with pytest.raises(ManifestError, match=r"does not exist, or is empty"):
        scan("folder", f"{folder}/none")


def test_a_file_that_cannot_be_fetched_is_one_problem(corpus):
    url, _ = corpus
    put(f"{url}/list.csv", b"path,singer\ntrain/ann/a.wav,A\nnone.wav,B\n")
    result = build(scan("csv", f"{url}/list.csv"), ManifestSettings())
    assert [r.singer for r in result.recordings] == ["A"]
    assert str(result.problems[0]) == (
        f"{url}/none.wav: cannot be fetched; found No such file or directory"
    )
