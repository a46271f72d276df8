"""What `singerid.similarity` found, as lines, as JSON and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from singerid.lettering import add_legend, write_title
from singerid.pair_scores import Group
from singerid.plots import blank_figure
from singerid.similarity import Similarity

_FARTHEST = 5  # generated recordings that are named
_HEADER = f"{'':22}{'pairs':>9}  {'score':>6}  {'95 % interval':<17}{'accepted':>8}  {'LLR':>6}"
_COLORS = {"different": "#D55E00", "same": "#0072B2", "generated": "#000000"}


def as_lines(found: Similarity) -> list[str]:
    """A report in words and figures."""
    singers = f" of {found.generated.n_singers} singers" if found.generated.n_singers else ""
    lines = [
        f"{found.n_generated} generated recordings{singers}, {found.generated.n_pairs:,} pairs "
        "with references",
        "",
        _HEADER if found.generated.llr is not None else _HEADER.removesuffix("     LLR"),
        _row("generated", found.generated),
    ]
    lines += [_row("real, one singer", found.same)] if found.same else []
    lines += [_row("real, two singers", found.different)] if found.different else []
    lines += ["", *_findings(found)]
    farthest = found.clips[:_FARTHEST]
    if len(found.clips) > 1:
        lines.append("farthest from their references:")
        lines += [f"  {clip.id}: score {clip.score:.3f}" for clip in farthest]
    return lines


def _findings(found: Similarity) -> list[str]:
    """The sentences between the table and the names."""
    lines = []
    if found.percentile is not None:
        lines.append(
            f"the generated mean lies above {found.percentile:.0%} of the real scores of one "
            "singer (a real pair: 50 %)"
        )
    if found.difference is not None:
        bounds = found.difference_interval
        lines.append(
            f"generated less real, mean over singers: {found.difference:+.3f}{_bounds(bounds)}"
        )
    if found.auc_same is not None:
        lines.append(
            f"a generated pair scores above a real one of one singer in {found.auc_same:.0%} of "
            "the cases (50 %: cannot be told apart)"
        )
    if found.auc_different is not None:
        lines.append(f"  and above one of two singers in {found.auc_different:.0%}")
    if found.named is not None:
        lines.append(
            f"{found.named:.0%} of the generated recordings are nearest to their own singer, of "
            f"{found.n_candidates}"
        )
    if found.threshold is not None:
        lines.append(
            f"accepted from a score of {found.threshold:.3f} on: {100 * found.false_alarm:g} % "
            f"false alarms by the {found.threshold_origin}"
        )
    return lines


def _row(name: str, group: Group) -> str:
    accepted = "" if group.accepted is None else f"{group.accepted:.0%}"
    llr = "" if group.llr is None else f"{group.llr:+.2f}"
    bounds = _bounds(group.interval).strip()
    row = f"{name:<22}{group.n_pairs:>9,}  {group.mean:>6.3f}  {bounds:<17}{accepted:>8}  {llr:>6}"
    return row.rstrip()


def _bounds(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f" [{bounds[0]:.3f}, {bounds[1]:.3f}]"


def as_fields(found: Similarity) -> dict[str, Any]:
    """Everything but the single real scores, for JSON; shares and intervals are fractions."""
    values: dict[str, Any] = {
        each.name: getattr(found, each.name) for each in fields(found) if each.name != "scores"
    }
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries, floats to six decimals."""
    if hasattr(value, "__dataclass_fields__"):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return round(value, 6) if isinstance(value, float) else value


def similarity_figure(found: Similarity, title: str = "") -> Figure:
    """Distributions of generated and real scores, each of area 1, and the threshold.

    Args:
        found: what was found.
        title: one line above.
    """
    scores = dict(zip(("generated", "same", "different"), found.scores, strict=True))
    every = np.concatenate(list(scores.values()))
    center, reach = (every.max() + every.min()) / 2, max(np.ptp(every) / 2, 0.05)
    edges = np.linspace(center - reach, center + reach, 46)
    figure, (axes,) = blank_figure(9.5, 4.5)
    handles: list[Any] = []
    names = []
    for name, label in _legend(found).items():
        density, _ = np.histogram(scores[name], edges, density=True)
        filled = name != "generated"
        color = _COLORS[name]
        outline = axes.stairs(density, edges, color=color, lw=1.2 if filled else 2.0)
        bars = axes.stairs(density, edges, fill=True, color=color, alpha=0.4) if filled else None
        handles.append(bars or outline)
        names.append(label)
    handles.append(axes.axvline(found.generated.mean, color=_COLORS["generated"], lw=1, ls=":"))
    names.append(f"generated mean {found.generated.mean:.3f}")
    if found.threshold is not None:
        handles.append(axes.axvline(found.threshold, color="0.35", lw=1, ls="--"))
        names.append(
            f"threshold {found.threshold:.3f} ({100 * found.false_alarm:g} % false alarms)"
        )
    axes.set(xlabel="score", ylabel="density", xlim=(edges[0], edges[-1]))
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    write_title(axes, title, f"{found.n_generated} generated recordings")
    add_legend(figure, handles, names, "", "outside right upper")
    return figure


def _legend(found: Similarity) -> Mapping[str, str]:
    """Kinds of pairs that are there, the generated last: drawn above the others."""
    entries = {}
    if found.different:
        entries["different"] = f"{found.different.n_pairs:,} real pairs of two singers"
    if found.same:
        entries["same"] = f"{found.same.n_pairs:,} real pairs of one singer"
    return entries | {"generated": f"{found.generated.n_pairs:,} generated with references"}
