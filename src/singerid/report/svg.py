"""Charts of the report as inline SVG: small, sharp, and colored by the page (light or dark).

Colors are classes of the page: ``k0`` … ``k5`` for lines (each with its own dashes, so that they
are told apart without color), ``f0`` … for areas and dots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from singerid.metrics import det_points
from singerid.report.markup import Html, escape, join, percent, percents, tag

FloatArray = npt.NDArray[np.float64]
N_STYLES = 6
N_BINS = 61  # odd: scores that are all equal get the bin in the middle
_TICKS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95)
_STEP = 0.02  # normal deviates between points of a curve, a fifth of a stroke's width


@dataclass(frozen=True)
class Curves:
    """What the charts need to know of the scores of one slice.

    Attributes:
        false_alarms: rates along the DET curve, in [0, 1], falling.
        misses: rates along it.
        edges: `(n_bins + 1,)`, scores.
        targets: `(n_bins,)`, share of the targets in each bin.
        nontargets: `(n_bins,)`, share of the nontargets.
    """

    false_alarms: FloatArray
    misses: FloatArray
    edges: FloatArray
    targets: FloatArray
    nontargets: FloatArray

    @classmethod
    def of(cls, scores: npt.ArrayLike, targets: npt.ArrayLike) -> Curves:
        """Thin the curve to what can be seen, and count the scores in bins.

        Args:
            scores: `(n,)`, finite.
            targets: bool `(n,)`.

        Raises:
            SingeridError: see `singerid.metrics.det_points`.
        """
        _, misses, false_alarms = det_points(scores, targets)
        places = np.round(_deviate(np.stack([false_alarms, misses])) / _STEP)
        seen = np.append(True, np.any(np.diff(places), axis=0))
        seen[:-1] |= seen[1:]  # both ends of a step
        scores, targets = np.asarray(scores, np.float64), np.asarray(targets, np.bool_)
        center, reach = (scores.max() + scores.min()) / 2, max(np.ptp(scores) / 2, 1e-6)
        edges = np.linspace(center - reach, center + reach, N_BINS + 1)
        shares = [np.histogram(scores[rows], edges)[0] / rows.sum() for rows in (targets, ~targets)]
        return cls(*_filled(false_alarms[seen], misses[seen]), edges, *shares)


@dataclass(frozen=True)
class _Plane:
    """Data coordinates on a drawing of `width` × `height`, margins for titles of the axes."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: float = 400
    height: float = 260
    left: float = 46
    bottom: float = 40
    top: float = 12
    right: float = 12

    def at_x(self, value: float) -> float:
        low, high = self.x
        span = self.width - self.left - self.right
        return round(self.left + span * (value - low) / (high - low), 2)

    def at_y(self, value: float) -> float:
        low, high = self.y
        base = self.height - self.bottom
        return round(base - (base - self.top) * (value - low) / (high - low), 2)

    def path(self, xs: Sequence[float] | FloatArray, ys: Sequence[float] | FloatArray) -> str:
        points = [f"{self.at_x(x):g} {self.at_y(y):g}" for x, y in zip(xs, ys, strict=True)]
        return "M" + "L".join(points)

    def line(self, x: tuple[float, float], y: tuple[float, float], class_: str) -> Html:
        return tag("path", d=self.path(x, y), class_=class_)

    def dot(self, x: float, y: float, style: int, title: str) -> Html:
        place = {"cx": self.at_x(x), "cy": self.at_y(y), "r": 5}
        return tag("circle", tag("title", title), **place, class_=f"dot f{style}")

    def frame(
        self, x_ticks: Mapping[float, str], y_ticks: Mapping[float, str], x_name: str, y_name: str
    ) -> Html:
        """Grid, tick labels and names of the axes."""
        low, left = self.height - self.bottom, self.left
        center = (left + self.width - self.right) / 2
        middle = (self.top + low) / 2
        marks: list[Html] = []
        for value, name in x_ticks.items():
            marks.append(self.line((value, value), self.y, "grid"))
            for i, line in enumerate(name.split(", ")):
                marks.append(_text(line, self.at_x(value), low + 15 * (i + 1), "middle"))
        for value, name in y_ticks.items():
            marks.append(self.line(self.x, (value, value), "grid"))
            marks.append(_text(name, left - 5, self.at_y(value) + 4, "end"))
        if x_name:
            marks.append(_text(x_name, center, self.height - 6, "middle"))
        turn = f"rotate(-90 12 {middle:g})"
        marks.append(_text(y_name, 12, middle, "middle", transform=turn))
        return join(marks)

    def draw(self, *parts: object, label: str) -> Html:
        box = f"0 0 {self.width:g} {self.height:g}"
        size = f"max-width:{1.15 * self.width:g}px"  # letters of about the size of the page's
        return tag("svg", *parts, viewBox=box, role="img", aria_label=label, style=size)


def det_chart(curves: Mapping[str, Curves], rates: Mapping[str, float]) -> Html:
    """Detection error tradeoff on normal deviate axes (Martin et al. 1997), with a legend.

    Args:
        curves: by name, at most 6.
        rates: equal error rate of each, drawn as a dot.
    """
    lowest = min(min(_least(c.misses), _least(c.false_alarms)) for c in curves.values())
    low, high = max(0.0004, min(lowest, 0.04)), 0.95
    limits = (float(_deviate(low)), float(_deviate(high)))
    plane = _Plane(limits, limits, 400, 400)
    ticks: dict[float, str] = {}
    for rate in (t for t in _TICKS if low <= t <= high):
        place = float(_deviate(rate))
        if all(plane.at_x(place) - plane.at_x(other) > 27 for other in ticks):  # room for its name
            ticks[place] = f"{100 * rate:g}"
    parts = [
        plane.frame(ticks, ticks, "false alarms (%)", "misses (%)"),
        plane.line(limits, limits, "grid"),
    ]
    legend = []
    for style, (name, curve) in enumerate(curves.items()):
        x, y = _deviate(curve.false_alarms), _deviate(curve.misses)
        inside = (np.minimum(x, y) >= limits[0]) & (np.maximum(x, y) <= limits[1])
        if inside.any():
            path = plane.path(x[inside], y[inside])
            parts.append(tag("path", d=path, class_=f"curve k{style}"))
        legend.append((style, f"{name}: EER {percent(rates[name])}"))
    for style, name in enumerate(curves):
        place = min(max(float(_deviate(rates[name])), limits[0]), limits[1])
        parts.append(plane.dot(place, place, style, f"{name}: EER {percent(rates[name])}"))
    words = "; ".join(text for _, text in legend)
    return join([plane.draw(*parts, label=f"DET curves. {words}"), legend_list(legend)])


def histogram_chart(curves: Curves, threshold: float, label: str) -> Html:
    """Score distributions of both classes, each of area 1, and the threshold between them."""
    edges = curves.edges
    limits = (float(edges[0]), float(edges[-1]))
    top = float(max(curves.targets.max(), curves.nontargets.max()))
    plane = _Plane(limits, (0, 1.05 * top), left=30)
    ticks = {value: f"{value:g}" for value in nice_ticks(*limits)}
    parts = [plane.frame(ticks, {}, "score", "share of the trials")]
    for style, shares in ((1, curves.nontargets), (0, curves.targets)):
        xs = np.repeat(edges, 2)
        ys = np.concatenate([[0], np.repeat(shares, 2), [0]])
        parts.append(tag("path", d=plane.path(xs, ys), class_=f"area k{style} f{style}"))
    if limits[0] <= threshold <= limits[1]:
        parts.append(plane.line((threshold, threshold), plane.y, "mark"))
    legend = [(0, "targets (one singer)"), (1, "nontargets (two singers)")]
    note = tag("p", f"Dashed: threshold {threshold:.3f} at the equal error rate.", class_="soft")
    return join([plane.draw(*parts, label=label), legend_list(legend), note])


def level_chart(
    levels: Sequence[str],
    rates: Sequence[float],
    intervals: Sequence[Sequence[float] | None],
    reference: float | None,
    top: float,
    label: str,
) -> Html:
    """Error rate over the levels of a condition, with intervals as whiskers.

    A unit that all levels have is told once, below.

    Args:
        levels: name of each level, in order.
        rates: rate at each.
        intervals: its interval; None: no whisker.
        reference: rate in the clean condition, drawn as a dashed line.
        top: highest rate of the axis, the same in all charts that are to be compared.
        label: what is said to those who hear the page.
    """
    n, units = len(levels), {level.partition(" ")[2] for level in levels}
    unit = units.pop() if len(units) == 1 else ""
    n_lines = max((level.count(", ") + 1 for level in levels), default=1) + bool(unit)
    bottom = 10 + 15 * n_lines
    plane = _Plane((-0.5, n - 0.5), (0, top), 320, 176 + bottom, left=44, bottom=bottom)
    y_ticks = {value: f"{100 * value:g}" for value in nice_ticks(0, top)}
    x_ticks = {float(i): name.removesuffix(f" {unit}") for i, name in enumerate(levels)}
    parts = [plane.frame(x_ticks, y_ticks, unit, "EER (%)")]
    if reference is not None:
        parts.append(plane.line(plane.x, (reference, reference), "mark"))
    parts.append(tag("path", d=plane.path(list(range(n)), list(rates)), class_="curve k0"))
    for i, (rate, pair) in enumerate(zip(rates, intervals, strict=True)):
        if pair:
            parts.append(plane.line((i, i), (pair[0], min(pair[1], top)), "whisker k0"))
        parts.append(plane.dot(i, rate, 0, f"{levels[i]}: {percent(rate)} {percents(pair)}"))
    return plane.draw(*parts, label=label)


def reliability_chart(points: Sequence[Mapping[str, Any]], label: str) -> Html:
    """How often trials of a stated probability were targets; on the diagonal: as stated.

    Args:
        points: "predicted" and "observed" in [0, 1] and the number "n" of trials of each bin.
        label: what is said to those who hear the page.
    """
    plane = _Plane((0, 1), (0, 1), 320, 320)
    ticks = {value: f"{100 * value:g}" for value in (0, 0.2, 0.4, 0.6, 0.8, 1.0)}
    parts = [
        plane.frame(ticks, ticks, "stated probability (%)", "share of targets (%)"),
        plane.line((0, 1), (0, 1), "mark"),
    ]
    x, y = [p["predicted"] for p in points], [p["observed"] for p in points]
    parts.append(tag("path", d=plane.path(x, y), class_="curve k0"))
    for p in points:
        text = f"{percent(p['predicted'])} stated, {percent(p['observed'])} observed"
        parts.append(plane.dot(p["predicted"], p["observed"], 0, f"{text}, {p['n']:,} trials"))
    return plane.draw(*parts, label=label)


def interval_bar(rate: float, pair: Sequence[float] | None, top: float) -> Html:
    """A rate as a dot and its interval as a line, for a cell beside the numbers."""
    plane = _Plane((0, top), (0, 1), 144, 20, 4, 2, 2, 4)
    parts = [plane.line((0, top), (0.5, 0.5), "grid")]
    if pair:
        parts.append(plane.line((pair[0], min(pair[1], top)), (0.5, 0.5), "curve k0"))
    dot = tag("circle", cx=plane.at_x(min(rate, top)), cy=plane.at_y(0.5), r=4, class_="dot f0")
    return tag("svg", *parts, dot, viewBox="0 0 144 20", class_="bar", aria_hidden="true")


def legend_list(entries: Sequence[tuple[int, str]]) -> Html:
    """Line style and name of each curve."""
    items = []
    for style, name in entries:
        sample = tag("path", d="M0 6L36 6", class_=f"curve k{style}")
        swatch = tag("svg", sample, viewBox="0 0 36 12", aria_hidden="true")
        items.append(tag("li", swatch, tag("span", name, class_="name")))
    return tag("ul", *items, class_="legend")


def nice_ticks(low: float, high: float, n: int = 5) -> list[float]:
    """About `n` round numbers from `low` to `high`, steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / n
    power = 10.0 ** np.floor(np.log10(raw))
    step = float(next(s * power for s in (1, 2, 5, 10) if s * power >= raw * 0.999))
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [float(f"{i * step:.10g}") for i in range(first, last + 1)]


def _filled(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points between operating points that are far from each other.

    A straight line between two rates is bent on axes of normal deviates.
    """
    ends = _deviate(np.stack([x, y]))
    lengths = np.abs(np.diff(ends)).max(axis=0, initial=0)
    parts = []
    for i in np.flatnonzero(lengths > 5 * _STEP):
        axis = int(np.abs(ends[:, i + 1] - ends[:, i]).argmax())
        n = int(np.ceil(lengths[i] / (5 * _STEP)))
        rates = ndtr(np.linspace(ends[axis, i], ends[axis, i + 1], n + 1)[1:-1])
        start, end = (x[i], x[i + 1]) if axis == 0 else (y[i], y[i + 1])
        share = np.clip((rates - start) / (end - start), 0, 1)
        parts.append(
            (i + share, x[i] + share * (x[i + 1] - x[i]), y[i] + share * (y[i + 1] - y[i]))
        )
    place, xs, ys = np.concatenate(
        [np.stack([np.arange(len(x)), x, y]), *(np.stack(part) for part in parts)], axis=1
    )
    order = np.argsort(place, kind="stable")
    return xs[order], ys[order]


def _text(text: str, x: float, y: float, anchor: str, **more: object) -> Html:
    return tag("text", escape(text), x=f"{x:g}", y=f"{y:g}", text_anchor=anchor, **more)


def _least(rates: FloatArray) -> float:
    """The lowest rate above 0."""
    return float(rates[rates > 0].min(initial=0.5))


def _deviate(rates: npt.ArrayLike) -> FloatArray:
    """Normal deviates of rates; those of 0 and 1, infinitely far away, lie outside the picture."""
    return np.asarray(ndtri(np.clip(rates, 1e-9, 1 - 1e-9)), np.float64)
