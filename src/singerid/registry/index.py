"""Nearest exemplars: exactly, or by the vector index where there is one.

The index is RaBitQ (Gao and Long 2024, RaBitQ: quantizing high-dimensional vectors with a
theoretical error bound): one bit a dimension, some 95 bytes for a vector of 614. All its lists
are searched and the best are compared exactly. Lists are of no use here: two recordings of one
singer score about 0.5, so that the nearest lists often miss the very singer who is looked for
(`docs/registry.md`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from singerid.registry.exemplar import FACTS, Hit, from_rows
from singerid.registry.tables import guarded, metadata

FloatArray = npt.NDArray[np.float32]
INDEX_FROM = 50_000
"""Exemplars from which on an index pays: they would take 120 MB of memory, and seconds to read.
(Later answers of a process are as fast without one up to some 100,000.)"""
_NAME = "vector_index"
LISTS = 24
_REFINE = 20  # times as many as are wanted are compared exactly
_LEAST = 40


def has_index(table: Any) -> bool:
    """Whether there is a vector index."""
    with guarded(table.name):
        return any(index.name == _NAME for index in table.list_indices())


def build_index(table: Any) -> None:
    """Make the index of vectors, and that of names; or make them anew.

    What is enrolled later is found without being in the index, and taken up when files are
    merged.
    """
    from lancedb.index import BTree, IvfRq

    vectors = IvfRq(distance_type="cosine", num_partitions=LISTS, num_bits=1, max_iterations=15)
    with guarded(table.name):
        table.create_index("vector", config=vectors, name=_NAME)
        table.create_index("singer", config=BTree(), name="singer_index")
        table.create_index("id", config=BTree(), name="id_index")


def drop_index(table: Any) -> None:
    """Compare with all exemplars again."""
    with guarded(table.name):
        if has_index(table):
            table.drop_index(_NAME)


def nearest(table: Any, vector: FloatArray, top: int, exact: bool = False) -> list[Hit]:
    """The exemplars whose vectors are most like `(dim,)`, best first.

    Args:
        table: of exemplars.
        vector: float32 `(dim,)` of unit length.
        top: how many.
        exact: compare with all, whether there is an index or not.
    """
    dim = int(metadata(table)["dim"])
    rows = _query(table, vector, top, exact).select([*FACTS, "vector", "_distance"])
    with guarded(table.name):
        found = from_rows(rows.to_arrow(), dim)
    hits = [Hit(one, float(np.dot(one.vector, vector))) for one in found]
    return sorted(hits, key=lambda hit: (-hit.score, hit.exemplar.id))


def nearest_singers(table: Any, vector: FloatArray, top: int) -> list[str]:
    """Singers of the nearest exemplars, by the index; at least `top`, if there are so many."""
    n, wanted = table.count_rows(), max(4 * top, _LEAST)  # the nearest by centroid may be others
    while True:
        with guarded(table.name):
            rows = (
                _query(table, vector, wanted, refine=10).select(["singer", "_distance"]).to_arrow()
            )
        singers = list(dict.fromkeys(rows["singer"].to_pylist()))
        if len(singers) >= top or wanted >= n:
            return singers
        wanted *= 4  # few singers have all the nearest


def _query(
    table: Any, vector: FloatArray, top: int, exact: bool = False, refine: int = _REFINE
) -> Any:
    width = table.schema.field("vector").type.list_size
    padded = np.zeros(width, np.float32)
    padded[: len(vector)] = vector
    query = table.search(padded, vector_column_name="vector").distance_type("cosine").limit(top)
    return query.bypass_vector_index() if exact else query.nprobes(LISTS).refine_factor(refine)
