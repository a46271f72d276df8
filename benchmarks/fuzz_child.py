"""A process that reads one bad file after another, and says what became of each.

Run by `fuzz.py`: `python benchmarks/fuzz_child.py TARGET SEED FIRST END PIPE`. One line a case goes
to the descriptor PIPE: `read`, `refused`, or what should not have happened, as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
import traceback
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from fuzz_mutate import in_turn, mutated, n_in_turn
from fuzz_targets import Subject, make
from singerid.config import ConfigErrors
from singerid.errors import BatchError, SingeridError, one_line

MEMORY = 3 << 30  # bytes more than were mapped before the first case
_RUNS = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.spawn",
         "pty.spawn", "socket.connect", "ctypes.dlopen"}  # fmt: skip
_WRITES = {"os.remove", "os.rename", "os.truncate", "os.mkdir", "os.rmdir", "os.symlink", "os.link",
           "os.chmod", "shutil.rmtree"}  # fmt: skip


class Guard:
    """Notes what Python does that reading a file should not do."""

    def __init__(self, folder: Path, allowed: set[str]) -> None:
        self.folder, self.seen, self.on = str(folder), "", False
        self.allowed = allowed
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on or event in self.allowed:
            return
        if event in _RUNS:
            self.seen = f"{event} {arguments!r}"[:200]
        elif event in _WRITES or (event == "open" and _writes(arguments)):
            place = os.path.abspath(os.fsdecode(arguments[0])) if _is_path(arguments[0]) else ""
            if place and not place.startswith(self.folder) and place != os.devnull:
                self.seen = f"{event} {place}"[:200]


def _is_path(value: object) -> bool:
    return isinstance(value, (str, bytes, os.PathLike))


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(flags & (os.O_WRONLY | os.O_RDWR))


def case_of(subject: Subject, target: str, seed: int, index: int) -> tuple[str, bytes, bool]:
    """File name, content, and whether it must be refused."""
    if index < len(subject.traps):
        return subject.traps[index]
    rest = index - len(subject.traps)
    if subject.every_byte:
        for name, data in subject.seeds:
            if rest < n_in_turn(data):
                return name, in_turn(data, rest), False
            rest -= n_in_turn(data)
    rng = np.random.default_rng([seed, zlib.crc32(target.encode()), index])
    if subject.draw is not None:
        return *subject.draw(rng), False
    name, data = subject.seeds[int(rng.integers(len(subject.seeds)))]
    return name, mutated(data, [d for _, d in subject.seeds], subject.words, rng), False


def problem_of(error: SingeridError, path: Path) -> str | None:
    """What is wrong with a refusal; None if it is one clear line."""
    lines = [str(error)]
    if isinstance(error, ConfigErrors):
        lines = [str(problem) for problem in error.problems]
    elif isinstance(error, BatchError):
        lines += [str(failure) for failure in error.failures]
    for line in lines:
        if not line.isprintable():
            return f"message is not one printable line: {line!r:.200}"
        if len(line) > 1000:
            return f"message of {len(line)} characters: {line:.200}"
    if not any(one_line(path.name)[:40] in line for line in lines):
        return f"message does not name the file: {lines[0]:.200}"
    return None


def outcome(subject: Subject, path: Path, guard: Guard, must_refuse: bool) -> str | dict[str, str]:
    """Read one file."""
    guard.seen, guard.on = "", True
    try:
        subject.read(path)
        problem = "is read, and should not be" if must_refuse else None
        result, trace = "read", ""
    except SingeridError as error:
        problem, result, trace = problem_of(error, path), "refused", traceback.format_exc()
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)
        ours = [f"{Path(f.filename).name}:{f.lineno}" for f in where if "singerid" in f.filename]
        problem = f"{type(error).__name__} at {ours[-1] if ours else '?'}: {error!s:.160}"
        result, trace = "", traceback.format_exc()
    finally:
        guard.on = False
    if guard.seen:
        problem = f"does {guard.seen}"
    return result if problem is None else {"problem": problem, "trace": trace}


def main() -> None:
    target, pipe = sys.argv[1], int(sys.argv[5])
    seed, first, end = map(int, sys.argv[2:5])
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        subject = make(target, folder)
        at = folder / "at"
        at.mkdir()
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        if not subject.own_limits:
            resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        guard = Guard(folder, subject.allowed)
        os.write(pipe, json.dumps({"n_traps": len(subject.traps), "n": len(subject)}).encode())
        os.write(pipe, b"\n")
        os.dup2(nowhere, 2)
        for index in range(first, end):
            file, data, must_refuse = case_of(subject, target, seed, index)
            path = at / file
            path.write_bytes(data)
            began = time.monotonic()
            result = outcome(subject, path, guard, must_refuse)
            seconds = time.monotonic() - began
            if isinstance(result, dict):
                result = json.dumps(result | {"file": file})
            os.write(pipe, f"{seconds:.4f} {result}\n".encode())


if __name__ == "__main__":
    main()
