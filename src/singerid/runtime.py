"""An exported encoder, run by onnxruntime: samples → unit vectors, without torch."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from singerid.embedder import PartialEmbedder, Places
from singerid.encoder_graph import GraphHeader, parse_header, read_model
from singerid.errors import CheckpointError, SingeridError
from singerid.front_ends import WindowFrontEnd
from singerid.sections import EmbedSettings
from singerid.terminal import CPUS
from singerid.voicing import voiced_starts

FloatArray = npt.NDArray[np.float32]
_FRAMES = 1400  # at once: more leave the cache, fewer read an LSTM's weights too often
_OUTSIDE_WEIGHTS = "session.model_external_initializers_file_folder_path"


class OnnxSingerEncoder(PartialEmbedder):
    """An encoder that ``singerid export`` wrote, as an embedder.

    Its network takes windows of samples: the mel front end is part of it. Vectors equal those of
    the encoder that was exported to 1e-4, and have its fingerprint. Partials without a voice are
    left out, see `EmbedSettings.min_voice`.

    Batches are divided among the processor's cores, one thread each: that keeps all of them busy,
    and results do not depend on how many there are.

    Attributes:
        header: what the file says of itself.
        model: the file's bytes.
    """

    front_end: WindowFrontEnd
    can_travel = True

    def __init__(
        self, model: bytes, where: object = "encoder", settings: EmbedSettings | None = None
    ) -> None:
        self.header: GraphHeader = parse_header(model, where)
        self.model, header = model, self.header
        super().__init__(
            WindowFrontEnd(header.spec), header.partial_frames, header.fingerprint, settings
        )
        self.dim = header.dim
        self._session = open_session(model, where)
        names = [value.name for value in self._session.get_inputs()]
        if names != ["samples", "lengths"] or len(self._session.get_outputs()) != 1:
            raise CheckpointError(
                "has a header that does not fit its graph", where=where,
                found=f"inputs {', '.join(names)}", expected="samples, lengths",
                do="export it again",
            )  # fmt: skip
        n_threads = _n_threads()
        self._pool = ThreadPoolExecutor(n_threads, "encode") if n_threads > 1 else None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.model, "encoder", self.settings)

    @classmethod
    def load(cls, path: str | os.PathLike[str], settings: EmbedSettings | None = None) -> Self:
        """From a file.

        Raises:
            CheckpointError: missing, damaged, or not such an encoder.
        """
        return cls(read_model(path), path, settings)

    @property
    def name(self) -> str:
        """Of the encoder, for people."""
        return self.header.name

    @property
    def calibration_bytes(self) -> bytes | None:
        """The calibration file that belongs to it, None if there is none."""
        return self.header.calibration_bytes

    def places(self, frames: FloatArray) -> Places:
        """See `PartialEmbedder.places`; without those where no voice sounds.

        Raises:
            AudioError: there is none anywhere.
        """
        starts = super().places(frames)
        if not self.settings.min_voice:
            return starts
        length = min(len(frames), self.header.partial_frames)
        shares = self.front_end.voice_shares(frames, starts, length)
        return voiced_starts(shares, starts, self.settings.min_voice)

    def encode(self, batch: FloatArray) -> FloatArray:
        """Unit vectors `(batch, dim)` of windows' samples `(batch, n_samples)`."""
        rows = max(1, _FRAMES // self.header.partial_frames)
        pieces = [batch[first : first + rows] for first in range(0, len(batch), rows)]
        if self._pool is None or len(pieces) == 1:
            return np.concatenate([self._run(piece) for piece in pieces])
        return np.concatenate(list(self._pool.map(self._run, pieces)))

    def _run(self, samples: FloatArray) -> FloatArray:
        lengths = np.full(len(samples), samples.shape[1], np.int64)
        inputs = {"samples": samples, "lengths": lengths}
        try:
            vectors: FloatArray = self._session.run(None, inputs)[0]
        except Exception as error:  # its exceptions have no base of their own
            raise SingeridError("the encoder fails", found=first_line(error)) from error
        return vectors


def _n_threads() -> int:
    """Cores that may be used: all of them, or as many as ``OMP_NUM_THREADS`` says (Ray's do)."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return min(CPUS, int(said)) if said.isdigit() and int(said) else CPUS


def open_session(model: bytes, where: object, n_threads: int = 1) -> Any:
    """An onnxruntime session on the processor.

    Args:
        model: an ONNX model with its weights.
        where: its name, for errors.
        n_threads: that share one run; runs of several threads are possible at once.

    Raises:
        CheckpointError: not a model that it can run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = n_threads
    # Bytes, and no folder with weights beside the model: what is hashed is what runs.
    options.add_session_config_entry(_OUTSIDE_WEIGHTS, os.path.join(os.devnull, "none"))
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base of their own
        raise CheckpointError(
            "is not an ONNX model that onnxruntime can run", where=where, found=first_line(error),
            do="export it as one file" if "xternal data" in str(error) else None,
        ) from error  # fmt: skip


def first_line(error: Exception) -> str:
    """Of an exception, without onnxruntime's codes."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
    return text.strip().partition("\n")[0][:160]
