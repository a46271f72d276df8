"""What transforms, PLDA and AS-norm do to real vectors, within a corpus and to another.

    python benchmarks/backends.py embeddings.parquet mir1k ravdess_song

Trials: all pairs, targets of two songs, nontargets of one gender. "Within" is cross-fitted: each
trial is scored, and its line fitted, without its singers. "To the other" is fitted on the first
corpus, calibration too, and applied to the second. Cllr in bits; minCllr is what a calibration
on the tested trials themselves would leave.
"""

import sys
from typing import Any

import numpy as np

from singerid.embeddings import EmbeddingSet, read_embeddings
from singerid.metrics import eer
from singerid.metrics.likelihood import cllr, min_cllr
from singerid.scoring.calibration_fit import fit_calibration
from singerid.scoring.scorer import cross_scores, fit_scorer
from singerid.trials import all_pairs, same_gender

BACKENDS: dict[str, dict[str, Any]] = {
    "cosine": {},
    "center": {"transform": "center"},
    "whiten": {"transform": "whiten"},
    "wccn": {"transform": "wccn"},
    "PLDA": {"plda": True},
    "center, PLDA": {"transform": "center", "plda": True},
    "AS-norm, centroids": {"cohort_size": 10**6},
    "AS-norm, 100 recordings": {
        "cohort_size": 10**6, "cohort_top": 100, "cohort_centroids": False,
    },
}  # fmt: skip


def trials_of(embeddings: EmbeddingSet) -> tuple[Any, Any, Any]:
    """Enroll, test and targets."""
    trials = all_pairs(embeddings.ids, embeddings.singers, songs=embeddings.label("song"))
    kept = same_gender(trials, embeddings.label("gender"))
    return trials.enroll[kept], trials.test[kept], trials.targets[kept]


def compare(dev: EmbeddingSet, other: EmbeddingSet, options: dict[str, Any]) -> str:
    """One row of the table."""
    (enroll, test, targets), singers = trials_of(dev), np.array(dev.singers)
    within = cross_scores(dev.vectors, dev.singers, enroll, test, n_folds=99, **options)
    scorer = fit_scorer(dev.vectors, dev.singers, **options)
    calibration = fit_calibration(
        within, targets, singers[enroll].tolist(), singers[test].tolist(),
        encoder=dev.encoder, scorer=scorer, crossed=True,
    )  # fmt: skip
    a, b, truth = trials_of(other)
    scores = scorer.trials(other.vectors, a, b)
    return (
        f"{100 * eer(within, targets)[0]:.1f} % | {calibration.overall.held_out_cllr:.2f} | "
        f"{min_cllr(within, targets):.2f} | {100 * eer(scores, truth)[0]:.1f} % | "
        f"{cllr(calibration.llr(scores), truth):.2f} | {min_cllr(scores, truth):.2f}"
    )


def main() -> None:
    """Print one table for each direction."""
    path, *names = sys.argv[1:]
    corpora = [read_embeddings(path).where([f"corpus={name}"]) for name in names]
    for dev, other in (0, 1), (1, 0):
        print(
            f"fitted on {names[dev]} | EER within | Cllr | minCllr | EER to {names[other]} | ",
            end="",
        )
        print("Cllr | minCllr")
        for name, options in BACKENDS.items():
            print(f"{name} | {compare(corpora[dev], corpora[other], options)}", flush=True)


if __name__ == "__main__":
    main()
