"""Logistic regression of targets on scores, with trials weighted so that singers count alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from singerid.errors import SingeridError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def trial_weights(targets: BoolArray, enroll: IntArray, test: IntArray) -> FloatArray:
    """Weights that sum to 1 in each class and to the same for each pair of singers in it.

    Trials of the same singers are dependent: a singer with ten times the recordings has a
    hundred times the trials, and knows no more about other singers. For targets the pair is a
    singer with itself.

    Args:
        targets: `(n,)`.
        enroll: `(n,)`, number of the enrolled singer.
        test: `(n,)`, number of the tested singer.

    Returns:
        float64 `(n,)`.
    """
    pairs = np.minimum(enroll, test) * (max(enroll.max(), test.max()) + 1)
    pairs += np.maximum(enroll, test)
    weights = np.empty(len(targets))
    for target in (True, False):
        mask = targets == target
        _, pair, counts = np.unique(pairs[mask], return_inverse=True, return_counts=True)
        weights[mask] = 1 / (len(counts) * counts[pair])
    return weights


def fit_line(
    scores: FloatArray,
    targets: BoolArray,
    weights: FloatArray,
    n_singers: int,
    prior: float = 0.5,
) -> tuple[float, float]:
    """Slope and offset of the natural log-likelihood ratio `slope * score + offset`.

    Prior-weighted logistic regression (Brümmer and du Preez 2006): least mean cost of the
    probabilities `sigmoid(llr + logit(prior))`. A finite sample may be separable, and the
    steepest line then the best; so, after Platt (1999), each class is taken to be mixed with a
    share 1 / (n_singers + 2) of the other (Laplace's rule of succession for as many singers
    without an exception). No slope is infinite then: where all scores of a class are about equal,
    ratios stay below n_singers + 1. Platt counts trials; they are not independent, singers are.

    Args:
        scores: `(n,)`, not all equal.
        targets: `(n,)`, both classes present.
        weights: `(n,)`, summing to 1 in each class.
        n_singers: number of singers in the trials.
        prior: probability of a target at which the fit should be best.

    Raises:
        SingeridError: all scores are equal.
    """
    share = 1 / (n_singers + 2)
    of_targets = np.where(targets, 1 - share, share) * weights * prior
    of_nontargets = np.where(targets, share, 1 - share) * weights * (1 - prior)
    mass = of_targets + of_nontargets
    center = float(mass @ scores)
    spread = float(np.sqrt(mass @ np.square(scores - center)))
    if spread < 1e-9 * max(1.0, abs(center)):
        raise SingeridError(
            "all scores are equal", found=f"{center:g}", do="the encoder has collapsed"
        )
    line = _minimum((scores - center) / spread, float(logit(prior)), of_targets, of_nontargets)
    return float(line[0] / spread), float(line[1] - line[0] * center / spread)


def _minimum(
    x: FloatArray, shift: float, of_targets: FloatArray, of_nontargets: FloatArray
) -> FloatArray:
    """Slope and offset of least cost, by Newton's method; steps that overshoot are halved."""
    mass = of_targets + of_nontargets
    line = np.zeros(2)
    cost = _cost(x, line, shift, of_targets, of_nontargets)
    for _ in range(50):
        chance = expit(line[0] * x + line[1] + shift)
        error, curvature = mass * chance - of_targets, mass * chance * (1 - chance)
        mixed = curvature @ x
        hessian = np.array([[curvature @ np.square(x), mixed], [mixed, curvature.sum()]])
        step = np.linalg.solve(hessian, np.array([error @ x, error.sum()]))
        new = _cost(x, line - step, shift, of_targets, of_nontargets)
        while new > cost and np.abs(step).max() > 1e-12:
            step /= 2
            new = _cost(x, line - step, shift, of_targets, of_nontargets)
        if new >= cost:
            break
        line, cost = line - step, new
    return line


def _cost(
    x: FloatArray, line: FloatArray, shift: float, of_targets: FloatArray, of_nontargets: FloatArray
) -> float:
    """Mean cost in nats of the probabilities of a line."""
    llrs = line[0] * x + line[1] + shift
    costs = of_targets @ np.logaddexp(0, -llrs) + of_nontargets @ np.logaddexp(0, llrs)
    return float(costs)
