"""Records: JSON lines there and back, every refusal, files that appear whole or not at all."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid import records
from singerid.errors import ManifestError
from singerid.records import Condition, Recording, atomic_write, read_recordings, write_recordings

GOOD = {"id": "a", "singer": "ann", "path": "/x/a.wav", "duration": 2.5, "sample_rate": 16000}

names = st.text(st.characters(codec=None), min_size=1, max_size=20)
field_names = {"id", "singer", "path", "duration", "sample_rate", "channels", "channel", "split",
               "sha256", "embedding"}  # fmt: skip
recordings_strategy = st.builds(
    Recording, id=names, singer=names, path=names.map(lambda name: "/" + name),
    duration=st.floats(0, 1e6), sample_rate=st.integers(1, 400_000), channels=st.integers(1, 64),
    channel=st.sampled_from(records.CHANNELS), split=st.sampled_from(records.SPLITS),
    sha256=st.text("0123456789abcdef", max_size=64),
    labels=st.dictionaries(names.filter(lambda name: name not in field_names), names, max_size=4),
)  # fmt: skip


@given(recordings_strategy)
def test_json_there_and_back(recording):
    line = recording.to_json()
    assert "\n" not in line
    line.encode("ascii")  # lone surrogates of file names are escapes
    assert Recording.from_json(line, "x:1") == recording


def test_manifest_there_and_back(tmp_path):
    odd = os.fsdecode(b"/x/\xff\xe9 a\nb.wav")
    written = [
        Recording("a", "ann", odd, 1.5, 44100, 2, "left", "test", "00ff", {"song": "ä"}),
        Recording("b", "bob", "/y/b.wav", 0.0, 8000),
    ]
    write_recordings(tmp_path / "new" / "m.jsonl", written)
    assert read_recordings(tmp_path / "new" / "m.jsonl") == written
    assert len((tmp_path / "new" / "m.jsonl").read_text().splitlines()) == 2


def test_paths_beside_the_manifest_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_recordings("m.jsonl", [Recording("a", "ann", "audio/a.wav", 1, 8000)])
    (read,) = read_recordings("m.jsonl")
    assert read.path == str(tmp_path / "audio" / "a.wav")


def test_blank_lines_and_windows_line_ends_are_fine(tmp_path):
    (tmp_path / "m.jsonl").write_bytes(b"\r\n" + json.dumps(GOOD).encode() + b"\r\n\r\n")
    assert [r.id for r in read_recordings(tmp_path / "m.jsonl")] == ["a"]


WRONG = [
    ("{", "line is not JSON; found {"),
    ('{"duration": ' + "1" * 5000 + "}", "line is not JSON"),
    ("[" * 100_000, "line is not JSON"),
    ("\ufeff" + json.dumps(GOOD), "line is not JSON"),
    ("[1]", r"line is not a recording; found \[1\]"),
    ({"colour": "x"}, "unknown field 'colour'; expected channel, .*; put extra information under"),
    ({"id": None}, "field 'id' must be text; found None"),
    ({"id": ""}, "field 'id' must be text; found ''"),
    ({"singer": 3}, "field 'singer' must be text; found 3"),
    ({"path": ["x"]}, r"field 'path' must be text; found \['x'\]"),
    ({"sha256": 5}, "field 'sha256' must be text; found 5"),
    ({"duration": None}, "'duration' out of range; found None; expected a finite number of at l"),
    ({"duration": -1}, "field 'duration' out of range; found -1; expected .* at least 0"),
    ({"duration": float("nan")}, "field 'duration' out of range; found nan"),
    ({"duration": float("inf")}, "field 'duration' out of range; found inf"),
    ({"duration": 10**400}, "field 'duration' out of range; found 1000"),
    ({"duration": True}, "field 'duration' out of range; found True"),
    ({"sample_rate": "16000"}, "'sample_rate' out of range; found '16000'; expected a whole num"),
    ({"sample_rate": 0}, "field 'sample_rate' out of range; found 0; expected .* at least 1"),
    ({"sample_rate": 16000.5}, "field 'sample_rate' out of range; found 16000.5"),
    ({"channels": 0}, "field 'channels' out of range; found 0"),
    ({"channels": 1.5}, "field 'channels' out of range; found 1.5"),
    ({"split": "dev"}, "field 'split' unknown; found 'dev'; expected train or valid or test"),
    ({"split": ["train"]}, r"field 'split' unknown; found \['train'\]"),
    ({"channel": "center"}, "'channel' unknown; found 'center'; expected mix or left or right"),
    ({"labels": None}, "labels must map text to text; found None"),
    ({"labels": {"age": 3}}, "labels must map text to text; found {'age': 3}"),
    ({"labels": {"id": "b"}}, "label 'id' has the name of a field; rename the label"),
    ({"labels": {"embedding": "b"}}, "label 'embedding' has the name of a field"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[m[:40] for _, m in WRONG])
def test_every_wrong_line_is_refused_with_its_number(tmp_path, change, message):
    line = change if isinstance(change, str) else json.dumps(GOOD | change)
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(GOOD | {"id": "first"}) + "\n\n" + line + "\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=message) as caught:
        read_recordings(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 600


def test_missing_fields_are_refused():
    for name in GOOD:
        fields = {key: value for key, value in GOOD.items() if key != name}
        with pytest.raises(ManifestError, match=f"m:7: field '{name}'"):
            Recording.from_json(json.dumps(fields), "m:7")


def test_whole_manifests_are_refused(tmp_path):
    path = tmp_path / "m.jsonl"
    with pytest.raises(ManifestError, match=r"cannot read the manifest; found No such file.*make"):
        read_recordings(path)
    with pytest.raises(ManifestError, match=r"cannot read the manifest; found Is a directory"):
        read_recordings(tmp_path)
    path.write_bytes(b"\xff\xfe\0")
    with pytest.raises(ManifestError, match=r"m.jsonl: cannot read the manifest; found 'utf-8'"):
        read_recordings(path)
    path.write_text("\n \n")
    with pytest.raises(ManifestError, match=r"m.jsonl: the manifest lists no recordings"):
        read_recordings(path)
    path.write_text(2 * (json.dumps(GOOD) + "\n"))
    with pytest.raises(ManifestError, match=r"m.jsonl:2: id 'a' appears twice; found first on l"):
        read_recordings(path)


@pytest.mark.parametrize(
    ("text", "values", "result"),
    [
        ("gender=F", ["F", "M", ""], [True, False, False]),
        ("gender!=F", ["F", "M", ""], [False, True, True]),
        ("song=a,b", ["a", "b", "c"], [True, True, False]),
        ("song!=a,b", ["a", "b", "c"], [False, False, True]),
        ("song=a=b", ["a=b", "a"], [True, False]),
        ("song=", ["", "a"], [True, False]),
    ],
)
def test_conditions(text, values, result):
    assert [Condition.parse(text).holds(value) for value in values] == result


@pytest.mark.parametrize("text", ["gender", "", "=F", "!=F"])
def test_conditions_of_another_form_are_refused(text):
    with pytest.raises(ManifestError, match=r"--select: cannot read the condition.*label=value or"):
        Condition.parse(text)


def test_condition_on_an_unknown_label_lists_the_known():
    with pytest.raises(ManifestError, match="--select: nothing has a label 'sex'; expected a or b"):
        Condition.parse("sex=F").check({"b", "a"})


@pytest.mark.parametrize(("mode", "data"), [("w", "neu ä\n"), ("wb", b"\0new")])
def test_atomic_write_replaces_and_leaves_nothing_else(tmp_path, mode, data):
    path = tmp_path / "deep" / "er" / "x.txt"
    for _ in range(2):
        with atomic_write(path, mode) as file:
            file.write(data)
            assert not path.exists() or path.read_bytes() != b""
    assert path.read_bytes() == (data.encode() if mode == "w" else data)
    assert [p.name for p in path.parent.iterdir()] == ["x.txt"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_atomic_write_keeps_the_old_file_on_errors(tmp_path, error):
    path = tmp_path / "x.txt"
    path.write_text("old")

    def write():
        with atomic_write(path) as file:
            file.write("new" * 100_000)
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_atomic_write_on_a_full_disk_names_the_file(tmp_path, monkeypatch, call):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "x.txt"
    path.write_text("old")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/x\.txt'"):
        write_recordings(path, [Recording("a", "ann", "a.wav", 1, 8000)])
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_a_real_full_disk():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OSError, match="No space left"), atomic_write("/dev/full") as file:
        file.write("x")


def test_atomic_write_killed_midway_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    code = (
        "import os, signal, sys\n"
        "from singerid.records import atomic_write\n"
        "with atomic_write(sys.argv[1]) as file:\n"
        "    file.write('new' * 100_000)\n"
        "    file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_atomic_write_gives_the_usual_permissions(tmp_path):
    old = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "x") as file:
            file.write("x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_atomic_write_leaves_the_umask_alone_in_threads(tmp_path):
    before = os.umask(0o022)
    os.umask(before)

    def write(name):
        for i in range(50):
            with atomic_write(tmp_path / f"{name}{i % 5}") as file:
                file.write("x")

    threads = [threading.Thread(target=write, args=(n,)) for n in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = os.umask(before)
    assert after == before
    assert len(list(tmp_path.iterdir())) == 20


@pytest.mark.parametrize("name", ["x" * 255, "日" * 85, "🎤" * 63, "a b\nc", os.fsdecode(b"\xff")])
def test_atomic_write_of_any_name_a_file_can_have(tmp_path, name):
    with atomic_write(tmp_path / name) as file:
        file.write("x")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_atomic_write_follows_links_and_keeps_devices(tmp_path):
    (tmp_path / "link").symlink_to("target")
    with atomic_write(tmp_path / "link") as file:
        file.write("x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "x"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with atomic_write(tmp_path / "pipe") as file:
        file.write("through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_atomic_write_over_a_folder_is_refused(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(IsADirectoryError), atomic_write(tmp_path / "x"):
        pass
    assert (tmp_path / "x").is_dir()
