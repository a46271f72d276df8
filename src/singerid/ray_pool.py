"""Workers of a Ray cluster: what they do and give is what processes of this machine would.

Ray starts them where there is room, sends what they need, and lets others do again what was lost
with a machine. What it cannot help, a worker that dies of what it works on, is left to
`singerid.crew`, as with any pool.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

from singerid import __version__
from singerid.crew import MakePool
from singerid.errors import MismatchError, MissingExtraError, SingeridError

RETRIES = 3
"""How often Ray does again what was lost with a worker or a machine."""
AHEAD = 2
"""Recordings in work or in wait for each core of the cluster, so that none has to wait."""
_PATIENCE = 10.0  # seconds for a cluster to answer
_KNOWN: dict[str, Any] = {}  # of a worker: the last job that it was sent


def engine_of(arguments: argparse.Namespace) -> tuple[int, MakePool | None]:
    """What ``--workers`` and ``--engine`` ask for.

    Returns:
        Recordings that are in work at once, and what makes workers that are not of this machine.
    """
    if arguments.engine == "local":
        return arguments.workers, None
    return AHEAD * connect(), RayPool


def connect() -> int:
    """Join the cluster that ``RAY_ADDRESS`` names or that runs here, or start one of this machine.

    Returns:
        Its processor cores.

    Raises:
        MissingExtraError: Ray is not installed.
        SingeridError: there is no such cluster, or it cannot be joined.
    """
    ray = _ray()
    if not ray.is_initialized():
        _check_answers(os.environ.get("RAY_ADDRESS", ""))
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # its exceptions have no base of their own
            raise SingeridError(
                "the Ray cluster cannot be joined", where=os.environ.get("RAY_ADDRESS"),
                found=str(error).partition("\n")[0][:160],
                do="see `ray status`; RAY_ADDRESS names a cluster (host:6379), and without it "
                "one of this machine is started",
            ) from error  # fmt: skip
    return int(ray.cluster_resources().get("CPU", 1))


def _check_answers(address: str) -> None:
    """Refuse at once what Ray would try to reach for many minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host:  # none, "auto", or of Ray's client
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
    except OSError as error:
        raise SingeridError(
            "no Ray cluster answers", where=address, found=error.strerror or error,
            do="start it (ray start --head), or correct RAY_ADDRESS",
        ) from error  # fmt: skip


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    try:
        import ray
    except ImportError:
        raise MissingExtraError("Ray", "ray") from None
    return ray


class RayPool(Executor):
    """An executor whose workers are a Ray cluster's; each uses one core.

    A job, with all that it holds (an encoder, say), goes to each machine once, not with every call.
    A future raises `BrokenExecutor` if its worker, or what it made, was lost `RETRIES` times.

    Args:
        n_workers: not used: the cluster has as many as it has cores. Whoever submits more than it
            needs fills its memory with results.
    """

    def __init__(self, n_workers: int) -> None:
        connect()
        self._ray = _ray()
        self._task = self._ray.remote(num_cpus=1, max_retries=RETRIES)(_do)
        self._jobs: dict[int, tuple[Callable[..., Any], Any]] = {}
        self._open: set[Any] = set()

    def submit(self, job: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Let a worker do something."""
        if id(job) not in self._jobs:
            self._jobs[id(job)] = job, self._ray.put(job)
        reference = self._jobs[id(job)][1]
        # In a list, Ray passes it on as it is and does not fetch it for every call.
        result = self._task.remote([reference], reference.hex(), __version__, args, kwargs)
        self._open.add(result)
        future: Future[Any] = Future()
        inner = result.future()

        def pass_on(_: object) -> None:
            self._open.discard(result)
            _settle(future, inner)

        inner.add_done_callback(pass_on)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Give up what is not done, if asked to; the cluster stays."""
        for result in list(self._open) if cancel_futures else ():
            self._ray.cancel(result)
        self._jobs.clear()


def _settle(future: Future[Any], inner: Future[Any]) -> None:
    """The result, the job's own exception, or that its worker died."""
    error = inner.exception()
    cause = getattr(error, "cause", None)  # what the job raised, or Ray for it
    if error is None:
        future.set_result(inner.result())
    elif cause is None or isinstance(cause, _ray().exceptions.RayError):
        future.set_exception(BrokenExecutor(str(cause or error).partition("\n")[0]))
    else:
        future.set_exception(cause)


def _do(job: list[Any], name: str, version: str, args: Any, kwargs: Any) -> Any:
    """On a worker: a job that it may have been sent before."""
    import ray

    if version != __version__:
        raise MismatchError(
            "a machine of the Ray cluster has another singerid",
            where=ray.util.get_node_ip_address(), found=__version__, expected=version,
            do="install the same version everywhere",
        )  # fmt: skip
    if name not in _KNOWN:
        _KNOWN.clear()
        _KNOWN[name] = ray.get(job[0])
    return _KNOWN[name](*args, **kwargs)
