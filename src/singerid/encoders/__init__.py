"""Encoders: networks that map `(batch, n_frames, n_dims)` to unit vectors `(batch, dim)`."""

from __future__ import annotations

from typing import Any

from singerid.encoders.campplus import CAMPPlusEncoder
from singerid.encoders.ecapa import ECAPAEncoder
from singerid.encoders.encoder import Encoder
from singerid.encoders.lstm import LSTMEncoder
from singerid.encoders.redimnet import ReDimNetEncoder
from singerid.encoders.resnet import ResNetEncoder
from singerid.encoders.whitened import WhitenedEncoder
from singerid.training_sections import EncoderSettings

__all__ = ["Encoder", "build_encoder"]


def build_encoder(settings: EncoderSettings, n_inputs: int, n_classes: int = 0) -> Encoder:
    """The encoder that the settings ask for, with fresh weights.

    Args:
        settings: the section `encoder`.
        n_inputs: values per frame of its input.
        n_classes: how many of them, the last ones, are a one-hot pitch.
    """
    if not settings.cepstra:
        return _network(settings, n_inputs, n_classes)
    networks = [_network(settings, n_inputs, n_classes) for _ in range(settings.networks)]
    return WhitenedEncoder(
        networks, n_inputs - n_classes, settings.dim, n_cepstra=settings.cepstra,
        gate_db=settings.gate_db,
    )  # fmt: skip


def _network(s: EncoderSettings, n_inputs: int, n_classes: int) -> Encoder:
    # What is not set is left to each architecture, whose own defaults are its paper's.
    options: dict[str, Any] = {"normalization": s.normalization, "n_classes": n_classes}
    if s.pooling != "auto":
        options["pooling"] = s.pooling
    if s.kind == "lstm":
        return LSTMEncoder(n_inputs, s.hidden_size, s.n_layers, s.dim, relu=s.relu, **options)
    if s.channels or s.kind == "resnet":
        options["channels"] = s.channels or 16
    if s.kind == "resnet":
        return ResNetEncoder(n_inputs, s.dim, depth=s.depth, stem_stride=s.stem_stride, **options)
    kinds: dict[str, type[ECAPAEncoder | CAMPPlusEncoder | ReDimNetEncoder]] = {
        "ecapa": ECAPAEncoder,
        "campplus": CAMPPlusEncoder,
        "redimnet": ReDimNetEncoder,
    }
    return kinds[s.kind](n_inputs, s.dim, **options)
