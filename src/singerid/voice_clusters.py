"""Which windows are of one singer: clustering by calibrated likelihood ratios."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from singerid.judge import Judge
from singerid.sections import SegmentSettings

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_PLAIN_SCALE, _PLAIN_OFFSET = 10.0, -5.0  # of an encoder without calibration


def cluster(
    judge: Judge, vectors: FloatArray, seconds: float, settings: SegmentSettings
) -> IntArray:
    """Which of the vectors `(n, dim)` are of one singer.

    Agglomerative, by the average log-likelihood ratio between the members of two clusters: the
    calibration, not a made-up distance, says when to stop.

    Args:
        judge: whose scores and calibration are used.
        vectors: of windows.
        seconds: length of a window.
        settings: threshold, or number of singers.

    Returns:
        `(n,)`, numbers from 0 in the order of appearance.
    """
    if len(vectors) < 2:
        return np.zeros(len(vectors), np.int64)
    from sklearn.cluster import AgglomerativeClustering

    ratios = log_ratios(judge, judge.scorer.matrix(vectors, vectors), seconds)
    top = float(ratios.max())
    wanted = min(settings.n_singers, len(vectors))

    def clustered(number: int) -> IntArray:
        method = AgglomerativeClustering(
            n_clusters=number or None, metric="precomputed", linkage="average",
            distance_threshold=None if number else max(0.0, top - settings.threshold),
        )  # fmt: skip
        return np.asarray(method.fit_predict(top - ratios), np.int64)

    labels = clustered(wanted)
    if labels.max() >= settings.max_singers:
        labels = clustered(settings.max_singers)
    return _in_order(labels)


def log_ratios(judge: Judge, scores: npt.ArrayLike, seconds: float) -> DoubleArray:
    """Log-likelihood ratios of scores of windows; without a calibration, a guess at them."""
    if judge.calibration is None:
        return np.asarray(_PLAIN_SCALE * np.asarray(scores, np.float64) + _PLAIN_OFFSET)
    return judge.calibration.llr(scores, seconds)


def _in_order(labels: IntArray) -> IntArray:
    """The same clusters, numbered by their first members."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse], np.int64)
