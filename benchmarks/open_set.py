"""Who of the enrolled is it, or somebody else? With the encoder's line, and with an adapted one.

    python benchmarks/open_set.py embeddings.parquet --of mir1k --line-of ravdess_song

Random singers of one corpus are enrolled with a few recordings of half of their songs; all other
recordings are asked, none of an enrolled song. The encoder's line is fitted on another corpus:
what a user with a corpus of their own has. The table of docs/experiments.md ("Open set") is of
`embeddings.parquet` made by `singerid embed valid.jsonl` (docs/model-card.md).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from singerid.calibrate import calibrate
from singerid.embeddings import EmbeddingSet, mean_direction, read_embeddings
from singerid.judge import Judge, Voice
from singerid.metrics.likelihood import cllr
from singerid.quality import Quality
from singerid.scoring.adaptation import adapt
from singerid.scoring.calibration import Calibration
from singerid.sections import CalibrateSettings, TrialSettings
from singerid.table import Candidate


@dataclass(frozen=True)
class Drawn:
    """Enrolled rows by singer, and the rows that are asked."""

    enrolled: dict[str, list[int]]
    asked: list[int]


class _Encoder:
    """Stands for the encoder whose vectors are in the file."""

    sample_rate = 16000

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint


def draw(data: EmbeddingSet, n_singers: int, n_recordings: int, rng: np.random.Generator) -> Drawn:
    """Enroll random singers with recordings of half of their songs."""
    songs = data.label("song")
    enrolled: dict[str, list[int]] = {}
    taken = set()
    for singer in rng.permutation(sorted(set(data.singers)))[:n_singers]:
        rows = [i for i, name in enumerate(data.singers) if name == singer]
        own = rng.permutation(sorted({songs[i] for i in rows}))
        half = set(own[: max(1, len(own) // 2)])
        taken |= {(singer, song) for song in half}
        kept = rng.permutation([i for i in rows if songs[i] in half])[:n_recordings]
        enrolled[str(singer)] = [int(i) for i in kept]
    asked = [i for i in range(len(data)) if (data.singers[i], songs[i]) not in taken]
    return Drawn(enrolled, asked)


def ask(data: EmbeddingSet, drawn: Drawn, calibration: Calibration) -> tuple[list[float], ...]:
    """For each question: known and right, known and missed, strange and named; ratios, targets."""
    judge = Judge(_Encoder(data.encoder), calibration)  # type: ignore[arg-type]
    people = [
        Candidate(name, mean_direction(data.vectors[rows]), 0.0, len(rows))
        for name, rows in drawn.enrolled.items()
    ]
    centroids = np.stack([one.vector for one in people])
    right: list[float] = []
    missed: list[float] = []
    named: list[float] = []
    llrs: list[float] = []
    targets: list[float] = []
    for row in drawn.asked:
        quality = Quality(1.0, (), data.seconds[row], data.seconds[row], 0.0, 0.0, 0.0, 8000.0)
        voice = Voice("", data.vectors[row], quality)
        said = judge.identify(voice, people, len(people))["singer"]
        if data.singers[row] in drawn.enrolled:
            right.append(said == data.singers[row])
            missed.append(said is None)
        else:
            named.append(said is not None)
        scores = calibration.scorer.matrix(data.vectors[row][None], centroids)[0]
        llrs += calibration.llr(scores, data.seconds[row]).tolist()
        targets += [one.singer == data.singers[row] for one in people]
    return right, missed, named, llrs, targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("embeddings")
    parser.add_argument("--of", required=True, metavar="CORPUS", help="who is enrolled and asked")
    parser.add_argument("--line-of", required=True, metavar="CORPUS", help="the encoder's line")
    parser.add_argument("--draws", type=int, default=15)
    arguments = parser.parse_args()
    whole = read_embeddings(arguments.embeddings)
    data = whole.where([f"corpus={arguments.of}"])
    trials = TrialSettings(nontargets="same_gender")
    other = whole.where([f"corpus={arguments.line_of}"])
    encoders = calibrate([other], trials, CalibrateSettings(durations=""))
    for n_singers, n_recordings in ((3, 2), (5, 3), (8, 5)):
        for name in ("encoder's", "adapted"):
            rng = np.random.default_rng(0)
            columns: tuple[list[float], ...] = ([], [], [], [], [])
            for _ in range(arguments.draws):
                drawn = draw(data, n_singers, n_recordings, rng)
                rows = [row for own in drawn.enrolled.values() for row in own]
                line = encoders
                if name == "adapted":
                    singers = [data.singers[row] for row in rows]
                    line = adapt(encoders, data.vectors[rows], singers) or encoders
                for column, values in zip(columns, ask(data, drawn, line), strict=True):
                    column.extend(values)
            right, missed, named = (100 * float(np.mean(column)) for column in columns[:3])
            cost = cllr(np.array(columns[3]), np.array(columns[4], bool))
            print(
                f"{arguments.of} {n_singers} x {n_recordings} {name:10} right {right:5.1f} % "
                f"missed {missed:5.1f} % unknown named {named:5.1f} % Cllr {cost:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
