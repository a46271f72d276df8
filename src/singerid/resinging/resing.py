"""Waveform twin of a rendered crop: the same plan as sound, by WORLD's synthesis.

One can listen to it; and its mel frames must be those that `singerid.resinging.render` makes
without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.interpolate import CubicHermiteSpline

from singerid.errors import ConfigError
from singerid.features.world import WorldAnalysis, fft_size, synthesize
from singerid.resing_settings import ResingSettings
from singerid.resinging.bank_tensors import BankTensors
from singerid.resinging.draws import Draws, seeded
from singerid.resinging.plan import Plan, draw_plan
from singerid.resinging.render import envelope_nepers, noise_nepers
from singerid.resinging.traits import Identities

FloatArray = npt.NDArray[np.float64]
AudioArray = npt.NDArray[np.float32]

_PERIOD_MS = 2.0  # of what is synthesized: WORLD moves in straight lines from frame to frame
_MARGIN_SECONDS = 0.1  # before and after, so that windows at the ends see the voice
_LOWEST_F0 = 47.0  # decides the FFT's length


@dataclass(frozen=True, slots=True, eq=False)
class Resung:
    """A recording of a bank, sung anew.

    Attributes:
        samples: float32 `(n_samples,)`, at the bank's sample rate and the recording's level.
        plan: what was sung, one crop.
        traits: of the voice in this song (`singerid.resinging.traits.traits_of`).
    """

    samples: AudioArray
    plan: Plan
    traits: Mapping[str, float]


def resing(
    bank: BankTensors,
    row: int,
    settings: ResingSettings,
    *,
    variant: int = 0,
    seconds: float = 6.0,
    hop_seconds: float = 0.01,
    seed: int = 0,
) -> Resung:
    """Draw a song for a recording, and sing it.

    Args:
        bank: the voices.
        row: which recording.
        settings: ranges of what is drawn.
        variant: as whom its singer sings: 0, the natural voice, … `settings.variants` - 1.
        seconds: length of the song.
        hop_seconds: distance of the plan's frames.
        seed: of the song.

    Raises:
        ConfigError: there is no such recording or variant.
        MissingExtraError: pyworld is not installed.
    """
    for name, value, n in (("row", row, len(bank)), ("variant", variant, settings.variants)):
        if not 0 <= value < n:
            raise ConfigError(f"no such {name}", found=value, expected=f"0 … {n - 1}")
    people = Identities(len(bank.names), settings)
    identity = torch.tensor([int(bank.singers[row]) * people.variants + variant])
    plan = draw_plan(
        bank, torch.tensor([row]), identity, people, seeded(seed), settings,
        n_frames=1 + round(seconds / hop_seconds), hop_seconds=hop_seconds,
    )  # fmt: skip
    traits = people.draw(identity, Draws(1, seeded(seed), bank.device))  # the plan's first draw
    values = {name: float(value) for name, value in traits.items()}
    return Resung(resing_waveform(bank, plan), plan, values)


def resing_waveform(bank: BankTensors, plan: Plan, crop: int = 0) -> AudioArray:
    """One crop of a plan as sound.

    Frame i of the plan is at sample `i · hop_seconds · sample_rate`.

    Args:
        bank: the voices.
        plan: what is sung.
        crop: which of its crops.

    Returns:
        float32 `(n_samples,)`, from the first to the last frame, at the recording's level; not
        clipped.

    Raises:
        MissingExtraError: pyworld is not installed.
    """
    rate = bank.spec.sample_rate
    one = plan.crops(slice(crop, crop + 1))
    size = fft_size(rate, _LOWEST_F0)
    hz = torch.linspace(0, rate / 2, size // 2 + 1, device=bank.device)
    times = _times(one)
    envelope = _between(one, envelope_nepers(bank, one, hz), times)
    share = _between(one, noise_nepers(bank, one, hz), times)
    analysis = WorldAnalysis(
        _f0(one, times),
        np.exp(envelope),
        np.minimum(np.exp(share / 2), 1 - 1e-12),
        _PERIOD_MS,
        rate,
    )
    first = round(_MARGIN_SECONDS * rate)
    n_samples = 1 + round((one.n_frames - 1) * one.hop_seconds * rate)
    return synthesize(analysis)[first : first + n_samples]


def _times(plan: Plan) -> FloatArray:
    """Seconds of the synthesis' frames, margins included, on the plan's clock."""
    end = (plan.n_frames - 1) * plan.hop_seconds + _MARGIN_SECONDS
    return np.arange(-_MARGIN_SECONDS, end + _PERIOD_MS / 1000, _PERIOD_MS / 1000)


def _between(plan: Plan, nepers: torch.Tensor, times: FloatArray) -> FloatArray:
    """Curves of the plan's frames `(1, n_frames, n_hz)` at other times, `(n_times, n_hz)`."""
    curves = nepers[0].double().cpu().numpy()
    place = np.clip(times / plan.hop_seconds, 0, len(curves) - 1)
    left = np.minimum(place.astype(int), len(curves) - 2)
    weight = (place - left)[:, None]
    return np.asarray(curves[left] * (1 - weight) + curves[left + 1] * weight)


def _f0(plan: Plan, times: FloatArray) -> FloatArray:
    """F0 in Hz at other times, 0 where the nearest frame is unvoiced.

    ln F0 passes through the plan's values with the plan's slopes.
    """
    f0, slope = (value[0].double().cpu().numpy() for value in (plan.f0, plan.slope))
    place = np.clip(times / plan.hop_seconds, 0, len(f0) - 1)
    voiced = f0[np.rint(place).astype(int)] > 0
    frames = np.flatnonzero(f0)
    if len(frames) < 2:
        return np.where(voiced, f0.max(), 0.0)
    curve = CubicHermiteSpline(
        frames * plan.hop_seconds, np.log(f0[frames]), slope[frames], extrapolate=True
    )
    inside = np.clip(place, frames[0], frames[-1]) * plan.hop_seconds
    return np.where(voiced, np.exp(curve(inside)), 0.0)
