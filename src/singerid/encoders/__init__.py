"""Encoders: networks that map `(batch, n_frames, n_dims)` to unit vectors `(batch, dim)`."""

from __future__ import annotations

from singerid.encoders.lstm import LSTMEncoder
from singerid.sections import EncoderSettings


def build_encoder(settings: EncoderSettings, n_inputs: int, n_classes: int = 0) -> LSTMEncoder:
    """The encoder that the settings ask for, with fresh weights.

    Args:
        settings: the section `encoder`.
        n_inputs: values per frame of its input.
        n_classes: how many of them, the last ones, are a one-hot pitch.
    """
    return LSTMEncoder(
        n_inputs, settings.hidden_size, settings.n_layers, settings.dim, relu=settings.relu,
        normalization=settings.normalization, n_classes=n_classes,
    )  # fmt: skip
