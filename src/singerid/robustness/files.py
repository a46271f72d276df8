"""The robustness report as files: figures for machines, a table and a picture for people."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from singerid import __version__
from singerid.errors import SingeridError
from singerid.formats import FORMATS, check_format
from singerid.json_lines import parse
from singerid.plots import save_figure
from singerid.records import atomic_write
from singerid.robustness import Interval, Robustness, Row
from singerid.robustness.charts import robustness_figure
from singerid.robustness.degraded import CLEAN

NOTE = (
    "The same trials under each condition; only the tested side is changed, enrollment is clean. "
    "Intervals: 95 %, bootstrap over singers; differences are paired with the clean rate on the "
    "same trials. Recordings that a condition makes unfit are left out on both sides of the "
    "comparison (failed), those that it leaves as they are, such as ones shorter than the "
    "excerpt, are counted as unchanged."
)
_HEADINGS = (
    "condition", "EER %", "95 %", "clean %", "difference", "95 %", "targets / nontargets",
    "failed", "unchanged",
)  # fmt: skip


def write_robustness(result: Robustness, folder: str | os.PathLike[str]) -> list[str]:
    """Write robustness.md, robustness.png and, once they are whole, robustness.json.

    Rates in the JSON file are fractions, in the table percent.

    Returns:
        Names of the files written.
    """
    folder = Path(folder)
    (folder / "robustness.json").unlink(missing_ok=True)  # an old one must not stand beside new
    with atomic_write(folder / "robustness.md") as file:
        file.writelines(f"{line}\n" for line in markdown_lines(result))
    if result.rows:
        title = f"{result.n_singers} singers, {result.n_trials:,} trials, tested side degraded"
        save_figure(robustness_figure(result.clean, result.rows, title), folder / "robustness.png")
    with atomic_write(folder / "robustness.json") as file:
        json.dump(_fields(result), file, indent=2, allow_nan=False)
        file.write("\n")
    return ["robustness.md", *(["robustness.png"] if result.rows else []), "robustness.json"]


def _fields(result: Robustness) -> dict[str, Any]:
    """The content of robustness.json."""
    names = ("encoder", "n_enrolled", "n_tested", "n_singers", "n_trials", "seed", "n_bootstrap")
    failures = [
        {"recording": f.recording, "condition": f.condition, "reason": str(f.error)}
        for f in result.failures
    ]
    return {
        "format": FORMATS["robustness report"], "singerid": __version__,
        **{name: getattr(result, name) for name in names},
        "clean": asdict(result.clean),
        "rows": [{"name": row.name} | asdict(row) for row in result.rows],
        "skipped": dict(result.skipped), "failures": failures,
    }  # fmt: skip


def markdown_lines(result: Robustness) -> Iterator[str]:
    """The report as lines of Markdown: a table for each group."""
    yield from ("# Robustness", "")
    yield f"Encoder {result.encoder}: {_counts(result)}; {result.n_bootstrap} resamples, seed " + (
        f"{result.seed}."
    )
    yield from ("", NOTE, "")
    yield f"Clean: EER **{_rate(result.clean.eer)}** {_interval(result.clean.interval)}".rstrip()
    for group in dict.fromkeys(row.group for row in result.rows):
        yield from ("", f"## {group}", "")
        yield f"| {' | '.join(_HEADINGS)} |"
        yield "|---" * len(_HEADINGS) + "|"
        yield from (_table_row(row) for row in result.rows if row.group == group)
    if result.skipped:
        yield from ("", "## Skipped", "")
        yield from (f"- {name}: {reason}" for name, reason in result.skipped.items())
    if result.failures:
        yield from ("", "## Failed", "")
        for condition, n in Counter(f.condition for f in result.failures).items():
            first = next(f for f in result.failures if f.condition == condition)
            yield f"- {condition}: {n} of the recordings; the first: {first.error}"


def summary_lines(result: Robustness) -> list[str]:
    """The report in a line for each condition, for a terminal."""
    lines = [_counts(result)]
    width = max(len(row.name) for row in (result.clean, *result.rows))
    for row in (result.clean, *result.rows):
        text = f"{row.name:<{width}}  EER {_rate(row.eer)} % {_interval(row.interval)}".rstrip()
        if row.difference is not None and row.name != CLEAN:
            text += (
                f", {_points(row.difference)} {_interval(row.difference_interval, '+')}".rstrip()
            )
        if row.n_failed:
            text += f", {row.n_failed} recordings failed"
        if row.n_unchanged:
            text += f", {row.n_unchanged} unchanged"
        lines.append(text)
    lines += [f"note: {name} skipped: {reason}" for name, reason in result.skipped.items()]
    return lines


def _counts(result: Robustness) -> str:
    return (
        f"{result.n_trials:,} trials of {result.n_singers} singers, {result.n_enrolled} "
        f"recordings enrolled, {result.n_tested} tested"
    )


def _table_row(row: Row) -> str:
    cells = (
        row.name, _rate(row.eer), _interval(row.interval), _rate(row.clean_eer),
        _points(row.difference), _interval(row.difference_interval, "+"),
        f"{row.n_targets:,} / {row.n_nontargets:,}", row.n_failed or "", row.n_unchanged or "",
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def _rate(rate: float | None) -> str:
    return "none" if rate is None else f"{100 * rate:.1f}"


def _points(difference: float | None) -> str:
    return "" if difference is None else f"{100 * difference:+.1f}"


def _interval(ends: Interval | None, sign: str = "") -> str:
    """In percent; `sign` "+" shows that of positive ends."""
    return "" if ends is None else "[{:{s}.1f}, {:{s}.1f}]".format(*(100 * e for e in ends), s=sign)


def read_robustness(folder: str | os.PathLike[str]) -> tuple[str, list[dict[str, Any]]]:
    """The encoder's fingerprint and the rows of robustness.json, the clean one first.

    Raises:
        SingeridError: missing or not such a file.
    """
    path = Path(folder) / "robustness.json"
    try:
        fields = parse(path.read_text(encoding="utf-8"))
        check_format(fields.get("format", 1), "robustness report", path)
        return str(fields["encoder"]), [fields["clean"], *fields["rows"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SingeridError(
            "cannot read the robustness report", where=path, found=error,
            do="make one: singerid robustness",
        ) from error  # fmt: skip
