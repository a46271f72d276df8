"""All vectors anew, by another encoder, from the files that people were enrolled with.

The new vectors are collected in a table of their own. When it is complete, one commit puts them
in the place of the old ones: a kill at any moment leaves the registry whole, and what was
collected is taken up by the next attempt. Whoever enrolls meanwhile, by the old encoder, is
embedded as well before the switch.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from singerid.embeddings import EmbeddingSet
from singerid.errors import BatchError, SingeridError
from singerid.records import Recording
from singerid.registry.exemplar import exemplar_schema, vector_column
from singerid.registry.names import RegistryError
from singerid.registry.tables import (
    CLIPS,
    EXEMPLARS,
    STAGING,
    Tables,
    equals,
    guarded,
    metadata,
    read,
)

if TYPE_CHECKING:
    from singerid.embedder import Embedder

_BATCH = 64
_NEEDED = ["id", "singer", "path", "sha256", "seconds", "has_clip"]
Row = dict[str, Any]


@dataclass(frozen=True)
class Reembedding:
    """What was done.

    Attributes:
        n_exemplars: that have a new vector.
        from_clips: ids of those whose file is gone or changed, embedded from their clips of some
            seconds.
    """

    n_exemplars: int
    from_clips: Sequence[str]


def reembed(
    tables: Tables,
    embedder: Embedder,
    on_progress: Callable[[float], object] = lambda seconds: None,
    from_clips: bool = False,
    n_processes: int = 1,
) -> Reembedding:
    """Put vectors of another encoder in the place of all vectors.

    Args:
        tables: of the registry.
        embedder: makes the new ones.
        on_progress: called with seconds of audio.
        from_clips: take the clip of an exemplar whose file is gone or was changed.
        n_processes: files that are decoded at once.

    Raises:
        BatchError: some could not be embedded; the registry is as it was.
    """
    table = tables.get(EXEMPLARS)
    encoder, clipped = embedder.fingerprint, []
    staging = tables.get(STAGING)
    if staging is not None and metadata(staging).get("encoder") in (
        metadata(table)["encoder"], None
    ):  # fmt: skip
        tables.drop(STAGING)  # left over from one that was finished
    while True:
        rows = _missing(tables, table, encoder)
        failures: list[SingeridError] = []
        for start in range(0, len(rows), _BATCH):
            made, taken, failed = _embed(
                tables, rows[start : start + _BATCH], embedder, from_clips, n_processes, on_progress
            )
            failures += failed
            clipped += taken
            if made is not None:
                _stage(tables, made)
        if failures:
            raise BatchError(
                f"{len(failures)} of {table.count_rows()} exemplars cannot be embedded anew, "
                "nothing is changed", failures,
            )  # fmt: skip
        with tables.lock():
            if not _missing(tables, table, encoder):
                n = _switch(tables, table, encoder)
                break
    tables.drop(STAGING)
    return Reembedding(n, clipped)


def _missing(tables: Tables, table: Any, encoder: str) -> list[Row]:
    """Exemplars that have no new vector yet."""
    staging = tables.get(STAGING)
    done: set[str] = set()
    if staging is not None and metadata(staging)["encoder"] == encoder:
        done = set(read(staging, ["id"])["id"].to_pylist())
    return [row for row in read(table, _NEEDED).to_pylist() if row["id"] not in done]


def _stage(tables: Tables, made: EmbeddingSet) -> None:
    """Keep new vectors."""
    dim, staging = made.vectors.shape[1], tables.get(STAGING)
    column = exemplar_schema(dim).field("vector")
    schema = pa.schema([("id", pa.string()), column])
    if staging is None or metadata(staging)["encoder"] != made.encoder:
        staging = tables.replace(STAGING, schema, encoder=made.encoder, dim=dim)
    rows = pa.table([pa.array(made.ids), vector_column(made.vectors)], schema=schema)
    with guarded(tables.place):
        staging.add(rows)


def _switch(tables: Tables, table: Any, encoder: str) -> int:
    """The one commit."""
    staging = tables.get(STAGING)
    if staging is None:
        raise RegistryError("nobody is enrolled", where=tables.place)
    dim = int(metadata(staging)["dim"])
    made = read(staging, ["id", "vector"])
    vectors = made["vector"].combine_chunks()
    places = {id: row for row, id in enumerate(made["id"].to_pylist())}
    schema = exemplar_schema(dim)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in table.search().to_batches(4096):
            rows = pa.array([places[id] for id in batch["id"].to_pylist()], pa.int64())
            columns = {name: batch[name] for name in schema.names} | {"vector": vectors.take(rows)}
            yield pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)

    tables.replace(EXEMPLARS, schema, batches(), encoder=encoder, dim=dim)
    return int(tables.get(EXEMPLARS).count_rows())


def _embed(
    tables: Tables,
    rows: Sequence[Row],
    embedder: Embedder,
    from_clips: bool,
    n_processes: int,
    on_progress: Callable[[float], object],
) -> tuple[EmbeddingSet | None, list[str], list[SingeridError]]:
    """New vectors of some exemplars, ids of those from clips, and what failed."""
    recordings: list[Recording] = []
    failures: list[SingeridError] = []
    clipped: list[str] = []
    with TemporaryDirectory() as folder:
        for row in rows:
            reason = _missing_file(row)
            path = Path(row["path"]) if reason is None else None
            if path is None and from_clips and (path := _clip(tables, row, Path(folder))):
                clipped.append(row["id"])
            if path is None:
                failures.append(_failure(row, reason, from_clips))
                continue
            recordings.append(Recording(row["id"], row["singer"], str(path), row["seconds"], 1))
        if not recordings:
            return None, [], failures
        try:
            made, failed = embedder.embed_recordings(recordings, n_processes, on_progress)
        except BatchError as error:
            return None, [], [*failures, *error.failures]
    return made, clipped, [*failures, *failed]


def _missing_file(row: Row) -> str | None:
    """Why the file that somebody was enrolled with is not there; None: it is."""
    path = Path(row["path"])
    if not row["path"] or not path.is_file():
        return "its file is gone"
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != row["sha256"]:
            return "its file has been changed"
    return None


def _clip(tables: Tables, row: Row, folder: Path) -> Path | None:
    clips = tables.get(CLIPS)
    found = read(clips, ["mp3"], equals("id", row["id"])) if clips is not None else None
    if not found:
        return None
    path = folder / f"{row['id']}.mp3"
    path.write_bytes(found["mp3"][0].as_py())
    return path


def _failure(row: Row, reason: str | None, tried_clip: bool) -> SingeridError:
    name = os.path.basename(row["path"]) or row["id"]
    do = f"bring it back, or remove the exemplar: singerid singers remove --exemplar {row['id']}"
    if row["has_clip"] and not tried_clip:
        do += "; or take its clip: --from-clips"
    return SingeridError(f"exemplar {row['id']} of {row['singer']}: {reason}", where=name, do=do)
