"""Pictures: maps of embeddings, DET curves, score histograms, the encoder's input.

Figures are made without pyplot, so that nothing global changes and nothing has to be closed.
"""

from __future__ import annotations

import colorsys
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from singerid.embeddings import EmbeddingSet
from singerid.errors import SingeridError
from singerid.lettering import add_legend, place_names, shown, write_title
from singerid.metrics import det_points, eer
from singerid.records import atomic_write

FloatArray = npt.NDArray[np.float64]
SUFFIXES = (".png", ".svg", ".pdf")
# Okabe & Ito (2008), "Color Universal Design": told apart with any color vision; yellow last.
FEW_COLORS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442",
)  # fmt: skip
MARKERS = "o^sDvP*X"
GENDER_MARKERS = {"F": ("o", "female"), "M": ("^", "male"), "": ("s", "unknown")}


def map_figure(
    embeddings: EmbeddingSet,
    points: npt.NDArray[np.floating],
    color: str = "singer",
    marker: str = "gender",
    title: str = "",
) -> Figure:
    """Map of recordings (or singers), colored by one label, markers by another.

    Up to 8 colors have a legend; more are named on the map, where there is room.

    Args:
        embeddings: `n` rows, for their labels.
        points: `(n, 2)`, see `singerid.projection`.
        color: label that gives the color: singer, split or one of `embeddings.labels`.
        marker: label that gives the marker; a label that does not exist gives circles.
        title: one line above the map.

    Raises:
        SingeridError: nothing to draw, points that do not fit, or no label `color`.
    """
    if not len(embeddings) or np.shape(points) != (len(embeddings), 2):
        raise SingeridError(
            "points do not fit the embeddings", found=f"shape {np.shape(points)}",
            expected=f"({len(embeddings)}, 2), not empty",
        )  # fmt: skip
    names, group = np.unique(embeddings.label(color), return_inverse=True)
    colors = _colors(len(names))
    figure, (axes,) = blank_figure(9, 7.5)
    size = float(np.clip(6000 / len(points), 14, 60))
    symbols = _markers(embeddings, marker)
    for symbol, rows in symbols.values():
        axes.scatter(
            points[rows, 0], points[rows, 1], s=size, c=colors[group[rows]], marker=symbol,
            linewidths=0.5, edgecolors=(0, 0, 0, 0.45), alpha=0.85,
        )  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xticks=[], yticks=[])
    axes.margins(0.06)
    count = f"{len(names)} singers, " if color == "singer" and len(names) < len(points) else ""
    write_title(axes, title, f"{count}{len(points)} {'recordings' if count else 'points'}")
    if len(names) <= len(FEW_COLORS):
        handles = [_dot("o", face, 7) for face in colors]
        add_legend(figure, handles, list(names), color, "outside right upper")
    if symbols.keys() - {"", "unknown"}:
        handles = [_dot(symbol, (0.75, 0.75, 0.75), 7) for symbol, _ in symbols.values()]
        add_legend(figure, handles, list(symbols), "", "outside lower center")
    if len(names) > len(FEW_COLORS):
        clusters = [np.asarray(points[group == i], np.float64) for i in range(len(names))]
        place_names(figure, axes, clusters, list(names), colors, gap=2 + size**0.5 / 2)
    return figure


def det_figure(
    curves: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]], title: str = ""
) -> Figure:
    """Detection error tradeoff on normal deviate axes (Martin et al. 1997), EER marked.

    Args:
        curves: scores and target flags by name.
        title: one line above the curves.
    """
    figure, (axes,) = blank_figure(6.5, 6.5)
    handles, names, n_trials = [], [], 0
    for i, (name, (scores, targets)) in enumerate(curves.items()):
        _, misses, false_alarms = det_points(scores, targets)
        rate, _ = eer(scores, targets)
        x, y = _deviate(false_alarms), _deviate(misses)
        seen = np.append(True, np.any(np.diff(np.round([x, y], 2)), axis=0))  # thins 10⁶ points
        seen[:-1] |= seen[1:]
        handles += axes.plot(x[seen], y[seen], color=FEW_COLORS[i % len(FEW_COLORS)], lw=1.6)
        names.append(f"{name}: EER {rate:.1%}")
        axes.plot(*_deviate([rate, rate]), "o", color=handles[-1].get_color(), ms=6, mec="white")
        n_trials = max(n_trials, np.size(targets))
    limits = _deviate([max(0.0009, min(0.04, 0.5 / max(n_trials, 1))), 0.95])
    ticks = np.array([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9])
    ticks = ticks[_deviate(ticks) >= limits[0]]
    labels = [f"{100 * tick:g}" for tick in ticks]
    axes.plot(limits, limits, color="0.8", lw=0.8, zorder=0)
    axes.set(
        xlim=limits, ylim=limits, aspect="equal", xlabel="false alarms (%)", ylabel="misses (%)"
    )
    axes.set_xticks(_deviate(ticks), labels)
    axes.set_yticks(_deviate(ticks), labels)
    axes.grid(color="0.92")
    write_title(axes, title, "")
    add_legend(axes, handles, names, "", "upper right")
    return figure


def _deviate(rates: npt.ArrayLike) -> FloatArray:
    """Normal deviates of rates; those of 0 and 1, infinitely far away, lie outside the picture."""
    from scipy.special import ndtri

    return np.asarray(ndtri(np.clip(rates, 1e-9, 1 - 1e-9)), np.float64)


def histogram_figure(
    scores: npt.ArrayLike,
    targets: npt.ArrayLike,
    threshold: float | None = None,
    title: str = "",
) -> Figure:
    """Distributions of target and nontarget scores, each of area 1 so that both can be seen.

    Args:
        scores: `(n,)`.
        targets: bool `(n,)`.
        threshold: drawn as a line if given (that of the EER).
        title: one line above.
    """
    scores, targets = np.asarray(scores, np.float64), np.asarray(targets, np.bool_)
    figure, (axes,) = blank_figure(7.5, 4.5)
    center, reach = (scores.max() + scores.min()) / 2, max(np.ptp(scores) / 2, 0.05)
    edges = np.linspace(center - reach, center + reach, 82)  # odd: equal scores get the middle bar
    handles: list[Any] = []
    names = []
    for name, rows, color in (("nontargets", ~targets, "#D55E00"), ("targets", targets, "#0072B2")):
        density, _ = np.histogram(scores[rows], edges, density=bool(rows.any()))
        handles.append(axes.stairs(density, edges, fill=True, color=color, alpha=0.45))
        axes.stairs(density, edges, color=color, lw=1.2)
        names.append(f"{np.count_nonzero(rows):,} {name}")
    if threshold is not None:
        handles.append(axes.axvline(threshold, color="black", lw=1, ls="--"))
        names.append(f"threshold {threshold:.3f} (equal error rate)")
    axes.set(xlabel="score (cosine)", ylabel="density", xlim=(edges[0], edges[-1]))
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    write_title(axes, title, "")
    add_legend(axes, handles, names, "", "best")
    return figure


def input_figure(
    streams: Mapping[str, npt.NDArray[np.floating]], hop_seconds: float, title: str = ""
) -> Figure:
    """One example as the network sees it: a panel a stream.

    Args:
        streams: `(n_frames, n_dims)` by name; one of a single dimension is drawn as a line.
        hop_seconds: distance of frames in seconds.
        title: one line above.

    Raises:
        SingeridError: no stream, or one of another shape.
    """
    bad = [name for name, frames in streams.items() if np.ndim(frames) != 2 or not np.size(frames)]
    if bad or not streams:
        raise SingeridError(
            "nothing to draw", where=bad[0] if bad else None,
            found=f"shape {np.shape(streams[bad[0]])}" if bad else "no stream",
            expected="(n_frames, n_dims), not empty",
        )  # fmt: skip
    figure, panels = blank_figure(8, 0.6 + 2.6 * len(streams), len(streams))
    for panel, (name, frames) in zip(panels, streams.items(), strict=True):
        end = len(frames) * hop_seconds
        if frames.shape[1] == 1:
            panel.plot((np.arange(len(frames)) + 0.5) * hop_seconds, frames[:, 0], lw=1)
            panel.set_ylabel(shown(name))
        else:
            extent = (0.0, end, -0.5, frames.shape[1] - 0.5)
            image = panel.imshow(
                frames.T, origin="lower", aspect="auto", extent=extent, interpolation="nearest"
            )
            figure.colorbar(image, ax=panel, pad=0.01)
            panel.set_ylabel(f"{shown(name)} bin" if "mel" in name else f"{shown(name)} dim")
        panel.set_xlim(0, end)
        panel.set_title(f"{len(frames)} × {frames.shape[1]}", loc="right", fontsize=8, color="0.4")
    panels[-1].set_xlabel("time (s)")
    write_title(panels[0], title, "")
    return figure


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, SVG or PDF, by the suffix of `path`, atomically.

    Raises:
        SingeridError: another suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise SingeridError(
            "cannot draw such a file", where=path, found=suffix or "no suffix",
            expected=" or ".join(SUFFIXES),
        )  # fmt: skip
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format=suffix[1:], dpi=figure.dpi)


def blank_figure(width: float, height: float, n_panels: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of panels one below the other, which share the horizontal axis; sizes in inches."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(n_panels, 1, sharex=True, squeeze=False)[:, 0])


def _dot(marker: str, face: Any, size: float) -> Line2D:
    """Entry of a legend."""
    edge = (0, 0, 0, 0.45)
    return Line2D([], [], ls="", marker=marker, markersize=size, mfc=face, mec=edge, mew=0.5)


def _colors(n: int) -> npt.NDArray[np.float64]:
    """`(n, 3)` colors: a safe palette for few, hues a golden angle apart for many."""
    if n <= len(FEW_COLORS):
        return np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in FEW_COLORS[:n]])
    hues = np.arange(n) * 0.381966 % 1
    light = np.array([0.40, 0.55, 0.68])[np.arange(n) % 3]
    return np.array([colorsys.hls_to_rgb(h, b, 0.75) for h, b in zip(hues, light, strict=True)])


def _markers(embeddings: EmbeddingSet, label: str) -> dict[str, tuple[str, npt.NDArray[np.bool_]]]:
    """Name in the legend → marker and rows."""
    if label not in ("singer", "split", *embeddings.labels):
        return {"": ("o", np.ones(len(embeddings), np.bool_))}
    texts = np.array(embeddings.label(label), object)
    if label == "gender":
        texts[texts == "?"] = ""
    found: dict[str, tuple[str, npt.NDArray[np.bool_]]] = {}
    for i, text in enumerate(sorted(set(texts), key=lambda text: (text == "", text))):
        symbol, name = MARKERS[i % len(MARKERS)], text or "unknown"
        if label == "gender" and text in GENDER_MARKERS:
            symbol, name = GENDER_MARKERS[text]
        found[name] = (symbol, np.asarray(texts == text))
    return found
