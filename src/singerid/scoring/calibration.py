"""From scores to log-likelihood ratios, probabilities and thresholds, by length of the audio.

A score of 0.8 means nothing by itself: it depends on the encoder, on the kind of audio and on its
length. A calibration is fitted on development trials, whose singers are known, and turns a score
into a natural log-likelihood ratio `llr = scale * score + offset`: how many times as probable the
score is for one singer as for two. Short audio scores differently, so each class of durations (of
the shorter of the two recordings) has a line of its own, where enough singers were heard in it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict

from singerid.errors import ConfigError, MismatchError, SingeridError
from singerid.scoring.scorer import Scorer

FloatArray = npt.NDArray[np.float64]
MIN_SINGERS = 5
"""With target trials of fewer singers, a duration class borrows and a calibration is doubtful."""


@dataclass(frozen=True)
class Line:
    """What was fitted on one class of durations, or on all trials.

    Attributes:
        scale: of `llr = scale * score + offset`, above 0.
        offset: of the same, natural logarithm.
        thresholds: (false alarm rate, score) each; a trial is accepted from that score on. None
            where too few nontarget trials were there to measure the rate: it is never
            extrapolated.
        n_targets: target trials of the class.
        n_nontargets: its nontarget trials.
        n_singers: singers with target trials in it.
        held_out_cllr: Cllr in bits, each trial's line being fitted without its singers; None if
            there are too few of them. Near or above 1, scores say nothing here.
        borrowed: scale, offset, thresholds and Cllr are those of all trials, because the class
            has too few trials or singers, or scores that do not rise with the likelihood.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)  # when read from a file

    scale: float
    offset: float
    thresholds: tuple[tuple[float, float | None], ...]
    n_targets: int
    n_nontargets: int
    n_singers: int
    held_out_cllr: float | None = None
    borrowed: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.scale < np.inf or not np.isfinite(self.offset):
            raise SingeridError(
                "line of the calibration out of range",
                found=f"scale {self.scale}, offset {self.offset}", expected="a scale above 0",
            )  # fmt: skip


@dataclass(frozen=True)
class Calibration:
    """How scores of one encoder are read.

    Attributes:
        encoder: fingerprint of the encoder.
        scorer: how its vectors are scored.
        overall: fitted on all trials; for recordings of unknown duration.
        edges: seconds at which one duration class ends and the next begins, ascending.
        classes: one more than edges.
    """

    encoder: str
    scorer: Scorer
    overall: Line
    edges: tuple[float, ...] = ()
    classes: tuple[Line, ...] = field(default=())

    def __post_init__(self) -> None:
        check_edges(self.edges)
        if len(self.classes) != len(self.edges) + 1:
            raise SingeridError(
                "duration classes do not fit their edges", found=f"{len(self.classes)} classes",
                expected=f"{len(self.edges) + 1}",
            )  # fmt: skip

    def check(self, encoder: str, where: object = None) -> None:
        """Refuse scores of another encoder.

        Raises:
            MismatchError: names both.
        """
        if encoder != self.encoder:
            raise MismatchError(
                "the calibration is another encoder's", where=where,
                found=f"a calibration of {self.encoder}, vectors of {encoder}",
                do="fit one on this encoder's vectors: singerid calibrate",
            )  # fmt: skip

    def line(self, seconds: float = 0.0) -> Line:
        """The line for a trial whose shorter recording has this duration; 0: unknown."""
        return (self.overall, *self.classes)[int(self._index(np.asarray([seconds]))[0])]

    def llr(self, scores: npt.ArrayLike, seconds: npt.ArrayLike = 0.0) -> FloatArray:
        """Natural log-likelihood ratios of scores.

        Args:
            scores: any shape, of `scorer`.
            seconds: duration of the shorter recording, broadcast; 0: unknown.

        Returns:
            float64 of the same shape.
        """
        lines = (self.overall, *self.classes)
        index = self._index(np.asarray(seconds, np.float64))
        scale = np.asarray([line.scale for line in lines])[index]
        offset = np.asarray([line.offset for line in lines])[index]
        return np.asarray(scale * np.asarray(scores, np.float64) + offset)

    @staticmethod
    def probability(llrs: npt.ArrayLike, prior: float = 0.5) -> FloatArray:
        """Probability that both recordings are of one singer, if `prior` was it before hearing.

        Raises:
            ConfigError: the prior is not between 0 and 1.
        """
        if not 0 < prior < 1:
            raise ConfigError("prior out of range", found=prior, expected="above 0 and below 1")
        odds = np.asarray(llrs, np.float64) + math.log(prior) - math.log1p(-prior)
        return np.asarray(np.exp(-np.logaddexp(0.0, -odds)))

    def threshold(self, false_alarm: float, seconds: float = 0.0) -> float | None:
        """Score from which on a trial is accepted, for one of the fitted false alarm rates.

        Returns:
            The score; None if the rate could not be measured.

        Raises:
            ConfigError: no threshold was fitted for this rate.
        """
        thresholds = dict(self.line(seconds).thresholds)
        if false_alarm not in thresholds:
            raise ConfigError(
                "no threshold for this false alarm rate", found=f"{false_alarm:g}",
                expected=" or ".join(f"{rate:g}" for rate in thresholds),
                do="fit one: singerid calibrate",
            )  # fmt: skip
        return thresholds[false_alarm]

    def class_names(self) -> list[str]:
        """Names of the duration classes: "0-3 s" …, the last "12 s and longer"."""
        edges = [f"{edge:g}" for edge in (0.0, *self.edges)]
        names = [f"{low}-{high} s" for low, high in itertools.pairwise(edges)]
        return [*names, f"{edges[-1]} s and longer"]

    def notes(self) -> list[str]:
        """What a user of the figures must know."""
        notes = []
        if self.overall.n_singers < MIN_SINGERS:
            notes.append(f"only {self.overall.n_singers} singers: do not trust the calibration")
        if self.overall.held_out_cllr is not None and self.overall.held_out_cllr >= 1:
            notes.append("on singers left out, the ratios are worse than none (Cllr 1 or more)")
        for name, line in zip(self.class_names(), self.classes, strict=True):
            if line.borrowed and len(self.classes) > 1:
                notes.append(
                    f"{name}: fitted on all durations, for it has {line.n_targets} target and "
                    f"{line.n_nontargets} nontarget trials of {line.n_singers} singers"
                )
        if unknown := [rate for rate, score in self.overall.thresholds if score is None]:
            rates = ", ".join(f"{100 * rate:g} %" for rate in unknown)
            notes.append(f"too few nontarget trials for a threshold at {rates} false alarms")
        return notes

    def _index(self, seconds: FloatArray) -> npt.NDArray[np.intp]:
        """0 where the duration is unknown, otherwise 1 + the number of its class."""
        if not (seconds >= 0).all():  # NaN fails too
            raise SingeridError("a duration is negative or not a number")
        index = np.searchsorted(np.asarray(self.edges, np.float64), seconds, side="right")
        return np.asarray(np.where(seconds == 0, 0, index + 1))


def check_edges(edges: Sequence[float]) -> None:
    """Refuse ends of duration classes that are no ascending seconds.

    Raises:
        ConfigError: they are not.
    """
    if any(not 0 < edge < np.inf for edge in edges) or list(edges) != sorted(set(edges)):
        raise ConfigError(
            "edges of the duration classes out of order", found=list(edges),
            expected="ascending numbers of seconds above 0",
        )  # fmt: skip
