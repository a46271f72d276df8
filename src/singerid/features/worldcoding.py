"""WORLD's analysis as features: envelope and aperiodicity in a few dimensions, F0 as MIDI pitch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from singerid.errors import ConfigError, MismatchError
from singerid.features import melcepstrum
from singerid.features.pitch import f0_from_midi, midi_pitch
from singerid.features.world import WorldAnalysis, pyworld

FloatArray = npt.NDArray[np.float64]
Reduction = Literal["mfsc", "world", "mcep-power", "mcep-db"]

_APERIODICITY_RANGE = (1e-3, 1 - 1e-12)  # D4C's own limits
_DB = 20 / np.log(10)


@dataclass(frozen=True, slots=True)
class Coding:
    """How envelope and aperiodicity become a few numbers a frame.

    Attributes:
        reduction: "mfsc": mel-frequency spectral coefficients in dB, through mel-cepstra of the
            dB spectrum; "mcep-db": those mel-cepstra, in dB; "mcep-power": mel-cepstra that fit
            the power itself, in nepers; "world": WORLD's own coding.
        envelope_dims: values of the envelope, 2 or more; "world": up to a quarter of the FFT.
        aperiodicity_dims: values of the aperiodicity, 2 or more; WORLD's own coding has as many
            as the sample rate asks for (1 at 16 kHz, 5 at 44.1 kHz), whatever is said here.
        alpha: warping of the frequency axis, for all but "world".
    """

    reduction: Reduction = "mfsc"
    envelope_dims: int = 40
    aperiodicity_dims: int = 4
    alpha: float = melcepstrum.ALPHA

    def columns(self, sample_rate: int) -> dict[str, slice]:
        """Columns of `encode` by name: envelope, aperiodicity, midi, unvoiced, in this order.

        Raises:
            ConfigError: the reduction does not exist, or a dimension or alpha is out of range.
        """
        if self.reduction not in get_args(Reduction):
            raise ConfigError(
                "no such reduction", found=repr(self.reduction), expected=get_args(Reduction)
            )
        dims = {"envelope": self.envelope_dims, "aperiodicity": self.aperiodicity_dims}
        if self.reduction == "world":
            dims["aperiodicity"] = _n_coded_aperiodicities(sample_rate)
        elif not -1 < self.alpha < 1:
            raise ConfigError("alpha out of range", found=self.alpha, expected="-1 … 1")
        for name, n in dims.items():
            least = 1 if self.reduction == "world" and name == "aperiodicity" else 2
            if n < least:
                raise ConfigError(f"{name} has too few dimensions", found=n, expected=least)
        columns, start = {}, 0
        for name, n in {**dims, "midi": 1, "unvoiced": 1}.items():
            columns[name] = slice(start, start + n)
            start += n
        return columns


def encode(analysis: WorldAnalysis, coding: Coding) -> npt.NDArray[np.float32]:
    """Features float32 `(n_frames, n_dims)`: envelope, aperiodicity, MIDI pitch, unvoiced flag.

    Raises:
        ConfigError: the coding is not possible at this sample rate.
        MissingExtraError: pyworld is not installed, and WORLD's own coding is asked for.
    """
    columns = coding.columns(analysis.sample_rate)
    features = np.empty((len(analysis.f0), columns["unvoiced"].stop), np.float32)
    if coding.reduction == "world":
        world, rate = pyworld(), analysis.sample_rate
        _check_coded_dims(coding, 2 * (analysis.envelope.shape[1] - 1))
        envelope = np.ascontiguousarray(analysis.envelope)
        features[:, columns["envelope"]] = world.code_spectral_envelope(
            envelope, rate, coding.envelope_dims
        )
        aperiodicity = np.ascontiguousarray(analysis.aperiodicity)
        features[:, columns["aperiodicity"]] = world.code_aperiodicity(aperiodicity, rate)
    else:
        powers = {"envelope": analysis.envelope, "aperiodicity": analysis.aperiodicity**2}
        for name, power in powers.items():
            n_dims = columns[name].stop - columns[name].start
            features[:, columns[name]] = _reduce(power, n_dims, coding)
    midi, unvoiced = midi_pitch(analysis.f0)
    features[:, columns["midi"].start] = midi
    features[:, columns["unvoiced"].start] = unvoiced
    return features


def decode(
    features: npt.NDArray[Any],
    coding: Coding,
    sample_rate: int,
    *,
    fft_size: int,
    frame_period_ms: float = 5.0,
) -> WorldAnalysis:
    """Inverse of `encode`, but for the detail that the reduction left out.

    F0 comes back whole. Envelopes of real singing at 16 kHz come back within 2 … 5 dB root mean
    square with 40 dimensions and 1.3 … 4 dB with 60, in each reduction (5 dB: high voices, whose
    single partials an envelope at low `fmin` follows); aperiodicity within 0.05 with 4 dimensions
    and whole in "world".

    Args:
        features: `(n_frames, n_dims)` of `encode`.
        coding: the one they were made with.
        sample_rate: of the audio they were made from, Hz.
        fft_size: of the envelope to be made (see `fft_size`).
        frame_period_ms: distance of the frames in milliseconds.

    Raises:
        MismatchError: the features have not as many dimensions as the coding.
        ConfigError: the coding is not possible at this sample rate.
        MissingExtraError: pyworld is not installed, and WORLD's own coding was used.
    """
    columns = coding.columns(sample_rate)
    if features.ndim != 2 or features.shape[1] != columns["unvoiced"].stop:
        raise MismatchError(
            "features do not belong to this coding", found=f"shape {features.shape}",
            expected=f"(n_frames, {columns['unvoiced'].stop})",
        )  # fmt: skip
    coded = {name: np.ascontiguousarray(features[:, columns[name]], float) for name in columns}
    if coding.reduction == "world":
        world = pyworld()
        _check_coded_dims(coding, fft_size)
        envelope = world.decode_spectral_envelope(coded["envelope"], sample_rate, fft_size)
        aperiodicity = world.decode_aperiodicity(coded["aperiodicity"], sample_rate, fft_size)
    else:
        n_bins = fft_size // 2 + 1
        envelope = _restore(coded["envelope"], n_bins, coding)
        aperiodicity = np.sqrt(_restore(coded["aperiodicity"], n_bins, coding))
    f0 = f0_from_midi(coded["midi"][:, 0], coded["unvoiced"][:, 0] > 0.5)
    aperiodicity = np.clip(aperiodicity, *_APERIODICITY_RANGE)
    return WorldAnalysis(f0, envelope, aperiodicity, frame_period_ms, sample_rate)


def _reduce(power: FloatArray, n_dims: int, coding: Coding) -> FloatArray:
    if coding.reduction == "mcep-power":
        return melcepstrum.fitted_mel_cepstrum(power, n_dims, coding.alpha)
    cepstra = melcepstrum.mel_cepstrum(power, n_dims, coding.alpha)
    if coding.reduction == "mcep-db":
        return np.asarray(_DB * cepstra)
    return melcepstrum.mfsc_from_mel_cepstrum(cepstra)


def _restore(coded: FloatArray, n_bins: int, coding: Coding) -> FloatArray:
    """Power `(n_frames, n_bins)` from the output of `_reduce`."""
    if coding.reduction == "mfsc":
        coded = melcepstrum.mel_cepstrum_from_mfsc(coded)
    elif coding.reduction == "mcep-db":
        coded = coded / _DB
    return melcepstrum.power_spectrum(coded, n_bins, coding.alpha)


def _check_coded_dims(coding: Coding, fft_size: int) -> None:
    """WORLD codes wrongly above a quarter of its FFT, and reads foreign memory still higher."""
    if coding.envelope_dims > fft_size // 4:
        raise ConfigError(
            "too many envelope dimensions for WORLD's coding", found=coding.envelope_dims,
            expected=f"at most {fft_size // 4}",
        )  # fmt: skip


def _n_coded_aperiodicities(sample_rate: int) -> int:
    """Bands of 3 kHz from 3 to 15 kHz that WORLD codes, as far as they lie in the spectrum."""
    return int(min(15000, sample_rate / 2 - 3000) // 3000)
