"""An encoder of ours → one ONNX file that needs no torch, with its front end inside.

The graph takes ``samples`` `(batch, n_samples)` and ``lengths`` `(batch,)`, and gives
``embeddings`` `(batch, dim)`. A row of mixed lengths is cut to its own length and encoded alone:
within a loop, so that the network needs no masks, which cost a ResNet 80 % more time.
"""

from __future__ import annotations

import base64
import io
import logging
import os
import warnings
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from singerid.checkpoint import EncoderFile
from singerid.embed import TorchSingerEncoder
from singerid.encoder_graph import GraphHeader, with_header
from singerid.errors import CheckpointError, MissingExtraError
from singerid.mel_network import MelNetwork
from singerid.records import atomic_write
from singerid.runtime import OnnxSingerEncoder
from singerid.sections import EmbedSettings

FloatArray = npt.NDArray[np.float32]
OPSET = 17
TOLERANCE, QUANTIZED_TOLERANCE = 1e-4, 0.05
_SECONDS = (0.7, 2.0, 5.3, 11.0)  # of what both are compared on


def export_encoder(
    file: EncoderFile,
    path: str | os.PathLike[str],
    *,
    name: str,
    calibration: bytes | None = None,
    quantize: bool = False,
) -> float:
    """Write an encoder as one ONNX file, which `singerid.runtime` runs; atomically.

    Args:
        file: the encoder; it sees mel features and nothing else.
        path: the file.
        name: for people.
        calibration: a calibration file of this encoder, to be carried along.
        quantize: keep an LSTM's weights as bytes: another fingerprint, see `fingerprint_of`.

    Returns:
        The largest difference of a value of its vectors from the encoder's own, over synthetic
        audio of 0.7 to 11 s. Without `quantize` the file has the encoder's fingerprint.

    Raises:
        CheckpointError: it sees other features, has no LSTM to quantize, or the graph's vectors
            differ by more than 1e-4, or 0.05 if quantized.
        MissingExtraError: the package onnx is not installed.
    """
    check_front_end(file)
    if quantize and file.settings.kind != "lstm":
        raise CheckpointError(
            "only an LSTM gains by bytes as weights", where=f"encoder {file.fingerprint}",
            found=file.settings.kind, do="export it without --quantize",
        )  # fmt: skip
    header = GraphHeader(
        name=name, fingerprint=fingerprint_of(file, quantize), spec=file.spec,
        partial_frames=file.partial_frames, dim=_dim(file),
        provenance=dict(file.provenance),
        calibration=base64.b64encode(calibration).decode() if calibration else None,
    )  # fmt: skip
    model = with_header(graph_of(file, quantize), header)
    limit = QUANTIZED_TOLERANCE if quantize else TOLERANCE
    difference = compare(file, OnnxSingerEncoder(model, path, EmbedSettings(min_voice=0)))
    if not difference <= limit:  # not a number counts as different
        raise CheckpointError(
            "the exported graph gives other vectors", where=path, found=f"{difference:.2g} apart",
            expected=f"at most {limit:g}", do="nothing is written; please report this",
        )  # fmt: skip
    with atomic_write(path, "wb") as stream:
        stream.write(model)
    return difference


def fingerprint_of(file: EncoderFile, quantize: bool) -> str:
    """Of the exported file: rounded weights make vectors that others are not compared with."""
    return file.fingerprint + "-int8" * quantize


def check_front_end(file: EncoderFile) -> None:
    """Refuse what the graph cannot hold.

    Raises:
        CheckpointError: the encoder sees WORLD's features or the pitch.
    """
    spec = file.spec
    if spec.input_streams != ["mel"] or spec.pitch.condition:
        found = " and ".join(spec.input_streams) + (" and pitch" * spec.pitch.condition)
        raise CheckpointError(
            "only encoders of mel features can be exported", where=f"encoder {file.fingerprint}",
            found=found, expected="mel",
        )  # fmt: skip


def graph_of(file: EncoderFile, quantize: bool = False) -> bytes:
    """The ONNX model of an encoder and its front end, without a header.

    Raises:
        MissingExtraError: the package onnx is not installed.
    """
    try:
        onnx = import_module("onnx")
    except ImportError:
        raise MissingExtraError("onnx", "export") from None
    network = _Whole(MelNetwork(file.spec), file.encoder).cpu().eval()
    mel = file.spec.mel
    samples = torch.zeros(2, mel.n_fft + (file.partial_frames - 1) * mel.hop_length)
    stream: Any = io.BytesIO()  # which the exporter takes, but does not declare
    with warnings.catch_warnings():
        # That the exporter is the old one, which needs no package but onnx; and of LSTMs in
        # batches of any size, which `compare` sees to.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (samples,), stream, dynamo=False, opset_version=OPSET,
            input_names=["windows"], output_names=["vectors"],
            dynamic_axes={"windows": {0: "rows", 1: "n"}, "vectors": {0: "rows"}},
        )  # fmt: skip
    inner = onnx.load_from_string(stream.getvalue())
    if quantize:
        inner = _quantized(inner)
    model: bytes = _looped(onnx, inner, _dim(file)).SerializeToString()
    return model


def _dim(file: EncoderFile) -> int:
    """Length of its vectors, which its settings need not say."""
    with torch.inference_mode():
        vectors = file.encoder.cpu()(torch.zeros(1, file.partial_frames, file.spec.n_inputs))
    return int(vectors.shape[1])


def _quantized(model: Any) -> Any:
    """Weights of LSTM and linear layers as bytes, a scale for each matrix; not the front end's."""
    from onnxruntime import quantization

    front_end = [node.name for node in model.graph.node if node.name.startswith("/front_end/")]
    logging.disable(logging.WARNING)  # it wants shapes inferred before, which changes nothing here
    try:
        with TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.onnx")
            quantization.quantize_dynamic(
                model, path, nodes_to_exclude=front_end, weight_type=quantization.QuantType.QInt8,
                op_types_to_quantize=["LSTM", "MatMul", "Gemm"],
            )  # fmt: skip
            return import_module("onnx").load(path)
    finally:
        logging.disable(logging.NOTSET)


class _Whole(nn.Module):
    """Front end and encoder."""

    def __init__(self, front_end: nn.Module, encoder: nn.Module) -> None:
        super().__init__()
        self.front_end, self.encoder = front_end, encoder

    def forward(self, samples: Tensor) -> Tensor:
        vectors: Tensor = self.encoder(self.front_end(samples))
        return vectors


def _looped(onnx: Any, inner: Any, dim: int) -> Any:
    """The model that runs `inner` on all rows at once, or on one by one if lengths differ."""
    helper, types = onnx.helper, onnx.TensorProto
    node, value = helper.make_node, helper.make_tensor_value_info
    constants = [
        onnx.numpy_helper.from_array(np.array(numbers, np.int64), f"singerid.{name}")
        for name, numbers in {
            "zero": [0], "one": [1], "axes": [0, 1], "shape": [-1, dim]
        }.items()
    ]  # fmt: skip
    outer = [
        node("Shape", ["samples"], ["singerid.batch"], start=0, end=1),
        node("ReduceMax", ["lengths"], ["singerid.longest"]),
        node("ReduceMin", ["lengths"], ["singerid.shortest"]),
        node("Equal", ["singerid.longest", "singerid.shortest"], ["singerid.equal"]),
        node("Where", ["singerid.equal", "singerid.one", "singerid.batch"], ["singerid.turns"]),
        node("Where", ["singerid.equal", "singerid.batch", "singerid.one"], ["singerid.rows"]),
    ]
    first = [
        node("Mul", ["singerid.turn", "singerid.rows"], ["singerid.first"]),
        node("Add", ["singerid.first", "singerid.rows"], ["singerid.end"]),
        node("Gather", ["lengths", "singerid.first"], ["singerid.length"]),
        node("Concat", ["singerid.first", "singerid.zero"], ["singerid.starts"], axis=0),
        node("Concat", ["singerid.end", "singerid.length"], ["singerid.ends"], axis=0),
        node("Slice", ["samples", "singerid.starts", "singerid.ends", "singerid.axes"],
             [inner.graph.input[0].name]),
        node("Identity", ["singerid.go"], ["singerid.on"]),
    ]  # fmt: skip
    body = helper.make_graph(
        [*first, *inner.graph.node], "partials",
        [value("singerid.turn", types.INT64, []), value("singerid.go", types.BOOL, [])],
        [value("singerid.on", types.BOOL, []), inner.graph.output[0]],
        list(inner.graph.initializer),
    )  # fmt: skip
    last = [
        node("Loop", ["singerid.turns", ""], ["singerid.stacked"], body=body),
        node("Reshape", ["singerid.stacked", "singerid.shape"], ["embeddings"]),
    ]
    graph = helper.make_graph(
        [*outer, *last], "singerid",
        [value("samples", types.FLOAT, ["batch", "n_samples"]),
         value("lengths", types.INT64, ["batch"])],
        [value("embeddings", types.FLOAT, ["batch", dim])], constants,
    )  # fmt: skip
    return helper.make_model(
        graph, opset_imports=inner.opset_import, ir_version=8, producer_name="singerid"
    )


def compare(file: EncoderFile, exported: OnnxSingerEncoder) -> float:
    """The largest difference of the two encoders' vectors, recordings and partials.

    Args:
        file: the encoder.
        exported: the same, exported.
    """
    ours = TorchSingerEncoder(file)
    rate, found = ours.sample_rate, [0.0]
    for number, seconds in enumerate(_SECONDS):
        samples = _sung(int(seconds * rate), rate, number)
        pair = [e.embed_partials(e.front_end.frames(samples)) for e in (ours, exported)]
        found.append(float(np.abs(pair[0] - pair[1]).max()))
    return float(np.max(found))


def _sung(n_samples: int, rate: int, seed: int) -> FloatArray:
    """A gliding tone with overtones, a breath and a pause."""
    rng = np.random.default_rng(seed)
    time = np.arange(n_samples) / rate
    f0 = rng.uniform(100, 400) * 2 ** (0.3 * np.sin(2 * np.pi * rng.uniform(0.2, 1) * time))
    phase = 2 * np.pi * np.cumsum(f0) / rate
    tone = sum(np.sin(k * phase) / k for k in range(1, 16))
    loudness = np.clip(np.sin(2 * np.pi * 0.4 * time) + 0.5, 0, 1)
    samples = 0.1 * loudness * tone + 1e-3 * rng.standard_normal(n_samples)
    return samples.astype(np.float32)
