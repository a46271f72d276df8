"""Commands that judge embeddings: trials build, trials lint, evaluate, leaderboard, calibrate."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from singerid.errors import SingeridError
from singerid.flags import read_settings
from singerid.terminal import say, warn, warn_all

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from singerid.embeddings import EmbeddingSet
    from singerid.scoring.calibration import Calibration
    from singerid.trials import TrialList
    from singerid.trials.findings import Finding


def trials_build(arguments: argparse.Namespace) -> None:
    """Draw trials from a manifest or a set of embeddings."""
    from singerid.evaluate import draw_from
    from singerid.trials.files import write_trials
    from singerid.trials.models import write_models

    settings = read_settings(arguments).trials
    ids, columns, vectors = _labelled(arguments.source, arguments.select)
    trials = draw_from(ids, columns, settings, vectors)
    write_trials(arguments.output, trials, arguments.format)
    n_targets = int(trials.targets.sum())
    say(f"{arguments.output}: {n_targets:,} targets, {len(trials) - n_targets:,} nontargets")
    if trials.models:
        path = f"{arguments.output}.models"
        write_models(path, trials)
        say(f"{path}: {len(trials.models):,} models of {settings.n_enroll} recordings")
    _say_findings(_lint(trials, columns, vectors, arguments.train))


def trials_lint(arguments: argparse.Namespace) -> None:
    """Look for what makes trials unfair: doubles, shared songs, shared singers, genders."""
    from singerid.trials.files import read_trials
    from singerid.trials.models import read_models

    ids, columns, vectors = _labelled(arguments.source, [])
    models = read_models(arguments.models) if arguments.models else None
    trials = read_trials(arguments.trials, ids, models=models)
    findings = _lint(trials, columns, vectors, arguments.train)
    _say_findings(findings)
    counts = [sum(f.level == level for f in findings) for level in ("error", "warning", "info")]
    line = "{} errors, {} warnings, {} remarks".format(*counts)
    if counts[0]:
        raise SingeridError(line, where=arguments.trials)
    say(f"{arguments.trials}: {len(trials):,} trials, {line}")


def evaluate(arguments: argparse.Namespace) -> None:
    """Error rates with intervals, report.html, trials and scores; of several encoders, who wins."""
    from singerid.comparison import common, compare, comparison_lines
    from singerid.evaluate import draw, summary_lines
    from singerid.evaluate import evaluate as compute
    from singerid.report_files import write_report

    config = read_settings(arguments)
    sets = _sets(arguments)
    several = len(sets) > 1
    if several:
        sets, remarks = common(sets)
        warn_all(remarks)
    first = next(iter(sets.values()))
    trials = _read_trials(arguments, first) or draw(first, config.trials)
    differences = compare(sets, trials, config.evaluate) if several else []
    for name, embeddings in sets.items():
        calibration = _calibration(arguments, embeddings)
        report = compute(
            embeddings, config.trials, config.evaluate, trials=trials,
            trials_origin=arguments.list or "", calibration=calibration,
        )  # fmt: skip
        folder = Path(arguments.output) / name if several else Path(arguments.output)
        own = [d for d in differences if name in (d.a, d.b)]
        written = write_report(
            report, folder, embeddings, config.evaluate, calibration=calibration,
            differences=own, command_line=arguments.command_line,
            robustness=_robustness(arguments, embeddings),
        )  # fmt: skip
        for line in [f"{name}:"] * several + summary_lines(report):
            say(line)
        say(f"{folder}: {', '.join(written)}")
    if several:
        say("equal error rates on the same trials, and their difference:")
        for line in comparison_lines(differences):
            say(line)


def leaderboard(arguments: argparse.Namespace) -> None:
    """One table of encoders and corpora, on the same trials, with intervals."""
    from singerid.comparison import common
    from singerid.evaluate import draw
    from singerid.leaderboard import markdown, rank, write_leaderboard

    config = read_settings(arguments)
    sets, remarks = common(_sets(arguments))
    warn_all(remarks)
    first = next(iter(sets.values()))
    trials = _read_trials(arguments, first) or draw(first, config.trials)
    board = rank(sets, trials, config.evaluate)
    write_leaderboard(board, arguments.output)
    say(markdown(board).rstrip())


def calibrate(arguments: argparse.Namespace) -> None:
    """Fit what turns scores into probabilities, and thresholds for chosen false alarm rates."""
    from singerid.calibrate import calibrate as fit
    from singerid.calibrate import summary_lines
    from singerid.embeddings import read_embeddings
    from singerid.scoring.calibration_file import write_calibration

    config = read_settings(arguments)
    sets = _sets(arguments)
    background = read_embeddings(arguments.background) if arguments.background else None
    calibration = fit(list(sets.values()), config.trials, config.calibrate, background)
    write_calibration(arguments.output, calibration)
    for line in summary_lines(calibration):
        say(line)
    say(f"{arguments.output}: for encoder {calibration.encoder}")


def _sets(arguments: argparse.Namespace) -> dict[str, EmbeddingSet]:
    """The sets of embeddings by a short name of their file."""
    from singerid.embeddings import read_embeddings

    paths: Sequence[str] = arguments.embeddings
    stems = [Path(path).stem for path in paths]
    names = stems if len(set(stems)) == len(stems) else [Path(p).parent.name for p in paths]
    if len(set(names)) < len(names):
        names = [f"{i}-{stem}" for i, stem in enumerate(stems, 1)]
    sets = {}
    for name, path in zip(names, paths, strict=True):
        embeddings = read_embeddings(path)
        sets[name] = embeddings.where(arguments.select) if arguments.select else embeddings
    return sets


def _read_trials(arguments: argparse.Namespace, embeddings: EmbeddingSet) -> TrialList | None:
    """The trials of ``--list``, if it is given."""
    from singerid.trials.files import read_trials
    from singerid.trials.models import read_models

    if not arguments.list:
        return None
    models = read_models(arguments.models) if arguments.models else None
    return read_trials(arguments.list, embeddings.ids, models=models)


def _calibration(arguments: argparse.Namespace, embeddings: EmbeddingSet) -> Calibration | None:
    from singerid.scoring.calibration_file import read_calibration

    if not arguments.calibration:
        return None
    calibration = read_calibration(arguments.calibration)
    calibration.check(embeddings.encoder)
    return calibration


def _robustness(
    arguments: argparse.Namespace, embeddings: EmbeddingSet
) -> Sequence[dict[str, object]]:
    """Rows of ``--robustness``, if it is given."""
    from singerid.embeddings import check_same_encoder
    from singerid.robustness.files import read_robustness

    if not arguments.robustness:
        return ()
    encoder, rows = read_robustness(arguments.robustness)
    check_same_encoder(encoder, embeddings.encoder, arguments.robustness)
    return rows


def _labelled(
    source: str, conditions: Sequence[str]
) -> tuple[Sequence[str], dict[str, Sequence[str]], npt.NDArray[np.float32] | None]:
    """Ids, labels and (of embeddings) vectors of a manifest or a Parquet file."""
    from singerid.embeddings import read_embeddings
    from singerid.manifest import select
    from singerid.records import columns_of, read_recordings

    if source.endswith(".jsonl"):
        recordings = read_recordings(source)
        if conditions:
            recordings = select(recordings, conditions)
        return [r.id for r in recordings], columns_of(recordings), None
    embeddings = read_embeddings(source)
    if conditions:
        embeddings = embeddings.where(conditions)
    return embeddings.ids, embeddings.columns(), embeddings.vectors


def _lint(
    trials: TrialList,
    columns: dict[str, Sequence[str]],
    vectors: npt.NDArray[np.float32] | None,
    train: str | None,
) -> list[Finding]:
    from singerid.records import read_recordings
    from singerid.trials.lint import lint

    train_singers = sorted({r.singer for r in read_recordings(train)}) if train else ()
    return lint(trials, columns, vectors=vectors, train_singers=train_singers)


def _say_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        examples = f" (for example {'; '.join(finding.examples)})" if finding.examples else ""
        line = f"{finding.code} {finding.text}{examples}"
        if finding.level == "info":
            say(f"remark: {line}")
        else:
            warn(line) if finding.level == "warning" else say(f"error: {line}")
