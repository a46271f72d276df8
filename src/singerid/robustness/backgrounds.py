"""Other sound to mix with a voice: stretches of given files, or a babble of several voices."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from singerid import audio
from singerid.corpora.folder import walk
from singerid.errors import AudioError
from singerid.manifest import Scan
from singerid.melody import draw_song
from singerid.robustness.distortion import Background, active_power
from singerid.singing import sing
from singerid.voices import draw_singer

FloatArray = npt.NDArray[np.float32]
_TRIES = 8
_LONGEST_SECONDS = 600.0  # of one background file; nothing behind that is used
_N_VOICES = 6
_N_VIRTUAL, _VIRTUAL_SECONDS = 12, 10.0
_SINGING_RATE = 48_000  # the highest that `singing.sing` takes


@dataclass(frozen=True)
class SoundPool:
    """Files of which stretches are taken.

    Attributes:
        paths: the files.
        identity: hash of their names and sizes.
    """

    paths: tuple[Path, ...]
    identity: str

    @classmethod
    def of_folder(cls, folder: str | os.PathLike[str]) -> SoundPool:
        """All audio files below a folder, by their suffixes.

        Raises:
            ManifestError: not a folder, or one that cannot be read.
            AudioError: there are no audio files in it.
        """
        found = Scan()
        paths = tuple(walk(Path(folder), found))
        if found.problems:
            raise found.problems[0]
        if not paths:
            raise AudioError("no audio files in this folder", where=folder)
        digest = hashlib.sha256()
        for path in paths:
            digest.update(os.fsencode(path.relative_to(folder)) + b"\0")
            digest.update(f"{path.stat().st_size}\n".encode())
        return cls(paths, digest.hexdigest()[:16])

    def __repr__(self) -> str:
        return f"SoundPool({len(self.paths)} files, {self.identity})"

    def __call__(self, n_samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
        """A random stretch of a random file, repeated if the file is shorter.

        Raises:
            AudioError: a file cannot be read, or several drawn in a row are silent.
        """
        for _ in range(_TRIES):
            sound = _loaded(self.paths[rng.integers(len(self.paths))], sample_rate)
            start = int(rng.integers(max(1, len(sound) - n_samples)))
            stretch = np.resize(sound[start:], n_samples)
            if active_power(stretch, sample_rate) > 0:
                return stretch
        raise AudioError(
            "only silence found", where=self.paths[0].parent, found=f"{_TRIES} silent stretches"
        )


@dataclass(frozen=True)
class Babble:
    """Six voices at once, equally loud.

    Attributes:
        voices: where each comes from.
    """

    voices: Background

    def __call__(self, n_samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
        """Their sum, float32 `(n_samples,)`."""
        total = np.zeros(n_samples, np.float32)
        for _ in range(_N_VOICES):
            voice = self.voices(n_samples, sample_rate, rng)
            total += voice / np.float32(max(active_power(voice, sample_rate), 1e-12) ** 0.5)
        return total


@dataclass(frozen=True)
class VirtualVoices:
    """Stretches of twelve virtual singers: a pool where no files are given."""

    def __call__(self, n_samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
        """A random stretch of one of them, repeated beyond 10 s."""
        voice = _virtual_voice(int(rng.integers(_N_VIRTUAL)), sample_rate)
        return np.resize(np.roll(voice, int(rng.integers(len(voice)))), n_samples)


@lru_cache(maxsize=4)
def _loaded(path: Path, sample_rate: int) -> FloatArray:
    samples, _ = audio.load(path, sample_rate)
    return samples[: round(_LONGEST_SECONDS * sample_rate)].copy()


@lru_cache(maxsize=3 * _N_VIRTUAL)
def _virtual_voice(number: int, sample_rate: int) -> FloatArray:
    rng = np.random.default_rng([0, number])
    singer = draw_singer(rng, f"babble {number}", "FM"[number % 2])
    rate = min(max(sample_rate, 8000), _SINGING_RATE)
    voice = sing(singer, draw_song(rng, _VIRTUAL_SECONDS), rng, rate)
    return audio.conform(voice, rate, sample_rate)
