"""Virtual singers: voices with a tract, a glottis and habits of their own that sing any song.

Source and filter (Fant 1960, Acoustic Theory of Speech Production): glottal pulses and breath
noise pass through the resonances of a vocal tract. A singer is tract, pulse shape, noise, vibrato
and intonation; melody, syllables, room and microphone come from the `Song`.
"""

from __future__ import annotations

import contextlib
import csv
import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal
import soundfile
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from singerid.errors import ConfigError
from singerid.melody import BREATH, CONSONANTS, VOWELS, FloatArray, Phase, Song, draw_song, record
from singerid.records import atomic_write

AudioArray = npt.NDArray[np.float32]
ComplexArray = npt.NDArray[np.complex64]

SAMPLE_RATE = 16_000
"""Of the virtual corpus, in Hz."""
CONTROL_HZ = 200
"""Rate of pitch, formants and loudness; also of the filter's frames."""
REFERENCE_TRACT_CM = 17.0
"""Tract length to which the formants of `VOWELS` belong."""
_SPEED_OF_SOUND = 35_000.0  # cm/s in warm, moist air
_N_FORMANTS = 5
_BANDWIDTHS_KHZ = (0.06, 0.08, 0.11, 0.17, 0.24)
_ASPIRATION, _FRICATION = 0.4, 1.5  # noise of [h] and [s], where glottal pulses are 1
_TABLE = 4096  # points of one glottal period
_RING = 12  # transform length of a filter frame, in hops
_BLOCK = 64  # filter frames at a time


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
    return _tract(singer, np.asarray(VOWELS[vowel]) * deviation)


def _tract(singer: VirtualSinger, reference: npt.ArrayLike) -> FloatArray:
    """F1 … F5 of this singer's tract for F1, F2, F3 of the reference tract."""
    upper = _uniform_tube(REFERENCE_TRACT_CM, np.arange(4, _N_FORMANTS + 1))
    formants = np.append(reference, upper) * REFERENCE_TRACT_CM / singer.tract_length_cm
    formants *= singer.formant_scales
    formants[2:] += 0.5 * singer.cluster * (formants[3] - formants[2:])
    return formants


def _uniform_tube(length_cm: float, number: npt.NDArray[np.int_]) -> FloatArray:
    """Resonances in Hz of a tube that is closed at one end: odd quarter waves."""
    return np.asarray((2 * number - 1) * _SPEED_OF_SOUND / (4 * length_cm))


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
            yield onset, _tract(singer, phase.formants), phase
        clock += note.seconds
        gain = 10 ** (note.level_db / 20)
        if note.vowel:
            held = Phase(0, VOWELS[note.vowel], voicing=gain, aspiration=singer.breathiness * gain)
            yield clock, formants_hz(singer, note.vowel), held
        else:
            yield clock, _tract(singer, BREATH.formants), BREATH


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
    n_poles = max(9, int(8 * khz[-1] * 1000 * singer.tract_length_cm / _SPEED_OF_SOUND))
    higher = _uniform_tube(singer.tract_length_cm, np.arange(_N_FORMANTS + 1, n_poles + 1)) / 1000
    quarter = _SPEED_OF_SOUND / (4000 * singer.tract_length_cm)
    left_over = np.pi**2 / 8 - np.sum(1.0 / np.arange(1, 2 * n_poles, 2) ** 2)
    tract = np.exp(left_over * (khz / quarter) ** 2).astype(np.complex64)
    tract *= np.prod(higher[:, None] ** 2 / _quadratic(khz, higher, 0.08 * higher), axis=0)
    sinus = singer.sinus_hz / 1000
    tract *= _quadratic(khz, sinus, 0.25) / _quadratic(khz, sinus, 0.9)
    tilt = 1 / (1 + 1j * khz * (1000 / (singer.tilt_hz * 2 ** (0.8 * song.effort))))
    breath = _ASPIRATION * khz / (khz + 0.5)
    return (tilt * tract).astype(np.complex64), (breath * tract).astype(np.complex64)


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
    return record(_filter(singer, song, controls, sources, sample_rate), song, rng, sample_rate)


def write_virtual_corpus(
    root: Path, n_singers: int = 24, songs_per_singer: int = 6, seed: int = 0,
    n_processes: int = 1, on_progress: Callable[[int], None] | None = None,
) -> Path:  # fmt: skip
    """Write a corpus of virtual singers, 6 to 10 s a song, and the table of its recordings.

    The audio is `<root>/<split>/<singer>/<song>.flac`, 16 kHz, 16 bit. Genders alternate; two
    thirds of the singers are for training, a sixth each (at least two) for validation and test.
    A recording depends only on the seed and its singer's and its own number.

    Args:
        root: folder, made if need be.
        n_singers: at least 6, that each split has both genders.
        songs_per_singer: at least 1.
        seed: at least 0; another seed gives other singers.
        n_processes: number of processes; changes nothing in the files.
        on_progress: called with the number of recordings written so far.

    Returns:
        Path of `<root>/recordings.csv`, written last.

    Raises:
        ConfigError: a number is too small.
    """
    for name, value, least in (
        ("n_singers", n_singers, 6), ("songs_per_singer", songs_per_singer, 1),
        ("seed", seed, 0), ("n_processes", n_processes, 1),
    ):  # fmt: skip
        if value < least:
            raise ConfigError(f"{name} too small", found=value, expected=f"at least {least}")
    jobs = [
        (Path(root), seed, singer, song, _split(singer, n_singers))
        for singer in range(n_singers)
        for song in range(songs_per_singer)
    ]
    rows = []
    with contextlib.ExitStack() as stack:
        results: Iterable[dict[str, object]] = map(_write_song, jobs)
        if n_processes > 1:
            context = multiprocessing.get_context("spawn")
            pool = ProcessPoolExecutor(n_processes, context)
            stack.callback(pool.shutdown, cancel_futures=True)  # on errors and interrupts too
            results = pool.map(_write_song, jobs)
        for row in results:
            rows.append(row)
            if on_progress is not None:
                on_progress(len(rows))
    table = Path(root) / "recordings.csv"
    with atomic_write(table) as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return table


def _split(singer: int, n_singers: int) -> str:
    """Split of a singer: the last sixth is test, the sixth before it valid."""
    n_held_out = max(2, round(n_singers / 6))
    from_end = (n_singers - 1 - singer) // n_held_out
    return ("test", "valid")[from_end] if from_end < 2 else "train"


def _write_song(job: tuple[Path, int, int, int, str]) -> dict[str, object]:
    """Draw, sing and write one recording; returns its row of the table."""
    root, seed, i, j, split = job
    # [seed, i] and [seed, i, 0] seed numpy alike: the singer's own stream is song number 0.
    name, gender = f"v{i:03d}", "FM"[i % 2]
    singer = draw_singer(np.random.default_rng([seed, i, 0]), name, gender)
    rng = np.random.default_rng([seed, i, j + 1])
    audio = sing(singer, draw_song(rng, rng.uniform(6, 10)), rng, SAMPLE_RATE)
    path = f"{split}/{name}/song_{j:02d}.flac"
    with atomic_write(root / path, "wb") as file:
        soundfile.write(file, audio, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return {
        "path": path, "corpus": "virtual", "kind": "singing", "singer": f"virtual:{name}",
        "gender": gender, "song": f"song_{j:02d}", "split": split, "sample_rate": SAMPLE_RATE,
        "duration": f"{len(audio) / SAMPLE_RATE:.2f}",
    }  # fmt: skip
