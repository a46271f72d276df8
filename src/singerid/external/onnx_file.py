"""Any ONNX model as an encoder, run by onnxruntime on the processor.

Its front end is declared in a YAML file beside it (`singerid.external.declared`). The model has
one float32 input, one output, and its weights within the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from singerid.errors import AudioError, CheckpointError, SingeridError
from singerid.external.declared import Axis, DeclaredEncoder
from singerid.runtime import first_line, open_session
from singerid.terminal import CPUS

FloatArray = npt.NDArray[np.float32]


class OnnxEncoder(DeclaredEncoder):
    """An ``.onnx`` file and its declaration as an embedder; see `DeclaredEncoder`."""

    kind = "onnx"

    def load(self, data: bytes, n_inputs: int | None) -> None:
        """Open a session; see `DeclaredEncoder.load`."""
        self._session: Any = open_session(data, self.path, CPUS)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            names = [", ".join(value.name for value in values) for values in (inputs, outputs)]
            raise CheckpointError(
                "does not map one array to one", where=self.path,
                found=f"inputs {names[0]}; outputs {names[1]}", expected="one each",
            )  # fmt: skip
        self._input: str = inputs[0].name
        if inputs[0].type != "tensor(float)":
            raise CheckpointError(
                "takes another type of numbers", where=self.path, found=inputs[0].type,
                expected="float32",
            )  # fmt: skip
        self._fixed_frames = self._check_shape(inputs[0].shape, n_inputs)

    def _check_shape(self, shape: Sequence[int | str | None], n_inputs: int | None) -> int | None:
        """Compare what the file says of the input's axes; returns a fixed number of frames."""
        axes = self.declaration.axes
        if shape and len(shape) != len(axes):
            raise CheckpointError(
                "has another input than its declaration", where=self.path,
                found=f"{len(shape)} axes {list(shape)}", expected=f"{len(axes)} axes {list(axes)}",
            )  # fmt: skip
        wanted = {"dims": n_inputs, "frames": self.partial_frames, "samples": self.partial_frames}
        fixed = {axis: size for axis, size in zip(axes, shape, strict=False) if type(size) is int}
        for axis, size in fixed.items():
            expected = 1 if axis == 1 else wanted.get(axis)
            if size != expected:
                raise CheckpointError(
                    "has another input than its declaration", where=self.path,
                    found=f"{axis} fixed to {size}", expected=expected or f"any number of {axis}",
                    do=_advice(axis, size) if expected is None else None,
                )  # fmt: skip
        return fixed.get("frames", fixed.get("samples"))

    def run(self, batch: FloatArray) -> npt.NDArray[Any]:
        """See `DeclaredEncoder.run`.

        Raises:
            AudioError: a recording is shorter than the model's fixed length.
        """
        self._check_length(batch)
        try:
            output: npt.NDArray[Any] = self._session.run(None, {self._input: batch})[0]
        except Exception as error:  # its exceptions have no base of their own
            raise SingeridError("the ONNX model fails", found=first_line(error)) from error
        return output

    def _check_length(self, batch: FloatArray) -> None:
        names = ("frames", "samples")
        place = next(i for i, axis in enumerate(self.declaration.axes) if axis in names)
        n, fixed = batch.shape[place], self._fixed_frames
        if fixed and n != fixed:
            step = self.front_end.step_seconds
            raise AudioError(
                "is shorter than the partials that the ONNX model is fixed to",
                found=f"{n * step:.2f} s", expected=f"at least {fixed * step:.2f} s",
            )  # fmt: skip


def _advice(axis: Axis, size: int) -> str | None:
    if axis == "batch":
        return "write 1 for batch in the layout" if size == 1 else None
    return f"write partial_frames: {size}" if axis == "frames" else "write partial_seconds"
