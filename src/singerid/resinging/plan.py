"""Plans: all that a batch of crops will sing, before any spectrum is made.

`singerid.resinging.render` turns a plan into mel frames, `singerid.resinging.resing` into sound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from singerid.resing_settings import ResingSettings
from singerid.resinging.bank_tensors import BankTensors
from singerid.resinging.draws import Draws
from singerid.resinging.timemap import draw_time_map
from singerid.resinging.traits import Identities, formant_shifts
from singerid.resinging.tune import Tune, draw_tune

_NEUTRAL_F1 = 500.0  # Hz, of a 17.5 cm tube; what F0 has to pass before mouths open
_LARGEST_OPENING = 1.8
_LOWEST_SPEECH, _UNKNOWN_SPEECH = 72.0, 155.0  # Hz
_DB_PER_NEPER = 10 / math.log(10)  # of power


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What each crop sings; `(n_crops, n_frames)` float32 unless said otherwise.

    Attributes:
        hop_seconds: distance of two frames.
        rows: int64 `(n_crops,)`, recordings of the bank.
        left: int64, frame of the bank before each frame's source.
        right: int64, frame after it.
        fraction: weight of `right`.
        f0: Hz, 0 where unvoiced.
        slope: change of ln F0 per second.
        warp: `(n_crops, 3)` nepers by which formants lie higher than in the speech: below 500 Hz,
            at 1.6 kHz and above 3.5 kHz, linear in between on a logarithmic axis.
        opening: factor on F1, 1 … 1.8.
        level: dB.
        tilt: dB per octave about 500 Hz, up to 4 kHz.
        first_partial: dB on the first partial.
        breath: dB on the noise's share of power in voiced frames.
        nasal: dB of the nose's zero.
        nasal_hz: `(n_crops,)`, its frequency.
        ring: dB of the singer's formant.
        ring_hz: `(n_crops,)`, its frequency.
        noise: int64 `(n_crops,)`, where each crop begins in the renderer's frozen noise.
    """

    hop_seconds: float
    rows: Tensor
    left: Tensor
    right: Tensor
    fraction: Tensor
    f0: Tensor
    slope: Tensor
    warp: Tensor
    opening: Tensor
    level: Tensor
    tilt: Tensor
    first_partial: Tensor
    breath: Tensor
    nasal: Tensor
    nasal_hz: Tensor
    ring: Tensor
    ring_hz: Tensor
    noise: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_frames(self) -> int:
        """Frames of each crop."""
        return self.f0.shape[1]

    def crops(self, which: slice) -> Self:
        """Plan of some of the crops."""
        return self._mapped(lambda tensor: tensor[which])

    def to(self, device: torch.device | str) -> Self:
        """The same plan on another device."""
        return self._mapped(lambda tensor: tensor.to(device))

    def _mapped(self, change: Any) -> Self:
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "hop_seconds"}
        return replace(self, **{name: change(tensor) for name, tensor in tensors.items()})


def draw_plan(
    bank: BankTensors,
    rows: Tensor,
    identities: Tensor,
    people: Identities,
    generator: torch.Generator,
    settings: ResingSettings,
    *,
    n_frames: int,
    hop_seconds: float,
) -> Plan:
    """Draw what each crop sings.

    Args:
        bank: the voices.
        rows: int64 `(n_crops,)` on the CPU, a recording for each crop.
        identities: int64 `(n_crops,)` on the CPU, as whom its singer sings.
        people: all identities.
        generator: on the CPU; its state decides everything that is drawn, on any device.
        settings: ranges.
        n_frames: of each crop.
        hop_seconds: distance of two frames.

    Returns:
        The plan, on the bank's device.
    """
    draws = Draws(len(rows), generator, bank.device)
    rows = rows.to(bank.device)
    traits = people.draw(identities, draws)
    time_map = draw_time_map(bank, rows, n_frames, hop_seconds, settings, draws)
    center = _speaking_f0(bank, rows) * torch.exp(settings.pitch_coupling * traits["warp"])
    tune = draw_tune(center, traits, n_frames, hop_seconds, settings, draws)
    place = time_map.left, time_map.right, time_map.fraction
    effort = _effort(tune, traits, hop_seconds, settings, draws)
    light = _light_register(tune, settings, draws)
    slow = torch.arange(n_frames, device=bank.device) * hop_seconds
    opening = (tune.f0 / (_NEUTRAL_F1 * torch.exp(traits["warp"]))[:, None]).clamp(
        1, _LARGEST_OPENING
    )
    return Plan(
        hop_seconds, rows, *place,
        f0=tune.f0 * time_map.voiced, slope=tune.slope, warp=formant_shifts(traits),
        opening=opening ** (settings.opening * draws.uniform(shape=(1,))),
        # Louder voices have hardly louder consonants, whose spectrum stays.
        level=effort * (0.5 + 0.5 * time_map.voiced)
        + _evened_level(bank, place, time_map.voiced, settings, draws),
        tilt=(settings.effort_tilt * effort - settings.register_db / 2 * light) * time_map.voiced,
        first_partial=traits["source"][:, None] + settings.register_db * light,
        breath=traits["breath"][:, None] + settings.register_db / 2 * light,
        nasal=_swelling(traits["nasal"], slow, draws),
        nasal_hz=700 * torch.exp2(traits["nasal_hz"]),
        ring=_swelling(traits["ring"], slow, draws),
        ring_hz=2900 * torch.exp2(traits["ring_hz"]),
        noise=draws.integers(1 << 30),
    )  # fmt: skip


def _speaking_f0(bank: BankTensors, rows: Tensor) -> Tensor:
    """Median F0 of recordings, as far as a person could speak so.

    Where a tracker followed mains hum or found nothing, it is what lies between men and women.
    """
    median = bank.median_f0[rows]
    return torch.where(median > _LOWEST_SPEECH, median, _UNKNOWN_SPEECH)


def _effort(
    tune: Tune,
    traits: Mapping[str, Tensor],
    hop_seconds: float,
    settings: ResingSettings,
    draws: Draws,
) -> Tensor:
    """Decibels louder than the speech: the crop's own, with pitch, and swelling slowly."""
    time = torch.arange(tune.f0.shape[1], device=draws.device) * hop_seconds
    octaves = torch.log2(tune.f0 / tune.center[:, None])
    swell = settings.effort_swell_db * draws.wander(time, 0.2, 1.5)
    return traits["effort"][:, None] + settings.effort_octave_db * octaves + swell


def _light_register(tune: Tune, settings: ResingSettings, draws: Draws) -> Tensor:
    """0 below the passaggio … 1 above it, within about two semitones."""
    passaggio = draws.log_uniform(settings.passaggio_min, settings.passaggio_max, (1,))
    goes = draws.happens(settings.register_probability, (1,))
    return torch.sigmoid(24 * torch.log2(tune.f0 / passaggio)) * goes


def _evened_level(
    bank: BankTensors,
    place: tuple[Tensor, Tensor, Tensor],
    voiced: Tensor,
    settings: ResingSettings,
    draws: Draws,
) -> Tensor:
    """Decibels that bring voiced frames nearer to their mean level: sung vowels fade less."""
    left, right, fraction = place
    before, after = (bank.cepstrum[:, 0][index].float() for index in (left, right))
    level = torch.lerp(before, after, fraction) * bank.scale[0] * _DB_PER_NEPER
    mean = (level * voiced).sum(1, keepdim=True) / voiced.sum(1, keepdim=True).clamp(min=1)
    return settings.sustain * draws.uniform(shape=(1,)) * (mean - level) * voiced


def _swelling(amount: Tensor, time: Tensor, draws: Draws) -> Tensor:
    """An effect `(n_crops, n_frames)` that comes and goes about its amount, never below 0."""
    return (amount[:, None] * (1 + 0.3 * draws.wander(time, 0.3, 3.0))).clamp(min=0)
