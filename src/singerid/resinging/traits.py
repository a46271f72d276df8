"""Traits: the numbers that make one crop's voice, drawn for the crop or for its identity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from singerid.resing_settings import ResingSettings, Role
from singerid.resinging.draws import Draws, seeded

_KNOTS_HZ = (500.0, 1600.0, 3500.0)  # F1 of most vowels below, F2 about, F3 and more above
_HABITS = {"vibrato", "vibrato_hz", "vibrato_cents"}
"""Traits that speech does not have: a natural voice's are drawn like those of the others."""


@dataclass(frozen=True, slots=True)
class Trait:
    """One number and where it may lie.

    Attributes:
        name: a key of what `Identities.draw` returns.
        role: whether crops or identities differ in it.
        low: its least value.
        high: its greatest.
        neutral: of a natural voice, where the role is "identity", and where it is "off".
    """

    name: str
    role: Role
    low: float
    high: float
    neutral: float = 0.0


def traits_of(settings: ResingSettings) -> tuple[Trait, ...]:
    """All traits, always in the same order.

    - warp, larynx: nepers on all formants; bend_low, bend_middle, bend_high: on some of them.
    - effort: dB; source: dB on the first partial; breath: dB on the noise.
    - nasal, ring: dB, nothing below 0: two voices in three are nasal, or ring, to some degree;
      nasal_hz, ring_hz: octaves around 700 Hz and 2.9 kHz.
    - vibrato: 0 … 1, how rare a vibrato it is; vibrato_hz; vibrato_cents: ln of cents.
    """
    s = settings
    vibrato_cents = (
        math.log(max(s.vibrato_cents_min, 1e-3)),
        math.log(max(s.vibrato_cents_max, 1e-3)),
    )
    return (
        Trait("warp", s.warp_role, math.log(s.warp_min), math.log(s.warp_max)),
        Trait("larynx", "within", -s.larynx, s.larynx),
        Trait("bend_low", s.bend_role, -s.bend, s.bend),
        Trait("bend_middle", s.bend_role, -s.bend, s.bend),
        Trait("bend_high", s.bend_role, -s.bend, s.bend),
        Trait("effort", s.effort_role, -s.effort_db, s.effort_db),
        Trait("source", s.source_role, -s.source_db, s.source_db),
        Trait("breath", s.breath_role, s.breath_min_db, s.breath_max_db),
        Trait("nasal", s.nasal_role, -s.nasal_db / 2, s.nasal_db),
        Trait("nasal_hz", s.nasal_role, -0.4, 0.4),
        Trait("ring", s.ring_role, -s.ring_db / 2, s.ring_db),
        Trait("ring_hz", s.ring_role, -0.25, 0.25),
        Trait("vibrato", s.vibrato_role, 0.0, 1.0, 2.0),
        Trait("vibrato_hz", s.vibrato_role, s.vibrato_hz_min, s.vibrato_hz_max, 5.5),
        Trait("vibrato_cents", s.vibrato_role, *vibrato_cents),
    )  # fmt: skip


class Identities:
    """Every singer in all variants: identity i is variant `i % variants` of singer `i // variants`.

    Attributes:
        n: number of identities.
        variants: of each singer.
        uniforms: float32 `(n, n_traits)`, 0 … 1: where each trait lies in its range.
    """

    def __init__(self, n_singers: int, settings: ResingSettings, seed: int = 0) -> None:
        self.settings, self.variants = settings, settings.variants
        self.n = n_singers * self.variants
        generator = seeded(seed, 0x1DE)
        self.uniforms = torch.rand(self.n, len(traits_of(settings)), generator=generator)
        warps = _apart(self.uniforms[:, 0].reshape(n_singers, self.variants), settings)
        self.uniforms[:, 0] = warps.reshape(-1)

    def draw(self, identities: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Traits of a crop of each identity.

        Args:
            identities: int64 `(n_crops,)` on the CPU.
            draws: for `n_crops`.

        Returns:
            float32 `(n_crops,)` by the name of the trait, on the draws' device.
        """
        own = self.uniforms[identities].to(draws.device)
        traits = traits_of(self.settings)
        drawn = draws.uniform(shape=(len(traits),))
        natural = (identities % self.variants == 0).to(draws.device)
        values = {}
        for i, trait in enumerate(traits):
            places = own[:, i] if trait.role == "identity" else drawn[:, i]
            value = trait.low + (trait.high - trait.low) * places
            if trait.role == "off":
                value = torch.full_like(value, trait.neutral)
            elif trait.role == "identity" and trait.name not in _HABITS:
                value = torch.where(natural, trait.neutral, value)
            values[trait.name] = value
        return values


def formant_shifts(traits: Mapping[str, Tensor]) -> Tensor:
    """Nepers `(n_crops, 3)` by which low, middle and high formants lie higher (see `source_hz`)."""
    whole = traits["warp"] + traits["larynx"]
    bends = [traits[f"bend_{part}"] for part in ("low", "middle", "high")]
    return torch.stack([whole + bend for bend in bends], dim=1)


def source_hz(shifts: Tensor, hz: Tensor) -> Tensor:
    """Frequency of the recorded voice that is heard at `hz` `(n_hz,)`: `(n_crops, n_hz)`.

    Args:
        shifts: of `formant_shifts`: nepers below 500 Hz, at 1.6 kHz and above 3.5 kHz, linear in
            between on a logarithmic axis.
        hz: frequencies.
    """
    octaves, knots = torch.log2(hz.clamp(min=1)), [math.log2(knot) for knot in _KNOTS_HZ]
    low = ((octaves - knots[0]) / (knots[1] - knots[0])).clamp(0, 1)
    high = ((octaves - knots[1]) / (knots[2] - knots[1])).clamp(0, 1)
    return hz * torch.exp(-shifts @ torch.stack([1 - low, low - high, high]))


def _apart(places: Tensor, settings: ResingSettings) -> Tensor:
    """Places of the warp `(n_singers, variants)` in 0 … 1, kept `warp_gap` apart and from 1.

    The warped variants share the range less the gaps: each is drawn from a part of its own, so
    that the classes of one singer never coincide.
    """
    low, high = math.log(settings.warp_min), math.log(settings.warp_max)
    n = places.shape[1] - 1
    if n == 0 or high <= low:
        return places
    below = n * -low / (high - low)  # how many factors lie below 1, in the mean
    fewer, more = math.floor(below), math.ceil(below)
    some = torch.where(
        places[:, :1] < below - fewer,
        _parted(places[:, 1:], more, settings),
        _parted(places[:, 1:], fewer, settings),
    )
    return torch.cat([places[:, :1], (some - low) / (high - low)], dim=1)


def _parted(places: Tensor, n_below: int, settings: ResingSettings) -> Tensor:
    """Nepers `(n_singers, n)`: the first `n_below` below 0, the others above."""
    low, high = math.log(settings.warp_min), math.log(settings.warp_max)
    gap, n = settings.warp_gap, places.shape[1]
    columns: list[Tensor] = []
    for start, end, count in ((low, -gap, n_below), (gap, high, n - n_below)):
        width = max(0.0, (end - start - (count - 1) * gap) / max(count, 1))
        for k in range(count):
            at = start + k * (width + gap)
            columns.append(at + width * places[:, len(columns)])
    return torch.stack(columns, dim=1)
