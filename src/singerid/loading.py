"""How batches reach the training: made by worker processes, or where the training runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from singerid.appending import end_with_parent
from singerid.batch_augment import BatchAugment
from singerid.batches import BatchSource
from singerid.errors import SingeridError
from singerid.ranks import n_ranks, rank, this_ranks
from singerid.training_sections import TrainSettings

Loader = DataLoader[tuple[Tensor, Tensor] | SingeridError]


@runtime_checkable
class TensorSource(Protocol):
    """A `BatchSource` that makes tensors, perhaps on the device that trains.

    Attributes:
        on_device: whether that is a device of its own, or memory that workers do not share.
    """

    on_device: bool

    def tensors(self, t: int) -> tuple[Tensor, Tensor]:
        """Features and singers of batch `t`."""


class BatchDataset(Dataset[tuple[Tensor, Tensor] | SingeridError]):
    """Batches; an error is a value, since a worker's exception would lose its one clear line.

    Where several processes train together, each takes its share of every batch's singers.

    Args:
        maker: makes the batches.
        shared: whether the ranks share a batch; else each has all of it.
        augment: changes them, before they are shared out.
    """

    def __init__(
        self, maker: BatchSource, shared: bool, augment: BatchAugment | None = None
    ) -> None:
        self.maker, self.augment = maker, augment
        self._part = (rank(), n_ranks()) if shared else (0, 1)

    def __getitem__(self, t: int) -> tuple[Tensor, Tensor] | SingeridError:
        try:
            features, singers = self._made(t)
        except SingeridError as error:
            return error
        if self.augment is not None:
            features, singers = self.augment(features, singers, t)
        return this_ranks(features, self._part), this_ranks(singers, self._part)

    def _made(self, t: int) -> tuple[Tensor, Tensor]:
        if isinstance(self.maker, TensorSource):
            return self.maker.tensors(t)
        batch = self.maker.batch(t)
        return torch.from_numpy(batch.features), torch.from_numpy(batch.singers)


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
    maker: BatchSource,
    settings: TrainSettings,
    numbers: Sampler[int] | range,
    shared: bool = False,
    augment: BatchAugment | None = None,
) -> Loader:
    """Batches of these numbers, in order.

    Args:
        maker: makes the batches; one that makes them on a device does without workers.
        settings: how many workers.
        numbers: of the batches.
        shared: whether processes that train together share each batch.
        augment: changes the batches.
    """
    workers = 0 if isinstance(maker, TensorSource) and maker.on_device else settings.workers
    return DataLoader(
        BatchDataset(maker, shared, augment), batch_size=None, sampler=numbers, num_workers=workers,
        persistent_workers=workers > 0, worker_init_fn=_begin_worker,
        multiprocessing_context="forkserver" if workers else None,
        pin_memory=workers > 0 and torch.cuda.is_available(),
    )  # fmt: skip


def _begin_worker(worker: int) -> None:
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; batches are needed
    threadpool_limits(1, "blas")  # the training itself has the cores
