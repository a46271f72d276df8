"""Bad input by the thousand: what reads files and requests is given broken and malicious ones.

    python benchmarks/fuzz.py [target ...] [--cases N] [--seed N] [--keep FOLDER] [--list]

Every case is read in a process of its own kind, with limits on memory and time. It must be read, or
refused by one printable line that names the file; any other exception, a process that dies or
hangs, more than 3 GB of memory, a command run or a file written elsewhere is a finding. Cases
depend on seed and number alone. First come the traps made by hand, then, for audio, every byte of
each small file in turn, then changes at random. Linux only.
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
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

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

    def add(self, line: str) -> None:
        """Count one line of a child."""
        seconds, result = line.split(" ", 1)
        self.n += 1
        self.slowest = max(self.slowest, float(seconds))
        self.n_read += result == "read"
        self.n_refused += result == "refused"
        if result.startswith("{"):
            found = json.loads(result)
            self.note(found["problem"], found["trace"])

    def note(self, problem: str, trace: str = "") -> None:
        """Count what should not have happened; alike are told by all but their details."""
        kind = re.sub(r"0x[0-9a-f]+|\d{3,}", "N", problem)[:60]
        self.findings[kind] += 1
        self.examples.setdefault(kind, f"case {self.n - 1}: {problem}\n{trace}")

    def row(self) -> str:
        """Of the table."""
        found = sum(self.findings.values())
        return (
            f"| {self.name} | {self.n:,} | {self.n_refused:,} | {self.n_read:,} | {found:,} | "
            f"{self.slowest:.1f} |"
        )


def run(target: str, n_cases: int, seed: int, first: int = 0) -> Tally:
    """All cases of a target; a child that dies or hangs is replaced behind that case."""
    tally, end = Tally(target), first + n_cases
    place = first
    while place < end:
        child, pipe = start(target, seed, place, end)
        try:
            place, end = follow(child, pipe, place, end, tally, n_cases <= 0)
        finally:
            child.kill()
            child.wait()
            os.close(pipe)
    return tally


def start(target: str, seed: int, place: int, end: int) -> tuple[subprocess.Popen[bytes], int]:
    ours, theirs = os.pipe()
    command = [sys.executable, str(_CHILD), target, str(seed), str(place), str(end), str(theirs)]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "MALLOC_ARENA_MAX": "2",
    }  # fmt: skip
    child = subprocess.Popen(command, pass_fds=[theirs], env=environment, start_new_session=True)
    os.close(theirs)
    return child, ours


def follow(
    child: subprocess.Popen[bytes], pipe: int, place: int, end: int, tally: Tally, whole: bool
) -> tuple[int, int]:
    """Count a child's cases; returns the next case and the end."""
    waiting, limit, is_ready = b"", _START_SECONDS, False
    while True:
        if not select.select([pipe], [], [], limit)[0]:
            child.send_signal(signal.SIGKILL)
            problem = f"hangs for more than {SECONDS:g} s"
            break
        data = os.read(pipe, 1 << 16)
        if not data:
            status = child.wait()
            if status == 0 or place >= end:
                return end, end
            problem = f"the process dies with status {status}"
            break
        *lines, waiting = (waiting + data).split(b"\n")
        for line in lines:
            if not is_ready:
                is_ready, limit = True, SECONDS
                continue
            tally.add(line.decode())
            place += 1
    if not is_ready:
        raise SystemExit(f"{tally.name}: the child does not start ({problem})")
    tally.n += 1
    tally.note(problem)
    return place + 1, end


def main() -> None:
    parser = argparse.ArgumentParser(description="Bad input by the thousand.")
    parser.add_argument("targets", nargs="*", help="default: all; see --list")
    parser.add_argument("--cases", type=int, default=1000, help="of each (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="name the targets")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(TARGETS))
        return
    print("| input | cases | refused | read | other | slowest s |\n|---|---|---|---|---|---|")
    n_found = 0
    for name in arguments.targets or TARGETS:
        began = time.monotonic()
        tally = run(name, arguments.cases, arguments.seed, arguments.first)
        print(tally.row(), flush=True)
        for kind, count in tally.findings.most_common():
            n_found += count
            print(f"# {count} × {tally.examples[kind]}", file=sys.stderr, flush=True)
        print(f"# {name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    sys.exit(1 if n_found else 0)


if __name__ == "__main__":
    main()
