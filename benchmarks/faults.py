"""Faults on purpose: processes killed, disks full, files damaged; what was lost, what was found.

    python benchmarks/faults.py [section ...] [--kills N] [--writes N] [--tries N] [--flips N]
        [--seed N] [--stages NAME ...]

Sections: kills, writes, full, readonly, reads, crash, clock, second, worker, store, bank, files,
registry (default: all). A stage is disturbed, run again as its message says, and must then have
made exactly what an undisturbed run makes. Linux only, with a C compiler (`fault_library.c`);
sections full and readonly need the right to mount.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fault_damage import bank, files, registry, store
from fault_stages import Bench, Child, Stage, Tally, frames

AGAIN = 0.3
NO_SPACE = ("No space left", "os error 28", "OutOfSpace")


def kills(bench: Bench, n: int) -> Iterator[Tally]:
    """Kills at random; three in ten are followed by another one, of what goes on."""
    for i, stage in enumerate(bench.chosen):
        tally, n_stages = Tally(f"kill -9, {stage.name}"), len(bench.chosen)
        while tally.hit < (i + 1) * n // n_stages - i * n // n_stages:
            at = bench.place() / stage.name
            child = disturb(bench, stage, at, tally)
            while bench.rng.random() < AGAIN:
                child.remains()
                child = disturb(bench, stage, at, tally)
            bench.finish_killed(stage, at, child, tally)
            shutil.rmtree(at.parent)
        yield tally


def disturb(bench: Bench, stage: Stage, at: Path, tally: Tally, **env: object) -> Child:
    """Kill a stage, just before an operation on its files or at any time."""
    whole, tally.tries = bench.whole(stage), tally.tries + 1
    kind = bench.rng.choice(["operation", "time", "late"])
    if kind == "operation":
        number = int(bench.rng.integers(1, len(whole.operations) + 1))
        child = bench.start(stage, at, FAULT_ACTION="kill", FAULT_AT=number, **env)
    else:
        child = bench.start(stage, at, **env)
        seconds = whole.seconds
        if kind == "late":
            child.wait_for_first()
            seconds -= whole.first
        time.sleep(bench.rng.uniform(0, seconds))
        child.send(signal.SIGKILL)
    tally.hit += child.end() == -signal.SIGKILL
    return child


def writes(bench: Bench, n: int) -> Iterator[Tally]:
    """A disk that is full from a write on, for every write (at most `n` of a stage)."""
    for stage in bench.chosen:
        if stage.name == "train with workers":  # they write nothing
            continue
        n_writes = bench.whole(stage).operations.count(b"w")
        tally = Tally(f"disk full from a write on, {stage.name} ({n_writes} writes)")
        for at in spread(n_writes, n):
            place = bench.place() / stage.name
            child = bench.start(stage, place, FAULT_ACTION="full", FAULT_AT=at)
            status = child.end()
            tally.tries += 1
            tally.hit += status != 0
            line = child.complaint()
            if status and not any(word in line for word in NO_SPACE):
                tally.found.append(f"write {at}: {stage.name} says: {line[:200]}")
            bench.finish(stage, place, tally)
            shutil.rmtree(place.parent)
        yield tally


def spread(n_writes: int, n: int) -> list[int]:
    """At most `n` of the numbers from 1 to `n_writes`, evenly."""
    numbers: list[int] = np.unique(np.linspace(1, n_writes, min(n, n_writes)).astype(int)).tolist()
    return numbers


def full(bench: Bench, n: int) -> Iterator[Tally]:
    """Small disks of some sizes; given more room, the command is run again."""
    for stage in bench.chosen:
        bench.whole(stage)
        tally = Tally(f"small disk, {stage.name}")
        files = [bench.made / stage.name, *(bench.made / stage.name).rglob("*")]
        size = sum(-(-f.stat().st_size // 4096) * 4096 for f in files if f.is_file())
        for share in (np.arange(n) + 0.5) / n:
            with small_disk(bench, max(int(size * share), 4096)) as (place, enlarge):
                child = bench.start(stage, place / stage.name)
                status = child.end()
                tally.tries += 1
                tally.hit += status != 0
                line = child.complaint()
                if status and not any(word in line for word in NO_SPACE):
                    tally.found.append(f"{stage.name} says: {line[:200]}")
                enlarge()
                bench.finish(stage, place / stage.name, tally)
        yield tally


@contextmanager
def small_disk(bench: Bench, size: int) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A disk in memory, and a function that makes it large."""
    place = bench.place()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)

    def enlarge() -> None:
        subprocess.run(["mount", "-o", "remount,size=1g", place], check=True)

    try:
        yield place, enlarge
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def readonly(bench: Bench, n: int) -> Iterator[Tally]:
    """A folder that cannot be written, empty and with a finished output in it."""
    for is_done in (False, True):
        what = "a finished output" if is_done else "nothing"
        tally = Tally(f"read-only folder with {what} in it, every stage")
        for stage in bench.chosen:
            bench.whole(stage)
            with small_disk(bench, 1 << 30) as (place, _):
                at = place / stage.name
                if is_done:
                    bench.start(stage, at).end()
                before = stage.content(at) if is_done else None
                subprocess.run(["mount", "-o", "remount,ro", place], check=True)
                child = bench.start(stage, at)
                tally.tries += 1
                tally.hit += (status := child.end()) != 0
                line = child.complaint()
                if status and "ead-only file system" not in line:
                    tally.found.append(f"{stage.name} says: {line[:200]}")
                subprocess.run(["mount", "-o", "remount,rw", place], check=True)
                if is_done and stage.content(at) != before:
                    tally.lost += 1
        yield tally


def reads(bench: Bench, n: int) -> Iterator[Tally]:
    """Audio on a disk or in a network folder that fails for a while, and comes back.

    Recordings that failed come behind the others then, so of a store their frames are compared.
    """
    for name in bench.among("features", "features of pitch", "embed", "enroll"):
        stage, tally = bench.stages[name], Tally(f"audio cannot be read for a while, {name}")
        content = frames if name.startswith("features") else stage.content
        bench.whole(stage)
        whole = content(bench.made / name)
        for _ in range(n):
            at = bench.place() / name
            broken = {"FAULT_AT": int(bench.rng.integers(1, 160)),
                      "FAULT_FOR": int(bench.rng.integers(1, 40))}  # fmt: skip
            child = bench.start(stage, at, FAULT_ACTION="broken", **broken,
                                FAULT_PLACE=bench.folder / "corpus")  # fmt: skip
            tally.tries += 1
            tally.hit += (status := child.end()) != 0
            line = child.complaint()
            if line.startswith("traceback") or (not status and content(at) != whole):
                tally.found.append(f"{name} says: {line[:200]}")
            again = bench.start(stage, at)
            if again.end() or content(at) != whole:
                tally.lost += 1
                tally.found.append(f"{name} differs, says: {again.complaint()[:200]}")
            shutil.rmtree(at.parent)
        yield tally


def crash(bench: Bench, n: int) -> Iterator[Tally]:
    """A recording at which the decoder crashes: it alone is left out, and named."""
    name = "features of pitch"
    stage, tally = bench.stages[name], Tally(f"decoder crashes at a recording, {name}")
    bench.whole(stage)
    whole = frames(bench.made / name)
    for _ in range(n):
        at, victim = bench.place() / name, bench.recordings[bench.rng.integers(len(whole))]
        child = bench.start(stage, at, FAULT_ACTION="crash", FAULT_AT=1, FAULT_PLACE=victim.path)
        tally.tries += 1
        child.end()
        named = [line for line in child.said() if "its worker process died twice" in line]
        tally.hit += [victim.path in line for line in named] == [True]
        rest = {id: data for id, data in whole.items() if id != victim.id}
        tally.lost += frames(at) != rest
        bench.start(stage, at).end()
        tally.lost += frames(at) != whole
        shutil.rmtree(at.parent)
    yield tally


def clock(bench: Bench, n: int) -> Iterator[Tally]:
    """Kills, and a clock that is years off before and after, or jumps to and fro all the time."""
    years = 10**8
    for stage in bench.chosen:
        tally = Tally(f"clock jumps by years, {stage.name}")
        bench.whole(stage)
        for jumps in ((years, -years), (-years, years), ("wild", "wild")):
            before, after = (
                {"CLOCK_JUMP": years, "CLOCK_WILD": 1} if jump == "wild" else {"CLOCK_JUMP": jump}
                for jump in jumps
            )
            at = bench.place() / stage.name
            disturb(bench, stage, at, tally, **before).remains()
            bench.finish(stage, at, tally, **after)
        yield tally


def second(bench: Bench, n: int) -> Iterator[Tally]:
    """While one process stands still in the middle of its work, another begins the same."""
    for name in bench.among("features", "voices", "train"):
        stage, tally = bench.stages[name], Tally(f"second process, {name}: is refused")
        whole = bench.whole(stage)
        for _ in range(n):
            at = bench.place() / name
            number = int(bench.rng.integers(*(len(whole.operations) * np.array([0.3, 0.8]))))
            first = bench.start(stage, at, FAULT_ACTION="stop", FAULT_AT=number)
            while f"{first.process.pid} T" not in _states(first):
                time.sleep(0.01)
            other = bench.start(stage, at)
            tally.tries += 1
            tally.hit += other.end() != 0
            if f"process {first.process.pid} on" not in (line := other.complaint()):
                tally.found.append(f"{name} says: {line[:200]}")
            first.send(signal.SIGCONT)
            if first.end() or stage.content(at) != whole.content:
                tally.lost += 1
            shutil.rmtree(at.parent)
        yield tally
    for name in bench.among("embed", "table", "enroll"):
        stage, tally = bench.stages[name], Tally(f"two processes at once, {name}: both are right")
        whole = bench.whole(stage)
        for _ in range(n):
            at = bench.place() / name
            pair = [bench.start(stage, at), bench.start(stage, at)]
            tally.tries += 1
            for child in pair:
                if child.end():
                    tally.found.append(f"{name} says: {child.complaint()[:200]}")
            tally.lost += stage.content(at) != whole.content
            shutil.rmtree(at.parent)
        yield tally


def _states(child: Child) -> str:
    """Number and state of its main process."""
    fields = Path(f"/proc/{child.process.pid}/stat").read_text().rpartition(")")[2].split()
    return f"{child.process.pid} {fields[0]}"


def worker(bench: Bench, n: int) -> Iterator[Tally]:
    """A worker process is killed at any time, as the system does it when memory is short."""
    for name in bench.among("features of pitch", "voices", "train with workers"):
        stage, tally = bench.stages[name], Tally(f"worker killed, {name}")
        whole = bench.whole(stage)
        while tally.hit < n:
            at = bench.place() / name
            child = bench.start(stage, at)
            until = child.began + bench.rng.uniform(0, whole.seconds)
            while time.monotonic() < until or not child.workers():
                if child.process.poll() is not None:
                    break
                time.sleep(0.005)
            tally.tries += 1
            if workers := child.workers():
                tally.hit += 1
                os.kill(int(bench.rng.choice(workers)), signal.SIGKILL)
            if child.end() and (name != "train with workers" or "worker" not in child.complaint()):
                tally.found.append(f"{name} says: {child.complaint()[:200]}")
            bench.finish_killed(stage, at, child, tally)
            shutil.rmtree(at.parent)
        yield tally


SECTIONS = {
    "kills": kills, "writes": writes, "full": full, "readonly": readonly, "reads": reads,
    "crash": crash, "clock": clock, "second": second, "worker": worker, "store": store,
    "bank": bank, "files": files, "registry": registry,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Faults on purpose.")
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--stages", nargs="+", help="(default: all)")
    parser.add_argument("--kills", type=int, default=28, help="in all stages (default: 28)")
    parser.add_argument("--writes", type=int, default=10, help="of a stage (default: 10)")
    parser.add_argument("--tries", type=int, default=4, help="of other faults (default: 4)")
    parser.add_argument("--flips", type=int, default=200, help="of a kind of file (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # BLAS sums by its threads
    counts = {"kills": arguments.kills, "writes": arguments.writes}
    counts |= dict.fromkeys(("store", "bank", "files", "registry"), arguments.flips)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), np.random.default_rng(arguments.seed))
        if arguments.stages:
            bench.chosen = [bench.stages[name] for name in arguments.stages]
        print("| fault | tries | felt | lost | left | found |")
        print("|---|---|---|---|---|---|", flush=True)
        for name in arguments.sections or SECTIONS:
            for tally in SECTIONS[name](bench, counts.get(name, arguments.tries)):
                print(tally.row(), flush=True)


if __name__ == "__main__":
    main()
