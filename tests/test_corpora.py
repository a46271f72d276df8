"""Corpora: folders, DAMP and CSV files → sources; what does not fit is said, the rest goes on."""

import csv
import os
from pathlib import Path

import pytest

from singerid import corpora, manifest
from singerid.corpora import csv_file, damp, folder
from singerid.corpora.folder import readable_ids
from singerid.errors import ManifestError
from singerid.manifest import Scan
from singerid.sections import ManifestSettings


def make(root, *names):
    """Empty files; adapters never open them."""
    for name in names:
        path = (
            root / name if isinstance(name, str) else Path(os.fsdecode(bytes(root) + b"/" + name))
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def found(scan):
    return {source.id: (source.singer, source.split) for source in scan.sources}


def lines(scan):
    """The problems, each of which must be one line."""
    texts = [str(problem) for problem in scan.problems]
    assert all(len(text.splitlines()) == 1 for text in texts)
    return texts


# ----------------------------------------------------------------------------------------- folder


def test_folder_without_splits(tmp_path):
    make(tmp_path, "ann/a.wav", "ann/b.FLAC", "bob/live/2019/c.mp3", "bob/notes.txt", "cover.jpg")
    scan = folder.scan(tmp_path)
    assert found(scan) == {
        "ann/a": ("ann", None), "ann/b": ("ann", None), "bob/live/2019/c": ("bob", None),
    }  # fmt: skip
    assert scan.sources[0].path == tmp_path / "ann/a.wav"
    assert scan.n_ignored == 2
    assert scan.problems == []


def test_folder_with_splits(tmp_path):
    make(tmp_path, "train/ann/a.wav", "VAL/bob/x/b.ogg", "test/cec/c.m4a", "dev/dan/d.opus")
    assert found(folder.scan(tmp_path)) == {
        "train/ann/a": ("ann", "train"), "VAL/bob/x/b": ("bob", "valid"),
        "test/cec/c": ("cec", "test"), "dev/dan/d": ("dan", "valid"),
    }  # fmt: skip


def test_files_outside_a_singers_folder_are_left_out(tmp_path):
    """Nor do they become a singer called train, or hide that the corpus has splits."""
    make(tmp_path, "a.wav", "train/b.wav", "train/ann/c.wav", "valid/bob/d.wav")
    scan = folder.scan(tmp_path)
    assert found(scan) == {"train/ann/c": ("ann", "train"), "valid/bob/d": ("bob", "valid")}
    assert [line.split(": ")[0] for line in lines(scan)] == [
        f"{tmp_path}/a.wav", f"{tmp_path}/train/b.wav"
    ]  # fmt: skip
    assert all("belongs to no singer; found a file outside any" in line for line in lines(scan))


def test_order_of_the_directory_does_not_matter(tmp_path, monkeypatch):
    make(tmp_path, *[f"{s}/{d}/{f}.wav" for s in "bca" for d in "yx" for f in "312"])
    plain = folder.scan(tmp_path)
    real = os.scandir

    class Reversed:
        def __init__(self, path):
            with real(path) as entries:
                self.entries = iter(sorted(entries, key=lambda e: e.name, reverse=True))

        __iter__ = lambda self: self.entries  # noqa: E731
        __next__ = lambda self: next(self.entries)  # noqa: E731
        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *args: None  # noqa: E731
        close = lambda self: None  # noqa: E731

    monkeypatch.setattr(os, "scandir", Reversed)
    assert folder.scan(tmp_path).sources == plain.sources


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    make(tmp_path, "ann/a.wav", "ann/._a.wav", ".git/x/b.wav", "ann/.cache/c.wav", "ann/.x.txt")
    scan = folder.scan(tmp_path)
    assert list(found(scan)) == ["ann/a"]
    assert scan.n_ignored == 0


def test_unreadable_folder_is_a_problem_and_the_rest_goes_on(tmp_path, monkeypatch):
    make(tmp_path, "ann/a.wav", "bob/secret/b.wav", "cec/c.wav")
    real = os.scandir

    def refuse(path):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    scan = folder.scan(tmp_path)
    assert list(found(scan)) == ["ann/a", "cec/c"]
    assert lines(scan) == [f"{tmp_path}/bob/secret: folder cannot be read; found Permission denied"]


def test_links_are_followed_and_loops_end(tmp_path):
    make(tmp_path / "elsewhere", "song.wav")
    root = make(tmp_path / "root", "ann/a.wav")
    (root / "ann" / "loop").symlink_to(root)
    (root / "ann" / "self").symlink_to(root / "ann")
    (root / "bob").symlink_to(tmp_path / "elsewhere")
    (root / "ann" / "broken.wav").symlink_to("nowhere.wav")
    scan = folder.scan(root)
    assert found(scan) == {
        "ann/a": ("ann", None), "ann/broken": ("ann", None), "bob/song": ("bob", None),
    }  # fmt: skip
    result = manifest.build(scan, ManifestSettings())
    assert any("ann/broken.wav: cannot be opened; found No such file" in str(problem)
               for problem in result.problems)  # fmt: skip


def test_files_that_differ_by_the_suffix_only_keep_it(tmp_path):
    make(tmp_path, "ann/a.wav", "ann/a.flac", "ann/b.wav", "ann/b.txt", "bob/a.wav", "ann/c.1.wav")
    assert set(found(folder.scan(tmp_path))) == {
        "ann/a.wav", "ann/a.flac", "ann/b", "bob/a", "ann/c.1"
    }  # fmt: skip


def test_odd_names(tmp_path):
    make(tmp_path, "a b/ä [x]*?.wav", "日本/x\ny.wav", b"\xff\xe9/z\xfe.wav")
    scan = folder.scan(tmp_path)
    assert found(scan) == {
        "a b/ä [x]*?": ("a b", None), "日本/x\ny": ("日本", None),
        r"\xff\xe9/z\xfe": (r"\xff\xe9", None),
    }  # fmt: skip
    for source in scan.sources:
        assert source.path.is_file()
        source.id.encode("utf-8")
        source.singer.encode("utf-8")


def test_ids_of_many_files():
    paths = [Path(f"s/{i}.wav") for i in range(20_000)] + [Path("s/7.flac")]
    ids = readable_ids(paths)
    assert ids[5:9] == ["s/5", "s/6", "s/7.wav", "s/8"]
    assert ids[-1] == "s/7.flac"
    assert len(set(ids)) == len(paths)


# ------------------------------------------------------------------------------------------- damp


def test_damp_layout(tmp_path):
    make(tmp_path, "train/123/123_9.m4a", "train/123/123_9_b.m4a", "val/77/77_1.m4a")
    scan = damp.scan(tmp_path)
    assert found(scan) == {
        "train/123/123_9": ("123", "train"), "train/123/123_9_b": ("123", "train"),
        "val/77/77_1": ("77", "valid"),
    }  # fmt: skip
    assert scan.sources[0].labels == {"corpus": "damp", "performance": "9"}
    assert scan.sources[1].labels["performance"] == "9_b"


def test_damp_without_splits(tmp_path):
    make(tmp_path, "123/123_9.m4a")
    assert found(damp.scan(tmp_path)) == {"123/123_9": ("123", None)}


def test_damp_names_that_do_not_fit(tmp_path):
    make(tmp_path, "train/123/124_9.m4a", "train/123/song.m4a", "train/5_1.m4a", "123_1.m4a")
    scan = damp.scan(tmp_path)
    assert scan.sources == []
    assert len(lines(scan)) == 4
    assert all("is not named as in DAMP; found " in line for line in lines(scan))
    assert all(
        "expected <root>/[train|val/]<singer>/<singer>_<perf" in line for line in lines(scan)
    )


@pytest.mark.real
def test_the_real_damp_examples(shared_audio):
    scan = corpora.scan("damp", shared_audio / "damp_examples")
    assert scan.problems == []
    for source in scan.sources:
        folder_name = source.path.relative_to(shared_audio / "damp_examples").parts[0]
        assert source.split == {"train": "train", "val": "valid"}[folder_name]
        assert source.path.name.startswith(f"{source.singer}_")
    assert len({source.singer for source in scan.sources}) == 4


# -------------------------------------------------------------------------------------------- csv


def table(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_csv_columns(tmp_path):
    path = table(
        tmp_path,
        "path,singer,gender,song,split,channel,duration\n"
        "x/a.wav,ann,F,one,train,left,12\n"
        '/abs/b.flac,bob,?,"two, too",Dev,,\n',
    )
    first, second = csv_file.scan(path).sources
    assert first.path == tmp_path / "x/a.wav"
    assert (first.id, first.singer, first.split, first.channel) == ("x/a", "ann", "train", "left")
    assert first.labels == {"gender": "F", "song": "one"}
    assert second.path == Path("/abs/b.flac")
    assert (second.id, second.split, second.channel) == ("/abs/b", "valid", "mix")
    assert second.labels == {"song": "two, too"}  # "?" says nothing


@pytest.mark.parametrize("unknown", ["", "?", "nan", "None", "unknown"])
def test_csv_unknown_values_are_no_labels(tmp_path, unknown):
    scan = csv_file.scan(table(tmp_path, f"path,singer,gender\na.wav,ann,{unknown}\n"))
    assert scan.sources[0].labels == {}


def test_csv_of_a_spreadsheet(tmp_path):
    """Byte order mark, Windows line ends, blank lines, a trailing column."""
    text = "\ufeffpath,singer,id,\r\na.wav,Zoë,one,\r\n\r\nb.wav,ann,,\r\n"
    scan = csv_file.scan(table(tmp_path, text))
    assert [(s.id, s.singer, s.labels) for s in scan.sources] == [
        ("one", "Zoë", {}), ("b", "ann", {})
    ]  # fmt: skip


def test_csv_twins_keep_their_suffix(tmp_path):
    scan = csv_file.scan(table(tmp_path, "path,singer\na.wav,ann\na.flac,ann\nb.wav,ann\n"))
    assert [s.id for s in scan.sources] == ["a.wav", "a.flac", "b"]


def test_csv_bad_rows_are_reported_by_line_and_the_rest_goes_on(tmp_path):
    rows = [
        "path,singer,split,channel,note",
        'a.wav,ann,train,mix,"two',  # line 2 and 3
        'lines"',
        "b.wav,ann",  # 4
        "",
        "c.wav,ann,train,mix,x,y,z",  # 6
        ",ann,train,mix,x",
        "d.wav,,train,mix,x",
        "e.wav,ann,trian,mix,x",
        "f.wav,ann,train,center,x",
        ".,ann,train,mix,x",
        "/,ann,train,mix,x",
        "g.wav,bob,valid,right,x",
    ]
    path = table(tmp_path, "\n".join(rows))
    scan = csv_file.scan(path)
    assert [s.id for s in scan.sources] == ["a", "g"]
    expected = {
        4: "row has another number of fields than the header; check its commas",
        6: "row has another number of fields than the header; check its commas",
        7: "row has no path or no singer", 8: "row has no path or no singer",
        9: "unknown split; found trian; expected train, valid or test",
        10: "unknown channel; found center; expected mix or left or right",
        11: "row has no path or no singer", 12: "row has no path or no singer",
    }  # fmt: skip
    assert lines(scan) == [f"{path}:{number}: {text}" for number, text in expected.items()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            "has no column 'path'; found an empty file; expected <file>.csv with the columns path",
        ),
        ("file,singer\na.wav,ann\n", "has no column 'path'; found file, singer; expected"),
        ("path;singer\na.wav;ann\n", "has no column 'path'; found path;singer; expected"),
        ("path\na.wav\n", "has no column 'singer'; found path; expected"),
        ("path,singer\n", "lists no recordings; found a header alone"),
        ('path,singer\n"a.wav"x,ann\n', "cannot be read as CSV; found ',' expected after '\"'"),
        ("path,singer\na\0.wav,ann\n", None),
    ],
)
def test_csv_files_that_are_refused(tmp_path, text, message):
    path = table(tmp_path, text)
    if message is None:  # Python 3.11 reads a zero byte, which no file name can have
        result = manifest.build(csv_file.scan(path), ManifestSettings())
        assert [str(p).split("; ")[0] for p in result.problems] == [
            f"{tmp_path}/a\\x00.wav: cannot be opened"
        ]
        return
    with pytest.raises(ManifestError) as caught:
        csv_file.scan(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert len(str(caught.value).splitlines()) == 1


def test_csv_of_another_encoding_or_a_folder(tmp_path):
    path = table(tmp_path, "path,singer\na.wav,Zoë\n", "latin1")
    with pytest.raises(
        ManifestError, match=r"list.csv: cannot be read as CSV; found 'utf-8' codec"
    ):
        csv_file.scan(path)
    with pytest.raises(ManifestError, match=r"is a folder; expected <file>\.csv with the columns"):
        csv_file.scan(tmp_path)


@pytest.mark.real
def test_the_real_list(shared_audio):
    path = shared_audio / "recordings.csv"
    scan = corpora.scan("csv", path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert scan.problems == []
    assert len(scan.sources) == len(rows) > 100
    for source, row in zip(scan.sources, rows, strict=True):
        assert source.path.is_file()
        assert source.singer == row["singer"]
        assert source.labels.get("gender", "?") == row["gender"]
        assert source.labels["corpus"] == row["corpus"]


# -------------------------------------------------------------------------------------- any corpus


def test_wrong_folders_say_what_was_looked_for_and_found(tmp_path):
    make(tmp_path, "notes.txt", "x/y.jpg")
    with pytest.raises(ManifestError, match="no recordings of corpus 'folder'") as caught:
        corpora.scan("folder", tmp_path)
    assert "2 files without an audio suffix" in str(caught.value)
    assert "expected <root>/[train|valid|test/]<singer>/**/<recording>" in str(caught.value)
    with pytest.raises(ManifestError, match=r"no recordings of corpus 'damp'.*expected <root>/\["):
        corpora.scan("damp", tmp_path)


def test_missing_roots(tmp_path):
    for corpus in ("folder", "damp", "csv"):
        with pytest.raises(ManifestError, match=r"nowhere: does not exist; expected"):
            corpora.scan(corpus, tmp_path / "nowhere")
    make(tmp_path, "file.wav")
    with pytest.raises(ManifestError, match=r"file\.wav: is not a folder"):
        corpora.scan("folder", tmp_path / "file.wav")


def test_a_folder_of_problems_only_is_returned_with_them(tmp_path):
    scan = corpora.scan("folder", make(tmp_path, "a.wav"))
    assert isinstance(scan, Scan)
    assert len(scan.problems) == 1
