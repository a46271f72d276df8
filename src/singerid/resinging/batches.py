"""Training batches from a voice bank: every crop is sung anew, or real, when it is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from singerid.batches import Batch, hard_draw
from singerid.errors import StoreError
from singerid.resing_settings import ChannelSettings, ResingSettings
from singerid.resinging.bank_tensors import BankTensors
from singerid.resinging.draws import seeded
from singerid.resinging.resung import ResungBatches
from singerid.sampling import fair_draw
from singerid.training_sections import BatchSettings
from singerid.voicebank.bank import VoiceBank

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class BankBatchMaker:
    """Makes batch t of the voices of a split; a function of (seed, t) alone.

    Attributes:
        singers: names of the identities: singer, and "~1" … for the voices made from it.
        n_singers: identities in a batch.
        warnings: what was left out or made smaller, one line each.
    """

    def __init__(
        self,
        bank: VoiceBank,
        split: str,
        resing: ResingSettings,
        channel: ChannelSettings,
        settings: BatchSettings,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        """Put the split's voices on the device.

        Raises:
            StoreError: fewer than two singers.
            MismatchError: see `ResungBatches`.
        """
        rows = [i for i, name in enumerate(bank.splits) if name == split]
        singers = {bank.singers[i] for i in rows}
        if len(singers) < 2:
            raise StoreError(
                f"split {split!r} has too few singers", where="voice bank",
                found=len(singers), expected="at least 2: a contrast needs two",
            )  # fmt: skip
        self.settings, self.warnings = settings, list[str]()
        n_identities = len(singers) * resing.variants
        self.n_singers = min(settings.n_singers, n_identities)
        if self.n_singers < settings.n_singers:
            self.warnings.append(
                f"{split}: {n_identities} identities, fewer than batch.n_singers "
                f"{settings.n_singers}; batches hold {self.n_singers}"
            )
        self._split = ("train", "valid", "test").index(split)
        self._seed = seed
        tensors = BankTensors.of(bank.select(rows), device)
        self._resung = ResungBatches(
            tensors, resing, channel, n_classes=self.n_singers, n_crops=settings.n_partials,
            n_frames=settings.partial_frames, seed=seed, normalize=False,
        )  # fmt: skip
        self.spec = self._resung.spec
        variants = [f"~{v}" if v else "" for v in range(resing.variants)]
        self.singers = [f"{name}{variant}" for name in tensors.names for variant in variants]
        key = (seed, self._split, 1)
        fair = partial(fair_draw, n_identities, self.n_singers, seed=key)
        self._draw_singers: Callable[[int], IntArray] = fair
        if settings.sampling == "hard" and split == "train":
            known = [(bank.genders[i], bank.singers[i]) for i in rows]
            gender_of = {singer: gender for gender, singer in reversed(known)}
            genders = [gender_of[name] for name in tensors.names for _ in variants]
            hard, warnings = hard_draw(
                genders, self._pitch(tensors, resing), self.n_singers, settings.hard_share, key
            )
            self._draw_singers = hard or fair
            self.warnings += [f"{split}: {warning}" for warning in warnings]

    def _pitch(self, tensors: BankTensors, resing: ResingSettings) -> FloatArray:
        """Median F0 of each identity in semitones, as its warp moves it; NaN if unknown."""
        f0 = tensors.median_f0.cpu().numpy().astype(np.float64)
        own = np.split(f0[tensors.order.cpu()], tensors.first[1:-1].cpu())
        heard = [median[median > 0] for median in own]
        hertz = np.array([np.median(f0) if len(f0) else np.nan for f0 in heard])
        people = self._resung.people
        ln = np.zeros((len(own), people.variants))
        if resing.warp_role == "identity":
            places = people.uniforms[:, 0].reshape(ln.shape).double().numpy()
            low, high = math.log(resing.warp_min), math.log(resing.warp_max)
            ln[:, 1:] = resing.pitch_coupling * (low + (high - low) * places[:, 1:])
        return np.asarray(12 * (np.log2(hertz)[:, None] + ln / math.log(2)).ravel())

    @property
    def on_device(self) -> bool:
        """Whether batches are made elsewhere than on the CPU."""
        return self._resung.bank.device.type != "cpu"

    def tensors(self, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Batch number `t` where it is made: features of `batch`, and singers."""
        chosen, frames = self._made(t)
        return frames, torch.from_numpy(chosen).to(frames.device)

    def batch(self, t: int) -> Batch:
        """Batch number `t`, counted from 0."""
        chosen, frames = self._made(t)
        ids = [[self.singers[i]] * self.settings.n_partials for i in chosen]
        return Batch(frames.cpu().numpy(), chosen, ids)

    def _made(self, t: int) -> tuple[npt.NDArray[np.int64], torch.Tensor]:
        chosen = self._draw_singers(t)
        identities = torch.from_numpy(chosen).repeat_interleave(self.settings.n_partials)
        crops = self._resung.crops(identities, seeded(self._seed, 3 * t + self._split))
        shape = (self.n_singers, self.settings.n_partials, *crops.frames.shape[1:])
        return chosen, crops.frames.reshape(shape).contiguous()
