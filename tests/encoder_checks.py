"""What must hold for every encoder, and small ones of each kind to try it on."""

import io

import numpy as np
import onnxruntime
import torch
from torch import nn

from singerid.encoders import build_encoder
from singerid.training_sections import EncoderSettings


def make(n_inputs=20, n_classes=0, **settings):
    """An encoder of 8 dimensions by its settings, as training leaves it."""
    torch.manual_seed(0)
    settings = EncoderSettings.model_validate({"dim": 8} | settings)
    return trained(build_encoder(settings, n_inputs, n_classes))


def trained(encoder):
    """Give batch normalizations a past, so that they are more than the identity."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.normal_(module.bias, std=0.3)
    return encoder


def frames(batch=4, n_frames=37, n_inputs=20, seed=1):
    return torch.rand(batch, n_frames, n_inputs, generator=torch.Generator().manual_seed(seed))


def n_parameters(encoder):
    return sum(parameter.numel() for parameter in encoder.parameters())


def check_shape_and_length(encoder, n_inputs=20):
    for batch, n_frames in [(1, 1), (2, 7), (3, 50)]:
        vectors = encoder.eval()(frames(batch, n_frames, n_inputs))
        assert vectors.dtype == torch.float32
        assert vectors.shape == (batch, 8)
        np.testing.assert_allclose(vectors.norm(dim=1).detach(), 1, atol=1e-6)


def check_padding(encoder, n_inputs=20):
    """A padded batch, its padding full of NaN, equals its rows one by one."""
    encoder.eval()
    lengths = torch.tensor([41, 40, 33, 10, 3])
    x = frames(5, 41, n_inputs)
    alone = torch.cat([encoder(row[None, :n]) for row, n in zip(x, lengths, strict=True)])
    mask = torch.arange(41) < lengths[:, None]
    padded = torch.where(mask[..., None], x, torch.nan)
    np.testing.assert_allclose(encoder(padded, lengths).detach(), alone.detach(), atol=1e-5)
    # Rows must differ by more than that, or the above would say nothing.
    assert torch.pdist(alone).min() > 1e-3
    full = torch.full((5,), 41)
    np.testing.assert_allclose(encoder(x, full).detach(), encoder(x).detach(), atol=1e-6)


def check_gradients(encoder, n_inputs=20):
    """They reach every parameter, also where rows are padded."""
    target = torch.randn(8, generator=torch.Generator().manual_seed(2))
    for lengths in (None, torch.tensor([40, 30, 20, 40, 40, 40])):
        # In training mode batch normalization takes shifts before it away, and with them their
        # gradients.
        for training in (True, False):
            encoder.train(training).zero_grad()
            (encoder(frames(6, 40, n_inputs), lengths) @ target).sum().backward()
            for name, parameter in encoder.named_parameters():
                assert parameter.grad is not None, name
                assert torch.isfinite(parameter.grad).all(), name
                assert training or parameter.grad.abs().max() > 1e-8, name


def check_bf16(encoder, n_inputs=20):
    encoder.eval()
    x = frames(4, 30, n_inputs)
    with torch.autocast("cpu", torch.bfloat16):
        vectors = encoder(x)
    assert vectors.dtype == torch.float32
    np.testing.assert_allclose(vectors.norm(dim=1).detach(), 1, atol=1e-6)
    assert (vectors * encoder(x)).sum(dim=1).min() > 0.99


def check_onnx(encoder, n_inputs=20, sizes=((1, 24), (3, 61), (2, 5))):
    """Exported at one batch size and length, run at others."""
    encoder.eval()
    file = io.BytesIO()
    torch.onnx.export(
        encoder, (frames(2, 24, n_inputs),), file, dynamo=False, opset_version=17,
        input_names=["features"], output_names=["vectors"],
        dynamic_axes={"features": {0: "batch", 1: "n_frames"}, "vectors": {0: "batch"}},
    )  # fmt: skip
    session = onnxruntime.InferenceSession(file.getvalue())
    for batch, n_frames in sizes:
        x = frames(batch, n_frames, n_inputs)
        found = session.run(None, {"features": x.numpy()})[0]
        np.testing.assert_allclose(found, encoder(x).detach(), atol=1e-4)


CHECKS = {
    "shape and length": check_shape_and_length,
    "padding": check_padding,
    "gradients": check_gradients,
    "bf16": check_bf16,
    "onnx": check_onnx,
}
