"""What a registry is asked: who is enrolled, and who sounds like whom."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from singerid.embeddings import EmbeddingSet, check_same_encoder, mean_direction
from singerid.errors import SingeridError
from singerid.registry import agreement, index
from singerid.registry.dedupe import Finding, same_voice, threshold, two_under_one
from singerid.registry.exchange import to_embeddings
from singerid.registry.exemplar import FACTS, Exemplar, Hit, SingerInfo, from_rows
from singerid.registry.listing import singer_infos
from singerid.registry.names import NotEnrolledError, RegistryError
from singerid.registry.roll import Centroids, Roll, read_centroids, read_roll
from singerid.registry.tables import (
    CLIPS,
    EXEMPLARS,
    Tables,
    equals,
    guarded,
    metadata,
    one_of,
    read,
)
from singerid.scoring.calibration import Calibration
from singerid.scoring.scorer import Scorer
from singerid.table import Candidate, SingerTable, build_table

FloatArray = npt.NDArray[np.float32]
_CLOSE = 20_000  # names among which a similar one is looked for
_AT_ONCE = 500  # singers whose exemplars are in memory together


class Questions:
    """The half of `singerid.registry.Registry` that changes nothing."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._lock = threading.Lock()
        self._roll: tuple[int, Roll] | None = None
        self._centroids: tuple[int, Centroids] | None = None

    @property
    def place(self) -> str:
        """Folder or address."""
        return self._tables.place

    @property
    def encoder(self) -> str:
        """Fingerprint of the encoder; "" while nobody is enrolled."""
        return metadata(self._table)["encoder"] if self.n_exemplars else ""

    @property
    def dim(self) -> int:
        """Of the vectors; 0 while nobody is enrolled."""
        return int(metadata(self._table)["dim"]) if self.n_exemplars else 0

    @property
    def version(self) -> int:
        """Grows with every change, and sometimes without; 0 before the first."""
        return 0 if self._table is None else int(self._table.version)

    @property
    def n_exemplars(self) -> int:
        """Recordings that somebody is enrolled with."""
        return 0 if self._table is None else int(self._table.count_rows())

    def __len__(self) -> int:
        """Number of singers."""
        return len(self._read_roll().names)

    def __contains__(self, singer: object) -> bool:
        return isinstance(singer, str) and singer in self._read_roll().rows

    def singers(
        self, query: str = "", offset: int = 0, limit: int | None = None
    ) -> list[SingerInfo]:
        """Singers whose names hold `query` (without regard to case), sorted by name."""
        wanted = query.strip().casefold()
        roll = self._read_roll()
        found = [name for name in roll.names if wanted in name.casefold()]
        page = found[offset:] if limit is None else found[offset : offset + limit]
        return singer_infos(self._table, roll, page) if page else []

    def count(self, query: str = "") -> int:
        """Singers whose names hold `query`."""
        wanted = query.strip().casefold()
        return sum(wanted in name.casefold() for name in self._read_roll().names)

    def exemplars(self, singer: str) -> list[Exemplar]:
        """Of a singer, the oldest first; without their clips.

        Raises:
            NotEnrolledError: there is no such singer.
        """
        found = self._read(equals("singer", singer))
        if not found:
            raise self._no_singer(singer)
        return sorted(found, key=lambda one: (one.enrolled_at, one.id))

    def exemplar(self, id: str) -> Exemplar:
        """One recording, without its clip.

        Raises:
            NotEnrolledError: there is no such exemplar.
        """
        found = self._read(equals("id", id))
        if not found:
            raise NotEnrolledError(f"no exemplar {id!r}", where=self.place)
        return found[0]

    def clip(self, id: str) -> bytes | None:
        """How an exemplar sounds, as MP3; None: nothing was kept, or there is no such exemplar."""
        clips = self._tables.get(CLIPS)
        rows = None if clips is None else read(clips, ["mp3"], equals("id", id))
        return rows["mp3"][0].as_py() if rows else None

    def singer(self, name: str) -> Candidate:
        """A singer's centroid.

        Raises:
            NotEnrolledError: there is no such singer.
        """
        return candidate(name, self.exemplars(name))

    def candidates(self, vector: FloatArray, encoder: str, top: int = 10) -> list[Candidate]:
        """The singers whose centroids are nearest to a vector `(dim,)`, best first.

        Exact, if there is no vector index. With one, the singers of the nearest exemplars are
        found by it, and their centroids compared exactly.

        Raises:
            MismatchError: the vector is another encoder's.
        """
        if not self._check(vector, encoder):
            return []
        if index.has_index(self._table):
            return self._by_index(vector, top)
        centroids = self._read_centroids()
        scores = centroids.vectors @ vector
        best = np.argpartition(-scores, min(top, len(scores)) - 1)[:top]
        roll = centroids.roll
        return [
            Candidate(
                roll.names[i], centroids.vectors[i], float(roll.seconds[i]), int(roll.counts[i])
            )
            for i in sorted(best, key=lambda i: (-scores[i], i))
        ]

    def _by_index(self, vector: FloatArray, top: int) -> list[Candidate]:
        names = index.nearest_singers(self._table, vector, top)
        groups = by_singer(self._read(one_of("singer", names)))
        found = [candidate(name, exemplars) for name, exemplars in groups.items()]
        return sorted(found, key=lambda one: (-float(one.vector @ vector), one.singer))[:top]

    def search(self, vector: FloatArray, encoder: str, top: int = 20) -> list[Hit]:
        """The exemplars nearest to a vector `(dim,)`, best first; by the index, if there is one.

        Raises:
            MismatchError: the vector is another encoder's.
        """
        return index.nearest(self._table, vector, top) if self._check(vector, encoder) else []

    def dedupe(
        self,
        calibration: Calibration | None = None,
        least: float | None = None,
        on_progress: Callable[[float], object] = lambda singers: None,
    ) -> list[Finding]:
        """Singers who seem to be one voice under two names, and names with two voices.

        Args:
            calibration: of the registry's encoder, which tells what scores mean.
            least: take pairs from this score on instead.
            on_progress: called with a number of singers; all come twice.

        Raises:
            SingeridError: neither is given, or the calibration is another encoder's.
        """
        if not self.n_exemplars:
            return []
        scorer = calibration.scorer if calibration else Scorer()
        if calibration is not None:
            calibration.check(self.encoder, self.place)
        if least is not None:
            calibration = None
        elif calibration is not None:
            least = threshold(calibration, len(self))
        else:
            raise SingeridError(
                "no calibration tells which scores are one voice's", where=self.place,
                do="give the score from which on they are: --threshold",
            )  # fmt: skip
        same = same_voice(self._read_centroids(), scorer, least, calibration, on_progress)
        return [*same, *self._two_under_one(on_progress)]

    def _two_under_one(self, on_progress: Callable[[float], object]) -> Iterator[Finding]:
        roll = self._read_roll()
        several = [name for name, n in zip(roll.names, roll.counts, strict=True) if n > 3]
        on_progress(len(self) - len(several))
        for start in range(0, len(several), _AT_ONCE):
            groups = by_singer(self._read(one_of("singer", several[start : start + _AT_ONCE])))
            for name in sorted(groups):
                if found := two_under_one(name, groups[name]):
                    yield found
            on_progress(len(groups))

    def outliers(self, singer: str) -> list[tuple[str, str]]:
        """Id and reason of the exemplars of a singer that are unlike the others."""
        return agreement.outliers(self.exemplars(singer))

    def embeddings(self) -> EmbeddingSet:
        """All exemplars, sorted by singer."""
        found = self._read(None) if self.n_exemplars else []
        found.sort(key=lambda one: (one.singer, one.enrolled_at, one.id))
        return to_embeddings(found, self.encoder, self.dim)

    def sample(self, n_singers: int = 300, seed: int = 0) -> tuple[FloatArray, list[str]]:
        """Vectors `(n, dim)` and singers of some of those with several recordings.

        What a calibration is adapted to: see `singerid.scoring.adaptation`.
        """
        roll = self._read_roll()
        several = [name for name, n in zip(roll.names, roll.counts, strict=True) if n > 1]
        rng = np.random.default_rng(seed)
        if len(several) > n_singers:
            several = [several[i] for i in sorted(rng.choice(len(several), n_singers, False))]
        found = self._read(one_of("singer", several)) if several else []
        found.sort(key=lambda one: (one.singer, one.id))
        vectors = np.zeros((len(found), self.dim), np.float32)
        for row, one in zip(vectors, found, strict=True):
            row[:] = one.vector
        return vectors, [one.singer for one in found]

    def to_table(self) -> SingerTable:
        """All singers' centroids.

        Raises:
            SingeridError: nobody is enrolled.
        """
        return build_table(self.embeddings())

    # Reading

    @property
    def _table(self) -> Any:
        return self._tables.get(EXEMPLARS)

    def _read(self, where: str | None) -> list[Exemplar]:
        """Exemplars that a filter lets through, in no order."""
        if self._table is None:
            return []
        rows = read(self._table, [*FACTS, "vector"], where)
        with guarded(self.place):
            return from_rows(rows, int(metadata(self._table)["dim"]))

    def _check(self, vector: FloatArray, encoder: str) -> bool:
        """Whether there is anybody to compare a vector with."""
        if not self.n_exemplars:
            return False
        check_same_encoder(encoder, self.encoder, self.place)
        if np.shape(vector) != (self.dim,):
            raise RegistryError(
                "vector has another shape", found=np.shape(vector), expected=(self.dim,)
            )
        return True

    def _read_roll(self) -> Roll:
        """Who is enrolled now."""
        with self._lock:
            version = self.version
            if self._roll is None or self._roll[0] != version:
                with guarded(self.place):
                    self._roll = version, read_roll(self._table)
            return self._roll[1]

    def _read_centroids(self) -> Centroids:
        """Centroids of who is enrolled now."""
        roll, version = self._read_roll(), self.version
        with self._lock:
            if self._centroids is None or self._centroids[0] != version:
                known = self._centroids and self._centroids[1]
                with guarded(self.place):
                    self._centroids = version, read_centroids(self._table, roll, known)
            return self._centroids[1]

    def _no_singer(self, name: str) -> NotEnrolledError:
        close = difflib.get_close_matches(name, self._read_roll().names[:_CLOSE], 1)
        return NotEnrolledError(
            f"no singer {name!r}", where=self.place,
            found=f"{len(self)} singer(s)" + (f", {close[0]!r} among them" if close else ""),
        )  # fmt: skip


def candidate(name: str, exemplars: Sequence[Exemplar]) -> Candidate:
    """The centroid of a singer's exemplars."""
    return Candidate(
        name, mean_direction(np.stack([one.vector for one in exemplars])),
        sum(one.seconds for one in exemplars), len(exemplars),
    )  # fmt: skip


def by_singer(exemplars: Iterable[Exemplar]) -> dict[str, list[Exemplar]]:
    """Exemplars in groups."""
    groups: dict[str, list[Exemplar]] = {}
    for one in exemplars:
        groups.setdefault(one.singer, []).append(one)
    return groups
