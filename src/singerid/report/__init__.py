"""The report as one HTML page that needs nothing else: no network, no other file.

`render_report` is a function of what report.json holds, of the curves and of the clips, so the
page and the file never disagree; the same input gives the same bytes. The content, all of it
optional but the first line (what is absent or empty is absent from the page; rates are
fractions, intervals pairs or None):

- singerid, encoder, n_recordings, n_singers, n_trials, settings, slices
- slices: by name n_targets, n_nontargets, n_singers, eer, eer_interval, threshold, min_dcf, auc,
  miss_at_1_percent, min_cllr, cllr, act_dcf (see `singerid.verification`)
- singers, confusions, worst (see `singerid.breakdown`)
- identification (see `singerid.naming`), health (see `singerid.metrics.geometry`)
- findings: level, code, count, text, examples of each (see `singerid.trials.lint`)
- calibration: cllr, min_cllr, act_dcf, min_dcf; reliability: predicted, observed and n of each
  bin; durations: name, thresholds (pairs of false-alarm rate and score), n_targets …
- robustness: rows (see `singerid.robustness`); comparison: rows (see `singerid.comparison`)
- notes: lines; headline: name of the slice to begin with; command_line: how it was made
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from importlib import resources
from string import Template
from typing import Any

import numpy.typing as npt

from singerid.report import failures, measures
from singerid.report.markup import (
    NONE,
    Html,
    Number,
    count,
    decimal,
    interval_cell,
    join,
    percent,
    percents,
    table,
    tag,
)
from singerid.report.players import Clip
from singerid.report.svg import N_STYLES, Curves, det_chart, histogram_chart, interval_bar

Data = Mapping[str, Any]
ALL, SAME_GENDER = "all", "same gender"
_CONVENTIONS = (
    "A trial compares two recordings and has a score, higher where they are more alike. It is a "
    "target if both are of one singer, a nontarget if not, and is accepted if its score reaches "
    "the threshold. Miss: a target rejected; false alarm: a nontarget accepted.",
    "Same gender: nontargets are of two singers of one gender, for voices of two genders are "
    "easily told apart and flatter every encoder.",
    "EER, the equal error rate: where misses and false alarms are equally frequent, between two "
    "operating points on a straight line; equal scores are accepted or rejected together, so that "
    "scores that say nothing have 50 %.",
    "minDCF: least detection cost at a target prior of 0.05 and unit costs, divided by that of "
    "the better trivial decision (1: no better than to reject all). AUC: how often a target "
    "scores above a nontarget.",
    "Intervals: 95 %, percentiles of a bootstrap over singers, for trials that share a singer are "
    "not independent; none for fewer than five singers.",
)


def render_report(
    data: Data,
    curves: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]] | None = None,
    clips: Mapping[str, Clip | str] | None = None,
) -> str:
    """The page.

    Args:
        data: content of report.json, see above.
        curves: scores and target flags by slice; of at most six they are drawn.
        clips: a clip by recording's id, or the reason why there is none.

    Returns:
        A whole HTML document; any text of `data` is escaped.
    """
    curves, clips = curves or {}, clips or {}
    parts: list[tuple[str, str, Callable[[], Html]]] = [
        ("slices", "Error rates", lambda: _slices(data)),
        ("curves", "Curves", lambda: _curves(data, curves)),
        ("comparison", "Comparison of encoders", lambda: measures.comparison(data["comparison"])),
        ("robustness", "Robustness", lambda: measures.robustness(data["robustness"])),
        ("singers", "Errors by singer", lambda: failures.singers(data["singers"])),
        ("confusions", "Confusions", lambda: failures.confusions(data["confusions"])),
        ("worst", "Worst trials", lambda: failures.worst(data["worst"], clips)),
        ("identification", "Identification", lambda: measures.naming(data["identification"])),
        ("calibration", "Calibration", lambda: measures.calibration(data["calibration"])),
        ("health", "Embedding health", lambda: measures.health(data["health"])),
        ("findings", "What the linter says", lambda: measures.findings(data["findings"])),
        ("method", "How it was computed", lambda: _method(data)),
    ]
    there = {"method"} | {name for name, _, _ in parts if data.get(name)}
    there |= {"curves"} if curves else set()
    there |= {"findings"} & set(data)  # that nothing was found is worth saying
    parts = [part for part in parts if part[0] in there]
    links = [tag("li", tag("a", title, href=f"#{name}")) for name, title, _ in parts]
    sections = [tag("section", tag("h2", title, id=name), draw()) for name, title, draw in parts]
    nav = tag("nav", tag("ul", *links), aria_label="Sections")
    body = join([tag("header", _headline(data), nav), tag("main", *sections)])
    return _page(f"Singer identity: encoder {data['encoder']}", body)


def _page(title: str, body: Html) -> str:
    """The template filled; the policy forbids the network, and every script but our own."""
    script = _file("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; "
        f"script-src 'sha256-{digest}'"
    )
    return Template(_file("page.html")).substitute(
        title=join([title]), policy=policy, script=script, body=body
    )


def _file(name: str) -> str:
    return resources.files("singerid.report").joinpath(name).read_text(encoding="utf-8")


def headline_name(data: Data) -> str:
    """The slice that a reader should look at first: same gender, if genders are known."""
    slices = data["slices"]
    name = data.get("headline") or (SAME_GENDER if SAME_GENDER in slices else ALL)
    return str(name if name in slices else next(iter(slices)))


def _headline(data: Data) -> Html:
    """The one figure, and what it means."""
    name = headline_name(data)
    one = data["slices"][name]
    of_whom = "two singers of the same gender" if name == SAME_GENDER else "two singers"
    rate, bounds = percent(one["eer"]), one.get("eer_interval")
    meaning = (
        f"At the threshold {one['threshold']:.3f} both errors are equally frequent: {rate} of the "
        f"comparisons of two recordings of one singer are rejected, and {rate} of those of "
        f"{of_whom} are accepted. Guessing would have 50 %, a perfect encoder 0 %."
    )
    sure = "There are too few singers (or no resampling was asked for) to say how sure this is."
    if bounds:
        sure = (
            f"How much this depends on which {one['n_singers']} singers were at hand is the 95 % "
            f"interval, {percents(bounds)} %, by a bootstrap over singers."
        )
    what = f"equal error rate, {name}" + (f", 95 % interval {percents(bounds)} %" if bounds else "")
    trials = f"{count(one['n_targets'])} target and {count(one['n_nontargets'])} nontarget trials."
    box = tag(
        "div", tag("p", rate, tag("small", what), class_="big"), tag("p", meaning), tag("p", sure),
        tag("p", trials, class_="soft"), class_="headline",
    )  # fmt: skip
    sizes = (
        f"{count(data['n_recordings'])} recordings of {count(data['n_singers'])} singers, "
        f"{count(data['n_trials'])} trials; encoder "
    )
    notes = [tag("li", note) for note in data.get("notes", ())]
    if n_bad := sum(finding["level"] == "error" for finding in data.get("findings", ())):
        link = tag(
            "a", f"The linter found {n_bad} kind{'s' * (n_bad > 1)} of error", href="#findings"
        )
        notes.insert(0, tag("li", link, " in the trials: mend them before you trust the figures."))
    title = tag("h1", "How well singers are told apart")
    intro = tag("p", sizes, tag("code", data["encoder"]))
    return join([title, intro, box, tag("ul", *notes, class_="notes") if notes else ""])


def _slices(data: Data) -> Html:
    """The table of error rates by slice."""
    slices = data["slices"]
    names = list(slices)
    top = max(max([s["eer"], *(s.get("eer_interval") or ())]) for s in slices.values())
    top = max(0.05, min(1.0, 1.05 * top))
    rows = []
    for name, s in slices.items():
        bounds, missed = s.get("eer_interval"), s.get("miss_at_1_percent")
        rows.append(
            [
                tag("span", name, class_="name"), Number(s["eer"], percent(s["eer"])),
                interval_cell(bounds),
                interval_bar(s["eer"], bounds, top), Number(missed, percent(missed)),
                Number(s["min_dcf"], decimal(s["min_dcf"])), Number(s["auc"], decimal(s["auc"])),
                Number(s["threshold"], decimal(s["threshold"])),
                *(Number(s[key], count(s[key])) for key in ("n_targets", "n_nontargets")),
                Number(s.get("n_singers"), count(s.get("n_singers"))),
            ]
        )  # fmt: skip
    head = [
        "slice", "EER", "95 % interval", f"0 to {100 * top:.0f} %", "misses at 1 % false alarms",
        "minDCF", "AUC", "threshold", "targets", "nontargets", "singers",
    ]  # fmt: skip
    words = (
        "Each slice has its own trials and its own threshold, that of its equal error rate. "
        "“Same” and “different” of a label are about the targets; the nontargets of both are the "
        "same."
    )
    whole = table(head, rows, "Error rates by slice", main=names.index(headline_name(data)))
    return join([tag("p", words, class_="soft"), whole])


def _curves(data: Data, curves: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]]) -> Html:
    """DET curves together, and a histogram of each; the headline's first."""
    slices, first = data["slices"], headline_name(data)
    names = sorted((name for name in curves if name in slices), key=lambda name: name != first)
    shown = {name: Curves.of(*curves[name]) for name in names[:N_STYLES]}
    what = "Detection error tradeoff: misses and false alarms of all thresholds. Dots: EER."
    det = det_chart(shown, {name: slices[name]["eer"] for name in shown})
    figures = [_figure(what, det, class_="tall")]
    for name, one in shown.items():
        label = f"Score histograms of targets and nontargets, {name}"
        chart = histogram_chart(one, slices[name]["threshold"], label)
        figures.append(_figure(f"Scores: {name}", chart))
    return tag("div", *figures, class_="charts")


def _figure(caption: str, chart: Html, **attributes: object) -> Html:
    return tag("figure", tag("figcaption", caption), chart, **attributes)


def _method(data: Data) -> Html:
    """Version, settings, conventions."""
    rows = [
        ["singerid", tag("code", data["singerid"])],
        ["encoder", tag("code", data["encoder"])],
        *([key, tag("code", value)] for key, value in _flat(data.get("settings", {}))),
    ]
    parts = [table(["setting", "value"], rows, "Settings"), tag("h3", "Conventions")]
    parts.append(tag("ul", *(tag("li", line) for line in _CONVENTIONS)))
    if data.get("command_line"):
        parts = [tag("pre", tag("code", data["command_line"])), *parts]
    return join(parts)


def _flat(settings: Data, prefix: str = "") -> list[tuple[str, str]]:
    """Settings as dotted names."""
    flat: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat += _flat(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", NONE if value in ("", None) else str(value)))
    return flat
