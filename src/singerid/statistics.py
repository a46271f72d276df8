"""Mean and variance of each feature dimension over the training frames, kept beside the store."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from singerid.records import atomic_write
from singerid.spec import fingerprint
from singerid.store import Store

FloatArray = npt.NDArray[np.float64]


def training_statistics(store: Store) -> tuple[FloatArray, FloatArray]:
    """Mean and variance over all frames of the split ``train``, of what the encoder sees.

    A value per dimension of the streams in the encoder's input, a one-hot pitch left out.

    Computed once for a set of recordings and kept in the store's ``statistics.json``.
    """
    columns, names = store.spec.columns, store.spec.input_streams
    entries = [store.entries[r.id] for r in store.recordings if r.split == "train"]
    key = fingerprint([names, *([e.id, e.source, e.n_frames] for e in entries)])
    file = store.path / "statistics.json"
    if file.exists():
        known = json.loads(file.read_text("utf-8"))
        if known["of"] == key:
            return np.array(known["mean"]), np.array(known["variance"])
    mean, variance = frame_statistics(
        np.concatenate([store.features(e.id)[:, columns[name]] for name in names], axis=1)
        for e in entries
    )
    with atomic_write(file) as text:
        json.dump({"of": key, "mean": mean.tolist(), "variance": variance.tolist()}, text)
    return mean, variance


def frame_statistics(
    arrays: Iterable[npt.NDArray[np.floating]],
) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of each column over the rows of all arrays `(n_frames, n_dims)`.

    Arrays are merged one by one (Chan, Golub, LeVeque 1979), which is as exact as two passes
    over everything and never holds more than one of them.
    """
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    for array in arrays:
        frames = np.asarray(array, np.float64)
        its_mean = frames.mean(axis=0)
        shift, total = its_mean - mean, count + len(frames)
        squares = squares + ((frames - its_mean) ** 2).sum(axis=0)
        squares = squares + shift**2 * (count * len(frames) / total)
        mean = mean + shift * (len(frames) / total)
        count = total
    return mean, squares / max(count, 1)
