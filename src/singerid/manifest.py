"""The list of recordings that everything starts from: measured, named, split, selected."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from singerid import audio
from singerid.errors import ManifestError, SingeridError, one_line
from singerid.records import SPLITS, Condition, Recording
from singerid.remote import fetched
from singerid.sections import ManifestSettings


@dataclass(frozen=True)
class Source:
    """A file that a corpus adapter found, before it is opened.

    Attributes:
        path: the audio file, or its URL.
        id: unique name within the corpus.
        singer: whose voice it is.
        split: train, valid, test, or None if the corpus has no splits.
        channel: which channel holds the voice.
        labels: what else the corpus knows.
    """

    path: Path | str
    id: str
    singer: str
    split: str | None = None
    channel: str = "mix"
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Scan:
    """What a corpus adapter found in a folder: sources, and what is wrong with the rest."""

    sources: list[Source] = field(default_factory=list)
    problems: list[SingeridError] = field(default_factory=list)
    n_ignored: int = 0


@dataclass
class Manifest:
    """Recordings, what is wrong with the files left out, and remarks."""

    recordings: list[Recording] = field(default_factory=list)
    problems: list[SingeridError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One line: recordings, singers and hours of each split."""
        parts = []
        for split in SPLITS:
            chosen = [r for r in self.recordings if r.split == split]
            if chosen:
                hours = sum(r.duration for r in chosen) / 3600
                n_singers = len({r.singer for r in chosen})
                parts.append(
                    f"{split}: {n_singers} singers, {len(chosen)} recordings, {hours:.2f} h"
                )
        return " · ".join(parts) or "nothing"


def build(
    scan: Scan,
    settings: ManifestSettings,
    n_threads: int = 2,
    on_progress: Callable[[int], object] = lambda n: None,
) -> Manifest:
    """Open every source, leave out what is broken or double, assign splits.

    Args:
        scan: what a corpus adapter found.
        settings: how to split.
        n_threads: files that are read at once.
        on_progress: called with 1 after each file.

    Returns:
        Recordings in the order of their ids. The result depends on files and settings only.
    """
    manifest = Manifest(problems=list(scan.problems))
    if settings.channel != "corpus":
        scan = replace(
            scan, sources=[replace(source, channel=settings.channel) for source in scan.sources]
        )
    sources = _with_unique_ids(sorted(scan.sources, key=lambda source: source.id), manifest)
    n_given = sum(source.split is not None for source in sources)
    if settings.splits == "given" and n_given < len(sources):
        raise ManifestError(
            "the corpus does not say the split of every recording",
            do="use --manifest.splits draw",
        )
    draw = settings.splits == "draw" or n_given < len(sources)
    if draw and n_given and settings.splits == "auto":
        manifest.warnings.append(
            f"{len(sources) - n_given} of {len(sources)} recordings have no split: all splits "
            "are drawn anew"
        )
    if not draw:
        sources = _without_split_conflicts(sources, manifest)
    with ThreadPoolExecutor(n_threads) as pool:
        for result in pool.map(_measure, sources):
            on_progress(1)
            if isinstance(result, SingeridError):
                manifest.problems.append(result)
            else:
                manifest.recordings.append(result)
    manifest.recordings = _without_duplicates(manifest)
    if draw:
        manifest.recordings = draw_splits(manifest.recordings, settings)
    return manifest


def _measure(source: Source) -> Recording | SingeridError:
    """Header and hash of one file; an error is a value here, so that the rest goes on."""
    try:
        with fetched(source.path, ManifestError) as local:
            info = audio.probe(local, source.path)
            with local.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
    except SingeridError as error:
        return error
    except OSError as error:
        return ManifestError("cannot be read", where=source.path, found=error.strerror)
    return Recording(
        source.id, source.singer, _whole(source.path), round(info.duration, 4),
        info.sample_rate, info.channels, source.channel, source.split or "train", digest,
        dict(source.labels),
    )  # fmt: skip


def _whole(path: Path | str) -> str:
    return path if isinstance(path, str) else os.path.abspath(path)


def _with_unique_ids(sources: list[Source], manifest: Manifest) -> list[Source]:
    """Keep the first source of each id; the others are problems."""
    first: dict[str, Source] = {}
    for source in sources:
        if first.setdefault(source.id, source) is not source:
            manifest.problems.append(
                ManifestError(
                    f"id {source.id!r} is taken, the file was left out", where=source.path,
                    found=f"also {first[source.id].path}", do="rename one of the files",
                )
            )  # fmt: skip
    return list(first.values())


def _without_split_conflicts(sources: list[Source], manifest: Manifest) -> list[Source]:
    """Leave out singers whose name stands in more than one split: one person, or two?"""
    places: dict[str, dict[str, str]] = defaultdict(dict)
    for source in sources:
        if source.split is not None:
            places[source.singer].setdefault(source.split, os.path.dirname(source.path))
    mixed = {singer for singer, splits in places.items() if len(splits) > 1}
    for singer in sorted(mixed):
        found = " and ".join(f"{split} ({path})" for split, path in places[singer].items())
        manifest.problems.append(
            ManifestError(
                "singer is in more than one split and was left out", where=singer, found=found,
                expected="splits that are disjoint in singers",
                do="rename one of the folders if these are two people, else move them together",
            )
        )  # fmt: skip
    return [source for source in sources if source.singer not in mixed]


def _without_duplicates(manifest: Manifest) -> list[Recording]:
    """Keep one of each group of identical files; none if two singers claim it.

    The two channels of a file may well hold two singers.
    """
    groups: dict[tuple[str, str], list[Recording]] = defaultdict(list)
    for recording in manifest.recordings:
        groups[recording.sha256, recording.channel].append(recording)
    left_out: set[str] = set()
    for group in groups.values():
        first, *others = group
        if len({r.singer for r in group}) > 1:
            left_out |= {r.id for r in group}
            manifest.problems.append(
                ManifestError(
                    "identical files under different singers were all left out",
                    where=first.path, found=", ".join(f"{r.singer} ({r.path})" for r in others),
                    expected="one singer for one recording", do="remove the wrong ones",
                )
            )  # fmt: skip
        for other in others if first.id not in left_out else []:
            left_out.add(other.id)
            manifest.warnings.append(
                f"{one_line(other.path)}: same bytes as {one_line(first.path)}; left out"
            )
    return [r for r in manifest.recordings if r.id not in left_out]


def draw_splits(recordings: Sequence[Recording], settings: ManifestSettings) -> list[Recording]:
    """Divide singers over train, valid and test at random, each gender in equal shares.

    A split that is asked for gets at least two singers (a contrast needs two) as long as
    two remain for training; validation comes first.
    """
    gender = {r.singer: r.labels.get("gender", "") for r in recordings}
    rng = np.random.default_rng(settings.seed)
    singers = sorted(gender)
    # Spreading each gender evenly over [0, 1) and cutting at the shares stratifies any number
    # of genders without rounding each of them alone.
    position: dict[str, float] = {}
    for name in sorted(set(gender.values())):
        members = [s for s in singers if gender[s] == name]
        order = rng.permutation(len(members))
        offsets = (np.arange(len(members)) + rng.uniform()) / len(members)
        position |= {members[i]: float(x) for i, x in zip(order, offsets, strict=True)}
    singers.sort(key=lambda s: (position[s], s))
    n = len(singers)
    for_test = 2 if settings.test_share > 0 and n >= 6 else 0
    n_valid = _share(n, settings.valid_share, n - 2 - for_test)
    n_test = _share(n, settings.test_share, n - 2 - n_valid)
    split = dict.fromkeys(singers, "train")
    split |= dict.fromkeys(singers[:n_valid], "valid")
    split |= dict.fromkeys(singers[n_valid : n_valid + n_test], "test")
    return [replace(r, split=split[r.singer]) for r in recordings]


def _share(n_singers: int, share: float, available: int) -> int:
    """Number of singers of a split: none, or at least two."""
    wanted = min(max(2, round(n_singers * share)), available) if share > 0 else 0
    return wanted if wanted >= 2 else 0


def select(recordings: Iterable[Recording], conditions: Sequence[str]) -> list[Recording]:
    """The recordings that satisfy every condition (see `singerid.records.Condition`).

    Raises:
        ManifestError: a condition cannot be read, names an unknown label, or nothing is left.
    """
    recordings = list(recordings)
    tests = [Condition.parse(text) for text in conditions]
    known = {"singer", "split", "id"}.union(*(r.labels for r in recordings))
    for test in tests:
        test.check(known)
    chosen = [r for r in recordings if all(test.holds(_value(r, test.label)) for test in tests)]
    if not chosen:
        raise ManifestError("no recording fits", where="--select", found=" ".join(conditions))
    return chosen


def a_few(recordings: Iterable[Recording], n: int = 3) -> list[Recording]:
    """The first `n` recordings of the first `n` singers of each split."""
    kept: dict[tuple[str, str], int] = {}
    singers: dict[str, set[str]] = defaultdict(set)
    chosen = []
    for recording in recordings:
        own, key = singers[recording.split], (recording.split, recording.singer)
        if recording.singer in own or len(own) < n:
            own.add(recording.singer)
            kept[key] = kept.get(key, 0) + 1
            if kept[key] <= n:
                chosen.append(recording)
    return chosen


def _value(recording: Recording, name: str) -> str:
    if name in ("singer", "split", "id"):
        return str(getattr(recording, name))
    return recording.labels.get(name, "")
