"""Encoder weights that other programs saved, under the names and with the front end of ours.

Every weight of a file is used, is known to belong to its training only, or is named in an error.
Files are read as plain tensors; nothing in them is ever run.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from torch import Tensor

from singerid.checkpoint import (
    load_encoder,
    load_strictly,
    load_weights_only,
    save_encoder,
    trained_parts,
)
from singerid.config import read_config_file, resolve
from singerid.encoders import build_encoder
from singerid.errors import CheckpointError
from singerid.formats import check_format
from singerid.pretrained import path_of
from singerid.spec import AudioSettings, FeatureSpec, MelSettings
from singerid.training_sections import EncoderSettings

Kind = Literal["autovc", "corentinj", "original", "singerid"]

RESEMBLYZER_FEATURES = FeatureSpec(
    audio=AudioSettings(min_level_db=-30),
    mel=MelSettings(
        n_fft=400, hop_length=160, n_mels=40, fmin=0, fmax=8000, highpass=0, gain=1, dither=0,
        padding="zero", spectrum="power", scale="linear",
    ),
)  # fmt: skip
"""Front end of CorentinJ's encoder and Resemblyzer, without its removal of silence.

Windows of 25 ms every 10 ms, power in 40 mel bands, not logarithmic; recordings below -30 dBFS are
amplified. Padding is that of librosa 0.9.1 and later, which Resemblyzer 0.1.4 asks for.
"""


@dataclass(frozen=True)
class ForeignWeights:
    """An encoder that was read from a file of any supported program.

    Attributes:
        kind: the program: ``autovc``, ``corentinj`` (Real-Time-Voice-Cloning and Resemblyzer),
            ``original`` (Trebolium/singer-identity-encoder), or ``singerid`` itself.
        weights: of `singerid.encoders.lstm.LSTMEncoder`, by its names, float32.
        settings: the architecture, its sizes taken from the weights.
        spec: the front end that the encoder was trained on.
        partial_frames: length of the partials that it was trained on.
        step: training steps it has seen, if the file says so.
        leftovers: weights of the file that only its training needs, by their names there:
            ``similarity_weight`` and ``similarity_bias`` (scale and bias of the GE2E loss),
            ``class_layer.*`` (head over the training singers).
        unread: names of the file's other entries, such as the optimizer's state.
    """

    kind: Kind
    weights: Mapping[str, Tensor]
    settings: EncoderSettings
    spec: FeatureSpec
    partial_frames: int
    step: int | None = None
    leftovers: Mapping[str, Tensor] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Family:
    """How one program names and uses what we have too."""

    kind: Kind
    section: str  # entry of the file that holds the weights
    relu: bool
    spec: FeatureSpec
    partial_frames: int
    prefix: str = ""
    linear: str = "linear"
    needed: tuple[str, ...] = ()  # leftovers that are always there
    optional: tuple[str, ...] = ()

    def theirs(self, name: str) -> str:
        return self.prefix + re.sub(r"^linear\b", self.linear, name)


_SIMILARITY = ("similarity_weight", "similarity_bias")
# AutoVC: model_bl.py, make_metadata.py (Qian et al. 2019); it was wrapped in DataParallel.
_AUTOVC = _Family(
    "autovc", "model_b", False, FeatureSpec(), 128, prefix="module.", linear="embedding"
)
# encoder/model.py and params_data.py; Resemblyzer's voice_encoder.py and hparams.py.
_CORENTINJ = _Family(
    "corentinj", "model_state", True, RESEMBLYZER_FEATURES, 160, needed=_SIMILARITY
)
# model.py and solver.py; its mel features are AutoVC's.
_ORIGINAL = _Family(
    "original", "model_state", True, FeatureSpec(), 128, needed=_SIMILARITY,
    optional=("class_layer.weight", "class_layer.bias"),
)  # fmt: skip


def read_foreign(path: str | os.PathLike[str], spec: FeatureSpec | None = None) -> ForeignWeights:
    """Read an encoder that this or another program saved, whole or not at all.

    * AutoVC's ``3000000-BL.ckpt``;
    * CorentinJ's Real-Time-Voice-Cloning encoder, Resemblyzer's ``pretrained.pt``;
    * the original's ``saved_model.pt`` and ``ckpt_<step>.ckpt``;
    * our run folders, ``encoder.safetensors``, and ``saved_model.pt`` beside its ``config.yaml``;
      of a whitened encoder the first network within, which is what can be trained on.

    Args:
        path: the file, one of our run folders, or ``default``.
        spec: the front end that the encoder was trained on, if it is not its program's usual one.

    Raises:
        CheckpointError: not a file of these kinds (says what it holds), damaged, or weights that
            are missing, unexpected or of another shape (names each).
    """
    path = path_of(path, ".safetensors")
    if path.is_dir() or _is_safetensors(path):
        return _read_encoder_file(path, spec)
    if not path.exists():
        raise CheckpointError("does not exist", where=path, expected="a file of encoder weights")
    values = load_weights_only(path)
    family = _family_of(values, path)
    if family is None:
        return _read_saved_model(path, values, spec)
    return _read_family(path, values, family, spec)


def import_encoder(
    path: str | os.PathLike[str], output: str | os.PathLike[str], spec: FeatureSpec | None = None
) -> str:
    """Write what `read_foreign` reads as an encoder file, atomically.

    Args:
        path: the foreign file.
        output: the ``encoder.safetensors`` to write.
        spec: as for `read_foreign`.

    Returns:
        The encoder's fingerprint.

    Raises:
        CheckpointError: see `read_foreign`; or `output` is the foreign file itself.
    """
    found = read_foreign(path, spec)
    if Path(output).exists() and os.path.samefile(path, output):
        raise CheckpointError("would be replaced by its import", where=path, do="choose another -o")
    provenance = {
        "imported_from": os.fspath(path), "kind": found.kind, "step": found.step,
        "left_out": [*found.leftovers, *found.unread],
    }  # fmt: skip
    if Path(path).is_file():
        provenance["sha256"] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return save_encoder(
        output, found.weights, found.settings, found.spec, found.partial_frames, provenance
    )


def _is_safetensors(path: Path) -> bool:
    """By its first bytes: 8 of the header's length, then JSON."""
    try:
        with path.open("rb") as file:
            return file.read(9)[8:] == b"{"
    except OSError:
        return False


def _read_encoder_file(path: Path, spec: FeatureSpec | None) -> ForeignWeights:
    file = trained_parts(load_encoder(path))[0]
    if spec is not None and spec != file.spec:
        raise CheckpointError(
            "has a front end of its own, which cannot be changed", where=path,
            found=file.spec.fingerprint(), expected=spec.fingerprint(),
        )  # fmt: skip
    step = file.provenance.get("step")
    return ForeignWeights(
        "singerid", file.encoder.state_dict(), file.settings, file.spec, file.partial_frames, step
    )


def _family_of(values: Mapping[str, Any], path: Path) -> _Family | None:
    """The program that saved these entries; None is our own."""
    if "model_b" in values:
        return _AUTOVC
    if "model_state" not in values:
        raise CheckpointError(
            "is not a known kind of encoder", where=path, found=_listed(values),
            expected="model_b (AutoVC) or model_state (CorentinJ, Resemblyzer, the original)",
        )  # fmt: skip
    names = _named_weights(values["model_state"], "model_state", path)
    if "ge2e_loss" in values or any(name in names for name in _ORIGINAL.optional):
        return _ORIGINAL
    return _CORENTINJ if any(name in names for name in _SIMILARITY) else None


def _named_weights(section: object, name: str, path: Path) -> Mapping[str, Tensor]:
    if not isinstance(section, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in section.items()
    ):
        raise CheckpointError(
            f"{name} holds no named weights", where=path,
            found=_listed(section) if isinstance(section, Mapping) else type(section).__name__,
        )  # fmt: skip
    return section


def _listed(names: Mapping[Any, Any]) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")


def _read_family(
    path: Path, values: Mapping[str, Any], family: _Family, spec: FeatureSpec | None
) -> ForeignWeights:
    found = _named_weights(values[family.section], family.section, path)
    leftovers = {name: found[name] for name in family.needed + family.optional if name in found}
    layer = re.compile(re.escape(family.theirs("lstm.")) + r"\w+_l(\d+)")
    n_layers = max(1, len({match[1] for name in found if (match := layer.fullmatch(name))}))
    theirs = {name: family.theirs(name) for name in _shapes(0, 0, n_layers, 0)}
    expected = [*theirs.values(), *family.needed]
    known = {*expected, *leftovers}
    _refuse(path, family, [
        *(f"{name} is missing" for name in expected if name not in found),
        *(f"{name} is unexpected" for name in found if name not in known),
    ])  # fmt: skip
    weights = {name: found[theirs[name]].float() for name in theirs}
    n_dims = weights["lstm.weight_ih_l0"].shape[-1:].numel()
    hidden_size = weights["lstm.weight_hh_l0"].shape[-1:].numel()
    dim = weights["linear.weight"].shape[:1].numel()
    shapes = _shapes(n_dims, hidden_size, n_layers, dim)
    _refuse(path, family, [
        f"{theirs[name]} is {tuple(tensor.shape)}, not {shapes[name]}"
        for name, tensor in weights.items() if tuple(tensor.shape) != shapes[name]
    ])  # fmt: skip
    _refuse(path, family, [
        f"{theirs[name]} holds values that are not finite"
        for name, tensor in weights.items() if not tensor.isfinite().all()
    ])  # fmt: skip
    try:
        settings = EncoderSettings(
            kind="lstm",
            hidden_size=hidden_size,
            n_layers=n_layers,
            dim=dim,
            relu=family.relu,
            normalization="none",
        )
    except ValidationError as error:
        sizes = f"{n_layers} layers of {hidden_size} units, {dim} dimensions"
        raise CheckpointError("has sizes out of range", where=path, found=sizes) from error
    spec = spec or family.spec
    if spec.n_inputs != n_dims:
        raise CheckpointError(
            f"was trained on another front end than is usual for {family.kind}", where=path,
            found=f"{n_dims} values a frame", expected=spec.n_inputs,
            do="give the settings of its own front end",
        )  # fmt: skip
    unread = tuple(name for name in values if name not in (family.section, "step"))
    return ForeignWeights(
        family.kind, weights, settings, spec, family.partial_frames, _step(values), leftovers,
        unread,
    )  # fmt: skip


def _shapes(n_dims: int, hidden_size: int, n_layers: int, dim: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of our LSTM encoder's weights."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(n_layers):
        shapes[f"lstm.weight_ih_l{layer}"] = (4 * hidden_size, hidden_size if layer else n_dims)
        shapes[f"lstm.weight_hh_l{layer}"] = (4 * hidden_size, hidden_size)
        shapes[f"lstm.bias_ih_l{layer}"] = shapes[f"lstm.bias_hh_l{layer}"] = (4 * hidden_size,)
    return shapes | {"linear.weight": (dim, hidden_size), "linear.bias": (dim,)}


def _refuse(path: Path, family: _Family, problems: list[str]) -> None:
    if problems:
        what = f"weights do not fit ({family.kind})"
        raise CheckpointError(what, where=path, found=", ".join(problems))


def _step(values: Mapping[str, Any]) -> int | None:
    step = values.get("step")
    return step if isinstance(step, int) else None


def _read_saved_model(
    path: Path, values: Mapping[str, Any], spec: FeatureSpec | None
) -> ForeignWeights:
    """Our own ``saved_model.pt``: its run's configuration says what the weights alone cannot."""
    check_format(values.get("format", 1), "saved model", path, CheckpointError)
    weights = _named_weights(values["model_state"], "model_state", path)
    file = path.parent / "config.yaml"
    if not file.exists():
        raise CheckpointError(
            "lacks the configuration of its run", where=path, found="no config.yaml beside it",
            do="take the run's encoder.safetensors, which holds everything",
        )  # fmt: skip
    config = resolve(read_config_file(file), file)
    spec = spec or config.feature_spec
    load_strictly(build_encoder(config.encoder, spec.n_inputs), weights, path)
    return ForeignWeights(
        "singerid", weights, config.encoder, spec, config.batch.partial_frames, _step(values)
    )
