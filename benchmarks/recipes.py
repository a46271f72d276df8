"""Recipes that the training benchmarks compare, and virtual singers to train on."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from singerid import corpora, manifest
from singerid.config import PRESETS, Config, merge
from singerid.extraction import extract
from singerid.sections import ManifestSettings
from singerid.spec import FeatureSpec
from singerid.store import Store
from singerid.virtual import write_virtual_corpus

Settings = Mapping[str, Mapping[str, Any]]

ORIGINAL: Settings = merge(PRESETS["original"], {"train": {"precision": "32"}})
"""The original's sizes: LSTM 3 x 768, 8 x 10 partials of 128 frames, GE2E, Adam at 1e-4."""

MODERN: Settings = {
    "batch": {"n_singers": 48, "n_partials": 2, "partial_frames": 175},
    "encoder": {"dim": 192, "normalization": "level", "relu": False},
    "loss": {"objective": "aam + prototypical", "margin_warmup": 0.7},
    "train": {
        "optimizer": "adamw", "weight_decay": 0.02, "learning_rate": 2e-3, "warmup_steps": 30,
        "schedule": "cosine", "precision": "32",
    },
}  # fmt: skip
"""All that is recommended but the network."""

NETWORKS: Mapping[str, Settings] = {
    "lstm 3 x 768 (original)": ORIGINAL,
    "ecapa, 512 channels": merge(MODERN, {"encoder": {"kind": "ecapa"}}),
    "resnet 10, 16 channels, stride 2": merge(
        MODERN, {"encoder": {"kind": "resnet", "depth": 10, "channels": 16, "stem_stride": 2}}
    ),
}


def recipe(name: str, **train: Any) -> Config:
    """The recipe whose name starts so, with these settings of the section train."""
    full = next(known for known in NETWORKS if known.startswith(name))
    return Config.model_validate(merge(NETWORKS[full], {"train": train}))


def virtual_store(folder: Path, n_singers: int, n_songs: int) -> Store:
    """Features of a corpus of virtual singers, the default front end's, in a new store."""
    listing = write_virtual_corpus(folder / "audio", n_singers, n_songs)
    built = manifest.build(corpora.scan("csv", listing), ManifestSettings())
    return extract(built.recordings, tempfile.mkdtemp(dir=folder), FeatureSpec(), 1)[1]
