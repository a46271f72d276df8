"""The front end of an encoder: the settings that turn a file into its input."""

from __future__ import annotations

import hashlib
import itertools
import json
from functools import lru_cache
from typing import Literal, Self

from pydantic import model_validator

from singerid.sections import Section, setting


class AudioSettings(Section):
    """How files become samples."""

    sample_rate: int = setting(
        16000, "rate that all audio is resampled to", unit="Hz", flag="-sr", ge=4000, le=192000
    )
    min_seconds: float = setting(
        0.5, "shorter recordings are refused: they hold too little voice", unit="s", ge=0.1
    )
    silence_db: float = setting(
        0.0, "pauses below this level, relative to the loudest 10 ms, are cut out; 0 for none",
        unit="dB", ge=-120, le=0,
    )  # fmt: skip
    min_level_db: float = setting(
        0.0, "recordings of a lower RMS level are amplified to it, 0 for none",
        unit="dBFS", ge=-90, le=0,
    )  # fmt: skip


class MelSettings(Section):
    """Mel spectrogram; the defaults are AutoVC's front end."""

    n_fft: int = setting(
        1024, "length of the Hann window and FFT, even", unit="samples", ge=64, le=16384,
        multiple_of=2, flag="-fs",
    )  # fmt: skip
    hop_length: int = setting(256, "distance of two frames", unit="samples", ge=16, le=16384)
    n_mels: int = setting(80, "number of mel bands", flag="-nhf", ge=8, le=512)
    fmin: float = setting(90.0, "lowest band edge", unit="Hz", flag="-fmin", ge=0)
    fmax: float = setting(7600.0, "highest band edge", unit="Hz", flag="-fmax", gt=0)
    highpass: float = setting(
        30.0, "cut-off of the 5th-order Butterworth high-pass, 0 for none", unit="Hz", ge=0
    )
    gain: float = setting(0.96, "factor on the samples after the high-pass", gt=0, le=1)
    dither: float = setting(1e-6, "peak-to-peak uniform noise added to the samples", ge=0, le=0.1)
    padding: Literal["reflect", "zero"] = setting(
        "reflect", "what lies beyond both ends of a recording: its mirror image, or silence"
    )
    spectrum: Literal["magnitude", "power"] = setting("magnitude", "what the bands sum up")
    scale: Literal["decibel", "linear"] = setting(
        "decibel", "of the bands: levels mapped to [0, 1] as below, or the sums as they are"
    )
    reference_db: float = setting(16.0, "level subtracted from the mel levels", unit="dB")
    floor_db: float = setting(
        -100.0, "lowest level; [floor, 0] is mapped to [0, 1]", unit="dB", lt=0
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.fmin >= self.fmax:
            raise ValueError(f"fmin {self.fmin:g} Hz must lie below fmax {self.fmax:g} Hz")
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length {self.hop_length} exceeds n_fft {self.n_fft}")
        return self


class FeatureSettings(Section):
    """Which features."""

    stream: Literal["mel", "world"] = setting(
        "mel", "mel spectrogram, or WORLD's envelope and aperiodicity", flag="-ft"
    )


class WorldSettings(Section):
    """WORLD vocoder (Morise et al. 2016); its F0 also conditions mel features on pitch."""

    f0_method: Literal["dio", "harvest", "wav2world"] = setting(
        "dio",
        "F0 by dio or harvest, refined by stonemask, or the one-call analysis (71 to 800 Hz)",
        flag="-wp",
    )
    fmin: float = setting(50.0, "lowest F0", unit="Hz", ge=20, le=200)
    fmax: float = setting(1100.0, "highest F0", unit="Hz", gt=20, le=2000)
    frame_period: float = setting(
        5.0, "distance of two frames", unit="ms", flag="-fdm", ge=1, le=100
    )
    reduction: Literal["mfsc", "world", "mcep-power", "mcep-db"] = setting(
        "mfsc",
        "mel-frequency spectral coefficients, WORLD's own coding, or mel-cepstra of power or of dB",
        flag="-drm",
    )
    envelope_dims: int = setting(40, "values of the envelope", ge=2, le=512)
    aperiodicity_dims: int = setting(
        4, "values of the aperiodicity (WORLD's own coding fixes them)", flag="-naf", ge=2, le=512
    )
    alpha: float = setting(0.45, "all-pass constant that warps the frequency axis", gt=-1, lt=1)
    aperiodicity_input: bool = setting(True, "the encoder sees the aperiodicity, too", flag="-uaf")

    def n_aperiodicities(self, sample_rate: int) -> int:
        """Number of aperiodicity values: set, or one per 3 kHz band in WORLD's own coding."""
        if self.reduction != "world":
            return self.aperiodicity_dims
        return min(15000, sample_rate // 2 - 3000) // 3000

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.fmin >= self.fmax:
            raise ValueError(f"fmin {self.fmin:g} Hz must lie below fmax {self.fmax:g} Hz")
        return self


class PitchSettings(Section):
    """Pitch conditioning: a one-hot MIDI number beside the features."""

    condition: bool = setting(False, "the encoder sees the pitch as well", flag="-pc")
    tracker: Literal["world", "swift-f0"] = setting(
        "world", "of the F0: WORLD's, or a neural one (mel features only)"
    )
    low: int = setting(36, "lowest MIDI number with a class of its own", ge=0, le=127)
    high: int = setting(81, "highest MIDI number with a class of its own", ge=0, le=127)

    @property
    def n_classes(self) -> int:
        """MIDI numbers and one class for unvoiced frames."""
        return self.high - self.low + 2

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must lie below high {self.high}")
        return self


@lru_cache(maxsize=64)
def _columns(*sizes: tuple[str, int]) -> dict[str, slice[int, int, None]]:
    """Slices of so many columns each, side by side; asked for with every partial."""
    ends = list(itertools.accumulate(n for _, n in sizes))
    return {k: slice(end - n, end) for (k, n), end in zip(sizes, ends, strict=True)}


def _width(column: slice[int, int, None]) -> int:
    return column.stop - column.start


class FeatureSpec(Section):
    """The front end of an encoder: what turns a file into its input. Stored beside every array."""

    audio: AudioSettings = AudioSettings()
    features: FeatureSettings = FeatureSettings()
    mel: MelSettings = MelSettings()
    world: WorldSettings = WorldSettings()
    pitch: PitchSettings = PitchSettings()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.mel.fmax > self.audio.sample_rate / 2:
            raise ValueError(
                f"mel.fmax {self.mel.fmax:g} Hz exceeds half of audio.sample_rate "
                f"{self.audio.sample_rate} Hz"
            )
        if self.mel.highpass >= self.audio.sample_rate / 2:
            raise ValueError(
                f"mel.highpass {self.mel.highpass:g} Hz must lie below half of audio.sample_rate "
                f"{self.audio.sample_rate} Hz"
            )
        lowest = 12000 if self.world.reduction == "world" else 8000
        uses_world = self.features.stream == "world" or self.pitch.condition
        if uses_world and self.audio.sample_rate < lowest:
            raise ValueError(
                f"audio.sample_rate {self.audio.sample_rate} Hz is below the {lowest} Hz that "
                "WORLD needs here"
            )
        if self.features.stream == "world" and self.pitch.tracker != "world":
            raise ValueError("pitch.tracker must be world for WORLD features")
        return self

    @property
    def columns(self) -> dict[str, slice[int, int, None]]:
        """What each value of a stored frame is, in order."""
        pitch = (("midi", 1), ("unvoiced", 1))
        if self.features.stream == "mel":
            return _columns(("mel", self.mel.n_mels), *(pitch if self.pitch.condition else ()))
        n_aperiodicities = self.world.n_aperiodicities(self.audio.sample_rate)
        envelope = ("envelope", self.world.envelope_dims)
        return _columns(envelope, ("aperiodicity", n_aperiodicities), *pitch)

    @property
    def n_dims(self) -> int:
        """Number of values of a stored frame."""
        return sum(_width(column) for column in self.columns.values())

    @property
    def n_inputs(self) -> int:
        """Number of values of a frame as the encoder sees it."""
        n = sum(_width(self.columns[name]) for name in self.input_streams)
        return n + self.n_pitch_classes

    @property
    def n_pitch_classes(self) -> int:
        """Number of the last values of an input frame that are a one-hot pitch."""
        return self.pitch.n_classes if self.pitch.condition else 0

    @property
    def input_streams(self) -> list[str]:
        """Names of the columns that the encoder sees as they are stored."""
        if self.features.stream == "mel":
            return ["mel"]
        return ["envelope", "aperiodicity"] if self.world.aperiodicity_input else ["envelope"]

    @property
    def hop_seconds(self) -> float:
        """Distance of two frames in seconds."""
        if self.features.stream == "world":
            return self.world.frame_period / 1000
        return self.mel.hop_length / self.audio.sample_rate

    def fingerprint(self) -> str:
        """Short hash of all values: equal only for equal front ends."""
        return fingerprint(self.model_dump())


def fingerprint(value: object) -> str:
    """First 12 hex digits of the SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
