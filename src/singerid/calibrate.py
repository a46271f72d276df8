"""A calibration from sets of embeddings: which trials, whose scorer, what came out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from singerid.embeddings import EmbeddingSet, check_same_encoder
from singerid.errors import ConfigError
from singerid.evaluate import draw, trial_seconds
from singerid.scoring.calibration import Calibration, Line
from singerid.scoring.calibration_fit import fit_calibration
from singerid.scoring.scorer import Scorer, cross_scores, fit_scorer
from singerid.sections import CalibrateSettings, TrialSettings

_COHORT_SIZE = 2000  # singers in the cohort of AS-norm, if there are so many


def calibrate(
    sets: Sequence[EmbeddingSet],
    selection: TrialSettings | None = None,
    settings: CalibrateSettings | None = None,
    background: EmbeddingSet | None = None,
) -> Calibration:
    """Fit a calibration on development sets.

    Args:
        sets: development singers, none of whom the encoder was trained on. Several sets are
            several durations (or conditions) of the encoder's input; trials are within each.
        selection: which trials.
        settings: scorer, duration classes, false alarm rates.
        background: other singers, to fit transform, PLDA and cohort on. Without it they are
            fitted on the development singers themselves, and the calibration on scores of
            scorers that did not know the two singers of a trial.

    Raises:
        MismatchError: the sets are of several encoders, or the background holds singers of theirs.
        SingeridError: no trials, or see `fit_calibration`.
        ConfigError: a list of numbers cannot be read.
    """
    selection, settings = selection or TrialSettings(), settings or CalibrateSettings()
    encoder = sets[0].encoder
    for embeddings in [*sets[1:], *([background] if background else [])]:
        check_same_encoder(encoder, embeddings.encoder, "calibrate")
    edges = _numbers(settings.durations, "calibrate.durations")
    rates = _numbers(settings.false_alarms, "calibrate.false_alarms")
    options: dict[str, Any] = {
        "transform": settings.transform, "plda": settings.plda,
        "cohort_size": _COHORT_SIZE if settings.cohort else 0,
    }  # fmt: skip
    is_fitted = settings.transform != "none" or settings.plda or settings.cohort
    crossed = bool(is_fitted and background is None)
    whole = background or _joined(sets)
    scorer = fit_scorer(whole.vectors, whole.singers, **options) if is_fitted else Scorer()
    scores, targets, seconds, singers = [], [], [], []
    for embeddings in sets:
        trials = draw(embeddings, selection)
        names = np.asarray(embeddings.singers, object)
        first = np.array([rows[0] for rows in trials.models], np.int64) if trials.models else None
        enrolled = trials.enroll if first is None else first[trials.enroll]
        if crossed:
            found = cross_scores(
                embeddings.vectors, embeddings.singers, trials.enroll, trials.test,
                models=trials.models, **options,
            )  # fmt: skip
        else:
            found = scorer.trials(
                embeddings.vectors, trials.enroll, trials.test, models=trials.models
            )
        scores.append(found)
        targets.append(trials.targets)
        seconds.append(trial_seconds(embeddings, trials))
        singers.append(np.stack([names[enrolled], names[trials.test]]))
    enroll, test = np.concatenate(singers, axis=1)
    return fit_calibration(
        np.concatenate(scores), np.concatenate(targets), enroll.tolist(), test.tolist(),
        encoder=encoder, scorer=scorer, seconds=np.concatenate(seconds), edges=edges,
        false_alarms=rates, prior=settings.prior, crossed=crossed,
    )  # fmt: skip


def summary_lines(calibration: Calibration) -> list[str]:
    """The calibration in a few lines for a terminal."""
    named = [("all", calibration.overall)]
    if len(calibration.classes) > 1:
        named += zip(calibration.class_names(), calibration.classes, strict=True)
    width = max(len(name) for name, _ in named)
    lines = [f"{name:<{width}}  {_line_text(line)}" for name, line in named]
    return [*lines, *(f"note: {note}" for note in calibration.notes())]


def _line_text(line: Line) -> str:
    if line.borrowed:
        return "as all"
    thresholds = ", ".join(
        f"{score:.3f} for {100 * rate:g} %" for rate, score in line.thresholds if score is not None
    )
    cllr = "" if line.held_out_cllr is None else f"; Cllr {line.held_out_cllr:.3f} bit held out"
    return (
        f"log-likelihood ratio = {line.scale:.2f} × score {line.offset:+.2f}; thresholds "
        f"{thresholds or 'not measured'}; {line.n_targets:,} targets, {line.n_nontargets:,} "
        f"nontargets of {line.n_singers} singers{cllr}"
    )


def _joined(sets: Sequence[EmbeddingSet]) -> EmbeddingSet:
    """All rows of several sets; ids made unique."""
    return EmbeddingSet(
        [f"{i}/{id}" for i, embeddings in enumerate(sets) for id in embeddings.ids],
        [singer for embeddings in sets for singer in embeddings.singers],
        np.concatenate([embeddings.vectors for embeddings in sets]), sets[0].encoder,
    )  # fmt: skip


def _numbers(text: str, where: str) -> list[float]:
    """Numbers between commas."""
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ConfigError(
            "not a list of numbers", where=where, found=text, expected="numbers with commas"
        ) from None
