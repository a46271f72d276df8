"""The whole job in minutes, on singers that do not exist: what ``singerid demo`` runs."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from singerid.errors import SingeridError
from singerid.terminal import progress, say
from singerid.virtual import write_virtual_corpus

N_SINGERS, SONGS_PER_SINGER = 36, 6


def run_demo(folder: Path, call: Callable[[Sequence[str]], int], n_processes: int) -> None:
    """Make virtual singers and take their songs from audio to a map, by the usual commands.

    Args:
        folder: where everything goes; a folder of an earlier demo is replaced.
        call: runs a command line and returns its exit status.
        n_processes: processes that sing.

    Raises:
        SingeridError: the folder holds something else, or a command failed.
    """
    mark = folder / ".singerid_demo"
    if folder.exists() and any(folder.iterdir()):
        if not mark.exists():
            raise SingeridError("holds something else", where=folder, do="choose another: -o")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()
    start = time.monotonic()
    n_songs = N_SINGERS * SONGS_PER_SINGER
    say(f"making {N_SINGERS} virtual singers, {SONGS_PER_SINGER} songs each: {folder}/audio")
    with progress("singing", n_songs) as advance:
        listing = write_virtual_corpus(
            folder / "audio", N_SINGERS, SONGS_PER_SINGER, 0, n_processes, advance
        )
    for command in commands(folder, listing):
        say(f"\n$ {shlex.join(['singerid', *command])}")
        if call(command):
            raise SingeridError("the demo stopped", where=shlex.join(command))
    say(f"\nDone in {time.monotonic() - start:.0f} s. Look at:")
    for name, what in (
        ("audio/test", "the songs of the test singers: listen"),
        ("run/inputs/train_0.png", "what the network sees"),
        ("run/log.jsonl", f"figures of the training; or: tensorboard --logdir {folder}/run"),
        ("map.png", "every recording of the singers that training never saw"),
        ("report/report.html", "how well they are told apart; listen to the worst trials"),
        ("table.parquet", "one vector a singer"),
    ):
        say(f"  {folder / name}: {what}")


def commands(folder: Path, listing: Path) -> list[list[str]]:
    """The command lines of the demo, in order."""
    at = {name: str(folder / name) for name in (
        "manifest.jsonl", "store", "run", "embeddings.parquet", "table.parquet", "report", "map.png"
    )}  # fmt: skip
    unseen = ["--select", "split=valid,test"]
    return [
        ["manifest", str(listing), "--corpus", "csv", "-o", at["manifest.jsonl"]],
        ["features", at["manifest.jsonl"], "-o", at["store"]],
        ["train", at["store"], "-o", at["run"], "--preset", "demo"],
        ["embed", at["store"], "--encoder", at["run"], "-o", at["embeddings.parquet"]],
        ["table", at["embeddings.parquet"], "-o", at["table.parquet"]],
        ["evaluate", at["embeddings.parquet"], "-o", at["report"], "--select", "split=test"],
        ["plot", at["embeddings.parquet"], "-o", at["map.png"], *unseen],
    ]
