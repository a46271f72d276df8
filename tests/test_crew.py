"""Workers that die: it costs the recording that killed them, and nothing else."""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from singerid import appending
from singerid.appending import in_turn, processes
from singerid.crew import Crew
from singerid.errors import AudioError, SingeridError
from singerid.records import Recording

FATAL = "its worker process died twice, the second time with nothing beside it; most often a dec"


def many(n):
    return [Recording(f"r{i}", "s", f"/audio/{i}.wav", 1.0, 16000) for i in range(n)]


def ids(results):
    """What came for each recording, by id; those that were fatal are None."""
    found = [(r.id, outcome) for r, outcome in results]
    for recording, outcome in results:
        if isinstance(outcome, SingeridError):
            assert isinstance(outcome, AudioError)
            assert str(outcome).startswith(f"{recording.path}: {FATAL}")
    return [(id, None if isinstance(outcome, SingeridError) else outcome) for id, outcome in found]


# ----------------------------------------------------------------------- pools of another machine


class Pool(Executor):
    """Workers in this process; those that get something fatal die, with all else or alone.

    Attributes:
        sizes: of every pool that was made.
        begun: ids in the order in which they were begun.
    """

    sizes, begun, fatal, together, dead = [], [], set(), True, set()

    def __init__(self, n):
        self.n, self.broken, self.futures = n, False, []
        Pool.sizes.append(n)
        if n in Pool.dead:
            self.broken = True

    def submit(self, job, *args):
        if self.broken:
            raise BrokenProcessPool("it broke before")
        future = Future()
        self.futures.append((future, job, args))
        if len(self.futures) == self.n:
            self.run()
        future.exception_ = future.exception
        future.exception = lambda: (self.run(), future.exception_())[1]
        return future

    def run(self):
        while self.futures:
            future, job, args = self.futures.pop(0)
            if args:
                Pool.begun.append(args[0].id)
            if self.broken:
                future.set_exception(BrokenProcessPool("it broke"))
            elif args and args[0].id in Pool.fatal:
                self.broken = Pool.together
                future.set_exception((BrokenProcessPool if Pool.together else BrokenExecutor)("!"))
            else:
                try:
                    future.set_result(job(*args))
                except ZeroDivisionError as error:
                    future.set_exception(error)

    def shutdown(self, wait=True, cancel_futures=False):
        self.run()


@pytest.fixture
def pool(monkeypatch):
    for name, value in {"sizes": [], "begun": [], "fatal": set(), "dead": set()}.items():
        monkeypatch.setattr(Pool, name, value)
    monkeypatch.setattr(Pool, "together", True)
    return Pool


def name_of(recording):
    return recording.id.upper()


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("n_workers", [2, 3, 8])
@pytest.mark.parametrize("fatal", [[], [0], [5], [9], [0, 1], [3, 4, 5, 9], list(range(10))])
def test_all_others_are_done_in_order(pool, monkeypatch, together, n_workers, fatal):
    pool.fatal |= {f"r{i}" for i in fatal}
    monkeypatch.setattr(Pool, "together", together)
    expected = [(f"r{i}", None if i in fatal else f"R{i}") for i in range(10)]
    assert ids(list(in_turn(many(10), name_of, n_workers, pool))) == expected


def test_few_ahead(pool, monkeypatch):
    """Where the pool breaks while recordings are still being put in."""
    monkeypatch.setattr(appending, "_AHEAD_SECONDS", 2.0)
    pool.fatal |= {"r1", "r7"}
    found = ids(list(in_turn(many(10), name_of, 2, pool)))
    assert [id for id, outcome in found if outcome is None] == ["r1", "r7"]
    assert [id for id, _ in found] == [r.id for r in many(10)]


def test_a_worker_that_died_alone_takes_no_others_with_it(pool, monkeypatch):
    monkeypatch.setattr(Pool, "together", False)
    pool.fatal.add("r3")
    list(in_turn(many(10), name_of, 2, pool))
    assert sorted(pool.begun) == sorted([f"r{i}" for i in range(10)] + ["r3"])
    assert pool.sizes == [2, 1, 1]


def test_workers_that_cannot_live_are_nobodys_fault(pool):
    pool.fatal.add("r0")
    pool.dead.add(1)
    words = "worker processes die before they do anything; found it broke before; see what ends th"
    with pytest.raises(SingeridError, match=re.escape(words)):
        list(in_turn(many(4), name_of, 2, pool))


def test_other_errors_pass(pool):
    def work(recording):
        raise ZeroDivisionError(recording.id)

    with pytest.raises(ZeroDivisionError, match="r0"):
        list(in_turn(many(4), work, 2, pool))


def test_length_is_what_is_in_flight(pool):
    crew = Crew(name_of, 2, pool)
    for recording in many(3):
        crew.put(recording)
    assert len(crew) == 3
    assert crew.take()[1] == "R0"
    assert len(crew) == 2
    crew.close()


# --------------------------------------------------------------------------------- real processes


def dies(recording):
    """As a decoder may: r2 always, r5 only the first time (as when memory is short)."""
    seen = Path(recording.labels["seen"]) / recording.id
    if recording.id == "r2" or (recording.id == "r5" and not seen.exists()):
        seen.touch()
        os.kill(os.getpid(), signal.SIGSEGV if recording.id == "r2" else signal.SIGKILL)
    return recording.id.upper()


@pytest.mark.slow
def test_real_workers_die(tmp_path):
    recordings = [Recording(r.id, r.singer, r.path, 1.0, 16000, labels={"seen": str(tmp_path)})
                  for r in many(12)]  # fmt: skip
    found = ids(list(in_turn(recordings, dies, 2, processes)))
    assert found == [(f"r{i}", None if i == 2 else f"R{i}") for i in range(12)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r2", "r5"]


IDLE = """
import os, time
from singerid.appending import processes
if __name__ == "__main__":
    pool = processes(2)
    print(*{future.result() for future in [pool.submit(os.getpid) for _ in range(8)]}, flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    (tmp_path / "idle.py").write_text(IDLE)
    command = [sys.executable, str(tmp_path / "idle.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        workers = parent.stdout.readline().split()
        assert workers
        parent.kill()
    for _ in range(200):
        if not any(Path("/proc", pid).exists() for pid in workers):
            return
        time.sleep(0.05)
    pytest.fail("workers are left")
