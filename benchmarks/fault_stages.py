"""The stages that `faults.py` disturbs, on a corpus of virtual singers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from singerid import corpora, manifest
from singerid.checkpoint import load_encoder, load_weights_only
from singerid.records import write_recordings
from singerid.registry import Registry
from singerid.sections import ManifestSettings
from singerid.store import Store
from singerid.virtual import write_virtual_corpus

SOURCE = Path(__file__).with_name("fault_library.c")
TRAIN = """
    --preset original --encoder.hidden_size 16 --encoder.n_layers 1 --encoder.dim 8
    --batch.n_singers 2 --batch.n_partials 2 --batch.partial_frames 32 --train.train_iters 10
    --train.val_iters 1 --train.precision 32 --train.steps 40 --train.learning_rate 1e-2
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
        hit: how often it was felt: killed before the end, refused, named.
        lost: what an undisturbed run has and the disturbed one does not.
        left: temporary files that nobody removed, and processes.
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


class Child:
    """A stage in a process of its own, in which the library of faults is loaded."""

    def __init__(self, command: list[str], tally: Path, env: dict[str, str]) -> None:
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self.began, self._tally = time.monotonic(), tally
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said,
            env=os.environ | env, start_new_session=True,
        )  # fmt: skip

    @property
    def operations(self) -> bytes:
        """A letter for each of its operations on files so far, see the library."""
        return self._tally.read_bytes() if self._tally.exists() else b""

    def end(self) -> int:
        """Wait for it; its status."""
        return self.process.wait(600)

    def wait_for_first(self) -> float:
        """Wait for its first operation on a file, or its end; seconds since its start."""
        while not self.operations and self.process.poll() is None:
            time.sleep(0.002)
        return time.monotonic() - self.began

    def send(self, number: int) -> None:
        """A signal to it and all of its workers."""
        os.killpg(self.process.pid, number)

    def workers(self) -> list[int]:
        """Processes that it, or what it started, has started to work, beside the pools' helpers."""
        return [
            pid for pid, (parent, group) in _processes().items()
            if group == self.process.pid and parent != self.process.pid and pid != group
        ]  # fmt: skip

    def remains(self) -> int:
        """Processes of it that are still there some seconds after its end."""
        for _ in range(100):
            left = [pid for pid, (_, g) in _processes().items() if g == self.process.pid]
            if not left:
                return 0
            time.sleep(0.1)
        return len(left)

    def said(self) -> list[str]:
        """The lines that it wrote for the user."""
        self._said.seek(0)
        return self._said.read().strip().splitlines() or ["nothing said"]

    def complaint(self) -> str:
        """The last line of what it said; a traceback is named as one."""
        lines = self.said()
        if any(line.startswith("Traceback") for line in lines):
            return f"traceback, {lines[-1][:100]}"
        return lines[-1]


def _processes() -> dict[int, tuple[int, int]]:
    """Parent and group of every process that is not a zombie."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if fields[0] not in "ZX":
                found[int(entry.name)] = int(fields[1]), int(fields[2])
    return found


@dataclass
class Undisturbed:
    """What a stage does when it is left alone.

    Attributes:
        content: what it makes.
        operations: a letter for each operation on files of the main process.
        first: seconds until the first of them.
        seconds: until the end.
    """

    content: Any
    operations: bytes
    first: float
    seconds: float


class Bench:
    """A corpus and the stages on it, each in its undisturbed form.

    Attributes:
        folder: where everything lies.
        made: where the undisturbed stages write.
        recordings: of the corpus.
        stages: all of them, by name.
        chosen: those that are disturbed where any may be.
    """

    def __init__(self, folder: Path, rng: np.random.Generator) -> None:
        self.folder, self.rng, self._n = folder, rng, 0
        self.library = folder / "faults.so"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", self.library, SOURCE, "-ldl"],
                       check=True)  # fmt: skip
        listing = write_virtual_corpus(folder / "corpus", 6, 2, 0, 1)
        self.recordings = manifest.build(
            corpora.scan("csv", listing), ManifestSettings()
        ).recordings
        write_recordings(folder / "m.jsonl", self.recordings)
        files = [r.path for r in self.recordings[:3]]
        self.made = folder / "whole"
        self.made.mkdir()
        m, store, vectors = folder / "m.jsonl", self.made / "features", self.made / "embed"
        two, pitch = ["--workers", "2"], ["--pitch.condition", "true"]
        stages = [
            Stage("features", lambda at: ["features", str(m), "-o", str(at), *two], _bytes),
            Stage("features of pitch", lambda at: ["features", str(m), "-o", str(at), *two, *pitch],
                  _bytes),
            Stage("voices", lambda at: ["voices", str(m), "-o", str(at), *two], _bytes),
            Stage("train", lambda at: _train(str(store), at, "0"), run_content),
            Stage("train with workers", lambda at: _train(str(store), at, "2"), run_content),
            Stage("embed", lambda at: ["embed", str(m), "-o", str(at), *two], _bytes),
            Stage("table", lambda at: ["table", str(vectors), "-o", str(at)], _bytes),
            Stage("enroll", lambda at: ["enroll", "ann", *files, "--registry", str(at)], _enrolled),
        ]  # fmt: skip
        self.stages = {stage.name: stage for stage in stages}
        self.chosen = stages
        self._known: dict[str, Undisturbed] = {}

    def whole(self, stage: Stage) -> Undisturbed:
        """A stage as it should be; what it needs is made before."""
        needs = {"train": "features", "train with workers": "features", "table": "embed"}
        if stage.name in needs:
            self.whole(self.stages[needs[stage.name]])
        if stage.name not in self._known:
            at = self.made / stage.name
            child = self.start(stage, at)
            first = child.wait_for_first()
            if child.end():
                sys.exit(f"{stage.name} fails undisturbed: {child.complaint()}")
            seconds = time.monotonic() - child.began
            content = stage.content(at)
            self._known[stage.name] = Undisturbed(content, child.operations, first, seconds)
        return self._known[stage.name]

    def among(self, *names: str) -> list[str]:
        """Those of the names whose stages are disturbed."""
        chosen = {stage.name for stage in self.chosen}
        return [name for name in names if name in chosen]

    def place(self) -> Path:
        """A new folder for one try."""
        self._n += 1
        place = self.folder / f"try{self._n}"
        place.mkdir()
        return place

    def start(self, stage: Stage, at: Path, **env: object) -> Child:
        """Begin a stage under faults (see the library)."""
        self._n += 1
        counted = self.folder / f"tally{self._n}"
        faults = {"FAULT_PLACE": at.parent, "FAULT_TALLY": counted, "LD_PRELOAD": self.library}
        words = [sys.executable, "-m", "singerid", *stage.words(at)]
        given = {name: str(value) for name, value in (faults | env).items()}
        return Child([str(word) for word in words], counted, given)

    def finish(self, stage: Stage, at: Path, tally: Tally, **env: object) -> None:
        """Run a disturbed stage again; count what went wrong and what is missing."""
        child = self.start(stage, at, **env)
        status = child.end()
        complaint = child.complaint() if status else ""
        if complaint and "already at step" not in complaint:  # a run may be through
            tally.found.append(f"{stage.name} cannot go on: {complaint.replace(str(at), '')}")
            tally.lost += 1
        elif differing := differences(stage.content(at), self.whole(stage).content):
            tally.found.append(f"{stage.name} differs: {differing}")
            tally.lost += 1
        tally.left += sum(file.suffix in (".part", ".holder") for file in at.parent.rglob("*"))

    def finish_killed(self, stage: Stage, at: Path, child: Child, tally: Tally) -> None:
        """After a kill: no process may be left; then `finish`."""
        if left := child.remains():
            tally.left += left
            tally.found.append(f"{stage.name}: processes left behind")
            child.send(signal.SIGKILL)
        self.finish(stage, at, tally)


def differences(found: Any, whole: Any) -> str:
    """Which parts of a stage's content are not as they should be."""
    if found == whole:
        return ""
    if not isinstance(whole, dict):
        return "its rows"
    names = found.keys() | whole.keys()
    return ", ".join(sorted(name for name in names if found.get(name) != whole.get(name)))


def _train(store: str, at: Path, workers: str) -> list[str]:
    if any(at.glob("ckpt_*.ckpt")):
        return ["train", "--resume", str(at)]
    again = ["--overwrite"] if at.exists() else []
    return ["train", store, "-o", str(at), *TRAIN.split(), "--train.workers", workers, *again]


def frames(at: Path) -> dict[str, bytes]:
    """Frames of every recording of a store, wherever they lie."""
    store = Store(at)
    return {recording.id: store.features(recording.id).tobytes() for recording in store.recordings}


def _bytes(at: Path) -> dict[str, bytes]:
    files = [at] if at.is_file() else [f for f in at.iterdir() if f.name != ".lock"]
    return {file.name if file != at else "": file.read_bytes() for file in files}


def run_content(at: Path) -> dict[str, Any]:
    """All of a run but its pictures, model card and provenance, which names the command."""
    weights = {
        name: tensor.numpy().tobytes()
        for name, tensor in load_encoder(at).encoder.state_dict().items()
    }
    checkpoints = {f.name: flat(load_weights_only(f)) for f in at.glob("ckpt*")}
    texts = {name: (at / name).read_bytes() for name in ("log.jsonl", "config.yaml", "notes.txt")}
    return {"weights": weights} | checkpoints | texts


def flat(value: object) -> object:
    """What can be compared, of a checkpoint."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return [(key, flat(inner)) for key, inner in value.items()]
    return list(map(flat, value)) if isinstance(value, (list, tuple)) else value


def _enrolled(at: Path) -> list[Any]:
    """Singer, audio and vector of every exemplar; its id and its time are always new."""
    exemplars = Registry.open(str(at)).exemplars("ann")
    return sorted((one.singer, one.sha256, tuple(one.vector)) for one in exemplars)
