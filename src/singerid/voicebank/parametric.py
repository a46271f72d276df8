"""Parametric voices as a voice bank: envelopes from formants, without audio and without WORLD.

The voices are those of `singerid.voices`; what is made here is their spectral envelope, sound
after sound, as `singerid.voicebank.building` would find it in a recording.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from singerid.melody import CONSONANTS, VOWELS, Phase
from singerid.voicebank.bank import VoiceBank
from singerid.voicebank.codes import (
    cepstra_of,
    cepstrum_code,
    quantized_aperiodicity,
    quantized_cepstra,
)
from singerid.voicebank.spec import BankSpec
from singerid.voices import (
    N_FORMANTS,
    SPEED_OF_SOUND,
    VirtualSinger,
    formants_hz,
    tract,
    uniform_tube,
)

FloatArray = npt.NDArray[np.float64]

_BANDWIDTHS_HZ = np.array([60.0, 80.0, 110.0, 170.0, 240.0])
_N_BINS = 257
_ASPIRATION, _FRICATION = 0.4, 1.5  # of [h] and [s], where glottal pulses are 1
_VOICED = 0.05  # amplitude of the glottal pulses from which a frame has an F0
_SYLLABLE_S = (0.15, 0.45)


def bank_from_voices(
    singers: Sequence[VirtualSinger],
    rng: np.random.Generator,
    *,
    n_recordings: int = 1,
    seconds: float = 6.0,
    spec: BankSpec | None = None,
    split: str = "train",
) -> VoiceBank:
    """Virtual singers who utter random syllables, each at a constant pitch of its own.

    Args:
        singers: the voices; their names become the bank's singers, their genders its genders.
        rng: draws the syllables.
        n_recordings: of each singer.
        seconds: length of a recording.
        spec: what the bank shall look like; default settings if None.
        split: of all recordings.

    Returns:
        A bank of `len(singers) · n_recordings` recordings, in memory, without real mel frames.
    """
    spec = spec or BankSpec()
    parts = [_frames(singer, rng, seconds, spec) for singer in singers for _ in range(n_recordings)]
    f0, power, aperiodicity = (np.concatenate(part) for part in zip(*parts, strict=True))
    n_frames = [len(part[0]) for part in parts]
    starts = np.concatenate([[0], np.cumsum(n_frames)]).astype(np.int64)
    onset = np.zeros(len(f0), np.bool_)
    onset[starts[:-1]] = True
    owners = [singer for singer in singers for _ in range(n_recordings)]
    scale, offset = cepstrum_code(spec.order)
    return VoiceBank(
        spec=spec,
        ids=tuple(f"{singer.name}/{i % n_recordings:02d}" for i, singer in enumerate(owners)),
        singers=tuple(singer.name for singer in owners),
        genders=tuple(singer.gender for singer in owners),
        splits=(split,) * len(owners),
        median_f0=np.array([f0[s][f0[s] > 0].mean() for s in _slices(starts)], np.float32),
        levels=np.full(len(owners), -20, np.float32),
        starts=starts, f0=f0.astype(np.float32), onset=onset,
        cepstrum=quantized_cepstra(cepstra_of(power, spec.order, spec.alpha)),
        cepstrum_scale=scale, cepstrum_offset=offset,
        aperiodicity=quantized_aperiodicity(aperiodicity),
        mel=np.empty((0, spec.features.n_dims), spec.arrays[-1].dtype),
        mel_starts=np.zeros(len(owners) + 1, np.int64),
    )  # fmt: skip


def _slices(starts: npt.NDArray[np.int64]) -> list[slice]:
    return [slice(a, b) for a, b in itertools.pairwise(starts.tolist())]


def _frames(
    singer: VirtualSinger, rng: np.random.Generator, seconds: float, spec: BankSpec
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """F0 `(n,)`, power `(n, _N_BINS)` of mean 1, aperiodicity in dB `(n, n_bands)`."""
    n = max(2, round(seconds / spec.frame_period))
    sounds = _sounds(singer, rng, seconds)
    time = np.arange(n) * spec.frame_period
    ends = np.cumsum([phase.seconds for phase, _ in sounds])
    at = np.minimum(np.searchsorted(ends, time, side="right"), len(sounds) - 1)

    def track(name: str, smooth_s: float) -> FloatArray:
        values = np.array([getattr(phase, name) for phase, _ in sounds], float)[at]
        return np.asarray(gaussian_filter1d(values, smooth_s / spec.frame_period, mode="nearest"))

    paths = np.array([formants for _, formants in sounds])[at]
    width = singer.coarticulation_s / spec.frame_period
    paths = gaussian_filter1d(paths, width, axis=0, mode="nearest")
    voicing, f0 = track("voicing", 0.01), 440 * 2 ** ((singer.center_midi - 69) / 12)
    hz = np.linspace(0, spec.sample_rate / 2, _N_BINS)
    response = _tract_power(singer, paths, hz) * _higher_poles(singer, hz)
    voiced = voicing[:, None] ** 2 * response * _glottal_power(singer, f0, hz)
    breath = (_ASPIRATION * hz / (hz + 500)) ** 2
    noise = track("aspiration", 0.008)[:, None] ** 2 * response * breath
    noise += track("frication", 0.004)[:, None] ** 2 * _fricative_power(
        track("noise_hz", 0.001), track("noise_width_hz", 0.001), hz
    )
    is_voiced = voicing > _VOICED
    voiced[~is_voiced] = 0
    power = np.asarray(voiced + noise + 1e-6 * voiced.mean(), np.float64)
    aperiodicity = 10 * np.log10((noise + 1e-9 * power) / power)
    bands = aperiodicity[:, np.searchsorted(hz, spec.band_hz)]
    return (
        np.asarray(f0 * is_voiced),
        power / power.mean(),
        np.where(is_voiced[:, None], bands, 0.0),
    )


def _sounds(
    singer: VirtualSinger, rng: np.random.Generator, seconds: float
) -> list[tuple[Phase, FloatArray]]:
    """Consonants and vowels in turn, with F1 … F5 of each, for at least so many seconds."""
    sounds: list[tuple[Phase, FloatArray]] = []
    while sum(phase.seconds for phase, _ in sounds) < seconds:
        for phase in list(CONSONANTS.values())[rng.integers(len(CONSONANTS))]:
            sounds.append((phase, tract(singer, phase.formants)))
        vowel = list(VOWELS)[rng.integers(len(VOWELS))]
        held = Phase(rng.uniform(*_SYLLABLE_S), VOWELS[vowel], 1.0, singer.breathiness)
        sounds.append((held, formants_hz(singer, vowel)))
    return sounds


def _resonance(hz: FloatArray, center: npt.ArrayLike, width: npt.ArrayLike) -> FloatArray:
    """Power response of pole pairs at `center`, 1 at 0 Hz, `(…, n_hz)`."""
    center, width = np.asarray(center)[..., None], np.asarray(width)[..., None]
    return np.asarray(center**4 / ((center**2 - hz**2) ** 2 + (width * hz) ** 2))


def _tract_power(singer: VirtualSinger, formants: FloatArray, hz: FloatArray) -> FloatArray:
    """F1 … F5 `(n, 5)` in cascade: `(n, n_hz)` (Fant 1960)."""
    widths = _BANDWIDTHS_HZ * singer.bandwidth_scale
    power = np.ones((len(formants), len(hz)))
    for number in range(N_FORMANTS):
        power *= _resonance(hz, formants[:, number], np.full(len(formants), widths[number]))
    return power


def _higher_poles(singer: VirtualSinger, hz: FloatArray) -> FloatArray:
    """What is fixed in the tract: poles above F5, and the zero of the piriform sinuses."""
    n_poles = max(9, int(8 * hz[-1] * singer.tract_length_cm / SPEED_OF_SOUND))
    poles = uniform_tube(singer.tract_length_cm, np.arange(N_FORMANTS + 1, n_poles + 1))
    quarter = SPEED_OF_SOUND / (4 * singer.tract_length_cm)
    left_over = np.pi**2 / 8 - np.sum(1.0 / np.arange(1, 2 * n_poles, 2) ** 2)
    power = np.exp(2 * left_over * (hz / quarter) ** 2)
    power *= np.prod(_resonance(hz, poles, 0.08 * poles), axis=0)
    sinus = np.array(singer.sinus_hz)
    return np.asarray(power * _resonance(hz, sinus, 900.0) / _resonance(hz, sinus, 250.0))


def _glottal_power(singer: VirtualSinger, f0: float, hz: FloatArray) -> FloatArray:
    """Derivative of the glottal flow, radiation included, and its tilt.

    It rises by 6 dB/octave to the glottal formant and falls by 6 above (Doval, d'Alessandro and
    Henrich 2006, The spectrum of glottal flow models, Acta Acustica 92).
    """
    formant = 0.75 * f0 / singer.open_quotient
    width = formant * 2 * (1 - singer.asymmetry)
    rise = ((hz + 20) / formant) ** 2 * _resonance(hz, np.array(formant), width)
    rise /= rise.mean()  # pulses and noise are of the same power before the tract
    return np.asarray(rise / (1 + (hz / singer.tilt_hz) ** 2))


def _fricative_power(center: FloatArray, width: FloatArray, hz: FloatArray) -> FloatArray:
    """Noise of a narrowing, `(n, n_hz)`: two band-passes, 1 at its center."""
    quality = (width[:, None] * hz) ** 2
    band = quality / ((center[:, None] ** 2 - hz**2) ** 2 + quality)
    return np.asarray((_FRICATION * band) ** 2)
