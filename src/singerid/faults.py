"""What can end a training from outside, said in one line with what to do about it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from singerid import run
from singerid.errors import SingeridError

_NO_MEMORY = re.compile(
    r"out of memory|not enough memory|can.t allocate memory|ALLOC_FAILED", re.IGNORECASE
)
_NOT_WRITTEN = re.compile(r"inline_container|PytorchStreamWriter")  # of torch.save
_DEAD_WORKER = re.compile(r"DataLoader worker \(pid\(?s?\)? [\d, ]+\) (.*)", re.IGNORECASE)


@contextmanager
def explained(path: Path, step: Callable[[], int]) -> Iterator[None]:
    """Turn what memory, disk, workers and the compiler raise into one line.

    Args:
        path: the run folder.
        step: tells the last step that was done.

    Raises:
        SingeridError: instead of it. Errors of other kinds pass.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError, EOFError) as error:
        explanation = explain(error, path, step() + 1)
        if explanation is None:
            raise
        raise explanation from error


def explain(error: Exception, path: Path, step: int) -> SingeridError | None:
    """The line for an error of PyTorch or Python; None if it is none of those known here.

    Args:
        error: what was raised.
        path: the run folder, whose last checkpoint is intact.
        step: number of the step that was under way.
    """
    text = str(error)
    where, lines = f"step {step}", text.splitlines() or [type(error).__name__]
    again = f"singerid train --resume {path}"
    if not run.checkpoints(path):
        again = "start again with --overwrite (there is no checkpoint yet)"
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or _NO_MEMORY.search(text):
        return SingeridError(
            "memory does not suffice", where=where, found=_shortened(lines[0]),
            do="lower --batch.n_singers, --batch.n_partials or --batch.partial_frames (and raise "
            f"--train.accumulate instead), then: {again}",
        )  # fmt: skip
    if _NOT_WRITTEN.search(text):
        return SingeridError(
            "a checkpoint cannot be written", where=path, found=_shortened(lines[0]),
            do=f"most often the disk is full: free space, then: {again}",
        )  # fmt: skip
    if dead := _DEAD_WORKER.search(text) or _is_lost_batch(error):
        return SingeridError(
            "a process that makes batches has died", where=where,
            found=_shortened(lines[0] if dead is True else dead[1].strip()),
            do="most often memory is short: lower --train.workers (0 for none), or give a "
            f"container more shared memory; then: {again}",
        )  # fmt: skip
    if "torch._dynamo" in type(error).__module__:
        return SingeridError(
            "the encoder cannot be compiled", where=where, found=_shortened(lines[0]),
            do=f"leave it out: --train.compile false, then: {again}",
        )  # fmt: skip
    return None


def _is_lost_batch(error: Exception) -> bool:
    """Whether a worker died between making a batch and handing it over."""
    if not isinstance(error, (ConnectionError, EOFError, FileNotFoundError)):
        return False
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    return any(Path(file).parts[-3:] == ("utils", "data", "dataloader.py") for file in files)


def _shortened(line: str) -> str:
    return line if len(line) <= 200 else line[:199] + "…"
