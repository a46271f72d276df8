"""Folders that grow by appending: one writer at a time, workers ahead of it, no half lines."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from filelock import Timeout
from threadpoolctl import threadpool_limits

from singerid.errors import AudioError, SingeridError, StoreError
from singerid.locks import held, holder
from singerid.records import Recording, atomic_write

Result = TypeVar("Result")
_AHEAD_SECONDS = 3600.0  # their default features take 72 MB


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a folder's lock.

    Raises:
        StoreError: another process holds it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(held(path / ".lock"))
        except Timeout:
            raise StoreError(
                "is being written by another process", where=path, found=holder(path / ".lock"),
                do="wait for it to finish",
            ) from None  # fmt: skip
        except OSError as error:
            raise write_error(path, error) from error
        yield


def begin_folder(path: Path, spec_json: str) -> None:
    """Make a folder that holds nothing but its spec.

    Raises:
        StoreError: it cannot be made, or holds something else.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError("folder cannot be made", where=path, found=error.strerror) from error
    if strangers := [p.name for p in path.iterdir() if not p.name.startswith(".")]:
        raise StoreError(
            "folder holds something else", where=path, found=sorted(strangers)[0],
            do="use an empty folder",
        )  # fmt: skip
    with atomic_write(path / "spec.json") as file:
        file.write(spec_json + "\n")


def in_turn(
    recordings: Sequence[Recording],
    work: Callable[[Recording], Result],
    n_workers: int,
    make_pool: Callable[[int], Executor],
) -> Iterator[tuple[Recording, Result | SingeridError]]:
    """Do some work for each recording; results, or errors, come in the recordings' order.

    Workers run ahead of what is taken, by so many seconds of audio that memory stays bounded
    and a long recording does not make the others wait.

    Args:
        recordings: what to work on.
        work: can be sent to another process; a `SingeridError` that it raises is its result.
        n_workers: recordings that are worked on at once.
        make_pool: makes that many workers; not called where one is enough.

    Raises:
        SingeridError: a worker process was killed.
    """
    with threadpool_limits(1, "blas"):  # workers share the cores already
        if n_workers <= 1 or len(recordings) < 2:
            for recording in recordings:
                yield recording, attempt(work, recording)
            return
        pool = make_pool(n_workers)
        waiting: deque[tuple[Recording, Future[Result | SingeridError]]] = deque()
        ahead = 0.0
        try:
            for recording in recordings:
                ahead += recording.duration
                while len(waiting) > n_workers and ahead > _AHEAD_SECONDS:
                    first, future = waiting.popleft()
                    ahead -= first.duration
                    yield first, future.result()
                waiting.append((recording, pool.submit(attempt, work, recording)))
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        except BrokenProcessPool as error:
            raise SingeridError(
                "a worker process has died", found=error, do="most often memory is short: lower "
                "--workers, then run the same command again",
            ) from error  # fmt: skip
        finally:  # also when the user interrupts
            pool.shutdown(cancel_futures=True)


def attempt(work: Callable[[Recording], Result], recording: Recording) -> Result | SingeridError:
    """An error is a value here, so that the rest goes on."""
    try:
        return work(recording)
    except SingeridError as error:
        return error
    except MemoryError:
        return AudioError("does not fit into memory", where=recording.path)


def processes(n_workers: int) -> Executor:
    """Workers for what holds the interpreter's lock (pitch, WORLD)."""
    # forkserver: no copy of a parent that may hold threads; workers never import torch.
    context = get_context("forkserver")
    return ProcessPoolExecutor(n_workers, context, threadpool_limits, (1, "blas"))


def open_at(file: Path, size: int) -> int:
    """Open for writing behind `size` bytes; what lies beyond was never indexed."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    os.ftruncate(handle, size)
    os.lseek(handle, size, os.SEEK_SET)
    return handle


def write_all(handle: int, data: memoryview) -> None:
    """Write every byte; the system may take a part at a time."""
    while data:
        data = data[os.write(handle, data) :]


def write_error(path: Path, error: OSError) -> StoreError:
    """What to say when the disk is full, or worse."""
    return StoreError(
        "cannot be written", where=path, found=error.strerror,
        do="free space, then run the same command again: it goes on where it stopped",
    )  # fmt: skip
