"""Voice bank: what WORLD finds in many recordings, small enough to be sung anew from memory.

A bank is a folder::

    spec.json          settings of the analysis and the front end (`BankSpec`)
    f0.f32 …           one file an array, little-endian, row after row (`BankSpec.arrays`)
    index.jsonl        one line per recording: id, hash of its audio, rows, level, crc32
    recordings.jsonl   the manifest that the bank was last completed for

`singerid.voicebank.building` writes it; reading needs neither WORLD nor torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from singerid.errors import MismatchError, StoreError
from singerid.records import Recording, read_recordings
from singerid.store import source_of
from singerid.voicebank.codes import APERIODICITY_RANGE_DB, cepstrum_code, cosines
from singerid.voicebank.files import BankEntry, damaged_ids, read_bank_index
from singerid.voicebank.spec import BankSpec, differences, read_bank_spec

FloatArray = npt.NDArray[np.float32]

_NAMES, _NUMBERS = ("ids", "singers", "genders", "splits"), ("median_f0", "levels")


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
