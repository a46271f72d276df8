"""Time to an equal error rate on virtual singers: our recipe against the original's.

    OMP_NUM_THREADS=1 python benchmarks/time_to_eer.py [--target 0.1] [--limit 5]

Both see the same features of the same training singers and are scored on the same trials of
others (cross-song, same gender). Ours is `fit` with the recommended recipe; the reference does the
original's job in its manner (`reference.py`): a data loader that reads a whole file for each
partial, the LSTM, GE2E in a loop over singers, an EER of each batch, Adam at 1e-4, in float32. Only
training counts, not validation; of ours, also what `fit` prepares. Time is the process's processor
time on one thread, which other jobs on the machine hardly prolong. The reference is given up after
`limit` times the time that ours took.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import reference
from recipes import recipe, virtual_store
from singerid.config import Config
from singerid.data import TrainingData
from singerid.precision import flushed_denormals
from singerid.store import Store
from singerid.train import fit
from singerid.trial_validation import plan_trials

BAR = 5.0
Seen = tuple[int, float, float]
"""Steps done, seconds of training so far, equal error rate of the trials."""


class SingerItems(Dataset[Tensor]):
    """Endless items of a data loader: the partials of one singer, each read from its file."""

    def __init__(self, features: Path) -> None:
        self._singers = reference.ReferenceBatches(features, n_singers=1)

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, number: int) -> Tensor:
        return torch.from_numpy(self._singers.next_batch())


def write_files(store: Store, folder: Path) -> Path:
    """The training features as the original keeps them: a file for each recording."""
    for recording in (r for r in store.recordings if r.split == "train"):
        file = folder / "files" / recording.singer / f"{Path(recording.path).stem}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, store.features(recording.id))
    return folder / "files"


@flushed_denormals()
def reference_run(files: Path, store: Store, every: int) -> Iterator[Seen]:
    """Train in the manner of the original, for ever, with a look at the trials now and then."""
    torch.manual_seed(0)
    model = reference.ReferenceEncoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    trials, _ = plan_trials(store, reference.PARTIAL_FRAMES, Config().validation)
    assert trials is not None
    batches = iter(DataLoader(SingerItems(files), batch_size=8))
    seconds = 0.0
    for step in itertools.count():
        if step % every == 0:
            yield step, seconds, trials(model).figures["trial_eer"]
        start = time.process_time()
        batch = next(batches).flatten(0, 1).numpy()
        reference.reference_train_step(model, optimizer, batch)
        seconds += time.process_time() - start


def our_run(config: Config, store: Store, folder: Path) -> list[Seen]:
    """The whole training: what `singerid train` does in its cycles, but for the validation."""
    seen: list[Seen] = []
    seconds, began = 0.0, 0.0

    def on_step(step: int, figures: Mapping[str, float]) -> None:
        nonlocal seconds, began
        now = time.process_time()
        seconds, began = seconds + now - began, now

    def on_cycle(
        step: int, train: Mapping[str, float], valid: Mapping[str, float], best: bool
    ) -> None:
        nonlocal began
        seen.append((step, seconds, valid["trial_eer"]))
        _show("ours", seen[-1])
        began = time.process_time()

    data = TrainingData.from_store(config, store)
    began = time.process_time()
    path = Path(tempfile.mkdtemp(dir=folder))
    fit(config, data, path, say=lambda line: None, on_step=on_step, on_cycle=on_cycle)
    return seen


def _show(who: str, seen: Seen) -> None:
    step, seconds, eer = seen
    print(f"  {who}: step {step}, {seconds:.1f} s, EER {100 * eer:.1f} %", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", type=float, default=0.1, help="equal error rate to reach")
    parser.add_argument("--limit", type=float, default=BAR, help="times ours, for the reference")
    parser.add_argument("--singers", type=int, default=60, help="two thirds of them train")
    parser.add_argument("--songs", type=int, default=6, help="of each singer")
    parser.add_argument("--steps", type=int, default=100, help="of our recipe")
    parser.add_argument("--seed", type=int, default=0, help="of our recipe")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = virtual_store(Path(folder), given.singers, given.songs)
        config = recipe(
            "resnet", steps=given.steps, train_iters=10, val_iters=1, seed=given.seed
        )  # fmt: skip
        ours = our_run(config, store, Path(folder))
        reached = next((s for _, s, eer in ours if eer <= given.target), None)
        if reached is None:
            raise SystemExit(f"ours did not reach {given.target:g}: raise --target or --steps")
        files = write_files(store, Path(folder))
        for seen in reference_run(files, store, every=5):
            _show("reference", seen)
            if seen[2] <= given.target or seen[1] > given.limit * reached:
                break
    verdict = "reached it after" if seen[2] <= given.target else "had not reached it after"
    print(
        f"EER {given.target:.0%}: ours after {reached:.1f} s; the reference {verdict} "
        f"{seen[1]:.1f} s, {seen[1] / reached:.1f} times as long  (bar {BAR:g})"
    )
    print(f"(load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)")


if __name__ == "__main__":
    main()
