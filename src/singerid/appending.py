"""Folders that grow by appending: one writer at a time, workers ahead of it, no half lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import TypeVar

from filelock import Timeout
from threadpoolctl import threadpool_limits

from singerid.crew import Crew, Item, MakePool
from singerid.errors import AudioError, SingeridError, StoreError
from singerid.locks import held, holder
from singerid.records import Recording, atomic_write, refuse_links, remove_partials
from singerid.remote import in_memory

Result = TypeVar("Result")
_MODULE = "singerid.__main__"
_FEW = 8  # recordings that are not worth new processes
_AHEAD_SECONDS = 3600.0  # their default features take 72 MB


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a folder's lock; what killed writers have left there is removed.

    Raises:
        StoreError: another process holds it, or the folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            refuse_links(path, StoreError)  # before the lock, which is a file in it as well
            stack.enter_context(held(path / ".lock"))
        except Timeout:
            raise StoreError(
                "is being written by another process", where=path, found=holder(path / ".lock"),
                do="wait for it to finish",
            ) from None  # fmt: skip
        except OSError as error:
            raise write_error(path, error) from error
        remove_partials(path)
        yield


def begin_folder(path: Path, spec_json: str) -> None:
    """Make a folder that holds nothing but its spec, unless another process has just done so.

    Raises:
        StoreError: it cannot be made, is in use, or holds something else.
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
    with locked(path):
        if not (path / "spec.json").exists():
            with atomic_write(path / "spec.json") as file:
                file.write(spec_json + "\n")


def readers(recordings: Sequence[Recording]) -> MakePool:
    """Workers for what releases the interpreter's lock: decoding, resampling, mel.

    A few recordings are left to threads, which start at once. Many are decoded by processes: a
    decoder that crashes on one of them then costs that one, and not the command.
    """
    if len(recordings) <= _FEW or any(in_memory(recording.path) for recording in recordings):
        return ThreadPoolExecutor
    return processes if _is_command() else ThreadPoolExecutor


def _is_command() -> bool:
    """False in a user's script: a new process runs it again, unless it is written for that."""
    main = sys.modules["__main__"]
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    return file is None or Path(file).stem == "singerid" or str(spec and spec.name) == _MODULE


def in_turn(
    recordings: Sequence[Item],
    work: Callable[[Item], Result],
    n_workers: int,
    make_pool: MakePool,
) -> Iterator[tuple[Item, Result | SingeridError]]:
    """Do some work for each recording; results, or errors, come in the recordings' order.

    Workers run ahead of what is taken, by so many seconds of audio that memory stays bounded
    and a long recording does not make the others wait.

    Args:
        recordings: what to work on; or blocks of recordings.
        work: can be sent to another process; a `SingeridError` that it raises is its result.
        n_workers: recordings that are worked on at once.
        make_pool: makes that many workers, of this machine or others; not called where one is
            enough.

    Raises:
        SingeridError: worker processes cannot live at all. What kills one is an `AudioError` in
            its turn (see `Crew`), unless the only worker is this process.
    """
    if n_workers > 1 and len(recordings) > 1:
        yield from by_crew(recordings, work, n_workers, make_pool)
        return
    with threadpool_limits(1, "blas"):  # as workers have, so that the bits are the same
        for recording in recordings:
            yield recording, attempt(work, recording)


def by_crew(
    recordings: Sequence[Item],
    work: Callable[[Item], Result],
    n_workers: int,
    make_pool: MakePool,
) -> Iterator[tuple[Item, Result | SingeridError]]:
    """`in_turn`, never in this thread."""
    with threadpool_limits(1, "blas"):  # workers share the cores already
        crew = Crew(partial(attempt, work), n_workers, make_pool)
        ahead = 0.0
        try:
            for recording in recordings:
                ahead += recording.duration
                while len(crew) > n_workers and ahead > _AHEAD_SECONDS:
                    first, result = crew.take()
                    ahead -= first.duration
                    yield first, result
                crew.put(recording)
            while len(crew):
                yield crew.take()
        finally:  # also when the user interrupts
            crew.close()


def attempt(work: Callable[[Item], Result], recording: Item) -> Result | SingeridError:
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
    return ProcessPoolExecutor(n_workers, get_context("forkserver"), _begin_worker)


def _begin_worker() -> None:
    threadpool_limits(1, "blas")
    end_with_parent()


def end_with_parent() -> None:
    """Else a worker would wait for work for ever after the process that it works for was killed.

    Its fork server lives as long as it does, so it has no way to see that itself.
    """
    Thread(target=_await_parent, daemon=True).start()


def _await_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)


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
