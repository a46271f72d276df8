"""The conditions of the robustness report, by name: what is done to the tested recordings.

A degradation is of a *group* (one picture of the report), a *kind* (one line in it) and a
*level*. All levels of a kind draw the same noise, room or music for a recording, so that they
differ in nothing but the level.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from singerid.errors import ConfigError
from singerid.features.world import pyworld
from singerid.robustness.accompaniment import accompaniment
from singerid.robustness.backgrounds import Babble, SoundPool, VirtualVoices
from singerid.robustness.distortion import (
    Background,
    change_gain,
    change_speed,
    excerpt,
    limit_band,
    mix_in,
    pink_noise,
    reverberate,
    shift_pitch,
    white_noise,
)
from singerid.robustness.lossy import check_encoder, recode

FloatArray = npt.NDArray[np.float32]
Function = Callable[[FloatArray, int, np.random.Generator], FloatArray]


def _nothing() -> None:
    """Nothing is needed beyond this package."""


@dataclass(frozen=True, slots=True)
class Degradation:
    """One condition.

    Attributes:
        group: duration, noise, reverberation, codec, band, gain, pitch or accompaniment.
        kind: what is done, the same for all its levels.
        level: how much of it.
        function: (samples, sample rate, generator) → samples; the same array if nothing is done.
        check: raises a SingeridError where something is missing that the function needs.
    """

    group: str
    kind: str
    level: str
    function: Function
    check: Callable[[], object] = _nothing

    @property
    def name(self) -> str:
        """Kind and level, unique."""
        return f"{self.kind} {self.level}".strip()

    @property
    def identity(self) -> str:
        """Text that two degradations share only if they do the same."""
        return f"{self.name} {_described(self.function)}"

    def __call__(
        self, samples: FloatArray, sample_rate: int, rng: np.random.Generator
    ) -> FloatArray:
        """Apply it to mono `(n_samples,)` at `sample_rate` Hz."""
        return self.function(samples, sample_rate, rng)


def _described(function: object) -> str:
    if not isinstance(function, partial):
        return getattr(function, "__qualname__", "") or repr(function)
    words = (f"{name}={_described(value)}" for name, value in sorted(function.keywords.items()))
    return f"{_described(function.func)}({', '.join(words)})"


def build(babble: Background, music: Background) -> dict[str, tuple[Degradation, ...]]:
    """All degradations by group, with these voices for the babble and this accompaniment."""
    every = [
        *_durations(), *_noises(babble), *_rooms(), *_codecs(), *_bands(), *_gains(), *_pitches(),
        *_mixed("accompaniment", "music", music, (10, 5, 0, -5)),
    ]  # fmt: skip
    groups = dict.fromkeys(degradation.group for degradation in every)
    return {name: tuple(d for d in every if d.group == name) for name in groups}


def _durations() -> list[Degradation]:
    return [
        Degradation("duration", "excerpt of", f"{s} s", partial(excerpt, seconds=s))
        for s in (1, 2, 4, 8, 16)
    ]


def _noises(voices: Background) -> list[Degradation]:
    sources: dict[str, Background] = {
        "white noise": white_noise, "pink noise": pink_noise, "babble": Babble(voices),
    }  # fmt: skip
    return [
        degradation
        for kind, source in sources.items()
        for degradation in _mixed("noise", kind, source, (20, 10, 5, 0))
    ]


def _mixed(
    group: str, kind: str, background: Background, ratios_db: Sequence[int]
) -> list[Degradation]:
    return [
        Degradation(
            group, kind, _decibels(ratio), partial(mix_in, background=background, ratio_db=ratio)
        )
        for ratio in ratios_db
    ]


def _rooms() -> list[Degradation]:
    rooms = {0.3: 6, 0.8: 0, 2.0: -3}  # RT60: direct-to-reverberant ratio; farther in larger ones
    return [
        Degradation(
            "reverberation", "room", f"{rt60} s, DRR {_decibels(ratio)}",
            partial(reverberate, rt60=rt60, drr_db=ratio),
        )
        for rt60, ratio in rooms.items()
    ]  # fmt: skip


def _codecs() -> list[Degradation]:
    rates = {"mp3": (64, 32), "opus": (24, 16, 8), "aac": (64, 32, 24)}
    return [
        Degradation(
            "codec", {"mp3": "MP3", "opus": "Opus", "aac": "AAC"}[codec], f"{kbps} kbit/s",
            partial(recode, codec=codec, kbps=kbps), partial(check_encoder, codec),
        )
        for codec, several in rates.items() for kbps in several
    ]  # fmt: skip


def _bands() -> list[Degradation]:
    telephone = partial(limit_band, low=300, high=3400)
    return [
        Degradation("band", "low pass", "4 kHz", partial(limit_band, high=4000)),
        Degradation("band", "telephone", "300-3400 Hz", telephone),
        Degradation("band", "low pass", "2 kHz", partial(limit_band, high=2000)),
    ]


def _gains() -> list[Degradation]:
    return [
        Degradation("gain", "gain", "-30 dB", partial(change_gain, gain_db=-30)),
        Degradation("gain", "gain", "+12 dB, clipped", partial(change_gain, gain_db=12)),
    ]


def _pitches() -> list[Degradation]:
    steps = (-4, -2, 2, 4)
    moved = [
        Degradation(
            "pitch", "tape speed", f"{step:+d} st", partial(change_speed, semitones=step)
        )
        for step in steps
    ]  # fmt: skip
    kept = [
        Degradation(
            "pitch", "formants kept", f"{step:+d} st" if step else "0 st",
            partial(shift_pitch, semitones=step), pyworld,
        )
        for step in (-4, -2, 0, 2, 4)
    ]  # fmt: skip
    return [*moved, *kept]


def _decibels(value: int) -> str:
    return f"{value} dB"


DEGRADATIONS: Mapping[str, tuple[Degradation, ...]] = build(VirtualVoices(), accompaniment)
"""By group; babble of virtual singers, accompaniment by `singerid.robustness.accompaniment`."""


def choose(
    names: Sequence[str] = (),
    *,
    babble: str | os.PathLike[str] | None = None,
    music: str | os.PathLike[str] | None = None,
) -> list[Degradation]:
    """Degradations by group, kind or name, in the order of the report.

    Args:
        names: groups ("noise"), kinds ("babble") or names ("babble 0 dB"); none for all.
        babble: folder of voices for the babble; None for virtual singers.
        music: folder of instrumental music; None for synthesized accompaniment.

    Raises:
        ConfigError: a name is none of these.
        SingeridError: a folder has no audio files.
    """
    registry = DEGRADATIONS
    if babble is not None or music is not None:
        registry = build(
            VirtualVoices() if babble is None else SoundPool.of_folder(babble),
            accompaniment if music is None else SoundPool.of_folder(music),
        )
    every = [degradation for group in registry.values() for degradation in group]
    known = {word for d in every for word in (d.group, d.kind, d.name)}
    for name in names:
        if name not in known:
            raise ConfigError(
                f"no degradation {name!r}", expected=f"{', '.join(registry)}, or a name in them"
            )
    wanted = set(names) or known
    return [d for d in every if wanted & {d.group, d.kind, d.name}]
