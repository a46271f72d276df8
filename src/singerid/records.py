"""The records that travel between stages: Recording, Trial; JSON lines on disk."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from singerid.errors import ManifestError, SingeridError, one_line
from singerid.formats import check_format
from singerid.json_lines import (
    LARGE,
    Columns,
    FileSum,
    build,
    mappings,
    no_collection,
    parse,
    read_large,
)
from singerid.remote import fetched, is_url, joined, parent_of, put_when_whole

SPLITS = ("train", "valid", "test")
CHANNELS = ("mix", "left", "right")


@dataclass(frozen=True, slots=True)
class Recording:
    """One file of one singer.

    Attributes:
        id: unique name within its manifest.
        singer: whose voice it is, unique within its manifest.
        path: audio file, absolute or relative to the manifest's folder.
        duration: seconds.
        sample_rate: of the file, in Hz.
        channels: number of channels in the file.
        channel: which of them holds the voice: mix, left or right.
        split: train, valid or test; disjoint in singers.
        sha256: of the file's bytes, in hex.
        labels: everything else that is known (gender, song, technique, language, …).
    """

    id: str
    singer: str
    path: str
    duration: float
    sample_rate: int
    channels: int = 1
    channel: str = "mix"
    split: str = "train"
    sha256: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """One JSON object on one line; lone surrogates of file names survive as escapes."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return json.dumps(fields | {"labels": dict(self.labels)}, separators=(", ", ": "))

    @classmethod
    def from_json(cls, line: str, where: str) -> Self:
        """Parse and check one line.

        Raises:
            ManifestError: not JSON, a wrong or missing field, or a value out of range.
        """
        try:
            fields = parse(line)
        except ValueError as error:
            raise ManifestError("line is not JSON", where=where, found=line[:60]) from error
        if not isinstance(fields, dict):
            raise ManifestError("line is not a recording", where=where, found=line[:60])
        return cls.from_fields(fields, where)

    @classmethod
    def from_fields(cls, fields: dict[str, Any], where: str) -> Self:
        """Build a recording from parsed fields, checking each (see `from_json`)."""
        known = {f.name for f in dataclasses.fields(cls)}
        if "format" in fields:
            fields = dict(fields)
            check_format(fields.pop("format"), "manifest", where, ManifestError)
        if unknown := sorted(fields.keys() - known):
            raise ManifestError(
                f"unknown field {unknown[0]!r}", where=where, expected=", ".join(sorted(known)),
                do="put extra information under labels",
            )  # fmt: skip
        for name in ("id", "singer", "path"):
            if not isinstance(fields.get(name), str) or not fields[name]:
                raise ManifestError(
                    f"field {name!r} must be text", where=where, found=repr(fields.get(name))
                )
        if not isinstance(fields.get("sha256", ""), str):
            raise ManifestError(
                "field 'sha256' must be text", where=where, found=repr(fields["sha256"])
            )
        _check_number(fields, "duration", where, lowest=0.0)
        _check_number(fields, "sample_rate", where, lowest=1, whole=True)
        _check_number(fields, "channels", where, lowest=1, default=1, whole=True)
        _check_choice(fields, "split", SPLITS, where, "train")
        _check_choice(fields, "channel", CHANNELS, where, "mix")
        labels = fields.get("labels", {})
        if not isinstance(labels, dict) or not all(isinstance(v, str) for v in labels.values()):
            raise ManifestError(
                "labels must map text to text", where=where, found=repr(labels)[:60]
            )
        if taken := sorted(labels.keys() & (known - {"labels"} | {"embedding"})):
            raise ManifestError(
                f"label {taken[0]!r} has the name of a field", where=where, do="rename the label"
            )
        return cls(**fields)


def _check_number(
    fields: dict[str, Any], name: str, where: str, lowest: float, default: float | None = None,
    whole: bool = False,
) -> None:  # fmt: skip
    value = fields.get(name, default)
    if (
        not isinstance(value, int if whole else (int, float))
        or isinstance(value, bool)
        or not lowest <= value <= sys.float_info.max
    ):
        raise ManifestError(
            f"field {name!r} out of range", where=where, found=repr(value)[:60],
            expected=f"a {'whole' if whole else 'finite'} number of at least {lowest:g}",
        )  # fmt: skip


def _check_choice(
    fields: dict[str, Any], name: str, choices: tuple[str, ...], where: str, default: str
) -> None:
    if fields.get(name, default) not in choices:
        raise ManifestError(
            f"field {name!r} unknown", where=where, found=repr(fields[name]),
            expected=" or ".join(choices),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trial:
    """One verification question: is recording `test` sung by the singer of `enroll`?

    Attributes:
        enroll: id of the enrolled recording.
        test: id of the tested recording.
        target: True if both are of one singer.
    """

    enroll: str
    test: str
    target: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """``label=value``, ``label!=value`` or ``label=value,value``: which records to take.

    Attributes:
        label: singer, split, id or any label.
        values: what it may be (or may not be).
        negated: True for ``!=``.
    """

    label: str
    values: frozenset[str]
    negated: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a condition.

        Raises:
            ManifestError: it has another form.
        """
        name, sign, values = text.partition("=")
        label = name.removesuffix("!")
        if not sign or not label:
            raise ManifestError(
                "cannot read the condition", where="--select", found=text,
                expected="label=value or label!=value,value",
            )  # fmt: skip
        return cls(label, frozenset(values.split(",")), name != label)

    def holds(self, value: str) -> bool:
        """True if a record whose label is `value` is to be taken."""
        return (value in self.values) != self.negated

    def check(self, known: Iterable[str]) -> None:
        """Refuse a label that no record has.

        Raises:
            ManifestError: `label` is not among `known`.
        """
        if self.label not in known:
            raise ManifestError(
                f"nothing has a label {self.label!r}", where="--select",
                expected=" or ".join(sorted(known)),
            )  # fmt: skip


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that appears under its name only when it is whole.

    The text or bytes go to a temporary neighbour, which is flushed to the disk and then
    renamed over `path`. On any exception the neighbour is removed and `path` stays as it was.
    Links are followed; a device such as ``/dev/null`` is written to, not replaced. A URL is
    written by fsspec once the file is whole.
    """
    encoding = None if "b" in mode else "utf-8"
    if is_url(path):
        with put_when_whole(str(path)) as local, local.open(mode, encoding=encoding) as file:
            yield file
        return
    path = Path(path)
    if path.exists() and not path.is_file():
        with path.open(mode, encoding=encoding) as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        with partial.open(mode.replace("w", "x"), encoding=encoding) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(partial)):
            error.filename = str(path)  # a full disk names no file
        raise


def refuse_links(folder: str | os.PathLike[str], error: type[SingeridError]) -> None:
    """Refuse to write into a folder with links in it: what goes through them lands elsewhere.

    A store or run that somebody sends as an archive may hold some.

    Raises:
        SingeridError: of class `error`; names the link.
    """
    for file in sorted(Path(folder).iterdir()):
        if file.is_symlink():
            raise error(
                "is a link, and writing into this folder would write through it", where=file,
                found=f"a link to {os.readlink(file)}", expected="files only",
                do="put a copy of what it links to in its place, or remove it",
            )  # fmt: skip


def remove_partials(folder: str | os.PathLike[str]) -> None:
    """Remove what writers that were killed have left in a folder which this process has locked."""
    for file in Path(folder).glob("*.part"):
        with suppress(OSError):
            file.unlink()


def write_recordings(path: str | os.PathLike[str], recordings: Iterable[Recording]) -> None:
    """Write a manifest, one recording a line, atomically."""
    with atomic_write(path) as file:
        file.writelines(f"{recording.to_json()}\n" for recording in recordings)


def read_recordings(path: str | os.PathLike[str]) -> list[Recording]:
    """Read a manifest; audio paths relative to the manifest's folder become absolute.

    Args:
        path: a file or a URL.

    Raises:
        ManifestError: the file is missing or empty, a line is wrong, or an id appears twice.
    """
    folder = parent_of(str(path)) if is_url(path) else str(Path(path).parent.absolute())
    try:
        with fetched(path, ManifestError) as file:
            with no_collection():
                if found := plain_columns(file):
                    return recordings_of(*found, folder)
            lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            "cannot read the manifest", where=path, found=getattr(error, "strerror", str(error)),
            do="make one: singerid manifest",
        ) from error  # fmt: skip
    recordings: list[Recording] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        recording = Recording.from_json(line, f"{path}:{number}")
        if recording.id in seen:
            raise ManifestError(
                f"id {recording.id!r} appears twice", where=f"{path}:{number}",
                found=f"first on line {seen[recording.id]}",
            )  # fmt: skip
        seen[recording.id] = number
        if not (os.path.isabs(recording.path) or is_url(recording.path)):
            recording = dataclasses.replace(recording, path=_below(folder, recording.path))
        recordings.append(recording)
    if not recordings:
        raise ManifestError("the manifest lists no recordings", where=path)
    return recordings


TYPES = {
    "id": "string", "singer": "string", "path": "string", "duration": "double",
    "sample_rate": "int64", "channels": "int64", "channel": "string", "split": "string",
    "sha256": "string",
}  # fmt: skip
_DEFAULTS = {"channels": 1, "channel": "mix", "split": "train", "sha256": ""}


def _below(folder: str, name: str) -> str:
    return joined(folder, name) if is_url(folder) else str(Path(folder, name))


def plain_columns(path: Path, sum: FileSum | None = None) -> tuple[Columns, Columns] | None:
    """Fields and labels of a large manifest by column, as they stand there.

    Args:
        path: the manifest.
        sum: of the file, where it has been made already.

    Returns:
        None if the file is small, or a line needs to be looked at: then `read_recordings` does.
    """
    if path.stat().st_size < LARGE:
        return None
    found = read_large(path, TYPES, "labels", _DEFAULTS, sum)
    if found is None:
        return None
    columns, labels = found
    shortest, longest = columns.bounds("duration")
    is_right = (
        all(columns.bounds(name)[0] for name in ("id", "singer", "path"))
        and len(set(columns["id"])) == len(columns["id"])
        and 0 <= shortest <= longest <= sys.float_info.max
        and all(columns.bounds(name)[0] >= 1 for name in ("sample_rate", "channels"))
        and columns.distinct("channel") <= {*CHANNELS}
        and columns.distinct("split") <= {*SPLITS}
        and labels.keys().isdisjoint({*TYPES, "embedding"})
    )  # fmt: skip
    return found if is_right else None


def recordings_of(columns: Columns, labels: Columns, folder: str) -> list[Recording]:
    """The recordings of `plain_columns`; relative paths are below `folder`."""
    paths = [
        name if name[0] == "/" or os.path.isabs(name) or is_url(name) else _below(folder, name)
        for name in columns["path"]
    ]
    labeled = mappings(labels, len(paths))
    return build(Recording, {**columns, "path": paths, "labels": labeled})


def columns_of(recordings: Sequence[Recording]) -> dict[str, Sequence[str]]:
    """What is known of recordings as texts: singer, split, path, sha256, labels; "" if unknown."""
    names = sorted({name for recording in recordings for name in recording.labels})
    columns: dict[str, Sequence[str]] = {
        "singer": [r.singer for r in recordings], "split": [r.split for r in recordings],
        "path": [one_line(r.path) for r in recordings], "sha256": [r.sha256 for r in recordings],
    }  # fmt: skip
    return columns | {name: [r.labels.get(name, "") for r in recordings] for name in names}
