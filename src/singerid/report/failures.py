"""Sections of the report about where the errors are: singers, confusions, worst trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from singerid.report.markup import (
    NONE,
    Html,
    Number,
    count,
    decimal,
    join,
    percent,
    shown_id,
    shown_name,
    soft,
    table,
    tag,
)  # fmt: skip
from singerid.report.players import Clip

Data = Mapping[str, Any]
MAX_ROWS = 500  # of a table; report.json has the others


def singers(rows: Sequence[Data]) -> Html:
    """Errors by singer, sortable."""
    cells = []
    for row in rows[:MAX_ROWS]:
        missed, accepted = row["miss_rate"], row["false_alarm_rate"]
        cells.append(
            [
                shown_name(row["singer"]), Number(missed, percent(missed)),
                Number(accepted, percent(accepted)), shown_name(row["impostor"] or NONE),
                Number(row["impostor_rate"], percent(row["impostor_rate"])),
                Number(row["n_targets"], count(row["n_targets"])),
                Number(row["n_nontargets"], count(row["n_nontargets"])),
            ]
        )  # fmt: skip
    head = [
        "singer", "misses", "false alarms", "hardest impostor", "accepted", "targets", "nontargets",
    ]  # fmt: skip
    words = (
        "All at the threshold of the headline. Hardest impostor: the other singer most often taken "
        "for this one, and how often. The column titles sort."
    )
    return join([soft(words), table(head, cells, "Errors by singer", sortable=True), _cut(rows)])


def confusions(rows: Sequence[Data]) -> Html:
    """Pairs of singers that are taken for one."""
    cells = [
        [
            join([shown_name(row["singer_a"]), " and ", shown_name(row["singer_b"])]),
            Number(row["false_alarm_rate"], percent(row["false_alarm_rate"])),
            Number(row["mean_score"], decimal(row["mean_score"])),
            Number(row["max_score"], decimal(row["max_score"])),
            Number(row["n_trials"], count(row["n_trials"])),
        ]
        for row in rows[:MAX_ROWS]
    ]
    head = ["singers", "false alarms", "mean score", "highest score", "trials"]
    words = "Pairs of singers that are most often taken for one, at the threshold of the headline."
    return join([soft(words), table(head, cells, "Confused singers", sortable=True)])


def worst(rows: Sequence[Data], clips: Mapping[str, Clip | str]) -> Html:
    """The worst trials of both classes, with two players each."""
    numbers = {name: i for i, name in enumerate(clips)}
    there: set[str] = set()
    parts: list[Html] = []
    for target, title in (
        (False, "Two singers, scored as one"), (True, "One singer, scored as two"),
    ):  # fmt: skip
        some = [row for row in rows if bool(row["target"]) == target]
        if some:
            parts.append(tag("h3", title))
            parts += [_trial(row, clips, numbers, there) for row in some]
    seconds = max((c.seconds for c in clips.values() if isinstance(c, Clip)), default=0)
    words = "The highest nontargets and the lowest targets, a few of each pair of singers."
    if seconds:
        words += (
            f" Clips are the loudest {seconds:.0f} seconds at most, MP3, at equal peak level: what "
            "the encoder heard is the whole recording, unchanged."
        )
    return join([soft(words), *parts])


def _trial(
    row: Data, clips: Mapping[str, Clip | str], numbers: Mapping[str, int], there: set[str]
) -> Html:
    who: list[object] = [shown_name(row["enroll_singer"])]
    if not row["target"]:
        who += [" and ", shown_name(row["test_singer"])]
    labels = [_label(name, *sides) for name, sides in (row.get("labels") or {}).items()]
    first = row.get("enroll_recording") or row["enroll"]
    sides = [
        tag("div", tag("p", f"{side}: ", shown_id(name)), _player(recording, clips, numbers, there))
        for side, name, recording in (
            ("enrolled", row["enroll"], first), ("tested", row["test"], row["test"]),
        )
    ]  # fmt: skip
    return tag(
        "article", tag("p", tag("b", *who), f", score {row['score']:.3f}"),
        soft("; ".join(labels)) if labels else "", tag("div", *sides, class_="sides"),
        class_="trial",
    )  # fmt: skip


def _label(name: str, a: str, b: str) -> str:
    name, unit = ("F0", " Hz") if name == "f0" else (name, "")
    return f"{name} {a or '?'}{unit}" if a == b else f"{name} {a or '?'} / {b or '?'}{unit}"


def _player(
    recording: str, clips: Mapping[str, Clip | str], numbers: Mapping[str, int], there: set[str]
) -> Html:
    """A player; the clip itself is put only into the first one of a recording."""
    clip = clips.get(recording)
    if clip is None:
        return Html("")
    if isinstance(clip, str):
        return tag("p", f"no audio: {clip}", class_="soft")
    name = f"clip-{numbers[recording]}"
    source = {"data_clip": name} if recording in there else {"id": name, "src": clip.uri}
    there.add(recording)
    player = tag("audio", controls="", preload="none", aria_label=f"Clip of {recording}", **source)
    return join([player, soft(f"from {_clock(clip.start)}") if clip.start >= 1 else ""])


def _cut(rows: Sequence[Data]) -> Html:
    rest = len(rows) - MAX_ROWS
    return soft(f"{count(rest)} more are in report.json.") if rest > 0 else Html("")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
