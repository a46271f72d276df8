"""The stages that `faults.py` disturbs, on a corpus of virtual singers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from singerid import corpora, manifest
from singerid.checkpoint import load_encoder
from singerid.records import write_recordings
from singerid.registry import Registry
from singerid.sections import ManifestSettings
from singerid.virtual import write_virtual_corpus

CHILD = Path(__file__).with_name("fault_child.py")
TRAIN = """
    --preset original --encoder.hidden_size 16 --encoder.n_layers 1 --encoder.dim 8
    --batch.n_singers 2 --batch.n_partials 2 --batch.partial_frames 32 --train.train_iters 10
    --train.val_iters 1 --train.precision 32 --train.steps 60 --train.learning_rate 1e-2
    --train.workers 0
"""


@dataclass(frozen=True)
class Stage:
    """A command, what it leaves, and how that is compared.

    Attributes:
        name: of the command.
        words: of its command line, for an output at a place.
        content: what must be the same in the end.
    """

    name: str
    words: Callable[[Path], list[str]]
    content: Callable[[Path], Any]


@dataclass
class Tally:
    """A line of the table.

    Attributes:
        fault: what was done.
        tries: how often.
        hit: how often it happened before the command was through.
        lost: what an undisturbed run has and the disturbed one does not.
        left: temporary files that nobody removed.
        found: everything that a user would stumble over.
    """

    fault: str
    tries: int = 0
    hit: int = 0
    lost: int = 0
    left: int = 0
    found: list[str] = field(default_factory=list)

    def row(self) -> str:
        """Of a Markdown table."""
        notes = "; ".join(sorted(set(self.found))) or "nothing"
        return f"| {self.fault} | {self.tries} | {self.hit} | {self.lost} | {self.left} | {notes} |"


class Bench:
    """A corpus and the stages on it, each in its undisturbed form."""

    def __init__(self, folder: Path, rng: np.random.Generator) -> None:
        self.folder, self.rng, self._n = folder, rng, 0
        listing = write_virtual_corpus(folder / "corpus", 6, 4, 0, 1)
        self.recordings = manifest.build(
            corpora.scan("csv", listing), ManifestSettings()
        ).recordings
        write_recordings(folder / "m.jsonl", self.recordings)
        files = [r.path for r in self.recordings[:3]]
        m, store, vectors = (str(folder / name) for name in ("m.jsonl", "features", "embed"))
        self.stages = [
            Stage("features", lambda at: ["features", m, "-o", str(at), "--workers", "2"], _bytes),
            Stage("train", lambda at: _train(store, at), _run),
            Stage("embed", lambda at: ["embed", m, "-o", str(at), "--workers", "2"], _bytes),
            Stage("table", lambda at: ["table", vectors, "-o", str(at)], _bytes),
            Stage("enroll", lambda at: ["enroll", "ann", *files, "--registry", str(at)], _enrolled),
        ]
        self.whole: dict[str, Any] = {}
        self.n_events: dict[str, int] = {}
        self.seconds: dict[str, float] = {}
        for stage in self.stages:
            at = folder / stage.name
            child = start(stage, at)
            self.n_events[stage.name], self.seconds[stage.name] = child.ended()
            if child.status:
                sys.exit(f"{stage.name} fails undisturbed: {child.complaint()}")
            self.whole[stage.name] = stage.content(at)

    def place(self) -> Path:
        """A new folder for one try."""
        self._n += 1
        place = self.folder / f"try{self._n}"
        place.mkdir()
        return place

    def finish(self, stage: Stage, at: Path, tally: Tally, **env: str) -> None:
        """Run a disturbed stage again; count what went wrong and what is missing."""
        child = start(stage, at, env=env)
        child.ended()
        complaint = child.complaint() if child.status else ""
        if complaint and "already at step" not in complaint:  # a run may be through
            tally.found.append(f"{stage.name} cannot go on: {complaint.replace(str(at), '')}")
            tally.lost += 1
        elif stage.content(at) != self.whole[stage.name]:
            tally.found.append(f"{stage.name} differs")
            tally.lost += 1
        for file in at.parent.rglob(".*"):
            if file.suffix in (".part", ".holder"):
                tally.left += 1


def _train(store: str, at: Path) -> list[str]:
    if any(at.glob("ckpt_*.ckpt")):
        return ["train", "--resume", str(at)]
    return [
        "train",
        store,
        "-o",
        str(at),
        *TRAIN.split(),
        *(["--overwrite"] if at.exists() else []),
    ]


def _bytes(at: Path) -> dict[str, bytes]:
    files = [at] if at.is_file() else [f for f in at.iterdir() if f.name != ".lock"]
    return {file.name if file != at else "": file.read_bytes() for file in files}


def _run(at: Path) -> dict[str, Any]:
    """Weights and log of a run; its files also hold the command, which may be another."""
    weights = {
        name: tensor.numpy().tobytes()
        for name, tensor in load_encoder(at).encoder.state_dict().items()
    }
    return weights | {
        "log": (at / "log.jsonl").read_bytes(),
        "step": [f.name for f in at.glob("ckpt*")],
    }


def _enrolled(at: Path) -> list[Any]:
    """Singer, audio and vector of every exemplar; its id and its time are always new."""
    exemplars = Registry.open(str(at)).exemplars("ann")
    return sorted((one.singer, one.sha256, tuple(one.vector)) for one in exemplars)


class Child:
    """A stage in a process of its own."""

    def __init__(self, command: list[str], pipe: int, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, pass_fds=[pipe], text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | env,
            start_new_session=True,
        )  # fmt: skip
        self.reading = -1

    @property
    def status(self) -> int:
        """How it ended."""
        return self.process.wait()

    def ended(self) -> tuple[int, float]:
        """Wait; the number of its file operations, and the seconds from the first to the end."""
        self.first()
        began = time.monotonic()
        with os.fdopen(self.reading, "rb") as pipe:
            count = len(pipe.read()) + 1
        self.status  # noqa: B018
        return count, time.monotonic() - began

    def first(self) -> None:
        """Wait for its first file operation, or its end."""
        os.read(self.reading, 1)

    def send(self, number: int) -> None:
        """A signal to it and all of its workers."""
        os.killpg(self.process.pid, number)

    def complaint(self) -> str:
        """The last line of what it said, without the folder; more than a line is a traceback."""
        assert self.process.stderr is not None
        lines = self.process.stderr.read().strip().splitlines() or ["nothing said"]
        if any(line.startswith("Traceback") for line in lines):
            return f"traceback, {lines[-1][:100]}"
        return lines[-1]


def start(stage: Stage, at: Path, fatal: int = 0, env: dict[str, str] | None = None) -> Child:
    """Begin a stage, which dies just before its `fatal`-th file operation (0: it does not)."""
    reading, writing = os.pipe()
    words = [sys.executable, CHILD, at.parent, fatal, writing, *stage.words(at)]
    child = Child([str(word) for word in words], writing, env or {})
    os.close(writing)
    child.reading = reading
    return child
