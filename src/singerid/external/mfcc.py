"""Learning-free baseline: mean and deviation of 19 MFCCs over time, standardized by corpus.

What an encoder must beat before its training has taught it anything. The MFCCs are librosa's
with its defaults (Slaney's 128 mel bands of the power spectrogram, windows of 2048 samples every
512, dB down to 80 below the loudest, orthonormal DCT-II), at 16 kHz; c0 is loudness, which says
nothing about the singer, and left out.

Standardization makes the 38 values comparable: minus their mean and by their deviation over the
recordings of one corpus (label ``corpus``), which it is therefore *fitted* to. No singer's name
is looked at, but vectors depend on the recordings that were embedded together: the fingerprint
holds a hash of the statistics, so that vectors of two fits never mix.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy.fft

from singerid import audio
from singerid.embedder import Frames, gather, passed
from singerid.embeddings import EmbeddingSet, normalize
from singerid.errors import BatchError, SingeridError
from singerid.extraction import analyze
from singerid.features import extract
from singerid.records import Recording
from singerid.spec import AudioSettings, FeatureSpec, MelSettings

FloatArray = npt.NDArray[np.float32]

MFCC_FEATURES = FeatureSpec(
    audio=AudioSettings(sample_rate=16000),
    mel=MelSettings(
        n_fft=2048, hop_length=512, n_mels=128, fmin=0, fmax=8000, highpass=0, gain=1, dither=0,
        padding="zero", spectrum="power", scale="linear",
    ),
)  # fmt: skip
"""librosa's default mel spectrogram at 16 kHz."""

_N_COEFFICIENTS = 20
_FLOOR, _RANGE_DB = 1e-10, 80.0


@dataclass(frozen=True)
class Statistics:
    """Of one corpus.

    Attributes:
        mean: float64 `(38,)`.
        deviation: float64 `(38,)`, 1 where a value never changes.
    """

    mean: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]


class MfccEncoder:
    """The baseline as an embedder.

    Args:
        statistics: of each corpus. Without them it fits itself to the recordings that it embeds,
            and has neither a fingerprint nor vectors for samples.
    """

    sample_rate = MFCC_FEATURES.audio.sample_rate

    def __init__(self, statistics: Mapping[str, Statistics] | None = None) -> None:
        self.statistics = statistics

    @classmethod
    def fit(
        cls,
        recordings: Sequence[Recording],
        n_processes: int = 1,
        on_progress: Callable[[float], object] = lambda seconds: None,
    ) -> Self:
        """Fitted to recordings; those that cannot be read are left out.

        Raises:
            BatchError: none can be read.
            SingeridError: no corpus has two recordings that can.
        """
        rows: list[tuple[Recording, FloatArray]] = []
        failures: list[SingeridError] = []
        for recording, row in _rows(recordings, n_processes, lambda line: None):
            on_progress(recording.duration)
            if isinstance(row, SingeridError):
                failures.append(row)
            else:
                rows.append((recording, row))
        if failures and not rows:
            raise BatchError(f"all {len(failures)} recordings failed", failures)
        statistics = _statistics(rows)
        if not statistics:
            raise SingeridError(
                "the MFCC baseline has nothing to be fitted to", found=f"{len(rows)} recording(s)",
                expected="at least 2 of one corpus",
            )  # fmt: skip
        return cls(statistics)

    @property
    def fingerprint(self) -> str:
        """Of method and statistics.

        Raises:
            SingeridError: it is not fitted.
        """
        digest = hashlib.sha256()
        for corpus, own in sorted(self._fitted().items()):
            digest.update(corpus.encode("utf-8", "surrogatepass") + b"\0")
            digest.update(np.stack([own.mean, own.deviation]).astype("<f8").tobytes())
        return f"mfcc-38-{digest.hexdigest()[:12]}"

    def embed(self, samples: npt.NDArray[np.floating], sample_rate: int) -> FloatArray:
        """Embedding of samples, by the statistics of the only corpus that it was fitted to.

        Args:
            samples: mono `(n_samples,)` in [-1, 1].
            sample_rate: their rate in Hz.

        Returns:
            float32 `(38,)` of unit length.

        Raises:
            AudioError: not mono, not finite, silent or too short.
            SingeridError: it is not fitted, or to several corpora.
        """
        statistics = self._fitted()
        if len(statistics) != 1:
            raise SingeridError(
                "samples do not say which corpus they are of", where="mfcc",
                found=f"a baseline fitted to {len(statistics)} corpora",
                do="fit it to the recordings of one corpus",
            )  # fmt: skip
        mono = audio.conform(samples, sample_rate, self.sample_rate)
        row = summary(mfcc(extract(mono, MFCC_FEATURES)))
        return _standardized(row, next(iter(statistics.values())))

    def embed_recordings(
        self,
        recordings: Sequence[Recording],
        n_processes: int = 1,
        on_progress: Callable[[float], object] = lambda seconds: None,
        on_warning: Callable[[str], object] = lambda line: None,
    ) -> tuple[EmbeddingSet, list[SingeridError]]:
        """Embed audio files, by the statistics it was fitted to or else by those of these files.

        See `singerid.embedder.Embedder.embed_recordings`.
        """
        rows = []
        for recording, row in _rows(recordings, n_processes, on_warning):
            on_progress(recording.duration)
            rows.append((recording, row))
        fitted = self
        if self.statistics is None:
            fitted = type(self)(
                _statistics([(r, row) for r, row in rows if not isinstance(row, SingeridError)])
            )
        return gather(fitted._vectors(rows), fitted.fingerprint)

    def _vectors(
        self, rows: Sequence[tuple[Recording, Frames]]
    ) -> Iterator[tuple[Recording, Frames]]:
        for recording, row in rows:
            if isinstance(row, SingeridError):
                yield recording, row
                continue
            corpus = _corpus(recording)
            own = self._fitted().get(corpus)
            try:
                if own is None:
                    raise SingeridError(
                        f"corpus {corpus!r} has no statistics",
                        expected="at least 2 of its recordings to fit the MFCC baseline to",
                    )
                yield recording, _standardized(row, own)[None]
            except SingeridError as error:
                where, expected = recording.path, error.expected
                yield recording, SingeridError(error.what, where=where, expected=expected)

    def _fitted(self) -> Mapping[str, Statistics]:
        if self.statistics is None:
            raise SingeridError(
                "the MFCC baseline is not fitted", do="fit it to recordings: MfccEncoder.fit"
            )
        return self.statistics


def mfcc(mel: FloatArray) -> npt.NDArray[np.float64]:
    """MFCCs c1 … c19 as librosa has them.

    Args:
        mel: power in mel bands `(n_frames, 128)` by `MFCC_FEATURES`.

    Returns:
        float64 `(n_frames, 19)`.
    """
    levels = 10 * np.log10(np.maximum(mel.astype(np.float64), _FLOOR))
    levels = np.maximum(levels, levels.max() - _RANGE_DB)
    coefficients: npt.NDArray[np.float64] = scipy.fft.dct(levels, axis=1, norm="ortho")
    return coefficients[:, 1:_N_COEFFICIENTS]


def summary(coefficients: npt.NDArray[np.float64]) -> FloatArray:
    """Mean and deviation over time: `(n_frames, 19)` → float32 `(38,)`."""
    columns = [coefficients.mean(axis=0), coefficients.std(axis=0)]
    return np.concatenate(columns).astype(np.float32)


def _rows(
    recordings: Sequence[Recording], n_processes: int, on_warning: Callable[[str], object]
) -> Iterator[tuple[Recording, Frames]]:
    """Summary `(38,)` of each recording, or its error."""
    for recording, mel in passed(analyze(recordings, MFCC_FEATURES, n_processes), on_warning):
        yield recording, mel if isinstance(mel, SingeridError) else summary(mfcc(mel))


def _corpus(recording: Recording) -> str:
    return recording.labels.get("corpus", "")


def _statistics(rows: Sequence[tuple[Recording, FloatArray]]) -> dict[str, Statistics]:
    """Of each corpus with at least two recordings; one alone deviates from nothing."""
    by_corpus = defaultdict(list)
    for recording, row in rows:
        by_corpus[_corpus(recording)].append(row.astype(np.float64))
    result = {}
    for corpus, own in by_corpus.items():
        if len(own) > 1:
            deviation = np.std(own, axis=0)
            constant = deviation < 1e-9 * (1 + np.abs(own[0]))
            result[corpus] = Statistics(np.mean(own, axis=0), np.where(constant, 1, deviation))
    return result


def _standardized(row: FloatArray, statistics: Statistics) -> FloatArray:
    unit: FloatArray = normalize(((row - statistics.mean) / statistics.deviation)[None])[0]
    return unit
