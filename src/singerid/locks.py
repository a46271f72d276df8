"""Locks: one writer at a time, and whoever comes second is told who it is.

The lock itself is the system's (`flock`), which ends with its process, however that ends. What is
written beside it is only for people to read; nothing is decided by it.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

_LONGEST = 200  # characters of a command that are shown


@contextmanager
def held(file: Path, seconds: float = 0.0) -> Iterator[None]:
    """Hold a lock; a file beside it says who does.

    Args:
        file: the lock's file, made if missing; its folder must exist.
        seconds: how long to wait for it.

    Raises:
        filelock.Timeout: another process has it (see `holder`).
        OSError: the file cannot be made.
    """
    with FileLock(file, timeout=seconds):
        facts = facts_file(file)
        with suppress(OSError):  # on a full disk, one that was killed must not be named either
            facts.unlink(missing_ok=True)
            facts.write_text(_facts(), "utf-8")
        try:
            yield
        finally:
            with suppress(OSError):
                facts.unlink(missing_ok=True)


def facts_file(file: Path) -> Path:
    """Where the holder of a lock is described."""
    return file.with_name(f"{file.name}.holder")


def holder(file: Path) -> str | None:
    """Who holds a lock: process, host, since when, command; None if that is not known.

    A process of this host that is no more (killed, before another took the lock) is not named.
    """
    try:
        facts = json.loads(facts_file(file).read_text("utf-8"))
        pid, host = int(facts["pid"]), str(facts["host"])
        since, command = str(facts["since"]), str(facts["command"])
    except (OSError, ValueError, TypeError, KeyError):
        return None  # an older version holds it, or has not written yet
    if host == socket.gethostname() and not _is_alive(pid):
        return None
    if len(command) > _LONGEST:
        command = command[: _LONGEST - 1] + "…"
    return f"process {pid} on {host} since {since}: {command}"


def _facts() -> str:
    words = [Path(sys.argv[0]).name or "python", *sys.argv[1:]]
    return json.dumps({
        "pid": os.getpid(), "host": socket.gethostname(),
        "since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"), "command": shlex.join(words),
    })  # fmt: skip


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True
