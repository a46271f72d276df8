"""Encoders from elsewhere, under the one interface of `singerid.embedder.Embedder`.

| name or file | encoder |
|---|---|
| ``default`` | the pretrained one that comes with the package |
| run folder, ``encoder.safetensors`` | one of ours (`singerid.embed`) |
| ``model.onnx`` of ``singerid export`` | one of ours, without torch (`singerid.runtime`) |
| ``mfcc`` | learning-free baseline (`mfcc`) |
| ``resemblyzer`` | Resemblyzer through its own package (`resemblyzer_package`) |
| ``model.onnx`` + ``model.yaml`` | any ONNX model with a declared front end (`onnx_file`) |
| ``model.pt`` + ``model.yaml`` | any TorchScript module, likewise (`torchscript`) |
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from singerid.embedder import Embedder
from singerid.encoder_graph import has_header, read_model
from singerid.errors import CheckpointError, ConfigError
from singerid.pretrained import path_of
from singerid.records import Recording
from singerid.sections import EmbedSettings
from singerid.terminal import need_torch

NAMES = ("default", "mfcc", "resemblyzer")
"""Encoders that are no file; a run folder of such a name is given as ``./mfcc``."""


def load_embedder(
    name: str | os.PathLike[str] | None = None,
    settings: EmbedSettings | None = None,
    recordings: Sequence[Recording] | None = None,
) -> Embedder:
    """The encoder of a name, run folder or file.

    Args:
        name: see the module's table; None is ``default``.
        settings: how a recording becomes one vector; ``mfcc`` and ``resemblyzer`` have their
            own way.
        recordings: what the ``mfcc`` baseline is fitted to. Without them it fits itself to the
            recordings that it embeds, and cannot embed samples.

    Raises:
        CheckpointError: there is no such encoder, or its file cannot be used.
        ConfigError: the declared front end cannot be used.
        MissingExtraError: what runs it is not installed.
    """
    text = os.fspath(name or "default")
    if text in ("mfcc", "resemblyzer") and settings is not None and settings.max_seconds:
        raise ConfigError("has no embed.max_seconds", where=text, found=settings.max_seconds)
    if text == "mfcc":
        from singerid.external.mfcc import MfccEncoder

        return MfccEncoder() if recordings is None else MfccEncoder.fit(recordings)
    if text == "resemblyzer":
        from singerid.external.resemblyzer_package import ResemblyzerEncoder

        return ResemblyzerEncoder()
    path = path_of(text, ".onnx")
    if not path.exists():
        close = difflib.get_close_matches(text, NAMES, n=1)
        raise CheckpointError(
            "does not exist", where=text,
            expected="a run folder, an encoder file, model.onnx, model.pt, mfcc or resemblyzer",
            do=f"did you mean {close[0]}?" if close else None,
        )  # fmt: skip
    if path.suffix == ".onnx":
        return _load_onnx(path, settings)
    need_torch()
    if path.suffix in (".pt", ".ts", ".jit"):
        from singerid.external.torchscript import TorchScriptEncoder

        return TorchScriptEncoder(path, settings)
    from singerid.embed import TorchSingerEncoder

    return TorchSingerEncoder.load(path, settings)


def _load_onnx(path: Path, settings: EmbedSettings | None) -> Embedder:
    """An exported encoder of ours, or a model with a declaration beside it."""
    model = read_model(path)
    if has_header(model):
        from singerid.runtime import OnnxSingerEncoder

        return OnnxSingerEncoder(model, path, settings)
    from singerid.external.onnx_file import OnnxEncoder

    return OnnxEncoder(path, settings)
