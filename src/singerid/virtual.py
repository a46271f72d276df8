"""A corpus of virtual singers on disk: example data that the project makes itself."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import soundfile

from singerid.appending import processes
from singerid.errors import ConfigError
from singerid.melody import draw_song
from singerid.records import atomic_write
from singerid.singing import SAMPLE_RATE, sing
from singerid.voices import draw_singer


def write_virtual_corpus(
    root: Path, n_singers: int = 24, songs_per_singer: int = 6, seed: int = 0,
    n_processes: int = 1, on_progress: Callable[[int], None] | None = None,
) -> Path:  # fmt: skip
    """Write a corpus of virtual singers, 6 to 10 s a song, and the table of its recordings.

    The audio is `<root>/<split>/<singer>/<song>.flac`, 16 kHz, 16 bit. Genders alternate; two
    thirds of the singers are for training, a sixth each (at least two) for validation and test.
    A recording depends only on the seed and its singer's and its own number.

    Args:
        root: folder, made if need be.
        n_singers: at least 6, that each split has both genders.
        songs_per_singer: at least 1.
        seed: at least 0; another seed gives other singers.
        n_processes: number of processes; changes nothing in the files.
        on_progress: called with 1 after each recording.

    Returns:
        Path of `<root>/recordings.csv`, written last.

    Raises:
        ConfigError: a number is too small.
    """
    for name, value, least in (
        ("n_singers", n_singers, 6), ("songs_per_singer", songs_per_singer, 1),
        ("seed", seed, 0), ("n_processes", n_processes, 1),
    ):  # fmt: skip
        if value < least:
            raise ConfigError(f"{name} too small", found=value, expected=f"at least {least}")
    jobs = [
        (Path(root), seed, singer, song, _split(singer, n_singers))
        for singer in range(n_singers)
        for song in range(songs_per_singer)
    ]
    rows = []
    with contextlib.ExitStack() as stack:
        results: Iterable[dict[str, object]] = map(_write_song, jobs)
        if n_processes > 1:
            pool = processes(n_processes)
            stack.callback(pool.shutdown, cancel_futures=True)  # on errors and interrupts too
            results = pool.map(_write_song, jobs)
        for row in results:
            rows.append(row)
            if on_progress is not None:
                on_progress(1)
    table = Path(root) / "recordings.csv"
    with atomic_write(table) as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return table


def _split(singer: int, n_singers: int) -> str:
    """Split of a singer: the last sixth is test, the sixth before it valid."""
    n_held_out = max(2, round(n_singers / 6))
    from_end = (n_singers - 1 - singer) // n_held_out
    return ("test", "valid")[from_end] if from_end < 2 else "train"


def _write_song(job: tuple[Path, int, int, int, str]) -> dict[str, object]:
    """Draw, sing and write one recording; returns its row of the table."""
    root, seed, i, j, split = job
    # [seed, i] and [seed, i, 0] seed numpy alike: the singer's own stream is song number 0.
    name, gender = f"v{i:03d}", "FM"[i % 2]
    singer = draw_singer(np.random.default_rng([seed, i, 0]), name, gender)
    rng = np.random.default_rng([seed, i, j + 1])
    audio = sing(singer, draw_song(rng, rng.uniform(6, 10)), rng, SAMPLE_RATE)
    path = f"{split}/{name}/song_{j:02d}.flac"
    with atomic_write(root / path, "wb") as file:
        soundfile.write(file, audio, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return {
        "path": path, "corpus": "virtual", "kind": "singing", "singer": f"virtual:{name}",
        "gender": gender, "song": f"song_{j:02d}", "split": split, "sample_rate": SAMPLE_RATE,
        "duration": f"{len(audio) / SAMPLE_RATE:.2f}",
    }  # fmt: skip
