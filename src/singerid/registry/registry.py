"""The registry: all that others need of this package."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from singerid.embeddings import EmbeddingSet, mean_direction
from singerid.registry import agreement, enrolling, index
from singerid.registry.exchange import of_embeddings, of_table
from singerid.registry.exemplar import Enrollment, Exemplar, FloatArray
from singerid.registry.names import NameTakenError, RegistryError, check_name
from singerid.registry.questions import Questions, by_singer
from singerid.registry.reembed import Reembedding, reembed
from singerid.registry.tables import CLIPS, EXEMPLARS, Tables, equals, guarded, one_of, read
from singerid.table import SingerTable

if TYPE_CHECKING:
    from singerid.embedder import Embedder

_NEAR = 3  # other singers that an enrollment names at most
_MARGIN = 0.1  # of the nearest of many singers, whose score with anybody is high by chance


class Registry(Questions):
    """Singers and the recordings that they are enrolled with, of one encoder.

    Any number of processes and threads may read and write at once. What others have changed is
    seen by the next call. Open it with `Registry.open`; questions are in `Questions`.
    """

    @classmethod
    def open(cls, place: str | os.PathLike[str], create: bool = False) -> Registry:
        """The registry at a place.

        Args:
            place: folder, or address of an object store (``s3://…``).
            create: whether there need not be one yet; it is made by the first enrollment.

        Raises:
            RegistryError: there is none, it is damaged, or a newer version's.
            MissingExtraError: the extra ``registry`` is not installed.
        """
        return cls(Tables(os.fspath(place), create))

    def enroll(
        self,
        singer: str,
        exemplars: Sequence[Exemplar],
        encoder: str,
        near: float | None = None,
    ) -> Enrollment:
        """Enroll a singer with recordings, or with more of them: all at once, or none.

        Args:
            singer: name; white space around it is dropped.
            exemplars: recordings; one whose bytes the singer is enrolled with already is left
                out.
            encoder: fingerprint of the encoder of their vectors.
            near: score from which on another singer is named who may be the same person (see
                `singerid.registry.dedupe.threshold`); None: only those who are clearly more like
                the new recordings than the singer's own are.

        Raises:
            MismatchError: the registry holds vectors of another encoder.
            RegistryError: the name, a label or a vector cannot be used.
        """
        name = check_name(singer)
        if not exemplars:
            raise RegistryError("nothing to enroll", where=name)
        added, known = enrolling.add(self._tables, {name: exemplars}, encoder)
        self._tidy()
        new, mine = added.get(name, []), self.exemplars(name)
        others = self._near(new, mine, encoder, near) if new else []
        ids = [one.id for one in new]
        return Enrollment(name, ids, known.get(name, []), agreement.outliers(mine), others)

    def _near(
        self,
        new: Sequence[Exemplar],
        mine: Sequence[Exemplar],
        encoder: str,
        near: float | None,
    ) -> list[tuple[str, float]]:
        """Other singers that new exemplars are like; scores are means over pairs of exemplars."""
        vectors, ids = _vectors(new), {one.id for one in new}
        own = agreement.mean_score(vectors, _vectors([one for one in mine if one.id not in ids]))
        bars = [near] if near is not None else []
        bars += [own + _MARGIN] if own is not None else []
        if not bars:
            return []
        direction = mean_direction(vectors)
        names = [one.singer for one in self.candidates(direction, encoder, _NEAR + 1)]
        names = [name for name in names if name != mine[0].singer]
        found = []
        for name, theirs in by_singer(self._read(one_of("singer", names))).items():
            score = float(np.mean(vectors @ _vectors(theirs).T))
            if score >= min(bars):
                found.append((name, round(score, 6)))
        return sorted(found, key=lambda one: (-one[1], one[0]))

    def import_embeddings(self, embeddings: EmbeddingSet, source: str = "") -> int:
        """Enroll the singers of a set, one exemplar a recording; returns how many were new."""
        return self._import(of_embeddings(embeddings, source), embeddings.encoder)

    def import_table(self, table: SingerTable, source: str = "") -> int:
        """Enroll the singers of a table, one exemplar a centroid; returns how many were new."""
        return self._import(of_table(table, source), table.encoder)

    def _import(self, given: Mapping[str, Sequence[Exemplar]], encoder: str) -> int:
        if not given:
            return 0
        added, _ = enrolling.add(self._tables, given, encoder)
        self._tidy()
        return sum(map(len, added.values()))

    def rename(self, old: str, new: str) -> int:
        """Give a singer another name, in one commit; returns the number of exemplars.

        Raises:
            NotEnrolledError: there is no such singer.
            NameTakenError: another singer has the new name (see `merge`).
        """
        name = check_name(new)
        with self._tables.lock():
            count = self._count(old)
            if name != old and self._table.count_rows(equals("singer", name)):
                raise NameTakenError(
                    f"there is a singer {name!r} already", where=self.place,
                    do="take another name, or make them one: singerid singers merge",
                )  # fmt: skip
            self._set_singer([old], name)
        return count

    def merge(self, names: Sequence[str], into: str) -> int:
        """Make several names one, in one commit; returns its number of exemplars.

        Of exemplars with the same bytes, one is kept (by a second commit).

        Raises:
            NotEnrolledError: there is no singer of one of the names. (`into` may be new.)
        """
        name = check_name(into)
        if not names:
            raise RegistryError("nobody to merge", where=self.place)
        with self._tables.lock():
            for old in names:
                self._count(old)
            self._set_singer([old for old in names if old != name], name)
            repeats = enrolling.remove_repeats(self._table, name)
            enrolling.remove_clips(self._tables, repeats)
            return self._count(name)

    def _set_singer(self, names: Sequence[str], name: str) -> None:
        if names:
            with guarded(self.place):
                self._table.update(where=one_of("singer", names), values={"singer": name})

    def _count(self, singer: str) -> int:
        """Exemplars of a singer, of whom there must be some."""
        table = self._table
        count = 0 if table is None else int(table.count_rows(equals("singer", singer)))
        if not count:
            raise self._no_singer(singer)
        return count

    def remove(self, singer: str) -> int:
        """Remove a singer, in one commit; returns the number of exemplars that there were.

        The bytes stay on the disk until `purge`.

        Raises:
            NotEnrolledError: there is no such singer.
        """
        with self._tables.lock():
            self._count(singer)
            return self._delete(equals("singer", singer))

    def remove_exemplar(self, id: str) -> None:
        """Remove one recording; with the last, its singer is gone.

        Raises:
            NotEnrolledError: there is no such exemplar.
        """
        with self._tables.lock():
            self.exemplar(id)
            self._delete(equals("id", id))

    def _delete(self, where: str) -> int:
        ids: list[str] = read(self._table, ["id"], where)["id"].to_pylist()
        with guarded(self.place):
            self._table.delete(where)
        enrolling.remove_clips(self._tables, ids)
        return len(ids)

    def purge(self) -> None:
        """Delete from the disk what was removed, and every older version.

        Everything is written anew, and a vector index is made again. Nobody else may use the
        registry meanwhile.
        """
        with self._tables.lock():
            if self._table is None:
                return
            indexed = index.has_index(self._table)
            enrolling.sweep(self._tables, self._table)
            self._tables.rewrite(EXEMPLARS)
            self._tables.rewrite(CLIPS)
            if indexed and self.n_exemplars:
                index.build_index(self._table)

    def reembed(
        self,
        embedder: Embedder,
        on_progress: Callable[[float], object] = lambda seconds: None,
        from_clips: bool = False,
        n_processes: int = 1,
    ) -> Reembedding:
        """Make all vectors anew, by another encoder; see `singerid.registry.reembed`."""
        if not self.n_exemplars:
            raise RegistryError("nobody is enrolled", where=self.place)
        indexed = index.has_index(self._table)
        done = reembed(self._tables, embedder, on_progress, from_clips, n_processes)
        if indexed:
            index.build_index(self._table)
        return done

    def build_index(self) -> None:
        """Make the vector index, or make it anew (see `singerid.registry.index`).

        Raises:
            RegistryError: nobody is enrolled.
        """
        if not self.n_exemplars:
            raise RegistryError("nobody is enrolled", where=self.place)
        index.build_index(self._table)

    @property
    def wants_index(self) -> bool:
        """Whether there are so many exemplars that an index pays, and none."""
        return self.n_exemplars >= index.INDEX_FROM and not index.has_index(self._table)

    def drop_index(self) -> None:
        """Compare with everybody again."""
        if self._table is not None:
            index.drop_index(self._table)

    def _tidy(self) -> None:
        with self._tables.lock():
            self._tables.tidy(EXEMPLARS)
            self._tables.tidy(CLIPS)


def _vectors(exemplars: Sequence[Exemplar]) -> FloatArray:
    if not exemplars:
        return np.zeros((0, 0), np.float32)
    return np.stack([one.vector for one in exemplars])
