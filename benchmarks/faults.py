"""Faults on purpose: processes killed, disks full, files damaged; what was lost, what was found.

    python benchmarks/faults.py [section ...] [--kills N] [--flips N] [--seed N]

Sections: kills, full, readonly, clock, second, store, files (default: all). A stage is disturbed,
run again as its message says, and must then have made exactly what an undisturbed run makes. Small
disks need the right to mount; a clock that jumps needs a C compiler. Linux only.
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
import torch

from fault_stages import Bench, Stage, Tally, start
from singerid import store_writer
from singerid.checkpoint import load_encoder, load_weights_only
from singerid.embeddings import read_embeddings
from singerid.errors import SingeridError
from singerid.extraction import extract
from singerid.spec import FeatureSpec
from singerid.store_check import check, repair
from singerid.table import read_table

CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long jump(void) { const char *s = getenv("CLOCK_JUMP"); return s ? atol(s) : 0; }
int clock_gettime(clockid_t id, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(id, t);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) t->tv_sec += jump();
    return status;
}
time_t time(time_t *at) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (at) *at = t.tv_sec;
    return t.tv_sec;
}
int gettimeofday(struct timeval *at, void *zone) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    at->tv_sec = t.tv_sec;
    at->tv_usec = t.tv_nsec / 1000;
    return 0;
}
"""


def kills(bench: Bench, n: int) -> Iterator[Tally]:
    """Half of the kills just before a file operation, half at any time after the first."""
    for stage in bench.stages:
        tally = Tally(f"kill -9, {stage.name}")
        for i in range(n // len(bench.stages)):
            at = bench.place() / stage.name
            tally.tries += 1
            tally.hit += disturb(bench, stage, at, by_time=bool(i % 2))
            bench.finish(stage, at, tally)
            shutil.rmtree(at.parent)
        yield tally


def disturb(bench: Bench, stage: Stage, at: Path, by_time: bool, **env: str) -> bool:
    """Kill a stage; returns whether it was before its end."""
    if by_time:
        child = start(stage, at, env=env)
        child.first()
        time.sleep(bench.rng.uniform(0, bench.seconds[stage.name]))
        child.send(signal.SIGKILL)
    else:
        n_events = bench.n_events[stage.name]
        child = start(stage, at, int(bench.rng.integers(1, n_events + 1)), env)
    child.ended()
    return child.status == -signal.SIGKILL


def full(bench: Bench, n: int) -> Iterator[Tally]:
    """Disks too small by every share; given more room, the command is run again."""
    for stage in bench.stages:
        tally = Tally(f"disk full, {stage.name}")
        files = [bench.folder / stage.name, *(bench.folder / stage.name).rglob("*")]
        size = sum(-(-f.stat().st_size // 4096) * 4096 for f in files if f.is_file())
        for i in range(max(n // 10, 1)):
            with small_disk(bench, max(int(size * (i + 0.5) / max(n // 10, 1)), 4096)) as (
                place,
                enlarge,
            ):
                tally.tries += 1
                child = start(stage, place / stage.name)
                child.ended()
                tally.hit += child.status != 0
                line = child.complaint() if child.status else ""
                if child.status and ("No space left" not in line and "os error 28" not in line):
                    tally.found.append(f"{stage.name} says: {line}")
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
    tally = Tally("read-only folder, every stage")
    for stage in bench.stages:
        for is_done in (False, True):
            with small_disk(bench, 1 << 30) as (place, _):
                at = place / stage.name
                if is_done:
                    start(stage, at).ended()
                before = stage.content(at) if is_done else None
                subprocess.run(["mount", "-o", "remount,ro", place], check=True)
                child = start(stage, at)
                child.ended()
                tally.tries += 1
                tally.hit += child.status != 0
                line = child.complaint()
                if child.status and "ead-only file system" not in line:
                    tally.found.append(f"{stage.name} says: {line}")
                subprocess.run(["mount", "-o", "remount,rw", place], check=True)
                if is_done and stage.content(at) != before:
                    tally.lost += 1
    yield tally


def clock(bench: Bench, n: int) -> Iterator[Tally]:
    """Kills, and a clock that is years off before and after."""
    source, library = bench.folder / "clock.c", bench.folder / "clock.so"
    source.write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    for stage in bench.stages:
        tally = Tally(f"clock jumps between kill and resumption, {stage.name}")
        for jumps in ((10**8, -(10**8)), (-(10**8), 10**8)):
            before, after = ({"LD_PRELOAD": str(library), "CLOCK_JUMP": str(j)} for j in jumps)
            at = bench.place() / stage.name
            tally.tries += 1
            tally.hit += disturb(bench, stage, at, False, **before)
            bench.finish(stage, at, tally, **after)
        yield tally


def second(bench: Bench, n: int) -> Iterator[Tally]:
    """While one process stands still in the middle of its work, another begins the same."""
    for stage in bench.stages[:2]:
        tally = Tally(f"second process, {stage.name}")
        for _ in range(max(n // 20, 2)):
            at = bench.place() / stage.name
            first = start(stage, at)
            first.first()
            time.sleep(bench.rng.uniform(0.2, 0.5) * bench.seconds[stage.name])
            first.send(signal.SIGSTOP)
            other = start(stage, at)
            other.ended()
            line = other.complaint()
            tally.tries += 1
            tally.hit += other.status != 0
            if f"process {first.process.pid} on" not in line:
                tally.found.append(f"{stage.name} says: {line}")
            first.send(signal.SIGCONT)
            first.ended()
            if first.status or stage.content(at) != bench.whole[stage.name]:
                tally.lost += 1
        yield tally
    yield two_enroll(bench, n)


def two_enroll(bench: Bench, n: int) -> Tally:
    """Two at once: both are let in, one after the other, and what both give is there once."""
    stage, tally = bench.stages[-1], Tally("second process, enroll (waits its turn)")
    for _ in range(max(n // 20, 2)):
        at = bench.place() / stage.name
        pair = [start(stage, at), start(stage, at)]
        for child in pair:
            child.ended()
        tally.tries += 1
        tally.hit += 1
        for child in pair:
            if child.status:
                tally.found.append(f"enroll says: {child.complaint()}")
        tally.lost += stage.content(at) != bench.whole[stage.name]
    return tally


def store(bench: Bench, n: int) -> Iterator[Tally]:
    """Damage in every file of a store: named by `check`, put right by `repair` and `features`."""
    store_writer.SHARD_BYTES = 600_000
    whole, spec = bench.folder / "shards", FeatureSpec()
    extract(bench.recordings, whole, spec)
    names = sorted(f.name for f in whole.iterdir() if f.name != ".lock")
    for what in ("a bit flipped", "cut short", "file gone"):
        tally, made = Tally(f"store, {what}"), 0
        for i in range(n if what != "file gone" else len(names)):
            at = bench.place() / "store"
            shutil.copytree(whole, at)
            file = at / names[i % len(names)]
            damage(file, what, bench.rng)
            tally.tries += 1
            try:
                tally.hit += bool(check(at).findings) or not (at / "checksums.json").exists()
                repair(at)
            except SingeridError as error:
                tally.hit += "spec.json" in str(error)
            result, _ = extract(bench.recordings, at, spec)
            made += result.n_done
            same = all((at / name).read_bytes() == (whole / name).read_bytes() for name in names)
            tally.lost += not same
            shutil.rmtree(at.parent)
        tally.found.append(f"{made / tally.tries:.1f} of {len(bench.recordings)} recordings made "
                           "again on average")  # fmt: skip
        yield tally


def damage(file: Path, what: str, rng: np.random.Generator) -> None:
    """Change a file at random."""
    data = bytearray(file.read_bytes())
    position = int(rng.integers(len(data)))
    if what == "file gone":
        file.unlink()
    elif what == "cut short":
        os.truncate(file, position)
    else:
        data[position] ^= 1 << int(rng.integers(8))
        file.write_bytes(data)


def files(bench: Bench, n: int) -> Iterator[Tally]:
    """Damage in what else is kept: it is refused, or what is read is the same."""
    run = bench.folder / "train"
    kinds: list[tuple[Path, Callable[[Path], object]]] = [
        (bench.folder / "embed", lambda p: read_embeddings(p).vectors.tobytes()),
        (bench.folder / "table", lambda p: read_table(p).centroids.tobytes()),
        (run / "encoder.safetensors", lambda p: load_encoder(p).fingerprint),
        (next(run.glob("*.ckpt")), lambda p: _flat(load_weights_only(p))),
    ]
    for file, content in kinds:
        tally = Tally(f"a bit flipped, {file.name.replace('train', 'run')}")
        intact, copy = content(file), bench.place() / file.name
        for _ in range(n):
            shutil.copy(file, copy)
            damage(copy, "a bit flipped", bench.rng)
            tally.tries += 1
            try:
                now = content(copy)
            except SingeridError:
                tally.hit += 1
            except Exception as error:
                tally.found.append(f"raises {type(error).__name__}")
            else:
                tally.lost += now != intact
        yield tally


def _flat(value: object) -> object:
    """What can be compared, of a checkpoint."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return [(key, _flat(inner)) for key, inner in value.items()]
    return list(map(_flat, value)) if isinstance(value, (list, tuple)) else value


SECTIONS = {
    "kills": kills, "full": full, "readonly": readonly, "clock": clock, "second": second,
    "store": store, "files": files,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Faults on purpose.")
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--kills", type=int, default=40, help="in all (default: 40)")
    parser.add_argument("--flips", type=int, default=200, help="per kind of file (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # BLAS sums by its threads
    rng = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), rng)
        print(
            "| fault | tries | hit or named | lost | leftovers | found |\n|---|---|---|---|---|---|"
        )
        for name in arguments.sections or SECTIONS:
            n = arguments.flips if name in ("store", "files") else arguments.kills
            for tally in SECTIONS[name](bench, n):
                print(tally.row(), flush=True)


if __name__ == "__main__":
    main()
