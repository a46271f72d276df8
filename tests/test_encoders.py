"""The LSTM encoder: shapes, lengths, gradients, and its numbers by a loop over time."""

import numpy as np
import pytest
import torch

from singerid.config import ORIGINAL
from singerid.encoders import build_encoder
from singerid.encoders.lstm import LSTMEncoder
from singerid.encoders.normalization import Normalization
from singerid.training_sections import EncoderSettings


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def make(relu=False, hidden=12, layers=2, dim=6, n_dims=5, seed=0):
    torch.manual_seed(seed)
    settings = EncoderSettings(
        kind="lstm", normalization="none", hidden_size=hidden, n_layers=layers, dim=dim, relu=relu
    )
    return build_encoder(settings, n_dims)


def frames(batch, n_frames, n_dims=5, seed=1):
    return torch.randn(batch, n_frames, n_dims, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(("batch", "n_frames"), [(1, 1), (3, 20), (7, 128)])
def test_shape_and_length(relu, batch, n_frames):
    vectors = make(relu, dim=16)(frames(batch, n_frames))
    assert vectors.shape == (batch, 16)
    assert vectors.dtype == torch.float32
    np.testing.assert_allclose(vectors.norm(dim=1).detach(), 1, atol=1e-6)
    assert bool((vectors >= 0).all()) == relu


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(encoder, features):
    """One recording through the LSTM equations (Hochreiter and Schmidhuber; gates i, f, g, o)."""
    weights = {name: w.detach().double().numpy() for name, w in encoder.state_dict().items()}
    inputs = features.double().numpy()
    for layer in range(encoder.lstm.num_layers):
        w_x, w_h = weights[f"lstm.weight_ih_l{layer}"], weights[f"lstm.weight_hh_l{layer}"]
        bias = weights[f"lstm.bias_ih_l{layer}"] + weights[f"lstm.bias_hh_l{layer}"]
        hidden = cell = np.zeros(encoder.lstm.hidden_size)
        outputs = []
        for x in inputs:
            i, f, g, o = np.split(w_x @ x + w_h @ hidden + bias, 4)
            cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
            hidden = sigmoid(o) * np.tanh(cell)
            outputs.append(hidden)
        inputs = np.array(outputs)
    vector = weights["linear.weight"] @ inputs[-1] + weights["linear.bias"]
    vector = np.maximum(vector, 0) if encoder.relu else vector
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_equals_the_equations(relu, layers):
    encoder = make(relu, layers=layers, dim=8)
    batch = frames(4, 15)
    vectors = encoder(batch).detach().numpy()
    for features, vector in zip(batch, vectors, strict=True):
        np.testing.assert_allclose(vector, by_hand(encoder, features), atol=1e-6)


@pytest.mark.parametrize("relu", [False, True])
def test_gradient_reaches_every_parameter(relu):
    encoder = make(relu, dim=32)
    target = torch.randn(32, generator=torch.Generator().manual_seed(2))
    (encoder(frames(6, 10)) @ target).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_number_of_parameters_of_the_original():
    encoder = build_encoder(EncoderSettings(**ORIGINAL["encoder"]), 80)
    hidden, dim = 768, 256
    layers = sum(4 * hidden * (n_inputs + hidden + 2) for n_inputs in (80, hidden, hidden))
    expected = layers + (hidden + 1) * dim
    assert sum(p.numel() for p in encoder.parameters()) == expected == 12_257_536
    assert encoder.relu


def test_names_of_the_weights():
    assert list(make(layers=1).state_dict()) == [
        "lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_ih_l0", "lstm.bias_hh_l0",
        "linear.weight", "linear.bias",
    ]  # fmt: skip


def test_a_row_does_not_depend_on_its_batch():
    encoder, batch = make(), frames(5, 30)
    alone = torch.cat([encoder(row[None]) for row in batch])
    np.testing.assert_allclose(encoder(batch).detach(), alone.detach(), atol=1e-6)


def test_length_and_order_of_frames_matter():
    encoder, batch = make(), frames(1, 40)
    assert not torch.allclose(encoder(batch), encoder(batch[:, :30]), atol=1e-4)
    assert not torch.allclose(encoder(batch), encoder(batch.flip(1)), atol=1e-4)


def test_dead_relu_gives_zeros_and_no_gradient():
    encoder = LSTMEncoder(5, 8, 1, 4, relu=True)
    with torch.no_grad():
        encoder.linear.bias.fill_(-10)
    vectors = encoder(frames(3, 10))
    assert (vectors == 0).all()
    vectors.sum().backward()
    assert all((p.grad == 0).all() for p in encoder.parameters())


def test_unit_length_under_bf16():
    encoder = make(dim=32)
    with torch.autocast("cpu", torch.bfloat16):
        vectors = encoder(frames(4, 20))
    assert vectors.dtype == torch.float32
    np.testing.assert_allclose(vectors.norm(dim=1).detach(), 1, atol=1e-6)
    assert (vectors * encoder(frames(4, 20))).sum(dim=1).min() > 0.99


def test_level_normalization_takes_the_loudness_and_keeps_the_spectrum():
    batch = 0.3 + 0.5 * torch.rand(2, 30, 8, generator=torch.Generator().manual_seed(0))
    level = Normalization("level", 8)
    louder = batch + torch.tensor([0.05, -0.1])[:, None, None]
    np.testing.assert_allclose(level(louder), level(batch), atol=1e-6)
    np.testing.assert_allclose(level(batch).mean(dim=(1, 2)), 0, atol=1e-6)
    bands = level(batch).mean(dim=1) - batch.mean(dim=1)
    np.testing.assert_allclose(bands, bands[:, :1].expand(-1, 8), atol=1e-6)  # one shift for all
    batch[0, 0, 0] = batch[0].max() - 0.9
    normalized = level(batch)[0]
    assert normalized.max() - normalized.min() == pytest.approx(0.7, abs=1e-6)
