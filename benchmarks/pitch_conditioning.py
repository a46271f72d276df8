"""Does pitch conditioning help across pitch gaps? Same corpus and seeds, with and without.

python benchmarks/pitch_conditioning.py singerid_demo/audio/recordings.csv work/pitch 2
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from singerid.cli import main as singerid
from singerid.embeddings import read_embeddings
from singerid.errors import SingeridError
from singerid.metrics import eer
from singerid.scoring import cosine
from singerid.store import Store
from singerid.trials import all_pairs, same_gender

GAPS = ((0.0, 3.0), (3.0, 7.0), (7.0, 99.0))


def run(*arguments: object) -> None:
    """Run a command, stopping at an error."""
    if singerid([str(argument) for argument in arguments]):
        raise SingeridError("stopped", where=" ".join(map(str, arguments)))


def rates(embeddings_file: Path, pitched: Store) -> list[float]:
    """Same-gender cross-song EER over all trials and by gap of the recordings' median pitch."""
    embeddings = read_embeddings(embeddings_file).where(["split=valid,test"])
    medians = []
    for id in embeddings.ids:
        frames = pitched.features(id)
        midi, unvoiced = (frames[:, pitched.spec.columns[n]][:, 0] for n in ("midi", "unvoiced"))
        medians.append(float(np.median(midi[unvoiced < 0.5])))
    pitch = np.array(medians)
    trials = all_pairs(embeddings.ids, embeddings.singers, songs=embeddings.label("song"))
    scores = cosine(embeddings.vectors, trials.enroll, trials.test)
    kept = trials.targets | same_gender(trials, embeddings.label("gender"))
    gap = np.abs(pitch[trials.enroll] - pitch[trials.test])
    masks = [kept, *(kept & (gap >= low) & (gap < high) for low, high in GAPS)]
    return [100 * eer(scores[mask], trials.targets[mask])[0] for mask in masks]


def main(listing: str, folder: str, n_seeds: str) -> None:
    """Train and evaluate both kinds for each seed; print a table."""
    at = Path(folder)
    run("manifest", listing, "--corpus", "csv", "-o", at / "manifest.jsonl")
    for kind, condition in (("mel", "false"), ("pitch", "true")):
        run("features", at / "manifest.jsonl", "-o", at / kind, "--pitch.condition", condition)
    pitched, lines = Store(at / "pitch"), []
    for kind in ("mel", "pitch"):
        for seed in range(int(n_seeds)):
            path, vectors = at / f"run-{kind}-{seed}", at / f"{kind}-{seed}.parquet"
            run("train", at / kind, "-o", path, "--preset", "demo", "--train.seed", seed,
                "--train.precision", "32", "--overwrite")  # fmt: skip
            run("embed", at / kind, "--encoder", path, "-o", vectors)
            lines.append((kind, seed, rates(vectors, pitched)))
    print("kind   seed   all " + "".join(f"  {low:g}-{high:g}" for low, high in GAPS))
    for kind, seed, figures in lines:
        print(f"{kind:<6} {seed:>4} " + " ".join(f"{figure:5.1f}" for figure in figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
