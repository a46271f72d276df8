"""From and to the files of other commands: embeddings.parquet and table.parquet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from singerid.embeddings import EmbeddingSet
from singerid.registry.exemplar import Exemplar
from singerid.table import SingerTable


def of_embeddings(embeddings: EmbeddingSet, source: str = "") -> dict[str, list[Exemplar]]:
    """Exemplars by singer, one a recording."""
    found: dict[str, list[Exemplar]] = {}
    for row, singer in enumerate(embeddings.singers):
        labels = {name: column[row] for name, column in embeddings.labels.items() if column[row]}
        one = Exemplar(
            embeddings.vectors[row], seconds=float(embeddings.seconds[row]),
            path=embeddings.paths[row] or embeddings.ids[row], sha256=embeddings.hashes[row],
            labels=labels, source=source,
        )  # fmt: skip
        found.setdefault(singer, []).append(one)
    return found


def of_table(table: SingerTable, source: str = "") -> dict[str, list[Exemplar]]:
    """Exemplars by singer: the centroid, with the number of recordings behind it as a label."""
    found: dict[str, list[Exemplar]] = {}
    for row, singer in enumerate(table.singers):
        labels = {name: column[row] for name, column in table.labels.items() if column[row]}
        labels |= {"n_recordings": str(table.n_recordings[row])}
        one = Exemplar(
            table.centroids[row], seconds=float(table.seconds[row]), labels=labels, source=source
        )
        found.setdefault(singer, []).append(one)
    return found


def to_embeddings(exemplars: Sequence[Exemplar], encoder: str, dim: int) -> EmbeddingSet:
    """One row an exemplar."""
    names = sorted({name for one in exemplars for name in one.labels})
    vectors = np.stack([one.vector for one in exemplars]) if exemplars else np.zeros((0, dim))
    return EmbeddingSet(
        [one.id for one in exemplars], [one.singer for one in exemplars],
        vectors.astype(np.float32, copy=False), encoder,
        seconds=[one.seconds for one in exemplars], paths=[one.path for one in exemplars],
        labels={name: [one.labels.get(name, "") for one in exemplars] for name in names},
        hashes=[one.sha256 for one in exemplars],
    )  # fmt: skip
