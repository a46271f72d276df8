"""Networks in files of other programs, with the front end that a YAML file beside them declares.

``model.yaml`` beside ``model.onnx`` or ``model.pt``::

    name: my-encoder            # for reports; optional
    input: features             # what the network sees: features, or waveform
    sample_rate: 16000          # Hz
    layout: [batch, frames, dims]   # axes of its input, see below; optional
    partial_frames: 128         # or partial_seconds: 1.6; null or neither: whole recordings
    overlap: 0.5                # share that the next partial repeats; else --embed.overlap
    features: {stream: mel}     # for features: the sections of `singerid config` that make up
    mel: {n_mels: 40, ...}      #   a front end (audio, features, mel, world, pitch)
    audio: {min_level_db: -30}  # also for waveforms: pauses, level, shortest recording

The network takes one float32 array, a batch of partials, and gives one vector for each, which is
scaled to unit length. Axes of a layout are ``batch, frames, dims`` in any order after the batch
for features, ``batch, samples`` for waveforms (in [-1, 1]), and ``1`` for an axis of length one;
a ``1`` in the place of the batch says that the network takes one partial at a time.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from abc import abstractmethod
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError, model_validator

from singerid.config import ConfigErrors, read_config_file, resolve
from singerid.embedder import PartialEmbedder
from singerid.errors import CheckpointError, ConfigError, SingeridError
from singerid.front_ends import FeatureFrontEnd, WaveformFrontEnd
from singerid.sections import EmbedSettings, Section
from singerid.spec import FeatureSpec, fingerprint

FloatArray = npt.NDArray[np.float32]
Axis = Literal["batch", "frames", "dims", "samples", 1]

_PROBE_SECONDS = 3.0


class Declaration(Section):
    """What ``model.yaml`` says beside the sections of a feature spec; see the module."""

    name: str = ""
    input: Literal["features", "waveform"]
    sample_rate: int = Field(ge=4000, le=192000)
    layout: tuple[Axis, ...] = ()
    partial_frames: int | None = Field(None, ge=1)
    partial_seconds: float | None = Field(None, gt=0)
    overlap: float | None = Field(None, ge=0, le=0.95)

    @model_validator(mode="after")
    def _check(self) -> Self:
        needed = ["frames", "dims"] if self.input == "features" else ["samples"]
        named = [axis for axis in self.axes[1:] if axis != 1]
        if self.axes[0] not in ("batch", 1) or sorted(named) != sorted(needed):
            raise ValueError(
                f"layout for {self.input} must be batch (or 1), then {' and '.join(needed)} once"
            )
        if self.partial_frames and (self.partial_seconds or self.input == "waveform"):
            raise ValueError("give partial_seconds or, for features, partial_frames; not both")
        return self

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The layout, or the usual one."""
        usual: tuple[Axis, ...] = ("batch", "frames", "dims")
        return self.layout or (usual if self.input == "features" else ("batch", "samples"))

    def length(self, step_seconds: float) -> int | None:
        """Of a partial in frames or samples, None for whole recordings."""
        if self.partial_seconds is None:
            return self.partial_frames
        return max(1, round(self.partial_seconds / step_seconds))

    def arranged(self, batch: FloatArray) -> FloatArray:
        """`(batch, n_frames, n_inputs)` or `(batch, n_samples)` with the axes of the layout."""
        if "dims" in self.axes and self.axes.index("dims") < self.axes.index("frames"):
            batch = batch.swapaxes(1, 2)
        for place, axis in enumerate(self.axes):
            if place and axis == 1:
                batch = np.expand_dims(batch, place)
        return np.ascontiguousarray(batch)


def read_declaration(path: Path) -> tuple[Declaration, FeatureSpec]:
    """The front end that a YAML file declares.

    Raises:
        ConfigError: a key or value is missing, unknown or wrong; all are named.
    """
    values = read_config_file(path)
    values = {name: value for name, value in values.items() if value != {}}  # null
    sections = {name: values.pop(name) for name in FeatureSpec.model_fields if name in values}
    try:
        declaration = Declaration.model_validate(values)
    except ValidationError as error:
        raise ConfigErrors([_problem(detail, path) for detail in error.errors()]) from None
    unused = sorted(sections.keys() - {"audio"}) if declaration.input == "waveform" else []
    if unused:
        raise ConfigError(f"{unused[0]} does not belong to input: waveform", where=path)
    audio = sections.get("audio", {})
    rate = declaration.sample_rate
    if isinstance(audio, dict):
        if audio.get("sample_rate", rate) != rate:
            raise ConfigError(
                "says two sample rates", where=path,
                found=f"sample_rate {rate}, audio.sample_rate {audio['sample_rate']}",
            )  # fmt: skip
        sections["audio"] = {**audio, "sample_rate": rate}
    if declaration.input == "waveform":  # mel bands are not used, but checked
        sections["mel"] = {"fmax": rate / 2, "fmin": 0}
    return declaration, resolve(sections, path).feature_spec


def _problem(detail: Any, path: Path) -> ConfigError:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        known = [*Declaration.model_fields, *FeatureSpec.model_fields]
        close = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        return ConfigError(f"{key} is not part of a front end", where=path, do=hint)
    if detail["type"] == "missing":
        return ConfigError(f"{key} is missing", where=path)
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if not key:
        return ConfigError(message, where=path)
    found = repr(detail["input"])[:60]
    return ConfigError(f"{key} is not valid", where=path, found=found, expected=message)


class DeclaredEncoder(PartialEmbedder):
    """A network of another program, from its file and ``model.yaml`` beside it.

    Attributes:
        path: the network's file.
        declaration: what ``model.yaml`` says.
        dim: length of its vectors.

    Raises:
        CheckpointError: the file cannot be read, or does what its declaration does not say.
        ConfigError: see `read_declaration`.
    """

    kind: str  # first part of the fingerprint
    advice: str | None = None  # where there is no declaration

    def __init__(self, path: str | os.PathLike[str], settings: EmbedSettings | None = None) -> None:
        self.path = Path(path)
        declared_in = self.path.with_suffix(".yaml")
        if not declared_in.exists():
            raise CheckpointError(
                "lacks the declaration of its front end", where=self.path,
                expected=f"{declared_in.name} beside it", do=self.advice,
            )  # fmt: skip
        self.declaration, spec = read_declaration(declared_in)
        waveform = self.declaration.input == "waveform"
        front_end = WaveformFrontEnd(spec) if waveform else FeatureFrontEnd(spec)
        length = self.declaration.length(front_end.step_seconds)
        data = self._read()
        settings = settings or EmbedSettings()
        if self.declaration.overlap is not None:
            settings = settings.model_copy(update={"overlap": self.declaration.overlap})
        super().__init__(front_end, length, self._fingerprint(data, spec, length), settings)
        n_inputs = None if waveform else spec.n_inputs
        self.load(data, n_inputs)
        self.dim = self._probe()

    @abstractmethod
    def load(self, data: bytes, n_inputs: int | None) -> None:
        """Make the network ready to run, and check all that its file says of its input.

        Args:
            data: the file.
            n_inputs: values of a frame that it will see, None for waveforms.

        Raises:
            CheckpointError: not such a file, or another input than declared.
        """

    @abstractmethod
    def run(self, batch: FloatArray) -> npt.NDArray[Any]:
        """Output for an input of the declared layout.

        Raises:
            SingeridError: the network fails.
        """

    def encode(self, batch: FloatArray) -> FloatArray:
        """Unit vectors `(batch, dim)` of partials `(batch, n_frames, n_inputs)` or samples."""
        pieces = [batch]
        if self.declaration.axes[0] == 1:
            pieces = np.split(batch, len(batch))
        outputs = [self._vectors(self.run(self.declaration.arranged(p)), len(p)) for p in pieces]
        vectors = np.concatenate(outputs).astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):  # not finite: refused by its recording
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            unit: FloatArray = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        return unit

    def _vectors(self, output: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
        """`(n, dim)` of an output that may have more axes of length one."""
        if output.ndim < 2 or len(output) != n or max(output.shape[1:]) * n != output.size:
            raise CheckpointError(
                "gives no vector for each partial", where=self.path,
                found=f"output {output.shape}", expected=f"({n}, dim)",
                do="check the layout in its declaration",
            )  # fmt: skip
        return output.reshape(n, -1)

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise CheckpointError(
                "cannot be read", where=self.path, found=error.strerror
            ) from error

    def _fingerprint(self, data: bytes, spec: FeatureSpec, length: int | None) -> str:
        declaration = self.declaration
        value = [
            hashlib.sha256(data).hexdigest(), declaration.input, list(declaration.axes), length,
            spec.audio.model_dump() if declaration.input == "waveform" else spec.model_dump(),
        ]  # fmt: skip
        return f"{self.kind}-{fingerprint(value)}"

    def _probe(self) -> int:
        """Encode a tone in noise, so that a wrong declaration is said before hours of work."""
        rate = self.sample_rate
        seconds = _PROBE_SECONDS + (self.partial_frames or 0) * self.front_end.step_seconds
        time = np.arange(int(seconds * rate)) / rate
        noise = np.random.default_rng(0).standard_normal(len(time))
        tone = sum(np.sin(2 * np.pi * 220 * k * time) / k for k in range(1, 9))
        samples = (0.1 * tone + 0.003 * noise).astype(np.float32)
        frames = self.front_end.frames(samples, "probe")[: self.partial_frames]
        partial = self.front_end.encoder_input(frames)
        try:
            vectors = self.encode(np.stack([partial, partial]))
        except SingeridError as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(
                "does not run on its declared input", where=self.path, found=error.found,
                expected=f"a network for {self._shape_text(partial)}",
            ) from error  # fmt: skip
        if not np.isfinite(vectors).all():
            raise CheckpointError("gives values that are not finite", where=self.path)
        if not np.allclose(vectors[0], vectors[1], atol=1e-2):
            raise CheckpointError(
                "gives two vectors for one input", where=self.path,
                do="export it in evaluation mode (without dropout)",
            )  # fmt: skip
        return int(vectors.shape[1])

    def _shape_text(self, partial: FloatArray) -> str:
        shape = self.declaration.arranged(partial[None]).shape
        sizes = [f"{axis} {n}" for axis, n in zip(self.declaration.axes, shape, strict=True)]
        return "[" + ", ".join(["batch", *sizes[1:]]) + "]"
