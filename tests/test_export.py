"""Export: the graph's numbers are torch's, whatever the front end, the lengths and the batch."""

import sys

import numpy as np
import pytest
import torch

from singerid import export
from singerid.checkpoint import load_encoder, save_encoder
from singerid.encoder_graph import parse_header
from singerid.encoders import build_encoder
from singerid.errors import CheckpointError, MissingExtraError
from singerid.export import export_encoder, fingerprint_of
from singerid.features.mel import log_mel, padded
from singerid.mel_network import MelNetwork
from singerid.runtime import OnnxSingerEncoder, open_session
from singerid.spec import AudioSettings, FeatureSpec, MelSettings, PitchSettings
from singerid.training_sections import EncoderSettings

onnx = pytest.importorskip("onnx")

FRAMES = 40
MEL = MelSettings(n_fft=512, hop_length=128, n_mels=24)
RESNET = EncoderSettings(kind="resnet", depth=10, channels=4, dim=16, normalization="level")
LSTM = EncoderSettings(kind="lstm", hidden_size=12, n_layers=2, dim=16)


def make(folder, settings=RESNET, mel=MEL, name="encoder.safetensors", **more):
    """An encoder file with random weights and the statistics of random frames."""
    torch.manual_seed(0)
    spec = FeatureSpec(mel=mel, **more)
    network = build_encoder(settings, spec.n_inputs, spec.n_pitch_classes).train()
    for _ in range(3):
        network(torch.rand(4, FRAMES, spec.n_inputs))
    save_encoder(folder / name, network.state_dict(), settings, spec, FRAMES, {"step": 7})
    return load_encoder(folder / name)


def noise(n, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


@pytest.mark.parametrize(
    "mel",
    [
        MelSettings(),
        MEL,
        MelSettings(n_fft=400, hop_length=160, n_mels=40, spectrum="power", scale="linear"),
        MelSettings(n_fft=400, hop_length=160, n_mels=40, spectrum="power", floor_db=-80),
        MelSettings(n_fft=514, hop_length=111, n_mels=20, fmin=0, fmax=8000, gain=0.5),
    ],
)
def test_the_front_end_is_that_of_the_features(mel):
    """Also for hops that do not divide the window, and for bands up to half of the rate."""
    spec = FeatureSpec(mel=mel)
    samples = noise(12_345) * np.linspace(0, 3, 12_345, dtype=np.float32) ** 4
    windows = torch.from_numpy(padded(samples, 16000, mel))
    found = MelNetwork(spec)(torch.stack([windows, windows * 0]))
    expected = log_mel(samples, 16000, mel)
    assert found.shape == (2, *expected.shape)
    scale = expected.max() if mel.scale == "linear" else 1
    np.testing.assert_allclose(found[0] / scale, expected / scale, atol=3e-6)


@pytest.mark.parametrize("settings", [RESNET, LSTM])
def test_rows_are_those_of_torch_at_their_own_lengths(tmp_path, settings):
    file = make(tmp_path, settings)
    session = open_session(export.graph_of(file), "graph")
    whole = torch.nn.Sequential(MelNetwork(file.spec), file.encoder).eval()
    longest = 512 + 128 * (FRAMES - 1)
    lengths = np.array([longest, 512 + 128 * 9, longest - 1, 2000])
    samples = np.stack([noise(longest, seed) for seed in range(4)])
    for row, length in enumerate(lengths):
        samples[row, length:] = np.nan  # what lies behind does not matter
    (found,) = session.run(None, {"samples": samples, "lengths": lengths})
    for row, length in enumerate(lengths):
        own = samples[row : row + 1, :length]
        with torch.inference_mode():
            expected = whole(torch.from_numpy(own))
        np.testing.assert_allclose(found[row], expected[0], atol=1e-6)
        (alone,) = session.run(None, {"samples": own, "lengths": lengths[row : row + 1]})
        np.testing.assert_allclose(found[row], alone[0], atol=1e-6)
    (equal,) = session.run(
        None, {"samples": samples[:, :1500], "lengths": np.full(4, 1200)}
    )  # equal, and shorter than the array
    (cut,) = session.run(None, {"samples": samples[:, :1200], "lengths": np.full(4, 1200)})
    np.testing.assert_array_equal(equal, cut)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_all_kinds_of_encoders(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_SECONDS", (0.7, 2.0))  # long ones are compared below
    for kind in ("ecapa", "campplus", "redimnet"):
        channels = 32 if kind == "ecapa" else 8
        file = make(tmp_path, EncoderSettings(kind=kind, dim=8, channels=channels))
        assert export_encoder(file, tmp_path / f"{kind}.onnx", name=kind) < 1e-5


def test_the_file_says_what_it_is(tmp_path):
    file = make(tmp_path)
    path = tmp_path / "a.onnx"
    assert export_encoder(file, path, name="tiny", calibration=b"abc") < 1e-5
    data = path.read_bytes()
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    header = parse_header(data, path)
    assert (header.name, header.fingerprint) == ("tiny", file.fingerprint)
    assert (header.spec, header.partial_frames, header.dim) == (file.spec, FRAMES, 16)
    assert (header.provenance, header.calibration_bytes) == ({"step": 7}, b"abc")


def test_quantized_lstm(tmp_path):
    wide = LSTM.model_copy(update={"hidden_size": 128})
    file = make(tmp_path, wide)
    sizes, encoders = {}, {}
    for quantize in (False, True):
        path = tmp_path / f"{quantize}.onnx"
        difference = export_encoder(file, path, name="q", quantize=quantize)
        assert (difference > 1e-5) == quantize
        sizes[quantize], encoders[quantize] = path.stat().st_size, OnnxSingerEncoder.load(path)
    assert sizes[False] - sizes[True] > 0.7 * 4 * sum(p.numel() for p in file.encoder.parameters())
    assert encoders[True].fingerprint == fingerprint_of(file, True) == f"{file.fingerprint}-int8"
    batch = np.stack([noise(6000, seed) for seed in range(3)])
    a, b = (encoders[quantize].encode(batch) for quantize in (False, True))
    assert (a * b).sum(axis=1).min() > 0.99


def refused(message, *arguments, **more):
    with pytest.raises(CheckpointError) as caught:
        export_encoder(*arguments, name="x", **more)
    assert str(caught.value) == message


def test_what_cannot_be_exported_is_refused(tmp_path):
    pytest.importorskip("pyworld")
    path = tmp_path / "x.onnx"
    pitched = make(tmp_path, mel=MEL, pitch=PitchSettings(condition=True))
    refused(
        f"encoder {pitched.fingerprint}: only encoders of mel features can be exported; found mel "
        "and pitch; expected mel", pitched, path,
    )  # fmt: skip
    resnet = make(tmp_path)
    refused(
        f"encoder {resnet.fingerprint}: only an LSTM gains by bytes as weights; found resnet; "
        "export it without --quantize", resnet, path, quantize=True,
    )  # fmt: skip
    assert not path.exists()


def test_a_graph_with_other_numbers_is_not_written(tmp_path, monkeypatch):
    file = make(tmp_path)
    other = make(tmp_path, RESNET.model_copy(update={"normalization": "standard"}), name="other")
    model = export.graph_of(other)
    monkeypatch.setattr(export, "graph_of", lambda file, quantize: model)
    with pytest.raises(CheckpointError, match=r"the exported graph gives other vectors; found 0"):
        export_encoder(file, tmp_path / "x.onnx", name="x")
    assert not (tmp_path / "x.onnx").exists()


def test_vectors_that_are_not_numbers_are_not_equal(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "compare", lambda file, exported: float("nan"))
    with pytest.raises(CheckpointError, match=r"found nan apart; expected at most 0.0001"):
        export_encoder(make(tmp_path), tmp_path / "x.onnx", name="x")


def test_the_library_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"^onnx is not installed; .*singerid\[export\]'$"):
        export_encoder(make(tmp_path), tmp_path / "x.onnx", name="x")


def test_other_rates_and_settings_of_the_audio(tmp_path):
    audio = AudioSettings(sample_rate=22050, silence_db=-40, min_level_db=-25)
    file = make(tmp_path, mel=MEL, audio=audio)
    assert export_encoder(file, tmp_path / "x.onnx", name="x") < 1e-5
