"""Who is it? An encoder, what its scores mean, and the answers that follow from both."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from singerid import audio
from singerid.embedder import Embedder
from singerid.errors import ConfigError, SingeridError
from singerid.external import load_embedder
from singerid.quality import Quality, assess
from singerid.scoring.adaptation import adapt
from singerid.scoring.calibration import Calibration
from singerid.scoring.calibration_file import from_bytes, read_calibration
from singerid.scoring.scorer import Scorer
from singerid.sections import EmbedSettings
from singerid.table import Candidate
from singerid.terminal import warn

FloatArray = npt.NDArray[np.float32]
Answer = dict[str, Any]


@dataclass(frozen=True)
class Voice:
    """A recording that was heard.

    Attributes:
        path: of the file, or what else names the recording.
        vector: float32 `(dim,)` of unit length.
        quality: how far the vector can be trusted.
    """

    path: str
    vector: FloatArray
    quality: Quality

    @property
    def seconds(self) -> float:
        """Of the recording."""
        return self.quality.seconds

    @property
    def voice_seconds(self) -> float:
        """In which a voice sounds."""
        return self.quality.voice_seconds

    def durations(self) -> Answer:
        """For an answer in JSON."""
        return {"seconds": round(self.seconds, 3), "voice_seconds": round(self.voice_seconds, 3)}


@dataclass(frozen=True)
class Judge:
    """What tells voices apart.

    Attributes:
        encoder: makes the vectors.
        calibration: what its scores mean; None: scores only.
        origin: where the calibration is from.
        prior: probability, before listening, that two recordings are of one singer, or that a
            recording is of any enrolled singer.
        false_alarm: share of other singers that `verify` may accept.
    """

    encoder: Embedder
    calibration: Calibration | None = None
    origin: str | None = None
    prior: float = 0.5
    false_alarm: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.prior < 1:
            raise ConfigError("prior out of range", found=self.prior, expected="between 0 and 1")
        if self.calibration:
            self.calibration.check(self.encoder.fingerprint, self.origin)
            self.calibration.threshold(self.false_alarm)

    def adapted_to(self, vectors: FloatArray, singers: Sequence[str]) -> Judge:
        """With a calibration that fits the enrolled singers, if there is enough of them.

        Args:
            vectors: `(n, dim)` of enrolled recordings.
            singers: of each.
        """
        adapted = self.calibration and adapt(self.calibration, vectors, singers)
        if not adapted:
            return self
        people = adapted.overall.n_singers
        return replace(
            self, calibration=adapted, origin=f"{self.origin}, adapted to {people} enrolled singers"
        )

    @property
    def scorer(self) -> Scorer:
        """How vectors are compared."""
        return self.calibration.scorer if self.calibration else Scorer()

    def hear(
        self, path: str | os.PathLike[str], on_warning: Callable[[str], object] = warn
    ) -> Voice:
        """Vector and quality of a file.

        Raises:
            AudioError: the file cannot be read or used; it is named.
        """
        samples, warnings = audio.load(path, self.encoder.sample_rate)
        for line in warnings:
            on_warning(f"{os.fspath(path)}: {line}")
        return self.hear_samples(samples, self.encoder.sample_rate, os.fspath(path))

    def hear_samples(self, samples: npt.NDArray[np.floating], sample_rate: int, name: str) -> Voice:
        """Vector and quality of mono samples `(n_samples,)` in [-1, 1].

        Raises:
            AudioError: they cannot be used; `name` is in it.
        """
        rate = self.encoder.sample_rate
        try:
            mono = audio.conform(samples, sample_rate, rate, copy=False)
            vector = self.encoder.embed(mono, rate)
        except SingeridError as error:
            raise type(error)(
                error.what, where=name, found=error.found, expected=error.expected, do=error.do
            ) from error
        return Voice(name, vector, assess(mono, rate))

    def verify(self, a: FloatArray, b: FloatArray, seconds: float) -> Answer:
        """Are two vectors `(dim,)` of one voice?

        Args:
            a: of one recording, or a centroid.
            b: of the other.
            seconds: duration of the shorter one; 0: unknown.

        Returns:
            score and, with a calibration, llr, probability, prior, threshold (None if the
            false alarm rate could not be measured), false_alarm, accepted.
        """
        score = float(self.scorer.pairs(a[None], b[None])[0])
        answer: Answer = {"score": round(score, 6)}
        if self.calibration is None:
            return answer
        llr = self.calibration.llr(score, seconds)
        threshold = self.calibration.threshold(self.false_alarm, seconds)
        if threshold is None:  # too few trials of this duration: that of all durations
            threshold = self.calibration.threshold(self.false_alarm)
        probability = float(self.calibration.probability(llr, self.prior))
        # Where even all trials were too few to measure the rate, the likelier answer is taken.
        accepted = score >= threshold if threshold is not None else probability >= 0.5
        return answer | {
            "llr": round(float(llr), 4), "probability": round(probability, 6),
            "prior": self.prior, "threshold": threshold,
            "false_alarm": self.false_alarm, "accepted": bool(accepted),
        }  # fmt: skip

    def identify(
        self, voice: Voice, candidates: Sequence[Candidate], n_singers: int, top: int = 5
    ) -> Answer:
        """Which of the enrolled singers is it, or is it somebody else?

        With a calibration, the hypotheses "singer i" (each `prior / n_singers` before listening)
        and "somebody else" (`1 - prior`) are weighed by their likelihood ratios against somebody
        else (open-set identification by Bayes' rule; Brümmer and de Villiers 2010, The speaker
        partitioning problem, section 4). The more singers are enrolled, the more alike a voice
        must be to be named. The ratio of one that is no candidate counts as that of the last
        candidate at most 1.

        Args:
            voice: what was heard.
            candidates: the nearest singers, or all of them.
            n_singers: how many are enrolled.
            top: candidates in the answer.

        Returns:
            singer (None: unknown; without a calibration, the nearest), probability,
            unknown_probability, margin (score of the best less that of the runner-up; None if
            there is none), n_singers, prior, candidates (singer, score, n_recordings and, with a
            calibration, llr and probability; best first).

        Raises:
            SingeridError: nobody is enrolled.
        """
        if not candidates:
            raise SingeridError("nobody is enrolled", do="enroll somebody first: singerid enroll")
        vectors = np.stack([candidate.vector for candidate in candidates])
        scores = self.scorer.matrix(voice.vector[None], vectors)[0]
        seconds = [min(voice.seconds, one.seconds or math.inf) for one in candidates]
        llrs, posterior = self._posterior(scores, seconds, n_singers)
        # Singers whose recordings are of different durations may rank otherwise by the ratio.
        order = np.lexsort([-scores, -posterior])
        found: list[Answer] = []
        for i in order[:top]:
            one = {"singer": candidates[i].singer, "score": round(float(scores[i]), 6)}
            if self.calibration:
                one |= {"llr": round(float(llrs[i]), 4), "probability": _digits(posterior[i])}
            found.append(one | {"n_recordings": candidates[i].n_recordings})
        margin = float(scores[order[0]] - scores[order[1]]) if len(order) > 1 else None
        answer: Answer = {
            "singer": candidates[order[0]].singer, "probability": None,
            "unknown_probability": None,
            "margin": margin if margin is None else round(margin, 6), "n_singers": n_singers,
            "prior": self.prior, "candidates": found,
        }  # fmt: skip
        if self.calibration:
            unknown = max(0.0, 1 - float(posterior.sum()))
            answer |= {"probability": _digits(posterior[order[0]])}
            answer |= {"unknown_probability": _digits(unknown)}
            if unknown >= posterior[order[0]]:
                answer["singer"] = None
        return answer

    def _posterior(
        self, scores: npt.NDArray[np.float64], seconds: Sequence[float], n_singers: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Log-likelihood ratios and probabilities `(n,)` of candidates; zeros if uncalibrated."""
        if self.calibration is None:
            return np.zeros(len(scores)), np.zeros(len(scores))
        llrs = self.calibration.llr(scores, seconds)
        weights = llrs + math.log(self.prior) - math.log(n_singers)
        rest = n_singers - len(scores)  # too far away to have been looked at
        others = [math.log1p(-self.prior)]
        if rest > 0:
            others.append(math.log(rest) + min(float(weights.min()), float((weights - llrs)[0])))
        top = max(float(weights.max()), *others)
        total = np.exp(weights - top).sum() + sum(math.exp(other - top) for other in others)
        return llrs, np.exp(weights - top) / total

    def facts(self) -> Answer:
        """About encoder and calibration, for an answer in JSON."""
        calibration = None
        if self.calibration:
            calibration = {"origin": self.origin, "notes": self.calibration.notes()}
        return {
            "encoder": self.encoder.fingerprint,
            "encoder_name": getattr(self.encoder, "name", None),
            "calibration": calibration,
        }


def load_judge(
    encoder: str = "default",
    calibration: str | os.PathLike[str] | None = None,
    settings: EmbedSettings | None = None,
    prior: float = 0.5,
    false_alarm: float = 0.01,
) -> Judge:
    """An encoder with its calibration.

    Args:
        encoder: see `singerid.external.load_embedder`.
        calibration: a file; None: the one in the encoder's file, or the one beside it, if any.
        settings: how a recording becomes one vector.
        prior: see `Judge`.
        false_alarm: see `Judge`.

    Raises:
        SingeridError: one of them cannot be used, or they do not belong together.
    """
    embedder = load_embedder(encoder, settings)
    found, origin = _calibration(embedder, encoder, calibration)
    return Judge(embedder, found, origin, prior, false_alarm)


def _calibration(
    encoder: Embedder, name: str, path: str | os.PathLike[str] | None
) -> tuple[Calibration | None, str | None]:
    """The calibration given, the one in the encoder's file, or the one beside it; and where."""
    own: bytes | None = getattr(encoder, "calibration_bytes", None)
    if path is None and own is not None:
        return from_bytes(own, name), name
    place = Path(name)
    if path is None and place.exists():  # an encoder by name has no folder
        beside = (place if place.is_dir() else place.parent) / "calibration.safetensors"
        path = beside if beside.is_file() else None
    return (read_calibration(path), os.fspath(path)) if path else (None, None)


def _digits(probability: float) -> float:
    return round(float(probability), 6)
