"""Embedding by the shipped encoder: speed, memory and a cold start, against limits.

    python benchmarks/embedding.py [encoder.onnx] [--hours H] [--rounds N]

Whole songs from file to vector, beside the least that is possible: decoding alone, and the network
alone. They take turns, because shared machines wander; still, look at the load that is printed.
The audio is sung by virtual singers (44.1 kHz, stereo), so nothing but the package is needed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from singerid import audio, pretrained
from singerid.melody import draw_song
from singerid.runtime import OnnxSingerEncoder
from singerid.sections import EmbedSettings
from singerid.singing import sing
from singerid.voices import draw_singer
from timing import duration, medians

RATE = 44_100
SONG_SECONDS = 240.0
LEAST_SPEED = 300  # times real time
LIMIT_MIB = 500e6 / 2**20
FILE_MB, COLD_SECONDS = 20, 2


def write_song(path: Path, seconds: float, seed: int = 0) -> Path:
    """Singing in stereo; what is longer than a minute repeats it."""
    rng = np.random.default_rng(seed)
    sung = min(seconds, 60.0)
    samples = sing(draw_singer(rng, "singer", "F"), draw_song(rng, sung), rng, 16_000)
    minute = np.repeat(audio.conform(samples, 16_000, RATE)[:, None], 2, axis=1)
    left = round(seconds * RATE)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        while left > 0:
            file.write(minute[:left])
            left -= len(minute)
    return path


def speed(encoder: Path, song: Path, rounds: int) -> Iterator[str]:
    """File → vector, and its parts."""
    whole = OnnxSingerEncoder.load(encoder)
    every = OnnxSingerEncoder.load(encoder, EmbedSettings(min_voice=0))
    frames = whole.front_end.read(song, "mix")[0]
    candidates: dict[str, Callable[[], object]] = {
        "file to vector": partial(whole.embed_file, song),
        "without the voice gate": partial(every.embed_file, song),
        "decode only": partial(audio.load, song, whole.sample_rate),
        "network only": partial(every.embed_partials, frames),
    }
    shared = partial(medians, candidates, rounds=rounds, warmups=1)
    taken, used = _with_processor_time(shared, candidates)
    seconds = audio.probe(song).duration
    for name, value in taken.items():
        bar = f"  (bar {LEAST_SPEED})" if name == "file to vector" else ""
        share = value / taken["file to vector"]
        yield (
            f"{name:<24}{seconds / value:6.0f} x real time, {seconds / used[name]:6.0f} x a core, "
            f"{100 * share:4.0f} % of the whole{bar}"
        )


def _with_processor_time(
    run: Callable[[], dict[str, float]], candidates: dict[str, Callable[[], object]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Wall times of `run`, and the processor's time of one more call each."""
    taken, used = run(), {}
    for name, call in candidates.items():
        start = time.process_time()
        call()
        used[name] = time.process_time() - start
    return taken, used


def opening(encoder: Path, rounds: int) -> Iterator[str]:
    """Time to open the file, and its size."""
    taken = medians({"open": partial(OnnxSingerEncoder.load, encoder)}, rounds=rounds)["open"]
    yield f"opening the encoder: {duration(taken)}"
    yield f"its file: {encoder.stat().st_size / 1e6:.1f} MB  (bar {FILE_MB})"


def peaks(encoder: Path, paths: dict[str, Path]) -> Iterator[str]:
    """Peak resident memory of whole processes."""
    for name, path in paths.items():
        code = (
            "from singerid.runtime import OnnxSingerEncoder\n"
            f"OnnxSingerEncoder.load({str(encoder)!r}).embed_file({str(path)!r})"
        )
        yield f"memory, {name}: {_peak_of(code):.0f} MiB  (bar {LIMIT_MIB:.0f})"


def cold_verify(encoder: Path, folder: Path, rounds: int) -> Iterator[str]:
    """``singerid verify`` of two files of 10 s, each time a new process."""
    files = [str(write_song(folder / f"{seed}.wav", 10, seed)) for seed in range(2)]
    command = ["verify", *files, "--encoder", str(encoder), "--json"]
    taken = []
    for _ in range(max(5, rounds)):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "singerid", *command], check=True, capture_output=True
        )
        taken.append(time.perf_counter() - start)
    median, best = statistics.median(taken), min(taken)
    peak = _peak_of(f"from singerid.cli import main; main({command!r})")
    yield (
        f"cold verify of two 10 s files: {duration(median)}, at best {duration(best)}  "
        f"(bar {COLD_SECONDS} s); {peak:.0f} MiB  (bar {LIMIT_MIB:.0f})"
    )


def _peak_of(code: str) -> float:
    """Peak memory in MiB of a new process that runs this and nothing else (Linux)."""
    code += "\nprint(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return int(done.stdout.splitlines()[-1]) / 1024


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("encoder", nargs="?", default=pretrained.NAME)
    parser.add_argument("--hours", type=float, default=1.0, help="length of the long recording")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    encoder = pretrained.path_of(arguments.encoder, ".onnx")
    print(f"load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        song = write_song(folder / "song.wav", SONG_SECONDS)
        long = write_song(folder / "long.wav", 3600 * arguments.hours)
        sections = {
            "a song of 4 min": speed(encoder, song, arguments.rounds),
            f"{arguments.hours:g} h": speed(encoder, long, 1),
            "start": opening(encoder, arguments.rounds),
            "memory": peaks(encoder, {"4 min": song, f"{arguments.hours:g} h": long}),
            "verify": cold_verify(encoder, folder, arguments.rounds),
        }
        for title, lines in sections.items():
            print(title)
            for line in lines:
                print(f"  {line}", flush=True)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
