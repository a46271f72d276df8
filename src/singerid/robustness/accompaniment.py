"""A band that anyone may use: chords, bass and drums, made from a random generator.

It knows nothing of the voice that it will be mixed with: key, tempo and progression are drawn by
themselves, as if a wrong backing track ran. Not music to listen to, but its spectrum and its
rhythm cover a voice as pop music does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.signal

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]

# Semitones above the tonic and third (4: major, 3: minor) of four chords, a bar each.
_PROGRESSIONS = (
    ((0, 4), (7, 4), (9, 3), (5, 4)),
    ((9, 3), (5, 4), (0, 4), (7, 4)),
    ((2, 3), (7, 4), (0, 4), (9, 3)),
    ((0, 3), (8, 4), (3, 4), (10, 4)),
    ((0, 3), (5, 3), (10, 4), (3, 4)),
)
_BARS, _BEATS = 8, 4
_PARTIALS_BELOW_HZ = 6000.0
_LEVELS = {"chords": 1.0, "bass": 1.0, "kick": 1.1, "snare": 0.8, "hat": 0.25}
"""Root mean square of each track, relative to the chords."""
N_PIECES = 24


@dataclass(frozen=True, slots=True)
class Style:
    """What is drawn for one piece.

    Attributes:
        beat: seconds.
        root: MIDI number of the tonic in the bass.
        chords: semitones above the tonic and third of each bar's chord, repeated.
        decay: seconds in which a chord falls by 60 dB (plucked … held).
        slope: exponent of the decrease of the partials' amplitudes.
        swing: delay of every second eighth note, in eighths.
    """

    beat: float
    root: int
    chords: tuple[tuple[int, int], ...]
    decay: float
    slope: float
    swing: float


def draw_style(rng: np.random.Generator) -> Style:
    """Tempo of 72 to 140 beats a minute, any of the twelve keys, one of five progressions."""
    return Style(
        beat=60 / rng.uniform(72, 140), root=int(rng.integers(28, 40)),
        chords=_PROGRESSIONS[rng.integers(len(_PROGRESSIONS))], decay=float(rng.uniform(0.8, 6)),
        slope=float(rng.uniform(0.8, 1.6)), swing=float(rng.choice([0.0, 0.0, 0.33])),
    )  # fmt: skip


def accompaniment(n_samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """One of 24 pieces of eight bars, repeated from a random place on.

    Args:
        n_samples: length of the result.
        sample_rate: Hz.
        rng: source of piece and place.

    Returns:
        float32 `(n_samples,)`, peak at most 0.9.
    """
    loop = _piece(int(rng.integers(N_PIECES)), sample_rate)
    return np.resize(np.roll(loop, -int(rng.integers(len(loop)))), n_samples)


@lru_cache(maxsize=2 * N_PIECES)
def _piece(number: int, sample_rate: int) -> FloatArray:
    """A piece takes a second to make."""
    rng = np.random.default_rng([1, number])
    return play(draw_style(rng), sample_rate, rng)


def play(style: Style, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """Eight bars as a loop whose end rings into its beginning, float32, peak 0.9."""
    beat = round(style.beat * sample_rate)
    tracks = {name: np.zeros(_BARS * _BEATS * beat) for name in _LEVELS}
    for chord, (step, third) in enumerate(style.chords):
        notes = [_hz(style.root + 24 + step - 12 * (step > 6) + up) for up in (0, third, 7)]
        sound = np.sum(
            [_string(hz, _BEATS * beat, sample_rate, style, rng) for hz in notes], axis=0
        )
        low = _bass(_hz(style.root + step - 12 * (step > 7)), beat, sample_rate)
        for bar in range(chord, _BARS, len(style.chords)):
            _add(tracks["chords"], bar * _BEATS * beat, sound)
            for k in range(_BEATS):
                _add(tracks["bass"], (bar * _BEATS + k) * beat, low)
    for name, at, sound in _drums(style, sample_rate, rng):
        _add(tracks[name], round(at * beat), sound)
    mix = np.sum([level / tracks[name].std() * tracks[name] for name, level in _LEVELS.items()], 0)
    return np.asarray(0.9 / np.abs(mix).max() * mix, np.float32)


def _drums(
    style: Style, sample_rate: int, rng: np.random.Generator
) -> Iterator[tuple[str, float, DoubleArray]]:
    """Kick and snare in turn, a hat every eighth: track, time in beats, sound."""
    kick = _kick(sample_rate)
    for beat in range(_BARS * _BEATS):
        yield ("snare", beat, _snare(sample_rate, rng)) if beat % 2 else ("kick", beat, kick)
        yield "hat", beat, _hat(sample_rate, rng)
        yield "hat", beat + (1 + style.swing) / 2, _hat(sample_rate, rng)


def _add(track: DoubleArray, start: int, sound: DoubleArray) -> None:
    """Add a sound to a loop, what is beyond its end to its beginning."""
    start %= len(track)
    first = sound[: len(track) - start]
    track[start : start + len(first)] += first
    rest = sound[len(first) :][: len(track)]
    track[: len(rest)] += rest


def _hz(midi: float) -> float:
    return float(440 * 2 ** ((midi - 69) / 12))


def _time(seconds: float, sample_rate: int) -> DoubleArray:
    return np.arange(round(seconds * sample_rate)) / sample_rate


def _fading(sound: DoubleArray, sample_rate: int, attack: float = 0.004) -> DoubleArray:
    """Without clicks at both ends."""
    ramp = np.linspace(0, 1, max(2, round(attack * sample_rate)))[: len(sound) // 2]
    sound[: len(ramp)] *= ramp
    sound[len(sound) - len(ramp) :] *= ramp[::-1]
    return sound


def _string(
    hz: float, n: int, sample_rate: int, style: Style, rng: np.random.Generator
) -> DoubleArray:
    """A note of decaying partials, high ones faster, slightly out of tune."""
    time = np.arange(n) / sample_rate
    hz *= 2 ** (rng.normal(0, 3) / 1200)
    limit = min(_PARTIALS_BELOW_HZ, 0.45 * sample_rate)
    sound = np.zeros(n)
    for k in range(1, int(limit / hz) + 1):
        rate = np.log(1000) / style.decay * (1 + 0.15 * k)
        phase = 2 * np.pi * (k * hz * time + rng.random())
        sound += k**-style.slope * np.exp(-rate * time) * np.sin(phase)
    return _fading(sound, sample_rate, 0.01)


def _bass(hz: float, n: int, sample_rate: int) -> DoubleArray:
    time = np.arange(n) / sample_rate
    wave = sum(np.sin(2 * np.pi * k * hz * time) / k**1.5 for k in range(1, 7))
    return _fading(np.asarray(wave * np.exp(-2.5 * time)), sample_rate)


def _kick(sample_rate: int) -> DoubleArray:
    """A sine that falls from 160 to 50 Hz."""
    time = _time(0.25, sample_rate)
    phase = 2 * np.pi * (50 * time + 110 * 0.03 * (1 - np.exp(-time / 0.03)))
    return _fading(np.sin(phase) * np.exp(-time / 0.07), sample_rate, 0.002)


def _snare(sample_rate: int, rng: np.random.Generator) -> DoubleArray:
    time = _time(0.18, sample_rate)
    noise = _noise_above(700, len(time), sample_rate, rng)
    body = 0.6 * np.sin(2 * np.pi * 190 * time)
    return _fading((noise + body) * np.exp(-time / 0.05), sample_rate, 0.001)


def _hat(sample_rate: int, rng: np.random.Generator) -> DoubleArray:
    time = _time(0.06, sample_rate)
    edge = min(6000, 0.3 * sample_rate)
    noise = _noise_above(edge, len(time), sample_rate, rng)
    return _fading(noise * np.exp(-time / 0.015), sample_rate, 0.001)


def _noise_above(hz: float, n: int, sample_rate: int, rng: np.random.Generator) -> DoubleArray:
    sections = scipy.signal.butter(2, hz, "highpass", fs=sample_rate, output="sos")
    return np.asarray(scipy.signal.sosfilt(sections, rng.standard_normal(n)))
