"""A command of singerid that is watched, and killed just before one of its file operations.

Run: `python benchmarks/fault_child.py PLACE K PIPE COMMAND …`: of the operations on files below
PLACE, before the K-th the process kills itself without a word (0: never). A byte is written to the
descriptor PIPE before each of them.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from singerid.cli import main

_EVENTS = {"open", "os.rename", "os.remove", "os.truncate", "os.mkdir", "os.rmdir"}


def watch(place: str, fatal: int, pipe: int) -> None:
    """Count operations, say so, die at the given one."""
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in _EVENTS or not str(arguments[0]).startswith(place):
            return
        if event == "open" and arguments[1] in ("r", "rb") and not arguments[2] & os.O_CREAT:
            return  # reading changes nothing
        count += 1
        os.write(pipe, b".")
        if count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


if __name__ == "__main__":
    watch(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    sys.argv = ["singerid", *sys.argv[4:]]
    sys.exit(main())
