"""A calibration made to fit the enrolled singers themselves.

A calibration that was fitted on one corpus says little about another: where all sing the same tune
before the same microphone, all scores are higher. But enrolled singers with several recordings
hold trials of their own: each recording against the centroid of its singer's others, and against
the centroids of the other singers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from singerid.embeddings import normalize
from singerid.scoring.calibration import Calibration, Line
from singerid.scoring.logistic import fit_line_near, trial_weights

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
MIN_SINGERS = 3
"""With two recordings or more each; fewer are not adapted to."""
MAX_RECORDINGS = 1000
"""More than these are not asked for: a draw tells as much."""
_STRENGTH = 0.03  # of the slope's tie to the encoder's; see docs/experiments.md


def adapt(
    calibration: Calibration, vectors: npt.NDArray[np.floating], singers: Sequence[str]
) -> Calibration | None:
    """A calibration for recordings against centroids of these singers.

    Args:
        calibration: the encoder's; its scorer stays, and its slope is not left far behind.
        vectors: `(n, dim)`, unit length, of the enrolled recordings.
        singers: of each.

    Returns:
        One line for all durations, its thresholds moved to where the log-likelihood ratio is the
        same as at the encoder's; None if there are fewer than three singers with two
        recordings.
    """
    _, number, counts = np.unique(
        np.asarray(singers, object).astype(str), return_inverse=True, return_counts=True
    )
    if np.count_nonzero(counts >= 2) < MIN_SINGERS:
        return None
    scores, targets, enroll, test = _leave_one_out(calibration, vectors, number, counts)
    weights = trial_weights(targets, enroll, test)
    before = calibration.overall
    slope, offset = fit_line_near(scores, targets, weights, before.scale, _STRENGTH)
    thresholds = tuple(
        (rate, None if score is None else (before.scale * score + before.offset - offset) / slope)
        for rate, score in before.thresholds
    )
    n_targets = int(np.count_nonzero(targets))
    line = Line(
        slope, offset, thresholds, n_targets, len(targets) - n_targets,
        int(np.count_nonzero(counts >= 2)), None,
    )  # fmt: skip
    return Calibration(calibration.encoder, calibration.scorer, line, (), (line,))


def _leave_one_out(
    calibration: Calibration, vectors: npt.NDArray[np.floating], number: IntArray, counts: IntArray
) -> tuple[FloatArray, npt.NDArray[np.bool_], IntArray, IntArray]:
    """Scores, targets and singers of both sides of each recording's trials."""
    sums = np.zeros((len(counts), vectors.shape[1]))
    np.add.at(sums, number, vectors)
    rows = np.arange(len(vectors))
    if len(rows) > MAX_RECORDINGS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MAX_RECORDINGS, replace=False))
    scorer = calibration.scorer
    scores = scorer.matrix(vectors[rows], normalize(sums))
    own = number[rows]
    several = np.flatnonzero(counts[own] >= 2)
    rest = normalize(sums[own[several]] - vectors[rows[several]])
    scores[several, own[several]] = scorer.pairs(rest, vectors[rows[several]])
    targets = np.zeros(scores.shape, bool)
    targets[np.arange(len(rows)), own] = True
    kept = ~targets
    kept[several, own[several]] = True  # a single recording has no others to be compared with
    test, enroll = np.nonzero(kept)
    return scores[kept], targets[kept], enroll, own[test]
