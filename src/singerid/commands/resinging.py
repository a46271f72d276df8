"""Command that lets one hear and see what training sings: resing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from singerid.errors import ConfigError
from singerid.flags import read_settings
from singerid.terminal import need_torch, progress, say

if TYPE_CHECKING:
    from singerid.resinging.songs import Song


def resing(arguments: argparse.Namespace) -> None:
    """Let voices of a bank sing: sound, picture, and what was sung."""
    need_torch()
    from threadpoolctl import threadpool_limits

    from singerid.features.world import pyworld
    from singerid.plots import save_figure
    from singerid.resinging.bank_tensors import BankTensors
    from singerid.resinging.pictures import song_figure
    from singerid.resinging.render import Renderer
    from singerid.resinging.songs import choose_rows, sing_song
    from singerid.voicebank.bank import VoiceBank

    settings = read_settings(arguments).resing
    if arguments.seed < 0:
        raise ConfigError("--seed out of range", found=arguments.seed, expected="0 or more")
    paths = _paths(arguments.output, arguments.n)
    pyworld()
    bank = VoiceBank.open(arguments.bank)
    rows = choose_rows(bank, len(paths), arguments.seed, arguments.singer, arguments.id)
    variants = [k % settings.variants for k in range(len(paths))]
    if arguments.variant is not None:
        variants = [arguments.variant] * len(paths)
    tensors = BankTensors.of(bank)
    # One thread: a single song is too little to share, and threads that wait took 10 times as long.
    with threadpool_limits(1), progress("singing", len(rows)) as advance:
        render = Renderer(tensors) if arguments.picture else None
        for k, (path, row, variant) in enumerate(zip(paths, rows, variants, strict=True)):
            song = sing_song(
                bank, tensors, row, settings, variant=variant, seconds=arguments.seconds,
                seed=arguments.seed + k,
            )  # fmt: skip
            _write(song, path, bank.spec.sample_rate, arguments.command_line)
            if render:
                save_figure(song_figure(render, song, song.title()), path.with_suffix(".png"))
            say(f"{path}: {song.line()}")
            advance(1)


def _paths(output: str, n: int | None) -> list[Path]:
    """Where the songs go: one file, or ``song_00.wav`` … in a folder.

    Raises:
        ConfigError: no songs, or several in one file.
    """
    path = Path(output)
    is_file = path.suffix.lower() == ".wav"
    if n is None:
        n = 1 if is_file else 4
    if n < 1 or (is_file and n > 1):
        raise ConfigError(
            "--n out of range", found=n,
            expected="1 for one file; a folder for several" if is_file else "at least 1",
        )  # fmt: skip
    return [path] if is_file else [path / f"song_{k:02d}.wav" for k in range(n)]


def _write(song: Song, path: Path, rate: int, command_line: str) -> None:
    import soundfile

    from singerid.records import atomic_write

    with atomic_write(path, "wb") as file:
        soundfile.write(file, song.samples, rate, format="WAV", subtype="PCM_16")
    with atomic_write(path.with_suffix(".json")) as text:
        json.dump({**song.facts, "command": command_line}, text, indent=2, ensure_ascii=False)
        text.write("\n")
