"""Several processes at once, and processes that are killed."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from registry_voices import exemplar, exemplars
from singerid.registry import Registry
from singerid.registry.enrolling import sweep
from singerid.registry.tables import CLIPS, EXEMPLARS

pytestmark = pytest.mark.slow

pytest.importorskip("lancedb")
TESTS = str(Path(__file__).parent)


def start(code, *arguments):
    """A process that runs code with `registry` opened at the first argument."""
    head = """
    import sys
    from registry_voices import exemplar, exemplars
    from singerid.registry import Registry
    registry = Registry.open(sys.argv[1], create=True)
    """
    code = textwrap.dedent(head) + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], env={**os.environ, "PYTHONPATH": TESTS},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_processes_that_enroll_at_once_lose_nothing(tmp_path):
    code = """
    print("ready", flush=True)
    sys.stdin.readline()
    me = int(sys.argv[2])
    for take in range(8):
        registry.enroll("shared", [exemplar(me, take, sha256=f"{me} {take}", clip=b"x")], "enc")
        registry.enroll(f"own {me}", [exemplar(me, take, sha256=f"{take}")], "enc")
        registry.enroll("once", [exemplar(9, take, sha256=f"{take}")], "enc")
    """
    processes = [start(code, tmp_path / "r", me) for me in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # there is no registry yet: its making is raced for, too
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    registry = Registry.open(tmp_path / "r")
    shared = registry.exemplars("shared")
    assert sorted(one.sha256 for one in shared) == [
        f"{me} {i}" for me in range(2) for i in range(8)
    ]
    assert all(registry.clip(one.id) == b"x" for one in shared)
    assert [len(registry.exemplars(f"own {me}")) for me in range(2)] == [8, 8]
    assert sorted(one.sha256 for one in registry.exemplars("once")) == [str(i) for i in range(8)]


def test_threads_of_one_registry(tmp_path):
    registry = Registry.open(tmp_path / "r", create=True)
    errors = []

    def work(me):
        try:
            for take in range(4):
                registry.enroll(f"singer {me}", [exemplar(me, take)], "enc")
                assert registry.candidates(exemplar(me, take).vector, "enc", 3)
                assert len(registry) >= 1
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(me,)) for me in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (len(registry), registry.n_exemplars) == (4, 16)


def test_kills_lose_at_most_the_enrollment_in_flight(tmp_path):
    code = """
    done = 0
    print("ready", flush=True)
    while True:
        group = [exemplar(done, take, sha256=f"{take}", clip=b"x" * 9) for take in range(5)]
        registry.enroll(f"{sys.argv[2]}.{done}", group, "enc")
        print(done, flush=True)
        done += 1
    """
    total = 0
    for life, pause in enumerate([0.0, 0.03, 0.15]):
        process = start(code, tmp_path / "r", life)
        assert process.stdout.readline() == "ready\n"
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        said = process.communicate()[0].split()
        registry = Registry.open(tmp_path / "r", create=True)
        names = [one.name for one in registry.singers() if one.name.startswith(f"{life}.")]
        assert {f"{life}.{i}" for i in said} <= set(names)
        assert len(names) - len(said) in (0, 1)  # of the one in flight nobody was told
        assert all(one.n_exemplars == 5 for one in registry.singers())
        total += len(names)
    registry.enroll("last", exemplars(1), "enc")  # no lock was left behind
    assert len(registry) == total + 1


@pytest.mark.parametrize("stop", ["before the clips", "before the exemplars", "after both"])
def test_a_kill_at_each_step_of_an_enrollment(tmp_path, stop):
    registry = Registry.open(tmp_path / "r", create=True)
    registry.enroll("first", exemplars(0), "enc")
    code = """
    import os, signal
    from singerid.registry import enrolling
    def die(*arguments):
        os.kill(os.getpid(), signal.SIGKILL)
    write_clips = enrolling._write_clips
    def write_and_die(*arguments):
        write_clips(*arguments)
        die()
    if sys.argv[2] == "before the clips":
        enrolling._write_clips = die
    elif sys.argv[2] == "before the exemplars":
        enrolling._write_clips = write_and_die
    else:
        Registry._tidy = die
    registry.enroll("second", exemplars(1, clip=b"x"), "enc")
    """
    process = start(code, tmp_path / "r", stop)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert [one.n_exemplars for one in registry.singers()] == [3, 3][: 2 if stop[0] == "a" else 1]
    clips = registry._tables.get(CLIPS)
    assert (clips.count_rows() if clips else 0) == (0 if stop == "before the clips" else 3)
    assert sweep(registry._tables, registry._tables.get(EXEMPLARS)) == 0  # may be in flight
    if clips:
        clips.update(values={"at": time.time() - 4000})
        expected = 3 if stop == "before the exemplars" else 0
        assert sweep(registry._tables, registry._tables.get(EXEMPLARS)) == expected
    assert len(registry.enroll("third", exemplars(2), "enc").added) == 3


def test_many_small_enrollments_are_merged(tmp_path, monkeypatch):
    monkeypatch.setattr("singerid.registry.tables._MANY_FRAGMENTS", 6)
    registry = Registry.open(tmp_path / "r", create=True)
    for seed in range(14):
        registry.enroll(f"singer {seed}", [exemplar(seed, clip=b"x")], "enc")
    for name in (EXEMPLARS, CLIPS):
        assert registry._tables.get(name).stats()["fragment_stats"]["num_fragments"] < 7
    assert len(registry) == registry.n_exemplars == 14
    assert all(registry.clip(registry.exemplars(f"singer {i}")[0].id) for i in range(14))
