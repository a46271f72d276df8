"""Error rates of several trainings that differ in their seed, and how they differ from others.

    python benchmarks/seeds.py base_0.parquet,base_1.parquet supcon_0.parquet,supcon_1.parquet

Each argument is one recipe: embeddings of the same recordings by its trainings, with commas. For
each corpus the equal error rate in % of cross-song trials within a gender: the mean over the
seeds, its 95 % interval over 400 resamples of the singers, each seed's, and the paired difference
from the first recipe. The tables of docs/experiments.md are from here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from singerid.embeddings import EmbeddingSet, read_embeddings

FloatArray = npt.NDArray[np.float64]
N_RESAMPLES = 400


def main() -> None:
    first: dict[str, FloatArray] = {}
    for recipe in sys.argv[1:]:
        print(recipe)
        sets = [read_embeddings(path) for path in recipe.split(",")]
        rng = np.random.default_rng(0)  # the same resamples for every recipe: differences pair
        for corpus in sorted(set(sets[0].label("corpus"))):
            n = len(set(sets[0].where([f"corpus={corpus}"]).singers))
            weights = [np.ones(n), *(resample(n, rng) for _ in range(N_RESAMPLES))]
            rates = np.array([resampled_eer(embeddings, corpus, weights) for embeddings in sets])
            mean = rates.mean(axis=0)
            seeds = ", ".join(f"{rate:.1f}" for rate in rates[:, 0])
            line = f"  {corpus:<14}{shown(mean)} ({seeds})"
            if corpus in first:
                line += f"  difference {shown(mean - first[corpus], sign=True)}"
            first.setdefault(corpus, mean)
            print(line)


def shown(rates: FloatArray, sign: bool = False) -> str:
    """The first value, and the interval of the others."""
    low, high = np.nanpercentile(rates[1:], [2.5, 97.5])
    form = "+.1f" if sign else ".1f"
    return f"{rates[0]:{form}} [{low:{form}}, {high:{form}}]"


def resampled_eer(
    embeddings: EmbeddingSet, corpus: str, weights: Sequence[FloatArray]
) -> FloatArray:
    """Equal error rates in % where each singer counts as often as its weight says."""
    rows = np.flatnonzero(np.array(embeddings.label("corpus")) == corpus)
    _, singer = np.unique(np.array(embeddings.singers)[rows], return_inverse=True)
    song, gender = (np.array(embeddings.label(name))[rows] for name in ("song", "gender"))
    vectors = embeddings.vectors[rows].astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    one, other = np.triu_indices(len(rows), 1)
    same = singer[one] == singer[other]
    used = np.where(same, song[one] != song[other], gender[one] == gender[other])
    one, other, same = one[used], other[used], same[used]
    order = np.argsort(-np.sum(vectors[one] * vectors[other], axis=1), kind="stable")
    one, other, same = singer[one[order]], singer[other[order]], same[order]
    return np.array(
        [weighted_eer(same, np.where(same, w[one], w[one] * w[other])) for w in weights]
    )


def resample(n: int, rng: np.random.Generator) -> FloatArray:
    """How often each of n singers comes when n are drawn with replacement."""
    return np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64)


def weighted_eer(targets: npt.NDArray[np.bool_], weights: FloatArray) -> float:
    """Equal error rate in % of trials from the highest score down; NaN without one kind."""
    hits, alarms = np.cumsum(weights * targets), np.cumsum(weights * ~targets)
    if hits[-1] == 0 or alarms[-1] == 0:
        return float("nan")
    misses, false = 1 - hits / hits[-1], alarms / alarms[-1]
    nearest = int(np.abs(misses - false).argmin())
    return float(50 * (misses[nearest] + false[nearest]))


if __name__ == "__main__":
    main()
