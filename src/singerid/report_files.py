"""The files of an evaluation: report.json, report.html, trials, scores and pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import Any

from singerid import __version__, plots
from singerid.breakdown import reliability
from singerid.comparison import Difference
from singerid.embeddings import EmbeddingSet
from singerid.evaluate import ALL, SAME_GENDER, Report
from singerid.records import atomic_write
from singerid.report import render_report
from singerid.report.players import Clip, make_clips
from singerid.scoring.calibration import Calibration
from singerid.sections import EvaluateSettings
from singerid.trials.files import write_scores, write_trials
from singerid.trials.models import write_models

_MOST_CURVES = 6  # in one picture


def write_report(
    report: Report,
    folder: str | os.PathLike[str],
    embeddings: EmbeddingSet,
    settings: EvaluateSettings | None = None,
    *,
    calibration: Calibration | None = None,
    differences: Sequence[Difference] = (),
    command_line: str = "",
    robustness: Sequence[Mapping[str, Any]] = (),
) -> list[str]:
    """Write the report's files; report.json last, once all others are whole.

    Args:
        report: what was found.
        folder: where to.
        embeddings: what it was found on: its paths lead to the audio of the worst trials.
        settings: number of clips.
        calibration: if one was used.
        differences: from other encoders, if there are any.
        command_line: how it was made.
        robustness: rows of a robustness.json of the same encoder, to be shown as well.

    Returns:
        Names of the files; rates in report.json are fractions.
    """
    folder, settings = Path(folder), settings or EvaluateSettings()
    (folder / "report.json").unlink(missing_ok=True)  # an old one must not stand beside new trials
    write_trials(folder / "trials.txt", report.trials)
    write_scores(folder / "scores.txt", report.trials, report.scores)
    names = ["trials.txt", "scores.txt"]
    if report.trials.models:
        write_models(folder / "models.txt", report.trials)
        names.append("models.txt")
    targets = report.trials.targets
    curves = {name: (report.scores[mask], targets[mask]) for name, mask in report.masks.items()}
    main = {name: curves[name] for name in _main_slices(report)}
    plots.save_figure(plots.det_figure(main, "Detection error tradeoff"), folder / "det.png")
    headline = report.headline
    histogram = plots.histogram_figure(
        *curves[headline], report.slices[headline].threshold,
        "Scores of all trials" if headline == ALL else f"Scores, {headline}",
    )  # fmt: skip
    plots.save_figure(histogram, folder / "histogram.png")
    fields = as_fields(report, calibration, differences, command_line)
    if robustness:
        fields["robustness"] = [dict(row) for row in robustness]
    clips = _clips(report, embeddings, settings.clips)
    with atomic_write(folder / "report.html") as file:
        file.write(render_report(fields, main, clips))
    with atomic_write(folder / "report.json") as file:
        json.dump(fields, file, indent=2, allow_nan=False)
        file.write("\n")
    return ["report.html", "report.json", *names, "det.png", "histogram.png"]


def as_fields(
    report: Report,
    calibration: Calibration | None = None,
    differences: Sequence[Difference] = (),
    command_line: str = "",
) -> dict[str, Any]:
    """What report.json holds; the page shows the same."""
    fields: dict[str, Any] = {
        "singerid": __version__, "encoder": report.encoder, "command_line": command_line,
        "n_recordings": report.n_recordings, "n_singers": report.n_singers,
        "n_trials": len(report.trials), "headline": report.headline,
        "settings": dict(report.settings),
        "slices": {name: asdict(result) for name, result in report.slices.items()},
        "identification": None if report.naming is None else asdict(report.naming),
        "health": asdict(report.health),
        "findings": [asdict(finding) for finding in report.findings],
        **asdict(report.breakdown),
        "notes": list(report.notes),
    }  # fmt: skip
    if report.llrs is not None and calibration is not None:
        mask = report.masks[report.headline]
        named = zip(calibration.class_names(), calibration.classes, strict=True)
        fields["calibration"] = asdict(report.slices[report.headline]) | {
            "durations": [{"name": name} | asdict(line) for name, line in named],
            "reliability": reliability(report.llrs[mask], report.trials.targets[mask]),
        }
    if differences:
        fields["comparison"] = [asdict(d) for d in differences]
    return fields


def _main_slices(report: Report) -> list[str]:
    """The slices that a DET plot shows: the headline first, then corpora, then all."""
    alike = [name for name in report.masks if name.startswith("corpus ") and "gap" not in name]
    alike.sort(key=lambda name: SAME_GENDER not in name)
    return list(dict.fromkeys([report.headline, *alike[: _MOST_CURVES - 2], ALL]))


def _clips(report: Report, embeddings: EmbeddingSet, n: int) -> dict[str, Clip | str]:
    """Audio of both sides of the worst trials, the worst of both classes first, or why not."""
    sources = {
        id: (path, "mix") for id, path in zip(embeddings.ids, embeddings.paths, strict=True) if path
    }
    worst = report.breakdown.worst
    misses = [trial for trial in worst if trial.target]
    false_alarms = [trial for trial in worst if not trial.target]
    in_turn = [t for pair in zip_longest(false_alarms, misses) for t in pair if t][:n]
    return make_clips([id for t in in_turn for id in (t.enroll_recording, t.test)], sources)
