"""What the commands say: lines, warnings, errors, progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from singerid.errors import BatchError, MissingExtraError, SingeridError

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Processors that this process may use."""
_MOST_WARNINGS = 10


def say(line: str) -> None:
    """One line of result on standard output."""
    print(line, flush=True)


def warn(line: str) -> None:
    """One line of remark on standard error."""
    print(f"warning: {line}", file=sys.stderr, flush=True)


def warn_all(lines: Sequence[str]) -> None:
    """Remarks, the first few of many."""
    for line in lines[:_MOST_WARNINGS]:
        warn(line)
    if len(lines) > _MOST_WARNINGS:
        warn(f"and {len(lines) - _MOST_WARNINGS} more like these")


def complain(error: Exception) -> None:
    """The lines of an error on standard error; of a batch, one line per failed item."""
    if isinstance(error, BatchError):
        for failure in error.failures:
            print(f"error: {failure}", file=sys.stderr)
    for line in str(error).splitlines():
        print(f"error: {line}", file=sys.stderr, flush=True)


def need_torch() -> None:
    """Refuse in one line where PyTorch is not installed.

    Raises:
        MissingExtraError: it is not.
    """
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError("PyTorch", "train") from None


def check_failures(failures: Sequence[SingeridError], n_items: int, what: str) -> None:
    """Raise a `BatchError` if anything failed.

    Raises:
        BatchError: counts and holds the failures.
    """
    if failures:
        raise BatchError(f"{len(failures)} of {n_items} {what} failed, the rest is done", failures)


@contextmanager
def progress(title: str, total: float) -> Iterator[Callable[[float], None]]:
    """A bar on a terminal, nothing elsewhere; yields the function that advances it."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda amount: None
        return
    columns = (
        TextColumn(f"{title:<10}"), BarColumn(None), TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=max(total, 1e-9))
        yield lambda amount: bar.advance(task, amount)
