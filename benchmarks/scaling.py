"""Time and memory of each stage on corpora of 10³ to 10⁶ recordings, and how both grow.

    OMP_NUM_THREADS=1 python benchmarks/scaling.py [--folder F] [--sizes 1000 ...] [--stages ...]

Each stage is a process of its own, on a synthetic corpus (`scaling_corpus`; 10 recordings a
singer) that is made first and kept until the end. Times are processor time, which other jobs on
the machine change least (with one thread, it is what a stage takes on an idle machine), without
imports and without what a stage needs to be given; of many like calls, the median.
Memory is the peak of the whole process, imports included (some 0.1 GB, 0.5 GB with torch). Growth
is the exponent between the two largest sizes: 1 is linear.
Prints the table of docs/scaling.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

import scaling_corpus
from singerid.batches import BatchMaker
from singerid.sections import EvaluateSettings, TrialSettings
from singerid.store import Store
from singerid.training_sections import BatchSettings
from timing import duration

SIZES = 10**3, 10**4, 10**5, 10**6
FITTED = 10**4  # smaller sizes are mostly constant costs
_BATCHES, _QUESTIONS = 300, 30
_PARTIAL = 32  # frames

Clock = Callable[[], None]


def manifest_write(folder: Path, n: int, start: Clock) -> None:
    """Write a manifest."""
    from singerid.records import write_recordings

    recordings = list(scaling_corpus.recordings(n))
    start()
    write_recordings(folder / "scratch.jsonl", recordings)


def manifest_read(folder: Path, n: int, start: Clock) -> None:
    """Read and validate a manifest."""
    from singerid.records import read_recordings

    start()
    assert len(read_recordings(folder / "manifest.jsonl")) == n


def store_open(folder: Path, n: int, start: Clock) -> None:
    """Open a store."""
    start()
    Store(folder / "store")


def store_check(folder: Path, n: int, start: Clock) -> None:
    """Read all of a store and compare checksums (`singerid store check`)."""
    from singerid.store_check import check

    start()
    assert check(folder / "store").n_recordings == n


def train_start(folder: Path, n: int, start: Clock) -> None:
    """`singerid train` until its first step begins."""
    import singerid.train  # noqa: F401
    from singerid.cli import main
    from singerid.task import SingerTask

    class Begun(BaseException):
        pass

    def first(*arguments: object) -> None:
        raise Begun

    SingerTask.training_step = first  # type: ignore[method-assign, assignment]
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    start()
    try:
        main([
            "train", str(folder / "store"), "-o", str(run), "--batch.partial_frames",
            str(_PARTIAL), "--train.iters", "auto",
        ])  # fmt: skip
    except Begun:
        return
    raise AssertionError("training ended before its first step")


def train_imports(folder: Path, n: int, start: Clock) -> None:
    """What `singerid train` imports: torch, Lightning."""
    start()
    import singerid.train  # noqa: F401


def batch(folder: Path, n: int, start: Clock) -> float:
    """One batch of 8 × 10 partials of a store, read from it: the median of 300."""
    return _median(_maker(Store(folder / "store")).batch, _BATCHES)


def batch_mapped(folder: Path, n: int, start: Clock) -> float:
    """The same, of a store all of whose pages this process has touched before."""
    store = Store(folder / "store")
    for row in store.rows.tolist():
        store.frames(row)[0, 0].item()
    return _median(_maker(store).batch, _BATCHES)


def _maker(store: Store) -> BatchMaker:
    settings = BatchSettings(n_singers=8, n_partials=10, partial_frames=_PARTIAL)
    return BatchMaker(store, "train", settings, 0)


def embeddings_write(folder: Path, n: int, start: Clock) -> None:
    """Write embeddings of 256 dimensions."""
    from singerid.embeddings import write_embeddings

    embeddings = scaling_corpus.embeddings(n)
    start()
    write_embeddings(folder / "scratch.parquet", embeddings)


def embeddings_read(folder: Path, n: int, start: Clock) -> None:
    """Read them."""
    from singerid.embeddings import read_embeddings

    start()
    assert len(read_embeddings(folder / "embeddings.parquet")) == n


def table(folder: Path, n: int, start: Clock) -> None:
    """`singerid table`: read embeddings, one centroid a singer, write."""
    from singerid.embeddings import read_embeddings
    from singerid.table import build_table, write_table

    start()
    write_table(
        folder / "table.parquet", build_table(read_embeddings(folder / "embeddings.parquet"))
    )


def trials_build(folder: Path, n: int, start: Clock) -> None:
    """`singerid trials build` from the manifest: read, draw up to 2 million trials, lint, write."""
    from singerid.cli import main

    start()
    main(["trials", "build", str(folder / "manifest.jsonl"), "-o", str(folder / "trials.txt")])


def evaluate(folder: Path, n: int, start: Clock) -> None:
    """What `singerid evaluate` computes: read, draw up to 2 million trials, rates, intervals."""
    from singerid.embeddings import read_embeddings
    from singerid.evaluate import evaluate as compute

    start()
    embeddings = read_embeddings(folder / "embeddings.parquet")
    compute(embeddings, TrialSettings(), EvaluateSettings())


def identify(folder: Path, n: int, start: Clock) -> float:
    """One question to the table of n / 10 singers: the median of 30."""
    from singerid.table import read_table

    known = read_table(folder / "table.parquet")
    vectors = scaling_corpus.vectors(_QUESTIONS)
    return _median(lambda t: known.identify(vectors[t], known.encoder), _QUESTIONS)


def _map(method: str, folder: Path, start: Clock) -> None:
    from singerid.projection import project
    from singerid.table import read_table

    centroids = read_table(folder / "table.parquet").centroids
    start()
    project(centroids, method)  # type: ignore[arg-type]


def map_pca(folder: Path, n: int, start: Clock) -> None:
    """Project the n / 10 centroids by PCA."""
    _map("pca", folder, start)


def map_umap(folder: Path, n: int, start: Clock) -> None:
    """Project the n / 10 centroids by UMAP, compiling included."""
    _map("umap", folder, start)


def map_opentsne(folder: Path, n: int, start: Clock) -> None:
    """Project the n / 10 centroids by openTSNE."""
    _map("opentsne", folder, start)


def map_tsne(folder: Path, n: int, start: Clock) -> None:
    """Project the n / 10 centroids by t-SNE."""
    _map("tsne", folder, start)


STAGES = {
    stage.__name__: stage
    for stage in (
        manifest_write, manifest_read, store_open, store_check, train_imports, train_start, batch,
        batch_mapped, embeddings_write, embeddings_read, table, trials_build, evaluate, identify,
        map_pca, map_umap, map_opentsne, map_tsne,
    )
}  # fmt: skip
_FIRST = {name: "table" for name in STAGES if name == "identify" or name.startswith("map_")}


def _median(call: Callable[[int], object], times: int) -> float:
    seconds = []
    for t in range(times):
        begun = time.process_time()
        call(t)
        seconds.append(time.process_time() - begun)
    return statistics.median(seconds)


def run_stage(name: str, folder: Path, n: int) -> dict[str, float]:
    """Run a stage here: its figure and all its wall time in seconds, and peak memory in bytes."""
    begun = [time.perf_counter(), time.process_time()]

    def start() -> None:
        begun[:] = time.perf_counter(), time.process_time()

    median = STAGES[name](folder, n, start)
    wall, cpu = time.perf_counter() - begun[0], time.process_time() - begun[1]
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    return {"seconds": median or cpu, "wall": wall, "peak": peak}


def measured(name: str, folder: Path, n: int, limit: float) -> dict[str, float] | None:
    """Figures of a stage in a process of its own; None if it failed or took too long."""
    if (needed := _FIRST.get(name)) and not (folder / f"{needed}.parquet").exists():
        measured(needed, folder, n, limit)
    command = [sys.executable, __file__, "--one", name, "--folder", str(folder), "--sizes", str(n)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        print(f"{name} {n}: more than {limit:g} s", flush=True)
        return None
    if done.returncode:
        print(f"{name} {n}: {done.stderr.strip()[-300:]}", flush=True)
        return None
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    gb = figures["peak"] / 1e9
    took = f"{duration(figures['seconds'])}, wall {figures['wall']:.1f} s, {gb:.2f} GB"
    print(f"{name} {n}: {took}", flush=True)
    return figures


def exponent(seconds: Mapping[int, float]) -> float | None:
    """Slope of the logarithms between the two largest sizes measured, from `FITTED` on."""
    sizes = sorted(n for n in seconds if n >= FITTED)[-2:]
    if len(sizes) < 2:
        return None
    a, b = sizes
    return math.log(seconds[b] / seconds[a]) / math.log(b / a)


def table_lines(
    found: Mapping[str, Mapping[int, Mapping[str, float]]], sizes: Sequence[int]
) -> list[str]:
    """The table as Markdown: time and memory by size, and exponents of both."""
    heads = [
        f"10{str(round(math.log10(n))).translate(str.maketrans('3456', '³⁴⁵⁶'))}" for n in sizes
    ]
    lines = [
        f"| stage | {' | '.join(heads)} | growth of time |",
        "|---|" + "---|" * (len(sizes) + 1),
    ]
    for name, by_size in found.items():
        cells = [
            f"{duration(by_size[n]['seconds'])}, {by_size[n]['peak'] / 1e9:.2g} GB"
            if n in by_size else "–"
            for n in sizes
        ]  # fmt: skip
        growth = exponent({n: figures["seconds"] for n, figures in by_size.items()})
        text = "–" if growth is None else f"{growth:.2f}"
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} | {text} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, help="where the corpora lie, and stay")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for a stage")
    parser.add_argument("--one", choices=STAGES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        figures = run_stage(arguments.one, arguments.folder, arguments.sizes[0])
        print(json.dumps(figures))
        return
    root = arguments.folder or Path(tempfile.mkdtemp(prefix="scaling-"))
    found: dict[str, dict[int, dict[str, float]]] = {name: {} for name in arguments.stages}
    print(f"{os.cpu_count()} cores, numpy {np.__version__}, {root}", flush=True)
    try:
        for n in arguments.sizes:
            folder = root / str(n)
            if not folder.exists():
                scaling_corpus.write_corpus(folder, n)
            for name in arguments.stages:
                if took := measured(name, folder, n, arguments.limit):
                    found[name][n] = took
    finally:
        if not arguments.folder:
            shutil.rmtree(root)
    print("\n".join(table_lines(found, arguments.sizes)))


if __name__ == "__main__":
    main()
