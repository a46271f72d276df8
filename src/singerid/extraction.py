"""Extraction of features into a store: in parallel, resumable, only what is missing."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from singerid.appending import begin_folder, in_turn, locked, processes, readers
from singerid.crew import MakePool
from singerid.entries import Entry
from singerid.errors import BatchError, SingeridError, StoreError, one_line
from singerid.features import extract_file
from singerid.mirror import mirrored
from singerid.records import Recording, atomic_write, write_recordings
from singerid.spec import FeatureSpec
from singerid.store import (
    CHECKSUMS,
    Store,
    holds,
    read_checksums,
    read_spec,
    spec_json,
    write_checksums,
)
from singerid.store_check import drop, inspect
from singerid.store_writer import StoreWriter

FloatArray = npt.NDArray[np.float32]
Outcome = tuple[FloatArray, list[str]] | SingeridError
Outcomes = Iterator[tuple[Recording, Outcome]]


@dataclass
class Extraction:
    """What `extract` did.

    Attributes:
        n_done: recordings extracted now.
        n_present: recordings whose features were there already.
        n_others: recordings in the shards that the manifest does not list.
        failures: why recordings have no features.
        warnings: remarks on single files.
    """

    n_done: int = 0
    n_present: int = 0
    n_others: int = 0
    failures: list[SingeridError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def extract(
    recordings: Sequence[Recording],
    path: str | os.PathLike[str],
    spec: FeatureSpec,
    n_processes: int = 1,
    on_progress: Callable[[float], object] = lambda seconds: None,
    make_pool: MakePool | None = None,
) -> tuple[Extraction, Store]:
    """Extract the features of the recordings that the store does not hold yet.

    Files that fail are reported and left out; all others are kept. The shards' bytes do not
    depend on `n_processes`. What is damaged is made again, in its old place.

    Args:
        recordings: what the store shall hold afterwards.
        path: folder of the store, made if missing; or its URL (see `singerid.mirror`).
        spec: the front end; must equal that of a store that exists.
        n_processes: recordings that are decoded and analyzed at once.
        on_progress: called with the seconds of audio after each recording.
        make_pool: see `analyze`.

    Raises:
        StoreError: the folder holds something else, a store of another spec, or is in use.
        BatchError: not a single recording could be read.
    """
    with mirrored(path) as folder:
        return _extract(recordings, folder, spec, on_progress, partial(
            analyze, spec=spec, n_workers=n_processes, make_pool=make_pool
        ))  # fmt: skip


def _extract(
    recordings: Sequence[Recording], path: Path, spec: FeatureSpec,
    on_progress: Callable[[float], object], work: Callable[[list[Recording]], Outcomes],
) -> tuple[Extraction, Store]:  # fmt: skip
    """`extract` into a local folder; `work` makes what is missing."""
    _prepare(path, spec)
    with locked(path):
        result = Extraction()
        found = inspect(path, spec)
        result.warnings += [f"{finding}; made again" for finding in found.findings]
        found = drop(path, found)
        present = set(found.entries)
        with StoreWriter(path, spec, found.lines, found.index_bytes) as writer:
            missing = [r for r in recordings if not holds(writer.entries, r)]
            result.n_present = len(recordings) - len(missing)
            failed = _fill(recordings, writer, work(missing), result, on_progress)
        kept = [r for r in recordings if r.id not in failed]
        result.n_others = len(present - {r.id for r in kept})
        if not kept:
            raise BatchError(f"{one_line(path)}: no recording could be read", result.failures)
        writer.finish()
        (path / CHECKSUMS).unlink(missing_ok=True)
        write_recordings(path / "recordings.jsonl", kept)
        write_checksums(path)
    return result, Store(path)


def _fill(
    recordings: Sequence[Recording], writer: StoreWriter,
    outcomes: Outcomes, result: Extraction,
    on_progress: Callable[[float], object],
) -> set[str]:  # fmt: skip
    """Write what is missing; ids of the recordings that failed."""
    failed: set[str] = set()
    before: Entry | None = None
    others = iter(recordings)
    for recording, outcome in outcomes:
        while (other := next(others)).id != recording.id:  # it is there
            before = writer.entries[other.id]
        if isinstance(outcome, SingeridError):
            result.failures.append(outcome)
            failed.add(recording.id)
        else:
            frames, warnings = outcome
            before = writer.write(recording, frames, before)
            result.warnings += [f"{one_line(recording.path)}: {w}" for w in warnings]
            result.n_done += 1
        on_progress(recording.duration)
    return failed


def _prepare(path: Path, spec: FeatureSpec) -> None:
    """Make the folder, or check that it is a store of this spec."""
    file, text = path / "spec.json", f"{spec_json(spec)}\n".encode()
    if zlib.crc32(text) == read_checksums(path).get("spec.json"):  # whatever has become of it
        if not file.exists() or file.read_bytes() != text:
            with locked(path), atomic_write(file, "wb") as written:
                written.write(text)
        return
    if not file.exists():
        begin_folder(path, spec_json(spec))
    if (found := read_spec(path)) != spec:
        raise StoreError(
            "holds features of another spec", where=path, found=_difference(found, spec),
            do="use another folder, or the settings of the store",
        )  # fmt: skip


def _difference(found: FeatureSpec, wanted: FeatureSpec) -> str:
    parts = []
    for name, section in found:
        for key, value in section:
            other = getattr(getattr(wanted, name), key)
            if other != value:
                parts.append(f"{name}.{key} {value}, not {other}")
    return ", ".join(parts)


def analyze(
    recordings: Sequence[Recording],
    spec: FeatureSpec,
    n_workers: int,
    make_pool: MakePool | None = None,
) -> Outcomes:
    """Features and warnings, or the error, of each recording in turn.

    Args:
        recordings: what to analyze; results come in this order.
        spec: the front end.
        n_workers: recordings that are analyzed at once.
        make_pool: makes workers elsewhere (`singerid.ray_pool`). Without it they are processes of
            this machine, or threads (see `singerid.appending.readers`) where pitch or WORLD,
            which hold the interpreter's lock, are not asked for.
    """
    if make_pool is None:
        releases_lock = spec.features.stream == "mel" and not spec.pitch.condition
        make_pool = readers(recordings) if releases_lock else processes
    return in_turn(recordings, partial(_analyze_one, spec=spec), n_workers, make_pool)


def _analyze_one(recording: Recording, spec: FeatureSpec) -> tuple[FloatArray, list[str]]:
    return extract_file(recording.path, recording.channel, spec)
