"""Any TorchScript module as an encoder.

Its front end is declared in a YAML file beside it (`singerid.external.declared`). **A TorchScript
file holds a program**: run only what you trust, as with any program. It runs on the processor.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from singerid.errors import CheckpointError, SingeridError
from singerid.external.declared import DeclaredEncoder

FloatArray = npt.NDArray[np.float32]


class TorchScriptEncoder(DeclaredEncoder):
    """A ``.pt`` file of ``torch.jit.save`` and its declaration as an embedder.

    See `DeclaredEncoder`.
    """

    kind = "torchscript"
    advice = "if it holds weights of a known encoder: singerid import"

    def load(self, data: bytes, n_inputs: int | None) -> None:
        """Load the module in evaluation mode; see `DeclaredEncoder.load`."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of the format; it is there
                module: Any = torch.jit.load(  # type: ignore[no-untyped-call]
                    io.BytesIO(data), map_location="cpu"
                )
        except Exception as error:  # of many kinds, on damaged files
            raise CheckpointError(
                "is not a TorchScript file", where=self.path, found=_last_line(error),
                do=self.advice,
            ) from error  # fmt: skip
        self._module = module.eval()

    def run(self, batch: FloatArray) -> npt.NDArray[Any]:
        """See `DeclaredEncoder.run`."""
        try:
            with torch.inference_mode():
                output = self._module(torch.from_numpy(batch))
        except (torch.jit.Error, RuntimeError, ValueError, TypeError) as error:
            raise SingeridError("the TorchScript module fails", found=_last_line(error)) from error
        if not isinstance(output, torch.Tensor):
            raise CheckpointError(
                "does not map one array to one", where=self.path, found=type(output).__name__,
                expected="a tensor",
            )  # fmt: skip
        result: npt.NDArray[Any] = output.float().cpu().numpy()
        return result


def _last_line(error: Exception) -> str:
    """What went wrong, of a TorchScript traceback."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1][:160]
