"""What is given bad input, by name; each is set up only in the process that works through it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fuzz_mutate import n_in_turn
from singerid.errors import SingeridError

Trap = tuple[str, bytes, bool]


@contextmanager
def used(path: Path) -> Iterator[None]:
    """What was read is used: it may be refused still, without its file's name."""
    try:
        yield
    except SingeridError as error:
        raise SingeridError(str(error), where=path) from error


@dataclass
class Subject:
    """A parser with good files, from which bad ones are made.

    Attributes:
        seeds: names and contents of good files; all of them can be read.
        read: what is given each file.
        words: that mean something to the parser.
        traps: name and content of files made by hand, and whether they must be refused.
        every_byte: whether each byte of the first seed is changed in turn, before chance comes.
        draw: makes a whole case at random, instead of changing a seed.
        template: a folder of which each bad file becomes a part, in the place of the good one.
        fresh: whether reading may change that folder, so that each case needs a new one.
        named: what a refusal may name instead of the file.
        allowed: audit events that reading may raise (a database writes locks).
    """

    seeds: Sequence[tuple[str, bytes]]
    read: Callable[[Path], object]
    words: Sequence[bytes] = ()
    traps: Sequence[Trap] = ()
    every_byte: bool = False
    draw: Callable[[np.random.Generator], tuple[str, bytes]] | None = None
    template: Path | None = None
    fresh: bool = False
    named: Sequence[str] = ()
    allowed: frozenset[str] = frozenset()

    @property
    def n_fixed(self) -> int:
        """Of the cases that are not drawn."""
        return len(self.traps) + (n_in_turn(self.seeds[0][1]) if self.every_byte else 0)


_AUDIO = (
    "wav", "wavex", "adpcm", "flac", "ogg", "opus", "mp3", "aiff", "caf", "au", "w64", "rf64",
    "m4a", "alac", "aac", "webm", "mka", "wma", "ac3", "voc", "ircam", "paf", "avr", "htk", "nist",
    "flacstream", "svx", "pvf", "mat4", "mat5", "xi", "gsm", "g721", "mpc2k", "mp3bare", "mp3av",
    "eac3", "mp2", "tta", "wv",
)  # fmt: skip

# Name of a target: module and function that set it up.
TARGETS: dict[str, str] = {
    "manifest": "fuzz_texts", "csv": "fuzz_texts", "lhotse": "fuzz_texts",
    "lhotse_gz": "fuzz_texts", "mirdata": "fuzz_texts",
    "corpus_table": "fuzz_texts", "trials": "fuzz_texts", "scores": "fuzz_texts",
    "models": "fuzz_texts", "config": "fuzz_texts", "declaration": "fuzz_texts",
    "segments": "fuzz_texts", "pairs": "fuzz_texts", "robustness": "fuzz_texts",
    "names": "fuzz_texts",
    "store": "fuzz_stores", "store_check": "fuzz_stores", "bank": "fuzz_stores",
    "run": "fuzz_stores", "registry": "fuzz_stores",
    "embeddings": "fuzz_vectors", "table": "fuzz_vectors", "vectors": "fuzz_vectors",
    "calibration": "fuzz_vectors",
    "encoder": "fuzz_weights", "checkpoint": "fuzz_weights", "foreign": "fuzz_weights",
    "exported": "fuzz_weights", "onnx": "fuzz_weights", "torchscript": "fuzz_weights",
    "hub": "fuzz_weights",
    "http": "fuzz_web", "wire": "fuzz_web",
    **{f"audio_{kind}": "fuzz_audio" for kind in _AUDIO},
}  # fmt: skip


def make(name: str, folder: Path) -> Subject:
    """Set a target up.

    Args:
        name: of `TARGETS`.
        folder: for what it needs; empty.
    """
    module = importlib.import_module(TARGETS[name])
    if name.startswith("audio_"):
        subject: Subject = module.audio(name.removeprefix("audio_"), folder)
    else:
        subject = getattr(module, name)(folder)
    return subject
