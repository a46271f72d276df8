"""One centroid a singer: made from embeddings, kept in Parquet, asked who sings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from singerid.embeddings import (
    EmbeddingSet,
    Kind,
    check_same_encoder,
    is_text,
    mean_direction,
    read_parquet,
    texts_of,
    vectors_of,
    write_parquet,
)
from singerid.errors import SingeridError
from singerid.sections import TableSettings

FloatArray = npt.NDArray[np.float32]
_COLUMNS: dict[str, Kind] = {
    "singer": "text", "n_recordings": "number", "seconds": "number", "spread": "number",
    "embedding": "vector",
}  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A singer whom a voice may belong to.

    Attributes:
        singer: name.
        vector: centroid, float32 `(dim,)` of unit length.
        seconds: duration of the recordings behind it; 0: unknown.
        n_recordings: how many they are.
    """

    singer: str
    vector: FloatArray
    seconds: float
    n_recordings: int


@dataclass(frozen=True)
class SingerTable:
    """Centroids of singers.

    Attributes:
        singers: names, sorted.
        centroids: float32 `(n_singers, dim)` of unit length: the normalized mean of the
            embeddings of a singer's recordings.
        n_recordings: recordings behind each centroid.
        seconds: their duration.
        spread: mean of 1 - cosine between a singer's recordings and the centroid, in [0, 2];
            0 for a single recording.
        encoder: fingerprint of the encoder.
        labels: labels that are the same for all of a singer's recordings; "" elsewhere.
    """

    singers: Sequence[str]
    centroids: FloatArray
    n_recordings: Sequence[int]
    seconds: Sequence[float]
    spread: Sequence[float]
    encoder: str
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.singers)

    def score(self, vectors: FloatArray, encoder: str) -> npt.NDArray[np.float32]:
        """Cosines `(n, n_singers)` of embeddings `(n, dim)` with the centroids.

        Raises:
            MismatchError: the embeddings are another encoder's.
        """
        check_same_encoder(encoder, self.encoder, "table")
        scores: FloatArray = np.atleast_2d(vectors) @ self.centroids.T
        return scores

    def candidates(
        self, vector: FloatArray, encoder: str, top: int | None = None
    ) -> list[Candidate]:
        """The singers whose centroids are nearest to an embedding, best first; None: all."""
        scores = self.score(vector, encoder)[0]
        return [
            Candidate(self.singers[i], self.centroids[i], self.seconds[i], self.n_recordings[i])
            for i in np.argsort(-scores, kind="stable")[:top]
        ]

    def vectors(self, singers: Sequence[str]) -> FloatArray:
        """Centroids of singers `(n, dim)`, in their order: what a synthesizer is conditioned on.

        Raises:
            SingeridError: a singer is not in the table.
        """
        rows = {singer: row for row, singer in enumerate(self.singers)}
        if unknown := [singer for singer in singers if singer not in rows]:
            raise SingeridError(
                f"no singer {unknown[0]!r} in the table", found=f"{len(self)} singers"
            )
        found: FloatArray = self.centroids[[rows[singer] for singer in singers]]
        return found

    def verify(self, vector: FloatArray, singer: str, encoder: str) -> float:
        """Score of one embedding against one singer, in [-1, 1]; higher is more alike.

        Raises:
            SingeridError: the singer is not in the table.
        """
        if singer not in self.singers:
            raise SingeridError(f"no singer {singer!r} in the table", found=f"{len(self)} singers")
        return float(self.score(vector, encoder)[0, list(self.singers).index(singer)])

    def identify(self, vector: FloatArray, encoder: str, top: int = 5) -> list[tuple[str, float]]:
        """The singers whose centroids are nearest to an embedding, best first, with scores."""
        scores = self.score(vector, encoder)[0]
        best = np.argsort(-scores, kind="stable")[:top]
        return [(self.singers[i], float(scores[i])) for i in best]


def build_table(embeddings: EmbeddingSet, settings: TableSettings | None = None) -> SingerTable:
    """Centroids of the singers in a set of embeddings.

    Raises:
        SingeridError: no singer has enough recordings.
    """
    settings = settings or TableSettings()
    rng = np.random.default_rng(settings.seed)
    rows: dict[str, list[int]] = {}
    for row, singer in enumerate(embeddings.singers):
        rows.setdefault(singer, []).append(row)
    singers = sorted(s for s, members in rows.items() if len(members) >= settings.min_recordings)
    if not singers:
        most = max(map(len, rows.values()), default=0)
        raise SingeridError(
            "no singer has enough recordings", found=f"at most {most}",
            expected=f"{settings.min_recordings}", do="lower --table.min_recordings",
        )  # fmt: skip
    singers = draw(singers, settings.max_singers, rng)
    members = [sorted(draw(rows[s], settings.max_recordings, rng)) for s in singers]
    centroids = np.stack([mean_direction(embeddings.vectors[m]) for m in members])
    spread = [
        # Not by BLAS, whose float32 kernels may raise warnings about lanes that nobody reads.
        max(0.0, float(np.mean(1 - np.einsum("ij,j->i", embeddings.vectors[m], c))))
        if len(m) > 1
        else 0.0
        for m, c in zip(members, centroids, strict=True)
    ]
    labels = {
        name: [_common([column[i] for i in m]) for m in members]
        for name, column in embeddings.labels.items()
    }
    return SingerTable(
        singers, centroids, [len(m) for m in members],
        [float(sum(embeddings.seconds[i] for i in m)) for m in members], spread,
        embeddings.encoder, {name: column for name, column in labels.items() if any(column)},
    )  # fmt: skip


def draw(items: list, n: int, rng: np.random.Generator) -> list:  # type: ignore[type-arg]
    """At most `n` of the items in their order, drawn at random; all if `n` is 0."""
    if n <= 0 or n >= len(items):
        return items
    return [items[i] for i in sorted(rng.choice(len(items), n, replace=False))]


def _common(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else ""


def write_table(path: str | os.PathLike[str], table: SingerTable) -> None:
    """Write one row a singer to Parquet, atomically."""
    flat = pa.array(np.ascontiguousarray(table.centroids).reshape(-1), pa.float32())
    columns: dict[str, pa.Array] = {
        "singer": pa.array(table.singers, pa.string()),
        "n_recordings": pa.array(table.n_recordings, pa.int64()),
        "seconds": pa.array(table.seconds, pa.float64()),
        "spread": pa.array(table.spread, pa.float64()),
        "embedding": pa.FixedSizeListArray.from_arrays(flat, table.centroids.shape[1]),
    }
    columns |= {name: pa.array(column, pa.string()) for name, column in table.labels.items()}
    write_parquet(path, columns, table.encoder, "table")


def read_table(path: str | os.PathLike[str]) -> SingerTable:
    """Read what `write_table` wrote.

    Raises:
        SingeridError: not such a file.
    """
    table, encoder = read_parquet(path, "table", _COLUMNS)
    names = [name for name in table.column_names if name not in _COLUMNS]
    labels = {name: texts_of(table[name]) for name in names if is_text(table[name])}
    columns = {name: table[name].to_pylist() for name in _COLUMNS if name != "embedding"}
    return SingerTable(
        columns["singer"], vectors_of(table, path), columns["n_recordings"], columns["seconds"],
        columns["spread"], encoder, labels,
    )  # fmt: skip
