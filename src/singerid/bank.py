"""Voice bank: what WORLD finds in many recordings, small enough to be sung anew from memory.

A bank is a folder::

    spec.json          settings of the analysis and the front end (`BankSpec`)
    f0.f32 …           one file an array, little-endian, row after row (`BankSpec.arrays`)
    index.jsonl        one line per recording: id, hash of its audio, rows, level, crc32
    recordings.jsonl   the manifest that the bank was last completed for

`singerid.banking` writes it; reading needs neither WORLD nor torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError, model_validator

from singerid.bank_files import ArrayFile, BankEntry, damaged_ids, read_bank_index
from singerid.errors import MismatchError, StoreError
from singerid.features import melcepstrum
from singerid.records import Recording, read_recordings
from singerid.sections import Section, setting
from singerid.spec import FeatureSpec
from singerid.store import source_of

FloatArray = npt.NDArray[np.float32]

FORMAT = 1
"""Of the files; a change of codes or layout makes it another."""
APERIODICITY_RANGE_DB = (-60.0, 0.0)
"""Of the stored aperiodicity, mapped to 0 … 255; D4C's own limits."""
FLOOR_DB = -90.0
"""Power, relative to a voice's mean power, that is added to envelopes before the logarithm."""
_NAMES, _NUMBERS = ("ids", "singers", "genders", "splits"), ("median_f0", "levels")
_C0_CENTER, _C0_RANGE = -8.0, 13.0  # nepers of power, of a voice whose mean power is 1
_CEPSTRUM_RANGE = 6.0  # of c_1; 99.9 % of LibriSpeech's frames need 4


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
        0.42, "all-pass constant that warps the cepstrum's frequency axis, 0 for none", ge=0, lt=1
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


@dataclass(frozen=True, slots=True, eq=False)
class VoiceBank:
    """Voices, ready to be sung anew.

    The envelope is a power spectral density: its mean from 0 Hz to half the sample rate is the
    frame's power, and white noise of variance 1 has an envelope of 1. Each recording is scaled
    so that its mean power over the kept frames is 1.

    Attributes:
        spec: how the arrays were made.
        ids: of the recordings, `n`.
        singers: whose voice each is.
        genders: label of each, "" if unknown.
        splits: train, valid or test.
        median_f0: float32 `(n,)` Hz over voiced frames, 0 if there are none.
        levels: float32 `(n,)`, level in dB (relative to full scale) that was scaled away.
        starts: int64 `(n + 1,)`, frames of recording i are `starts[i]` … `starts[i + 1]`.
        f0: float32 `(n_frames,)` Hz, 0 where unvoiced.
        onset: bool `(n_frames,)`, True where the frame before was cut out or does not exist.
        cepstrum: int8 `(n_frames, order)`; times `cepstrum_scale` plus `cepstrum_offset` it is c,
            with ln power = c_0 + 2 Σ c_k cos(k·ω̃) at warped frequency ω̃ = `warp(ω, alpha)`.
        cepstrum_scale: float32 `(order,)`.
        cepstrum_offset: float32 `(order,)`.
        aperiodicity: uint8 `(n_frames, n_bands)`, amplitude of noise over all sound, in dB at
            `spec.band_hz`, 0 … 255 for `APERIODICITY_RANGE_DB`.
        mel: `(n_mel_frames, n_mels)`, frames of the front end from the real recordings.
        mel_starts: int64 `(n + 1,)`, as `starts`; a parametric voice has no real frames.
    """

    spec: BankSpec
    ids: tuple[str, ...]
    singers: tuple[str, ...]
    genders: tuple[str, ...]
    splits: tuple[str, ...]
    median_f0: FloatArray
    levels: FloatArray
    starts: npt.NDArray[np.int64]
    f0: FloatArray
    onset: npt.NDArray[np.bool_]
    cepstrum: npt.NDArray[np.int8]
    cepstrum_scale: FloatArray
    cepstrum_offset: FloatArray
    aperiodicity: npt.NDArray[np.uint8]
    mel: npt.NDArray[np.floating[Any]]
    mel_starts: npt.NDArray[np.int64]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Map a finished bank; nothing is read but the index.

        Raises:
            StoreError: missing, unfinished or damaged.
        """
        path = Path(path)
        spec = read_bank_spec(path)
        recordings, entries = _listed(path)
        ends = np.cumsum([[e.n_frames, e.n_mel_frames] for e in entries], axis=0, dtype=np.int64)
        starts, mel_starts = np.pad(ends, ((1, 0), (0, 0))).T.copy()
        n_rows = {False: int(starts[-1]), True: int(mel_starts[-1])}
        arrays = {a.name: a.map(path, n_rows[a.is_mel]) for a in spec.arrays}
        scale, offset = cepstrum_code(spec.order)
        return cls(
            spec=spec, ids=tuple(r.id for r in recordings),
            singers=tuple(r.singer for r in recordings),
            genders=tuple(r.labels.get("gender", "") for r in recordings),
            splits=tuple(r.split for r in recordings),
            median_f0=np.array([e.median_f0 for e in entries], np.float32),
            levels=np.array([e.level for e in entries], np.float32),
            starts=starts, f0=arrays["f0"], onset=arrays["onset"].view(np.bool_),
            cepstrum=arrays["cepstrum"], cepstrum_scale=scale, cepstrum_offset=offset,
            aperiodicity=arrays["aperiodicity"], mel=arrays["mel"], mel_starts=mel_starts,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.ids)

    def frames(self, row: int) -> slice:
        """Frames of a recording."""
        return slice(int(self.starts[row]), int(self.starts[row + 1]))

    def mel_frames(self, row: int) -> slice:
        """Real mel frames of a recording."""
        return slice(int(self.mel_starts[row]), int(self.mel_starts[row + 1]))

    def cepstra(self, frames: slice) -> FloatArray:
        """Cepstra c of some frames, float32 `(n, order)`."""
        return np.asarray(self.cepstrum[frames] * self.cepstrum_scale + self.cepstrum_offset)

    def envelope(self, frames: slice, hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Power of some frames at frequencies `(n_hz,)`, 0 … half the sample rate: `(n, n_hz)`."""
        basis = cosines(hz, self.spec.sample_rate, self.spec.order, self.spec.alpha)
        return np.asarray(np.exp(self.cepstra(frames) @ basis))

    def aperiodicity_db(self, frames: slice) -> FloatArray:
        """Aperiodicity of some frames in dB, float32 `(n, n_bands)`."""
        low, high = APERIODICITY_RANGE_DB
        return np.asarray(self.aperiodicity[frames] * np.float32((high - low) / 255) + low)

    def select(self, rows: Sequence[int]) -> VoiceBank:
        """A bank of some recordings, in memory."""
        frames = [np.arange(len(self.f0))[self.frames(row)] for row in rows]
        mel_frames = [np.arange(len(self.mel))[self.mel_frames(row)] for row in rows]
        changes: dict[str, Any] = {
            "starts": _starts(map(len, frames)), "mel_starts": _starts(map(len, mel_frames))
        }  # fmt: skip
        for name in _NAMES:
            changes[name] = tuple(getattr(self, name)[row] for row in rows)
        for name in _NUMBERS:
            changes[name] = getattr(self, name)[list(rows)]
        for array in self.spec.arrays:
            kept = np.concatenate(mel_frames if array.is_mel else frames)
            changes[array.name] = getattr(self, array.name)[kept]
        return replace(self, **changes)


def joined(banks: Sequence[VoiceBank]) -> VoiceBank:
    """Several banks of one spec as one, in memory.

    Raises:
        MismatchError: the specs differ, or an id appears twice.
    """
    first = banks[0]
    if other := next((bank for bank in banks if bank.spec != first.spec), None):
        raise MismatchError(
            "banks of two specs cannot be joined", found=differences(other.spec, first.spec)
        )
    changes: dict[str, Any] = {}
    for name in _NAMES:
        changes[name] = tuple(text for bank in banks for text in getattr(bank, name))
    if len(set(changes["ids"])) < len(changes["ids"]):
        raise MismatchError("banks that share recordings cannot be joined")
    for name in (*_NUMBERS, *(array.name for array in first.spec.arrays)):
        changes[name] = np.concatenate([getattr(bank, name) for bank in banks])
    for name in ("starts", "mel_starts"):
        changes[name] = _starts(n for bank in banks for n in np.diff(getattr(bank, name)))
    return replace(first, **changes)


def _starts(lengths: Iterable[int]) -> npt.NDArray[np.int64]:
    return np.cumsum([0, *lengths], dtype=np.int64)


# ---------------------------------------------------------------------------------- representation


def cosines(hz: npt.ArrayLike, sample_rate: int, order: int, alpha: float) -> FloatArray:
    """1, 2 cos ω̃, 2 cos 2ω̃ … at frequencies `(n_hz,)`: float32 `(order, n_hz)`.

    Cepstra times this are ln power.
    """
    warped = melcepstrum.warp(2 * np.pi * np.asarray(hz, np.float64) / sample_rate, alpha)
    basis = 2 * np.cos(np.arange(order)[:, None] * warped)
    basis[0] = 1
    return basis.astype(np.float32)


def cepstra_of(power: npt.ArrayLike, order: int, alpha: float) -> npt.NDArray[np.float64]:
    """Cepstra c `(…, order)` of power `(…, n_bins)` from 0 Hz to half the sample rate."""
    cepstra = melcepstrum.mel_cepstrum(power, order, alpha, FLOOR_DB)
    cepstra[..., 0] *= 2
    return cepstra


def cepstrum_code(order: int) -> tuple[FloatArray, FloatArray]:
    """Scale and offset `(order,)` of the stored cepstra.

    The same for every bank, so that recordings are added without touching the others. Half the
    width of c_k's range falls as 1/√k, somewhat slower than the deviation of speech does, since
    the ripples of high-pitched voices lie at single high k.
    """
    k = np.arange(1, order)
    widths = np.concatenate([[_C0_RANGE], _CEPSTRUM_RANGE / np.sqrt(k)])
    offset = np.zeros(order, np.float32)
    offset[0] = _C0_CENTER
    return (widths / 127).astype(np.float32), offset


def quantized_cepstra(cepstra: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int8]:
    """Cepstra c `(n_frames, order)` as int8; what is out of range becomes its limit."""
    scale, offset = cepstrum_code(cepstra.shape[1])
    return np.asarray(np.clip(np.rint((cepstra - offset) / scale), -127, 127), np.int8)


def quantized_aperiodicity(db: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Aperiodicity in dB as 0 … 255."""
    low, high = APERIODICITY_RANGE_DB
    return np.asarray(np.clip(np.rint((db - low) * (255 / (high - low))), 0, 255), np.uint8)


def band_weights(spec: BankSpec, hz: npt.ArrayLike) -> FloatArray:
    """Aperiodicity in between: float32 `(n_bands, n_hz)`.

    dB at the bands times this is dB at each frequency: linear from band to band.
    """
    hz = np.asarray(hz, np.float64)
    return np.array([np.interp(hz, spec.band_hz, row) for row in np.eye(spec.n_bands)], np.float32)


# ------------------------------------------------------------------------------------------ folder


def read_bank_spec(path: Path) -> BankSpec:
    """Spec of a bank.

    Raises:
        StoreError: not a bank.
    """
    try:
        values = json.loads((path / "spec.json").read_text("utf-8"))
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


def check(path: str | os.PathLike[str]) -> None:
    """Compare every recording of a finished bank with its checksum.

    Raises:
        StoreError: a recording's rows are not what was written.
    """
    path = Path(path)
    arrays = read_bank_spec(path).arrays
    _, entries = _listed(path)
    if damaged := damaged_ids(path, arrays, entries):
        raise StoreError(
            "rows do not match their checksum", where=path, found=f"recording {min(damaged)}",
            do="run singerid voices again: it makes them anew",
        )  # fmt: skip


def _listed(path: Path) -> tuple[list[Recording], list[BankEntry]]:
    """Recordings of a finished bank, and where they lie, in the same order.

    Raises:
        StoreError: the bank is unfinished, or its files do not belong together.
    """
    listing = path / "recordings.jsonl"
    if not listing.exists():
        raise StoreError(
            "the analysis was not finished", where=path,
            do="run singerid voices again: it goes on where it stopped",
        )  # fmt: skip
    recordings = read_recordings(listing)
    entries = [entry for entry, _ in read_bank_index(path)]
    if not in_order(entries, recordings):
        raise StoreError(
            "index and list of recordings do not fit", where=path,
            do="run singerid voices again: it makes what is missing",
        )  # fmt: skip
    return recordings, entries


def in_order(entries: Sequence[BankEntry], recordings: Sequence[Recording]) -> bool:
    """True if the entries are those of the recordings, one after the other, without gaps."""
    if [(e.id, e.source) for e in entries] != [(r.id, source_of(r)) for r in recordings]:
        return False
    ends = [(0, 0), *((e.start + e.n_frames, e.mel_start + e.n_mel_frames) for e in entries)]
    return [(e.start, e.mel_start) for e in entries] == ends[:-1]
