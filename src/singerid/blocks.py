"""Embedding by many machines: a block of recordings at a time, each with the whole encoder.

An encoder's batches hold partials of several recordings, and the last bits of a vector depend on
what else is in its batch. So batches never reach across the blocks of `singerid.embedder.BLOCK`
recordings, on one machine or many: that makes the vectors the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from singerid.appending import by_crew
from singerid.crew import MakePool
from singerid.embedder import BLOCK, Embedder, Frames, PartialEmbedder, gather, passed
from singerid.embeddings import EmbeddingSet
from singerid.errors import AudioError, SingeridError
from singerid.extraction import Outcome
from singerid.front_ends import FrontEnd
from singerid.records import Recording

Embedded = tuple[list[tuple[Recording, Frames]], list[str]]
"""Of a block: each recording with its partials' vectors or its error, and warnings."""


@dataclass(frozen=True)
class Block:
    """Recordings that are embedded together."""

    recordings: tuple[Recording, ...]

    @property
    def path(self) -> str:
        """Of the first recording, for errors."""
        return self.recordings[0].path

    @property
    def duration(self) -> float:
        """Seconds of audio."""
        return sum(recording.duration for recording in self.recordings)


def embed_in_blocks(
    embedder: Embedder,
    recordings: Sequence[Recording],
    n_workers: int,
    make_pool: MakePool,
    on_progress: Callable[[float], object] = lambda seconds: None,
    on_warning: Callable[[str], object] = lambda line: None,
) -> tuple[EmbeddingSet, list[SingeridError]]:
    """Embed audio files elsewhere; the same as `Embedder.embed_recordings` does here.

    Args:
        embedder: one of ours, which is sent to the workers.
        recordings: what to embed; workers must see the files under the same names.
        n_workers: blocks that are worked on at once.
        make_pool: makes the workers (`singerid.ray_pool.RayPool`).
        on_progress: called with the seconds of audio after each recording.
        on_warning: called with a line for each remark on a file.

    Returns:
        The set, and the error of each recording that failed.

    Raises:
        BatchError: all failed.
        SingeridError: this encoder cannot be sent anywhere.
    """
    if not isinstance(embedder, PartialEmbedder) or not embedder.can_travel:
        raise SingeridError(
            "this encoder runs on one machine only", found=type(embedder).__name__,
            expected="an encoder of singerid", do="leave --engine out",
        )  # fmt: skip
    blocks = [
        Block(tuple(recordings[first : first + BLOCK]))
        for first in range(0, len(recordings), BLOCK)
    ]
    elsewhere = _Elsewhere(embedder, n_workers, make_pool)
    return gather(elsewhere.embed(blocks, on_warning), embedder.fingerprint, on_progress)


class _Elsewhere:
    """Workers, and the encoder that they get.

    Args:
        embedder: the encoder.
        n_workers: blocks that are worked on at once.
        make_pool: makes the workers.
    """

    def __init__(self, embedder: PartialEmbedder, n_workers: int, make_pool: MakePool) -> None:
        self._embedder, self._n, self._make_pool = embedder, n_workers, make_pool

    def embed(
        self, blocks: Sequence[Block], on_warning: Callable[[str], object]
    ) -> Iterator[tuple[Recording, Frames]]:
        """Partials' vectors of each recording."""
        work = partial(embed_block, embedder=self._embedder)
        for block, result in by_crew(blocks, work, self._n, self._make_pool):
            if isinstance(result, SingeridError):
                result = self._without_fatal(block)
            if isinstance(result, SingeridError):
                for recording in block.recordings:
                    yield recording, AudioError(result.what, where=recording.path, do=result.do)
                continue
            pairs, warnings = result
            for warning in warnings:
                on_warning(warning)
            yield from pairs

    def _without_fatal(self, block: Block) -> Embedded | SingeridError:
        """A block that kills its worker: each file read alone, then all that live, as ever."""
        front_end = self._embedder.front_end
        read = by_crew(
            block.recordings, partial(_only_read, front_end=front_end), 1, self._make_pool
        )
        fatal = {r.id: error for r, error in read if isinstance(error, SingeridError)}
        work = partial(embed_block, embedder=self._embedder, failed=fatal)
        return next(by_crew([block], work, 1, self._make_pool))[1]


def _only_read(recording: Recording, front_end: FrontEnd) -> None:
    front_end.read(recording.path, recording.channel)


def embed_block(
    block: Block, embedder: PartialEmbedder, failed: Mapping[str, SingeridError] | None = None
) -> Embedded:
    """What a worker does.

    Args:
        block: recordings.
        embedder: the encoder.
        failed: errors of recordings, by id, that are not to be read again.
    """
    warnings: list[str] = []
    pairs = passed(_outcomes(block.recordings, embedder.front_end, failed or {}), warnings.append)
    return list(embedder.embed_many(pairs)), warnings


def _outcomes(
    recordings: Sequence[Recording], front_end: FrontEnd, failed: Mapping[str, SingeridError]
) -> Iterator[tuple[Recording, Outcome]]:
    read = front_end.read_all([r for r in recordings if r.id not in failed], 1)
    for recording in recordings:
        error = failed.get(recording.id)
        yield next(read) if error is None else (recording, error)
