"""Weights and models made bad: ours, checkpoints, those of other programs, ONNX, TorchScript."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import shutil
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fuzz_stores import GOLDEN
from fuzz_targets import Subject, Trap, used
from fuzz_texts import DEEP, DIGITS, NASTY, zip_bomb
from fuzz_vectors import Canary, joined, safetensors_traps, split


def _tone() -> np.ndarray[Any, Any]:
    t = np.arange(16_000 * 2) / 16_000
    tones = np.stack([np.sin(2 * np.pi * 220 * k * t) / k for k in range(1, 9)])
    samples: np.ndarray[Any, Any] = (0.2 * tones.sum(axis=0)).astype(np.float32)
    return samples


def encoder(folder: Path) -> Subject:
    """``encoder.safetensors``: loaded and used."""
    from singerid.checkpoint import _fingerprint
    from singerid.embed import TorchSingerEncoder

    tone = _tone()

    def read(path: Path) -> None:
        found = TorchSingerEncoder.load(path)
        with used(path):
            found.embed(tone, 16_000)

    name = "bad.safetensors"
    good = (GOLDEN / "encoder" / "lstm.safetensors").read_bytes()
    header, rest = split(good)
    fields = json.loads(header["__metadata__"]["singerid"])
    values: list[object] = [None, [], {}, -1, 0, 2**70, 10**9, "x", 1e308, [1], True, NASTY[8]]
    texts = [fields | {key: value} for key in fields for value in values]
    for section in ("encoder", "features"):
        for key in fields[section]:
            texts += [fields | {section: fields[section] | {key: value}} for value in values]
    texts += [
        fields | {"encoder": fields["encoder"] | {"hidden_size": n, "n_layers": m, "dim": d}}
        for n in (10**6, 4096)
        for m in (1, 10**4)
        for d in (8, 10**9)
    ]
    traps = [_with_header(name, header, rest, text, _fingerprint) for text in texts]
    odd = [DEEP.decode(), DIGITS.decode(), "null", "[]", "", "\x1b"]
    traps += [
        (name, joined(header | {"__metadata__": {"singerid": text}}, rest), False) for text in odd
    ]
    traps += [(name, data, False) for data in safetensors_traps(good)]
    nan = joined(header, b"\xff" * len(rest))
    traps.append(_refit(name, nan, _fingerprint))
    seeds = [(name, good)]
    for kind in ("whitened", "resnet"):
        seeds.append((name, (GOLDEN / "encoder" / f"{kind}.safetensors").read_bytes()))
    return Subject(seeds, read, [b'"dtype"', b'"F32"', b'"shape"', b"singerid"], traps)


def _with_header(
    name: str,
    header: dict[str, Any],
    rest: bytes,
    fields: dict[str, Any],
    fingerprint: Callable[..., str],
) -> Trap:
    data = joined(header | {"__metadata__": {"singerid": json.dumps(fields)}}, rest)
    return _refit(name, data, fingerprint)


def _refit(name: str, data: bytes, fingerprint: Callable[..., str]) -> Trap:
    """With the fingerprint that belongs to what it says, so that it is looked at further."""
    from safetensors.torch import load

    header, rest = split(data)
    fields = json.loads(header["__metadata__"]["singerid"])
    try:
        identity = {key: fields[key] for key in ("format", "encoder", "features", "partial_frames")}
        fields["fingerprint"] = fingerprint(load(data), identity)
    except Exception:  # it does not get that far; nor will the reader
        return name, data, False
    return name, joined(header | {"__metadata__": {"singerid": json.dumps(fields)}}, rest), False


def checkpoint(folder: Path) -> Subject:
    """``ckpt_2.ckpt`` of a run, which is gone on with: the data is there, the step is not done."""
    from singerid.config import read_config_file, resolve
    from singerid.data import TrainingData
    from singerid.store import Store
    from singerid.train import fit

    tempfile.tempdir = str(folder)  # fsspec writes there before Lightning's files are renamed
    shutil.copytree(GOLDEN / "run", folder / "bad_run")
    shutil.copytree(GOLDEN / "store", folder / "store")
    config = resolve(read_config_file(GOLDEN / "run" / "config.yaml"))
    config = config.model_copy(update={"train": config.train.model_copy(update={"steps": 3})})

    def read(path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = TrainingData.from_store(config, Store(path.parents[1] / "store"))
            fit(config, data, path.parent, resume=True, say=lambda line: None)

    name = "bad_run/ckpt_2.ckpt"
    good = (GOLDEN / "run" / "ckpt_2.ckpt").read_bytes()
    import torch

    values = torch.load(io.BytesIO(good), weights_only=True)
    odd: list[Any] = [
        None,
        [],
        {},
        -1,
        "x",
        10**30,
        1.5,
        [None],
        {"a": 1},
        torch.zeros(3),
        torch.zeros(0),
    ]
    changed = [values | {key: value} for key in values for value in odd]
    changed += [{k: v for k, v in values.items() if k != key} for key in values]
    for key, inner in values.items():
        if isinstance(inner, dict):
            changed += [
                values | {key: inner | {k: value}} for k in list(inner)[:6] for value in odd
            ]
    for key, tensor in list(values["state_dict"].items())[:4]:
        weights = values["state_dict"]
        for bad in (
            tensor[:1],
            tensor.double(),
            tensor * float("nan"),
            tensor.bool(),
            tensor[None],
        ):
            changed.append(values | {"state_dict": weights | {key: bad}})
    traps = [(name, _saved(one), False) for one in changed]
    traps += [(name, data, must) for data, must in pickles(good, folder)]
    return Subject(
        [(name, good)],
        read,
        traps=traps,
        template=folder,
        fresh=True,
        named=["bad_run", "the loss is not finite"],
    )


def foreign(folder: Path) -> Subject:
    """``saved_model.pt``, and the files of AutoVC, CorentinJ and the original."""
    import torch

    from singerid.foreign import read_foreign

    torch.manual_seed(0)
    shutil.copytree(GOLDEN / "run", folder / "bad_run")
    hidden, n_mels, dim = 8, 80, 8
    lstm, linear = torch.nn.LSTM(n_mels, hidden, 1), torch.nn.Linear(hidden, dim)
    weights = {f"lstm.{k}": v for k, v in lstm.state_dict().items()}
    weights |= {f"linear.{k}": v for k, v in linear.state_dict().items()}
    similarity = {"similarity_weight": torch.ones(1), "similarity_bias": torch.ones(1)}
    autovc = {f"module.{k.replace('linear', 'embedding')}": v for k, v in weights.items()}
    first = {f"lstm.{k}": v for k, v in torch.nn.LSTM(40, hidden, 1).state_dict().items()}
    rest = {k: v for k, v in weights.items() if k.startswith("linear")}
    files = {
        "bad_run/saved_model.pt": (GOLDEN / "run" / "saved_model.pt").read_bytes(),
        "autovc.ckpt": _saved({"model_b": autovc}),
        "corentinj.pt": _saved({"step": 3, "model_state": first | rest | similarity}),
        "original.pt": _saved({"step": 3, "model_state": weights | similarity, "ge2e_loss": 1.0}),
    }
    odd: list[Any] = [None, [], {}, -1, "x", [None], {"a": 1}, {1: torch.zeros(1)}, torch.zeros(3)]
    traps: list[Trap] = []
    for name, good in files.items():
        values = torch.load(io.BytesIO(good), weights_only=True)
        changed = [values | {key: value} for key in values for value in odd]
        section = "model_b" if "model_b" in values else "model_state"
        inner = values[section]
        for key, tensor in inner.items():
            for bad in _tensors(tensor):
                changed.append(values | {section: inner | {key: bad}})
            changed.append(values | {section: {k: v for k, v in inner.items() if k != key}})
            changed.append(values | {section: inner | {f"{key}\n\x1b[31m": tensor}})
        many = {f"lstm.weight_ih_l{i}": torch.zeros(1) for i in range(3000)}
        changed.append(values | {section: inner | many})
        traps += [(name, _saved(one), False) for one in changed]
        traps += [(name, data, must) for data, must in pickles(good, folder)]
    return Subject(
        list(files.items()), read_foreign, traps=traps, template=folder, named=["bad_run"]
    )


def _tensors(tensor: Any) -> list[Any]:
    """What may stand in the place of a tensor."""
    import torch

    return [
        tensor[:1],
        tensor[None],
        tensor * float("nan"),
        tensor.double(),
        tensor.half(),
        tensor.bool(),
        torch.zeros(()),
        torch.zeros(0),
        torch.zeros(10**6, 1).expand(10**6, 4),
        tensor.to(torch.complex64),
        tensor.to_sparse(),
        torch.nn.Parameter(tensor),
        torch.zeros(tensor.shape, device="meta"),
        torch.quantize_per_tensor(tensor, 0.1, 0, torch.quint8),
        torch.zeros((0, 5)),
    ]


def _saved(values: object) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(values, file)
    return file.getvalue()


def pickles(good: bytes, folder: Path) -> list[tuple[bytes, bool]]:
    """Payloads that would run, in every kind of file that torch reads; zip files that lie.

    Returns:
        Files, and whether they must be refused.
    """
    import torch

    payloads = [pickle.dumps(Canary(folder), protocol) for protocol in range(6)]
    payloads += [
        b"cos\nsystem\n(S'touch owned'\ntR.",
        b"c__builtin__\neval\n(S'1/0'\ntR.",
        b"(lp0\n" * 50_000,
        b"cposix\nsystem\n(S'touch owned'\ntR.",
        b"cbuiltins\nexec\n(V__import__('os').abort()\ntR.",
        b"\x80\x02ctorch\nload\n(X\x04\x00\x00\x00/etctR.",
        b"\x80\x04" + b"]\x94" * 10_000 + b".",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n.",
        b"cnumpy\nfromfile\n(S'/etc/passwd'\ntR.",
        b"\x80\x04\x8a\x04\xff\xff\xff\x7f.",
        b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
        b"\x80\x04B" + struct.pack("<I", 2**31) + b".",
        b"\x80\x04X" + struct.pack("<I", 2**31 - 1) + b"x.",
    ]
    assert all(b"touch" in payload for payload in payloads[:6])
    files = [*payloads]
    members = _members(good)
    data_pkl = next(name for name in members if name.endswith("data.pkl"))
    for payload in payloads:
        files.append(_zip(members | {data_pkl: payload}))
        files.append(_zip(members | {data_pkl: payload + members[data_pkl]}))
    first = pickle.dumps(torch.serialization.MAGIC_NUMBER, 2) + pickle.dumps(1001, 2)
    files += [first + payload for payload in payloads]  # the format before version 1.6
    files.append(zip_bomb())
    lies = [_zip(members | {data_pkl: huge}) for huge in _huge(members[data_pkl])]
    storage = next(name for name in members if "/data/" in name)
    files.append(_zip({k: v for k, v in members.items() if k != storage}))
    files.append(_zip(members | {storage: b""}))
    files.append(good[: len(good) // 2])
    files.append(_overlapping(good))
    return [(data, True) for data in files] + [(data, False) for data in lies]


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zip(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def _huge(data: bytes) -> list[bytes]:
    """Storages that say they have 2³¹ or 10¹² values; shapes with strides of nothing."""
    found = []
    for opcode, argument, place in pickletools.genops(data):
        if opcode.name in ("BININT1", "BININT2", "BININT") and place and argument not in (0, 1):
            size = {"BININT1": 2, "BININT2": 3, "BININT": 5}[opcode.name]
            for number in (2**31 - 1, 10**12, -1):
                long = b"\x8a\x06" + number.to_bytes(6, "little", signed=True)
                found.append(data[:place] + long + data[place + size :])
        if len(found) > 60:
            break
    return found


def _overlapping(good: bytes) -> bytes:
    """Every member of the directory points to the first one's bytes."""
    data = bytearray(good)
    place = data.find(b"PK\x01\x02")
    while place >= 0:
        data[place + 42 : place + 46] = bytes(4)
        place = data.find(b"PK\x01\x02", place + 4)
    return bytes(data)


def exported(folder: Path) -> Subject:
    """Our own ONNX file: header, graph, calibration within."""
    from singerid.encoder_graph import GraphHeader, parse_header, with_header
    from singerid.runtime import OnnxSingerEncoder
    from singerid.scoring.calibration_file import from_bytes

    tone = _tone()

    def read(path: Path) -> None:
        found = OnnxSingerEncoder.load(path)
        if found.calibration_bytes:
            from_bytes(found.calibration_bytes, path)
        with used(path):
            found.embed(tone, 16_000)

    good = (GOLDEN / "exported-encoder" / "encoder.onnx").read_bytes()
    header = parse_header(good, "x")
    values: list[object] = [
        None,
        [],
        {},
        -1,
        0,
        10**9,
        2**70,
        "x",
        "",
        1e308,
        True,
        NASTY[8],
        "A" * 99,
    ]
    fields = header.model_dump()
    traps: list[Trap] = []
    for key in fields:
        for value in values:
            odd = GraphHeader.model_construct(**fields | {key: value})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                traps.append(("bad.onnx", with_header(good, odd), False))
    for section in ("mel", "audio"):
        for key in fields["spec"][section]:
            for value in values:
                spec = fields["spec"] | {section: fields["spec"][section] | {key: value}}
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    odd = GraphHeader.model_construct(**fields | {"spec": spec})
                    traps.append(("bad.onnx", with_header(good, odd), False))
    for text in (DEEP, DIGITS, b"null", b"[]", b"\xff", b'{"format": 1}'):
        entry = b"\x0a\x08singerid\x12" + _varint(len(text)) + text
        traps.append(("bad.onnx", good + b"\x72" + _varint(len(entry)) + entry, False))
    return Subject(
        [("bad.onnx", good)], read, [b"\x72", b"singerid", b"samples", b"lengths"], traps
    )


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])


def onnx(folder: Path) -> Subject:
    """A model of another program with its declaration: other graphs, weights outside the file."""
    import onnx as library

    from singerid.external import load_embedder

    helper = library.helper

    def model(
        nodes: list[Any], shape: Any = ("b", "t", 20), weight: Any = None, **more: Any
    ) -> bytes:
        weight = np.ones((20, 6), np.float32) if weight is None else weight
        tensor = (
            weight
            if isinstance(weight, library.TensorProto)
            else library.numpy_helper.from_array(weight, "w")
        )
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", 1, shape)],
            [helper.make_tensor_value_info("y", 1, None)],
            [tensor],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        return bytes(made.SerializeToString())

    node = helper.make_node
    mean = node("ReduceMean", ["x"], ["m"], axes=[1], keepdims=0)
    good = model([mean, node("MatMul", ["m", "w"], ["y"])])
    (folder / "bad.yaml").write_text(
        "input: features\nsample_rate: 16000\nmel: {n_mels: 20}\npartial_frames: 50\n"
    )
    outside = []
    for place in ("/etc/passwd", "../../../../etc/passwd", "secret", "/dev/zero", "bad.yaml"):
        tensor = library.numpy_helper.from_array(np.ones((20, 6), np.float32), "w")
        tensor.ClearField("raw_data")
        tensor.data_location = library.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)
        outside.append(model([mean, node("MatMul", ["m", "w"], ["y"])], weight=tensor))
    huge = np.array([10**6, 10**6], np.int64)
    graphs = [
        model([node("ConstantOfShape", ["w"], ["y"])], weight=huge),
        model([node("Expand", ["x", "w"], ["y"])], weight=np.array([10**5, 10**5, 20], np.int64)),
        model([node("Tile", ["x", "w"], ["y"])], weight=np.array([10**4, 10**4, 10**4], np.int64)),
        model([node("Identity", ["x"], ["y"])]),
        model([node("Nonsense", ["x"], ["y"])]),
        model([node("Reshape", ["x", "w"], ["y"])], weight=np.array([-1], np.int64)),
        model([mean, node("Log", ["m"], ["y"])]),
        model([]),
        model([node("x", ["y"], ["x"])]),
        model([mean, node("Div", ["m", "m0"], ["y"])]),
        model([mean] * 2),
        model([node("Shape", ["x"], ["y"])]),
        model([mean], shape=(1, 10**9, 20)),
        model([mean], shape=()),
        model([mean], shape=("b", "t", 21)),
        model([mean], shape=(0, 0, 0)),
        model([mean, node("RandomNormalLike", ["m"], ["y"])]),
        model([mean, node("If", ["m"], ["y"])]),
    ]
    traps = [("bad.onnx", data, True) for data in outside] + [
        ("bad.onnx", data, False) for data in graphs
    ]
    return Subject([("bad.onnx", good)], load_embedder, traps=traps, template=folder)


def torchscript(folder: Path) -> Subject:
    """A program by its format: only damaged files and pickles are tried, not malicious code."""
    import torch

    from singerid.external import load_embedder

    class Mean(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=1)

    (folder / "bad.yaml").write_text(
        "input: features\nsample_rate: 16000\nmel: {n_mels: 20}\npartial_frames: 50\n"
    )
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: Any = torch.jit.trace(Mean(), torch.zeros(1, 50, 20))  # type: ignore[no-untyped-call]
        torch.jit.save(module, file)
    good = file.getvalue()
    traps = [("bad.pt", data, False) for data, _ in pickles(_saved({"a": torch.zeros(4)}), folder)]
    return Subject([("bad.pt", good)], load_embedder, traps=traps, template=folder)


def hub(folder: Path) -> Subject:
    """A folder of the Hub."""
    from singerid.singer_encoder import SingerEncoder

    shutil.copytree(GOLDEN / "hub-folder", folder / "bad_hub")
    tone = _tone()

    def read(path: Path) -> None:
        found = SingerEncoder.from_pretrained(path.parent)
        with used(path):
            found.embed(tone, 16_000)

    files = {
        name: (GOLDEN / "hub-folder" / name).read_bytes()
        for name in ("config.json", "encoder.onnx")
    }
    fields = json.loads(files["config.json"])
    values: list[object] = [None, [], {}, -1, 2**70, "x", *NASTY]
    texts = [json.dumps(fields | {key: value}).encode() for key in fields for value in values]
    traps = [
        ("bad_hub/config.json", data, False) for data in [*texts, DEEP, DIGITS, b"[]", b"\xff", b""]
    ]
    seeds = [(f"bad_hub/{name}", data) for name, data in files.items()]
    return Subject(seeds, read, traps=traps, template=folder, named=["bad_hub"])
