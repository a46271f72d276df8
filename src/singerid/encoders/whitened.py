"""An encoder joined with cepstral statistics, whitened within singers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from singerid.encoders.cepstra import CepstralStatistics
from singerid.encoders.encoder import Encoder
from singerid.encoders.normalization import Normalization


class WhitenedEncoder(Encoder):
    """What a trained network says and what the cepstra say, in coordinates that differ evenly.

    Both are joined, and a linear layer turns them so that the variation within singers is the
    same in every direction (within-class covariance normalization; Hatch et al., Interspeech
    2006): a cosine then weighs what is steady within a singer, and not what varies. The layer is
    not trained but computed (`singerid.whitening`).

    Args:
        inner: the trained network.
        n_dims: log-mels of a frame; what follows them in the input (a one-hot pitch) is for the
            inner network alone.
        dim: length of the inner network's vectors.
        n_cepstra: coefficients of the statistics.
        gate_db: frames that lie more than this below the loudest do not count in the statistics.
    """

    def __init__(
        self, inner: Encoder, n_dims: int, dim: int, *, n_cepstra: int, gate_db: float
    ) -> None:
        super().__init__(Normalization("none", n_dims))
        self.inner, self._n_dims = inner, n_dims
        self.statistics = CepstralStatistics(n_dims, n_cepstra, gate_db)
        size = dim + self.statistics.n_outputs
        self.whitening = nn.Linear(size, size)

    def joined(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """The inner network's unit vectors and the statistics, `(batch, n)`, before whitening.

        Args:
            frames: `(batch, n_frames, n_inputs)`, zero in the padding.
            mask: bool `(batch, n_frames)`, False in the padding; None if there is none.
        """
        inner = self.inner.unit_vectors(frames, mask)
        with torch.autocast(frames.device.type, enabled=False):
            statistics = self.statistics(frames[..., : self._n_dims], mask)
        return torch.cat([inner, statistics], 1)

    def vectors(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        """See `Encoder.vectors`."""
        joined = self.joined(frames, mask)
        with torch.autocast(frames.device.type, enabled=False):
            vectors: Tensor = self.whitening(joined)
        return vectors
