"""Speed and memory against references and limits, as ratios of medians in one run.

    python benchmarks/bench.py [section ...] [--rounds N]

Without sections, all of them (some minutes on 2 cores). Candidates take turns, because shared
machines wander; still, look at the load that is printed. The references do the same job in the
manner of the original (`reference.py`). Recordings are those of DAMP in ``../shared/audio``,
or else a corpus of virtual singers made on the spot.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import memory
import reference
from singerid import audio, corpora, extraction, manifest, train
from singerid.batches import BatchMaker
from singerid.checkpoint import EncoderFile
from singerid.config import ORIGINAL, merge, resolve
from singerid.data import TrainingData
from singerid.embed import TorchSingerEncoder
from singerid.encoders import build_encoder
from singerid.losses import similarity_matrix
from singerid.melody import draw_song
from singerid.records import Recording, write_recordings
from singerid.sections import EmbedSettings, ManifestSettings
from singerid.singing import SAMPLE_RATE, sing
from singerid.spec import FeatureSpec
from singerid.store import Store
from singerid.task import SingerTask
from singerid.training_sections import BatchSettings
from singerid.virtual import write_virtual_corpus
from singerid.voices import draw_singer
from timing import duration, medians, ratio_line

DAMP = Path(__file__).resolve().parents[2] / "shared" / "audio" / "damp_examples"
WORKERS = 2
PARTIALS = 10


class Corpus:
    """The recordings that all sections share, and what is made from them, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = FeatureSpec()

    @cached_property
    def recordings(self) -> list[Recording]:
        """DAMP's examples or virtual singers, all in the training split."""
        if DAMP.exists():
            found = corpora.scan("damp", DAMP)
        else:
            print(f"  (no {DAMP}: virtual singers instead)")
            found = corpora.scan("csv", write_virtual_corpus(self.folder / "audio"))
        built = manifest.build(found, ManifestSettings())
        return [dataclasses.replace(r, split="train") for r in built.recordings]

    @property
    def paths(self) -> list[Path]:
        """Their files."""
        return [Path(r.path) for r in self.recordings]

    @property
    def seconds(self) -> float:
        """Their total duration."""
        return sum(r.duration for r in self.recordings)

    def extract(self) -> Store:
        """Our features, into a new store each time."""
        path = tempfile.mkdtemp(dir=self.folder)
        return extraction.extract(self.recordings, path, self.spec, WORKERS)[1]

    @cached_property
    def store(self) -> Store:
        """One store of our features."""
        return self.extract()

    @cached_property
    def reference_features(self) -> Path:
        """The same features as the original keeps them: a file for each recording."""
        for recording in self.recordings:
            file = self.folder / "reference" / recording.singer / f"{Path(recording.path).stem}.npy"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, self.store.features(recording.id))
        return self.folder / "reference"


def features(corpus: Corpus, rounds: int) -> Iterator[str]:
    """Files to stored features, 2 workers; against a pool of 2 processes and decoding alone."""

    def decode() -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(lambda path: audio.load(path, SAMPLE_RATE)[1], corpus.paths))

    out = corpus.folder / "reference_pool"
    taken = medians(
        {
            "ours": corpus.extract,
            "reference": lambda: reference.reference_extract(corpus.paths, out, WORKERS),
            "decoding and resampling": decode,
        },
        rounds=rounds,
    )
    speed = {name: f"{name} {corpus.seconds / s:.0f} x real time" for name, s in taken.items()}
    yield ", ".join(speed.values())
    yield f"{ratio_line(taken)}  (bar 3)"
    yield f"ours / limit {taken['ours'] / taken['decoding and resampling']:.2f}  (bar 1.6)"


def batches(corpus: Corpus, rounds: int) -> Iterator[str]:
    """Assembling a batch of 10 partials of each of up to 8 singers."""
    n_singers = min(8, len({r.singer for r in corpus.recordings}))
    settings = BatchSettings(n_singers=n_singers, n_partials=PARTIALS)
    maker = BatchMaker(corpus.store, "train", settings, seed=0)
    theirs = reference.ReferenceBatches(corpus.reference_features, n_singers, PARTIALS)
    numbers = count()
    taken = medians(
        {"ours": lambda: maker.batch(next(numbers)), "reference": theirs.next_batch},
        rounds=10 * rounds,
    )
    yield f"{n_singers} singers: {ratio_line(taken)}  (bar 50)"


def ge2e(corpus: Corpus, rounds: int) -> Iterator[str]:
    """The similarity matrix of 10 partials a singer, forward and with its gradient."""
    for n_singers in (8, 64, 256):
        torch.manual_seed(0)
        grouped = nn.functional.normalize(torch.randn(n_singers, PARTIALS, 256), dim=2)
        singers = torch.arange(n_singers).repeat_interleave(PARTIALS)
        flat = grouped.flatten(0, 1)

        def ours(flat: Tensor = flat, singers: Tensor = singers) -> Tensor:
            return similarity_matrix(flat, singers)[0] * 10.0 - 5.0

        def theirs(grouped: Tensor = grouped) -> Tensor:
            return reference.reference_similarity_matrix(grouped, 10.0, -5.0)

        def gradient(similarities: Callable[[Tensor], Tensor], vectors: Tensor) -> None:
            similarities(vectors.clone().requires_grad_()).square().mean().backward()  # type: ignore[no-untyped-call]

        forward = medians({"ours": ours, "reference": theirs}, rounds=3 * rounds)
        both = medians(
            {
                "ours": partial(gradient, ours, flat),
                "reference": partial(gradient, theirs, grouped),
            },
            rounds=3 * rounds,
        )
        bar = "  (bar 20)" if n_singers == 64 else ""
        yield f"{n_singers} singers, forward: {ratio_line(forward)}{bar}"
        yield f"{n_singers} singers, forward and backward: {ratio_line(both)}"


def step(corpus: Corpus, rounds: int) -> Iterator[str]:
    """A training step of the default LSTM: forward, losses, figures, backward, clipping, Adam."""
    theirs = reference.ReferenceEncoder()
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-4)
    batch = np.random.default_rng(0).random((80, 128, 80), np.float32)
    ours = {f"ours {p}": _our_step(p, batch) for p in ("32", "bf16")}
    taken = medians(
        ours | {"reference": lambda: reference.reference_train_step(theirs, optimizer, batch)},
        rounds=rounds,
    )
    for name in ours:
        yield f"{ratio_line(taken, name)}  (bar 2.5 with bf16, where the processor is fast in it)"


def _our_step(
    precision: str, batch: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> Callable[[], None]:
    config = resolve(merge(ORIGINAL, {"train": {"precision": precision}}))
    task = SingerTask(config, config.feature_spec, 8)
    optimizer = task.configure_optimizers()
    inputs = torch.from_numpy(batch).reshape(8, PARTIALS, 128, 80), torch.arange(8)

    def run() -> None:
        loss = task.training_step(inputs, 0)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(task.parameters(), config.train.gradient_clip)
        optimizer.step()

    return run


def overhead(corpus: Corpus, rounds: int) -> Iterator[str]:
    """What `fit` adds to the bare forward and backward pass of the same network and batch size.

    The bare pass is timed between the steps, so that both see the same spells of the machine.
    """
    n_singers = min(8, len({r.singer for r in corpus.recordings}))
    given = {
        "batch": {"n_singers": n_singers, "n_partials": 80 // n_singers},
        "train": {"steps": 3 * rounds + 1, "train_iters": 1000, "precision": "32"},
    }
    config = resolve(merge(ORIGINAL, given))
    network = build_encoder(config.encoder, corpus.spec.n_dims)
    inputs = torch.rand(config.batch.n_partials * n_singers, 128, corpus.spec.n_dims)
    steps: list[float] = []
    bare: list[float] = []
    began = 0.0

    def on_step(number: int, figures: Mapping[str, float]) -> None:
        nonlocal began
        if began:  # the first step also warms up
            steps.append(time.perf_counter() - began)
        start = time.perf_counter()
        network.zero_grad()
        network(inputs).sum().backward()
        bare.append(time.perf_counter() - start)
        began = time.perf_counter()

    data = TrainingData.from_store(config, corpus.store)
    path = Path(tempfile.mkdtemp(dir=corpus.folder))
    train.fit(config, data, path, say=lambda line: None, on_step=on_step)
    whole, part = statistics.median(steps), statistics.median(bare[1:])
    yield (
        f"step {duration(whole)}, bare forward and backward {duration(part)}: "
        f"{100 * (whole / part - 1):+.1f} %  (bar +5 %)"
    )


def embed(corpus: Corpus, rounds: int) -> Iterator[str]:
    """A whole recording, from stored features to one vector, by the default LSTM."""
    recording = min(corpus.recordings, key=lambda r: abs(r.duration - 120))
    theirs = reference.ReferenceEncoder()
    folder = corpus.folder / "one"
    (folder / "singer").mkdir(parents=True, exist_ok=True)
    np.save(folder / "singer" / "recording.npy", corpus.store.features(recording.id))

    def ours(precision: str) -> Callable[[], object]:
        config = resolve(ORIGINAL)
        network = build_encoder(config.encoder, corpus.spec.n_dims).eval()
        file = EncoderFile(network, config.encoder, corpus.spec, 128, "benchmark")
        encoder = TorchSingerEncoder(file, EmbedSettings.model_validate({"precision": precision}))
        return lambda: encoder.embed_store(corpus.store, [recording])

    candidates = {"ours 32": ours("32"), "ours bf16": ours("bf16")}
    taken = medians(
        candidates | {"reference": lambda: reference.reference_table(theirs, folder)},
        rounds=max(3, rounds // 2),
    )
    speed = [f"{name} {recording.duration / s:.0f} x real time" for name, s in taken.items()]
    yield f"{recording.duration:.0f} s: {', '.join(speed)}"
    for name in candidates:
        yield f"{ratio_line(taken, name)}  (bar 20)"


def voices(corpus: Corpus, rounds: int) -> Iterator[str]:
    """Virtual singers: a song of 8 s in one process."""
    numbers = count()

    def one() -> None:
        rng = np.random.default_rng(next(numbers))
        sing(draw_singer(rng, "x", "FM"[next(numbers) % 2]), draw_song(rng, 8.0), rng)

    taken = medians({"one": one}, rounds=3 * rounds)["one"]
    yield f"{8 / taken:.0f} x real time  (bar 30)"


def peak_memory(corpus: Corpus, rounds: int) -> Iterator[str]:
    """Peak resident memory of whole processes."""
    listing = corpus.folder / "recordings.jsonl"
    write_recordings(listing, corpus.recordings)
    hour = memory.write_hour(corpus.folder / "hour.wav")
    yield f"imports alone: {memory.peak_mib('idle'):.0f} MiB"
    yield f"a stereo file of 1 h: {memory.peak_mib('one_file', hour):.0f} MiB  (bar 1024)"
    hours = corpus.seconds / 3600
    for times in (1, 10):
        peak = memory.peak_mib("corpus", listing, times)
        yield f"a corpus of {times * hours:.2f} h: {peak:.0f} MiB"


SECTIONS: dict[str, Callable[[Corpus, int], Iterator[str]]] = {
    "features": features, "batches": batches, "ge2e": ge2e, "step": step, "overhead": overhead,
    "embed": embed, "voices": voices, "memory": peak_memory,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sections", nargs="*", metavar="section", help=", ".join(SECTIONS))
    parser.add_argument("--rounds", type=int, default=5, help="timed calls of each candidate")
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"no section {sorted(unknown)[0]!r}; there are {', '.join(SECTIONS)}")
    torch.set_flush_denormal(True)  # both sides, else the reference's backward slows down
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus(Path(folder))
        for name in arguments.sections or SECTIONS:
            section = SECTIONS[name]
            print(f"{name}: {(section.__doc__ or '').splitlines()[0]}", flush=True)
            for line in section(corpus, arguments.rounds):
                print(f"  {line}", flush=True)
            print(f"  (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)", flush=True)


if __name__ == "__main__":
    main()
