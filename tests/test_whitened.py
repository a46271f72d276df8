"""The whitened encoder: unit vectors, padding, its parts, its file, and its ONNX graph."""

import numpy as np
import pytest
import torch
from torch import nn

from encoder_checks import check_bf16, check_onnx, check_padding, frames, make, trained
from singerid.checkpoint import load_encoder, save_encoder
from singerid.encoders import build_encoder
from singerid.encoders.whitened import WhitenedEncoder
from singerid.errors import CheckpointError
from singerid.spec import FeatureSpec, MelSettings
from singerid.training_sections import EncoderSettings

LSTM = {"kind": "lstm", "hidden_size": 12, "n_layers": 1, "relu": False, "normalization": "level"}
RESNET = {"kind": "resnet", "depth": 10, "channels": 4, "normalization": "level"}
N_CEPSTRA = 6
N_STATISTICS = N_CEPSTRA + N_CEPSTRA * (N_CEPSTRA + 1) // 2


def small(kind, n_inputs=20, n_classes=0):
    """One whose layer has weights such as `singerid whiten` computes: of the order of 1 / std."""
    encoder = make(n_inputs, n_classes, cepstra=N_CEPSTRA, **kind)
    assert isinstance(encoder, WhitenedEncoder)
    joined = encoder.eval().joined(frames(64, 40, n_inputs)).detach()
    # Unit vectors of a trained network differ by more than those of random weights.
    spread = nn.init.orthogonal_(encoder.whitening.weight.data) / joined.std(0).clamp(min=0.05)
    encoder.whitening.weight.data = spread
    encoder.whitening.bias.data = -spread @ joined.mean(0)
    return encoder


@pytest.fixture(params=[LSTM, RESNET, LSTM | {"networks": 3}], ids=["lstm", "resnet", "lstms"])
def encoder(request):
    return small(request.param)


def test_vectors_have_unit_length(encoder):
    for batch, n_frames in [(1, 1), (2, 7), (3, 50)]:
        vectors = encoder(frames(batch, n_frames))
        assert vectors.dtype == torch.float32
        assert vectors.shape == (batch, 8 * len(encoder.networks) + N_STATISTICS)
        np.testing.assert_allclose(vectors.norm(dim=1).detach(), 1, atol=1e-6)


def test_padded_rows_are_those_alone(encoder):
    check_padding(encoder)
    # Of a quiet recording, whose gate lies below what zeros in the padding stand for.
    quiet, lengths = 0.3 * frames(3, 40), torch.tensor([40, 25, 6])
    alone = torch.cat([encoder(row[None, :n]) for row, n in zip(quiet, lengths, strict=True)])
    np.testing.assert_allclose(encoder(quiet, lengths).detach(), alone.detach(), atol=2e-5)


def test_half_precision_around_it_changes_little(encoder):
    check_bf16(encoder)
    x = frames()
    with torch.autocast("cpu", torch.bfloat16):
        joined = encoder.joined(x)
    assert joined.dtype == torch.float32
    own = slice(-N_STATISTICS, None)
    assert torch.equal(joined[:, own], encoder.joined(x)[:, own])  # decibels keep their digits


def test_onnx_of_the_network(encoder):
    check_onnx(encoder)


def test_the_parts_are_the_networks_and_the_statistics(encoder):
    x = frames()
    joined = encoder.joined(x)
    n = 8 * len(encoder.networks)
    for network, part in zip(encoder.networks, joined[:, :n].split(8, 1), strict=True):
        assert torch.equal(part, network(x))
    assert torch.equal(joined[:, n:], encoder.statistics(x))
    by_hand = joined @ encoder.whitening.weight.T + encoder.whitening.bias
    by_hand /= by_hand.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(encoder(x).detach(), by_hand.detach(), atol=1e-5)


def test_a_pitch_is_for_the_networks_alone():
    encoder = small(LSTM, n_inputs=25, n_classes=5)
    x = frames(n_inputs=25)
    other = x.clone()
    other[..., 20:] = x[..., 20:].flip(2)
    before, after = encoder.joined(x), encoder.joined(other)
    assert torch.equal(before[:, 8:], after[:, 8:])
    assert (before[:, :8] - after[:, :8]).abs().max() > 1e-3


def test_the_gate_is_that_of_the_settings():
    x = frames(n_frames=60)
    x[:, 30:] -= 0.3
    for gate_db, n in ((60.0, 60), (20.0, 30)):
        encoder = make(cepstra=N_CEPSTRA, gate_db=gate_db, **LSTM)
        expected = encoder.statistics(x[:, :n])
        np.testing.assert_allclose(encoder.joined(x)[:, 8:].detach(), expected, atol=1e-4)


def test_without_cepstra_there_is_no_such_layer():
    assert not isinstance(make(**LSTM), WhitenedEncoder)


# ------------------------------------------------------------------------------------------- files

SPEC = FeatureSpec(mel=MelSettings(n_fft=512, hop_length=128, n_mels=24))


def saved(folder, kind):
    encoder = small(kind, SPEC.n_inputs)
    settings = EncoderSettings.model_validate(kind | {"dim": 8, "cepstra": N_CEPSTRA})
    path = folder / "encoder.safetensors"
    save_encoder(path, encoder.state_dict(), settings, SPEC, 40, {})
    return encoder, path


def test_its_state_is_the_networks_and_the_layer(encoder):
    networks = {
        f"networks.{i}.{name}"
        for i, network in enumerate(encoder.networks)
        for name in network.state_dict()
    }
    assert set(encoder.state_dict()) == networks | {"whitening.weight", "whitening.bias"}


def test_files(tmp_path):
    encoder, path = saved(tmp_path, RESNET | {"networks": 2})
    file = load_encoder(path)
    assert isinstance(file.encoder, WhitenedEncoder)
    assert (file.settings.cepstra, file.settings.networks) == (N_CEPSTRA, 2)
    x = frames(n_inputs=SPEC.n_inputs)
    assert torch.equal(file.encoder(x), encoder(x))


def test_a_file_without_the_layer_is_refused(tmp_path):
    settings = EncoderSettings.model_validate(LSTM | {"dim": 8, "cepstra": N_CEPSTRA})
    weights = trained(build_encoder(settings, SPEC.n_inputs)).state_dict()
    del weights["whitening.bias"]
    save_encoder(tmp_path / "e.safetensors", weights, settings, SPEC, 40, {})
    with pytest.raises(CheckpointError, match=r"do not fit; found whitening\.bias is missing$"):
        load_encoder(tmp_path / "e.safetensors")


@pytest.mark.parametrize("kind", [LSTM, RESNET | {"networks": 2}], ids=["lstm", "resnets"])
def test_export(tmp_path, kind, monkeypatch):
    """The exported file gives torch's vectors, of the joined length, also at mixed lengths."""
    pytest.importorskip("onnx")
    from singerid import export
    from singerid.mel_network import MelNetwork
    from singerid.runtime import OnnxSingerEncoder, open_session

    file = load_encoder(saved(tmp_path, kind)[1])
    path = tmp_path / "e.onnx"
    monkeypatch.setattr(export, "_SECONDS", (0.7, 2.0))
    assert export.export_encoder(file, path, name="w") < 1e-4
    assert OnnxSingerEncoder.load(path).fingerprint == file.fingerprint
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal((3, 6000))).astype(np.float32)
    samples *= np.linspace(0.02, 1, 6000, dtype=np.float32) ** 2
    lengths = np.array([6000, 2500, 4097])
    session = open_session(path.read_bytes(), "graph")
    (found,) = session.run(None, {"samples": samples, "lengths": lengths})
    whole = nn.Sequential(MelNetwork(file.spec), file.encoder).eval()
    for row, length in enumerate(lengths):
        with torch.inference_mode():
            expected = whole(torch.from_numpy(samples[row : row + 1, :length]))
        np.testing.assert_allclose(found[row], expected[0], atol=1e-4)
    assert found.shape == (3, 8 * kind.get("networks", 1) + N_STATISTICS)
    assert np.abs(found[0] - found[1]).max() > 1e-2
