"""Vectors of recordings, clean and under each degradation, every file decoded once."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from singerid import __version__, audio
from singerid.embedder import Embedder
from singerid.embeddings import normalize
from singerid.errors import SingeridError, one_line
from singerid.records import Recording
from singerid.robustness.degradations import Degradation
from singerid.robustness.vector_cache import VectorCache

FloatArray = npt.NDArray[np.float32]
CLEAN = "clean"
HIGHEST_RATE = 48_000
"""Files of higher rates are decoded at this one, in Hz."""
_UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Failure:
    """A recording that has no vector under a condition.

    Attributes:
        recording: its id.
        condition: name of the degradation, or "clean" (then it has none at all).
        error: why; names the recording and the condition.
    """

    recording: str
    condition: str
    error: SingeridError

    @classmethod
    def of(cls, recording: str, condition: str, error: SingeridError) -> Failure:
        """The same error, said of this recording under this condition."""
        where = f"{recording} ({condition})"
        if error.where is not None:
            where += f", {one_line(error.where)}"
        said = SingeridError(
            error.what, where=where, found=error.found, expected=error.expected, do=error.do
        )
        return cls(recording, condition, said)


@dataclass
class DegradedVectors:
    """What `embed_degraded` made.

    Attributes:
        vectors: unit vector by recording's id, by condition ("clean" is one).
        n_unchanged: recordings that a degradation leaves as they are, by its name.
        failures: vectors that are missing.
    """

    vectors: dict[str, dict[str, FloatArray]]
    n_unchanged: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)


def embed_degraded(
    recordings: Sequence[Recording],
    tested: Collection[str],
    embedder: Embedder,
    degradations: Sequence[Degradation],
    *,
    seed: int = 0,
    n_threads: int = 1,
    cache: VectorCache | None = None,
    on_progress: Callable[[float], object] = lambda seconds: None,
    on_warning: Callable[[str], object] = lambda line: None,
) -> DegradedVectors:
    """Embed all recordings clean, and those of `tested` also under each degradation.

    A file is decoded at its own rate (at most 48 kHz) and degraded there. What is drawn depends
    on the seed, the recording's id and the degradation's kind only, so neither order nor threads
    nor other conditions change anything.

    Args:
        recordings: `n` recordings of different ids.
        tested: ids of those to be degraded.
        embedder: used by several threads at once if `n_threads` > 1.
        degradations: conditions of different names.
        seed: of all that is drawn.
        n_threads: recordings in work at once; their audio is in memory.
        cache: vectors that are there already; takes in new ones.
        on_progress: called with the duration of each recording that is done, in seconds.
        on_warning: called with remarks on files.
    """
    kept = VectorCache(None, embedder.fingerprint) if cache is None else cache
    result = DegradedVectors({name: {} for name in (CLEAN, *(d.name for d in degradations))})

    def work(recording: Recording) -> _Outcome:
        wanted = degradations if recording.id in tested else ()
        return _embed_one(recording, embedder, wanted, seed, kept)

    try:
        for recording, outcome in _in_order(work, recordings, n_threads):
            for name, key, vector, remark in outcome.made:
                kept.put(key, vector, remark)
                result.vectors[name][recording.id] = vector
                result.n_unchanged[name] += remark == _UNCHANGED
            result.failures += outcome.failures
            for line in outcome.warnings:
                on_warning(f"{one_line(recording.path)}: {line}")
            on_progress(recording.duration)
    finally:
        kept.flush()
    return result


def generator(seed: int, recording_id: str, kind: str) -> np.random.Generator:
    """The source of what is drawn for a recording under a kind of degradation."""
    digest = hashlib.sha256(f"{recording_id}\0{kind}".encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest[:16], np.uint32).tolist()])


@dataclass
class _Outcome:
    """Of one recording: (condition, key in the cache, vector, remark), and what went wrong."""

    made: list[tuple[str, str, FloatArray, str]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def _embed_one(
    recording: Recording, embedder: Embedder, degradations: Sequence[Degradation], seed: int,
    cache: VectorCache,
) -> _Outcome:  # fmt: skip
    """Vectors of one recording; what the cache has is not made again."""
    outcome = _Outcome()
    source = _source(recording)
    missing: list[tuple[str, Degradation | None]] = []
    for degradation in (None, *degradations):
        key = _key(source, degradation, seed)
        name = degradation.name if degradation else CLEAN
        if (found := cache.get(key)) is not None:
            outcome.made.append((name, key, *found))
        else:
            missing.append((key, degradation))
    if not missing:
        return outcome
    rate = min(recording.sample_rate, HIGHEST_RATE)
    try:
        samples, outcome.warnings = audio.load(recording.path, rate, recording.channel)
    except SingeridError as error:
        outcome.made.clear()  # a file that cannot be read any more has no vectors
        outcome.failures.append(Failure.of(recording.id, CLEAN, error))
        return outcome
    for key, degradation in missing:
        name = degradation.name if degradation else CLEAN
        try:
            changed = samples
            if degradation:
                changed = degradation(
                    samples, rate, generator(seed, recording.id, degradation.kind)
                )
            vector = normalize(embedder.embed(changed, rate)[None])[0]
        except SingeridError as error:
            outcome.failures.append(Failure.of(recording.id, name, error))
            if degradation is None:
                return outcome
            continue
        remark = _UNCHANGED if degradation and changed is samples else ""
        outcome.made.append((name, key, vector, remark))
    return outcome


def _source(recording: Recording) -> str:
    """Text that changes with the audio behind a recording."""
    content = recording.sha256
    if not content:
        try:
            status = os.stat(recording.path)
            content = f"{recording.path}\0{status.st_size}\0{status.st_mtime_ns}"
        except OSError:
            content = recording.path  # loading it will say what is wrong
    return f"{recording.id}\0{recording.sample_rate}\0{recording.channel}\0{content}"


def _key(source: str, degradation: Degradation | None, seed: int) -> str:
    """Name of a vector in the cache."""
    how = f"{seed}\0{degradation.identity}" if degradation else CLEAN
    text = f"{__version__}\0{how}\0{source}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _in_order(
    work: Callable[[Recording], _Outcome], recordings: Sequence[Recording], n_threads: int
) -> Iterator[tuple[Recording, _Outcome]]:
    """Results in order, by threads of which none is more than a few recordings ahead."""
    if n_threads <= 1:
        yield from ((recording, work(recording)) for recording in recordings)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        running: deque[tuple[Recording, Future[_Outcome]]] = deque()
        try:
            for recording in recordings:
                running.append((recording, pool.submit(work, recording)))
                if len(running) >= 2 * n_threads:
                    first, future = running.popleft()
                    yield first, future.result()
            for first, future in running:
                yield first, future.result()
        finally:
            for _, future in running:
                future.cancel()
