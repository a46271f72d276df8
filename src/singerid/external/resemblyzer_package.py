"""Resemblyzer (Resemble AI, Apache-2.0; Wan et al. 2018) through its own pip package.

Its level normalization and its ``embed_utterance``, without its voice activity detector, which
was made for speech. ``singerid import pretrained.pt`` makes an encoder of ours of its weights,
which places the partials otherwise: vectors of the two do not mix.

The package imports webrtcvad, the detector's library, which has to be compiled and needs an old
setuptools. Where it cannot be imported an empty module stands in: nothing here calls it. So
``pip install --no-deps resemblyzer`` does as well, beside torch and librosa.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from singerid import audio
from singerid.embedder import Frames, gather, passed
from singerid.embeddings import EmbeddingSet, mean_direction
from singerid.errors import MissingExtraError, SingeridError
from singerid.front_ends import WaveformFrontEnd
from singerid.records import Recording
from singerid.spec import FeatureSpec

FloatArray = npt.NDArray[np.float32]
_LEVEL_DB = -30  # its hparams.audio_norm_target_dBFS


class ResemblyzerEncoder:
    """The package as an embedder.

    Raises:
        MissingExtraError: it is not installed.
    """

    sample_rate = 16000

    def __init__(self) -> None:
        self._library = resemblyzer_module()
        self._encoder: Any = self._library.VoiceEncoder(verbose=False)
        self._front_end = WaveformFrontEnd(FeatureSpec())
        self.fingerprint = f"resemblyzer-{_version()}"

    def embed(self, samples: npt.NDArray[np.floating], sample_rate: int) -> FloatArray:
        """Embedding of samples.

        Args:
            samples: mono `(n_samples,)` in [-1, 1].
            sample_rate: their rate in Hz.

        Returns:
            float32 `(256,)` of unit length.

        Raises:
            AudioError: not mono, not finite, silent or too short.
        """
        mono = audio.conform(samples, sample_rate, self.sample_rate)
        return mean_direction(self._utterance(self._front_end.frames(mono)))

    def embed_recordings(
        self,
        recordings: Sequence[Recording],
        n_processes: int = 1,
        on_progress: Callable[[float], object] = lambda seconds: None,
        on_warning: Callable[[str], object] = lambda line: None,
    ) -> tuple[EmbeddingSet, list[SingeridError]]:
        """Embed audio files; see `singerid.embedder.Embedder.embed_recordings`."""
        files = passed(self._front_end.read_all(recordings, n_processes), on_warning)
        return gather(self._utterances(files), self.fingerprint, on_progress)

    def _utterances(
        self, files: Iterator[tuple[Recording, Frames]]
    ) -> Iterator[tuple[Recording, Frames]]:
        for recording, samples in files:
            if isinstance(samples, SingeridError):
                yield recording, samples
            else:
                yield recording, self._utterance(samples)

    def _utterance(self, samples: FloatArray) -> FloatArray:
        """Its vectors of the partials, `(n_partials, 256)`; their mean is its utterance's."""
        louder = self._library.normalize_volume(samples, _LEVEL_DB, increase_only=True)
        _, partials, _ = self._encoder.embed_utterance(louder, return_partials=True)
        return np.asarray(partials, np.float32)


def resemblyzer_module() -> Any:
    """The package, which is an extra.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module("resemblyzer")
    except ImportError as error:
        # webrtcvad itself is missing, or what it needs of an old setuptools
        if error.name not in ("webrtcvad", "_webrtcvad", "pkg_resources"):
            raise MissingExtraError("resemblyzer", "resemblyzer") from None
    sys.modules["webrtcvad"] = ModuleType("webrtcvad")
    try:
        return import_module("resemblyzer")
    except ImportError:
        raise MissingExtraError("resemblyzer", "resemblyzer") from None


def _version() -> str:
    try:
        return version("resemblyzer")
    except PackageNotFoundError:  # a copy of its source
        return "unknown"
