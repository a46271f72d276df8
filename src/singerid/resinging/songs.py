"""Songs to listen to: recordings of a bank, chosen, sung anew, and said what was sung."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from singerid.errors import ConfigError, StoreError
from singerid.resing_settings import ResingSettings
from singerid.resinging.bank_tensors import BankTensors
from singerid.resinging.plan import Plan
from singerid.resinging.resing import Resung, resing
from singerid.voicebank.bank import VoiceBank

AudioArray = npt.NDArray[np.float32]

PEAK_DB = -3.0
"""Highest sample of a song, relative to full scale."""
_FADE_SECONDS = 0.01  # at both ends: songs begin and end within a note
_SECONDS_RANGE = (1.0, 60.0)  # a second of WORLD's spectra is 8 MB


@dataclass(frozen=True, slots=True, eq=False)
class Song:
    """A recording sung anew, ready for a file.

    Attributes:
        row: of the bank, which recording.
        samples: float32 `(n_samples,)` at the bank's sample rate, peak at `PEAK_DB`, faded in and
            out.
        plan: what was sung, one crop, its frames as far apart as the bank's mel frames.
        facts: what can be said of it, ready for JSON; `gain_db` was added to the level that the
            renderer gives.
    """

    row: int
    samples: AudioArray
    plan: Plan
    facts: dict[str, Any]

    def title(self) -> str:
        """Who sings."""
        singer, variant, warp = (self.facts[name] for name in ("singer", "variant", "warp"))
        return f"{singer}, re-sung" + f" as variant {variant}, formants × {warp:.2f}" * bool(
            variant
        )

    def line(self) -> str:
        """The facts that one hears first, on one line."""
        facts = self.facts
        line = f"{facts['singer']}, variant {facts['variant']}, formants × {facts['warp']:.2f}, "
        line += f"F0 {facts['median_f0_hz']:.0f} Hz (speech {facts['speech_f0_hz']:.0f} Hz), "
        if facts["vibrato_hz"] is None:
            line += "no vibrato"
        else:
            line += f"vibrato {facts['vibrato_hz']:.1f} Hz ± {facts['vibrato_cents']:.0f} cents"
        return f"{line}, gain {facts['gain_db']:+.1f} dB"


def choose_rows(
    bank: VoiceBank, n: int, seed: int, singer: str | None = None, id: str | None = None
) -> list[int]:
    """Recordings for `n` songs.

    Args:
        bank: the voices.
        n: how many; fewer recordings than songs are taken several times.
        seed: of the order.
        singer: only this singer's; else as many singers as possible, one after the other.
        id: this recording for all songs.

    Raises:
        StoreError: the bank has no such singer or recording, or nobody at all.
    """
    wanted = [("recording", id, bank.ids), ("singer", singer, bank.singers)]
    rows = list(range(len(bank)))
    for what, name, names in wanted:
        if name is not None:
            _check_known(what, name, names)
            rows = [row for row in rows if names[row] == name]
    if not rows:
        found = f"none of {singer!r} is {id!r}" if singer and id else "no recordings"
        raise StoreError("nothing to sing", where="voice bank", found=found)
    rng = np.random.default_rng(seed)
    people = rng.permutation(sorted({bank.singers[row] for row in rows}))
    own = [rng.permutation([row for row in rows if bank.singers[row] == name]) for name in people]
    order = [row for turn in itertools.zip_longest(*own) for row in turn if row is not None]
    return [int(order[k % len(order)]) for k in range(n)]


def _check_known(what: str, name: str, names: Sequence[str]) -> None:
    if name in names:
        return
    close = difflib.get_close_matches(name, sorted(set(names)), n=1, cutoff=0.4)
    raise StoreError(
        f"no {what} {name!r}", where="voice bank", found=f"{len(set(names))} others",
        do=f"did you mean {close[0]!r}?" if close else None,
    )  # fmt: skip


def sing_song(
    bank: VoiceBank,
    tensors: BankTensors,
    row: int,
    settings: ResingSettings,
    *,
    variant: int = 0,
    seconds: float = 6.0,
    seed: int = 0,
) -> Song:
    """Let a recording's singer sing.

    Args:
        bank: the voices.
        tensors: the same bank for torch.
        row: which recording.
        settings: ranges of what is drawn.
        variant: as whom its singer sings, 0 for the natural voice.
        seconds: length, 1 … 60.
        seed: of the song.

    Raises:
        ConfigError: no such row or variant, or a length out of range.
        MissingExtraError: pyworld is not installed.
    """
    low, high = _SECONDS_RANGE
    if not low <= seconds <= high:
        raise ConfigError(
            "length of a song out of range", found=f"{seconds:g} s", expected=f"{low:g} … {high:g}"
        )
    hop = bank.spec.features.hop_seconds
    sung = resing(
        tensors, row, settings, variant=variant, seconds=seconds, hop_seconds=hop, seed=seed
    )
    samples, gain_db = _presentable(sung.samples, bank.spec.sample_rate)
    facts = {
        "singer": bank.singers[row], "recording": bank.ids[row], "variant": variant, "seed": seed,
        "seconds": round(len(samples) / bank.spec.sample_rate, 3), "gain_db": round(gain_db, 2),
        "speech_f0_hz": round(float(bank.median_f0[row]), 1), **_facts(bank, sung, settings),
    }  # fmt: skip
    return Song(row, samples, sung.plan, facts)


def _presentable(samples: AudioArray, rate: int) -> tuple[AudioArray, float]:
    """Samples with soft ends and their peak at `PEAK_DB`, and the gain in dB that this took."""
    n = round(_FADE_SECONDS * rate)
    ramp = np.sin(np.linspace(0, np.pi / 2, n, dtype=np.float32)) ** 2
    faded = samples.copy()
    faded[:n] *= ramp
    faded[-n:] *= ramp[::-1]
    gain_db = PEAK_DB - 20 * math.log10(max(float(np.abs(faded).max()), 1e-9))
    return faded * np.float32(10 ** (gain_db / 20)), gain_db


def _facts(bank: VoiceBank, sung: Resung, settings: ResingSettings) -> dict[str, Any]:
    """What the plan and the traits say; decibels are means over the song."""
    plan, traits = sung.plan, sung.traits
    f0 = plan.f0[0][plan.f0[0] > 0]
    if not len(f0):
        f0 = torch.zeros(1)
    vibrato = traits["vibrato"] < settings.vibrato_probability
    position = (plan.left + plan.fraction.double())[0]
    spoken = float(position.diff().clamp(min=0).sum()) * bank.spec.frame_period
    facts: dict[str, Any] = {
        "warp": round(math.exp(traits["warp"]), 3),
        "formants": [round(math.exp(shift), 3) for shift in plan.warp[0].tolist()],
        "median_f0_hz": round(float(f0.median()), 1),
        "lowest_f0_hz": round(float(f0.min()), 1),
        "highest_f0_hz": round(float(f0.max()), 1),
        "voiced": round(float((plan.f0 > 0).float().mean()), 3),
        "stretch": round((plan.n_frames - 1) * plan.hop_seconds / max(spoken, 1e-3), 2),
        "vibrato_hz": round(traits["vibrato_hz"], 2) if vibrato else None,
        "vibrato_cents": round(math.exp(traits["vibrato_cents"]), 1) if vibrato else None,
    }
    for name in ("level", "tilt", "first_partial", "breath", "nasal", "ring"):
        unit = "db_per_octave" if name == "tilt" else "db"
        facts[f"{name}_{unit}"] = round(float(getattr(plan, name).mean()), 1)
    return facts
