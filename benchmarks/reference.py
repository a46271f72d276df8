"""The reference side of the benchmarks: the job done in the manner of the original.

Written by us from the behavior in design.md section 5 (the front end of AutoVC, the GE2E
training of Real-Time-Voice-Cloning, one file per recording), with no code taken over. It is
slow where the original is slow (a whole spectrogram in float64, a whole file loaded per
partial, a loop over singers, an EER on the CPU at every step, batches of one) and otherwise
uses the libraries as a careful user would, so that a ratio against it means something.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import torch
from librosa.filters import mel as mel_filters
from scipy import signal
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import roc_curve
from torch import nn

SAMPLE_RATE = 16_000
FFT_LENGTH = 1024
HOP_LENGTH = 256
N_MELS = 80
PARTIAL_FRAMES = 128


# Features


@cache
def _mel_basis() -> npt.NDArray[np.float32]:
    """Slaney mels, area normalized, `(n_bins, n_mels)` float32."""
    basis = mel_filters(sr=SAMPLE_RATE, n_fft=FFT_LENGTH, fmin=90.0, fmax=7600.0, n_mels=N_MELS)
    return np.asarray(basis.T, np.float32)


def _magnitudes(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Magnitude STFT `(n_frames, n_bins)` with centered, reflect-padded Hann frames."""
    padded = np.pad(x, FFT_LENGTH // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT_LENGTH)[::HOP_LENGTH]
    window = signal.get_window("hann", FFT_LENGTH, fftbins=True)
    return np.abs(np.fft.rfft(frames * window, axis=1))


def reference_mel(audio: npt.NDArray[np.floating], seed: int = 0) -> npt.NDArray[np.float32]:
    """AutoVC's log-mel of 16 kHz mono audio.

    Args:
        audio: `(n_samples,)`, at least 513 samples (the reflect padding needs them).
        seed: of the 1e-6 noise that keeps digital silence off the logarithm's floor.

    Returns:
        float32 `(n_frames, 80)` in [0, 1], hop 256 samples.
    """
    b, a = signal.butter(5, 30.0, btype="highpass", fs=SAMPLE_RATE)
    noise = np.random.RandomState(seed).rand(len(audio))
    x = signal.filtfilt(b, a, audio) * 0.96 + (noise - 0.5) * 1e-6
    mel = np.dot(_magnitudes(x), _mel_basis())
    decibels = 20.0 * np.log10(np.maximum(1e-5, mel)) - 16.0
    return np.asarray(np.clip((decibels + 100.0) / 100.0, 0.0, 1.0), np.float32)


def reference_features(path: str | Path) -> npt.NDArray[np.float32]:
    """Log-mel `(n_frames, 80)` in [0, 1] of one audio file, channels averaged.

    librosa.load asks libsndfile first, which goes by content: DAMP's ``.m4a`` (Ogg Vorbis)
    are decoded there and resampled by soxr.
    """
    audio, _ = librosa.load(path, sr=SAMPLE_RATE)
    return reference_mel(np.asarray(audio))


def _extract_one(path: Path, out_dir: Path) -> Path:
    out = out_dir / path.parent.name / f"{path.stem}.npy"
    out.parent.mkdir(parents=True, exist_ok=True)
    np.save(out, reference_features(path))
    return out


def reference_extract(paths: Sequence[Path], out_dir: Path, n_processes: int) -> list[Path]:
    """Extract ``out_dir/<singer>/<recording>.npy`` for each file with a pool over files.

    Args:
        paths: audio files, each in a folder named after its singer.
        out_dir: where to write.
        n_processes: size of the pool; 1 works in this process.

    Returns:
        The files written, in the order of `paths`.
    """
    work = partial(_extract_one, out_dir=out_dir)
    if n_processes == 1:
        return [work(path) for path in paths]
    with multiprocessing.Pool(n_processes) as pool:
        return pool.map(work, paths, chunksize=1)


# Batches


class _Cycler:
    """Gives items in random order, each as often as any other, for ever."""

    def __init__(self, n_items: int, rng: np.random.Generator) -> None:
        self._n_items, self._rng = n_items, rng
        self._queue: list[int] = []

    def take(self, count: int) -> list[int]:
        while len(self._queue) < count:
            self._queue.extend(self._rng.permutation(self._n_items).tolist())
        taken, self._queue = self._queue[:count], self._queue[count:]
        return taken


class ReferenceBatches:
    """Batches of singers × recordings; every partial loads its recording's whole file.

    With fewer singers than asked for, singers repeat within a batch, as in the original.

    Args:
        features_dir: ``<singer>/<recording>.npy`` as written by `reference_extract`.
        n_singers: singers a batch.
        n_recordings: recordings (one partial of each) a singer.
        seed: of the order and of the crops.
    """

    def __init__(
        self, features_dir: Path, n_singers: int = 8, n_recordings: int = 10, seed: int = 0
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._n_singers, self._n_recordings = n_singers, n_recordings
        self._files = _files_by_singer(features_dir)
        self._singers = _Cycler(len(self._files), self._rng)
        self._recordings = [_Cycler(len(files), self._rng) for files in self._files.values()]

    def next_batch(self) -> npt.NDArray[np.float32]:
        """The next batch, float32 `(n_singers · n_recordings, 128, 80)`, singer by singer."""
        files = list(self._files.values())
        partials = [
            self._partial(files[singer][recording])
            for singer in self._singers.take(self._n_singers)
            for recording in self._recordings[singer].take(self._n_recordings)
        ]
        return np.stack(partials)

    def _partial(self, path: Path) -> npt.NDArray[np.float32]:
        features: npt.NDArray[np.float32] = np.load(path)
        start = int(self._rng.integers(len(features) - PARTIAL_FRAMES + 1))
        return features[start : start + PARTIAL_FRAMES]


def _files_by_singer(features_dir: Path) -> dict[str, list[Path]]:
    folders = sorted(folder for folder in features_dir.iterdir() if folder.is_dir())
    return {folder.name: sorted(folder.glob("*.npy")) for folder in folders}


# Encoder, loss and training step


class ReferenceEncoder(nn.Module):
    """LSTM encoder of Wan et al. (2018): last hidden state → linear → ReLU → unit length.

    It also holds the scale and bias of the similarity, as the original does.
    """

    def __init__(self, hidden: int = 768, n_layers: int = 3, dim: int = 256) -> None:
        super().__init__()
        self.lstm = nn.LSTM(N_MELS, hidden, n_layers, batch_first=True)
        self.linear = nn.Linear(hidden, dim)
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.bias = nn.Parameter(torch.tensor(-5.0))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`(batch, n_frames, 80)` → `(batch, dim)` of unit length (zero if all units are dead)."""
        _, (hidden, _) = self.lstm(features)
        raw: torch.Tensor = torch.relu(self.linear(hidden[-1]))
        norm: torch.Tensor = torch.linalg.vector_norm(raw, dim=1, keepdim=True)
        return raw / (norm + 1e-5)


def reference_similarity_matrix(
    embeds: torch.Tensor, w: torch.Tensor | float, b: torch.Tensor | float
) -> torch.Tensor:
    """GE2E similarities (Wan et al., 2018, eqs. 5, 8, 9), one centroid after the other.

    Args:
        embeds: `(n_singers, n_partials, dim)`, at least 2 of each, unit length.
        w: scale of the cosine.
        b: bias of the cosine.

    Returns:
        `(n_singers · n_partials, n_singers)`: each partial against each centroid, its own
        singer's centroid without the partial itself.
    """
    n_singers, n_partials, _ = embeds.shape
    inclusive = nn.functional.normalize(embeds.mean(dim=1), dim=1)
    rest = (embeds.sum(dim=1, keepdim=True) - embeds) / (n_partials - 1)
    exclusive = nn.functional.normalize(rest, dim=2)
    others = 1 - np.eye(n_singers, dtype=int)
    similarity = embeds.new_zeros(n_singers, n_partials, n_singers)
    for j in range(n_singers):
        rows = np.where(others[j])[0]
        similarity[rows, :, j] = (embeds[rows] * inclusive[j]).sum(dim=2)
        similarity[j, :, j] = (embeds[j] * exclusive[j]).sum(dim=1)
    return (similarity * w + b).reshape(n_singers * n_partials, n_singers)


def _equal_error_rate(scores: npt.NDArray[np.floating], targets: npt.NDArray[np.int64]) -> float:
    miss_free, hits, _ = roc_curve(targets.ravel(), scores.ravel())
    return float(brentq(lambda x: 1.0 - x - interp1d(miss_free, hits)(x), 0.0, 1.0))


def reference_loss(similarity: torch.Tensor, n_singers: int) -> tuple[torch.Tensor, float]:
    """GE2E softmax loss (Wan et al., eq. 6) and, at every step, the batch's EER on the CPU.

    Args:
        similarity: `(n_singers · n_partials, n_singers)`, rows singer by singer.
        n_singers: singers in the batch.

    Returns:
        The mean cross entropy, and the equal error rate in [0, 1].
    """
    truth = np.repeat(np.arange(n_singers), len(similarity) // n_singers)
    loss = nn.functional.cross_entropy(similarity, torch.from_numpy(truth))
    targets = np.eye(n_singers, dtype=np.int64)[truth]
    return loss, _equal_error_rate(similarity.detach().cpu().numpy(), targets)


def reference_train_step(
    model: ReferenceEncoder,
    optimizer: torch.optim.Optimizer,
    batch: npt.NDArray[np.float32],
    n_singers: int = 8,
) -> tuple[float, float]:
    """One step in float32: forward, loss, EER, backward, gradient handling, optimizer.

    Args:
        model: what to train; updated in place.
        optimizer: over all of its parameters (the original: Adam, 1e-4).
        batch: `(n_singers · n_partials, n_frames, 80)`, singer by singer.
        n_singers: singers in the batch.

    Returns:
        Loss and equal error rate before the update.
    """
    embeds = model(torch.from_numpy(batch))
    grouped = embeds.view(n_singers, -1, embeds.shape[1])
    similarity = reference_similarity_matrix(grouped, model.scale, model.bias)
    loss, eer = reference_loss(similarity, n_singers)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    for parameter in (model.scale, model.bias):
        if parameter.grad is not None:
            parameter.grad *= 0.01
    nn.utils.clip_grad_norm_(model.parameters(), 3.0, norm_type=2.0)
    optimizer.step()
    return loss.item(), eer


# Table


@torch.no_grad()
def reference_table(
    model: ReferenceEncoder, features_dir: Path
) -> dict[str, npt.NDArray[np.float32]]:
    """Mean embedding of each singer, `(dim,)`, not normalized.

    The recordings are cut into consecutive partials of 128 frames (a remainder is left out)
    and go through the model one partial at a time, in a batch of one.
    """
    model.eval()
    table: dict[str, npt.NDArray[np.float32]] = {}
    for singer, files in _files_by_singer(features_dir).items():
        embeds = []
        for path in files:
            features = np.load(path)
            for start in range(0, len(features) - PARTIAL_FRAMES + 1, PARTIAL_FRAMES):
                crop = torch.from_numpy(features[start : start + PARTIAL_FRAMES])
                embeds.append(model(crop[None])[0].numpy())
        table[singer] = np.mean(embeds, axis=0)
    return table
