"""How batches reach the training: made by worker processes, or where the training runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from singerid.batches import BatchSource
from singerid.errors import SingeridError
from singerid.ranks import n_ranks, rank, this_ranks
from singerid.resident import ResidentBatches
from singerid.sections import TrainSettings

Loader = DataLoader[tuple[Tensor, Tensor] | SingeridError]


class BatchDataset(Dataset[tuple[Tensor, Tensor] | SingeridError]):
    """Batches; an error is a value, since a worker's exception would lose its one clear line.

    Where several processes train together, each takes its share of every batch's singers.

    Args:
        maker: makes the batches.
        shared: whether the ranks share a batch; else each has all of it.
    """

    def __init__(self, maker: BatchSource, shared: bool) -> None:
        self.maker = maker
        self._part = (rank(), n_ranks()) if shared else (0, 1)

    def __getitem__(self, t: int) -> tuple[Tensor, Tensor] | SingeridError:
        try:
            if isinstance(self.maker, ResidentBatches):
                features, singers = self.maker.tensors(t)
            else:
                batch = self.maker.batch(t)
                features, singers = map(torch.from_numpy, (batch.features, batch.singers))
        except SingeridError as error:
            return error
        return this_ranks(features, self._part), this_ranks(singers, self._part)


class CycleSampler(Sampler[int]):
    """Numbers of the batches that are left in the current cycle.

    Taking them from the step count makes a resumed run go on with the very batch that the
    interrupted one would have seen next.
    """

    def __init__(self, current_step: Callable[[], int], settings: TrainSettings) -> None:
        self._current_step, self._settings = current_step, settings

    def __iter__(self) -> Iterator[int]:
        step, cycle = self._current_step(), self._settings.train_iters
        batches = self._settings.accumulate
        return iter(range(step * batches, (step // cycle + 1) * cycle * batches))

    def __len__(self) -> int:
        return self._settings.train_iters * self._settings.accumulate


def make_loader(
    maker: BatchSource, settings: TrainSettings, numbers: Sampler[int] | range, shared: bool = False
) -> Loader:
    """Batches of these numbers, in order.

    Args:
        maker: makes the batches; one that keeps them on the device needs no workers.
        settings: how many workers.
        numbers: of the batches.
        shared: whether processes that train together share each batch.
    """
    workers = 0 if isinstance(maker, ResidentBatches) else settings.workers
    return DataLoader(
        BatchDataset(maker, shared), batch_size=None, sampler=numbers, num_workers=workers,
        persistent_workers=workers > 0, worker_init_fn=_ignore_ctrl_c,
        multiprocessing_context="forkserver" if workers else None,
        pin_memory=workers > 0 and torch.cuda.is_available(),
    )  # fmt: skip


def _ignore_ctrl_c(worker: int) -> None:
    """A terminal sends Ctrl-C to all processes; the training still needs its batches."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threadpool_limits(1, "blas")  # the training itself has the cores
