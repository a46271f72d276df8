"""The LSTM d-vector encoder of Wan et al. 2018, as AutoVC and the original use it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from singerid.encoders.normalization import Normalization, NormalizationKind


class LSTMEncoder(nn.Module):
    """LSTM layers, the last frame's output, a linear layer, (ReLU,) unit length.

    Wan et al., Generalized end-to-end loss for speaker verification, 2018, section 3.
    CorentinJ's encoder has the ReLU, AutoVC's has not.
    """

    def __init__(
        self, n_dims: int, hidden_size: int = 768, n_layers: int = 3, dim: int = 256, *,
        relu: bool, normalization: NormalizationKind = "none", n_classes: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalization = Normalization(normalization, n_dims - n_classes)
        self.lstm = nn.LSTM(n_dims, hidden_size, n_layers, batch_first=True)
        self.linear = nn.Linear(hidden_size, dim)
        self.relu = relu

    def forward(self, features: Tensor) -> Tensor:
        """`(batch, n_frames, n_dims)` → `(batch, dim)` of unit length.

        A row that the ReLU left all zero stays zero: it has no direction.
        """
        _, (hidden, _) = self.lstm(self.normalization(features))
        vectors = self.linear(hidden[-1])
        if self.relu:
            vectors = torch.relu(vectors)
        # float32 whatever the autocast: bf16 would leave lengths 0.4 % off 1.
        return F.normalize(vectors.float(), dim=1, eps=1e-5)
