"""A whole step of `singerid train` over the bare forward and backward pass of its network.

    OMP_NUM_THREADS=1 python benchmarks/training_step.py [network ...] [--steps N]

The whole step is everything from one step's end to the next in `fit`: batch, losses, figures,
clipping, optimizer, logging. Bare passes of a network of the same kind on one of the batches take
turns with the steps, so that both see the same spells of the machine. The step after a validation
is left out. Beside other jobs look at the processor time: it leaves out what they took.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from recipes import NETWORKS, recipe, virtual_store
from singerid.config import Config
from singerid.data import TrainingData
from singerid.encoders import build_encoder
from singerid.store import Store
from singerid.train import fit
from timing import duration

BAR = 1.05
N_SINGERS, N_SONGS = 72, 2  # two thirds of them train: 48
WARMUPS = 2
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


@dataclass
class Turns:
    """Steps and bare passes in turns, as `fit` calls after each step.

    Attributes:
        network: of the bare passes.
        features: their batch `(n, n_frames, n_inputs)`.
        cycle: steps in a cycle.
        steps: seconds of each whole step, by clock.
        bare: seconds of each bare pass, by clock.
    """

    network: torch.nn.Module
    features: torch.Tensor
    cycle: int
    steps: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in CLOCKS})
    bare: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in CLOCKS})
    _began: dict[str, float] = field(default_factory=dict)

    def on_step(self, number: int, figures: Mapping[str, float]) -> None:
        """Note a step's time, then run and time a bare pass."""
        now = _now()
        if number > WARMUPS and number % self.cycle != 1:
            for name, began in self._began.items():
                self.steps[name].append(now[name] - began)
        start = _now()
        self.network.zero_grad(set_to_none=True)
        self.network(self.features).sum().backward()
        end = _now()
        if number > WARMUPS:
            for name in CLOCKS:
                self.bare[name].append(end[name] - start[name])
        self._began = _now()


def _now() -> dict[str, float]:
    return {name: clock() for name, clock in CLOCKS.items()}


def measure(config: Config, store: Store, folder: Path) -> Turns:
    """Train, with bare passes between the steps."""
    data = TrainingData.from_store(config, store)
    features = torch.from_numpy(data.train.batch(0).features).flatten(0, 1)
    torch.manual_seed(0)
    network = build_encoder(config.encoder, store.spec.n_inputs).train()
    turns = Turns(network, features, config.train.train_iters)
    path = Path(tempfile.mkdtemp(dir=folder))
    fit(config, data, path, say=lambda line: None, on_step=turns.on_step)
    return turns


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", help="beginnings of names; all if none")
    parser.add_argument("--steps", type=int, default=42, help="of each training")
    parser.add_argument("--cycle", type=int, default=21, help="steps between two validations")
    given = parser.parse_args()
    chosen = tuple(given.networks) or ("",)
    with tempfile.TemporaryDirectory() as folder:
        store = virtual_store(Path(folder), N_SINGERS, N_SONGS)
        for name in (name for name in NETWORKS if name.startswith(chosen)):
            config = recipe(name, steps=given.steps, train_iters=given.cycle, val_iters=1)
            turns = measure(config, store, Path(folder))
            n, n_frames, _ = turns.features.shape
            print(f"{name}, {n} x {n_frames} frames, {len(turns.bare['wall'])} bare passes")
            for clock in CLOCKS:
                step, bare = (statistics.median(x[clock]) for x in (turns.steps, turns.bare))
                print(
                    f"  {clock}: step {duration(step)}, bare {duration(bare)}, ratio "
                    f"{step / bare:.3f}  (bar {BAR})"
                )
            load, n_threads = os.getloadavg()[0], torch.get_num_threads()
            print(f"  (load {load:.1f}, threads {n_threads})", flush=True)


if __name__ == "__main__":
    main()
