"""What the routes share: judge, registry, workers, batches, limits, and whether all this ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from fastapi import UploadFile

from singerid.embeddings import check_same_encoder
from singerid.errors import SingeridError
from singerid.judge import Judge, Voice
from singerid.sections import ServeSettings
from singerid.terminal import CPUS
from singerid.web.access import Access
from singerid.web.batching import Batcher
from singerid.web.decoders import DecoderPool, Job
from singerid.web.enrolled_judge import EnrolledJudge
from singerid.web.logs import log
from singerid.web.lookups import ClipFinder
from singerid.web.metrics import Metrics
from singerid.web.rate import RateLimit
from singerid.web.uploads import Upload, Uploads

if TYPE_CHECKING:
    from singerid.registry import Registry

_P = ParamSpec("_P")
_T = TypeVar("_T")
_REGISTRY_THREADS = 4


@dataclass(frozen=True)
class Heard:
    """An upload that was listened to.

    Attributes:
        voice: its vector and quality.
        sha256: of the file's bytes, in hex.
        clip: MP3, None if none was asked for.
    """

    voice: Voice
    sha256: str
    clip: bytes | None


class Service:
    """One per application; `start` and `close` are called by its lifespan.

    Nothing in it belongs to an event loop: what blocks runs in threads, or in worker processes.

    Args:
        judge: what tells voices apart.
        registry: who is enrolled; with vectors of the judge's encoder.
        settings: limits.
        token: that everybody has to show; None: nobody has to.

    Raises:
        MismatchError: the registry holds vectors of another encoder.
    """

    def __init__(
        self, judge: Judge, registry: Registry, settings: ServeSettings, token: str | None = None
    ) -> None:
        if registry.encoder:
            check_same_encoder(judge.encoder.fingerprint, registry.encoder, "registry")
        self.judge, self.registry, self.settings = judge, registry, settings
        self.enrolled_judge = EnrolledJudge(judge, registry)
        self.clips = ClipFinder(registry)
        self.metrics = Metrics()
        self.access = Access(settings, token)
        self.rate = RateLimit(settings.rate, settings.burst)
        self.draining = False
        self.n_requests = self.n_heavy = 0
        self.uploads = Uploads()
        self.decoders = DecoderPool(
            settings.workers, settings.decode_timeout, settings.memory_mb, self._on_replaced
        )
        self.batcher = Batcher(judge.encoder, self.metrics.batches.observe)
        self._decoding = ThreadPoolExecutor(settings.workers, "decode")
        self._preparing = ThreadPoolExecutor(CPUS, "prepare")
        self._asking = ThreadPoolExecutor(_REGISTRY_THREADS, "registry")
        self._closed = False
        self._add_gauges()

    def start(self) -> None:
        """Start the workers, so that the first requests need not wait for them."""
        self.decoders.start()

    def close(self) -> None:
        """End workers, threads and uploads."""
        if self._closed:
            return
        self._closed = self.draining = True
        self.decoders.close()
        for pool in (self._decoding, self._preparing, self._asking):
            pool.shutdown(cancel_futures=True)
        self.batcher.close()
        self.uploads.close()

    @contextmanager
    def counted(self, heavy: bool) -> Iterator[None]:
        """While a request is answered."""
        self.n_requests += 1
        self.n_heavy += heavy
        try:
            yield
        finally:
            self.n_requests -= 1
            self.n_heavy -= heavy

    async def ask(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """A call of the registry, or another that waits for disks, in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._asking, lambda: call(*args, **kwargs))

    async def hear(self, file: UploadFile, clip_seconds: float = 0.0) -> Heard:
        """Listen to an upload.

        Raises:
            SingeridError: it cannot be used; its name is in it.
        """
        loop = asyncio.get_running_loop()
        kept = self.uploads.kept(file.file, file.filename)
        upload = await loop.run_in_executor(self._asking, kept.__enter__)
        try:
            return await self._hear(upload, clip_seconds)
        except SingeridError as error:
            raise type(error)(
                error.what, where=upload.name, found=error.found, expected=error.expected,
                do=error.do,
            ) from error  # fmt: skip
        finally:
            kept.__exit__(None, None, None)

    async def _hear(self, upload: Upload, clip_seconds: float) -> Heard:
        loop, start = asyncio.get_running_loop(), time.perf_counter()
        rate = self.judge.encoder.sample_rate
        job = Job(str(upload.path), rate, self.settings.max_seconds, clip_seconds)
        decoded = await loop.run_in_executor(self._decoding, self.decoders.decode, job)
        heard_at = time.perf_counter()
        self.metrics.decoding.observe(heard_at - start)
        begun = await loop.run_in_executor(self._preparing, self.batcher.begin, decoded.samples)
        vector = await asyncio.wrap_future(begun)
        self.metrics.encoding.observe(time.perf_counter() - heard_at)
        self.metrics.audio.add(amount=decoded.quality.seconds)
        voice = Voice(upload.name, vector, decoded.quality)
        return Heard(voice, upload.sha256, decoded.clip)

    def _on_replaced(self, reason: str) -> None:
        self.metrics.replaced.add(reason)
        log("decoder replaced", reason=reason)

    def _add_gauges(self) -> None:
        add = self.metrics.add_gauge
        add("singerid_requests_in_flight", "Requests that are being answered.",
            lambda: float(self.n_requests))  # fmt: skip
        add("singerid_singers", "Enrolled singers.", lambda: float(len(self.registry)))
        add("singerid_exemplars", "Their exemplars.", lambda: float(self.registry.n_exemplars))
        add("singerid_decoders", "Decoding workers that run.",
            lambda: float(len(self.decoders.pids)))  # fmt: skip
