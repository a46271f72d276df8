"""Trials as two lists of names, each once, to be scored with vectors that may be missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from singerid.embeddings import mean_direction
from singerid.errors import SingeridError
from singerid.records import Recording
from singerid.scoring import cosine
from singerid.trials import TrialList

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Vectors = Mapping[str, npt.NDArray[np.float32]]
"""Unit vector `(dim,)` by recording's id."""


@dataclass(frozen=True)
class Sides:
    """Both sides of the trials, each recording and model once.

    Attributes:
        models: ids of the recordings behind each enrolled model.
        tests: id of each tested recording.
        enroll: int64 `(n,)`, index into `models`.
        test: int64 `(n,)`, index into `tests`.
        targets: bool `(n,)`.
        enroll_singers: int64 `(n,)`, a number for each singer.
        test_singers: int64 `(n,)`.
    """

    models: Sequence[Sequence[str]]
    tests: Sequence[str]
    enroll: IntArray
    test: IntArray
    targets: BoolArray
    enroll_singers: IntArray
    test_singers: IntArray

    @classmethod
    def of(cls, trials: TrialList, recordings: Sequence[Recording]) -> Sides:
        """Check the trials against the recordings.

        Raises:
            SingeridError: an id is unknown, or targets are not those of one singer.
        """
        singer_of = {recording.id: recording.singer for recording in recordings}
        used, enroll = np.unique(trials.enroll, return_inverse=True)
        tested, test = np.unique(trials.test, return_inverse=True)
        rows = trials.models
        models = [[trials.ids[i] for i in (rows[m] if rows else (m,))] for m in used.tolist()]
        tests = [trials.ids[i] for i in tested.tolist()]
        for name in (name for model in [*models, tests] for name in model):
            if name not in singer_of:
                raise SingeridError(
                    "a trial names an unknown recording", found=name,
                    do="give the manifest that the trials were made of",
                )  # fmt: skip
        numbers = {name: i for i, name in enumerate(sorted(set(singer_of.values())))}
        a = np.array([numbers[singer_of[model[0]]] for model in models], np.int64)[enroll]
        b = np.array([numbers[singer_of[name]] for name in tests], np.int64)[test]
        wrong = np.flatnonzero((a == b) != trials.targets)
        if len(wrong):
            i = int(wrong[0])
            raise SingeridError(
                "a trial contradicts the recordings", where=f"trial {i}",
                found=f"{'target' if trials.targets[i] else 'nontarget'}, singers "
                f"{singer_of[models[enroll[i]][0]]} and {singer_of[tests[test[i]]]}",
            )  # fmt: skip
        return cls(models, tests, enroll, test, trials.targets, a, b)

    def scores(self, clean: Vectors, tested: Vectors) -> FloatArray:
        """Cosines of trials.

        Args:
            clean: vectors of enrolled recordings; a model is the normalized mean of those that
                are there.
            tested: vectors of tested recordings.

        Returns:
            float64 `(n,)`, NaN where one side has no vector.
        """
        dim = len(next(iter(clean.values()))) if clean else 1
        nowhere = np.full(dim, np.nan, np.float32)
        known = [[clean[name] for name in model if name in clean] for model in self.models]
        sides = [mean_direction(np.stack(vectors)) if vectors else nowhere for vectors in known]
        sides += [tested.get(name, nowhere) for name in self.tests]
        return cosine(np.stack(sides), self.enroll, len(self.models) + self.test)
