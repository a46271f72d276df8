"""A registry of many singers: time of a question, exact and indexed, recall of the index, bytes.

The vectors are like those of the encoder `default` on real recordings: two recordings of one singer
score 0.47 on average, and the directions in which singers differ have the spectrum of some 100
equal ones. Every singer has one exemplar; the question is another recording of one of them.

Run: `python benchmarks/registry.py FOLDER [n_singers …]` (10⁶: 3 GB on disk, 6 GB of memory)
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from singerid.registry import Registry, index
from singerid.registry.exemplar import exemplar_schema, vector_column
from singerid.registry.tables import EXEMPLARS, Tables
from singerid.table import Candidate

FloatArray = npt.NDArray[np.float32]
DIM = 614
SAME = 0.47  # mean score of two recordings of one singer
N_QUESTIONS = 100
N_EXACT = 20  # questions that the slow ways are timed with
_BLOCK = 20_000


def spectrum() -> FloatArray:
    """Standard deviation of each dimension, of about 100 effective ones."""
    variance = np.arange(1, DIM + 1) ** -0.75
    deviation: FloatArray = np.sqrt(variance / variance.sum()).astype(np.float32)
    return deviation


def recordings(voices: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Of each of the voices `(n, DIM)`, the vector of a recording."""
    own = rng.standard_normal(voices.shape, dtype=np.float32) * spectrum()
    vectors: FloatArray = np.float32(SAME**0.5) * voices + np.float32((1 - SAME) ** 0.5) * own
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def blocks(
    n: int, rng: np.random.Generator, asked: set[int], questions: list[FloatArray]
) -> Iterator[pa.RecordBatch]:
    """Rows of `n` singers; of those asked for, another recording is put into `questions`."""
    for start in range(0, n, _BLOCK):
        count = min(_BLOCK, n - start)
        voices = rng.standard_normal((count, DIM), dtype=np.float32) * spectrum()
        vectors = recordings(voices, rng)
        own = [i for i in range(count) if start + i in asked]
        questions.extend(recordings(voices[own], rng))
        numbers = range(start, start + count)
        columns: dict[str, Any] = {
            "id": [f"{i:016x}" for i in numbers], "singer": [f"singer {i}" for i in numbers],
            "vector": vector_column(vectors), "sha256": [f"{i:064x}" for i in numbers],
            "path": [f"/audio/corpus/recording {i}.flac" for i in numbers],
            "enrolled_at": ["2026-01-01T00:00:00.000000+00:00"] * count,
            "seconds": [8.0] * count, "voice_seconds": [6.0] * count, "quality": [0.9] * count,
            "has_clip": [False] * count, "labels": ["{}"] * count, "source": [""] * count,
            "version": ["0.1.0"] * count,
        }  # fmt: skip
        schema = exemplar_schema(DIM)
        yield pa.record_batch([columns[name] for name in schema.names], schema=schema)


def timed(ask: Callable[[FloatArray], Any], questions: list[FloatArray]) -> tuple[list[Any], str]:
    """Answers; median, least and 95th percentile of their times."""
    answers, times = [], []
    for question in questions:
        start = time.perf_counter()
        answers.append(ask(question))
        times.append((time.perf_counter() - start) * 1e3)
    return answers, (
        f"{np.median(times):.1f} ms (least {min(times):.1f}, 95 %: {np.quantile(times, 0.95):.1f})"
    )


def names(candidates: list[Candidate]) -> list[str]:
    return [one.singer for one in candidates]


def disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def once(label: str, call: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    result = call()
    print(f"  {label:<44} {time.perf_counter() - start:8.2f} s", flush=True)
    return result


def main(folder: Path, n: int) -> None:
    """Build, ask, index and ask again."""
    place = folder / f"registry-{n}"
    shutil.rmtree(place, ignore_errors=True)
    rng = np.random.default_rng(0)
    asked = set(rng.choice(n, N_QUESTIONS, replace=False).tolist())
    questions: list[FloatArray] = []
    print(f"{n:,} singers of one exemplar, {DIM} dimensions, {os.cpu_count()} cores", flush=True)
    rows = blocks(n, rng, asked, questions)
    tables = Tables(str(place), True)
    once(
        "write", lambda: tables.replace(EXEMPLARS, exemplar_schema(DIM), rows, encoder="e", dim=DIM)
    )
    print(f"  {disk(place) / n:.0f} bytes a singer", flush=True)
    registry = Registry.open(place)
    once("open, list the singers", lambda: len(registry))
    once(
        "read the centroids, first exact answer", lambda: registry.candidates(questions[0], "e", 10)
    )
    exact, text = timed(lambda q: registry.candidates(q, "e", 10), questions)
    print(f"  candidates, exact, centroids in memory: {text}", flush=True)
    right = np.mean(
        [names(e)[0] == f"singer {i}" for e, i in zip(exact, sorted(asked), strict=True)]
    )
    print(f"  the very singer comes first in {right:.0%} of the questions", flush=True)
    _, text = timed(lambda q: registry.search(q, "e", 10), questions[:N_EXACT])
    print(f"  recordings, exact, from disk: {text}", flush=True)
    before = disk(place)
    once("build the index", registry.build_index)
    print(f"  {(disk(place) - before) / n:.0f} more bytes a singer", flush=True)
    fresh = Registry.open(place)
    once("open anew, first answer by the index", lambda: fresh.candidates(questions[0], "e", 10))
    found, text = timed(lambda q: fresh.candidates(q, "e", 10), questions)
    print(f"  candidates, by the index: {text}", flush=True)
    first = np.mean([names(a)[0] == names(b)[0] for a, b in zip(exact, found, strict=True)])
    ten = np.mean([len({*names(a)} & {*names(b)}) / 10 for a, b in zip(exact, found, strict=True)])
    print(f"  recall@1 {first:.3f}, recall@10 {ten:.3f}", flush=True)
    hits, text = timed(lambda q: fresh.search(q, "e", 10), questions)
    print(f"  recordings, by the index: {text}", flush=True)
    same = [
        len({*names(a)} & {hit.exemplar.singer for hit in b}) / 10
        for a, b in zip(exact, hits, strict=True)
    ]
    print(f"  recall@10 of recordings {np.mean(same):.3f}; lists {index.LISTS}", flush=True)
    shutil.rmtree(place)


if __name__ == "__main__":
    for number in sys.argv[2:] or ("1e4", "1e5"):
        main(Path(sys.argv[1]), int(float(number)))
