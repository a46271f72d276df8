"""What all encoders share: the input's normalization, padding, and unit length at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional as F

from singerid.encoders.masking import frame_mask, zeroed
from singerid.encoders.normalization import Normalization


class Encoder(nn.Module, ABC):
    """A network that maps frames to a unit vector.

    In evaluation mode a row's vector depends neither on the other rows of its batch nor on the
    padding behind its length. (In training mode batch normalization ties rows together, and its
    statistics include the padding: train on partials of one length.)

    Attributes:
        normalization: of the input.
    """

    def __init__(self, normalization: Normalization) -> None:
        super().__init__()
        self.normalization = normalization

    @abstractmethod
    def vectors(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        """Vectors of any length.

        Args:
            frames: `(batch, n_frames, n_inputs)`, normalized, zero in the padding.
            mask: bool `(batch, n_frames)`, False in the padding; None if there is none.

        Returns:
            `(batch, dim)`.
        """

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Embed a batch of partials.

        A row that is all zero (left so by a ReLU) stays zero: it has no direction.

        Args:
            features: `(batch, n_frames, n_inputs)`.
            lengths: `(batch,)`, frames of each row before its padding, in [1, n_frames]; None if
                nothing is padded. What the padding holds does not matter.

        Returns:
            float32 `(batch, dim)` of unit length.
        """
        mask = None if lengths is None else frame_mask(lengths, features.shape[1])
        return self.unit_vectors(zeroed(features, mask), mask)

    def unit_vectors(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """`forward` of features that are zero in their padding, of which a mask tells.

        Args:
            features: `(batch, n_frames, n_inputs)`.
            mask: bool `(batch, n_frames)`, False in the padding; None if there is none.
        """
        frames = self.normalization(features, mask)
        # float32 whatever the autocast: bf16 would leave lengths 0.4 % off 1.
        vectors = self.vectors(zeroed(frames, mask), mask).float()
        return F.normalize(vectors, dim=1, eps=1e-5)
