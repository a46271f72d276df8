"""Encoders on disk: one file with weights, configuration, feature spec and provenance.

An encoder file is a safetensors file, which cannot hold code. Its header says, under the key
``singerid``, everything that is needed to embed audio with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from singerid.encoders import build_encoder
from singerid.encoders.whitened import WhitenedEncoder
from singerid.errors import CheckpointError
from singerid.formats import FORMATS, check_format
from singerid.json_lines import parse
from singerid.pretrained import path_of
from singerid.records import atomic_write
from singerid.spec import FeatureSpec
from singerid.training_sections import WHITENED, EncoderSettings

_KEY = "singerid"
_MOST_FRAMES = 1_000_000  # of a partial
UNWHITENED = {name: EncoderSettings().model_dump()[name] for name in WHITENED}
"""Settings of a network that nothing was joined to."""


@dataclass(frozen=True)
class EncoderFile:
    """A trained encoder and all that belongs to it.

    Attributes:
        encoder: the network, in evaluation mode.
        settings: its architecture.
        spec: the front end that it was trained on.
        partial_frames: length of the partials that it was trained on.
        fingerprint: hash of weights, architecture and front end; vectors of different
            fingerprints cannot be compared.
        provenance: where it comes from (run, step, data, versions).
    """

    encoder: nn.Module
    settings: EncoderSettings
    spec: FeatureSpec
    partial_frames: int
    fingerprint: str
    provenance: Mapping[str, Any] = field(default_factory=dict)


def save_encoder(
    path: str | os.PathLike[str],
    weights: Mapping[str, Tensor],
    settings: EncoderSettings,
    spec: FeatureSpec,
    partial_frames: int,
    provenance: Mapping[str, Any],
) -> str:
    """Write an encoder file, atomically.

    Returns:
        The encoder's fingerprint.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    identity = {
        "format": FORMATS["encoder"],
        "encoder": settings.model_dump(),
        "features": spec.model_dump(),
        "partial_frames": partial_frames,
    }
    fingerprint = _fingerprint(tensors, identity)
    header = identity | {"fingerprint": fingerprint, "provenance": dict(provenance)}
    with atomic_write(path, "wb") as file:
        file.write(save(tensors, {_KEY: json.dumps(header)}))
    return fingerprint


def load_encoder(path: str | os.PathLike[str]) -> EncoderFile:
    """Read an encoder file, the one in a run folder, or ``default``: the one of the package.

    Raises:
        CheckpointError: missing, damaged, or its weights do not fit its architecture.
    """
    path = encoder_path(path_of(path, ".safetensors"))
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError("is not an encoder file", where=path, found=error) from error
    if _KEY not in metadata:
        raise CheckpointError(
            "is not an encoder of singerid", where=path, found="weights without its header"
        )
    try:
        header = parse(metadata[_KEY])
        check_format(header["format"], "encoder", path, CheckpointError)
        settings = EncoderSettings.model_validate({"kind": "lstm", **header["encoder"]})
        spec = FeatureSpec.model_validate(header["features"])
        partial_frames, fingerprint = int(header["partial_frames"]), str(header["fingerprint"])
        identity = {name: header[name] for name in ("format", "encoder", "features")}
        identity["partial_frames"] = header["partial_frames"]
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise CheckpointError(
            "has a header that this version cannot read", where=path,
            found=" ".join(str(error).split())[:100], do="update singerid, or train again",
        ) from error  # fmt: skip
    if _fingerprint(tensors, identity) != fingerprint:
        raise CheckpointError(
            "does not match its fingerprint", where=path, found="changed weights or header",
            do="restore the file",
        )  # fmt: skip
    if not 1 <= partial_frames <= _MOST_FRAMES:
        raise CheckpointError(
            "has partials of no possible length", where=path, found=partial_frames
        )
    encoder = build_encoder(settings, spec.n_inputs, spec.n_pitch_classes)
    load_strictly(encoder, tensors, path)
    if bad := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise CheckpointError("holds weights that are not finite", where=path, found=bad[0])
    return EncoderFile(
        encoder.eval(), settings, spec, partial_frames, fingerprint, header.get("provenance", {})
    )


def trained_parts(file: EncoderFile) -> list[EncoderFile]:
    """What `singerid.whitening` was given, where it made the encoder; any other as it is."""
    if not isinstance(file.encoder, WhitenedEncoder):
        return [file]
    settings = file.settings.model_copy(update=UNWHITENED)
    frames = int(file.provenance.get("trained_frames", file.partial_frames))
    networks = list(file.encoder.networks)
    made = file.provenance.get("whitened", [{}] * len(networks))
    return [
        replace(
            file, encoder=network, settings=settings, partial_frames=frames,
            fingerprint=str(of.get("fingerprint", "")), provenance=of.get("provenance", {}),
        )
        for network, of in zip(networks, made, strict=True)
    ]  # fmt: skip


def encoder_path(path: str | os.PathLike[str]) -> Path:
    """The encoder file of a run folder, or the file itself.

    Raises:
        CheckpointError: there is none.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "encoder.safetensors"
        if not path.exists():
            raise CheckpointError(
                "run has no encoder yet", where=path.parent, found="no encoder.safetensors",
                do="train it at least one cycle: singerid train",
            )  # fmt: skip
    elif not path.exists():
        raise CheckpointError(
            "does not exist", where=path, expected="a run folder or an encoder file"
        )
    return path


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], where: object) -> None:
    """Copy weights into a module, every one and no other.

    Raises:
        CheckpointError: names each weight that is missing, unexpected or of another shape.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [f"{name} is unexpected" for name in found if name not in wanted]
    problems += [
        f"{name} is {found[name]}, not {shape}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    if problems:
        raise CheckpointError("weights do not fit", where=where, found=", ".join(problems))
    module.load_state_dict(dict(tensors), strict=True)


def load_weights_only(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a PyTorch file that holds nothing but tensors and plain values.

    Raises:
        CheckpointError: missing, damaged, or with objects that would run code when loaded.
    """
    try:
        if zipfile.is_zipfile(path):  # torch takes altered tensors as they are
            with zipfile.ZipFile(path) as archive:
                if altered := archive.testzip():
                    raise ValueError(f"{altered} does not match its checksum")
        values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds on damaged files
        raise CheckpointError(
            "cannot be loaded as plain weights",
            where=path,
            found=" ".join(str(error).split())[:160],
        ) from error
    if not isinstance(values, dict):
        raise CheckpointError("holds no named weights", where=path, found=type(values).__name__)
    if odd := next(filter(None, map(_oddity, _tensors_in(values))), None):
        raise CheckpointError(
            "cannot be loaded as plain weights", where=path, found=f"a tensor that is {odd}"
        )
    return cast(dict[str, Any], values)


def _tensors_in(values: object) -> Iterator[Tensor]:
    """All tensors, however deep."""
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple | set):
            waiting += value


def _oddity(tensor: Tensor) -> str | None:
    """What hinders a tensor from being copied into a network; None if nothing does."""
    if tensor.is_meta:
        return "without values"
    if tensor.layout != torch.strided:
        return "sparse"
    if tensor.is_quantized or tensor.is_complex():
        return f"of {tensor.dtype}"
    return None


def _fingerprint(tensors: Mapping[str, Tensor], identity: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]
