"""The whole job in minutes, on singers that do not exist: what ``singerid demo`` runs."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from singerid.errors import MissingExtraError, SingeridError
from singerid.features.world import pyworld
from singerid.terminal import progress, say
from singerid.virtual import write_virtual_corpus

N_SINGERS, SONGS_PER_SINGER = 36, 6
RESULTS = (
    ("audio/test", "the songs of the test singers: listen"),
    ("run/inputs/train_0.png", "what the network sees"),
    ("run/log.jsonl", "figures of the training; or: tensorboard --logdir {folder}/run"),
    ("map.png", "every recording of the singers that training never saw"),
    ("report/report.html", "how well they are told apart; listen to the worst trials"),
    ("table.parquet", "one vector a singer"),
)
RESUNG = (
    ("resung/song_00.wav", "a singer's voice with another melody: listen"),
    ("resung/song_01.wav", "another one as somebody else, with other formants"),
    ("resung/song_00.png", "a real song, the re-sung one as training sees it, and its sound"),
)


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
    without_world = _missing_world()
    for command in commands(folder, listing) + ([] if without_world else resinging(folder)):
        say(f"\n$ {shlex.join(['singerid', *command])}")
        if call(command):
            raise SingeridError("the demo stopped", where=shlex.join(command))
    say(f"\nDone in {time.monotonic() - start:.0f} s. Look at:")
    for name, what in RESULTS + (() if without_world else RESUNG):
        say(f"  {folder / name}: {what.format(folder=folder)}")
    if without_world:
        say(f"Left out, re-singing: {without_world}")


def _missing_world() -> str:
    """Why WORLD cannot be used, "" if it can."""
    try:
        pyworld()
    except MissingExtraError as error:
        return str(error)
    return ""


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


def resinging(folder: Path) -> list[list[str]]:
    """The command lines that let two training singers sing anew; they need WORLD."""
    manifest, bank = str(folder / "manifest.jsonl"), str(folder / "voices")
    few = ["--select", "singer=virtual:v000,virtual:v001", "--select", "song=song_00,song_01"]
    sung = ["--resing.stretch_max", "1.5"]  # unlike speech, songs have long vowels already
    return [
        ["voices", manifest, "-o", bank, "--workers", "1", *few],
        ["resing", bank, "-o", str(folder / "resung"), "--n", "2", *sung],
    ]
