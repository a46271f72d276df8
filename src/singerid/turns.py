"""Who has the turn at each moment: a hidden Markov model over singers.

States follow each other as in Landini, Profant, Diez and Burget 2022 (Bayesian HMM clustering of
x-vector sequences, equation 1): the turn is kept, or given up with a probability that the step
tells, and then any state takes it with its prior probability. Posteriors are those of Rabiner 1989
(A tutorial on hidden Markov models, section III A), scaled at each step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DoubleArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Turns:
    """A model of who follows whom.

    Attributes:
        priors: probability of each state where a turn begins, `(n_states,)`, sum 1.
        switch: probability that the turn ends before step t, `(n_steps,)`; that of the first
            step is not used.
    """

    priors: DoubleArray
    switch: DoubleArray

    def posteriors(self, log_likelihoods: DoubleArray) -> DoubleArray:
        """Probability of each state at each step, given all of them (forward-backward).

        Args:
            log_likelihoods: `(n_steps, n_states)`, each row up to a constant.

        Returns:
            float64 `(n_steps, n_states)`, rows sum to 1.
        """
        largest = log_likelihoods.max(axis=1, keepdims=True, initial=-np.inf)
        likelihoods = np.exp(np.maximum(log_likelihoods - largest, -200.0))
        forward = np.empty_like(likelihoods)
        backward = np.ones_like(likelihoods)
        belief = self.priors
        for t in range(len(likelihoods)):
            before = belief if t == 0 else self._step(belief, t)
            belief = before * likelihoods[t]
            belief = belief / belief.sum()
            forward[t] = belief
        for t in range(len(likelihoods) - 2, -1, -1):
            ahead = likelihoods[t + 1] * backward[t + 1]
            switch = self.switch[t + 1]
            # Transitions are symmetric but for the priors, which stand with the new state.
            backward[t] = (1 - switch) * ahead + switch * (self.priors @ ahead)
            backward[t] /= backward[t].max()
        joint = forward * backward
        return np.asarray(joint / joint.sum(axis=1, keepdims=True))

    def _step(self, belief: DoubleArray, t: int) -> DoubleArray:
        return np.asarray((1 - self.switch[t]) * belief + self.switch[t] * self.priors)
