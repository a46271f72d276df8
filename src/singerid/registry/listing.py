"""Singers as they are listed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from singerid.registry.exemplar import SingerInfo, labels_in
from singerid.registry.roll import Roll
from singerid.registry.tables import one_of, read

_FEW = 2000  # names that are asked for one by one; for more, everything is read


def singer_infos(table: Any, roll: Roll, names: Sequence[str]) -> list[SingerInfo]:
    """What is listed of some singers, in the order given."""
    where = one_of("singer", names) if len(names) <= _FEW else None
    rows = read(table, ["singer", "labels", "enrolled_at"], where)
    first: dict[str, str] = {}
    shared: dict[str, dict[str, str]] = {}
    for singer, text, at in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        first[singer] = min(first.get(singer, at), at)
        labels = labels_in(text)
        known = shared.setdefault(singer, labels)
        if known != labels:
            shared[singer] = dict(known.items() & labels.items())
    return [
        SingerInfo(
            name, int(roll.counts[roll.rows[name]]), float(roll.seconds[roll.rows[name]]),
            dict(sorted(shared[name].items())), first[name],
        )
        for name in names if name in first  # nobody has removed them meanwhile
    ]  # fmt: skip
