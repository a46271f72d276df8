"""The two LanceDB tables of a registry: opening, filters, the lock of writers.

A change of a Lance table is one commit: a new manifest that appears at once, under a number that
only one writer can take. So readers never see half of a change, and a kill leaves the table as it
was before, or as it is after. What must be looked at before it is changed (is this file enrolled
already? is the name free?) is done under a lock of the folder; an object store has none.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import secrets
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from filelock import Timeout

from singerid.embeddings import check_same_encoder
from singerid.errors import MissingExtraError, SingeridError
from singerid.formats import FORMATS, check_format
from singerid.locks import facts_file, held, holder
from singerid.registry.exemplar import exemplar_schema
from singerid.registry.names import RegistryError
from singerid.registry.place import local_folder

EXEMPLARS, CLIPS, STAGING = "exemplars", "clips", "reembedded"
CLIP_SCHEMA = pa.schema([("id", pa.string()), ("mp3", pa.large_binary()), ("at", pa.float64())])
_LOCK_SECONDS = 120.0
_MANY_FRAGMENTS = 32  # a scan of 200 takes half a second, and one of 1 some milliseconds
_KEEP = datetime.timedelta(hours=1)  # old versions: another process may be reading one
_MOST_DIMENSIONS = 1 << 16
_PREFIX = "singerid."


class Tables:
    """The tables at a place.

    Args:
        place: folder, or address of an object store.
        create: whether there need not be a registry yet.

    Raises:
        RegistryError: there is none, or the folder is something else.
        MissingExtraError: LanceDB is not installed.
    """

    def __init__(self, place: str, create: bool) -> None:
        os.environ.setdefault("LANCEDB_LOG", "error")  # it remarks on every new table
        try:
            import lancedb
        except ImportError:
            raise MissingExtraError("lancedb", "registry") from None
        self.place, self.folder = place, local_folder(place)
        if self.folder is not None:
            self._check_folder(create)
        uri = place if self.folder is None else str(self.folder.absolute())
        self._open: dict[str, Any] = {}
        with guarded(place):
            # Before every reading it is looked whether others have written.
            self._db = lancedb.connect(uri, read_consistency_interval=datetime.timedelta(0))
        if not create and self.get(EXEMPLARS) is None:
            raise _none_at(place)

    def _check_folder(self, create: bool) -> None:
        assert self.folder is not None
        if not self.folder.is_dir():
            if self.folder.exists():
                raise RegistryError("is no folder", where=self.place)
            if not create:
                raise _none_at(self.place)
        elif not (self.folder / f"{EXEMPLARS}.lance").exists():
            lock = self.folder / ".lock"
            ours = {
                lock.name,
                facts_file(lock).name,
                *(f"{name}.lance" for name in (EXEMPLARS, CLIPS, STAGING)),
            }
            if other := sorted({path.name for path in self.folder.iterdir()} - ours):
                raise RegistryError(
                    "is no registry", where=self.place, found=f"a folder with {other[0]}",
                    do="give the folder of a registry, or a new one",
                )  # fmt: skip

    def get(self, name: str) -> Any:
        """A table, or None if there is none yet."""
        if name not in self._open:
            with guarded(self.place):
                try:
                    table = self._db.open_table(name)
                except (ValueError, FileNotFoundError) as error:
                    if f"'{name}' was not found" in str(error):
                        return None
                    raise
            if name == EXEMPLARS:
                self._check_facts(table)
            self._open[name] = table
        return self._open[name]

    def _check_facts(self, table: Any) -> None:
        with guarded(self.place):
            facts = metadata(table)
        version = facts.get("format", "none")[:40]
        number = int(version) if version.isdecimal() else version
        check_format(number, "registry", self.place, RegistryError)
        dim = facts.get("dim", "")[:40]
        lost = {"encoder", "generation"} - facts.keys()
        if lost or not dim.isdecimal() or not 0 < int(dim) <= _MOST_DIMENSIONS:
            raise RegistryError(
                "is damaged", where=self.place, found=f"dimension {dim or 'unknown'}",
                expected="encoder, generation and dimension of the vectors",
                do="restore the folder, or enroll again in a new one",
            )  # fmt: skip

    def writable(self, encoder: str, dim: int) -> Any:
        """The table of exemplars, ready for vectors of an encoder; made if there is none.

        Raises:
            MismatchError: it holds vectors of another encoder.
        """
        table = self.get(EXEMPLARS)
        if table is not None and table.count_rows():
            facts = metadata(table)
            check_same_encoder(encoder, facts["encoder"], self.place)
            if dim != int(facts["dim"]):
                raise RegistryError(
                    "vectors of another dimension", where=self.place, found=dim,
                    expected=facts["dim"],
                )  # fmt: skip
            return table
        if table is None or metadata(table) | {"encoder": encoder, "dim": str(dim)} != metadata(
            table
        ):
            table = self.replace(EXEMPLARS, exemplar_schema(dim), encoder=encoder, dim=dim)
        return table

    def replace(
        self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch] = (), **facts: Any
    ) -> Any:
        """Make a table, or put another in its place, in one commit; `facts` are kept with it."""
        facts = {"format": FORMATS["registry"], "generation": secrets.token_hex(8)} | facts
        schema = schema.with_metadata({_PREFIX + key: str(fact) for key, fact in facts.items()})
        reader = pa.RecordBatchReader.from_batches(schema, map(_cast(schema), batches))
        with guarded(self.place):
            self._open[name] = self._db.create_table(name, reader, schema=schema, mode="overwrite")
        return self._open[name]

    def rewrite(self, name: str) -> None:
        """Write a table anew and forget all that it ever held besides."""
        table = self.get(name)
        if table is None:
            return
        facts, schema = metadata(table), table.schema.remove_metadata()
        batches = (batch.select(schema.names) for batch in table.search().to_batches(1024))
        table = self.replace(name, schema, batches, **facts)
        with guarded(self.place), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that nobody else may use the table: documented
            table.optimize(cleanup_older_than=datetime.timedelta(0), delete_unverified=True)

    def drop(self, name: str) -> None:
        """Remove a table, if it is there."""
        self._open.pop(name, None)
        with guarded(self.place):
            self._db.drop_table(name, ignore_missing=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """One writer at a time, of all processes on this folder; ends with its process.

        Raises:
            RegistryError: another one has it for too long, or the folder cannot be written.
        """
        if self.folder is None:  # an object store has no locks, but its commits are atomic too
            yield
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with held(self.folder / ".lock", _LOCK_SECONDS):
                yield
        except Timeout as error:
            who = holder(self.folder / ".lock")
            found = f"no access after {_LOCK_SECONDS:g} s" + (f", {who}" if who else "")
            raise RegistryError(
                "another process has been writing for too long", where=self.place,
                found=found, do="see what it does, or try again",
            ) from error  # fmt: skip

    def tidy(self, name: str) -> None:
        """Merge small files, and forget old versions, if there are many; others may go on."""
        table = self.get(name)
        if table is None or table.stats()["fragment_stats"]["num_fragments"] < _MANY_FRAGMENTS:
            return
        # What fails here (another process tidies as well) is done another time.
        with contextlib.suppress(RuntimeError, OSError):
            table.optimize(cleanup_older_than=_KEEP)


def metadata(table: Any) -> dict[str, str]:
    """What is kept with a table: format, encoder, dim, generation."""
    pairs = (table.schema.metadata or {}).items()
    return {key.decode().removeprefix(_PREFIX): value.decode() for key, value in pairs}


def read(table: Any, columns: Sequence[str], where: str | None = None) -> pa.Table:
    """Columns of the rows that a filter lets through, all at one version."""
    with guarded(table.name):
        query = table.search().select(list(columns))
        return (query.where(where) if where else query).to_arrow()


def equals(column: str, value: str) -> str:
    """The filter ``column = 'value'``."""
    return f"{column} = {quoted(value)}"


def one_of(column: str, values: Iterable[str]) -> str:
    """The filter ``column IN ('value', …)``; of nothing, one that nothing passes."""
    texts = ", ".join(map(quoted, values))
    return f"{column} IN ({texts})" if texts else "false"


def quoted(text: str) -> str:
    """A string of SQL, as DataFusion reads it: only quotes are escaped, by doubling them."""
    return "'" + text.replace("'", "''") + "'"


@contextlib.contextmanager
def guarded(where: object) -> Iterator[None]:
    """Errors of LanceDB as errors of ours.

    Raises:
        RegistryError: instead of theirs, and of what reading what they gave raises.
    """
    try:
        yield
    except SingeridError:
        raise
    except Exception as error:  # of many kinds; on damaged files, also panics of its Rust code
        text = str(error).split(", /")[0].splitlines()  # without the place in its source
        raise RegistryError(
            "the registry cannot be read or written", where=where, found=(text or ["?"])[0][:200]
        ) from error


def _cast(schema: pa.Schema) -> Any:
    return lambda batch: pa.RecordBatch.from_arrays(batch.columns, schema=schema)


def _none_at(place: str) -> RegistryError:
    return RegistryError(
        "no registry here", where=place,
        do="enroll somebody (singerid enroll), or give another place with --registry",
    )  # fmt: skip
