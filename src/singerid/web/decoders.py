"""Decoding in worker processes: started once, used again, replaced when they hang or die."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from singerid.errors import AudioError, SingeridError
from singerid.quality import Quality
from singerid.web.wire import receive_message, receive_payloads, send_message

FloatArray = npt.NDArray[np.float32]
_START_SECONDS = 60.0  # imports on a busy machine
_CLIP_BYTES = 4 << 20


class DecodingTimeout(AudioError):
    """A file took longer to decode than it may."""


class ServiceStopped(SingeridError):
    """The service is ending."""


@dataclass(frozen=True)
class Job:
    """What a worker is asked for.

    Attributes:
        path: of the upload.
        sample_rate: of the samples in Hz.
        max_seconds: longest recording that is taken.
        clip_seconds: length of a clip to listen to; 0: none.
    """

    path: str
    sample_rate: int
    max_seconds: float
    clip_seconds: float = 0.0


@dataclass(frozen=True)
class Decoded:
    """What a worker made of an upload.

    Attributes:
        samples: mono float32 `(n_samples,)`.
        quality: what they are worth.
        clip: MP3, None if none was asked for.
    """

    samples: FloatArray
    quality: Quality
    clip: bytes | None


class DecoderPool:
    """Some worker processes. Its methods may be called by several threads.

    Args:
        n_workers: how many.
        timeout: seconds that a file may take.
        memory_mb: of a worker's address space.
        on_replaced: called with ``hung``, ``crashed`` or ``worn out`` when one is replaced.
    """

    def __init__(
        self,
        n_workers: int,
        timeout: float,
        memory_mb: int,
        on_replaced: Callable[[str], object] = lambda reason: None,
    ) -> None:
        self._timeout, self._memory_mb, self._on_replaced = timeout, memory_mb, on_replaced
        self._free: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        self._workers: set[_Worker] = set()
        self._closed = False
        self.n_workers = n_workers
        for _ in range(n_workers):
            self._free.put(None)  # started when it is needed

    @property
    def pids(self) -> list[int]:
        """Of the workers that run."""
        return [worker.pid for worker in list(self._workers) if worker.alive]

    def start(self) -> None:
        """Start all workers now, so that first requests need not wait."""
        slots = [self._free.get() for _ in range(self.n_workers)]
        for slot in slots:
            self._free.put(slot or self._spawn())

    def decode(self, job: Job) -> Decoded:
        """Decode a file; waits for a free worker.

        Raises:
            AudioError: the file cannot be used, or ends the worker.
            DecodingTimeout: it takes too long.
            ServiceStopped: `close` was called.
        """
        worker = self._free.get()
        try:
            if worker is None or not worker.alive:  # killed between two files, not by this one
                worker = self._replaced(worker, "crashed")
            if worker is None:
                raise ServiceStopped("the service is stopping")
            worker.wait_until_ready()
            answer, payloads = worker.ask(job, self._timeout)
            found = _found(answer, payloads)
            if answer.get("worn_out"):
                worker = self._replaced(worker, "worn out")
        except TimeoutError:
            worker = self._replaced(worker, "hung")
            raise DecodingTimeout(
                "takes too long to decode", found=f"more than {self._timeout:g} s",
                do="convert it to WAV or FLAC",
            ) from None  # fmt: skip
        except (EOFError, OSError, ValueError, KeyError, TypeError, IndexError, OverflowError):
            worker = self._replaced(worker, "crashed")
            raise AudioError(
                "ends the process that decodes it", do="convert it to WAV or FLAC"
            ) from None
        finally:
            self._free.put(worker)
        if isinstance(found, AudioError):
            raise found
        return found

    def close(self) -> None:
        """End all workers, busy ones too."""
        self._closed = True
        for worker in list(self._workers):
            self._drop(worker, None)

    def _spawn(self) -> _Worker | None:
        if self._closed:
            return None
        worker = _Worker(self._memory_mb)
        self._workers.add(worker)
        return worker

    def _replaced(self, worker: _Worker | None, reason: str) -> _Worker | None:
        self._drop(worker, reason)
        return self._spawn()

    def _drop(self, worker: _Worker | None, reason: str | None) -> None:
        if worker is None:
            return
        worker.end()
        self._workers.discard(worker)
        if reason and not self._closed:
            self._on_replaced(reason)


class _Worker:
    """One process of `singerid.web.decoding_worker`."""

    def __init__(self, memory_mb: int) -> None:
        self._connection, theirs = socket.socketpair()
        module = "singerid.web.decoding_worker"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(theirs.fileno()), str(memory_mb)],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=_environment(),
                start_new_session=True,  # Ctrl-C is for the service, which lets them finish
            )  # fmt: skip
        self._is_ready = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_until_ready(self) -> None:
        if not self._is_ready:
            receive_message(self._connection, time.monotonic() + _START_SECONDS)
            self._is_ready = True

    def ask(self, job: Job, timeout: float) -> tuple[dict[str, Any], list[bytearray]]:
        deadline = time.monotonic() + timeout
        self._connection.settimeout(timeout)
        send_message(self._connection, vars(job) | {"cpu_seconds": timeout})
        # Two samples more than the time allows: resampling rounds up.
        most_bytes = 4 * int(job.max_seconds * job.sample_rate + job.sample_rate) + _CLIP_BYTES
        return receive_payloads(self._connection, most_bytes, deadline)

    def end(self) -> None:
        """At once: it holds nothing that could be lost."""
        if self.alive:
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait()
        self._connection.close()


def _environment() -> dict[str, str]:
    """Without secrets, and one thread a worker."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SINGERID_")}
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


def _found(answer: dict[str, Any], payloads: list[bytearray]) -> Decoded | AudioError:
    """What a worker says, whatever a file has made of it.

    Raises:
        KeyError, TypeError, ValueError, IndexError, OverflowError: it is no answer.
    """
    if "error" in answer:
        parts: dict[str, Any] = {
            name: None if text is None else str(text)
            for name, text in dict(answer["error"]).items()
        }
        return AudioError(**parts)
    return _decoded(answer, payloads)


def _decoded(answer: dict[str, Any], payloads: list[bytearray]) -> Decoded:
    samples = np.frombuffer(payloads[0], np.float32)
    fields = dict(answer["quality"])
    reasons = tuple(map(str, fields.pop("reasons")))
    numbers = {name: float(value) for name, value in fields.items()}
    quality = Quality(**numbers, reasons=reasons)
    return Decoded(samples, quality, bytes(payloads[1]) or None)
