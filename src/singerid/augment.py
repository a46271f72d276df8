"""Waveform augmentation: noise and a random equalizer, as other microphones would add them.

Ranges are those of audiomentations' ``AddGaussianSNR`` and ``SevenBandParametricEQ`` (MIT), which
draw from global random states; here all randomness comes from the generator that is passed. The
filters are those of R. Bristow-Johnson, Cookbook formulae for audio equalizer biquad filter
coefficients (W3C Note, 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.signal

from singerid.training_sections import AugmentSettings

FloatArray = npt.NDArray[np.float32]
Kind = Literal["low shelf", "peak", "high shelf"]

# Kind, then lowest and highest center in Hz, then lowest and highest Q.
_BANDS: tuple[tuple[Kind, float, float, float, float], ...] = (
    ("low shelf", 42, 95, 0.1, 1),
    ("peak", 91, 204, 0.5, 5),
    ("peak", 196, 441, 0.5, 5),
    ("peak", 421, 948, 0.5, 5),
    ("peak", 909, 2045, 0.5, 5),
    ("peak", 1957, 4404, 0.5, 5),
    ("high shelf", 4216, 9486, 0.1, 1),
)
_HIGHEST = 0.49  # of the sample rate: where a center above has to stay


@dataclass(frozen=True, slots=True)
class Band:
    """One filter of an equalizer.

    Attributes:
        kind: which side of the center is changed, or the center itself.
        center: Hz.
        gain_db: at the center of a peak, or at the far end of a shelf.
        q: of a peak, center over bandwidth; of a shelf, steepness (above 0.71 it overshoots).
    """

    kind: Kind
    center: float
    gain_db: float
    q: float


def augment(
    samples: FloatArray, sample_rate: int, settings: AugmentSettings, rng: np.random.Generator
) -> FloatArray:
    """Equalizer and noise, each with its probability.

    Args:
        samples: mono `(n_samples,)`.
        sample_rate: Hz.
        settings: probabilities and ranges.
        rng: source of all that is drawn.

    Returns:
        float32 `(n_samples,)`; `samples` itself where nothing is changed.
    """
    if rng.random() < settings.eq_probability:
        samples = equalize(samples, sample_rate, draw_bands(sample_rate, settings.eq_gain_db, rng))
    if rng.random() < settings.noise_probability:
        snr_db = rng.uniform(settings.snr_min_db, settings.snr_max_db)
        samples = add_noise(samples, snr_db, rng)
    return samples


def add_noise(samples: FloatArray, snr_db: float, rng: np.random.Generator) -> FloatArray:
    """Add white Gaussian noise, `snr_db` below the power of the samples; silence stays silence."""
    power = np.mean(np.square(samples, dtype=np.float64)) if len(samples) else 0.0
    level = np.float32(np.sqrt(power) * 10 ** (-snr_db / 20))
    return samples + level * rng.standard_normal(len(samples), np.float32)


def draw_bands(sample_rate: int, gain_db: float, rng: np.random.Generator) -> list[Band]:
    """Seven bands from about 40 Hz to 9.5 kHz, each boosted or cut by at most `gain_db`.

    Centers are uniform on a logarithmic axis, gains and Q on a linear one.
    """
    bands = []
    for kind, lowest, highest, q_min, q_max in _BANDS:
        center = lowest * (highest / lowest) ** rng.random()
        gain, q = rng.uniform(-gain_db, gain_db), rng.uniform(q_min, q_max)
        bands.append(Band(kind, min(center, _HIGHEST * sample_rate), gain, q))
    return bands


def equalize(samples: FloatArray, sample_rate: int, bands: list[Band]) -> FloatArray:
    """Send samples through the bands one after another, from rest.

    Args:
        samples: mono `(n_samples,)`.
        sample_rate: Hz.
        bands: at least one; centers below half of `sample_rate`.

    Returns:
        float32 `(n_samples,)`.
    """
    sections = np.array([_biquad(band, sample_rate) for band in bands])
    return np.asarray(scipy.signal.sosfilt(sections, samples), np.float32)


def _biquad(band: Band, sample_rate: int) -> list[float]:
    """Second-order section b0 b1 b2 a0 a1 a2 of a band, a0 = 1 (the cookbook's formulas)."""
    omega = 2 * np.pi * band.center / sample_rate
    a = 10 ** (band.gain_db / 40)
    cos, alpha = np.cos(omega), np.sin(omega) / (2 * band.q)
    if band.kind == "peak":
        section = [1 + alpha * a, -2 * cos, 1 - alpha * a, 1 + alpha / a, -2 * cos, 1 - alpha / a]
    else:
        # A high shelf is a low shelf with the frequency axis turned round: cos → -cos, b1 and a1
        # with the other sign.
        side = 1 if band.kind == "low shelf" else -1
        root, c = 2 * np.sqrt(a) * alpha, side * cos
        section = [
            a * ((a + 1) - (a - 1) * c + root),
            side * 2 * a * ((a - 1) - (a + 1) * c),
            a * ((a + 1) - (a - 1) * c - root),
            (a + 1) + (a - 1) * c + root,
            side * -2 * ((a - 1) + (a + 1) * c),
            (a + 1) + (a - 1) * c - root,
        ]
    return [float(value / section[3]) for value in section]
