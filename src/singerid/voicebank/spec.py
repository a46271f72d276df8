"""What made a voice bank: settings of the analysis, the front end, and how its arrays look."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError, model_validator

from singerid.errors import StoreError
from singerid.formats import FORMATS, check_format
from singerid.json_lines import parse
from singerid.sections import Section, setting
from singerid.spec import FeatureSpec
from singerid.voicebank.files import ArrayFile

FloatArray = npt.NDArray[np.float32]

FORMAT = FORMATS["bank"]
"""Of the files; a change of codes or layout makes it another."""


class BankSettings(Section):
    """Analysis of voices for re-singing."""

    highpass: float = setting(
        70.0, "cut-off of a high-pass before the analysis, 0 for none: mains hum hides F0 from dio",
        unit="Hz", ge=0, le=200,
    )  # fmt: skip
    f0_method: Literal["dio", "harvest"] = setting("dio", "tracker of F0, refined by stonemask")
    fmin: float = setting(
        71.0, "lowest F0 (dio, from 50 Hz on, is an octave too low in 13 to 20 % of all frames)",
        unit="Hz", ge=20, le=200,
    )  # fmt: skip
    fmax: float = setting(1100.0, "highest F0", unit="Hz", gt=20, le=2000)
    frame_period: float = setting(8.0, "distance of two frames", unit="ms", ge=1, le=50)
    order: int = setting(48, "cepstral coefficients of an envelope, c0 included", ge=8, le=256)
    alpha: float = setting(
        0.35, "all-pass constant that warps the cepstrum's frequency axis, 0 for none", ge=0, lt=1
    )
    gate_db: float = setting(
        -35.0, "frames below this level, relative to the loud ones, are silent", unit="dB",
        ge=-120, lt=0,
    )  # fmt: skip
    pause: float = setting(
        0.1, "silence of this length and more is cut out", unit="s", ge=0.01, le=10
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.fmin >= self.fmax:
            raise ValueError(f"fmin {self.fmin:g} Hz must lie below fmax {self.fmax:g} Hz")
        return self


class BankSpec(Section):
    """What made every array of a bank: equal specs, comparable voices."""

    format: int = FORMAT
    settings: BankSettings = BankSettings()
    features: FeatureSpec = FeatureSpec()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.format != FORMAT:
            raise ValueError(f"format {self.format} is not {FORMAT}: make the bank anew")
        if self.features.features.stream != "mel" or self.features.pitch.condition:
            raise ValueError("a bank needs a front end of mel frames without pitch conditioning")
        if self.features.audio.sample_rate < 8000:
            raise ValueError("WORLD needs an audio.sample_rate of at least 8000 Hz")
        return self

    @property
    def sample_rate(self) -> int:
        """Of the audio that was analyzed, in Hz."""
        return self.features.audio.sample_rate

    @property
    def frame_period(self) -> float:
        """Distance of two frames in seconds."""
        return self.settings.frame_period / 1000

    @property
    def order(self) -> int:
        """Number of cepstral coefficients, c0 included."""
        return self.settings.order

    @property
    def alpha(self) -> float:
        """Warping of the cepstrum's frequency axis (`melcepstrum.warp`)."""
        return self.settings.alpha

    @property
    def band_hz(self) -> tuple[float, ...]:
        """Frequencies at which aperiodicity is stored, 0 Hz … half the sample rate.

        D4C's curves are straight in dB between multiples of 3 kHz, so nothing of them is lost;
        the two more below 3 kHz are for voices that are not D4C's.
        """
        nyquist = self.sample_rate / 2
        inner = [hz for hz in (1000.0, 2000.0, *np.arange(3000.0, nyquist, 3000.0)) if hz < nyquist]
        return (0.0, *map(float, inner), nyquist)

    @property
    def n_bands(self) -> int:
        """Number of aperiodicity values of a frame."""
        return len(self.band_hz)

    @property
    def arrays(self) -> tuple[ArrayFile, ...]:
        """The files of a bank, in the order in which they are written.

        Mel frames have half precision where they are levels in [0, 1], single otherwise.
        """
        mel_dtype = "<f2" if self.features.mel.scale == "decibel" else "<f4"
        return (
            ArrayFile("f0", "<f4"), ArrayFile("onset", "u1"),
            ArrayFile("cepstrum", "i1", (self.order,)),
            ArrayFile("aperiodicity", "u1", (self.n_bands,)),
            ArrayFile("mel", mel_dtype, (self.features.n_dims,), is_mel=True),
        )  # fmt: skip


def band_weights(spec: BankSpec, hz: npt.ArrayLike) -> FloatArray:
    """Aperiodicity in between: float32 `(n_bands, n_hz)`.

    dB at the bands times this is dB at each frequency: linear from band to band.
    """
    hz = np.asarray(hz, np.float64)
    return np.array([np.interp(hz, spec.band_hz, row) for row in np.eye(spec.n_bands)], np.float32)


def read_bank_spec(path: Path) -> BankSpec:
    """Spec of a bank.

    Raises:
        StoreError: not a bank.
    """
    try:
        values = parse((path / "spec.json").read_text("utf-8"))
        check_format(values.get("format", 1), "bank", path, StoreError)
        return BankSpec.model_validate(values | {"format": values.get("format", 0)})
    except OSError as error:
        raise StoreError(
            "is not a voice bank", where=path, found="no spec.json",
            do="make one: singerid voices manifest.jsonl -o BANK",
        ) from error  # fmt: skip
    except ValidationError as error:
        found = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise StoreError("spec.json cannot be used", where=path, found=found) from error
    except (ValueError, AttributeError) as error:  # no text, no JSON, no object
        raise StoreError("spec.json is damaged", where=path, found=str(error)[:80]) from error


def differences(found: BankSpec, wanted: BankSpec) -> str:
    """What differs between two specs, for messages."""
    ours, theirs = _flat(found.model_dump()), _flat(wanted.model_dump())
    return ", ".join(f"{k} {v}, not {theirs[k]}" for k, v in ours.items() if theirs[k] != v)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
