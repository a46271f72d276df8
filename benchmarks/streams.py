"""WORLD features beside pyworld alone, and partials on the fly beside stored ones.

python benchmarks/streams.py                (after singerid demo; or: streams.py recordings.csv)
"""

from __future__ import annotations

import sys
import tempfile
from itertools import count
from pathlib import Path

import numpy as np
import pyworld

from singerid import audio, corpora, manifest
from singerid.batches import BatchMaker
from singerid.extraction import extract as extract_store
from singerid.features import extract
from singerid.sections import ManifestSettings
from singerid.spec import FeatureSpec
from singerid.training_sections import AugmentSettings, BatchSettings
from singerid.wave_batches import WaveBatchMaker
from timing import medians, ratio_line


def world(samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    """Extraction of WORLD features, one process: times real time, and ours / pyworld alone."""
    spec = FeatureSpec.model_validate({"features": {"stream": "world"}})
    x = samples.astype(np.float64)

    def alone() -> None:
        f0, times = pyworld.dio(x, 16000, f0_floor=50.0, f0_ceil=1100.0)
        f0 = pyworld.stonemask(x, f0, times, 16000)
        size = pyworld.get_cheaptrick_fft_size(16000, 50.0)
        pyworld.cheaptrick(x, f0, times, 16000, f0_floor=50.0, fft_size=size)
        pyworld.d4c(x, f0, times, 16000, fft_size=size)

    taken = medians({"ours": lambda: extract(samples, spec), "pyworld alone": alone})
    seconds = len(samples) / 16000
    print(", ".join(f"{name} {seconds / s:.1f} x real time" for name, s in taken.items()))
    print(f"ours / pyworld alone {taken['ours'] / taken['pyworld alone']:.2f}")


def on_the_fly(listing: Path) -> None:
    """A batch of 8 × 10 partials: stored, on the fly, on the fly with augmentation."""
    found = manifest.build(corpora.scan("csv", listing), ManifestSettings())
    settings = BatchSettings(n_singers=8, n_partials=10, partial_frames=128)
    spec = FeatureSpec()
    with tempfile.TemporaryDirectory() as folder:
        store = extract_store(found.recordings, folder, spec, 2)[1]
        makers = {
            "on the fly": WaveBatchMaker(found.recordings, "train", spec, settings, 0),
            "augmented": WaveBatchMaker(
                found.recordings, "train", spec, settings, 0, AugmentSettings()
            ),
            "stored": BatchMaker(store, "train", settings, 0),
        }
        numbers = count()
        taken = medians(
            {name: (lambda m=maker: m.batch(next(numbers))) for name, maker in makers.items()}  # type: ignore[misc]
        )
    print(", ".join(f"{name} {1000 * s:.1f} ms" for name, s in taken.items()))
    print(ratio_line(taken, "stored", "on the fly"))


if __name__ == "__main__":
    listing = Path(sys.argv[1] if sys.argv[1:] else "singerid_demo/audio/recordings.csv")
    songs = sorted(listing.parent.rglob("*.flac"))[:4]
    world(np.concatenate([audio.load(song, 16000)[0] for song in songs]))
    on_the_fly(listing)
