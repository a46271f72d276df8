"""Locks: one writer at a time, who is named; what a killed one leaves is no obstacle."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import Timeout

from singerid import appending, locks, run
from singerid.errors import StoreError
from singerid.locks import facts_file, held, holder

HOLD = """
import sys
from pathlib import Path
from singerid.locks import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / ".lock"


@pytest.fixture
def other(file):
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(file), "a b"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_told_who_holds_it(file, other):
    with pytest.raises(Timeout), held(file):
        pass
    words = re.escape(f"process {other.pid} on {socket.gethostname()} since ")
    assert re.fullmatch(rf"{words}\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC: -c .* 'a b'", holder(file))
    with (
        pytest.raises(StoreError, match=rf"another process; found process {other.pid} on .*; wait"),
        appending.locked(file.parent),
    ):
        pass


def test_a_killed_holder_is_no_obstacle_and_not_named(file, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert facts_file(file).exists()
    assert holder(file) is None
    with held(file):
        assert f"process {os.getpid()} on" in holder(file)
    assert not facts_file(file).exists()


def test_facts_go_with_the_lock(file):
    with held(file):
        assert facts_file(file).exists()
    assert holder(file) is None
    assert [p.name for p in file.parent.iterdir()] in ([".lock"], [])


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", b'{"pid": "x"}', b'{"pid": null}'])
def test_damaged_facts_name_nobody(file, text):
    facts_file(file).write_bytes(text)
    assert holder(file) is None


def test_holders_elsewhere_and_of_others(file, monkeypatch):
    facts = {"pid": 2**22 + 1, "host": "far", "since": "noon", "command": 300 * "x\n"}
    facts_file(file).write_text(json.dumps(facts))
    assert holder(file).startswith("process 4194305 on far since noon: x")
    assert len(holder(file)) < 300
    facts["host"] = socket.gethostname()
    facts_file(file).write_text(json.dumps(facts))
    assert holder(file) is None  # it is no more

    def forbidden(pid, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    assert holder(file) is not None  # it is another user's


def test_a_full_disk_keeps_no_lock_from_being_held(file, monkeypatch):
    facts_file(file).write_text("of one that was killed")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with held(file):
        assert holder(file) is None
        with pytest.raises(Timeout), held(Path(str(file))):
            pass


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refused(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(locks, "FileLock", refused)
    with (
        pytest.raises(StoreError, match="cannot be written; found Read-only file system"),
        appending.locked(tmp_path),
    ):
        pass


def test_what_killed_writers_left_is_removed(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    for lock in (appending.locked, run.locked):
        for name in (".recordings.jsonl.0a1b2c3d.part", "ckpt_40.part", "kept.f32"):
            (path / name).touch()
        with lock(path):
            assert "kept.f32" in os.listdir(path)
            assert not list(path.glob("*.part"))


def test_two_begin_a_folder_at_once(tmp_path, monkeypatch):
    """Who comes second leaves what the first has written; its caller compares it."""

    @contextmanager
    def locked(path):
        (path / "spec.json").write_text("of the other")
        yield

    monkeypatch.setattr(appending, "locked", locked)
    appending.begin_folder(tmp_path / "store", "{}")
    assert (tmp_path / "store" / "spec.json").read_text() == "of the other"
