"""Text in figures: fonts that are there, names that fit, labels that do not cover each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import font_manager, patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import offset_copy

from singerid.errors import one_line

FloatArray = npt.NDArray[np.float64]
LONGEST_NAME = 24  # characters
# Of these, whatever is installed; DejaVu Sans comes with matplotlib.
FONTS = (
    "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans", "Arial Unicode MS",
    "Hiragino Sans", "PingFang SC", "Microsoft YaHei", "WenQuanYi Zen Hei",
)  # fmt: skip


def write_title(axes: Axes, left: str, right: str) -> None:
    """Title at the left, a small remark at the right."""
    text: dict[str, Any] = {"fontsize": 11, "fontfamily": _fonts(), "parse_math": False}
    axes.set_title(shown(left, 80), loc="left", **text)
    if right:
        axes.set_title(right, loc="right", fontsize=8, color="0.4")


def add_legend(
    place: Figure | Axes, handles: Sequence[Any], names: Sequence[str], title: str, loc: str
) -> None:
    """A legend whose texts are taken as they are: no math, no leading ``_`` that hides them."""
    style: dict[str, Any] = {
        "loc": loc, "title": title, "title_fontsize": 9, "alignment": "left", "frameon": False,
        "ncols": min(len(names), 6) if "center" in loc else 1,
        "prop": {"family": _fonts(), "size": 8},
    }  # fmt: skip
    legend = place.legend(handles, [str(i) for i in range(len(names))], **style)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_text(shown(name, 40))


def place_names(
    figure: Figure,
    axes: Axes,
    clusters: Sequence[FloatArray],
    names: Sequence[str],
    colors: FloatArray,
    gap: float,
) -> None:
    """Write the name of each cluster beside it, as long as there is room for it.

    Large clusters come first; no name covers another or leaves the axes.

    Args:
        figure: the figure, otherwise finished: its layout is frozen.
        axes: its axes.
        clusters: `(n, 2)` points of each.
        names: one each.
        colors: `(n_clusters, 3)`; the names are darker.
        gap: distance from the outermost point in typographic points.
    """
    figure.draw_without_rendering()  # settles the layout, which must not move afterwards
    figure.set_layout_engine("none")
    inside, taken = axes.get_window_extent(), np.zeros((0, 4))
    size = 8.0 if len(names) <= 60 else 6.0
    for i in sorted(range(len(names)), key=lambda i: -len(clusters[i])):
        for place in _places(clusters[i], 0.06 * abs(np.diff(axes.get_ylim())[0])):
            text = _label(figure, axes, place, shown(names[i]), 0.5 * colors[i], size, gap)
            x0, y0, x1, y1 = box = text.get_window_extent().extents
            within = inside.x0 < x0 and inside.y0 < y0 and x1 < inside.x1 and y1 < inside.y1
            left, low, right, high = taken.T
            if within and not np.any((left < x1) & (x0 < right) & (low < y1) & (y0 < high)):
                taken = np.vstack([taken, box])
                break
            text.remove()


def _places(cluster: FloatArray, reach: float) -> Iterator[tuple[float, float, int, int]]:
    """Where a name can go: position, and on which side of it (x, y).

    Above, below, right and left of the cluster, but at most `reach` from its median, so that
    a stray member does not pull the name away from the others.
    """
    x, y = middle = np.median(cluster, axis=0)
    left, bottom = np.maximum(cluster.min(axis=0), middle - reach)
    right, top = np.minimum(cluster.max(axis=0), middle + reach)
    yield from ((x, top, 0, 1), (x, bottom, 0, -1), (right, y, 1, 0), (left, y, -1, 0))


def _label(
    figure: Figure, axes: Axes, place: tuple[float, float, int, int], name: str,
    color: FloatArray, size: float, gap: float,
) -> Text:  # fmt: skip
    """Write a name on the map, `gap` points to one side of its place."""
    x, y, dx, dy = place
    return axes.text(
        x, y, name, color=color, fontsize=size, parse_math=False, fontfamily=_fonts(),
        ha=("center", "left", "right")[dx], va=("center", "bottom", "top")[dy],
        transform=offset_copy(axes.transData, figure, gap * dx, gap * dy, "points"),
        zorder=0.5,  # a halo hides no marker
        path_effects=[patheffects.withStroke(linewidth=2, foreground="white")],
    )  # fmt: skip


def shown(text: str, longest: int = LONGEST_NAME) -> str:
    """Text on one short line; a character that no font here has becomes its code."""
    glyphs = _glyphs()
    pieces = [
        c if ord(c) in glyphs else c.encode("unicode_escape").decode() for c in one_line(text)
    ]
    if sum(map(len, pieces)) > longest:
        while sum(map(len, pieces)) >= longest:
            del pieces[len(pieces) // 2]
        pieces.insert((len(pieces) + 1) // 2, "…")
    return "".join(pieces)


@lru_cache(maxsize=1)
def _fonts() -> list[str]:
    installed = set(font_manager.get_font_names())
    return [name for name in FONTS if name in installed]


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    """Code points that the fonts of `_fonts` can draw."""
    fonts = [font_manager.get_font(font_manager.findfont(name)) for name in _fonts()]
    return frozenset(code for font in fonts for code in font.get_charmap())
