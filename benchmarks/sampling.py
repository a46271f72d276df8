"""Draws of batches from ten thousand and a million recordings: start-up, first batch, median batch.

    OMP_NUM_THREADS=1 python benchmarks/sampling.py [--singers N]

Partials are as short as can be and read from nowhere: what is timed is grouping and drawing. The
first batch of a pass sorts all singers where hard ones shall meet. Times are the process's
processor time.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import numpy.typing as npt

from singerid.batches import BoolArray, FairMaker, IntArray
from singerid.listing import Listing
from singerid.records import Recording
from singerid.spec import FeatureSpec
from singerid.training_sections import BatchSettings
from timing import duration

SIZES = 10**4, 10**6
KINDS = {
    "fair": BatchSettings(partial_frames=8),
    "hard": BatchSettings(partial_frames=8, sampling="hard"),
    "spread in pitch": BatchSettings(partial_frames=8, spread_pitch=True),
    "fair, 48 x 2": BatchSettings(partial_frames=8, n_singers=48, n_partials=2),
}
_FRAMES = np.zeros((8, 80), np.float32)


class Drawer(FairMaker):
    """Batches of silence: all that is left of a batch maker is its draws."""

    def _are_long_enough(self, rows: IntArray) -> BoolArray:
        return np.ones(len(rows), np.bool_)

    def _partial(self, place: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        self._draw_start(100, rng)
        return _FRAMES


def recordings(n: int, n_singers: int) -> list[Recording]:
    """Recordings with the labels that the samplings look at."""
    rng = np.random.default_rng(0)
    singers = rng.integers(n_singers, size=n).tolist()
    f0 = rng.uniform(100, 400, n).tolist()
    return [
        Recording(
            f"recording {i}", f"singer {singer}", "", 8.0, 16000,
            labels={"gender": "fm"[singer % 2], "f0": f"{hz:.1f}"},
        )
        for i, (singer, hz) in enumerate(zip(singers, f0, strict=True))
    ]  # fmt: skip


def batch_seconds(maker: FairMaker, t: int) -> float:
    start = time.process_time()
    maker.batch(t)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--singers", type=float, default=0.1, help="as a share of the recordings")
    parser.add_argument("--batches", type=int, default=300)
    given = parser.parse_args()
    print("| recordings | singers | sampling | start-up | first batch | median | 99 % below |")
    print("|" + " --- |" * 7)
    for n in SIZES:
        found = recordings(n, round(given.singers * n))
        for kind, settings in KINDS.items():
            start = time.process_time()
            maker = Drawer(Listing(found), "train", FeatureSpec(), settings, 0, "benchmark")
            started = time.process_time() - start
            taken = [batch_seconds(maker, t) for t in range(given.batches)]
            times = started, taken[0], statistics.median(taken), float(np.quantile(taken, 0.99))
            row = [f"{n:,}", f"{len(maker.singers):,}", kind, *map(duration, times)]
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
