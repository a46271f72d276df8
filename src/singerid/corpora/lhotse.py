"""Lhotse manifests: recordings and supervisions as JSON lines, read and written.

Format: https://lhotse.readthedocs.io/en/latest/corpus.html and lhotse 1.33's `Recording.to_dict`
and `SupervisionSegment.to_dict`. The package itself is not needed.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import os
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from singerid.corpora.adapter import first_entries
from singerid.corpora.folder import SPLIT_NAMES
from singerid.errors import ManifestError
from singerid.json_lines import parse
from singerid.manifest import Scan, Source
from singerid.records import Recording, atomic_write

_SUFFIXES = (".jsonl", ".jsonl.gz")
_MOST_LINE = 1 << 22  # bytes
_MOST_PACKED = 200  # bytes for each that is packed; real lists have some 20
_TOLERANCE = 0.1  # seconds by which a supervision may miss the ends of its recording
_TAKEN = {"embedding"} | {f.name for f in dataclasses.fields(Recording)}


def scan(root: Path) -> Scan:
    """<root>/[…_]recordings[_<split>].jsonl[.gz] with supervisions beside, or a prefix of both

    A recording becomes one source if its supervisions name one speaker and fill it; labels are
    gender, language and the text and numbers under ``custom``. A split is read from
    ``custom.split``, or from the file's name (``…_recordings_train.jsonl.gz``).

    Args:
        root: a folder with one or more pairs of files, or what their names start with. Audio
            paths are relative to that folder, else to the current one.

    Raises:
        ManifestError: there is no pair, or a line is not a JSON object.
    """
    result = Scan()
    folder, prefix = (root, "") if root.is_dir() else (root.parent, root.name)
    files = [path for path in with_prefix(folder, prefix) if "recordings" in path.name]
    files = [path for path in files if path.name.endswith(_SUFFIXES)]
    if not files:
        raise ManifestError(
            "no recordings.jsonl[.gz]", where=root, found=first_entries(folder),
            expected=(scan.__doc__ or "").split("\n")[0],
        )  # fmt: skip
    for path in files:
        partner = path.with_name(path.name.replace("recordings", "supervisions"))
        if not partner.is_file():
            raise ManifestError("has no supervisions beside it", where=path, expected=partner.name)
        spoken = defaultdict(list)
        for _, line in _lines(partner):
            spoken[str(line.get("recording_id"))].append(line)
        for where, line in _lines(path):
            source = _source(line, spoken[str(line.get("id"))], path, where)
            if isinstance(source, ManifestError):
                result.problems.append(source)
            else:
                result.sources.append(source)
    return result


def with_prefix(folder: Path, prefix: str) -> list[Path]:
    """Entries of a folder whose names start with a prefix, sorted; none if it is no folder."""
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in entries if path.name.startswith(prefix))


def export(recordings: Iterable[Recording], folder: str | os.PathLike[str]) -> None:
    """Write ``recordings.jsonl.gz`` and ``supervisions.jsonl.gz``, one supervision a recording.

    The singer is the supervision's speaker; gender and language have fields there; the split and
    the other labels stand under ``custom``. Audio paths become absolute.
    """
    recordings = list(recordings)
    for name, to_dict in (("recordings", _audio), ("supervisions", _supervision)):
        text = "".join(json.dumps(to_dict(recording)) + "\n" for recording in recordings)
        with atomic_write(Path(folder, f"{name}.jsonl.gz"), "wb") as file:
            file.write(gzip.compress(text.encode(), mtime=0))


def _audio(recording: Recording) -> dict[str, Any]:
    n_samples = round(recording.duration * recording.sample_rate)
    channels = list(range(recording.channels))
    source = {"type": "file", "channels": channels, "source": os.path.abspath(recording.path)}
    return {
        "id": recording.id, "sources": [source], "sampling_rate": recording.sample_rate,
        "num_samples": n_samples, "duration": n_samples / recording.sample_rate,
        "channel_ids": channels,
    }  # fmt: skip


def _supervision(recording: Recording) -> dict[str, Any]:
    labels = dict(recording.labels)
    fields: dict[str, Any] = {
        key: labels.pop(key) for key in ("gender", "language") if key in labels
    }
    mix = list(range(recording.channels)) if recording.channels > 1 else 0
    channel = {"left": 0, "right": 1}.get(recording.channel, mix)
    return {
        "id": recording.id, "recording_id": recording.id, "start": 0.0,
        "duration": _audio(recording)["duration"], "channel": channel,
        "speaker": recording.singer, **fields, "custom": {"split": recording.split} | labels,
    }  # fmt: skip


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each line stands, and the object on it."""
    try:
        for number, text in enumerate(_texts(path), 1):
            if not text.strip():
                continue
            where = f"{path}:{number}"
            line = parse(text)
            if not isinstance(line, dict):
                raise ManifestError("line is not an object", where=where, found=text[:60])
            yield where, line
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ManifestError("cannot be read as JSON lines", where=path, found=error) from error


def _texts(path: Path) -> Iterator[str]:
    """Lines of a file, unpacked if need be.

    Raises:
        ValueError: a line is too long, or a small file unpacks to a huge one.
    """
    n_bytes = 0
    with path.open("rb") as packed:
        unpacked: Any = gzip.GzipFile(fileobj=packed) if path.suffix == ".gz" else packed
        file = io.BufferedReader(unpacked, 1 << 16)  # GzipFile reads lines slowly
        while line := file.readline(_MOST_LINE):
            n_bytes += len(line)
            if len(line) == _MOST_LINE:
                raise ValueError(f"a line of more than {_MOST_LINE:,} bytes")
            if n_bytes > max(_MOST_LINE, _MOST_PACKED * packed.tell()):
                raise ValueError(f"more than {_MOST_PACKED} times the bytes of the packed file")
            yield line.decode()


def _source(
    line: dict[str, Any], supervisions: Sequence[dict[str, Any]], path: Path, where: str
) -> Source | ManifestError:
    files = line.get("sources")
    if (
        not isinstance(files, list) or len(files) != 1 or not isinstance(files[0], dict)
        or files[0].get("type") != "file" or not isinstance(files[0].get("source"), str)
        or not isinstance(line.get("id"), str)
    ):  # fmt: skip
        return ManifestError(
            "recording is not one audio file", where=where, found=str(files)[:60],
            expected="an id and one source of type file",
        )  # fmt: skip
    speakers = {_text(supervision.get("speaker")) for supervision in supervisions}
    if len(speakers) != 1 or None in speakers:
        return ManifestError(
            "recording does not have one speaker", where=where,
            found=", ".join(sorted(map(str, speakers))) or "no supervision",
            do="cut it first: lhotse cut trim-to-supervisions",
        )  # fmt: skip
    try:
        start = min(float(s["start"]) for s in supervisions)
        end = max(float(s["start"]) + float(s["duration"]) for s in supervisions)
        duration = float(line["duration"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        return ManifestError("has no start or duration in seconds", where=where, found=error)
    if not (start <= _TOLERANCE and end >= duration - _TOLERANCE):  # NaN fills nothing
        return ManifestError(
            "supervisions do not fill the recording", where=where,
            found=f"{start:g} to {end:g} s of {duration:g} s",
            do="cut it first: lhotse cut trim-to-supervisions",
        )  # fmt: skip
    labels, split = _labels(supervisions[0], path)
    audio = Path(files[0]["source"])
    beside = path.parent / audio
    return Source(
        beside if os.path.exists(beside) else audio, line["id"], str(supervisions[0]["speaker"]),
        split, _channel(files[0].get("channels", [0]), supervisions[0].get("channel", 0)), labels,
    )  # fmt: skip


def _labels(supervision: dict[str, Any], path: Path) -> tuple[dict[str, str], str | None]:
    """Labels, and the split by ``custom`` or by the file's name."""
    custom = supervision.get("custom")
    custom = custom if isinstance(custom, dict) else {}
    labels = {
        key: str(value)
        for key, value in custom.items()
        if isinstance(value, str | int | float) and key not in _TAKEN
    }
    own = {key: supervision.get(key) for key in ("gender", "language")}
    labels |= {key: value for key, value in own.items() if value and isinstance(value, str)}
    part = path.name.split(".")[0].partition("recordings")[2].strip("_-").lower()
    split = custom.get("split", part)
    return labels, SPLIT_NAMES.get(split) if isinstance(split, str) else None


def _text(value: object) -> str | None:
    """A name; None of what is no name."""
    return str(value) if isinstance(value, str | int) and value != "" else None


def _channel(channels: object, chosen: object) -> str:
    if not isinstance(channels, list) or len(channels) != 2 or isinstance(chosen, list):
        return "mix"
    return "left" if chosen == channels[0] else "right"
