"""Peak resident memory of a job, as that of a process that does nothing else (Linux)."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from singerid import extraction
from singerid.features import extract_file
from singerid.records import read_recordings
from singerid.spec import FeatureSpec


def peak_mib(job: str, *arguments: object) -> float:
    """Peak memory in MiB of a new process that runs one of `JOBS`."""
    command = [sys.executable, __file__, job, *map(str, arguments)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def write_hour(path: Path) -> Path:
    """Write an hour of stereo noise at 44.1 kHz."""
    minute = np.random.default_rng(0).normal(0, 0.1, (60 * 44_100, 2)).astype(np.float32)
    with soundfile.SoundFile(path, "w", 44_100, 2, "PCM_16") as file:
        for _ in range(60):
            file.write(minute)
    return path


def idle() -> None:
    """Nothing but the imports."""


def one_file(path: str) -> None:
    """Decode a file and compute its features."""
    extract_file(path, "mix", FeatureSpec())


def corpus(recordings: str, times: str) -> None:
    """Extract a manifest into a store, each recording so many times, with 2 workers."""
    copies = [
        dataclasses.replace(recording, id=f"{recording.id}_{i}")
        for i in range(int(times))
        for recording in read_recordings(recordings)
    ]
    with tempfile.TemporaryDirectory() as folder:
        extraction.extract(copies, Path(folder) / "store", FeatureSpec(), 2)


JOBS = {job.__name__: job for job in (idle, one_file, corpus)}


if __name__ == "__main__":
    JOBS[sys.argv[1]](*sys.argv[2:])
    # Not getrusage: its maximum begins with the memory of the process that started this one.
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
