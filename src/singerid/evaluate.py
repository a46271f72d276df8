"""How well embeddings tell singers apart: verification and identification, with intervals."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from singerid import __version__, metrics, plots
from singerid.embeddings import EmbeddingSet
from singerid.errors import SingeridError
from singerid.records import atomic_write
from singerid.scoring import centroid_accuracy, cosine
from singerid.trials import TrialList, all_pairs, same_gender, write_scores, write_trials

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
ALL, SAME_GENDER = "all", "same gender"
P_TARGET = 0.05  # of the minimum detection cost, as in VoxSRC
# Resamples of fewer singers are mostly the same few sets, their spread much too small.
MIN_SINGERS = 5


@dataclass(frozen=True)
class Verification:
    """Error rates over some of the trials; rates are fractions.

    Attributes:
        n_targets: number of target trials.
        n_nontargets: number of nontarget trials.
        n_singers: number of singers in them.
        eer: equal error rate.
        eer_interval: 95 % interval of it, by a bootstrap over singers; None if there are
            fewer than 5 singers, or none was asked for.
        threshold: score at the equal error rate.
        min_dcf: least detection cost at a target prior of 0.05 and unit costs.
        auc: area under the ROC.
    """

    n_targets: int
    n_nontargets: int
    n_singers: int
    eer: float
    eer_interval: tuple[float, float] | None
    threshold: float
    min_dcf: float
    auc: float


@dataclass(frozen=True)
class Report:
    """What `evaluate` found.

    Attributes:
        encoder: fingerprint of the encoder.
        n_recordings: number of recordings.
        n_singers: number of singers.
        settings: how it was computed.
        slices: error rates by slice of the trials: "all", "same gender", and for each of
            several corpora "corpus X" and "corpus X, same gender".
        centroid_accuracy: share of recordings whose nearest centroid is their singer's;
            None if no singer has two recordings.
        n_identified: number of recordings behind it: those whose singer has others.
        notes: what a reader of the figures must know.
        trials: the trials.
        scores: float64 `(n_trials,)`, cosine, six decimals as in the file.
        masks: bool `(n_trials,)` by slice, the trials that count in it.
    """

    encoder: str
    n_recordings: int
    n_singers: int
    settings: Mapping[str, Any]
    slices: Mapping[str, Verification]
    centroid_accuracy: float | None
    n_identified: int
    notes: tuple[str, ...]
    trials: TrialList
    scores: FloatArray
    masks: Mapping[str, BoolArray]


def evaluate(
    embeddings: EmbeddingSet,
    *,
    cross_song: bool = True,
    within_corpus: bool = False,
    max_trials: int = 2_000_000,
    seed: int = 0,
    n_bootstrap: int = 200,
) -> Report:
    """Compare all recordings with each other and find out how well the scores tell singers apart.

    Labels that are looked at, if they exist: song, gender (F or M), corpus.

    Args:
        embeddings: one row a recording, at least two singers.
        cross_song: targets are of two different songs, and a recording is identified without
            its own song in its singer's centroid if the singer has others.
        within_corpus: leave out pairs, and candidates, of another corpus.
        max_trials: sample above this number.
        seed: of the sample and the bootstrap.
        n_bootstrap: number of resamples behind the intervals; 0 for none.

    Returns:
        The report; the same for the same input.

    Raises:
        SingeridError: there are no target or no nontarget trials.
    """
    columns = {name: _column(embeddings, name) for name in ("song", "gender", "corpus")}
    songs = columns["song"] if cross_song else None
    corpora = columns["corpus"] if within_corpus else None
    trials = all_pairs(
        embeddings.ids, embeddings.singers, songs=songs, corpora=corpora,
        max_trials=max_trials, rng=np.random.default_rng([seed, 0]),
    )  # fmt: skip
    if trials.targets.all() or not trials.targets.any():
        raise _too_few(trials, cross_song)
    scores = cosine(embeddings.vectors, trials.enroll, trials.test)
    _, singers = np.unique(embeddings.singers, return_inverse=True)
    slices: dict[str, Verification] = {}
    masks: dict[str, BoolArray] = {}
    for name, mask in _masks(trials, columns["gender"], columns["corpus"]).items():
        n_targets = np.count_nonzero(trials.targets[mask])
        if 0 < n_targets < np.count_nonzero(mask):
            masks[name] = mask
            rng = np.random.default_rng([seed, 1])  # no slice changes another's interval
            slices[name] = _verify(trials, scores, singers, mask, n_bootstrap, rng)
    accuracy, n_identified = centroid_accuracy(
        embeddings.vectors, embeddings.singers, songs=songs, corpora=corpora
    )
    settings = {
        "cross_song": cross_song, "within_corpus": within_corpus, "max_trials": max_trials,
        "seed": seed, "n_bootstrap": n_bootstrap, "p_target": P_TARGET,
    }  # fmt: skip
    notes = _notes(trials, embeddings.singers, columns, slices, cross_song, within_corpus)
    return Report(
        embeddings.encoder, len(embeddings), int(singers.max()) + 1, settings, slices,
        accuracy, n_identified, notes, trials, scores, masks,
    )  # fmt: skip


def write_report(report: Report, folder: str | os.PathLike[str]) -> None:
    """Write trials.txt, scores.txt, det.png, histogram.png and, once they are whole, report.json.

    Rates in report.json are fractions; each file appears only when it is complete.
    """
    folder = Path(folder)
    (folder / "report.json").unlink(missing_ok=True)  # an old one must not stand beside new trials
    write_trials(folder / "trials.txt", report.trials)
    write_scores(folder / "scores.txt", report.trials, report.scores)
    targets = report.trials.targets
    curves = {name: (report.scores[mask], targets[mask]) for name, mask in report.masks.items()}
    plots.save_figure(plots.det_figure(curves, "Detection error tradeoff"), folder / "det.png")
    title, threshold = "Scores of all trials", report.slices[ALL].threshold
    histogram = plots.histogram_figure(report.scores, targets, threshold, title)
    plots.save_figure(histogram, folder / "histogram.png")
    fields = {
        "singerid": __version__, "encoder": report.encoder, "n_recordings": report.n_recordings,
        "n_singers": report.n_singers, "n_trials": len(report.trials),
        "settings": dict(report.settings),
        "slices": {name: asdict(result) for name, result in report.slices.items()},
        "centroid_accuracy": report.centroid_accuracy, "n_identified": report.n_identified,
        "notes": list(report.notes),
    }  # fmt: skip
    with atomic_write(folder / "report.json") as file:
        json.dump(fields, file, indent=2, allow_nan=False)
        file.write("\n")


def summary_lines(report: Report) -> list[str]:
    """The report in a few lines for a terminal."""
    lines = [f"{report.n_recordings} recordings of {report.n_singers} singers"]
    width = max(map(len, report.slices))
    for name, result in report.slices.items():
        interval = ""
        if result.eer_interval:
            low, high = result.eer_interval
            interval = f" [{100 * low:.1f}, {100 * high:.1f}]"
        lines.append(
            f"{name:<{width}}  EER {100 * result.eer:.1f} %{interval} at score "
            f"{result.threshold:.3f}, minDCF {result.min_dcf:.3f}, AUC {result.auc:.3f} "
            f"({result.n_targets:,} targets, {result.n_nontargets:,} nontargets)"
        )
    if report.centroid_accuracy is not None:
        lines.append(
            f"nearest centroid: {100 * report.centroid_accuracy:.1f} % of "
            f"{report.n_identified} recordings"
        )
    return [*lines, *(f"note: {note}" for note in report.notes)]


def _verify(
    trials: TrialList,
    scores: FloatArray,
    singers: npt.NDArray[np.int64],
    mask: BoolArray,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> Verification:
    """Error rates of the trials in the mask."""
    scores, targets = scores[mask], trials.targets[mask]
    enroll, test = singers[trials.enroll[mask]], singers[trials.test[mask]]
    rate, threshold = metrics.eer(scores, targets)
    n_singers = len(np.unique([enroll, test]))
    interval = None
    if n_bootstrap and n_singers >= MIN_SINGERS:
        rates = metrics.bootstrap_eer(scores, targets, enroll, test, n_bootstrap, rng)
        if np.isfinite(rates).mean() > 0.5:
            interval = metrics.interval(rates)
    cost, _ = metrics.min_dcf(scores, targets, P_TARGET)
    n_targets = np.count_nonzero(targets)
    return Verification(
        int(n_targets), int(len(targets) - n_targets), n_singers, rate, interval, threshold,
        cost, metrics.auc(scores, targets),
    )  # fmt: skip


def _masks(
    trials: TrialList, genders: list[str] | None, corpora: list[str] | None
) -> dict[str, BoolArray]:
    """Slices of the trials by name."""
    masks = {ALL: np.ones(len(trials), np.bool_)}
    if corpora and len(set(corpora)) > 1:
        corpus = np.array(corpora, object)
        a, b = corpus[trials.enroll], corpus[trials.test]
        masks |= {f"corpus {name}": (a == name) & (b == name) for name in sorted(set(corpora))}
    if not genders:
        return masks
    alike = same_gender(trials, genders)
    paired: dict[str, BoolArray] = {}
    for name, mask in masks.items():
        paired[name] = mask
        paired[SAME_GENDER if name == ALL else f"{name}, {SAME_GENDER}"] = mask & alike
    return paired


def _notes(
    trials: TrialList,
    singers: Sequence[str],
    columns: Mapping[str, list[str] | None],
    slices: Mapping[str, Verification],
    cross_song: bool,
    within_corpus: bool,
) -> tuple[str, ...]:
    """What the figures do not say by themselves."""
    notes = []
    n_single = sum(count == 1 for count in Counter(singers).values())
    if trials.n_possible > len(trials):
        notes.append(f"{len(trials):,} of {trials.n_possible:,} possible trials were sampled")
    songs = columns["song"]
    if cross_song and (songs is None or not all(songs)):
        missing = len(trials.ids) if songs is None else songs.count("")
        notes.append(f"{missing} recordings have no song label: each counts as a song of its own")
    if len(set(columns["corpus"] or ())) > 1 and not within_corpus:
        notes.append("nontargets of two corpora are easy: see each corpus by itself")
    if SAME_GENDER not in slices:
        notes.append("no two singers of one known gender: no same-gender error rate")
    if n_single:
        notes.append(f"{n_single} singers have a single recording: no target trial is theirs")
    if slices[ALL].n_singers < MIN_SINGERS:
        notes.append(f"fewer than {MIN_SINGERS} singers: no interval, do not trust the figures")
    return tuple(notes)


def _too_few(trials: TrialList, cross_song: bool) -> SingeridError:
    """The error for a class of trials that is missing."""
    if trials.targets.any():
        return SingeridError("no nontarget trials", expected="recordings of at least two singers")
    return SingeridError(
        "no target trials",
        expected="a singer with two recordings" + (" of different songs" if cross_song else ""),
        do="allow pairs of one song with cross_song false" if cross_song else None,
    )


def _column(embeddings: EmbeddingSet, name: str) -> list[str] | None:
    """A label's column if there is such a label."""
    return embeddings.label(name) if name in embeddings.labels else None
