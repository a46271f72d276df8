"""Encoders: networks that map `(batch, n_frames, n_dims)` to unit vectors `(batch, dim)`."""

from __future__ import annotations

from singerid.config import EncoderSettings
from singerid.encoders.lstm import LSTMEncoder


def build_encoder(settings: EncoderSettings, n_dims: int) -> LSTMEncoder:
    """The encoder that the settings ask for, with fresh weights.

    Args:
        settings: the section `encoder`.
        n_dims: values per frame of its input.
    """
    return LSTMEncoder(
        n_dims, settings.hidden_size, settings.n_layers, settings.dim, relu=settings.relu,
        normalization=settings.normalization,
    )  # fmt: skip
