"""Charts of error rates under conditions: small multiples with intervals.

Figures are made without pyplot, as in `singerid.plots`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from singerid.errors import SingeridError
from singerid.lettering import add_legend, write_title
from singerid.plots import FEW_COLORS, MARKERS
from singerid.robustness import Row

_COLUMNS = 3
_GRAY = "0.35"


def robustness_figure(clean: Row, rows: Sequence[Row], title: str = "") -> Figure:
    """A panel for each group of conditions: equal error rates with their 95 % intervals.

    Kinds of one group are colored lines over its levels; the clean rate is a dashed line, its
    interval a gray band. Conditions without a rate leave a gap.

    Args:
        clean: the rate without degradation.
        rows: conditions, at least one; groups, kinds and levels in the order to be drawn.
        title: one line above.

    Raises:
        SingeridError: no conditions.
    """
    if not rows:
        raise SingeridError("nothing to draw", found="no conditions")
    groups = {row.group: [r for r in rows if r.group == row.group] for row in rows}
    n_columns = min(_COLUMNS, len(groups))
    n_rows = -(-len(groups) // n_columns)
    figure = Figure(figsize=(4.2 * n_columns, 3.1 * n_rows + 0.7), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False).ravel()
    for panel, (name, members) in zip(panels, groups.items(), strict=False):
        _draw_group(panel, clean, members)
        write_title(panel, name, "")
    for panel in panels[len(groups) :]:
        panel.remove()
    for i, panel in enumerate(panels[: len(groups)]):
        if i % n_columns == 0:
            panel.set_ylabel("equal error rate (%)")
    panels[0].set_ylim(0, _highest(clean, rows))
    line = Line2D([], [], color=_GRAY, ls="--", lw=1)
    rate = "no clean rate" if clean.eer is None else f"clean {clean.eer:.1%}, 95 % interval"
    add_legend(figure, [line], [rate], "", "outside lower center")
    if title:
        figure.suptitle(title, fontsize=11, parse_math=False)
    return figure


def _draw_group(panel: Axes, clean: Row, rows: Sequence[Row]) -> None:
    if clean.interval:
        panel.axhspan(100 * clean.interval[0], 100 * clean.interval[1], color="0.93", zorder=0)
    if clean.eer is not None:
        panel.axhline(100 * clean.eer, color=_GRAY, ls="--", lw=1, zorder=1)
    kinds = list(dict.fromkeys(row.kind for row in rows))
    levels = _levels(rows)
    handles = []
    for i, kind in enumerate(kinds):
        members = [row for row in rows if row.kind == kind]
        color, marker = FEW_COLORS[i % len(FEW_COLORS)], MARKERS[i % len(MARKERS)]
        # Kinds stand beside each other at one level, so that bars do not cover each other.
        shift = 0.12 * (i - (len(kinds) - 1) / 2)
        x = np.array([levels.index(row.level) + shift for row in members])
        y = 100 * np.array([np.nan if row.eer is None else row.eer for row in members])
        panel.plot(x, y, color=color, marker=marker, ms=5, lw=1.3, mec="white", mew=0.5, zorder=3)
        for at, row in zip(x, members, strict=True):
            if row.interval:
                low, high = row.interval
                panel.plot([at, at], [100 * low, 100 * high], color=color, lw=1, alpha=0.7)
        handles.append(Line2D([], [], color=color, marker=marker, ms=5, lw=1.3))
    panel.set_xticks(range(len(levels)), levels, fontsize=8, parse_math=False)
    panel.tick_params(axis="y", labelsize=8, labelleft=True)
    panel.set_xlim(-0.5, len(levels) - 0.5)
    panel.grid(axis="y", color="0.92")
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    if len(kinds) > 1:
        add_legend(panel, handles, kinds, "", "upper left")


def _levels(rows: Sequence[Row]) -> list[str]:
    """Levels of all kinds in one order that each kind keeps, if there is one.

    A level goes behind the one before it in its kind, as MP3's 64 and 32, Opus's 24, 16 and 8,
    and AAC's 64, 32 and 24 kbit/s become 64, 32, 24, 16 and 8.
    """
    levels: list[str] = []
    for kind in dict.fromkeys(row.kind for row in rows):
        after = -1
        for level in (row.level for row in rows if row.kind == kind):
            if level not in levels:
                levels.insert(after + 1 if after >= 0 else len(levels), level)
            after = levels.index(level)
    return levels


def _highest(clean: Row, rows: Sequence[Row]) -> float:
    """Upper end of the axis in percent, with room for the legends."""
    ends = [row.interval[1] if row.interval else row.eer or 0 for row in (clean, *rows)]
    return 100 * max(0.05, 1.25 * max(ends))
