"""Commands that ask about single recordings: verify, identify."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singerid.errors import SingeridError
from singerid.terminal import check_failures, say, warn

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from singerid.embedder import Embedder
    from singerid.scoring.calibration import Calibration

HINT = "no calibration, so a score only; fit one: singerid calibrate"


def verify(arguments: argparse.Namespace) -> None:
    """Do two recordings hold the same voice?"""
    import numpy as np

    from singerid.scoring.scorer import Scorer

    encoder, calibration = _encoder(arguments)
    vectors, seconds = zip(*(_embed(encoder, path) for path in arguments.files), strict=True)
    scorer = calibration.scorer if calibration else Scorer()
    scores = scorer.pairs(vectors[0][None], vectors[1][None])
    shorter = np.array([min(seconds)])
    answer: dict[str, Any] = {"files": arguments.files, "encoder": encoder.fingerprint}
    answer |= _judged(float(scores[0]), float(shorter[0]), calibration, arguments)
    if arguments.json:
        say(json.dumps(answer))
        return
    if calibration is None:
        say(f"score {answer['score']:.3f}")
        warn(HINT)
        return
    verdict = "the same singer" if answer["accepted"] else "different singers"
    say(
        f"{verdict}: {_decision(answer)}; probability of the same singer "
        f"{answer['probability']:.3f} (prior {arguments.prior:g}, log-likelihood ratio "
        f"{answer['llr']:+.2f})"
    )


def identify(arguments: argparse.Namespace) -> None:
    """Whose voices of a table are these? None, if no score reaches the threshold."""
    import numpy as np

    from singerid.embeddings import check_same_encoder
    from singerid.scoring.scorer import Scorer
    from singerid.table import read_table

    table = read_table(arguments.table)
    encoder, calibration = _encoder(arguments)
    check_same_encoder(encoder.fingerprint, table.encoder, arguments.table)
    scorer = calibration.scorer if calibration else Scorer()
    failures: list[SingeridError] = []
    for path in arguments.files:
        try:
            vector, seconds = _embed(encoder, path)
        except SingeridError as error:
            failures.append(error)
            continue
        scores = scorer.matrix(vector[None], table.centroids)[0]
        best = np.argsort(-scores, kind="stable")[: arguments.top]
        candidates = [
            {"singer": table.singers[i]}
            | _judged(
                float(scores[i]), min(seconds, table.seconds[i] or math.inf), calibration, arguments
            )
            for i in best
        ]
        _say_candidates(path, candidates, arguments.json)
    if calibration is None and not arguments.json:
        warn(HINT)
    check_failures(failures, len(arguments.files), "files")


def _say_candidates(path: str, candidates: list[dict[str, Any]], as_json: bool) -> None:
    known = candidates[0].get("accepted", True)
    if as_json:
        singer = candidates[0]["singer"] if known else None
        say(json.dumps({"file": path, "singer": singer, "candidates": candidates}))
        return
    name = candidates[0]["singer"] if known else "unknown"
    say(f"{path}: {name}" + (f" ({_decision(candidates[0])})" if "llr" in candidates[0] else ""))
    for rank, found in enumerate(candidates, 1):
        line = f"  {rank}. {found['singer']}  score {found['score']:.3f}"
        if "llr" in found:
            line += f", probability {found['probability']:.3f}"
        say(line)


def _judged(
    score: float, seconds: float, calibration: Calibration | None, arguments: argparse.Namespace
) -> dict[str, Any]:
    """What a score means, as far as a calibration tells."""
    import numpy as np

    answer: dict[str, Any] = {"score": round(score, 6)}
    if calibration is None:
        return answer
    llr = calibration.llr(np.array([score]), np.array([seconds]))
    threshold = calibration.threshold(arguments.false_alarm, seconds)
    if threshold is None:  # too few trials of this duration: that of all durations
        threshold = calibration.threshold(arguments.false_alarm)
    probability = float(calibration.probability(llr, arguments.prior)[0])
    # Where even all trials were too few to measure the rate, the likelier answer is taken.
    accepted = score >= threshold if threshold is not None else probability >= 0.5
    return answer | {
        "llr": round(float(llr[0]), 4), "probability": round(probability, 6),
        "prior": arguments.prior, "threshold": threshold,
        "false_alarm": arguments.false_alarm, "accepted": accepted,
    }  # fmt: skip


def _decision(answer: dict[str, Any]) -> str:
    """How it was decided, in words."""
    rate = f"{100 * answer['false_alarm']:g} % false alarms"
    if answer["threshold"] is None:
        return f"score {answer['score']:.3f}, threshold for {rate} never measured"
    return f"score {answer['score']:.3f}, threshold {answer['threshold']:.3f} for {rate}"


def _encoder(arguments: argparse.Namespace) -> tuple[Embedder, Calibration | None]:
    """The encoder and its calibration: the one given, or the one that lies beside it."""
    from singerid.external import load_embedder
    from singerid.scoring.calibration_file import read_calibration

    if not 0 < arguments.prior < 1:
        raise SingeridError(
            "--prior out of range", found=arguments.prior, expected="between 0 and 1"
        )
    encoder = load_embedder(arguments.encoder)
    path = arguments.calibration
    if path is None:
        place = Path(arguments.encoder)
        beside = (place if place.is_dir() else place.parent) / "calibration.safetensors"
        path = str(beside) if beside.is_file() else None
    if path is None:
        return encoder, None
    calibration = read_calibration(path)
    calibration.check(encoder.fingerprint)
    return encoder, calibration


def _embed(encoder: Embedder, path: str) -> tuple[npt.NDArray[np.float32], float]:
    """Vector and duration of a file."""
    from singerid import audio

    samples, warnings = audio.load(path, encoder.sample_rate)
    for line in warnings:
        warn(f"{path}: {line}")
    try:
        return encoder.embed(samples, encoder.sample_rate), len(samples) / encoder.sample_rate
    except SingeridError as error:
        raise SingeridError(
            error.what, where=path, found=error.found, expected=error.expected, do=error.do
        ) from error
