"""The run folder: everything that a training leaves behind, and how it is found again."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout

from singerid import plots
from singerid.batches import BatchSource
from singerid.config import Config, read_config_file, resolve, to_yaml
from singerid.data import TrainingData
from singerid.errors import CheckpointError, SingeridError, one_line
from singerid.features import input_streams
from singerid.formats import FORMATS
from singerid.json_lines import parse
from singerid.locks import held, holder
from singerid.records import atomic_write, refuse_links, remove_partials
from singerid.spec import FeatureSpec

_PACKAGES = ("singerid", "torch", "lightning", "numpy", "scipy", "soundfile", "soxr")
_BEGUN = ".begun"
_CHECKPOINT = re.compile(r"ckpt_(\d+)\.ckpt")


@contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let no other process train or replace a run; the lock lies beside its folder.

    What killed writers have left in it is removed.

    Raises:
        SingeridError: another process holds it.
    """
    path = Path(os.path.abspath(path))
    file = path.with_name(f".{path.name}.lock")
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(held(file))
        except Timeout:
            raise SingeridError(
                "is being trained by another process", where=path, found=holder(file),
                do="wait for it, or stop it",
            ) from None  # fmt: skip
        except OSError as error:
            raise SingeridError(
                "run folder cannot be made", where=path, found=error.strerror
            ) from error
        if path.is_dir():
            refuse_links(path, SingeridError)
        remove_partials(path)
        yield


def make_run_folder(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """Make an empty run folder.

    Args:
        path: where.
        overwrite: delete a run that is there.

    Raises:
        SingeridError: a run, or something else, is there.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        # Many folders have a config.yaml; with provenance.json beside it, it is ours to delete.
        names = ("config.yaml", "provenance.json")
        is_run = (path / _BEGUN).exists() or all((path / name).exists() for name in names)
        if not (overwrite and is_run):
            raise SingeridError(
                "exists", where=path, found="a run" if is_run else "something that is not a run",
                do="go on with --resume, replace it with --overwrite, or choose another name"
                if is_run else "choose another folder",
            )  # fmt: skip
        _clear(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SingeridError(
            "run folder cannot be made", where=path, found=error.strerror
        ) from error
    return path


def _clear(path: Path) -> None:
    """Remove all that is in a run; what a kill leaves of it is still known to be one."""
    begun = path / _BEGUN
    with suppress(OSError):  # on a full disk, removing is what helps
        begun.touch()
    for child in path.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        elif child != begun:
            child.unlink()
    begun.unlink(missing_ok=True)


def describe_run(path: Path, config: Config, data: TrainingData, notes: str, command: str) -> None:
    """Write configuration, notes and provenance."""
    begun = path / _BEGUN
    begun.touch()  # one that is killed here leaves a run, which may be replaced
    write_config(path, config)
    with atomic_write(path / "notes.txt") as file:
        file.write(notes + "\n" if notes else "")
    with atomic_write(path / "provenance.json") as file:
        json.dump({"format": FORMATS["run"]} | provenance(data, command), file, indent=2)
        file.write("\n")
    begun.unlink()


def write_config(path: Path, config: Config) -> None:
    """Write ``config.yaml``: what the run goes by, and goes on by when it is resumed."""
    with atomic_write(path / "config.yaml") as file:
        file.write(f"format: {FORMATS['configuration']}\n{to_yaml(config)}")


def changed_settings(path: Path, config: Config) -> dict[str, str]:
    """Settings that are not those of a run's ``config.yaml``: ``10 → 20`` by ``train.steps``.

    Raises:
        ConfigError: the file cannot be read.
    """
    file = path / "config.yaml"
    old = resolve(read_config_file(file), file)
    return {
        f"{section}.{name}": f"{one_line(before)} → {one_line(now)}"
        for section, values in config
        for name, now in values
        if (before := getattr(getattr(old, section), name)) != now
    }


def provenance(data: TrainingData, command: str) -> dict[str, Any]:
    """What a run was made with and from."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "unknown"
    return {
        "command": command,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "data": str(data.origin.resolve()),
        "data_fingerprint": data.fingerprint,
        "feature_fingerprint": data.spec.fingerprint(),
    }


def save_input_pictures(path: Path, maker: BatchSource, split: str, spec: FeatureSpec) -> None:
    """Pictures of the first examples of the first batch, as the network sees them."""
    batch = maker.batch(0)
    for row in range(min(2, len(batch.features))):
        streams = input_streams(batch.features[row, 0], spec)
        title = f"{split}: {batch.ids[row][0]}"
        figure = plots.input_figure(streams, spec.hop_seconds, title)
        plots.save_figure(figure, path / "inputs" / f"{split}_{row}.png")


def latest_checkpoint(path: str | os.PathLike[str]) -> Path:
    """The full-state checkpoint of the highest step.

    Raises:
        CheckpointError: not a run, or one without a checkpoint.
    """
    path = Path(path)
    if not (path / "config.yaml").exists():
        raise CheckpointError("is not a run folder", where=path, found="no config.yaml")
    found = checkpoints(path)
    if not found:
        raise CheckpointError(
            "run has no checkpoint to go on from", where=path,
            do="start again: singerid train --overwrite",
        )  # fmt: skip
    return found[-1]


def checkpoints(path: Path) -> list[Path]:
    """All ``ckpt_<step>.ckpt``, by step."""
    found = {int(m[1]): file for file in path.iterdir() if (m := _CHECKPOINT.fullmatch(file.name))}
    return [found[step] for step in sorted(found)]


class RunLog:
    """``log.jsonl``: one line of figures per logged step or cycle."""

    def __init__(self, path: Path, first_step: int) -> None:
        """Open for appending.

        Lines after `first_step` (a resumed run's lost steps) are dropped, and damaged ones.
        """
        self._path = path / "log.jsonl"
        kept = []
        if self._path.exists():
            for line in self._path.read_text("utf-8", "replace").split("\n")[:-1]:
                if _step_of(line) <= first_step:
                    kept.append(f"{line}\n")
        with atomic_write(self._path) as file:
            file.writelines(kept)

    def write(self, split: str, step: int, metrics: Mapping[str, float]) -> None:
        """Append one line."""
        line = {"step": step, "split": split} | {k: round(v, 6) for k, v in metrics.items()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _step_of(line: str) -> float:
    """The step of a line of the log; infinite if it is damaged."""
    try:
        return float(parse(line)["step"])
    except (ValueError, TypeError, KeyError, OverflowError):
        return math.inf


def n_parameters(module: torch.nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
