"""Batches of crops that were never sung: voices of a bank, re-sung or as they are, as log-mels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from singerid.errors import ConfigError, MismatchError
from singerid.resing_settings import ChannelSettings, ResingSettings
from singerid.resinging.bank_tensors import BankTensors
from singerid.resinging.channel import Channel
from singerid.resinging.draws import Draws, seeded
from singerid.resinging.levels import decibels, front_end_scale, level_normalized
from singerid.resinging.plan import draw_plan
from singerid.resinging.realcrops import RealCrops
from singerid.resinging.render import Renderer
from singerid.resinging.traits import Identities
from singerid.spec import FeatureSpec

_CROPS_AT_ONCE = 8  # on the CPU: what its second-level cache holds


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Crops and whose they are.

    Attributes:
        frames: float32 `(n_classes · n_crops, n_frames, n_mels)`, the crops of a class together:
            dB after `level_normalized`, or on the front end's own scale.
        labels: int64 `(n_classes · n_crops,)`, identities.
    """

    frames: Tensor
    labels: Tensor


class ResungBatches:
    """Training batches from a bank, made when they are asked for.

    Batch `step` depends on the seed and `step` alone: so it is the same in any process, on any
    number of workers, and after a resume.

    Attributes:
        people: the identities, which are the classes.
        bank: the voices.
    """

    def __init__(
        self,
        bank: BankTensors,
        resing: ResingSettings,
        channel: ChannelSettings,
        *,
        n_classes: int,
        n_crops: int,
        n_frames: int,
        spec: FeatureSpec | None = None,
        seed: int = 0,
        normalize: bool = True,
    ) -> None:
        """Prepare tables.

        Args:
            bank: the voices; batches are made on its device.
            resing: how they are sung anew.
            channel: what comes after the mouth.
            n_classes: identities in a batch.
            n_crops: of each identity in a batch.
            n_frames: of each crop.
            spec: the front end; None for the bank's own.
            seed: of identities and batches.
            normalize: level-normalized dB; else the front end's own scale.

        Raises:
            ConfigError: there are fewer identities than `n_classes`, or the front end has no
                plain mel frames at the bank's sample rate.
            MismatchError: real crops are wanted of another front end than the bank holds.
        """
        self.bank, self.resing, self.seed, self.normalize = bank, resing, seed, normalize
        self.n_classes, self.n_crops, self.n_frames = n_classes, n_crops, n_frames
        self.people = Identities(len(bank.names), resing, seed)
        self.render = Renderer(bank, spec)
        self.spec = self.render.spec
        self.channel = Channel(self.spec, channel, bank.device)
        self._real = RealCrops(bank) if resing.real_share > 0 else None
        if self._real and self.spec != bank.spec.features:
            raise MismatchError(
                "the bank's real frames are of another front end",
                found=bank.spec.features.fingerprint(), expected=self.spec.fingerprint(),
                do="make a bank with this front end, or set real_share to 0",
            )  # fmt: skip
        if self.people.n < n_classes:
            raise ConfigError(
                "too few identities for a batch", found=self.people.n, expected=n_classes
            )
        self._cpu_order, self._cpu_first = bank.order.cpu(), bank.first.cpu()

    def __call__(self, step: int) -> Batch:
        """Batch `step`."""
        generator = seeded(self.seed, step)
        chosen = torch.randperm(self.people.n, generator=generator)[: self.n_classes]
        return self.crops(chosen.repeat_interleave(self.n_crops), generator)

    def crops(self, identities: Tensor, generator: torch.Generator) -> Batch:
        """One crop for each of `identities`, int64 `(n,)` on the CPU."""
        rows = self._draw_rows(identities, generator)
        real = torch.rand(len(rows), generator=generator) < self.resing.real_share
        if self._real:
            real &= self._real.exist[rows]
        frames = torch.empty(
            len(rows), self.n_frames, self.spec.mel.n_mels, device=self.bank.device
        )
        for chosen, make in ((real, self._real_mels), (~real, self._sung_mels)):
            which = chosen.nonzero()[:, 0]
            if len(which):
                made = make(rows[which], identities[which], generator)
                frames[which.to(self.bank.device)] = made
        frames = self.channel(frames, generator)
        step = _CROPS_AT_ONCE if frames.device.type == "cpu" else len(frames)
        starts = range(0, len(frames), step)
        scaled = torch.cat([self._scale(frames[i : i + step]) for i in starts])
        return Batch(scaled, identities.to(self.bank.device))

    def _scale(self, mels: Tensor) -> Tensor:
        if self.normalize:
            return level_normalized(decibels(mels, self.spec.mel))
        return front_end_scale(mels, self.spec.mel)

    def _draw_rows(self, identities: Tensor, generator: torch.Generator) -> Tensor:
        """A recording of each identity's singer; `n_crops` in a row take different ones."""
        singers = identities // self.people.variants
        first = self._cpu_first[singers]
        counts = self._cpu_first[singers + 1] - first
        groups = torch.arange(len(identities)) // self.n_crops
        turns = torch.arange(len(identities)) % self.n_crops / self.n_crops
        places = (torch.rand(int(groups[-1]) + 1, generator=generator)[groups] + turns).frac()
        return self._cpu_order[first + (places * counts).long().minimum(counts - 1)]

    def _sung_mels(self, rows: Tensor, identities: Tensor, generator: torch.Generator) -> Tensor:
        plan = draw_plan(
            self.bank, rows, identities, self.people, generator, self.resing,
            n_frames=self.n_frames, hop_seconds=self.spec.hop_seconds,
        )  # fmt: skip
        return self.render(plan)

    def _real_mels(self, rows: Tensor, identities: Tensor, generator: torch.Generator) -> Tensor:
        assert self._real is not None
        draws = Draws(len(rows), generator, self.bank.device)
        traits = self.people.draw(identities, draws)
        return self._real(rows, traits, self.n_frames, draws)
