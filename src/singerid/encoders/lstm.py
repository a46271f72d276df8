"""The LSTM d-vector encoder of Wan et al. 2018, as AutoVC and the original use it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from singerid.encoders.encoder import Encoder
from singerid.encoders.normalization import Normalization, NormalizationKind
from singerid.encoders.pooling import PoolingKind, build_pooling


class LSTMEncoder(Encoder):
    """LSTM layers, the last frame's output, a linear layer, (ReLU,) unit length.

    Wan et al., Generalized end-to-end loss for speaker verification, 2018, section 3.
    CorentinJ's encoder has the ReLU, AutoVC's has not. Other poolings than the last frame's
    output are an option.
    """

    def __init__(
        self, n_dims: int, hidden_size: int = 768, n_layers: int = 3, dim: int = 256, *,
        relu: bool, normalization: NormalizationKind = "none", n_classes: int = 0,
        pooling: PoolingKind = "last",
    ) -> None:  # fmt: skip
        super().__init__(Normalization(normalization, n_dims - n_classes))
        self.lstm = nn.LSTM(n_dims, hidden_size, n_layers, batch_first=True)
        self.pooling = build_pooling(pooling, hidden_size)
        self.linear = nn.Linear(self.pooling.n_outputs, dim)
        self.relu = relu

    def vectors(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        """See `Encoder.vectors`."""
        outputs, _ = self.lstm(frames)
        vectors: Tensor = self.linear(self.pooling(outputs, mask))
        return torch.relu(vectors) if self.relu else vectors
