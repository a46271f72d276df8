"""Exported encoders without torch: the same vectors, any length, no voice refused."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from singerid import runtime
from singerid.checkpoint import load_encoder, save_encoder
from singerid.embed import TorchSingerEncoder
from singerid.encoder_graph import parse_header, with_header
from singerid.encoders import build_encoder
from singerid.errors import AudioError, BatchError, CheckpointError, SingeridError
from singerid.export import export_encoder
from singerid.external import load_embedder
from singerid.runtime import OnnxSingerEncoder
from singerid.sections import EmbedSettings
from singerid.spec import FeatureSpec
from singerid.training_sections import EncoderSettings

onnx = pytest.importorskip("onnx")
FRAMES = 60
ALL = EmbedSettings(min_voice=0)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A small encoder as safetensors and as ONNX, by the default front end."""
    at = tmp_path_factory.mktemp("exported")
    settings = EncoderSettings(kind="resnet", depth=10, channels=4, dim=16, normalization="level")
    torch.manual_seed(0)
    network = build_encoder(settings, 80).train()
    for _ in range(3):
        network(torch.rand(4, FRAMES, 80))
    save_encoder(at / "e.safetensors", network.state_dict(), settings, FeatureSpec(), FRAMES, {})
    export_encoder(load_encoder(at / "e.safetensors"), at / "e.onnx", name="small")
    return at


def samples_of(recording):
    return soundfile.read(recording.path, dtype="float32")[0]


@pytest.mark.parametrize(
    "settings", [{}, {"overlap": 0.5, "batch_partials": 3}, {"max_seconds": 2.0}]
)
def test_vectors_are_those_of_torch(exported, recordings, settings):
    settings = EmbedSettings(min_voice=0, **settings)
    ours = TorchSingerEncoder.load(exported / "e.safetensors", settings)
    encoder = load_embedder(exported / "e.onnx", settings)
    assert isinstance(encoder, OnnxSingerEncoder)
    assert (encoder.name, encoder.dim, encoder.sample_rate) == ("small", 16, 16000)
    assert encoder.calibration_bytes is None
    found, _ = encoder.embed_recordings(recordings[:4], 2)
    expected, _ = ours.embed_recordings(recordings[:4])
    assert found.encoder == expected.encoder
    np.testing.assert_array_equal(found.n_partials, expected.n_partials)
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-5)
    for seconds, rate in [(0.6, 16000), (1.5, 44100), (3.0, 8000)]:
        samples = samples_of(recordings[0])[: int(seconds * rate)]
        np.testing.assert_allclose(
            encoder.embed(samples, rate), ours.embed(samples, rate), atol=1e-5
        )


@pytest.mark.real
def test_vectors_are_those_of_torch_on_real_singing(exported, shared_audio):
    files = sorted(p for p in shared_audio.rglob("*") if p.suffix in (".opus", ".wav", ".m4a"))[
        ::200
    ]
    assert files
    ours = TorchSingerEncoder.load(exported / "e.safetensors", ALL)
    encoder = OnnxSingerEncoder.load(exported / "e.onnx", ALL)
    for path in files[:5]:
        np.testing.assert_allclose(encoder.embed_file(path), ours.embed_file(path), atol=1e-4)


@pytest.mark.parametrize("n", [1, 3, 8, 9, 33])
def test_batches_are_one_by_one(exported, n, monkeypatch):
    monkeypatch.setattr(runtime, "CPUS", 3)  # a pool, whatever machine this is
    encoder = OnnxSingerEncoder.load(exported / "e.onnx")
    batch = 0.1 * np.random.default_rng(0).standard_normal((n, 5000)).astype(np.float32)
    found = encoder.encode(batch)
    assert found.shape == (n, 16)
    np.testing.assert_allclose(
        found, np.concatenate([encoder.encode(row[None]) for row in batch]), atol=1e-6
    )
    monkeypatch.setattr(runtime, "CPUS", 1)
    single = OnnxSingerEncoder.load(exported / "e.onnx")
    np.testing.assert_array_equal(found, single.encode(batch))


def test_partials_without_voice_are_left_out(exported, recordings, tmp_path):
    """Half noise, half singing: the vector is that of the singing's partials."""
    encoder = OnnxSingerEncoder.load(exported / "e.onnx")
    keeping = OnnxSingerEncoder.load(exported / "e.onnx", ALL)
    song = samples_of(recordings[0])
    noise = 0.03 * np.random.default_rng(0).standard_normal(10 * 16000).astype(np.float32)
    frames = encoder.front_end.frames(np.concatenate([noise, song]))
    kept, every = encoder.places(frames), keeping.places(frames)
    assert set(kept) < set(every)
    assert kept.min() >= 10 * 62.5 - FRAMES
    vectors = keeping.embed_partials(frames)[np.isin(every, kept)]
    np.testing.assert_allclose(encoder.embed_partials(frames), vectors, atol=1e-6)
    with pytest.raises(AudioError, match=r"^holds no voice; found .* --embed.min_voice 0$"):
        encoder.embed(noise, 16000)
    assert keeping.embed(noise, 16000).shape == (16,)
    soundfile.write(tmp_path / "noise.wav", noise, 16000)
    bad = dataclasses.replace(recordings[0], id="noise", path=str(tmp_path / "noise.wav"))
    found, failures = encoder.embed_recordings([bad, *recordings[:2]])
    assert found.ids == [r.id for r in recordings[:2]]
    assert str(failures[0]).startswith(f"{tmp_path}/noise.wav: holds no voice; found ")
    with pytest.raises(BatchError, match="all 1 recordings failed"):
        encoder.embed_recordings([bad])


def test_short_audio_is_refused(exported, recordings):
    encoder = OnnxSingerEncoder.load(exported / "e.onnx")
    with pytest.raises(AudioError, match=r"is too short; found 0.30 s; expected at least 0.50 s"):
        encoder.embed(samples_of(recordings[0])[:4800], 16000)


def test_a_failing_run_is_said_in_one_line(exported):
    encoder = OnnxSingerEncoder.load(exported / "e.onnx")
    with pytest.raises(SingeridError, match=r"^the encoder fails; found ") as caught:
        encoder.encode(np.zeros((1, 10), np.float32))
    assert "ONNXRuntimeError" not in str(caught.value)


def test_files_that_cannot_be_used(exported, tmp_path):
    with pytest.raises(CheckpointError, match=r"gone.onnx: cannot be read; found No such file"):
        OnnxSingerEncoder.load(tmp_path / "gone.onnx")
    (tmp_path / "other.onnx").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="is not an exported encoder of singerid"):
        OnnxSingerEncoder.load(tmp_path / "other.onnx")
    data = (exported / "e.onnx").read_bytes()
    header = parse_header(data, "e")
    with pytest.raises(CheckpointError, match="is not an ONNX model that onnxruntime can run"):
        OnnxSingerEncoder(with_header(b"", header), "e")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])], "g",
        [helper.make_tensor_value_info("x", number, ["n"])],
        [helper.make_tensor_value_info("y", number, ["n"])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(CheckpointError) as caught:
        OnnxSingerEncoder(with_header(model.SerializeToString(), header), "e")
    assert str(caught.value) == (
        "e: has a header that does not fit its graph; found inputs x; expected samples, lengths; "
        "export it again"
    )


def test_torch_is_not_needed(exported, recordings):
    code = (
        "import sys\nsys.modules['torch'] = sys.modules['onnx'] = None\n"
        "from singerid.external import load_embedder\n"
        f"encoder = load_embedder({str(exported / 'e.onnx')!r})\n"
        f"print(encoder.embed_file({recordings[0].path!r}).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "(16,)\n", done.stderr
