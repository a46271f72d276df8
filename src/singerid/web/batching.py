"""Partials of concurrent requests share the encoder's batches.

Nothing waits to fill a batch: while one is encoded, what comes in makes up the next. Requests
take turns by partials, so a short recording is not kept waiting by a long one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from singerid.embedder import Embedder, PartialEmbedder
from singerid.embeddings import mean_direction
from singerid.errors import SingeridError
from singerid.terminal import CPUS

FloatArray = npt.NDArray[np.float32]
_PARTIALS = 4 * CPUS  # at once: enough for all cores, and soon done


@dataclass(eq=False)
class Prepared:
    """A recording that waits to be encoded.

    Attributes:
        frames: of the encoder's front end.
        places: first frames of the partials that are left to encode.
        alone: whether it is encoded as a whole: shorter than a partial.
    """

    frames: FloatArray
    places: deque[np.int64]
    alone: bool
    vectors: list[FloatArray] = field(default_factory=list)
    future: Future[FloatArray] = field(default_factory=Future)
    n_running: int = 0


class Batcher:
    """Turns samples into vectors on a thread of its own, which `close` ends.

    Args:
        encoder: one that cuts partials (`PartialEmbedder`) shares its batches; others take one
            recording after another.
        on_batch: called with the number of partials of each batch.
    """

    def __init__(
        self, encoder: Embedder, on_batch: Callable[[int], object] = lambda n: None
    ) -> None:
        self._encoder, self._on_batch = encoder, on_batch
        self._waiting: deque[Prepared] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._pool = ThreadPoolExecutor(CPUS, "encode-alone")
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    def embed(self, samples: FloatArray) -> FloatArray:
        """Embedding `(dim,)` of mono samples at the encoder's rate; waits for it."""
        return self.begin(samples).result()

    def begin(self, samples: FloatArray) -> Future[FloatArray]:
        """Prepare samples in this thread, and let them be encoded.

        Raises:
            SingeridError: they cannot be used (too short, no voice …).
        """
        encoder = self._encoder
        if not isinstance(encoder, PartialEmbedder):
            return self._pool.submit(encoder.embed, samples, encoder.sample_rate)
        frames = encoder._middle(encoder.front_end.frames(samples))
        places = encoder.places(frames)
        length = encoder.partial_frames
        job = Prepared(frames, deque(places), length is None or len(frames) < length)
        with self._changed:
            if self._closed:
                raise SingeridError("the service is stopping")
            self._waiting.append(job)
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Encode what waits, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._pool.shutdown()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                batch = self._take()
            self._on_batch(len(batch))
            self._encode(batch)

    def _take(self) -> list[tuple[Prepared, np.int64]]:
        """The next partials, one of each recording in turn."""
        batch: list[tuple[Prepared, np.int64]] = []
        while self._waiting and len(batch) < _PARTIALS:
            job = self._waiting.popleft()
            batch.append((job, job.places.popleft()))
            job.n_running += 1
            if job.places and not job.alone:
                self._waiting.append(job)
        return batch

    def _encode(self, batch: list[tuple[Prepared, np.int64]]) -> None:
        """Recordings that are shorter than a partial beside one another, partials as a batch."""
        alone = [job for job, _ in batch if job.alone]
        shared = [(job, start) for job, start in batch if not job.alone]
        others = [(job, self._pool.submit(self._encode_alone, job.frames)) for job in alone]
        try:
            vectors = self._encode_shared([(job.frames, start) for job, start in shared])
        except Exception as error:
            self._fail([job for job, _ in shared], error)
        else:
            for (job, _), vector in zip(shared, vectors, strict=True):
                self._add(job, vector)
        for job, future in others:
            if (failure := future.exception()) is not None:
                self._fail([job], failure)
            else:
                self._add(job, future.result())

    # What `PartialEmbedder.embed_partials` does, whose batches are of one call only.

    def _encode_shared(self, places: list[tuple[FloatArray, np.int64]]) -> list[FloatArray]:
        encoder = self._encoder
        assert isinstance(encoder, PartialEmbedder)
        return list(encoder._encode_whole(places)) if places else []

    def _encode_alone(self, frames: FloatArray) -> FloatArray:
        encoder = self._encoder
        assert isinstance(encoder, PartialEmbedder)
        vectors = encoder._encode_alone(frames)
        if isinstance(vectors, SingeridError):
            raise vectors
        vector: FloatArray = vectors[0]
        return vector

    def _add(self, job: Prepared, vector: FloatArray) -> None:
        job.vectors.append(vector)
        job.n_running -= 1
        if job.future.done() or job.n_running or (job.places and not job.alone):
            return
        try:
            job.future.set_result(mean_direction(np.stack(job.vectors)))
        except SingeridError as error:
            job.future.set_exception(error)

    def _fail(self, jobs: list[Prepared], error: BaseException) -> None:
        with self._changed:
            for job in jobs:
                if not job.future.done():
                    job.future.set_exception(error)
                if job in self._waiting:
                    self._waiting.remove(job)
