"""Commands about feature stores as files: check, repair."""

from __future__ import annotations

import argparse
from pathlib import Path

from singerid.errors import BatchError, one_line
from singerid.mirror import mirrored, pulled
from singerid.store_check import Check, check, repair
from singerid.terminal import progress, say, warn


def store_check(arguments: argparse.Namespace) -> None:
    """Read all of a store and name whatever is damaged or missing."""
    path = pulled(arguments.store)
    with progress("check", _size(path)) as advance:
        found = check(path, advance)
    if not found.has_checksums:
        warn(
            f"{one_line(path)}: no checksums of list and spec (an older version made it, or it "
            "is not finished): only their form was checked"
        )
    if found.findings:
        raise BatchError(
            f"{one_line(path)}: {_count(len(found.findings), 'fault')}, {found.n_recordings} "
            "recordings intact; take the damage out with singerid store repair, or run singerid "
            "features again: it makes what is missing",
            found.findings,
        )
    say(f"{arguments.store}: {_intact(found)}, no damage")


def store_repair(arguments: argparse.Namespace) -> None:
    """Take what is damaged out of a store, so that features makes just that again."""
    with mirrored(arguments.store) as path, progress("repair", _size(path)) as advance:
        found = repair(path, advance)
    for finding in found.findings:
        say(str(finding))
    after = "run singerid features again: it makes what is missing, in its old place"
    say(
        f"{arguments.store}: {_intact(found)}; "
        + (f"{_count(len(found.findings), 'fault')} taken out, {after}" if found.findings else
           "no damage")
    )  # fmt: skip


def _size(path: Path) -> float:
    return float(sum(file.stat().st_size for file in path.glob("features-*.f32")))


def _intact(found: Check) -> str:
    size = f"{found.n_bytes / 1e6:.1f} MB"
    shards = _count(found.n_shards, "shard")
    return f"{found.n_recordings} recordings intact in {shards}, {size} read"


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n != 1 else ''}"
