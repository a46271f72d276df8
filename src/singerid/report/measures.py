"""Sections of the report with measures of one kind each: rows of report.json → HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from singerid.report.markup import (
    NONE,
    Html,
    Number,
    count,
    decimal,
    interval_cell,
    join,
    percent,
    shown_id,
    shown_name,
    soft,
    table,
    tag,
)  # fmt: skip
from singerid.report.svg import interval_bar, level_chart, reliability_chart

Data = Mapping[str, Any]
_HEALTH = {
    "n_recordings": "looked at",
    "n_singers": "of theirs",
    "dim": "length of a vector",
    "dead_dimensions": "dimensions that are constant, or almost",
    "effective_rank": "how many dimensions are in use",
    "uniformity": "0: all in one point; about -4: spread evenly over the sphere",
    "alignment": "mean squared distance of two recordings of one singer, 0 to 4; lower is closer",
    "hubness": "skewness of how often a recording is a neighbor; high: a few are everybody's",
    "silhouette": "1: singers are far apart and narrow; 0: they overlap",
    "purity": "in as many clusters as singers, share of recordings of their cluster's main singer",
}
_NAMING: tuple[tuple[str, str, str], ...] = (
    ("top_1", "right singer first", "share whose nearest centroid is their singer's"),
    ("top_5", "right singer among five", "share whose singer is among the five nearest"),
    ("mean_normalized_rank", "mean normalized rank", "0: always first, 0.5: by chance"),
    ("mean_average_precision", "mean average precision", "are a singer's own recordings in front?"),
    ("open_set_rate", "open set", "accepted and right, where 5 % of strangers are accepted"),
)


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
    return join([soft(words), table(head, rows, "Identification")])


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
            tag("ul", *(tag("li", shown_id(_joined(example))) for example in examples)),
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
    return join([soft(words), table([*head, "targets", "nontargets"], cells, label)])


def robustness(rows: Sequence[Data]) -> Html:
    """The same trials under changed conditions: a chart of each kind, and the table."""
    words = (
        "The tested side of the same trials, changed by the program; the enrolled side is clean. "
        "Dashed: the clean error rate. Difference: from the same trials without the change, in "
        "percentage points, its interval paired. Failed: recordings left out because they cannot "
        "be embedded so; unchanged: those that the condition leaves as they are."
    )
    cells = [
        [
            f"{row['kind']} {row['level']}".strip(),
            Number(row.get("eer"), percent(row.get("eer"))), interval_cell(row.get("interval")),
            Number(row.get("clean_eer"), percent(row.get("clean_eer"))),
            Number(row.get("difference"), _points(row.get("difference"))),
            _change(row.get("difference_interval")),
            *(
                Number(row.get(name), count(row.get(name)))
                for name in ("n_targets", "n_nontargets", "n_failed", "n_unchanged")
            ),
        ]
        for row in rows
    ]  # fmt: skip
    head = [
        "condition", "EER", "95 % interval", "clean EER", "difference", "95 % interval",
        "targets", "nontargets", "failed", "unchanged",
    ]  # fmt: skip
    charts = _level_charts([row for row in rows if row.get("eer") is not None])
    return join([soft(words), charts, table(head, cells, "Robustness", sortable=True)])


def _level_charts(rows: Sequence[Data]) -> Html:
    """A chart of each kind of condition that has levels, all on one scale."""
    kinds: dict[tuple[str, str], list[Data]] = {}
    for row in rows:
        kinds.setdefault((row["group"], row["kind"]), []).append(row)
    highest = max((max(row["eer"], *(row.get("interval") or (0,))) for row in rows), default=0)
    charts = []
    for (group, kind), some in kinds.items():
        if len(some) > 1:
            levels, rates = [str(row["level"]) for row in some], [row["eer"] for row in some]
            chart = level_chart(
                levels, rates, [row.get("interval") for row in some], some[0].get("clean_eer"),
                max(0.05, min(1.0, 1.08 * highest)),
                f"EER by level of {kind}: "
                + ", ".join(f"{a} {percent(b)}" for a, b in zip(levels, rates, strict=True)),
            )  # fmt: skip
            caption = kind if kind == group else f"{group}: {kind}"
            charts.append(tag("figure", tag("figcaption", caption), chart))
    return tag("div", *charts, class_="charts") if charts else Html("")


def comparison(rows: Sequence[Data]) -> Html:
    """Encoders against each other on the same trials."""
    top = max(0.05, *(1.05 * max(row["eer_a"], row["eer_b"]) for row in rows))
    cells = []
    for row in rows:
        bounds = row.get("interval")
        clear = bounds and (bounds[0] > 0 or bounds[1] < 0)
        better = row["a"] if row["difference"] > 0 else row["b"]
        cells.append(
            [
                row["slice"], shown_name(row["a"]), Number(row["eer_a"], percent(row["eer_a"])),
                interval_bar(row["eer_a"], None, top),
                shown_name(row["b"]), Number(row["eer_b"], percent(row["eer_b"])),
                interval_bar(row["eer_b"], None, top),
                Number(row["difference"], _points(row["difference"])), _change(bounds),
                join([shown_name(better), " is better"]) if clear else "not told apart",
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
    return join([soft(words), table(head, cells, "Comparison of encoders")])


def _joined(example: object) -> str:
    """An example as one text: one id, or several."""
    if isinstance(example, str) or not isinstance(example, Sequence):
        return str(example)
    return " · ".join(map(str, example))


def _points(difference: float | None) -> str:
    return NONE if difference is None else f"{100 * difference:+.1f}"


def _change(pair: Sequence[float] | None) -> Number:
    text = f"[{100 * pair[0]:+.1f}, {100 * pair[1]:+.1f}]" if pair else NONE
    return interval_cell(pair, text)
