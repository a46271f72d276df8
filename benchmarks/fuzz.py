"""Bad input by the thousand: what reads files and requests is given broken and malicious ones.

    python benchmarks/fuzz.py [target ...] [--cases N] [--seed N] [--only CASE] [--list]

Every case is read in a process of its own, with limits on memory and time. It must be read, or
refused by one printable line that names the file; any other exception, a process that dies or
hangs, more than 3 GB of memory, a command run or a file written elsewhere is a finding. Findings
are counted by kind, with the number of cases in parentheses. Cases depend on seed and number
alone. First come traps made by hand, then, for audio, every byte of a small file in turn, then
`--cases` changes at random. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from fuzz_targets import TARGETS

SECONDS = 20.0  # that one case may take
_START_SECONDS = 300.0
_CHILD = Path(__file__).with_name("fuzz_child.py")


@dataclass
class Tally:
    """What became of the cases of a target."""

    name: str
    n: int = 0
    n_read: int = 0
    n_refused: int = 0
    slowest: float = 0.0
    findings: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, line: str, place: int) -> None:
        """Count one line of a child."""
        seconds, result = line.split(" ", 1)
        self.n += 1
        self.slowest = max(self.slowest, float(seconds))
        self.n_read += result == "read"
        self.n_refused += result == "refused"
        if result.startswith("{"):
            found = json.loads(result)
            self.note(found["problem"], place, found["trace"])

    def note(self, problem: str, place: int, trace: str) -> None:
        """Count what should not have happened; alike are told by all but their details."""
        kind = re.sub(r"0x[0-9a-f]+|\d{3,}", "N", problem)[:60]
        self.findings[kind] += 1
        self.examples.setdefault(kind, f"case {place}: {problem}\n{trace}")

    def row(self) -> str:
        """Of the table."""
        found = f"{len(self.findings)} ({sum(self.findings.values()):,})" if self.findings else "0"
        return (
            f"| {self.name} | {self.n:,} | {self.n_refused:,} | {self.n_read:,} | {found} | "
            f"{self.slowest:.1f} |"
        )


def run(target: str, n_drawn: int, seed: int, only: int | None = None, first: int = 0) -> Tally:
    """All cases of a target; a child that dies or hangs is replaced behind that case.

    Args:
        target: its name.
        n_drawn: cases behind those that are fixed.
        seed: of what is drawn.
        only: this case alone.
        first: the first case; -1: the first that is drawn.
    """
    tally = Tally(target)
    place: int | None = first
    end = -1
    if only is not None:
        place, end = only, only + 1
    while place is not None:
        with tempfile.TemporaryFile() as log:
            child, pipe = start(target, seed, place, end, n_drawn, log.fileno())
            try:
                place = follow(child, pipe, place, tally, log)
            finally:
                child.kill()
                child.wait()
                os.close(pipe)
        if only is not None:
            break
    return tally


def start(
    target: str, seed: int, place: int, end: int, n_drawn: int, log: int
) -> tuple[subprocess.Popen[bytes], int]:  # fmt: skip
    ours, theirs = os.pipe()
    numbers = map(str, (seed, place, end, n_drawn, theirs, log))
    environment = os.environ | {
        "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2",
        "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    child = subprocess.Popen(
        [sys.executable, str(_CHILD), target, *numbers], pass_fds=[theirs, log], env=environment,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    return child, ours


def follow(
    child: subprocess.Popen[bytes], pipe: int, place: int, tally: Tally, log: BinaryIO
) -> int | None:
    """Count a child's cases; returns the next case, if the child has not done all."""
    waiting, limit, is_ready = b"", _START_SECONDS, False
    while True:
        if not select.select([pipe], [], [], limit)[0]:
            child.send_signal(signal.SIGABRT)  # it says where it is
            child.wait(10)
            problem = f"hangs for more than {SECONDS:g} s"
            break
        data = os.read(pipe, 1 << 16)
        if not data:
            if not (status := child.wait()):
                return None
            problem = f"the process dies with status {status}"
            break
        *lines, waiting = (waiting + data).split(b"\n")
        for line in lines:
            if not is_ready:
                is_ready, limit = True, SECONDS
                place = json.loads(line)["first"]
                continue
            tally.add(line.decode(), place)
            place += 1
    log.seek(0)
    trace = log.read().decode("utf-8", "replace")
    if not is_ready:
        raise SystemExit(f"{tally.name}: the child does not start ({problem})\n{trace}")
    where = re.search(r"src/singerid/(\S+?)\", line (\d+)", trace)
    tally.n += 1
    tally.note(f"{problem} at {where[1]}:{where[2]}" if where else problem, place, trace[:3000])
    return place + 1


def main() -> None:
    parser = argparse.ArgumentParser(description="Bad input by the thousand.")
    parser.add_argument("targets", nargs="*", help="default: all; see --list")
    parser.add_argument("--cases", type=int, default=1000, help="drawn for each (default: 1000)")
    parser.add_argument("--only", type=int, help="this one case again")
    parser.add_argument("--drawn", action="store_true", help="leave out the cases that are fixed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="name the targets")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(TARGETS))
        return
    print("| input | cases | refused | read | findings | slowest s |\n|---|---|---|---|---|---|")
    n_found = 0
    for name in arguments.targets or TARGETS:
        began = time.monotonic()
        first = -1 if arguments.drawn else 0
        tally = run(name, arguments.cases, arguments.seed, arguments.only, first)
        print(tally.row(), flush=True)
        for kind, count in tally.findings.most_common():
            n_found += count
            print(f"# {count} × {tally.examples[kind]}", file=sys.stderr, flush=True)
        print(f"# {name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    sys.exit(1 if n_found else 0)


if __name__ == "__main__":
    main()
