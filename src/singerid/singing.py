"""Singing: a virtual singer's voice applied to a song, as samples.

Glottal pulses and breath noise pass through the resonances of the tract, frame by frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from singerid.melody import BREATH, CONSONANTS, VOWELS, FloatArray, Phase, Song, record
from singerid.voices import (
    N_FORMANTS,
    REFERENCE_TRACT_CM,
    SPEED_OF_SOUND,
    VirtualSinger,
    formants_hz,
    tract,
    uniform_tube,
)

AudioArray = npt.NDArray[np.float32]
ComplexArray = npt.NDArray[np.complex64]

SAMPLE_RATE = 16_000
"""Usual rate of the samples in Hz."""
CONTROL_HZ = 200
"""Rate of pitch, formants and loudness; also of the filter's frames."""
_BANDWIDTHS_KHZ = (0.06, 0.08, 0.11, 0.17, 0.24)
_ASPIRATION, _FRICATION = 0.4, 1.5  # noise of [h] and [s], where glottal pulses are 1
_FADE_SECONDS = 0.05  # of the first and the last note, which otherwise begin and end with a click
_TABLE = 4096  # points of one glottal period
_RING = 12  # transform length of a filter frame, in hops
_BLOCK = 64  # filter frames at a time


def pitch_curve(singer: VirtualSinger, song: Song, rng: np.random.Generator) -> FloatArray:
    """Intended F0 in Hz at `CONTROL_HZ`, `(n_controls,)`; rests carry the next note's pitch.

    `sing` begins with this call: with equal generators it follows this very curve.
    After Saitou et al. 2005, Development of an F0 control model based on F0 dynamic
    characteristics for singing-voice synthesis: steps through a second-order system, plus
    vibrato, preparation and fluctuation.
    """
    steps = np.array([note.pitch for note in song.notes])
    sung = np.array([bool(note.vowel) for note in song.notes])
    steps -= 12 * np.sign(steps) * (np.abs(steps) > singer.range_semitones / 2)
    following = np.where(sung, np.arange(len(steps)), len(steps) - 1)
    steps = steps[np.minimum.accumulate(following[::-1])[::-1]]
    starts = np.cumsum([0.0, *(note.seconds for note in song.notes)])[:-1]
    n = int(np.ceil(song.seconds * CONTROL_HZ)) + 1
    time = np.arange(n) / CONTROL_HZ
    note = np.searchsorted(starts, time, side="right") - 1
    since = time - starts[note]
    begins_phrase = sung & ~np.append(False, sung[:-1])

    semitones = _follow(steps[note], singer)
    semitones -= singer.scoop_cents / 100 * begins_phrase[note] * np.exp(-since / 0.07)
    ramp = np.clip((since - singer.vibrato_onset_s) / 0.25, 0, 1)
    rate = singer.vibrato_hz * (1 + 0.03 * _slow_noise(rng, n, 1.0))
    phase = np.cumsum(rate) / CONTROL_HZ + rng.random()
    semitones += singer.vibrato_cents / 100 * ramp * np.sin(2 * np.pi * phase)
    semitones += (singer.drift_cents * _slow_noise(rng, n, 0.8) + singer.detune_cents) / 100
    return np.asarray(440 * 2 ** ((singer.center_midi + semitones - 69) / 12))


def _follow(steps: FloatArray, singer: VirtualSinger) -> FloatArray:
    """Response of the singer's second-order pitch control to a staircase."""
    omega = 2 * np.pi * singer.glide_hz
    b, a = scipy.signal.bilinear(
        [omega**2], [1, 2 * singer.glide_damping * omega, omega**2], fs=CONTROL_HZ
    )
    return np.asarray(scipy.signal.lfilter(b, a, steps - steps[0]) + steps[0])


def _slow_noise(rng: np.random.Generator, n: int, hz: float) -> FloatArray:
    """Gaussian noise `(n,)` at `CONTROL_HZ` of unit variance, without content above about `hz`."""
    sigma = CONTROL_HZ / (2 * np.pi * hz)
    noise = gaussian_filter1d(rng.standard_normal(n), sigma, mode="wrap")
    return np.asarray(noise * np.sqrt(2 * np.sqrt(np.pi) * sigma))


@dataclass(frozen=True, slots=True)
class _Controls:
    """What the mouth and the larynx do, at `CONTROL_HZ`, each `(n_controls,)` or `(…, 5)`."""

    f0: FloatArray
    formants: FloatArray
    voicing: FloatArray
    aspiration: FloatArray
    frication: FloatArray
    noise_hz: FloatArray
    noise_width_hz: FloatArray
    nasality: FloatArray
    nasal_zero_hz: FloatArray


def _phases(singer: VirtualSinger, song: Song) -> Iterable[tuple[float, FloatArray, Phase]]:
    """End in seconds, formants and phase of each sound of the song, in order."""
    clock = 0.0
    for note in song.notes:
        phases = CONSONANTS[note.consonant] if note.vowel else ()
        length = sum(phase.seconds for phase in phases) * singer.articulation
        squeeze = singer.articulation * min(1.0, 0.5 * note.seconds / max(length, 1e-9))
        onset = clock
        for phase in phases:
            onset += phase.seconds * squeeze
            yield onset, tract(singer, phase.formants), phase
        clock += note.seconds
        gain = 10 ** (note.level_db / 20)
        if note.vowel:
            held = Phase(0, VOWELS[note.vowel], voicing=gain, aspiration=singer.breathiness * gain)
            yield clock, formants_hz(singer, note.vowel), held
        else:
            yield clock, tract(singer, BREATH.formants), BREATH


def _controls(singer: VirtualSinger, song: Song, rng: np.random.Generator) -> _Controls:
    """Smooth tracks through the targets of the sounds: formant transitions come about here."""
    f0 = pitch_curve(singer, song, rng)
    ends, formants, phases = zip(*_phases(singer, song), strict=True)
    time = np.arange(len(f0)) / CONTROL_HZ
    sound = np.minimum(np.searchsorted(ends, time, side="right"), len(ends) - 1)

    def track(name: str) -> FloatArray:
        return np.array([getattr(phase, name) for phase in phases], float)[sound]

    def smooth(values: npt.NDArray[np.generic], seconds: float) -> FloatArray:
        wide = seconds * CONTROL_HZ
        return np.asarray(gaussian_filter1d(values.astype(float), wide, mode="constant"))

    paths = gaussian_filter1d(
        np.array(formants)[sound], singer.coarticulation_s * CONTROL_HZ, axis=0, mode="nearest"
    )
    # Singers open the mouth when the pitch passes F1 (Joliveau et al. 2004, Nature 427).
    paths[:, 0] = np.maximum(paths[:, 0], f0)
    loudness = 10 ** (1.5 / 20 * _slow_noise(rng, len(f0), 2.0))
    f0 = f0 * (1 + singer.jitter * rng.standard_normal(len(f0)))
    zero = track("nasal_zero_hz")
    return _Controls(
        f0, paths, smooth(track("voicing"), 0.012) * loudness,
        smooth(track("aspiration"), 0.008) * loudness, smooth(track("frication"), 0.004),
        track("noise_hz"), track("noise_width_hz"),
        smooth(zero > 0, 0.01), maximum_filter1d(zero, CONTROL_HZ // 8),
    )  # fmt: skip


def _glottal_flow(singer: VirtualSinger, n: int) -> FloatArray:
    """One period of the flow through the glottis `(n,)`, 0 … 1 (Rosenberg 1971, pulse C)."""
    position = np.arange(n) / n
    rise = singer.open_quotient * singer.asymmetry
    fall = singer.open_quotient - rise
    opening = 0.5 * (1 - np.cos(np.pi * position / rise))
    closing = np.cos(0.5 * np.pi * (position - rise) / fall)
    return np.where(
        position < rise, opening, np.where(position < singer.open_quotient, closing, 0.0)
    )


def _pulse_tables(singer: VirtualSinger, most: int) -> AudioArray:
    """One period of the flow's derivative with k harmonics in row k, `(most + 1, _TABLE + 1)`.

    Reading row k where k harmonics fit below half the sample rate keeps aliases out.
    """
    number = np.arange(most + 1)
    harmonics = 1j * number * scipy.fft.rfft(_glottal_flow(singer, _TABLE))[: most + 1]
    harmonics *= _TABLE / np.sqrt(2 * np.sum(np.abs(harmonics) ** 2))  # root mean square 1
    kept = np.where(number <= number[:, None], harmonics, 0)
    tables = scipy.fft.irfft(kept, _TABLE).astype(np.float32)
    return np.concatenate([tables, tables[:, :1]], axis=1)


def _sources(
    singer: VirtualSinger, controls: _Controls, rng: np.random.Generator, n: int, sample_rate: int
) -> AudioArray:
    """Glottal pulses, breath noise and noise of the mouth, `(3, n)` at the sample rate."""
    time = np.arange(n) * (CONTROL_HZ / sample_rate)
    grid = np.arange(len(controls.f0))
    f0 = np.interp(time, grid, controls.f0)
    phase = np.cumsum(f0) / sample_rate
    cycle = phase.astype(np.intp)
    place = (phase - cycle) * _TABLE
    left = place.astype(np.intp)
    weight = (place - left).astype(np.float32)
    fitting = (0.98 * sample_rate / 2 / f0).astype(np.intp)
    tables = _pulse_tables(singer, int(fitting.max()))
    index = fitting * tables.shape[1] + left
    flat = tables.ravel()
    pulses = flat[index] * (1 - weight) + flat[index + 1] * weight
    pulses *= 1 + np.float32(singer.shimmer) * rng.standard_normal(cycle[-1] + 1, np.float32)[cycle]
    # Turbulence follows the flow: noise swells in the open phase of each period.
    swell = 0.4 + 0.6 * _glottal_flow(singer, _TABLE).astype(np.float32)[left]
    noise = rng.standard_normal((2, n), np.float32)
    noise[0] *= swell
    tracks = (controls.voicing, controls.aspiration, controls.frication)
    gains = [np.interp(time, grid, track).astype(np.float32) for track in tracks]
    return np.stack([pulses * gains[0], noise[0] * gains[1], noise[1] * gains[2]])


def _filter(
    singer: VirtualSinger, song: Song, controls: _Controls, sources: AudioArray, sample_rate: int
) -> AudioArray:
    """Send the sources through the moving tract, frame by frame: `(3, n)` → `(n,)`.

    Hann frames of four hops are multiplied with the tract's response at their center in the
    spectrum and overlap-added; the frames' transforms leave eight hops for the response to ring.
    """
    n, hop = sources.shape[1], round(sample_rate / CONTROL_HZ)
    n_frames, n_fft = n // hop + 1, _RING * hop
    window = (scipy.signal.get_window("hann", 4 * hop) / 2).astype(np.float32)
    padded = np.pad(sources, ((0, 0), (2 * hop, 4 * hop)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 4 * hop, axis=1)[:, ::hop]
    khz = (scipy.fft.rfftfreq(n_fft, 1 / sample_rate) / 1000).astype(np.float32)
    pulse_color, breath_color = _colors(singer, song, khz)
    at = np.minimum(np.arange(n_frames) * hop * CONTROL_HZ // sample_rate, len(controls.f0) - 1)
    out = np.zeros((n_frames + _RING, hop), np.float32)
    for first in range(0, n_frames, _BLOCK):  # in blocks that fit the cache
        rows = at[first : first + _BLOCK]
        windowed = frames[:, first : first + len(rows)] * window
        pulses, breath = scipy.fft.rfft(windowed[:2], n_fft)
        spectrum = pulses * pulse_color + breath * breath_color
        spectrum *= _tract_response(singer, controls.formants[rows], khz)
        _couple_mouth(spectrum, windowed[2], singer, controls, rows, khz)
        blocks = scipy.fft.irfft(spectrum, n_fft).reshape(len(rows), _RING, hop)
        for k in range(_RING):
            out[first + k : first + k + len(rows)] += blocks[:, k]
    return out.ravel()[2 * hop :][:n]


def _quadratic(khz: AudioArray, center: npt.ArrayLike, width: npt.ArrayLike) -> ComplexArray:
    """center² − f² + j·width·f, `(…, n_bins)`: a pair of poles or zeros, all in kHz."""
    center, width = np.asarray(center, np.float32), np.asarray(width, np.float32)
    out = np.empty((*center.shape, len(khz)), np.complex64)
    out.real = center[..., None] ** 2 - khz**2
    out.imag = width[..., None] * khz
    return out


def _tract_response(singer: VirtualSinger, formants: FloatArray, khz: AudioArray) -> ComplexArray:
    """Response of the moving poles F1 … F5 `(n_frames, 5)`: `(n_frames, n_bins)`, 1 at 0 Hz."""
    centers = formants / 1000
    poles = np.ones((len(centers), len(khz)), np.complex64)
    for center, width in zip(centers.T, _BANDWIDTHS_KHZ, strict=True):
        poles *= _quadratic(khz, center, np.full_like(center, width * singer.bandwidth_scale))
    return np.asarray(np.prod(centers**2, axis=1, dtype=np.float32)[:, None] / poles)


def _colors(
    singer: VirtualSinger, song: Song, khz: AudioArray
) -> tuple[ComplexArray, ComplexArray]:
    """What is fixed in the spectra of pulses and breath noise, each `(n_bins,)`.

    The source's tilt, the piriform sinuses and the poles above F5: those of a uniform tube one
    by one to twice the highest frequency, the others by Fant's higher pole correction.
    """
    n_poles = max(9, int(8 * khz[-1] * 1000 * singer.tract_length_cm / SPEED_OF_SOUND))
    higher = uniform_tube(singer.tract_length_cm, np.arange(N_FORMANTS + 1, n_poles + 1)) / 1000
    quarter = SPEED_OF_SOUND / (4000 * singer.tract_length_cm)
    left_over = np.pi**2 / 8 - np.sum(1.0 / np.arange(1, 2 * n_poles, 2) ** 2)
    response = np.exp(left_over * (khz / quarter) ** 2).astype(np.complex64)
    response *= np.prod(higher[:, None] ** 2 / _quadratic(khz, higher, 0.08 * higher), axis=0)
    sinus = singer.sinus_hz / 1000
    response *= _quadratic(khz, sinus, 0.25) / _quadratic(khz, sinus, 0.9)
    tilt = 1 / (1 + 1j * khz * (1000 / (singer.tilt_hz * 2 ** (0.8 * song.effort))))
    breath = _ASPIRATION * khz / (khz + 0.5)
    return (tilt * response).astype(np.complex64), (breath * response).astype(np.complex64)


def _couple_mouth(
    spectrum: ComplexArray, hiss: AudioArray, singer: VirtualSinger, controls: _Controls,
    rows: npt.NDArray[np.int_], khz: AudioArray,
) -> None:  # fmt: skip
    """Put the closed mouth's zero into nasals and the noise of fricatives, in place."""
    nasality = controls.nasality[rows]
    on = np.flatnonzero(nasality > 0.01)
    if len(on):
        zero = controls.nasal_zero_hz[rows[on]] / 1000
        shape = _quadratic(khz, zero, np.full_like(zero, 0.1)) / _quadratic(khz, zero, zero)
        spectrum[on] *= 1 + nasality[on, None].astype(np.float32) * (shape - 1)
    on = np.flatnonzero(controls.frication[rows] > 1e-4)
    if len(on):
        scale = np.sqrt(REFERENCE_TRACT_CM / singer.tract_length_cm) / 1000
        center = controls.noise_hz[rows[on]] * scale
        width = controls.noise_width_hz[rows[on]] / 1000
        passed = 1j * khz * width[:, None].astype(np.float32) / _quadratic(khz, center, width)
        spectrum[on] += _FRICATION * passed**2 * scipy.fft.rfft(hiss[on], 2 * (len(khz) - 1))


def sing(
    singer: VirtualSinger, song: Song, rng: np.random.Generator, sample_rate: int = SAMPLE_RATE
) -> AudioArray:
    """Sing a song: float32 `(n_samples,)` at `sample_rate`, peak as the song's microphone sets it.

    Args:
        singer: the voice.
        song: melody, syllables, room and microphone.
        rng: source of everything that is different the second time.
        sample_rate: in Hz, 8000 … 48000.
    """
    controls = _controls(singer, song, rng)
    n = round(song.seconds * sample_rate)
    sources = _sources(singer, controls, rng, n, sample_rate)
    voice = _filter(singer, song, controls, sources, sample_rate)
    ramp = np.linspace(0, 1, round(_FADE_SECONDS * sample_rate), dtype=np.float32)[: n // 2]
    voice[: len(ramp)] *= ramp
    voice[len(voice) - len(ramp) :] *= ramp[::-1]
    return record(voice, song, rng, sample_rate)
