"""Adding exemplars: what is new is written at once, and looked at afterwards."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from singerid.registry.exemplar import Exemplar, check_vectors, to_rows
from singerid.registry.names import check_name
from singerid.registry.tables import CLIP_SCHEMA, CLIPS, Tables, equals, guarded, one_of, read

_CHUNK = 5000  # exemplars in one batch of an import
_FEW = 2000
_HOUR = 3600.0
_TICK = timedelta(microseconds=1)


def add(
    tables: Tables, given: Mapping[str, Sequence[Exemplar]], encoder: str
) -> tuple[dict[str, list[Exemplar]], dict[str, list[Exemplar]]]:
    """Write exemplars of singers, all in one commit.

    Clips are written before: a kill in between leaves some that nobody refers to (`sweep`).

    Returns:
        By singer, the exemplars added, and those that were there already: the same bytes.

    Raises:
        SingeridError: names, labels or vectors cannot be used, or are another encoder's.
    """
    named: dict[str, list[Exemplar]] = {}
    for name, exemplars in given.items():
        named.setdefault(check_name(name), []).extend(exemplars)
    everything = [one for exemplars in named.values() for one in exemplars]
    dim = check_vectors(everything, tables.place).shape[1]
    with tables.lock():
        table = tables.writable(encoder, dim)
        seen = _contents(table, list(named))
        added: dict[str, list[Exemplar]] = {}
        known: dict[str, list[Exemplar]] = {}
        now = datetime.now(UTC)
        for name, exemplars in named.items():
            for one in exemplars:
                if (name, one.content()) in seen:
                    known.setdefault(name, []).append(one)
                    continue
                seen.add((name, one.content()))
                now += _TICK  # so that their order is known
                added.setdefault(name, []).append(_named(one, name, now))
        fresh = [one for exemplars in added.values() for one in exemplars]
        if fresh:
            _write_clips(tables, fresh)
            batches = [to_rows(fresh[i : i + _CHUNK], dim) for i in range(0, len(fresh), _CHUNK)]
            with guarded(tables.place):
                table.add(pa.concat_tables(batches))
    return added, known


def _contents(table: Any, names: Sequence[str]) -> set[tuple[str, str]]:
    """Singer and content of the exemplars that singers have already."""
    where = one_of("singer", names) if len(names) <= _FEW else None
    rows = read(table, ["singer", "sha256"], where)
    return set(zip(rows["singer"].to_pylist(), rows["sha256"].to_pylist(), strict=True))


def _named(one: Exemplar, singer: str, at: datetime) -> Exemplar:
    return replace(
        one, id=secrets.token_hex(8), singer=singer, sha256=one.content(),
        enrolled_at=at.isoformat(timespec="microseconds"), has_clip=one.clip is not None,
    )  # fmt: skip


def _write_clips(tables: Tables, exemplars: Sequence[Exemplar]) -> None:
    having = [one for one in exemplars if one.clip is not None]
    if not having:
        return
    table = tables.get(CLIPS)
    if table is None:
        table = tables.replace(CLIPS, CLIP_SCHEMA)
    columns = [
        [one.id for one in having], [one.clip for one in having], [time.time()] * len(having)
    ]  # fmt: skip
    with guarded(tables.place):
        table.add(pa.table(columns, schema=CLIP_SCHEMA))


def sweep(tables: Tables, exemplars: Any) -> int:
    """Remove clips of exemplars that are no more, or never came to be; returns how many.

    Those of the last hour stay: their exemplars may be about to be written.
    """
    clips = tables.get(CLIPS)
    if clips is None:
        return 0
    old = set(read(clips, ["id"], f"at < {time.time() - _HOUR}")["id"].to_pylist())
    lost = sorted(old - set(read(exemplars, ["id"])["id"].to_pylist()))
    with guarded(tables.place):
        for start in range(0, len(lost), _FEW):
            clips.delete(one_of("id", lost[start : start + _FEW]))
    return len(lost)


def remove_clips(tables: Tables, ids: Sequence[str]) -> None:
    """Of exemplars that are no more."""
    clips = tables.get(CLIPS)
    with guarded(tables.place):
        for start in range(0, len(ids) if clips is not None else 0, _FEW):
            clips.delete(one_of("id", ids[start : start + _FEW]))


def remove_repeats(table: Any, singer: str) -> list[str]:
    """Of exemplars with the same bytes, which a singer may have after a merge, all but one."""
    rows = read(table, ["id", "sha256", "enrolled_at"], equals("singer", singer)).to_pylist()
    seen: set[str] = set()
    repeats = []
    for row in sorted(rows, key=lambda row: (row["enrolled_at"], row["id"])):
        if row["sha256"] in seen:
            repeats.append(row["id"])
        seen.add(row["sha256"])
    if repeats:
        with guarded(table.name):
            table.delete(one_of("id", repeats))
    return repeats
