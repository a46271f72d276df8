"""Workers ahead of whoever takes their results; one that dies costs no more than what killed it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from concurrent.futures.process import BrokenProcessPool
from typing import Generic, Protocol, TypeVar

from singerid.errors import AudioError, SingeridError


class Work(Protocol):
    """What a worker does at a time: a recording, or a block of them."""

    @property
    def path(self) -> str:
        """What it is about, for errors."""

    @property
    def duration(self) -> float:
        """Seconds of audio."""


Item = TypeVar("Item", bound=Work)
Result = TypeVar("Result")
MakePool = Callable[[int], Executor]


class Crew(Generic[Item, Result]):
    """A pool that is made anew when a worker has died, and the recordings in flight.

    A dead process breaks the whole pool, and nobody says which recording it was at. So those that
    may have been begun are tried again one at a time; whatever kills its worker again is left
    out, and everything else is done as if nothing had happened.

    Args:
        job: the work; it can be sent to another process, and its errors are values.
        n_workers: recordings that are worked on at once.
        make_pool: makes that many workers. A future of theirs raises `BrokenExecutor` if its
            worker died, `BrokenProcessPool` if all others are lost with it.
    """

    def __init__(
        self, job: Callable[[Item], Result | SingeridError], n_workers: int, make_pool: MakePool
    ) -> None:
        self._job, self._n, self._make_pool = job, n_workers, make_pool
        self._pool = make_pool(n_workers)
        self._flight: deque[tuple[Item, Future[Result | SingeridError]]] = deque()

    def __len__(self) -> int:
        """Recordings that were put in and not yet taken out."""
        return len(self._flight)

    def put(self, recording: Item) -> None:
        """Let it be worked on."""
        self._flight.append((recording, self._submit(self._pool, recording)))

    def take(self) -> tuple[Item, Result | SingeridError]:
        """The recording that was put in first, and its result, which is waited for.

        Raises:
            SingeridError: no worker lives long enough to do anything.
        """
        if _broke(self._flight[0][1]):
            self._recover()
        recording, future = self._flight.popleft()
        return recording, future.result()

    def close(self) -> None:
        """End the workers, without what they have not begun."""
        self._pool.shutdown(cancel_futures=True)

    def _submit(self, pool: Executor, recording: Item) -> Future[Result | SingeridError]:
        try:
            return pool.submit(self._job, recording)
        except BrokenExecutor as error:  # a worker has died since: this one is lost, too
            future: Future[Result | SingeridError] = Future()
            future.set_exception(error)
            return future

    def _recover(self) -> None:
        """Do again what was lost: what may be to blame alone, then the rest by new workers."""
        if isinstance(self._flight[0][1].exception(), BrokenProcessPool):
            self._pool.shutdown()  # it waits until every future of its has been told
            self._pool = self._make_pool(self._n)
        lost = [place for place, (_, f) in enumerate(self._flight) if f.done() and _broke(f)]
        # They are begun in order, so those behind the first few had not been.
        self._do_alone(lost[: self._n])
        for place in lost[self._n :]:
            recording, _ = self._flight[place]
            self._flight[place] = (recording, self._submit(self._pool, recording))

    def _do_alone(self, places: list[int]) -> None:
        """One at a time; an error for what kills its worker again."""
        lone = self._make_pool(1)
        try:
            for place in places:
                recording, _ = self._flight[place]
                future = self._submit(lone, recording)
                if _broke(future):
                    future = Future()
                    future.set_result(_fatal(recording))
                    lone.shutdown()
                    lone = self._make_pool(1)
                    _check_alive(lone)
                self._flight[place] = (recording, future)
        finally:
            lone.shutdown(cancel_futures=True)


def _broke(future: Future[Result | SingeridError]) -> bool:
    """Wait for its end; True if its worker died."""
    return isinstance(future.exception(), BrokenExecutor)


def _fatal(recording: Work) -> AudioError:
    return AudioError(
        "its worker process died twice, the second time with nothing beside it",
        where=recording.path,
        do="most often a decoder that crashes, or memory: convert the file, or take it out",
    )


def _check_alive(pool: Executor) -> None:
    """Let a worker do next to nothing.

    Raises:
        SingeridError: it dies all the same, so that no recording is to blame.
    """
    try:
        pool.submit(int).result()
    except BrokenExecutor as error:
        raise SingeridError(
            "worker processes die before they do anything", found=error,
            do="see what ends them (memory, limits of the system), or use --workers 1; a script "
            "of yours needs what it does below: if __name__ == '__main__':",
        ) from error  # fmt: skip
