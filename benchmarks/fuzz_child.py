"""A process that reads one bad file after another, and says what became of each.

Run by `fuzz.py`: `fuzz_child.py TARGET SEED FIRST END N_DRAWN PIPE LOG`. One line a
case goes to the descriptor PIPE: `read`, `refused`, or what should not have happened, as JSON. To
LOG goes where it was when it dies. END is a number of a case, or -1: behind all cases that are
fixed, and N_DRAWN more that are drawn.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fuzz_mutate import in_turn, mutated
from fuzz_targets import Subject, make
from singerid.config import ConfigErrors
from singerid.errors import BatchError, SingeridError, one_line

MEMORY = 3 << 30  # bytes more than were mapped before the first case
MOST_LETTERS = 3000  # of a refusal: a place, and four parts
_RUNS = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.spawn",
         "pty.spawn", "socket.connect", "ctypes.dlopen"}  # fmt: skip
_WRITES = {"os.remove", "os.rename", "os.truncate", "os.mkdir", "os.rmdir", "os.symlink", "os.link",
           "os.chmod", "shutil.rmtree"}  # fmt: skip


class Guard:
    """Notes what Python does that reading a file should not do."""

    def __init__(self, folder: Path, allowed: frozenset[str]) -> None:
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
    if index < subject.n_fixed:
        name, data = subject.seeds[0]
        return name, in_turn(data, rest), False
    rng = np.random.default_rng([seed, zlib.crc32(target.encode()), index])
    if subject.draw is not None:
        return *subject.draw(rng), False
    name, data = subject.seeds[int(rng.integers(len(subject.seeds)))]
    return name, mutated(data, [d for _, d in subject.seeds], subject.words, rng), False


def problem_of(error: SingeridError, names: Sequence[str]) -> str | None:
    """What is wrong with a refusal; None if it is one clear line."""
    lines = [str(error)]
    if isinstance(error, ConfigErrors):
        lines = [str(problem) for problem in error.problems]
    elif isinstance(error, BatchError):
        lines += [str(failure) for failure in error.failures]
    for line in lines:
        if not line.isprintable():
            return f"message is not one printable line: {line!r:.200}"
        if len(line) > MOST_LETTERS:
            return f"message of {len(line)} characters: {line:.200}"
    if not any(one_line(name)[:40] in line for line in lines for name in names):
        return f"message does not name the file: {lines[0]:.200}"
    return None


def outcome(subject: Subject, path: Path, guard: Guard, must_refuse: bool) -> str | dict[str, str]:
    """Read one file."""
    guard.seen, guard.on = "", True
    try:
        found = subject.read(path)
        problem = "is read, and should not be" if must_refuse else None
        result, trace = "read", ""
        for error in getattr(found, "problems", []):  # of a corpus: what was left out
            problem = problem or problem_of(error, [""])
    except SingeridError as error:
        problem, result = problem_of(error, [path.name, *subject.named]), "refused"
        trace = traceback.format_exc()
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


class Bench:
    """The place where bad files lie, one after the other."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject, self.at = subject, folder / "at"
        self._renew()

    def _renew(self) -> None:
        shutil.rmtree(self.at, ignore_errors=True)
        if self.subject.template is None:
            self.at.mkdir()
        else:
            shutil.copytree(self.subject.template, self.at, symlinks=True)

    @contextmanager
    def lying(self, name: str, data: bytes) -> Iterator[Path]:
        """A bad file in the place of a good one, for a while."""
        path = self.at / name
        good = path.read_bytes() if path.is_file() else None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        try:
            yield path
        finally:
            if self.subject.fresh:
                self._renew()
            elif good is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(good)


def main() -> None:
    target = sys.argv[1]
    seed, first, end, n_drawn, pipe, log = map(int, sys.argv[2:8])
    faulthandler.enable(log)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        (folder / "made").mkdir()
        subject = make(target, folder / "made")
        bench = Bench(subject, folder)
        for file, data in subject.seeds:  # what is good is read, and what that imports is there
            with bench.lying(file, data) as path:
                subject.read(path)
        limit_memory()
        guard = Guard(folder, subject.allowed)
        first = subject.n_fixed if first < 0 else first
        tell(pipe, json.dumps({"first": first}))
        os.dup2(nowhere, 2)
        for index in range(first, subject.n_fixed + n_drawn if end < 0 else end):
            file, data, must_refuse = case_of(subject, target, seed, index)
            with bench.lying(file, data) as path:
                began = time.monotonic()
                result = outcome(subject, path, guard, must_refuse)
                seconds = time.monotonic() - began
            if isinstance(result, dict):
                result = json.dumps(result | {"file": file})
            tell(pipe, f"{seconds:.4f} {result}")


def limit_memory() -> None:
    """So much more than is mapped by now, and no core dumps."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def tell(pipe: int, line: str) -> None:
    os.write(pipe, line.encode() + b"\n")


if __name__ == "__main__":
    main()
