"""Whitening: the last step after a training, computed and not trained.

A trained network tells its few hundred training singers apart almost perfectly, and what helps
with them does not all help with others. What can be learned safely from them is how the vectors of
*one* singer vary, with song, pitch, vowel and effort: `whiten` measures that and turns the vectors
so that they vary alike in every direction (`singerid.encoders.whitened`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from singerid.batches import BatchSource
from singerid.checkpoint import EncoderFile
from singerid.encoders import build_encoder
from singerid.encoders.whitened import WhitenedEncoder
from singerid.errors import CheckpointError, SingeridError
from singerid.training_sections import EncoderSettings, WhitenSettings

FloatArray = npt.NDArray[np.float64]
_ROWS_AT_ONCE = 16  # partials that are encoded together: what a cache holds
_NOTHING = 1e-9  # of a deviation; rounding
_LEAST_PER_DIMENSION = 3  # partials, for a covariance worth its name


def whiten(
    files: Sequence[EncoderFile],
    source: BatchSource,
    settings: WhitenSettings,
    on_batch: Callable[[float], object] = lambda n: None,
) -> tuple[EncoderSettings, Mapping[str, Tensor]]:
    """Join trained encoders with cepstral statistics and whiten all within singers.

    Args:
        files: the trained encoders, of one architecture and front end.
        source: batches of training singers; their partials should be as long as what will be
            embedded.
        settings: how many batches, and how.
        on_batch: called with 1 after each batch.

    Returns:
        The settings and weights of the whitened encoder, for `singerid.checkpoint.save_encoder`.

    Raises:
        CheckpointError: an encoder is whitened already, sees other features than mel in dB, or
            is of another architecture or front end than the first.
        SingeridError: the batches hold too few partials.
    """
    file = files[0]
    for other in files:
        _check(other, file)
    wanted = {"cepstra": settings.cepstra, "gate_db": settings.gate_db, "networks": len(files)}
    new = file.settings.model_copy(update=wanted)
    encoder = build_encoder(new, file.spec.n_inputs, file.spec.n_pitch_classes)
    assert isinstance(encoder, WhitenedEncoder)
    for network, trained in zip(encoder.networks, files, strict=True):
        network.load_state_dict(trained.encoder.state_dict())
    joined, singers = _joined(encoder.eval(), source, settings.batches, on_batch)
    weights, offset = within_singer_whitening(joined, singers, settings.shrinkage)
    encoder.whitening.weight.data = torch.from_numpy(weights).float()
    encoder.whitening.bias.data = torch.from_numpy(offset).float()
    return new, encoder.state_dict()


def _check(file: EncoderFile, first: EncoderFile) -> None:
    if file.settings.cepstra:
        raise CheckpointError("is whitened already", do="give the encoder of the run")
    if file.spec.input_streams != ["mel"] or file.spec.mel.scale != "decibel":
        found = f"{' and '.join(file.spec.input_streams)}, {file.spec.mel.scale}"
        raise CheckpointError(
            "only encoders of mel features in dB have cepstra to join", found=found,
            expected="mel, decibel", do="use singerid calibrate --calibrate.transform wccn",
        )  # fmt: skip
    if (file.settings, file.spec) != (first.settings, first.spec):
        raise CheckpointError(
            "encoders of several architectures or front ends cannot be joined",
            found=f"{file.settings.kind}, {first.settings.kind}" if file.spec == first.spec
            else f"front ends {file.spec.fingerprint()}, {first.spec.fingerprint()}",
            do="give runs of equal encoder and feature settings",
        )  # fmt: skip


def _joined(
    encoder: WhitenedEncoder, source: BatchSource, n_batches: int, on_batch: Callable[[float], Any]
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """What is whitened, `(n, n_dims)`, and whose it is, of some batches."""
    vectors, singers = [], []
    for t in range(n_batches):
        batch = source.batch(t)
        rows = torch.from_numpy(batch.features).flatten(0, 1)
        with torch.inference_mode():
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                vectors.append(encoder.joined(rows[start : start + _ROWS_AT_ONCE]).double())
        singers.append(np.repeat(batch.singers, batch.features.shape[1]))
        on_batch(1.0)
    return torch.cat(vectors).numpy(), np.concatenate(singers)


def within_singer_whitening(
    vectors: FloatArray, singers: npt.NDArray[np.int64], shrinkage: float
) -> tuple[FloatArray, FloatArray]:
    """A map after which vectors vary alike in all directions within singers.

    y = A x + b with A W Aᵀ = I, where W is the mean covariance within singers, of dimensions
    scaled to equal variance, and shrunk to a multiple of the identity; the mean of all vectors
    goes to 0.

    Args:
        vectors: `(n, n_dims)`.
        singers: `(n,)`, whose they are.
        shrinkage: share of the mean variance that is added to every direction.

    Returns:
        A `(n_dims, n_dims)` and b `(n_dims,)`.

    Raises:
        SingeridError: too few vectors beside their singers' means; or without shrinkage, a
            direction in which nothing varies within singers.
    """
    _, rows = np.unique(singers, return_inverse=True)
    counts = np.bincount(rows)
    free, n_dims = len(vectors) - len(counts), vectors.shape[1]
    if free < _LEAST_PER_DIMENSION * n_dims:
        raise SingeridError(
            "too few partials to whiten", found=f"{len(vectors)} of {len(counts)} singers",
            expected=f"at least {_LEAST_PER_DIMENSION * n_dims + len(counts)}",
            do="raise whiten.batches or batch.n_partials",
        )  # fmt: skip
    mean, deviation = vectors.mean(0), vectors.std(0)
    deviation[deviation < _NOTHING] = 1.0  # what a ReLU left at 0 may come alive in other voices
    scaled = (vectors - mean) / deviation
    centers = np.zeros((len(counts), n_dims))
    np.add.at(centers, rows, scaled)
    within = scaled - (centers / counts[:, None])[rows]
    covariance = within.T @ within / free
    covariance += shrinkage * np.trace(covariance) / n_dims * np.eye(n_dims)
    try:
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise SingeridError(
            "some directions do not vary within singers", do="raise whiten.shrinkage"
        ) from None
    weights = np.linalg.inv(root) / deviation
    return weights, -weights @ mean
