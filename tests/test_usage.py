"""What a user does with the wheel alone: no torch, no network, no other extra."""

import json
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from shutil import copy, copytree, rmtree

import numpy as np
import pytest
import soundfile
import torch

from encoder_checks import trained
from singerid.checkpoint import load_encoder, save_encoder
from singerid.embeddings import read_embeddings
from singerid.encoders import build_encoder
from singerid.export import export_encoder
from singerid.records import Recording, write_recordings
from singerid.runtime import OnnxSingerEncoder
from singerid.scoring.calibration import Calibration, Line
from singerid.scoring.calibration_file import to_bytes
from singerid.scoring.scorer import Scorer
from singerid.sections import EmbedSettings
from singerid.spec import FeatureSpec, MelSettings
from singerid.training_sections import EncoderSettings

pytest.importorskip("onnx")
ROOT = Path(__file__).resolve().parents[1]
RATE = 16_000
BARE = """
import sys

EXTRAS = {"torch", "lightning", "torchmetrics", "tensorboard", "onnx", "pyworld", "swift_f0",
          "umap", "openTSNE", "librosa", "resemblyzer", "wandb", "mlflow"}


def forbid(event, arguments):
    if event == "import" and arguments[0].partition(".")[0] in EXTRAS:
        raise ModuleNotFoundError(f"No module named {arguments[0]!r}", name=arguments[0])
    if event == "socket.connect" and isinstance(arguments[1], str | bytes):
        return  # a file's name: of worker processes
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise OSError("there is no network")


sys.addaudithook(forbid)
"""
SERVER = """
import contextlib, io, json, sys
from singerid.cli import main

for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(json.loads(line))
    print(json.dumps([status, out.getvalue(), err.getvalue()]), flush=True)
"""


@pytest.fixture(scope="module")
def encoder_file(tmp_path_factory):
    """A small exported encoder of ours with random weights, and a calibration in its file."""
    at = tmp_path_factory.mktemp("exported")
    spec = FeatureSpec(mel=MelSettings(n_mels=24))
    settings = EncoderSettings(kind="resnet", channels=4, dim=8)
    torch.manual_seed(0)
    network = trained(build_encoder(settings, spec.n_inputs))
    save_encoder(at / "default.safetensors", network.state_dict(), settings, spec, 120, {})
    file = load_encoder(at / "default.safetensors")
    line = Line(40.0, -38.0, ((0.01, 0.97),), 100, 1000, 10)
    calibration = Calibration(file.fingerprint, Scorer(), line, (3.0,), (line, line))
    path = at / "default.onnx"
    export_encoder(file, path, name="small", calibration=to_bytes(calibration))
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory, encoder_file):
    """A folder with the wheel's content, a default encoder, and none of the extras."""
    at = tmp_path_factory.mktemp("site")
    project = at / "project"
    project.mkdir()
    for name in ("src", "pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        source = ROOT / name
        (copytree if source.is_dir() else copy)(source, project / name)
    for suffix in (".onnx", ".safetensors"):
        copy(encoder_file.with_suffix(suffix), project / "src" / "singerid" / "pretrained")
    if find_spec("hatchling"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", at / "dist"]
        subprocess.run(command, cwd=project, check=True, capture_output=True, timeout=120)
        with zipfile.ZipFile(next((at / "dist").glob("*.whl"))) as wheel:
            wheel.extractall(at)
    else:
        copytree(project / "src" / "singerid", at / "singerid")
    rmtree(project)
    (at / "sitecustomize.py").write_text(BARE)
    return at


@pytest.fixture(scope="module")
def python(site, tmp_path_factory):
    """Run Python with nothing but the site, in an empty folder; returns its output lines."""
    folder = tmp_path_factory.mktemp("work")

    def run(*arguments, status=0):
        done = subprocess.run(
            [sys.executable, *(str(argument) for argument in arguments)], cwd=folder, timeout=300,
            env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return (done.stdout if status == 0 else done.stderr).splitlines()

    return run


@pytest.fixture(scope="module")
def singerid(site, tmp_path_factory):
    """Run commands in one bare process, which need not start for each; returns their lines."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], cwd=tmp_path_factory.mktemp("served"), text=True,
        env=os.environ | {"PYTHONPATH": str(site)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip

    def run(*arguments, status=0):
        process.stdin.write(json.dumps([str(argument) for argument in arguments]) + "\n")
        process.stdin.flush()
        found, out, err = json.loads(process.stdout.readline())
        assert found == status, err
        return (out if status == 0 else err).splitlines()

    yield run
    process.stdin.close()
    process.stdout.close()
    assert process.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def embeddings(singerid, recordings, tmp_path_factory):
    at = tmp_path_factory.mktemp("embeddings")
    write_recordings(at / "manifest.jsonl", recordings)
    out = singerid("embed", at / "manifest.jsonl", "-o", at / "e.parquet")
    assert out[0].startswith(f"{at}/e.parquet: {len(recordings)} vectors of 8 dimensions")
    return at / "e.parquet"


def test_the_site_is_bare(python, site):
    code = "import singerid, sys; print(singerid.__file__)"
    assert python("-c", code) == [str(site / "singerid" / "__init__.py")]
    assert "No module named 'torch'" in python("-c", "import torch", status=1)[-1]
    connect = "import socket; socket.create_connection(('127.0.0.1', 9))"
    assert "there is no network" in python("-c", connect, status=1)[-1]
    refusal = python("-m", "singerid", "train", "store", "-o", "run", status=1)
    assert refusal[-1].startswith("error: PyTorch is not installed")


def test_both_files_of_the_encoder_are_there(site, encoder_file):
    for suffix in (".onnx", ".safetensors"):
        shipped = site / "singerid" / "pretrained" / f"default{suffix}"
        assert shipped.read_bytes() == encoder_file.with_suffix(suffix).read_bytes()


def test_what_needs_torch_says_so(singerid, store):
    refusal = singerid("embed", store.path, "-o", "e.parquet", status=1)
    assert len(refusal) == 1
    assert refusal[0].startswith("error: PyTorch is not installed")


def test_verify(python, recordings):
    files = [recordings[0].path, recordings[4].path]
    out = python("-m", "singerid", "verify", *files)
    assert "probability of the same singer" in out[0]
    assert out[1].startswith(f"  {files[0]}: ")
    assert out[1].endswith(" s voice")
    assert len(out) == 3


def test_verify_as_json(singerid, recordings, encoder_file):
    header = OnnxSingerEncoder.load(encoder_file).header
    files = [recordings[0].path, recordings[4].path]
    answer = json.loads(singerid("verify", *files, "--json")[0])
    assert answer["files"] == files
    durations = [recordings[0].duration, recordings[4].duration]
    assert answer["seconds"] == pytest.approx(durations, abs=1e-3)
    for voice, seconds in zip(answer["voice_seconds"], answer["seconds"], strict=True):
        assert 0.4 * seconds < voice <= seconds
    assert (answer["encoder"], answer["encoder_name"]) == (header.fingerprint, "small")
    assert answer["calibration"] == {"origin": "default", "notes": []}
    assert answer["llr"] == pytest.approx(40 * answer["score"] - 38, abs=1e-3)
    assert answer["probability"] == pytest.approx(1 / (1 + np.exp(-answer["llr"])), abs=1e-4)
    same = json.loads(singerid("verify", files[0], files[0], "--json")[0])
    assert same["score"] == pytest.approx(1, abs=1e-6)
    assert same["accepted"]


def test_what_holds_no_voice_is_refused(singerid, recordings, tmp_path):
    noise = 0.1 * np.random.default_rng(0).normal(size=4 * RATE)
    soundfile.write(tmp_path / "noise.wav", noise, RATE)
    soundfile.write(tmp_path / "short.wav", noise[: int(0.3 * RATE)], RATE)
    song = recordings[0].path
    refusal = singerid("verify", tmp_path / "noise.wav", song, status=1)
    assert len(refusal) == 1
    assert refusal[0].startswith(f"error: {tmp_path}/noise.wav: holds no voice; found at most 0 %")
    out = singerid("verify", tmp_path / "noise.wav", song, "--embed.min_voice", 0)
    assert "4.0 s, of which 0.0 s voice" in out[1]
    refusal = singerid("verify", song, tmp_path / "short.wav", status=1)
    assert len(refusal) == 1
    assert refusal[0] == (
        f"error: {tmp_path}/short.wav: is too short; found 0.30 s; expected at least 0.50 s; "
        "give a longer recording, or leave it out"
    )


def test_table_and_identify(singerid, embeddings, recordings, tmp_path):
    out = singerid("table", embeddings, "-o", tmp_path / "t.parquet")
    assert out == [f"{tmp_path}/t.parquet: 6 singers, 12 recordings"]
    path = recordings[0].path
    answer = json.loads(
        singerid("identify", tmp_path / "t.parquet", path, "--json", "--top", 6)[0]
    )  # fmt: skip
    assert {c["singer"] for c in answer["candidates"]} == {r.singer for r in recordings}
    assert answer["encoder_name"] == "small"
    assert 0 < answer["voice_seconds"] <= answer["seconds"]


def test_evaluate_and_plot(singerid, embeddings, tmp_path):
    out = singerid("evaluate", embeddings, "-o", tmp_path / "report", "--evaluate.n_bootstrap", 0)
    assert out[-1].startswith(f"{tmp_path}/report: ")
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["encoder"] == read_embeddings(embeddings).encoder
    singerid("plot", embeddings, "-o", tmp_path / "map.png", "--plot.method", "pca")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_from_python(python, recordings, encoder_file):
    path = recordings[0].path
    code = f"""
import json, singerid
encoder = singerid.load_encoder()
samples, _ = singerid.load_audio({path!r}, 44100)
print(json.dumps([encoder.embed(samples, 44100).tolist(), encoder.embed_file({path!r}).tolist()]))
"""
    of_samples, of_file = np.array(json.loads(python("-c", code)[0]))
    ours = OnnxSingerEncoder.load(encoder_file).embed_file(path)
    np.testing.assert_allclose(of_file, ours, atol=1e-6)
    assert of_samples @ of_file > 0.999


def test_mixed_lengths_together_equal_one_by_one(recordings, encoder_file, tmp_path):
    source = soundfile.read(recordings[0].path, dtype="float32")[0]
    excerpts = []
    for seconds in (0.6, 5.9, 1.0, 1.93, 2.5, 4.0):
        path = str(tmp_path / f"{seconds}.wav")
        soundfile.write(path, source[: int(seconds * RATE)], RATE)
        excerpts.append(Recording(path, "s", path, seconds, RATE))
    encoder = OnnxSingerEncoder.load(encoder_file, EmbedSettings(min_voice=0))
    together, failures = encoder.embed_recordings(excerpts)
    assert not failures
    single = np.stack([encoder.embed_file(excerpt.path) for excerpt in excerpts])
    np.testing.assert_allclose(together.vectors, single, atol=1e-6)
    assert np.ptp(single, axis=0).max() > 1e-3  # the excerpts do differ
