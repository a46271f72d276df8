"""What happens to recordings outside the studio: cuts, noise, rooms, bands, gain, other pitch.

Pure functions from mono samples to mono samples. Levels are measured on *active* frames, those
within 40 dB of the loudest one (in the spirit of ITU-T P.56), so that pauses do not make a
signal-to-noise ratio look worse than it sounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal
import soxr

from singerid.errors import AudioError
from singerid.features import world

FloatArray = npt.NDArray[np.float32]
Background = Callable[[int, int, np.random.Generator], FloatArray]
"""(number of samples, sample rate in Hz, source of all that is drawn) → that many samples."""

_FRAME_SECONDS = 0.02
_ACTIVE_DB = -40.0  # relative to the loudest frame
_NEARLY_BEST = 0.9  # of the largest share of active frames: from such stretches one is drawn
_PREDELAY_SECONDS = 0.005  # between the direct sound and the first reflection
_WORLD_BLOCK_SECONDS, _WORLD_CUT_SECONDS = 20.0, 2.0
_FILTER_ORDER = 8


def excerpt(
    samples: FloatArray, sample_rate: int, rng: np.random.Generator, *, seconds: float
) -> FloatArray:
    """A stretch of this length, drawn from those that are sung nearly throughout.

    Candidates start every 20 ms; those with at least 90 % of the active frames of the best one
    have the same chance. So neither a pause is drawn nor always the loudest passage.

    Returns:
        float32 `(round(seconds * sample_rate),)`; `samples` themselves if they are no longer.
    """
    length = round(seconds * sample_rate)
    if len(samples) <= length:
        return samples
    active, frame = active_frames(samples, sample_rate)
    n_frames = min(max(1, length // frame), len(active))
    total = np.append(0, np.cumsum(active))
    share = total[n_frames:] - total[:-n_frames]
    candidates = np.flatnonzero(share >= _NEARLY_BEST * share.max())
    start = min(int(rng.choice(candidates)) * frame, len(samples) - length)
    return samples[start : start + length]


def mix_in(
    samples: FloatArray, sample_rate: int, rng: np.random.Generator, *,
    background: Background, ratio_db: float,
) -> FloatArray:  # fmt: skip
    """Add noise or music, `ratio_db` below the voice, both measured on their active frames.

    The voice keeps its level; the sum may exceed full scale and is not clipped.

    Raises:
        AudioError: the background is silent.
    """
    other = background(len(samples), sample_rate, rng)
    power = active_power(other, sample_rate)
    if power == 0:
        raise AudioError("the background is silent", do="remove silent files from its folder")
    gain = np.sqrt(active_power(samples, sample_rate) / power) * 10 ** (-ratio_db / 20)
    return samples + np.float32(gain) * other


def white_noise(n_samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """Gaussian noise of equal power at all frequencies."""
    return rng.standard_normal(n_samples, np.float32)


def pink_noise(n_samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """Gaussian noise of equal power in every octave above 20 Hz (power ~ 1/f)."""
    n_fft = scipy.fft.next_fast_len(max(n_samples, 2), real=True)
    spectrum = scipy.fft.rfft(rng.standard_normal(n_fft, np.float32))
    hz = scipy.fft.rfftfreq(n_fft, 1 / sample_rate)
    spectrum *= np.where(hz < 20, 0, 1 / np.sqrt(np.maximum(hz, 20))).astype(np.float32)
    noise = scipy.fft.irfft(spectrum, n_fft)[:n_samples]
    return np.asarray(noise / max(float(np.std(noise)), 1e-12), np.float32)


def reverberate(
    samples: FloatArray, sample_rate: int, rng: np.random.Generator, *, rt60: float, drr_db: float
) -> FloatArray:
    """Put samples into a room drawn for them; what rings on behind their end is cut.

    Args:
        samples: mono `(n_samples,)`.
        sample_rate: Hz.
        rng: source of the room's reflections.
        rt60: time in which the reverberation falls by 60 dB, in seconds.
        drr_db: energy of the direct sound over that of the reverberation.

    Returns:
        float32 `(n_samples,)`, direct sound in place.
    """
    response = room_response(sample_rate, rng, rt60=rt60, drr_db=drr_db)
    wet = scipy.signal.oaconvolve(samples, response)[: len(samples)]
    return np.asarray(wet, np.float32)


def room_response(
    sample_rate: int, rng: np.random.Generator, *, rt60: float, drr_db: float
) -> FloatArray:
    """Impulse response of a room of unit energy: direct sound at 0, then decaying noise.

    Gaussian noise with an exponential envelope is Polack's model of late reverberation (Polack
    1988, La transmission de l'énergie sonore dans les salles; Jot, Cerveau & Warusfel 1997, AES
    103rd convention). Real rooms swallow treble faster; this one treats all bands alike.
    """
    time = np.arange(round((_PREDELAY_SECONDS + 1.2 * rt60) * sample_rate)) / sample_rate
    time -= _PREDELAY_SECONDS
    tail = rng.standard_normal(len(time)) * np.exp(-np.log(1000) / rt60 * time) * (time >= 0)
    tail *= 10 ** (-drr_db / 20) / np.linalg.norm(tail)
    tail[0] = 1.0
    return np.asarray(tail / np.linalg.norm(tail), np.float32)


def limit_band(
    samples: FloatArray, sample_rate: int, rng: np.random.Generator, *,
    low: float = 0.0, high: float = 0.0,
) -> FloatArray:  # fmt: skip
    """Butterworth filters of order 8, forwards: 3 dB down at the edges, 48 dB an octave beyond.

    Args:
        samples: mono `(n_samples,)`.
        sample_rate: Hz.
        rng: not used.
        low: edge of the high-pass in Hz, 0 for none.
        high: edge of the low-pass in Hz, 0 for none; none either from half of `sample_rate` on.

    Returns:
        float32 `(n_samples,)`; `samples` themselves where nothing lies beyond the edges.
    """
    kinds: tuple[tuple[float, Literal["highpass", "lowpass"]], ...]
    kinds = ((low, "highpass"), (high if high < 0.49 * sample_rate else 0.0, "lowpass"))
    for edge, kind in kinds:
        if edge:
            sections = scipy.signal.butter(_FILTER_ORDER, edge, kind, output="sos", fs=sample_rate)
            samples = np.asarray(scipy.signal.sosfilt(sections, samples), np.float32)
    return samples


def change_gain(
    samples: FloatArray, sample_rate: int, rng: np.random.Generator, *, gain_db: float
) -> FloatArray:
    """Louder or softer; what exceeds full scale is clipped."""
    return np.asarray(np.clip(samples * np.float32(10 ** (gain_db / 20)), -1, 1))


def change_speed(
    samples: FloatArray, sample_rate: int, rng: np.random.Generator, *, semitones: float
) -> FloatArray:
    """Pitch, formants and tempo together, as a tape that runs faster (varispeed)."""
    ratio = 2 ** (semitones / 12)
    return np.asarray(soxr.resample(samples, sample_rate * ratio, sample_rate), np.float32)


def shift_pitch(
    samples: FloatArray, sample_rate: int, rng: np.random.Generator, *, semitones: float
) -> FloatArray:
    """Pitch alone, formants and tempo kept, by WORLD; 0 semitones is resynthesis alone.

    WORLD makes some voices 2 dB louder: the level of the active frames is restored. Long
    recordings go block by block, cut where they are softest, for bounded memory.

    Raises:
        AudioError: too short for WORLD.
        MissingExtraError: pyworld is not installed.
    """
    result = np.empty_like(samples)
    ratio = 2 ** (semitones / 12)
    for start, end in _blocks(samples, sample_rate):
        found = world.analyze(samples[start:end], sample_rate)
        shifted = world.WorldAnalysis(
            found.f0 * ratio, found.envelope, found.aperiodicity, found.frame_period_ms,
            sample_rate,
        )  # fmt: skip
        result[start:end] = _fitted(world.synthesize(shifted), end - start)
    power = active_power(result, sample_rate)
    return result * np.float32(np.sqrt(active_power(samples, sample_rate) / max(power, 1e-30)))


def active_frames(samples: FloatArray, sample_rate: int) -> tuple[npt.NDArray[np.bool_], int]:
    """Which frames of 20 ms lie within 40 dB of the loudest, and their length in samples."""
    power, frame = _frame_power(samples, sample_rate)
    return power > power.max() * 10 ** (_ACTIVE_DB / 10), frame


def active_power(samples: FloatArray, sample_rate: int) -> float:
    """Mean power of the active frames; 0 of silence."""
    power, _ = _frame_power(samples, sample_rate)
    if not power.max() > 0:
        return 0.0
    return float(power[power > power.max() * 10 ** (_ACTIVE_DB / 10)].mean())


def _frame_power(samples: FloatArray, sample_rate: int) -> tuple[npt.NDArray[np.float64], int]:
    """Mean power of frames of 20 ms; a rest shorter than that counts only if it is all there is."""
    frame = min(max(1, round(_FRAME_SECONDS * sample_rate)), max(1, len(samples)))
    whole = samples[: len(samples) // frame * frame].reshape(-1, frame)
    if not len(whole):
        return np.zeros(1), frame
    return np.einsum("ij,ij->i", whole, whole, dtype=np.float64) / frame, frame


def _blocks(samples: FloatArray, sample_rate: int) -> list[tuple[int, int]]:
    """Blocks of at most 20 s that end in the softest frame of their last 2 s."""
    power, frame = _frame_power(samples, sample_rate)
    size, margin = (
        round(seconds / _FRAME_SECONDS) for seconds in (_WORLD_BLOCK_SECONDS, _WORLD_CUT_SECONDS)
    )
    edges = [0]
    while len(power) - edges[-1] > size:
        first = edges[-1] + size - margin
        edges.append(first + int(power[first : edges[-1] + size].argmin()))
    starts = [edge * frame for edge in edges]
    return list(zip(starts, [*starts[1:], len(samples)], strict=True))


def _fitted(samples: FloatArray, n_samples: int) -> FloatArray:
    """Cut or padded with zeros at the end."""
    return np.pad(samples[:n_samples], (0, max(0, n_samples - len(samples))))
