"""A picture of who sings when: the waveform, and a lane for each singer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from singerid.errors import SingeridError
from singerid.lettering import shown, write_title
from singerid.plots import FEW_COLORS, blank_figure
from singerid.segments import CELL_SECONDS, Segmentation

FloatArray = npt.NDArray[np.float64]

_POINTS = 1600  # across the picture: more cannot be seen
_MOST_LANES = 20
_UNKNOWN_COLOR = "#888888"
_LANE = 0.8  # of the distance of lanes


def timeline_figure(result: Segmentation, title: str = "") -> Figure:
    """Draw a segmentation: above, the envelope; below, lanes with segments and probabilities.

    The lanes are of those who sing, in the order of their first segments; at most 20.

    Args:
        result: who sings when.
        title: one line above.

    Raises:
        SingeridError: the recording has no samples.
    """
    if not len(result.track.peaks):
        raise SingeridError("nothing to draw", found="a recording without samples")
    singers = _singers(result)
    height = 1.6 + 0.45 * max(1, len(singers))
    figure, _ = blank_figure(10, height)
    figure.clear()
    ratios = [1.0, 0.45 * max(1, len(singers))]
    wave, lanes = figure.subplots(2, 1, sharex=True, height_ratios=ratios)
    _draw_wave(wave, result, singers)
    _draw_lanes(lanes, result, singers)
    seconds = result.track.voice_seconds
    sung = {one.singer for one in result.segments}
    write_title(
        wave,
        title,
        f"{_clock(result.track.seconds)}, {_clock(seconds)} sung, {len(sung)} singer(s)",
    )
    return figure


def _singers(result: Segmentation) -> list[str | None]:
    first: dict[str | None, float] = {}
    for segment in result.segments:
        first.setdefault(segment.singer, segment.start)
    return list(first)[:_MOST_LANES]


def _color(singers: list[str | None], singer: str | None) -> str:
    if singer is None or singer not in singers:
        return _UNKNOWN_COLOR
    known = [name for name in singers if name is not None]
    return FEW_COLORS[known.index(singer) % len(FEW_COLORS)]


def _draw_wave(axes: Axes, result: Segmentation, singers: list[str | None]) -> None:
    peaks, seconds = envelope(result.track.peaks.astype(np.float64), _POINTS), result.track.seconds
    middles = (np.arange(len(peaks)) + 0.5) * seconds / len(peaks)
    axes.fill_between(middles, -peaks, peaks, color="0.75", lw=0)
    for segment in result.segments:
        inside = (middles >= segment.start) & (middles < segment.end)
        color = _color(singers, segment.singer)
        axes.fill_between(middles, -peaks, peaks, where=inside, color=color, lw=0)
    axes.set(xlim=(0, seconds), yticks=[], ylabel="level")
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_lanes(axes: Axes, result: Segmentation, singers: list[str | None]) -> None:
    """Bars for the segments, a curve for the probability within a lane."""
    for lane, singer in enumerate(singers):
        color = _color(singers, singer)
        spans = [(s.start, s.seconds) for s in result.segments if s.singer == singer]
        axes.broken_barh(spans, (lane - _LANE / 2, _LANE), color=color, alpha=0.35, lw=0)
        curve = result.probabilities[:, result.singers.index(singer)]
        curve = envelope(curve, _POINTS)
        step = len(result.probabilities) * CELL_SECONDS / len(curve)
        times = (np.arange(len(curve)) + 0.5) * step
        axes.plot(times, lane + _LANE / 2 - _LANE * curve, color=color, lw=1)
        axes.axhline(lane + 0.5, color="0.92", lw=0.8, zorder=0)
    names = [shown(singer) if singer is not None else "unknown" for singer in singers]
    axes.set_yticks(range(len(names)), names)
    axes.set(ylim=(max(1, len(names)) - 0.5, -0.5), xlabel="time (min:s)")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 1.5, 2, 3, 5, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _clock(seconds)))
    axes.spines[["top", "right", "left"]].set_visible(False)


def envelope(values: FloatArray, n_points: int) -> FloatArray:
    """Largest value of each of at most `n_points` equal stretches of `(n,)`."""
    if len(values) <= n_points:
        return values
    starts = np.linspace(0, len(values), n_points, endpoint=False).astype(np.int64)
    return np.asarray(np.maximum.reduceat(values, starts), np.float64)


def _clock(seconds: float) -> str:
    """As min:s, or h:min:s."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
