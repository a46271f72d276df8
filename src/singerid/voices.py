"""Virtual singers: voices with a tract, a glottis and habits of their own.

The source is the glottis, the filter the tract (Fant 1960, Acoustic Theory of Speech Production).
`singerid.singing` makes them sing a song.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from singerid.errors import ConfigError
from singerid.melody import VOWELS, FloatArray

REFERENCE_TRACT_CM = 17.0
"""Tract length to which the formants of `VOWELS` belong."""
N_FORMANTS = 5
SPEED_OF_SOUND = 35_000.0
"""In cm/s, in warm and moist air."""


@dataclass(frozen=True, slots=True)
class VirtualSinger:
    """One voice.

    Attributes:
        name: of the singer.
        gender: "F" or "M"; decides only from which ranges tract and tessitura are drawn.
        tract_length_cm: glottis to lips, 13.5 … 19.
        formant_scales: deviation of F1 … F5 from the scaled reference, about 1.
        vowel_scales: deviation of F1, F2, F3 of each vowel, in the order of `VOWELS`.
        bandwidth_scale: damping of the formants, about 1.
        cluster: how far F3, F4 and F5 draw together, 0 … 0.7 (the singer's formant, Sundberg 1974).
        sinus_hz: antiresonance of the piriform sinuses, 4 … 5.5 kHz (Dang and Honda 1997).
        open_quotient: share of a period in which the glottis is open, 0.4 … 0.85.
        asymmetry: share of the open phase in which it opens, 0.5 … 0.8.
        tilt_hz: corner of the low-pass that the closing's smoothness puts on the source.
        breathiness: turbulent noise at the glottis, 0.005 … 0.5 of the noise of an [h].
        jitter: standard deviation of the fast deviations of F0, relative.
        shimmer: standard deviation of the cycles' amplitudes, relative.
        vibrato_hz: rate, 4.5 … 7.
        vibrato_cents: extent, from the mean to the highest pitch.
        vibrato_onset_s: straight beginning of a note.
        glide_hz: how quickly pitch follows the melody: natural frequency of a second-order system.
        glide_damping: its damping; below 1 the pitch overshoots (Saitou et al. 2005).
        scoop_cents: how far below its pitch a phrase begins.
        drift_cents: standard deviation of slow wandering.
        detune_cents: constant deviation.
        articulation: length of consonants, about 1.
        coarticulation_s: time constant of the mouth.
        center_midi: center of the tessitura.
        range_semitones: width of the range; notes outside are sung an octave nearer.
    """

    name: str
    gender: str
    tract_length_cm: float
    formant_scales: tuple[float, ...]
    vowel_scales: tuple[tuple[float, ...], ...]
    bandwidth_scale: float
    cluster: float
    sinus_hz: float
    open_quotient: float
    asymmetry: float
    tilt_hz: float
    breathiness: float
    jitter: float
    shimmer: float
    vibrato_hz: float
    vibrato_cents: float
    vibrato_onset_s: float
    glide_hz: float
    glide_damping: float
    scoop_cents: float
    drift_cents: float
    detune_cents: float
    articulation: float
    coarticulation_s: float
    center_midi: float
    range_semitones: float


def draw_singer(rng: np.random.Generator, name: str, gender: str) -> VirtualSinger:
    """Draw a voice; within a gender, pitch ranges and tract lengths overlap widely.

    Raises:
        ConfigError: `gender` is neither "F" nor "M".
    """
    if gender not in ("F", "M"):
        raise ConfigError("gender unknown", where=name, found=repr(gender), expected="F or M")
    low = gender == "M"
    scales = 1 + np.clip(rng.normal(0, (0.03, 0.03, 0.03, 0.05, 0.05)), -0.1, 0.1)
    vowel_scales = 1 + np.clip(rng.normal(0, 0.04, (len(VOWELS), 3)), -0.1, 0.1)
    return VirtualSinger(
        name=name, gender=gender,
        tract_length_cm=rng.uniform(16.0, 18.8) if low else rng.uniform(13.8, 16.2),
        formant_scales=tuple(map(float, scales)),
        vowel_scales=tuple(tuple(map(float, row)) for row in vowel_scales),
        bandwidth_scale=_log_uniform(rng, 0.8, 1.5), cluster=max(0.0, rng.uniform(-0.5, 0.7)),
        sinus_hz=rng.uniform(4000, 5500), open_quotient=rng.uniform(0.4, 0.85),
        asymmetry=rng.uniform(0.5, 0.8), tilt_hz=_log_uniform(rng, 500, 4000),
        breathiness=_log_uniform(rng, 0.005, 0.5), jitter=_log_uniform(rng, 0.0005, 0.004),
        shimmer=_log_uniform(rng, 0.01, 0.06), vibrato_hz=rng.uniform(4.5, 7.0),
        vibrato_cents=_log_uniform(rng, 15, 110), vibrato_onset_s=rng.uniform(0.0, 0.4),
        glide_hz=rng.uniform(4, 11), glide_damping=rng.uniform(0.55, 1.0),
        scoop_cents=max(0.0, rng.normal(60, 80)), drift_cents=rng.uniform(3, 15),
        detune_cents=rng.normal(0, 10), articulation=rng.uniform(0.75, 1.3),
        coarticulation_s=rng.uniform(0.012, 0.03),
        center_midi=rng.uniform(48, 56) if low else rng.uniform(59, 67),
        range_semitones=rng.uniform(14, 22),
    )  # fmt: skip


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def formants_hz(singer: VirtualSinger, vowel: str) -> FloatArray:
    """F1 … F5 `(5,)` in Hz of a vowel of `VOWELS`, as long as it is held at a low pitch.

    All formants scale inversely with the length of the tract.

    Raises:
        ConfigError: there is no such vowel.
    """
    if vowel not in VOWELS:
        raise ConfigError("vowel unknown", found=repr(vowel), expected=" ".join(VOWELS))
    deviation = singer.vowel_scales[list(VOWELS).index(vowel)]
    return tract(singer, np.asarray(VOWELS[vowel]) * deviation)


def tract(singer: VirtualSinger, reference: npt.ArrayLike) -> FloatArray:
    """F1 … F5 of this singer's tract for F1, F2, F3 of the reference tract."""
    upper = uniform_tube(REFERENCE_TRACT_CM, np.arange(4, N_FORMANTS + 1))
    formants = np.append(reference, upper) * REFERENCE_TRACT_CM / singer.tract_length_cm
    formants *= singer.formant_scales
    formants[2:] += 0.5 * singer.cluster * (formants[3] - formants[2:])
    return formants


def uniform_tube(length_cm: float, number: npt.NDArray[np.int_]) -> FloatArray:
    """Resonances in Hz of a tube that is closed at one end: odd quarter waves."""
    return np.asarray((2 * number - 1) * SPEED_OF_SOUND / (4 * length_cm))
