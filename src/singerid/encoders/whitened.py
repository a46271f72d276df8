"""Encoders joined with one another and with cepstral statistics, whitened within singers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from singerid.encoders.cepstra import CepstralStatistics
from singerid.encoders.encoder import Encoder
from singerid.encoders.normalization import Normalization


class WhitenedEncoder(Encoder):
    """What trained networks say and what the cepstra say, in coordinates that differ evenly.

    All are joined, and a linear layer turns them so that the variation within singers is the
    same in every direction (within-class covariance normalization; Hatch et al., Interspeech
    2006): a cosine then weighs what is steady within a singer, and not what varies. The layer is
    not trained but computed (`singerid.whitening`).

    Args:
        networks: the trained ones.
        n_dims: log-mels of a frame; what follows them in the input (a one-hot pitch) is for the
            networks alone.
        dim: length of the vectors of each network.
        n_cepstra: coefficients of the statistics.
        gate_db: frames that lie more than this below the loudest do not count in the statistics.
    """

    def __init__(
        self, networks: Sequence[Encoder], n_dims: int, dim: int, *, n_cepstra: int,
        gate_db: float,
    ) -> None:  # fmt: skip
        super().__init__(Normalization("none", n_dims))
        self.networks, self._n_dims = nn.ModuleList(networks), n_dims
        self.statistics = CepstralStatistics(n_dims, n_cepstra, gate_db)
        size = len(networks) * dim + self.statistics.n_outputs
        self.whitening = nn.Linear(size, size)

    def joined(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """The networks' unit vectors and the statistics, `(batch, n)`, before whitening.

        Args:
            frames: `(batch, n_frames, n_inputs)`, zero in the padding.
            mask: bool `(batch, n_frames)`, False in the padding; None if there is none.
        """
        parts: list[Tensor] = [
            cast(Encoder, network).unit_vectors(frames, mask) for network in self.networks
        ]
        with torch.autocast(frames.device.type, enabled=False):
            parts.append(self.statistics(frames[..., : self._n_dims], mask))
        return torch.cat([part.float() for part in parts], 1)

    def vectors(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        """See `Encoder.vectors`."""
        joined = self.joined(frames, mask)
        with torch.autocast(frames.device.type, enabled=False):
            vectors: Tensor = self.whitening(joined)
        return vectors
