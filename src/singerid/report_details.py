"""Sections of the report that look into one thing each: rows of report.json → HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from singerid.markup import (
    NONE,
    Html,
    Number,
    count,
    decimal,
    interval_cell,
    join,
    percent,
    table,
    tag,
)
from singerid.players import Clip
from singerid.svg import interval_bar, level_chart, reliability_chart

Data = Mapping[str, Any]
MAX_ROWS = 500  # of a table; report.json has the others
_HEALTH = {
    "purity": "share of nearest neighbors that are of the same singer",
    "silhouette": "1: singers are far apart and narrow, 0: they overlap",
    "alignment": "mean squared distance of two recordings of one singer; lower is closer",
    "uniformity": "log of the mean Gaussian potential of all pairs; lower is spread more evenly",
    "effective_rank": "how many dimensions are really used",
    "hubness": "skewness of how often a recording is a neighbor; high: a few are everybody's",
    "dead_dimensions": "dimensions that are always zero, or always the same",
    "n": "recordings looked at",
    "dim": "dimensions of the embedding",
}
_NAMING: tuple[tuple[str, str, str], ...] = (
    ("top_1", "right singer first", "share whose nearest centroid is their singer's"),
    ("top_5", "right singer among five", "share whose singer is among the five nearest"),
    ("mean_normalized_rank", "mean normalized rank", "0: always first, 0.5: by chance"),
    ("mean_average_precision", "mean average precision", "are a singer's own recordings in front?"),
    ("open_set_rate", "open set", "accepted and right, where 5 % of strangers are accepted"),
)


def singers(rows: Sequence[Data]) -> Html:
    """Errors by singer, sortable."""
    cells = []
    for row in rows[:MAX_ROWS]:
        missed, accepted = row["miss_rate"], row["false_alarm_rate"]
        cells.append(
            [
                _name(row["singer"]), Number(missed, percent(missed)),
                Number(accepted, percent(accepted)), _name(row["impostor"] or NONE),
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
    return join([_soft(words), table(head, cells, "Errors by singer", sortable=True), _cut(rows)])


def confusions(rows: Sequence[Data]) -> Html:
    """Pairs of singers that are taken for one."""
    cells = [
        [
            join([_name(row["singer_a"]), " and ", _name(row["singer_b"])]),
            Number(row["false_alarm_rate"], percent(row["false_alarm_rate"])),
            Number(row["mean_score"], decimal(row["mean_score"])),
            Number(row["max_score"], decimal(row["max_score"])),
            Number(row["n_trials"], count(row["n_trials"])),
        ]
        for row in rows[:MAX_ROWS]
    ]
    head = ["singers", "false alarms", "mean score", "highest score", "trials"]
    words = "Pairs of singers that are most often taken for one, at the threshold of the headline."
    return join([_soft(words), table(head, cells, "Confused singers", sortable=True)])


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
    return join([_soft(words), *parts])


def _trial(
    row: Data, clips: Mapping[str, Clip | str], numbers: Mapping[str, int], there: set[str]
) -> Html:
    who: list[object] = [_name(row["enroll_singer"])]
    if not row["target"]:
        who += [" and ", _name(row["test_singer"])]
    labels = [_label(name, *sides) for name, sides in (row.get("labels") or {}).items()]
    first = row.get("enroll_recording") or row["enroll"]
    sides = (("enrolled", row["enroll"], first), ("tested", row["test"], row["test"]))
    return tag(
        "article",
        tag("p", tag("b", *who), f", score {row['score']:.3f}", class_="who"),
        tag("p", "; ".join(labels), class_="soft") if labels else "",
        tag(
            "div",
            *(
                tag("div", tag("p", f"{side}: ", _id(name)), _player(id, clips, numbers, there))
                for side, name, id in sides
            ),
            class_="sides",
        ),
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
    return join([player, _soft(f"from {_clock(clip.start)}") if clip.start >= 1 else ""])


def naming(one: Data) -> Html:
    """Identification by nearest centroid."""
    rows = []
    for key, title, meaning in _NAMING:
        if one.get(key) is None:
            continue
        bounds = one.get(f"{key}_interval") or (one.get("interval") if key == "top_1" else None)
        text = decimal(one[key]) if key.startswith("mean") else percent(one[key])
        rows.append([title, Number(one[key], text), interval_cell(bounds), meaning])
    among = f" among {count(one['n_singers'])} singers" if one.get("n_singers") else ""
    words = (
        f"For each of {count(one.get('n'))} recordings, whose is it{among}? No recording is in its "
        "own singer's centroid."
    )
    head = ["measure", "value", "95 % interval", "meaning"]
    return join([_soft(words), table(head, rows, "Identification")])


def health(one: Data) -> Html:
    """How the embeddings lie."""
    rows = [
        [
            key.replace("_", " "),
            Number(value, count(value) if isinstance(value, int) else decimal(value)),
            _HEALTH.get(key, ""),
        ]
        for key, value in one.items()
        if value is None or isinstance(value, (int, float))
    ]
    return table(["measure", "value", "meaning"], rows, "Embedding health")


def findings(rows: Sequence[Data]) -> Html:
    """What the linter found in the trials."""
    if not rows:
        return tag("p", "Nothing: the trials are clean.")
    items = []
    order = ("error", "warning", "info")
    for row in sorted(rows, key=lambda row: order.index(row["level"])):
        level, examples = str(row["level"]), list(row.get("examples") or ())
        line = [tag("span", level, class_=f"badge {level}"), " ", row["text"], " "]
        line.append(tag("span", f"({row['code']}, {count(row['count'])})", class_="soft"))
        shown = tag(
            "details", tag("summary", "examples"),
            tag("ul", *(tag("li", _id(_joined(example))) for example in examples)),
        )  # fmt: skip
        items.append(tag("li", *line, shown if examples else ""))
    return tag("ul", *items)


def calibration(one: Data) -> Html:
    """How far scores can be taken as probabilities."""
    measures = (
        ("cllr", "Cllr (bit)", "cost of the log-likelihood ratios; 1: they say nothing"),
        ("min_cllr", "least Cllr (bit)", "what the best calibration would reach"),
        ("act_dcf", "actual detection cost", "of decisions by them, at a target prior of 0.05"),
        ("min_dcf", "least detection cost", "with the best threshold"),
    )
    cells = [
        [title, Number(one[key], decimal(one[key])), meaning]
        for key, title, meaning in measures
        if one.get(key) is not None
    ]
    parts = [table(["measure", "value", "meaning"], cells, "Calibration")]
    if durations := one.get("durations"):
        parts.append(_thresholds(durations))
    if points := one.get("reliability"):
        label = "Reliability: share of targets against stated probability"
        chart = reliability_chart(points, label)
        caption = "Reliability: on the dashed line, stated probabilities come true."
        parts.append(tag("figure", tag("figcaption", caption), chart))
    return join(parts)


def _thresholds(classes: Sequence[Data]) -> Html:
    """Which score to ask for, by duration and rate of false alarms."""
    rates = list(dict.fromkeys(rate for part in classes for rate, _ in part["thresholds"]))
    cells = []
    for i, part in enumerate(classes, 1):
        scores = dict(part["thresholds"])
        cells.append(
            [
                part.get("name", f"class {i}"),
                *(Number(scores.get(rate), decimal(scores.get(rate))) for rate in rates),
                Number(part["n_targets"], count(part["n_targets"])),
                Number(part["n_nontargets"], count(part["n_nontargets"])),
            ]
        )
    head = ["duration", *(f"{100 * rate:g} % false alarms" for rate in rates)]
    words = "Thresholds: the score from which on a trial is accepted, for a rate of false alarms."
    label = "Thresholds by duration"
    return join([_soft(words), table([*head, "targets", "nontargets"], cells, label)])


def robustness(rows: Sequence[Data]) -> Html:
    """The same trials under changed conditions: a chart of each kind, and the table."""
    known = [row for row in rows if row.get("eer") is not None]
    kinds: dict[tuple[str, str], list[Data]] = {}
    for row in known:
        kinds.setdefault((row["group"], row["kind"]), []).append(row)
    top = max((max([r["eer"], *(r.get("interval") or ())]) for r in known), default=0.5)
    top = min(1.0, 1.08 * top)
    charts = []
    for (_, kind), some in kinds.items():
        if len(some) > 1:
            levels = [str(r["level"]) for r in some]
            rates = [r["eer"] for r in some]
            bounds = [r.get("interval") for r in some]
            label = f"EER by level of {kind}: " + ", ".join(
                f"{level} {percent(rate)}" for level, rate in zip(levels, rates, strict=True)
            )
            chart = level_chart(levels, rates, bounds, some[0].get("clean_eer"), top, label)
            charts.append(tag("figure", tag("figcaption", kind), chart))
    words = (
        "The tested side of the same trials, changed by the program; the enrolled side is clean. "
        "Dashed: the clean error rate. Difference: from the same trials without the change, in "
        "percentage points, its interval paired."
    )
    cells = [
        [
            f"{row['kind']} {row['level']}".strip(), Number(row.get("eer"), percent(row.get("eer"))),
            interval_cell(row.get("interval")), Number(row.get("clean_eer"), percent(row.get("clean_eer"))),
            Number(row.get("difference"), _points(row.get("difference"))),
            _change(row.get("difference_interval")),
            Number(row["n_targets"], count(row["n_targets"])),
            Number(row["n_nontargets"], count(row["n_nontargets"])),
            Number(row.get("n_failed"), count(row.get("n_failed"))),
        ]
        for row in rows
    ]  # fmt: skip
    head = [
        "condition", "EER", "95 % interval", "clean EER", "difference", "95 % interval",
        "targets", "nontargets", "failed",
    ]  # fmt: skip
    grid = tag("div", *charts, class_="charts") if charts else ""
    return join([_soft(words), grid, table(head, cells, "Robustness", sortable=True)])


def comparison(rows: Sequence[Data]) -> Html:
    """Encoders against each other on the same trials."""
    top = max(max(row["eer_a"], row["eer_b"]) for row in rows) * 1.05
    cells = []
    for row in rows:
        bounds = row.get("interval")
        clear = bounds and (bounds[0] > 0 or bounds[1] < 0)
        better = row["a"] if row["difference"] > 0 else row["b"]
        cells.append(
            [
                row["slice"], _name(row["a"]), Number(row["eer_a"], percent(row["eer_a"])),
                interval_bar(row["eer_a"], None, top),
                _name(row["b"]), Number(row["eer_b"], percent(row["eer_b"])),
                interval_bar(row["eer_b"], None, top),
                Number(row["difference"], _points(row["difference"])), _change(bounds),
                join([_name(better), " is better"]) if clear else "not told apart",
            ]
        )  # fmt: skip
    words = (
        "On the same trials. Difference: of the second encoder from the first in percentage "
        "points, negative where the second is better; its interval is that of a paired bootstrap "
        "over singers. An interval that holds zero does not tell the two apart."
    )
    head = [
        "slice", "first", "EER", f"0 to {100 * top:.0f} %", "second", "EER",
        f"0 to {100 * top:.0f} %", "difference", "95 % interval", "verdict",
    ]  # fmt: skip
    return join([_soft(words), table(head, cells, "Comparison of encoders")])


def _soft(words: str) -> Html:
    return tag("p", words, class_="soft")


def _name(text: object) -> Html:
    return tag("span", text, class_="name")


def _id(text: object) -> Html:
    return tag("span", text, class_="id")


def _joined(example: object) -> str:
    """An example as one text: one id, or several."""
    if isinstance(example, str) or not isinstance(example, Sequence):
        return str(example)
    return " · ".join(map(str, example))


def _cut(rows: Sequence[Data]) -> Html:
    rest = len(rows) - MAX_ROWS
    return _soft(f"{count(rest)} more are in report.json.") if rest > 0 else Html("")


def _points(difference: float | None) -> str:
    return NONE if difference is None else f"{100 * difference:+.1f}"


def _change(pair: Sequence[float] | None) -> Number:
    text = f"[{100 * pair[0]:+.1f}, {100 * pair[1]:+.1f}]" if pair else NONE
    return interval_cell(pair, text)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
