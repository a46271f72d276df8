"""Reads the golden files of a version, as users' programs do, and says what was in them.

`READERS` has a function for each format: the folder of a version → facts for JSON, which are kept
beside the files. `RAISED` writes the next version's number into a file. `outline` says which fields
there are, without their values.
"""

import json
import re
import struct
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
import yaml

from singerid.checkpoint import load_weights_only
from singerid.config import read_config_file, resolve
from singerid.data import TrainingData
from singerid.embed import TorchSingerEncoder
from singerid.embeddings import read_embeddings
from singerid.encoder_graph import parse_header, with_header
from singerid.foreign import read_foreign
from singerid.formats import FORMATS
from singerid.hub import read_folder
from singerid.model_card import write_model_card
from singerid.records import read_recordings
from singerid.registry import Registry
from singerid.registry.tables import CLIPS, EXEMPLARS, Tables
from singerid.robustness.files import read_robustness
from singerid.run import changed_settings, latest_checkpoint
from singerid.runtime import OnnxSingerEncoder
from singerid.scoring.calibration_file import from_bytes, read_calibration
from singerid.segment_files import read_segments
from singerid.store import Store
from singerid.table import read_table
from singerid.train import fit
from singerid.trials.files import read_scores, read_trials
from singerid.trials.models import read_models
from singerid.voicebank.bank import VoiceBank

Facts = Any
RATE = 16000
_PLACES = {"checkpoint": "run", "saved model": "run"}
_FREE = {"labels", "provenance", "skipped", "versions"}  # names of their fields are anybody's


def folder_of(name: str) -> str:
    """Where a format's files lie within a version's folder."""
    return _PLACES.get(name, name).replace(" ", "-")


def voice(seconds: float, hz: float) -> np.ndarray:
    """A tone with overtones and vibrato, float64 `(n_samples,)`: the same everywhere."""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * (hz * t + 0.3 * np.sin(2 * np.pi * 5 * t))
    tones = [np.sin(k * phase) / k for k in range(1, 33)]
    return 0.2 * np.sum(tones, axis=0) * (1 - 0.5 * np.cos(2 * np.pi * 1.5 * t))


def sums(array: Any) -> Facts:
    """Shape, type, and two sums that see each value's place."""
    values = np.asarray(array, np.float64).ravel()
    weighted = values @ np.cos(np.arange(len(values)))
    return {
        "shape": list(np.shape(array)), "dtype": str(np.asarray(array).dtype),
        "sum": float(values.sum()), "weighted": float(weighted),
    }  # fmt: skip


def _manifest(folder: Path) -> Facts:
    rows = [asdict(row) for row in read_recordings(folder / "manifest" / "manifest.jsonl")]
    return [row | {"path": Path(row["path"]).name} for row in rows]


def _configuration(folder: Path) -> Facts:
    file = folder / "configuration" / "config.yaml"
    config = resolve(read_config_file(file), file)
    return {name: getattr(config, name).model_dump(mode="json") for name in ("mel", "encoder")} | {
        "steps": config.train.steps,
        "features": config.feature_spec.fingerprint(),
    }


def _store(folder: Path) -> Facts:
    store = Store(folder / "store")
    for recording in store.recordings:
        store.check(recording.id)
    return {
        "spec": store.spec.fingerprint(),
        "recordings": {r.id: sums(store.features(r.id)) for r in store.recordings},
    }


def _bank(folder: Path) -> Facts:
    bank = VoiceBank.open(folder / "bank")
    return {
        "ids": list(bank.ids), "singers": list(bank.singers), "f0": bank.median_f0.tolist(),
        "cepstra": [sums(bank.cepstra(bank.frames(row))) for row in range(len(bank))],
        "aperiodicity": [sums(bank.aperiodicity_db(bank.frames(row))) for row in range(len(bank))],
    }  # fmt: skip


def _run(folder: Path) -> Facts:
    path = folder / "run"
    card = write_model_card(path, alarms=[]).read_text("utf-8")
    config = resolve(read_config_file(path / "config.yaml"))
    return {
        "checkpoint": latest_checkpoint(path).name, "changed": changed_settings(path, config),
        "card": "`train.steps` | 2 |" in card,
    }  # fmt: skip


def _checkpoint(folder: Path) -> Facts:
    """Goes on with the training for a step."""
    path, store = folder / "run", Store(folder / "store")
    config = resolve(read_config_file(path / "config.yaml"))
    steps = config.train.steps + 1
    config = config.model_copy(update={"train": config.train.model_copy(update={"steps": steps})})
    torch.set_num_threads(1)
    fit(
        config, TrainingData.from_store(config, store), path, resume=True, say=lambda line: None
    )  # fmt: skip
    lines = [json.loads(line) for line in (path / "log.jsonl").open(encoding="utf-8")]
    names = ("step", "split", "ge2e_loss", "prediction_loss", "accuracy")
    return [{name: line[name] for name in names if name in line} for line in lines]


def _saved_model(folder: Path) -> Facts:
    found = read_foreign(folder / "run" / "saved_model.pt")
    weights = {name: sums(tensor.numpy()) for name, tensor in found.weights.items()}
    return {"kind": found.kind, "step": found.step, "weights": weights}


def _encoder(folder: Path) -> Facts:
    facts = {}
    for path in sorted((folder / "encoder").glob("*.safetensors")):
        encoder = TorchSingerEncoder.load(path)
        facts[path.stem] = {
            "fingerprint": encoder.fingerprint, "step": encoder.file.provenance["step"],
            "embedding": encoder.embed(voice(1.5, 220.0), RATE).tolist(),
        }  # fmt: skip
    return facts


def _exported_encoder(folder: Path) -> Facts:
    encoder = OnnxSingerEncoder.load(folder / "exported-encoder" / "encoder.onnx")
    assert encoder.calibration_bytes is not None
    calibration = from_bytes(encoder.calibration_bytes)
    return {
        "name": encoder.name, "fingerprint": encoder.fingerprint,
        "embedding": encoder.embed(voice(1.5, 220.0), RATE).tolist(),
        "calibrated": [calibration.encoder, float(calibration.llr(0.5))],
    }  # fmt: skip


def _hub_folder(folder: Path) -> Facts:
    model = read_folder(folder / "hub-folder")
    vector = OnnxSingerEncoder(model, "hub-folder").embed(voice(1.5, 220.0), RATE)
    return {"fingerprint": parse_header(model, "").fingerprint, "embedding": vector.tolist()}


def _calibration(folder: Path) -> Facts:
    found = read_calibration(folder / "calibration" / "calibration.safetensors")
    rows = np.cos(np.arange(48.0)).reshape(6, 8)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    scores = found.scorer.trials(rows.astype(np.float32), np.arange(3), np.arange(3, 6))
    return {
        "encoder": found.encoder, "singers": list(found.scorer.singers), "scores": scores.tolist(),
        "edges": list(found.edges), "lines": [asdict(line) for line in found.classes],
        "llrs": [float(found.llr(x)) for x in (-0.2, 0.7)],
    }  # fmt: skip


def _embeddings(folder: Path) -> Facts:
    found = read_embeddings(folder / "embeddings" / "embeddings.parquet")
    names = ("ids", "singers", "encoder", "seconds", "n_partials", "splits", "paths", "hashes")
    columns = {name: getattr(found, name) for name in (*names, "labels")}
    return columns | {"vectors": sums(found.vectors)}


def _table(folder: Path) -> Facts:
    found = read_table(folder / "table" / "table.parquet")
    names = ("singers", "encoder", "n_recordings", "seconds", "spread", "labels")
    return {name: getattr(found, name) for name in names} | {"centroids": sums(found.centroids)}


def _registry(folder: Path) -> Facts:
    found = Registry.open(folder / "registry")
    of_first = {one.path: one for one in found.exemplars("Ada")}
    clip = found.clip(of_first["0.wav"].id)
    one = np.zeros(found.dim, np.float32)
    one[3] = 1
    return {
        "encoder": found.encoder, "singers": sorted(info.name for info in found.singers()),
        "clip": clip and clip.decode(), "labels": dict(of_first["2.wav"].labels),
        "seconds": {path: e.seconds for path, e in sorted(of_first.items())},
        "search": [(hit.exemplar.path, hit.score) for hit in found.search(one, "abc")],
        "table": sums(found.to_table().centroids),
    }  # fmt: skip


def _robustness_report(folder: Path) -> Facts:
    return list(read_robustness(folder / "robustness-report"))


def _segments(kind: str, suffix: str) -> Callable[[Path], Facts]:
    return lambda folder: [asdict(one) for one in read_segments(folder / kind / f"song{suffix}")]


def _trials(folder: Path) -> Facts:
    facts = {}
    for path in sorted((folder / "trials").glob("*.txt")):
        found = read_trials(path)
        facts[path.stem] = [asdict(found[row]) for row in range(len(found))]
    return facts


def _scores(folder: Path) -> Facts:
    trials = read_trials(folder / "trials" / "voxceleb.txt")
    return read_scores(folder / "scores" / "scores.txt", trials).tolist()


def _models(folder: Path) -> Facts:
    return read_models(folder / "models" / "models.txt")


READERS: dict[str, Callable[[Path], Facts]] = {
    "manifest": _manifest, "configuration": _configuration, "store": _store, "bank": _bank,
    "run": _run, "checkpoint": _checkpoint, "saved model": _saved_model, "encoder": _encoder,
    "exported encoder": _exported_encoder, "hub folder": _hub_folder, "calibration": _calibration,
    "embeddings": _embeddings, "table": _table, "registry": _registry,
    "robustness report": _robustness_report, "segments": _segments("segments", ".json"),
    "rttm": _segments("rttm", ".rttm"), "labels": _segments("labels", ".txt"),
    "trials": _trials, "scores": _scores, "models": _models,
}  # fmt: skip


# -------------------------------------------------------------------------- files from the future


def _changed(values: dict[str, Any], number: int | None, field: str = "format") -> dict[str, Any]:
    """With another number and a new field, or as if nobody had written a number."""
    if number is None:
        return {name: value for name, value in values.items() if name != field}
    return values | {field: number, "new": 1}


def _json(file: str) -> Callable[[Path, int | None], None]:
    def change(folder: Path, number: int | None) -> None:
        path = folder / file
        values = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps(_changed(values, number)), "utf-8")

    return change


def _lines(folder: Path, number: int | None) -> None:
    path = folder / "manifest.jsonl"
    rows = [_changed(json.loads(line), number) for line in path.open(encoding="utf-8")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def _yaml(folder: Path, number: int | None) -> None:
    path = folder / "config.yaml"
    values = _changed(yaml.safe_load(path.read_text("utf-8")), number)
    path.write_text(yaml.safe_dump(values), "utf-8")


def _torch(pattern: str, section: str = "") -> Callable[[Path, int | None], None]:
    def change(folder: Path, number: int | None) -> None:
        (path,) = folder.glob(pattern)
        values = load_weights_only(path)
        if section:
            values[section] = _changed(values[section], number)
        else:
            values = _changed(values, number)
        torch.save(values, path)

    return change


def _safetensors(key: str, field: str) -> Callable[[Path, int | None], None]:
    def change(folder: Path, number: int | None) -> None:
        for path in folder.glob("*.safetensors"):
            header, rest = safetensors_header(path)
            values = json.loads(header["__metadata__"][key])
            header["__metadata__"][key] = json.dumps(_changed(values, number, field))
            text = json.dumps(header).encode()
            path.write_bytes(struct.pack("<Q", len(text)) + text + rest)

    return change


def safetensors_header(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def _onnx(folder: Path, number: int | None) -> None:
    path = folder / "encoder.onnx"
    model = path.read_bytes()
    header = parse_header(model, path).model_copy(update={"format": number})
    path.write_bytes(with_header(model, header))


def _parquet(folder: Path, number: int | None) -> None:
    (path,) = folder.glob("*.parquet")
    table = pq.read_table(path)
    metadata = {key.decode(): text for key, text in table.schema.metadata.items()}
    metadata = _changed(metadata, number and str(number), "singerid.format")
    metadata = {key: str(text) if key == "new" else text for key, text in metadata.items()}
    table = table if number is None else table.drop_columns("embedding")
    pq.write_table(table.replace_schema_metadata(metadata), path)


def _lance(folder: Path, number: int | None) -> None:
    tables = Tables(str(folder), create=False)
    schema = tables.get(EXEMPLARS).schema.remove_metadata()
    tables.replace(EXEMPLARS, schema, encoder="abc", dim=20, format=number)


RAISED: dict[str, Callable[[Path, int | None], None]] = {
    "manifest": _lines, "configuration": _yaml, "store": _json("spec.json"),
    "bank": _json("spec.json"), "run": _json("provenance.json"),
    "checkpoint": _torch("*.ckpt", "singerid"), "saved model": _torch("saved_model.pt"),
    "encoder": _safetensors("singerid", "format"), "exported encoder": _onnx,
    "hub folder": _json("config.json"),
    "calibration": _safetensors("singerid.scoring.calibration", "version"),
    "embeddings": _parquet, "table": _parquet, "registry": _lance,
    "robustness report": _json("robustness.json"), "segments": _json("song.json"),
}  # fmt: skip


# --------------------------------------------------------------------------------------- outlines


def outline(name: str, folder: Path) -> list[str]:
    """Names of the fields in a format's files, sorted; of formats of the field, their lines."""
    place, found = folder / folder_of(name), set()
    belongs = {"run": (".json",), "saved model": (".pt",), "checkpoint": (".ckpt",)}
    for path in sorted(place.rglob("*")):
        if path.suffix in belongs.get(name, (path.suffix,)) and name != "registry":
            found |= {f"{_file(path)}: {key}" for key in _keys(path, name)}
    if name == "registry":
        tables = Tables(str(place), create=False)
        for kind in (EXEMPLARS, CLIPS):
            schema = tables.get(kind).schema
            found |= {f"{kind}: {field.name} {field.type}" for field in schema}
            found |= {f"{kind}: metadata {key.decode()}" for key in schema.metadata}
    return sorted(found)


def _file(path: Path) -> str:
    return re.sub(r"\d+", "N", path.name)


def _keys(path: Path, name: str) -> set[str]:
    if path.suffix == ".json":
        return _paths(json.loads(path.read_text("utf-8")))
    if path.suffix == ".jsonl":
        return {key for line in path.open(encoding="utf-8") for key in _paths(json.loads(line))}
    if path.suffix == ".yaml":
        return _paths(yaml.safe_load(path.read_text("utf-8")))
    if path.suffix == ".parquet":
        schema = pq.read_schema(path)
        columns = {f"{field.name} {field.type}" for field in schema}
        return columns | {f"metadata {key.decode()}" for key in schema.metadata}
    if path.suffix == ".pt":
        return set(load_weights_only(path))
    if path.suffix == ".ckpt":  # the rest is Lightning's
        state = load_weights_only(path)
        ours = {"singerid": state["singerid"], "Keeper": state["callbacks"]["Keeper"]}
        return _paths(ours) | {name for name in state if name == "steps_before"}
    if path.suffix == ".safetensors":
        header, _ = safetensors_header(path)
        texts = header.pop("__metadata__")
        values = {key: json.loads(text) for key, text in texts.items()}
        names = {re.sub(r"\d+", "N", key): array["dtype"] for key, array in header.items()}
        return _paths(values) | {f"array {key} {dtype}" for key, dtype in names.items()}
    if path.suffix == ".onnx":
        return _paths(parse_header(path.read_bytes(), path).model_dump())
    return set(path.read_text("utf-8").splitlines()) if name not in FORMATS else set()


def _paths(value: Any, prefix: str = "") -> set[str]:
    """``a.b[].c`` for each value within."""
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
        return {path for one in value for path in _paths(one, f"{prefix}[]")}
    if not isinstance(value, dict) or prefix.rpartition(".")[2] in _FREE:
        return {prefix}
    return {
        path for key, one in value.items() for path in _paths(one, f"{prefix}.{key}".lstrip("."))
    }
