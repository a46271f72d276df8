"""Segments as files: RTTM, labels for Audacity, JSON.

RTTM is NIST's (The 2009 RT-09 rich transcription meeting recognition evaluation plan, appendix
A): ``SPEAKER <file> 1 <start> <duration> <NA> <NA> <singer> <probability> <NA>``; names cannot
hold spaces there, so those are written as underscores. Audacity's labels are lines of start, end
and text with tabs in between (Audacity manual, "Importing and Exporting Labels").
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from singerid import formats
from singerid.errors import SingeridError
from singerid.json_lines import parse
from singerid.records import atomic_write
from singerid.segments import Segment

UNKNOWN = "unknown"
"""What stands in RTTM and labels for a singer who is nobody of the table."""

_DECIMALS = 3
_FIELDS = {"start", "end", "singer", "probability", "score"}


def write_segments(
    path: str | os.PathLike[str], segments: Sequence[Segment], recording: str = "recording"
) -> None:
    """Write segments in the format that the suffix names, atomically.

    Args:
        path: ``.rttm``, ``.txt`` (Audacity) or ``.json``.
        segments: in order of time.
        recording: name of the recording, for RTTM and JSON.

    Raises:
        SingeridError: another suffix.
    """
    write, _ = _format(path)
    with atomic_write(path) as file:
        file.write(write(segments, recording))


def read_segments(path: str | os.PathLike[str]) -> list[Segment]:
    """Read what `write_segments` wrote, or another tool's RTTM or labels.

    Of RTTM only the lines of type SPEAKER are taken.

    Raises:
        SingeridError: another suffix, or a line that cannot be one; it is named.
    """
    _, read = _format(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SingeridError("cannot be read as text", where=path, found=error) from error
    return read(text, path)


def _to_rttm(segments: Sequence[Segment], recording: str) -> str:
    lines = []
    for one in segments:
        sure = "<NA>" if one.probability is None else _number(one.probability)
        start, duration = _number(one.start), _number(one.end - one.start)
        name = _word(one.singer or UNKNOWN)
        lines.append(
            f"SPEAKER {_word(recording)} 1 {start} {duration} <NA> <NA> {name} {sure} <NA>\n"
        )
    return "".join(lines)


def _from_rttm(text: str, path: object) -> list[Segment]:
    segments = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        where = f"{path}, line {number}"
        if len(fields) < 8:
            raise _bad(where, f"{len(fields)} fields", "SPEAKER and at least 7 more")
        start, duration = _time(fields[3], where), _time(fields[4], where)
        sure = fields[8] if len(fields) > 8 else "<NA>"
        probability = None if sure == "<NA>" else _time(sure, where)
        segments.append(_segment(start, start + duration, fields[7], probability, None, where))
    return segments


def _to_labels(segments: Sequence[Segment], recording: str) -> str:
    del recording  # labels belong to the project that they are imported into
    return "".join(
        f"{one.start:.6f}\t{one.end:.6f}\t{_line(one.singer or UNKNOWN)}\n" for one in segments
    )


def _from_labels(text: str, path: object) -> list[Segment]:
    segments = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("\\"):  # "\": the band of a spectral selection
            continue
        where, fields = f"{path}, line {number}", line.split("\t", 2)
        if len(fields) < 3:
            raise _bad(where, line, "start, end and name with tabs in between")
        times = _time(fields[0], where), _time(fields[1], where)
        segments.append(_segment(*times, fields[2], None, None, where))
    return segments


def _to_json(segments: Sequence[Segment], recording: str) -> str:
    rows = [
        {
            "start": round(one.start, _DECIMALS), "end": round(one.end, _DECIMALS),
            "singer": one.singer, "probability": _rounded(one.probability),
            "score": _rounded(one.score),
        }
        for one in segments
    ]  # fmt: skip
    data = {"format": formats.FORMATS["segments"], "recording": recording, "segments": rows}
    return json.dumps(data, indent=1) + "\n"


def _from_json(text: str, path: object) -> list[Segment]:
    try:
        data = parse(text)
        formats.check_format(data.get("format", 1), "segments", path)
        rows = data["segments"]
        unnamed = [i for i, row in enumerate(rows) if not {"start", "end", "singer"} <= {*row}]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _bad(path, error, '{"segments": [{"start": …}]}') from error
    if unnamed:
        raise _bad(f"{path}, segment {unnamed[0] + 1}", None, "start, end and singer")
    segments = []
    for i, row in enumerate(rows, 1):
        where = f"{path}, segment {i}"
        if unknown := {*row} - _FIELDS:
            raise _bad(where, ", ".join(sorted(unknown)), ", ".join(sorted(_FIELDS)))
        probability, score = (
            None if row.get(name) is None else _time(row[name], where)
            for name in ("probability", "score")
        )
        singer = UNKNOWN if row["singer"] is None else str(row["singer"])
        times = _time(row["start"], where), _time(row["end"], where)
        segments.append(_segment(*times, singer, probability, score, where))
    return segments


_Writer = Callable[[Sequence[Segment], str], str]
_Reader = Callable[[str, object], list[Segment]]
FORMATS: dict[str, tuple[_Writer, _Reader]] = {
    ".rttm": (_to_rttm, _from_rttm),
    ".txt": (_to_labels, _from_labels),
    ".json": (_to_json, _from_json),
}
"""Writer and reader by suffix."""


def _format(path: str | os.PathLike[str]) -> tuple[_Writer, _Reader]:
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise SingeridError(
            "is no file of segments", where=path, found=suffix or "no suffix",
            expected=".rttm, .txt (Audacity) or .json",
        )  # fmt: skip
    return FORMATS[suffix]


def _segment(
    start: float, end: float, name: str, probability: float | None, score: float | None,
    where: object,
) -> Segment:  # fmt: skip
    if not 0 <= start <= end:
        raise _bad(where, f"{start:g} s to {end:g} s", "a start from 0 on, and an end behind it")
    return Segment(start, end, None if name == UNKNOWN else name, probability, score)


def _time(value: Any, where: object) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _bad(where, value, "a number")
    return number


def _bad(where: object, found: object, expected: str) -> SingeridError:
    return SingeridError("is no segment", where=where, found=found, expected=expected)


def _number(value: float) -> str:
    return f"{value:.{_DECIMALS}f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _word(text: str) -> str:
    """As one field."""
    return "_".join(text.split()) or "_"


def _line(text: str) -> str:
    return " ".join(text.split())
