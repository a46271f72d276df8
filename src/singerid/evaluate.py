"""How well embeddings tell singers apart: verification and identification, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from singerid.breakdown import Breakdown, break_down
from singerid.embeddings import EmbeddingSet
from singerid.errors import SingeridError
from singerid.metrics.geometry import Health, health
from singerid.naming import Naming, name_recordings
from singerid.scoring import cosine, model_cosine
from singerid.scoring.calibration import Calibration
from singerid.sections import EvaluateSettings, TrialSettings
from singerid.slices import LABELS, slice_masks
from singerid.trials import TrialList, draw_trials, same_gender
from singerid.trials.findings import Finding
from singerid.trials.lint import lint
from singerid.verification import Verification, singer_numbers, verify

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
ALL, SAME_GENDER = "all", "same gender"


@dataclass(frozen=True)
class Report:
    """What `evaluate` found.

    Attributes:
        encoder: fingerprint of the encoder.
        n_recordings: number of recordings.
        n_singers: number of singers.
        settings: how it was computed.
        slices: error rates by slice of the trials: "all", "same gender", for each of several
            corpora "corpus X" and "corpus X, same gender", and further ones by label.
        naming: identification; None if no singer has two recordings.
        health: how the embeddings lie.
        findings: what the linter says of the trials.
        breakdown: errors by singer, confusions, worst trials.
        notes: what a reader of the figures must know.
        trials: the trials.
        scores: float64 `(n_trials,)`, six decimals as in the file.
        masks: bool `(n_trials,)` by slice, the trials that count in it.
        llrs: calibrated log-likelihood ratios `(n_trials,)`, or None.
    """

    encoder: str
    n_recordings: int
    n_singers: int
    settings: Mapping[str, Any]
    slices: Mapping[str, Verification]
    naming: Naming | None
    health: Health
    findings: Sequence[Finding]
    breakdown: Breakdown
    notes: Sequence[str]
    trials: TrialList
    scores: FloatArray
    masks: Mapping[str, BoolArray]
    llrs: FloatArray | None = None

    @property
    def headline(self) -> str:
        """The slice that a reader should look at first: same gender, if genders are known."""
        return SAME_GENDER if SAME_GENDER in self.slices else ALL


def evaluate(
    embeddings: EmbeddingSet,
    selection: TrialSettings | None = None,
    settings: EvaluateSettings | None = None,
    *,
    trials: TrialList | None = None,
    trials_origin: str = "",
    calibration: Calibration | None = None,
) -> Report:
    """Score trials and find out how well the scores tell singers apart.

    Labels that are looked at, if they exist: song, gender (F or M), corpus, f0, technique,
    language, kind, session, and those of `settings.slices`.

    Args:
        embeddings: one row a recording, at least two singers.
        selection: which trials to draw.
        settings: scoring, intervals, slices.
        trials: take these, indices into `embeddings`, and draw none.
        trials_origin: where they come from, if not from `selection`.
        calibration: of the same encoder; its scorer makes the scores, and its
            log-likelihood ratios are judged as well.

    Returns:
        The report; the same for the same input.

    Raises:
        SingeridError: there are no target or no nontarget trials, or a label does not exist.
        MismatchError: the calibration is another encoder's.
    """
    selection, settings = selection or TrialSettings(), settings or EvaluateSettings()
    columns = embeddings.columns()
    trials = trials if trials is not None else draw(embeddings, selection)
    scores = score(embeddings, trials, settings.scoring, calibration)
    llrs = None
    if calibration:
        llrs = calibration.llr(scores, trial_seconds(embeddings, trials))
    _, singers = np.unique(embeddings.singers, return_inverse=True)
    pairs = singer_numbers(trials, singers)
    slices: dict[str, Verification] = {}
    masks = slices_of(trials, columns, settings)
    for name, mask in masks.items():
        rng = np.random.default_rng([settings.seed, 1])  # no slice changes another's interval
        slices[name] = verify(trials, scores, pairs, mask, settings.n_bootstrap, rng, llrs)
    naming = name_recordings(
        embeddings.vectors, embeddings.singers,
        songs=columns.get("song") if "song" in _names(selection.cross) else None,
        corpora=columns.get("corpus") if selection.within_corpus else None,
        n_bootstrap=settings.n_bootstrap, seed=settings.seed,
    )  # fmt: skip
    headline = SAME_GENDER if SAME_GENDER in slices else ALL
    return Report(
        embeddings.encoder, len(embeddings), int(singers.max()) + 1,
        {
            "trials": trials_origin or selection.model_dump(),
            "evaluate": settings.model_dump(),
            "calibrated": calibration is not None,
        },
        slices, naming,
        health(embeddings.vectors, embeddings.singers, np.random.default_rng([settings.seed, 4])),
        lint(trials, columns, vectors=embeddings.vectors),
        break_down(
            trials, scores, columns, slices[headline].threshold, mask=masks[headline],
            n_worst=settings.clips or 20,
        ),
        _notes(trials, columns, slices), trials, scores, masks, llrs,
    )  # fmt: skip


def draw(embeddings: EmbeddingSet, selection: TrialSettings) -> TrialList:
    """The trials that the settings ask for, of a set's recordings."""
    return draw_from(embeddings.ids, embeddings.columns(), selection, embeddings.vectors)


def draw_from(
    ids: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    selection: TrialSettings,
    vectors: npt.NDArray[np.floating] | None = None,
) -> TrialList:
    """The trials that the settings ask for.

    Args:
        ids: id of each recording.
        columns: singer and labels of each.
        selection: the settings; a label in `cross` that no recording has is only left out if it
            is song, for then each recording is a song of its own.
        vectors: `(n, dim)`, for the hardest nontargets.
    """
    gap = None
    if selection.min_pitch_gap or selection.max_pitch_gap:
        gap = (selection.min_pitch_gap, selection.max_pitch_gap or np.inf)
    cross = [name for name in _names(selection.cross) if name != "song" or "song" in columns]
    return draw_trials(
        ids, columns, cross=cross, nontargets=selection.nontargets,
        hardest_k=selection.hardest_k, vectors=vectors, enroll=_conditions(selection.enroll),
        test=_conditions(selection.test), pitch_gap=gap, n_enroll=selection.n_enroll,
        within_corpus=selection.within_corpus and "corpus" in columns,
        max_trials=selection.max_trials, seed=selection.seed,
    )  # fmt: skip


def score(
    embeddings: EmbeddingSet,
    trials: TrialList,
    how: str = "centroid",
    calibration: Calibration | None = None,
) -> FloatArray:
    """Scores of the trials: by cosine, or by the scorer of a calibration.

    Raises:
        MismatchError: the calibration is another encoder's.
    """
    vectors = embeddings.vectors
    if calibration is None:
        if trials.models:
            return model_cosine(vectors, trials.models, trials.enroll, trials.test, how)  # type: ignore[arg-type]
        return cosine(vectors, trials.enroll, trials.test)
    calibration.check(embeddings.encoder)
    return calibration.scorer.trials(vectors, trials.enroll, trials.test, models=trials.models)


def trial_seconds(embeddings: EmbeddingSet, trials: TrialList) -> FloatArray:
    """Duration of the shorter side of each trial in seconds; a model has its recordings' sum."""
    seconds = np.asarray(embeddings.seconds, np.float64)
    enrolled = seconds
    if trials.models:
        enrolled = np.array([seconds[list(rows)].sum() for rows in trials.models])
    return np.minimum(enrolled[trials.enroll], seconds[trials.test])


def slices_of(
    trials: TrialList, columns: Mapping[str, Sequence[str]], settings: EvaluateSettings
) -> dict[str, BoolArray]:
    """Slices of the trials by name, those that have targets and nontargets.

    Raises:
        SingeridError: a label of `settings.slices` does not exist.
    """
    labels = _names(settings.slices)
    for name in labels:
        if name not in columns:
            raise SingeridError(
                f"no label {name!r} to slice by", expected=" or ".join(sorted(columns))
            )
    masks = {ALL: np.ones(len(trials), np.bool_)}
    corpora = sorted(set(columns.get("corpus", ())) - {""})
    if len(corpora) > 1:
        masks |= slice_masks(trials, columns, labels=["corpus"], max_values=len(corpora))
    alike = None
    if "gender" in columns:
        alike = same_gender(trials, columns["gender"])
        paired: dict[str, BoolArray] = {}
        for name, mask in masks.items():
            paired[name] = mask
            paired[SAME_GENDER if name == ALL else f"{name}, {SAME_GENDER}"] = mask & alike
        masks = paired
    others = [name for name in dict.fromkeys([*LABELS, *labels]) if name != "corpus"]
    masks |= slice_masks(trials, columns, within=alike, labels=others)
    if len(corpora) > 1 and "f0" in columns and alike is not None:
        for corpus in corpora:
            within = masks.get(f"corpus {corpus}, {SAME_GENDER}")
            if within is not None:
                of_corpus = slice_masks(trials, columns, within=within, labels=["f0"])
                masks |= {f"corpus {corpus}, {name}": mask for name, mask in of_corpus.items()}
    n_targets = {name: np.count_nonzero(trials.targets[mask]) for name, mask in masks.items()}
    return {
        name: mask for name, mask in masks.items()
        if 0 < n_targets[name] < np.count_nonzero(mask)
    }  # fmt: skip


def summary_lines(report: Report) -> list[str]:
    """The report in a few lines for a terminal."""
    lines = [f"{report.n_recordings} recordings of {report.n_singers} singers"]
    width = max(map(len, report.slices))
    for name, result in report.slices.items():
        lines.append(
            f"{name:<{width}}  EER {rate_text(result.eer, result.eer_interval)} at score "
            f"{result.threshold:.3f}, minDCF {result.min_dcf:.3f}, AUC {result.auc:.3f} "
            f"({result.n_targets:,} targets, {result.n_nontargets:,} nontargets)"
        )
    if naming := report.naming:
        lines.append(
            f"nearest centroid: {rate_text(naming.top_1, naming.top_1_interval)} of "
            f"{naming.n} recordings"
        )
    if report.llrs is not None:
        result = report.slices[report.headline]
        lines.append(
            f"calibration ({report.headline}): Cllr {result.cllr:.3f} bit, at best "
            f"{result.min_cllr:.3f}; detection cost {result.act_dcf:.3f}, at best "
            f"{result.min_dcf:.3f}"
        )
    lines += [f"{f.level}: {f.text} ({f.code})" for f in report.findings if f.level != "info"]
    return [*lines, *(f"note: {note}" for note in report.notes)]


def rate_text(rate: float, bounds: Sequence[float] | None) -> str:
    """A fraction in percent, with its interval if there is one."""
    text = f"{100 * rate:.1f} %"
    return f"{text} [{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]" if bounds else text


def _notes(
    trials: TrialList,
    columns: Mapping[str, Sequence[str]],
    slices: Mapping[str, Verification],
) -> list[str]:
    """What the figures do not say by themselves."""
    notes = []
    if trials.n_possible > len(trials):
        notes.append(f"{len(trials):,} of {trials.n_possible:,} possible trials were sampled")
    if SAME_GENDER not in slices:
        notes.append("no two singers of one known gender: no same-gender error rate")
    return notes


def _names(text: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _conditions(text: str) -> list[str]:
    """Conditions between spaces: commas belong to their values."""
    return text.split()
