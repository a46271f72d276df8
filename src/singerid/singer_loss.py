"""A loss for voice conversion and synthesis: how far a waveform lies from a singer.

The waveform goes through the encoder's own front end and network, in the partials that
`singerid.embedder` would take, and gradients flow back to every sample. The encoder itself never
learns.
"""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from singerid.checkpoint import load_encoder
from singerid.errors import ConfigError, MismatchError
from singerid.frames import n_frames, tile_starts
from singerid.waveform_mel import WaveformMel

_EPS = 1e-5  # of lengths, as at the end of an encoder


class SingerLoss(nn.Module):
    """1 - cosine between the embedding of a waveform and that of a singer, in [0, 2].

    The encoder is frozen and no part of the module's parameters or state: optimizers,
    checkpoints, ``train()``, ``requires_grad_()`` and ``to(bfloat16)`` of a model that this is a
    part of pass it by. It computes in float32, whatever the autocast, on the waveform's device,
    to which it moves by itself.

    Partials without a voice count like all others; `singerid.embedder` leaves them out unless
    ``embed.min_voice`` is 0.

    Args:
        encoder: run folder, encoder file, or ``default``.
        reference: vector of the singer, `(dim,)`, for all waveforms, or of each, `(batch, dim)`,
            by the same encoder; None if every call brings its own.
        partials: ``mean`` compares the recording's embedding, the mean direction of its
            partials; ``each`` compares every partial and averages, so that no stretch of a long
            waveform is let off for the sake of the others.
        overlap: share of a partial that the next one repeats, in [0, 0.95].
        reduction: over the batch.

    Attributes:
        fingerprint: of the encoder; references of another one mean nothing here
            (`singerid.embeddings.check_same_encoder`).
        sample_rate: the encoder's, in Hz.
        dim: length of a vector.

    Raises:
        CheckpointError: no such encoder file, or a front end without a gradient.
        ConfigError: a setting is out of range.
    """

    def __init__(
        self,
        encoder: str | os.PathLike[str] = "default",
        reference: Any = None,
        *,
        partials: Literal["mean", "each"] = "mean",
        overlap: float = 0.0,
        reduction: Literal["mean", "sum", "none"] = "mean",
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("partials", partials, ("mean", "each")),
            ("reduction", reduction, ("mean", "sum", "none")),
        ):
            if value not in known:
                raise ConfigError(f"{name} unknown", found=value, expected=" or ".join(known))
        if not 0 <= overlap <= 0.95:
            raise ConfigError("overlap out of range", found=overlap, expected="0 to 0.95")
        file = load_encoder(encoder)
        self.fingerprint, self.sample_rate = file.fingerprint, file.spec.audio.sample_rate
        self.partials, self.overlap, self.reduction = partials, overlap, reduction
        self._spec, self._partial_frames = file.spec, file.partial_frames
        network = nn.Sequential(WaveformMel(file.spec), file.encoder).eval().requires_grad_(False)
        for part in network.modules():
            if isinstance(part, nn.LSTM):  # cuDNN has no gradient of one in evaluation mode,
                part.train()  # and without dropout, as ours are, both modes are the same
        # In a list, and thereby out of reach of everything that a module does to its parts.
        self._network = [network]
        with torch.inference_mode():
            silence = torch.zeros(1, file.spec.mel.n_fft + self.sample_rate)
            self.dim = int(network(silence).shape[1])
        self._reference = [None if reference is None else self._checked(reference)]

    def forward(self, waveforms: Tensor, sample_rate: int, reference: Any = None) -> Tensor:
        """How far waveforms lie from their singers.

        Args:
            waveforms: `(batch, n_samples)` or `(n_samples,)` in [-1, 1]; any floating type, which
                the gradient has, too.
            sample_rate: Hz; other rates than the encoder's are resampled.
            reference: see the class; instead of the one given there.

        Returns:
            float32, a scalar; `(batch,)` if nothing is to be reduced.

        Raises:
            AudioError: too short.
            ConfigError: no reference.
            MismatchError: shapes do not fit.
        """
        target = self._reference[0] if reference is None else self._checked(reference)
        if target is None:
            raise ConfigError("no reference", do="give the singer's vector")
        vectors = self.partial_vectors(waveforms, sample_rate)
        if target.ndim == 2 and len(target) != len(vectors):
            raise MismatchError(
                "references do not fit the waveforms", found=f"{len(target)} vectors",
                expected=f"1 or {len(vectors)}",
            )  # fmt: skip
        target = target.to(vectors.device).expand(len(vectors), -1)
        if self.partials == "mean":
            losses = 1 - (_mean_direction(vectors) * target).sum(1)
        else:
            losses = 1 - (vectors * target[:, None]).sum(2).mean(1)
        if self.reduction == "none":
            return losses
        return losses.mean() if self.reduction == "mean" else losses.sum()

    def vectors(self, waveforms: Tensor, sample_rate: int) -> Tensor:
        """Embeddings float32 `(batch, dim)`, unit length; arguments as of `forward`."""
        return _mean_direction(self.partial_vectors(waveforms, sample_rate))

    def partial_vectors(self, waveforms: Tensor, sample_rate: int) -> Tensor:
        """Of each partial, float32 `(batch, n_partials, dim)`; arguments as of `forward`.

        Waveforms that are shorter than a partial are encoded at their own length.
        """
        batch = waveforms[None] if waveforms.ndim == 1 else waveforms
        if batch.ndim != 2 or not batch.is_floating_point() or not batch.numel():
            raise MismatchError(
                "waveforms are not mono audio", found=f"{waveforms.dtype} {tuple(waveforms.shape)}",
                expected="floats (batch, n_samples)", do="average the channels",
            )  # fmt: skip
        network = self._network[0].to(batch.device)
        front_end = network[0]
        assert isinstance(front_end, WaveformMel)
        with torch.autocast(batch.device.type, enabled=False):
            samples = front_end.samples(batch.float(), sample_rate)
            stretches = self._stretches(front_end.continued(samples), samples.shape[1])
            vectors: Tensor = network(stretches.flatten(0, 1))
        return vectors.reshape(*stretches.shape[:2], -1)

    def _stretches(self, continued: Tensor, n_samples: int) -> Tensor:
        """Samples below each partial, `(batch, n_partials, n)`; as `PartialEmbedder.places`."""
        mel, total = self._spec.mel, n_frames(n_samples, self._spec.mel.hop_length)
        length = min(total, self._partial_frames)
        starts = tile_starts(total, length, max(1, round(length * (1 - self.overlap))))
        size = (length - 1) * mel.hop_length + mel.n_fft
        return torch.stack(
            [continued[:, at : at + size] for at in (starts * mel.hop_length).tolist()], 1
        )

    def _checked(self, reference: Any) -> Tensor:
        """Reference vectors as float32 of unit length."""
        target = reference if isinstance(reference, Tensor) else torch.tensor(np.array(reference))
        if target.ndim not in (1, 2) or target.shape[-1] != self.dim:
            raise MismatchError(
                "reference does not fit the encoder", found=f"shape {tuple(target.shape)}",
                expected=f"({self.dim},) or (batch, {self.dim})",
                do=f"embed it with the encoder {self.fingerprint}",
            )  # fmt: skip
        target = target.float()
        if not bool((target.isfinite().all() & (target.norm(dim=-1) > _EPS).all()).item()):
            raise MismatchError("a reference has no direction", expected="finite, not zero")
        return F.normalize(target, dim=-1)


def _mean_direction(vectors: Tensor) -> Tensor:
    """Normalized mean `(batch, dim)` of partials' vectors; see `singerid.embeddings`."""
    return F.normalize(vectors.mean(1), dim=1, eps=_EPS)
