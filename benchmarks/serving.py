"""POST /identify of a real server under 1, 8 and 32 clients, beside the bare encoder.

    python benchmarks/serving.py [--seconds S] [--requests N]

The server is a process of its own with 20 enrolled virtual singers; clients are threads of this
one, each with a connection that is kept; wrong answers end it. The bare encoder hears the same
files (`Judge.hear`) in this process, one after the other, before and after. Rate limits are off. On
a shared machine look at the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import soundfile

from singerid.judge import Judge, load_judge
from singerid.melody import draw_song
from singerid.registry import Exemplar, Registry
from singerid.singing import sing
from singerid.voices import draw_singer

RATE = 44_100
N_SINGERS = 20
N_CLIENTS = (1, 8, 32)


def write_songs(folder: Path, seconds: float) -> list[Path]:
    """A song of each singer, as FLAC."""
    paths = []
    for i in range(N_SINGERS):
        rng = np.random.default_rng(i)
        singer = draw_singer(rng, f"s{i}", "FM"[i % 2])
        samples = sing(singer, draw_song(rng, seconds), rng, RATE)
        path = folder / f"{i}.flac"
        soundfile.write(path, samples[: round(seconds * RATE)], RATE)
        paths.append(path)
    return paths


def enroll(place: Path, paths: list[Path], judge: Judge) -> None:
    registry = Registry.open(place, create=True)
    for path in paths:
        vector = judge.hear(path).vector
        registry.enroll(path.stem, [Exemplar(vector, seconds=8.0)], judge.encoder.fingerprint)


def bare(judge: Judge, paths: list[Path], n: int) -> float:
    """Files a second."""
    start = time.perf_counter()
    for i in range(n):
        judge.hear(paths[i % len(paths)])
    return n / (time.perf_counter() - start)


def ask(url: str, files: list[bytes], n_clients: int, n_requests: int) -> tuple[float, np.ndarray]:
    """Requests a second, and the seconds that each took."""
    times: list[float] = []
    errors: list[str] = []
    left = iter(range(n_requests))
    lock = threading.Lock()

    def client() -> None:
        with httpx.Client(base_url=url, timeout=120) as connection:
            while True:
                with lock:
                    i = next(left, None)
                if i is None:
                    return
                start = time.perf_counter()
                answer = connection.post("/identify", files={"file": files[i % len(files)]})
                times.append(time.perf_counter() - start)
                if answer.status_code != 200 or answer.json()["singer"] != str(i % len(files)):
                    errors.append(f"{answer.status_code}: {answer.text[:200]}")

    threads = [threading.Thread(target=client) for _ in range(n_clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise SystemExit(f"{len(errors)} of {n_requests} answers are wrong: {errors[0]}")
    return n_requests / (time.perf_counter() - start), np.array(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="of a recording")
    parser.add_argument("--requests", type=int, default=400)
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {arguments.seconds:g} s FLAC")
    judge = load_judge()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_songs(folder, arguments.seconds)
        enroll(folder / "registry", paths, judge)
        before = bare(judge, paths, 60)
        command = [sys.executable, "-m", "singerid", "serve", "--registry", name + "/registry"]
        command += ["--port", "0", "--serve.rate", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["address"]
            files = [path.read_bytes() for path in paths]
            ask(url, files, 2, 20)  # warm
            found = {n: ask(url, files, n, arguments.requests) for n in N_CLIENTS}
        finally:
            server.terminate()
            server.wait()
        reference = (before + bare(judge, paths, 60)) / 2
    print(f"bare encoder  {reference:6.1f} files/s  {1000 / reference:6.0f} ms each")
    for n, (rate, times) in found.items():
        middle, late = 1000 * np.quantile(times, [0.5, 0.99])
        print(
            f"{n:3} client(s) {rate:6.1f} requests/s  p50 {middle:5.0f} ms  p99 {late:5.0f} ms  "
            f"{rate / reference:.2f} x the bare encoder's rate"
        )


if __name__ == "__main__":
    main()
