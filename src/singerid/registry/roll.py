"""Singers and their centroids, kept in memory as long as the registry stays as it is.

The vectors of exemplars stay on the disk. After a change only what is new is read: an exemplar's
vector never changes without a new generation of the table, so a singer whose exemplars are the
same has the same centroid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from singerid.registry.exemplar import vectors_in
from singerid.registry.tables import metadata, one_of, read

FloatArray = npt.NDArray[np.float32]
_BATCH = 8192
_FEW = 2000  # changed singers that are read one by one; a filter of more takes longer than all


@dataclass(frozen=True)
class Roll:
    """Who is enrolled, at one version.

    Attributes:
        names: of the singers, sorted as people do (without regard to case).
        rows: place of each name.
        counts: exemplars of each singer, `(n,)`.
        seconds: their duration, `(n,)`.
        marks: a number that tells a singer's set of exemplars from others, uint64 `(n,)`.
    """

    names: list[str]
    rows: dict[str, int]
    counts: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]
    marks: npt.NDArray[np.uint64]


def read_roll(table: Any) -> Roll:
    """The singers of the table of exemplars; nobody, where there is none."""
    if table is None:
        return Roll([], {}, np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint64))
    columns = read(table, ["id", "singer", "seconds"])
    coded = columns["singer"].combine_chunks().dictionary_encode()
    unsorted = coded.dictionary.to_pylist()
    order = sorted(range(len(unsorted)), key=lambda i: (unsorted[i].casefold(), unsorted[i]))
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    codes = places[coded.indices.to_numpy()] if len(order) else np.zeros(0, np.int64)
    names = [unsorted[i] for i in order]
    marks = np.zeros(len(names), np.uint64)
    np.add.at(marks, codes, _numbers(columns["id"]))  # wraps around, as it may
    return Roll(
        names, {name: row for row, name in enumerate(names)},
        np.bincount(codes, minlength=len(names)),
        np.bincount(codes, columns["seconds"].to_numpy(), len(names)).astype(np.float64), marks,
    )  # fmt: skip


def _numbers(ids: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Ids of 16 hexadecimal digits as numbers, mixed so that sums of them differ."""
    numbers = np.array([int(text, 16) for text in ids.to_pylist()], np.uint64)
    return numbers * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing (Knuth 1998, section 6.4)


@dataclass(frozen=True)
class Centroids:
    """Centroids of all singers.

    Attributes:
        roll: the singers.
        vectors: float32 `(n, dim)` of unit length.
        agreement: norm of the mean of each singer's vectors, in (0, 1]: 1 for one exemplar. The
            mean score of the recordings of a with those of b is their centroids' score times
            both agreements.
        generation: of the table that they were made from.
    """

    roll: Roll
    vectors: FloatArray
    agreement: FloatArray
    generation: str


def read_centroids(table: Any, roll: Roll, known: Centroids | None = None) -> Centroids:
    """Centroids of the singers of `roll`; those in `known` whose exemplars are the same are taken.

    Memory: the centroids, twice for a moment if there are `known` ones, and a batch of vectors.
    """
    facts = metadata(table)
    dim, generation = int(facts["dim"]), facts["generation"]
    sums = np.zeros((len(roll.names), dim), np.float32)
    agreement = np.zeros(len(roll.names), np.float32)
    fresh = np.arange(len(roll.names))
    if known is not None and known.generation == generation:
        old, fresh = _same(roll, known.roll)
        kept = np.flatnonzero(old >= 0)
        sums[kept], agreement[kept] = known.vectors[old[kept]], known.agreement[old[kept]]
    if not len(fresh):
        return Centroids(roll, sums, agreement, generation)
    if len(fresh) > _FEW:
        sums[:], fresh = 0, np.arange(len(roll.names))
    where = one_of("singer", [roll.names[i] for i in fresh]) if len(fresh) <= _FEW else None
    _add(table, where, roll, dim, sums)
    norms = np.sqrt(np.einsum("ij,ij->i", sums, sums))[fresh]
    sums[fresh] /= np.maximum(norms, 1e-12)[:, None]
    agreement[fresh] = np.minimum(norms / roll.counts[fresh], 1)
    return Centroids(roll, sums, agreement, generation)


def _same(roll: Roll, known: Roll) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Row of each singer among the known ones whose exemplars are the same, or -1; the others."""
    old = np.array([known.rows.get(name, -1) for name in roll.names], np.int64)
    if known.names:
        changed = (known.marks[old] != roll.marks) | (known.counts[old] != roll.counts)
        old[changed] = -1
    return old, np.flatnonzero(old < 0)


def _add(table: Any, where: str | None, roll: Roll, dim: int, sums: FloatArray) -> None:
    """Sum up the vectors of the singers that a filter lets through."""
    query = table.search().select(["singer", "vector"])
    for batch in (query.where(where) if where else query).to_batches(_BATCH):
        # Somebody may have been enrolled since the roll was read; the next version has them.
        rows = np.array([roll.rows.get(name, -1) for name in batch["singer"].to_pylist()])
        order = np.argsort(rows, kind="stable")
        order = order[np.searchsorted(rows[order], 0) :]
        if not len(order):
            continue
        vectors = vectors_in(batch, dim)[order]
        places, starts = np.unique(rows[order], return_index=True)
        # One exemplar each is the way of large registries, and needs no sum.
        sums[places] += vectors if len(places) == len(order) else np.add.reduceat(vectors, starts)
