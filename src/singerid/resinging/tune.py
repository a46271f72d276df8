"""Tunes: the F0 of many crops at once, as notes of a scale sung by people.

Notes pass through a second-order pitch control, with scoops, vibrato, drift and jitter (Saitou
et al. 2005, Development of an F0 control model based on F0 dynamic characteristics for
singing-voice synthesis, Speech Communication 46; vibrato: Prame 1994 and 1997).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from singerid.resing_settings import ResingSettings
from singerid.resinging.draws import Draws

_SCALES = (
    (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10), (0, 2, 4, 5, 7, 9, 10),
    (0, 2, 4, 7, 7, 9, 9),
)  # fmt: skip
"""Semitones of seven degrees: major, minor, Dorian, Mixolydian, and a pentatonic that repeats."""
_MOVES = (-3, -2, -1, -1, 0, 1, 1, 2, 3)  # degrees from one note to the next, equally likely
_SCOOP_SECONDS = 0.06  # until a scoop is deepest
_SWELL_SECONDS = 0.25  # of a vibrato, until its full extent
_LEAVE_SECONDS = 0.08  # before the next note, in which vibrato and scoop end: F0 does not jump


@dataclass(frozen=True, slots=True, eq=False)
class Tune:
    """Pitch of each crop.

    Attributes:
        f0: float32 `(n_crops, n_frames)` Hz.
        slope: float32 `(n_crops, n_frames)`, change of ln F0 per second.
        center: float32 `(n_crops,)` Hz, middle of the melody.
    """

    f0: Tensor
    slope: Tensor
    center: Tensor


def draw_tune(
    median_f0: Tensor,
    traits: Mapping[str, Tensor],
    n_frames: int,
    hop_seconds: float,
    settings: ResingSettings,
    draws: Draws,
) -> Tune:
    """Draw a melody for each crop.

    Args:
        median_f0: float32 `(n_crops,)` Hz, of the person.
        traits: of the crops; those that begin with "vibrato" count.
        n_frames: of the crops.
        hop_seconds: distance of two of them.
        settings: ranges.
        draws: for `n_crops`.
    """
    time = torch.arange(n_frames, device=draws.device) * hop_seconds
    center = median_f0 * torch.exp2(draws.uniform(settings.pitch_min, settings.pitch_max))
    center = center.clamp(settings.lowest_f0, settings.highest_f0)
    begins = _draw_notes(n_frames * hop_seconds, settings, draws)
    pitches = _draw_pitches(center, begins.shape[1], settings, draws)
    since, note = _since(begins, time)
    leaving = ((_until(begins, note) - time) / _LEAVE_SECONDS).clamp(0, 1)

    semitones = _glide(pitches, begins, time, settings, draws)
    scoops = draws.happens(settings.scoop_probability, (begins.shape[1],))
    depths = scoops * draws.normal((begins.shape[1],)).abs() * (settings.scoop_cents / 100)
    place = since / _SCOOP_SECONDS
    semitones -= leaving * depths.gather(1, note) * (place * torch.exp(1 - place)).square()
    semitones += leaving * _vibrato(traits, since, time, settings, draws)
    semitones += settings.drift_cents / 100 * draws.wander(time, 0.2, 2.0)
    slope = torch.gradient(semitones, spacing=hop_seconds, dim=1)[0] * (math.log(2) / 12)
    semitones += settings.jitter_cents / 100 * draws.normal((n_frames,))
    f0 = center[:, None] * torch.exp2(semitones / 12)
    return Tune(f0.clamp(0.9 * settings.lowest_f0, 1.1 * settings.highest_f0), slope, center)


def _draw_notes(seconds: float, settings: ResingSettings, draws: Draws) -> Tensor:
    """Seconds at which each note begins, `(n_crops, n_notes)`; the first before the crop."""
    n_notes = math.ceil(seconds / settings.note_min) + 1
    lengths = draws.log_uniform(settings.note_min, settings.note_max, (n_notes,))
    before = draws.uniform(shape=(1,)) * lengths[:, :1]  # crops begin within a note
    return lengths.cumsum(1) - lengths - before


def _draw_pitches(center: Tensor, n_notes: int, settings: ResingSettings, draws: Draws) -> Tensor:
    """Semitones of the notes above `center`, `(n_crops, n_notes)`: a walk over a scale.

    The walk is folded back at a reach of its own, `leap` at most, from the center: there are
    narrow melodies and wide ones. A note that nobody could sing moves by octaves until somebody
    can.
    """
    moves = torch.tensor(_MOVES, device=draws.device)[draws.integers(len(_MOVES), (n_notes,))]
    scale = draws.integers(len(_SCALES))
    widest = round(settings.leap * 7 / 12)  # in degrees
    reach = draws.integers(widest + 1, (1,))
    walk = draws.integers(4 * widest + 1, (1,)) + moves.cumsum(1)
    degrees = (walk % (4 * reach).clamp(min=1) - 2 * reach).abs() - reach
    semitones = _scale_pitch(degrees, scale)
    for limit, sign in ((settings.lowest_f0, 1), (settings.highest_f0, -1)):
        beyond = sign * (12 * torch.log2(limit / center)[:, None] - semitones)
        semitones = semitones + sign * 12 * torch.ceil(beyond / 12).clamp(min=0)
    return semitones


def _scale_pitch(degrees: Tensor, scale: Tensor) -> Tensor:
    """Semitones of degrees `(n_crops, n_notes)` in the crops' scales `(n_crops,)`."""
    table = torch.tensor(_SCALES, dtype=torch.float32, device=degrees.device)
    octaves = torch.div(degrees, 7, rounding_mode="floor")
    return table[scale[:, None], degrees - 7 * octaves] + 12 * octaves


def _since(begins: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Seconds since the current note began, and its number, each `(n_crops, n_frames)`."""
    times = time.expand(len(begins), -1).contiguous()
    note = (torch.searchsorted(begins.contiguous(), times, right=True) - 1).clamp(min=0)
    return times - begins.gather(1, note), note


def _until(begins: Tensor, note: Tensor) -> Tensor:
    """Seconds at which the note after the current one begins, `(n_crops, n_frames)`."""
    return F.pad(begins[:, 1:], (0, 1), value=math.inf).gather(1, note)


def _glide(
    pitches: Tensor, begins: Tensor, time: Tensor, settings: ResingSettings, draws: Draws
) -> Tensor:
    """Pitch of a second-order control that follows the notes, `(n_crops, n_frames)` semitones.

    Each step of the melody adds one closed step response, so that no recursion is needed.
    """
    omega = 2 * math.pi * draws.log_uniform(settings.glide_min, settings.glide_max, (1, 1))
    damping = draws.uniform(0.6, 0.95, (1, 1))
    if begins.device.type == "cpu":  # notes after the end add nothing; an accelerator would wait
        n_sung = 1 + int((begins < time[-1]).sum(1).max())
        begins, pitches = begins[:, :n_sung], pitches[:, :n_sung]
    since = (time[:, None] - begins[:, None, 1:]).clamp(min=0)  # (n_crops, n_frames, n_notes - 1)
    ringing = omega * torch.sqrt(1 - damping**2)
    swing = torch.cos(ringing * since) + damping * omega / ringing * torch.sin(ringing * since)
    response = 1 - torch.exp(-damping * omega * since) * swing
    return pitches[:, :1] + (response * pitches.diff(dim=1)[:, None]).sum(2)


def _vibrato(
    traits: Mapping[str, Tensor],
    since: Tensor,
    time: Tensor,
    settings: ResingSettings,
    draws: Draws,
) -> Tensor:
    """Semitones of vibrato `(n_crops, n_frames)`: it sets in after each note's straight start."""
    has = (traits["vibrato"] < settings.vibrato_probability)[:, None]
    extent = torch.exp(traits["vibrato_cents"])[:, None] / 100 * has
    onset = draws.uniform(0, settings.vibrato_onset, (1,))
    swell = ((since - onset) / _SWELL_SECONDS).clamp(0, 1)
    # The rate wanders by some 3 % (Prame 1994): as a phase, 0.3 s is a wander's integral.
    wandering = 0.03 * 0.3 * traits["vibrato_hz"][:, None] * draws.wander(time, 0.3, 1.0)
    phase = traits["vibrato_hz"][:, None] * time + wandering + draws.uniform(shape=(1,))
    return extent * swell * torch.sin(2 * math.pi * phase)
