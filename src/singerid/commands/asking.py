"""Commands that ask about single recordings: verify, identify."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singerid.errors import SingeridError
from singerid.flags import read_settings
from singerid.terminal import check_failures, say, warn

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from singerid.embedder import Embedder
    from singerid.scoring.calibration import Calibration
    from singerid.scoring.scorer import Scorer

HINT = "no calibration, so a score only; fit one: singerid calibrate"


@dataclass(frozen=True)
class _Voice:
    """A recording that was heard."""

    path: str
    vector: npt.NDArray[np.float32]
    seconds: float
    voice_seconds: float

    def line(self) -> str:
        return f"  {self.path}: {self.seconds:.1f} s, of which {self.voice_seconds:.1f} s voice"


@dataclass(frozen=True)
class _Judge:
    """What tells voices apart: an encoder, and what its scores mean, if that is known."""

    encoder: Embedder
    calibration: Calibration | None
    origin: str | None  # of the calibration
    prior: float
    false_alarm: float

    def scorer(self) -> Scorer:
        from singerid.scoring.scorer import Scorer

        return self.calibration.scorer if self.calibration else Scorer()

    def hear(self, path: str) -> _Voice:
        """Vector and durations of a file; errors and remarks name it."""
        from singerid import audio
        from singerid.voicing import find_voice

        rate = self.encoder.sample_rate
        samples, warnings = audio.load(path, rate)
        for line in warnings:
            warn(f"{path}: {line}")
        try:
            vector = self.encoder.embed(samples, rate)
        except SingeridError as error:
            raise type(error)(
                error.what, where=path, found=error.found, expected=error.expected, do=error.do
            ) from error
        return _Voice(path, vector, len(samples) / rate, find_voice(samples, rate).seconds)

    def judge(self, score: float, seconds: float) -> dict[str, Any]:
        """What a score means, as far as the calibration tells.

        Args:
            score: of the calibration's scorer.
            seconds: of the shorter side.
        """
        import numpy as np

        answer: dict[str, Any] = {"score": round(score, 6)}
        if self.calibration is None:
            return answer
        llr = self.calibration.llr(np.array([score]), np.array([seconds]))
        threshold = self.calibration.threshold(self.false_alarm, seconds)
        if threshold is None:  # too few trials of this duration: that of all durations
            threshold = self.calibration.threshold(self.false_alarm)
        probability = float(self.calibration.probability(llr, self.prior)[0])
        # Where even all trials were too few to measure the rate, the likelier answer is taken.
        accepted = score >= threshold if threshold is not None else probability >= 0.5
        return answer | {
            "llr": round(float(llr[0]), 4), "probability": round(probability, 6),
            "prior": self.prior, "threshold": threshold,
            "false_alarm": self.false_alarm, "accepted": accepted,
        }  # fmt: skip

    def facts(self) -> dict[str, Any]:
        """About encoder and calibration, for an answer in JSON."""
        calibration = None
        if self.calibration:
            calibration = {"origin": self.origin, "notes": self.calibration.notes()}
        return {
            "encoder": self.encoder.fingerprint,
            "encoder_name": getattr(self.encoder, "name", None),
            "calibration": calibration,
        }


def verify(arguments: argparse.Namespace) -> None:
    """Do two recordings hold the same voice?"""
    judge = _judge(arguments)
    voices = [judge.hear(path) for path in arguments.files]
    score = judge.scorer().pairs(voices[0].vector[None], voices[1].vector[None])[0]
    found = judge.judge(float(score), min(voice.seconds for voice in voices))
    if arguments.json:
        durations = {
            "seconds": [round(voice.seconds, 3) for voice in voices],
            "voice_seconds": [round(voice.voice_seconds, 3) for voice in voices],
        }
        say(json.dumps({"files": arguments.files} | durations | judge.facts() | found))
        return
    if judge.calibration is None:
        say(f"score {found['score']:.3f}")
        warn(HINT)
    else:
        verdict = "the same singer" if found["accepted"] else "different singers"
        say(
            f"{verdict}: {_decision(found)}; probability of the same singer "
            f"{found['probability']:.3f} (prior {arguments.prior:g}, log-likelihood ratio "
            f"{found['llr']:+.2f})"
        )
    for voice in voices:
        say(voice.line())


def identify(arguments: argparse.Namespace) -> None:
    """Whose voices of a table are these? None, if no score reaches the threshold."""
    import numpy as np

    from singerid.embeddings import check_same_encoder
    from singerid.table import read_table

    table = read_table(arguments.table)
    judge = _judge(arguments)
    check_same_encoder(judge.encoder.fingerprint, table.encoder, arguments.table)
    scorer = judge.scorer()
    failures: list[SingeridError] = []
    for path in arguments.files:
        try:
            voice = judge.hear(path)
        except SingeridError as error:
            failures.append(error)
            continue
        scores = scorer.matrix(voice.vector[None], table.centroids)[0]
        best = np.argsort(-scores, kind="stable")[: arguments.top]
        candidates = [
            {"singer": table.singers[i]}
            | judge.judge(float(scores[i]), min(voice.seconds, table.seconds[i] or math.inf))
            for i in best
        ]
        _say_candidates(voice, candidates, judge.facts() if arguments.json else None)
    if judge.calibration is None and not arguments.json:
        warn(HINT)
    check_failures(failures, len(arguments.files), "files")


def _say_candidates(
    voice: _Voice, candidates: list[dict[str, Any]], facts: dict[str, Any] | None
) -> None:
    """In words, or with `facts` as JSON."""
    known = candidates[0].get("accepted", True)
    if facts is not None:
        singer = candidates[0]["singer"] if known else None
        answer = {
            "file": voice.path, "seconds": round(voice.seconds, 3),
            "voice_seconds": round(voice.voice_seconds, 3), "singer": singer,
            "candidates": candidates,
        }  # fmt: skip
        say(json.dumps(answer | facts))
        return
    name = candidates[0]["singer"] if known else "unknown"
    how = f" ({_decision(candidates[0])})" if "llr" in candidates[0] else ""
    say(f"{voice.path}: {name}{how}")
    for rank, found in enumerate(candidates, 1):
        line = f"  {rank}. {found['singer']}  score {found['score']:.3f}"
        if "llr" in found:
            line += f", probability {found['probability']:.3f}"
        say(line)


def _decision(found: dict[str, Any]) -> str:
    """How it was decided, in words."""
    rate = f"{100 * found['false_alarm']:g} % false alarms"
    if found["threshold"] is None:
        return f"score {found['score']:.3f}, threshold for {rate} never measured"
    return f"score {found['score']:.3f}, threshold {found['threshold']:.3f} for {rate}"


def _judge(arguments: argparse.Namespace) -> _Judge:
    """The encoder and its calibration."""
    from singerid.external import load_embedder

    if not 0 < arguments.prior < 1:
        raise SingeridError(
            "--prior out of range", found=arguments.prior, expected="between 0 and 1"
        )
    encoder = load_embedder(arguments.encoder, read_settings(arguments).embed)
    calibration, origin = _calibration(encoder, arguments.encoder, arguments.calibration)
    if calibration:
        calibration.check(encoder.fingerprint, origin)
    return _Judge(encoder, calibration, origin, arguments.prior, arguments.false_alarm)


def _calibration(
    encoder: Embedder, name: str, path: str | None
) -> tuple[Calibration | None, str | None]:
    """The calibration given, the one in the encoder's file, or the one beside it; and where."""
    from singerid.scoring.calibration_file import from_bytes, read_calibration

    own: bytes | None = getattr(encoder, "calibration_bytes", None)
    if path is None and own is not None:
        return from_bytes(own, name), name
    place = Path(name)
    if path is None and place.exists():  # an encoder by name has no folder
        beside = (place if place.is_dir() else place.parent) / "calibration.safetensors"
        path = str(beside) if beside.is_file() else None
    return (read_calibration(path), path) if path else (None, None)
