"""Do generated recordings sound like their singers? Their scores beside those of real ones.

A score of 0.6 says little. What says something is where it lies between the scores of real pairs
that the references give: two recordings of one singer, and of two. The unit is a pair of two
recordings throughout, so that generated and real scores can be compared one by one.

Intervals (95 %) resample singers, or generated recordings where there are fewer than five singers
(`singerid.metrics.bootstrap`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from singerid import metrics
from singerid.embeddings import EmbeddingSet, check_same_encoder, mean_direction
from singerid.errors import SingeridError
from singerid.metrics.bootstrap import bootstrap_mean, interval
from singerid.pair_scores import Group, Rule, Scored, choose_rule, group_of, real_pairs, score_pairs
from singerid.scoring.calibration import Calibration
from singerid.scoring.scorer import Scorer

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
MIN_SINGERS = 5
_IDENTICAL = 0.9999  # score of one recording with itself, or with a copy in another format
_SHORT_SECONDS = 3.0


@dataclass(frozen=True)
class Clip:
    """One generated recording.

    Attributes:
        id: its name.
        singer: whose voice it should be, "" if nobody says.
        n_references: recordings that it was compared with.
        score: mean over them, and so on.
        llr: see `Group`.
        probability: see `Group`.
        accepted: share of the references to whose singer it is accepted.
        nearest: singer whose centroid is nearest; None if there are fewer than two.
    """

    id: str
    singer: str
    n_references: int
    score: float
    llr: float | None
    probability: float | None
    accepted: float | None
    nearest: str | None


@dataclass(frozen=True)
class Similarity:
    """Generated recordings beside real ones; shares are fractions.

    Attributes:
        encoder: fingerprint of the encoder.
        n_generated: generated recordings.
        generated: pairs of a generated recording and a reference.
        same: pairs of two references of one singer (and two songs, where songs are known); None
            if there are none.
        different: pairs of two references of two singers; None if there are none.
        interval_over: what the generated pairs' interval resamples: singers or recordings.
        percentile: share of the real same-singer scores below the generated mean, ties halved.
        difference: mean over singers of generated less real same-singer score; None if no singer
            has both.
        difference_interval: of it; None for fewer than 5 singers.
        auc_same: how often a generated pair scores above a real one of one singer; 0.5 if they
            cannot be told apart.
        auc_different: how often above a real pair of two singers.
        named: share of the generated recordings that are nearest to their own singer's centroid.
        n_candidates: singers among whom they were named.
        false_alarm: share of different singers that the threshold accepts.
        threshold: score from which on a pair is accepted; the median, where it depends on duration.
        threshold_origin: ``calibration`` or ``references``; None if there is no threshold.
        clips: each generated recording, farthest first.
        notes: what a reader must know.
        scores: of the generated, same and different pairs, for pictures.
    """

    encoder: str
    n_generated: int
    generated: Group
    same: Group | None
    different: Group | None
    interval_over: str
    percentile: float | None
    difference: float | None
    difference_interval: tuple[float, float] | None
    auc_same: float | None
    auc_different: float | None
    named: float | None
    n_candidates: int
    false_alarm: float
    threshold: float | None
    threshold_origin: str | None
    clips: Sequence[Clip]
    notes: Sequence[str]
    scores: tuple[FloatArray, FloatArray, FloatArray] = field(repr=False)


def compare(
    generated: EmbeddingSet,
    references: EmbeddingSet,
    pairs: Sequence[tuple[int, int]],
    *,
    calibration: Calibration | None = None,
    prior: float = 0.5,
    false_alarm: float = 0.01,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Similarity:
    """Compare generated recordings with references, and with how references compare.

    Args:
        generated: of one encoder; a singer "" means that nobody says.
        references: of the same encoder.
        pairs: rows of both, at least one.
        calibration: of the encoder, for ratios, probabilities and the threshold.
        prior: of the probabilities.
        false_alarm: of the threshold; without a calibration it is taken from the references'
            pairs of two singers, if there are 100.
        n_bootstrap: resamples behind the intervals, at least 1.
        seed: of sampling and resampling.

    Raises:
        MismatchError: they are of two encoders.
        SingeridError: no pairs.
    """
    check_same_encoder(generated.encoder, references.encoder, "references")
    if calibration:
        calibration.check(generated.encoder)
    if not len(pairs):
        raise SingeridError("there are no pairs to compare")
    rng = np.random.default_rng(seed)
    both = np.asarray(pairs, np.int64)
    scorer = calibration.scorer if calibration else Scorer()
    rows = (both.T, *real_pairs(references, rng))
    ours, same, different = (
        score_pairs(scorer, first, a, references, b)
        for first, (a, b) in zip((generated, references, references), rows, strict=True)
    )
    rule = choose_rule(calibration, prior, false_alarm, same.scores, different.scores)
    singers = np.asarray(generated.singers, object)[both[:, 0]]
    owners = np.asarray(references.singers, object)
    n_singers = len(set(singers)) if all(singers) else 0
    by_singer = n_singers >= MIN_SINGERS
    group = group_of(ours, rule, n_singers, singers if by_singer else both[:, 0], n_bootstrap, rng)
    of_same = _real_group(same, rule, owners[rows[1]], n_bootstrap, rng)
    of_different = _real_group(different, rule, owners[rows[2]], 0, rng)
    difference, bounds = _difference(
        ours.scores, singers, same.scores, owners[rows[1][0]], n_bootstrap, rng
    )
    nearest = _nearest(scorer, generated, references)
    clips = _clips(generated, both, ours, rule, nearest)
    return Similarity(
        generated.encoder, len(clips), group, of_same, of_different,
        "singers" if by_singer else "recordings", _percentile(group.mean, same.scores),
        difference, bounds, _auc(ours.scores, same.scores), _auc(ours.scores, different.scores),
        float(np.mean([clip.nearest == clip.singer for clip in clips])) if nearest else None,
        len(set(owners)) if nearest else 0, false_alarm, rule.level(ours.seconds), rule.origin,
        clips, _notes(generated, references, ours, rule, of_same, of_different),
        (ours.scores, same.scores, different.scores),
    )  # fmt: skip


def _real_group(
    pairs: Scored, rule: Rule, owners: npt.NDArray[np.object_], n_bootstrap: int,
    rng: np.random.Generator,
) -> Group | None:  # fmt: skip
    """Of real pairs, whose singers are `(2, n)`; pairs of two have no interval."""
    if not len(pairs.scores):
        return None
    n_singers = len(set(owners.reshape(-1)))
    over = owners[0] if n_bootstrap and n_singers >= MIN_SINGERS else None
    return group_of(pairs, rule, n_singers, over, n_bootstrap, rng)


def _percentile(mean: float, scores: FloatArray) -> float | None:
    """Share of the scores below the mean, ties halved."""
    if not len(scores):
        return None
    return float(np.mean((scores < mean) + 0.5 * (scores == mean)))


def _difference(
    generated: FloatArray, singers: npt.NDArray[np.object_], same: FloatArray,
    owners: npt.NDArray[np.object_], n_bootstrap: int, rng: np.random.Generator,
) -> tuple[float | None, tuple[float, float] | None]:  # fmt: skip
    """Mean over singers of generated less real score, and its interval."""
    names = sorted(set(singers) & set(owners) - {""})
    if not names:
        return None, None
    gaps = np.array([generated[singers == s].mean() - same[owners == s].mean() for s in names])
    bounds = None
    if len(names) >= MIN_SINGERS:
        bounds = interval(bootstrap_mean(gaps, np.arange(len(names)), n_bootstrap, rng))
    return float(gaps.mean()), bounds


def _auc(a: FloatArray, b: FloatArray) -> float | None:
    """How often one of `a` is above one of `b`."""
    if not len(a) or not len(b):
        return None
    return metrics.auc(np.concatenate([a, b]), np.arange(len(a) + len(b)) < len(a))


def _nearest(scorer: Scorer, generated: EmbeddingSet, references: EmbeddingSet) -> list[str]:
    """The singer whose references' centroid is nearest to each generated recording.

    Empty where there are fewer than two singers, or nobody says who should sing.
    """
    owners = np.asarray(references.singers, object)
    names = sorted(set(owners))
    if len(names) < 2 or not all(names) or not all(generated.singers):
        return []
    centroids = np.stack([mean_direction(references.vectors[owners == name]) for name in names])
    return [names[i] for i in scorer.matrix(generated.vectors, centroids).argmax(axis=1)]


def _clips(
    generated: EmbeddingSet, both: IntArray, pairs: Scored, rule: Rule, nearest: Sequence[str]
) -> list[Clip]:
    llrs, accepted = rule.llrs(pairs), rule.accepted(pairs)
    probabilities = rule.probabilities(llrs)
    clips = []
    for row in sorted(set(both[:, 0].tolist())):
        own = both[:, 0] == row
        llr, probability, share = (
            None if values is None else float(values[own].mean())
            for values in (llrs, probabilities, accepted)
        )
        clips.append(
            Clip(
                generated.ids[row], generated.singers[row], int(own.sum()),
                float(pairs.scores[own].mean()), llr, probability, share,
                nearest[row] if nearest else None,
            )
        )  # fmt: skip
    return sorted(clips, key=lambda clip: (clip.score, clip.id))


def _notes(
    generated: EmbeddingSet, references: EmbeddingSet, pairs: Scored, rule: Rule,
    same: Group | None, different: Group | None,
) -> list[str]:  # fmt: skip
    notes = []
    if n := int((pairs.scores >= _IDENTICAL).sum()):
        notes.append(f"{n} pair(s) hold one recording twice: is a reference among the generated?")
    if not all(references.singers):
        notes.append("nobody says whose references are whose: no real scores to compare with")
    else:
        if same is None:
            notes.append("no singer has two reference recordings: no real scores of one singer")
        if different is None:
            notes.append("references of one singer only: no real scores of two singers")
    if all(generated.singers) and len(set(generated.singers)) < MIN_SINGERS:
        notes.append("fewer than 5 singers: intervals say nothing about other singers")
    if np.mean((pairs.seconds > 0) & (pairs.seconds < _SHORT_SECONDS)) > 0.5:
        notes.append("most pairs have less than 3 s: short recordings score lower and vary more")
    if rule.calibration is None:
        notes.append("no calibration, so scores only; fit one: singerid calibrate")
    return notes
