"""Logistic regression of targets on scores, with trials weighted so that singers count alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
    center, spread = _center_and_spread(scores, mass)
    shift = math.log(prior) - math.log1p(-prior)
    fit = _Fit((scores - center) / spread, of_targets, of_nontargets, shift)
    slope, offset = fit.minimum()
    return slope / spread, offset - slope * center / spread


def fit_line_near(
    scores: FloatArray, targets: BoolArray, weights: FloatArray, slope: float, strength: float
) -> tuple[float, float]:
    """The line of few singers, whose slope is held near that of many others.

    Least mean cost at a prior of 1/2, plus `strength * (slope of the line / slope - 1) ** 2`:
    the offset is theirs, the slope a compromise that is finite for separable scores, too.

    Args:
        scores: `(n,)`, not all equal.
        targets: `(n,)`, both classes present.
        weights: `(n,)`, summing to 1 in each class.
        slope: of the line fitted on many, above 0.
        strength: above 0; nats that doubling the slope costs.

    Raises:
        SingeridError: all scores are equal.
    """
    of_targets = np.where(targets, weights / 2, 0.0)
    of_nontargets = np.where(targets, 0.0, weights / 2)
    center, spread = _center_and_spread(scores, of_targets + of_nontargets)
    x = (scores - center) / spread
    fit = _Fit(x, of_targets, of_nontargets, 0.0, slope * spread, strength)
    found, offset = fit.minimum()
    return found / spread, offset - found * center / spread


def _center_and_spread(scores: FloatArray, mass: FloatArray) -> tuple[float, float]:
    center = float(mass @ scores)
    spread = float(np.sqrt(mass @ np.square(scores - center)))
    if spread < 1e-9 * max(1.0, abs(center)):
        raise SingeridError(
            "all scores are equal", found=f"{center:g}", do="the encoder has collapsed"
        )
    return center, spread


@dataclass(frozen=True)
class _Fit:
    """What a line `slope * x + offset` of least cost is sought for.

    Attributes:
        x: `(n,)`, standardized scores.
        of_targets: weight of each as a target.
        of_nontargets: weight of each as a nontarget.
        shift: log odds of the prior.
        near: slope that it is held near, if `strength` is above 0.
        strength: see `fit_line_near`.
    """

    x: FloatArray
    of_targets: FloatArray
    of_nontargets: FloatArray
    shift: float
    near: float = 1.0
    strength: float = 0.0

    def minimum(self) -> tuple[float, float]:
        """Slope and offset, by Newton's method; steps that overshoot are halved."""
        mass = self.of_targets + self.of_nontargets
        stiffness = 2 * self.strength / self.near**2
        line = np.array([self.near if self.strength else 0.0, 0.0])
        cost = self._cost(line)
        for _ in range(50):
            llrs = line[0] * self.x + line[1] + self.shift
            chance = np.exp(-np.logaddexp(0, -llrs))
            error, curvature = mass * chance - self.of_targets, mass * chance * (1 - chance)
            mixed = curvature @ self.x
            steep = curvature @ np.square(self.x) + stiffness
            slope_error = error @ self.x + stiffness * (line[0] - self.near)
            hessian = np.array([[steep, mixed], [mixed, curvature.sum()]])
            step = np.linalg.solve(hessian, np.array([slope_error, error.sum()]))
            new = self._cost(line - step)
            while new > cost and np.abs(step).max() > 1e-12:
                step /= 2
                new = self._cost(line - step)
            if new >= cost:
                break
            line, cost = line - step, new
        return float(line[0]), float(line[1])

    def _cost(self, line: FloatArray) -> float:
        """Mean cost in nats of the probabilities of a line."""
        llrs = line[0] * self.x + line[1] + self.shift
        costs = self.of_targets @ np.logaddexp(0, -llrs)
        costs += self.of_nontargets @ np.logaddexp(0, llrs)
        return float(costs + self.strength * (line[0] / self.near - 1) ** 2)
