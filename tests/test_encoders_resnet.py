"""ResNets: what holds for every encoder, sizes, and a residual block by hand."""

import numpy as np
import pytest
import torch

from encoder_checks import CHECKS, frames, make, n_parameters
from singerid.encoders import build_encoder
from singerid.encoders.layers import BasicBlock
from singerid.training_sections import EncoderSettings

SMALL = {"kind": "resnet", "channels": 4, "depth": 10}
VARIANTS = {
    "mean": {"pooling": "mean", "normalization": "range"},
    "statistics": {"normalization": "level", "depth": 18},
    "attentive": {"pooling": "attentive", "normalization": "standard"},
    "stride": {"stem_stride": 2, "normalization": "feature"},
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_as_every_encoder(variant, check):
    CHECKS[check](make(**(SMALL | VARIANTS[variant])))


@pytest.mark.parametrize("check", CHECKS)
def test_with_a_one_hot_pitch(check):
    CHECKS[check](make(27, 7, normalization="level", **SMALL), 27)


@pytest.mark.parametrize("n_inputs", [8, 21, 44])
def test_any_number_of_inputs(n_inputs):
    CHECKS["shape and length"](make(n_inputs, stem_stride=2, **SMALL), n_inputs)


@pytest.mark.parametrize(
    ("depth", "channels", "stem_stride", "dim", "millions"),
    [(34, 32, 1, 256, 6.63), (18, 16, 1, 256, 1.36), (18, 16, 2, 256, 1.03), (10, 0, 2, 192, 0.55)],
)
def test_number_of_parameters(depth, channels, stem_stride, dim, millions):
    """The first is WeSpeaker's ResNet34-TSTP-emb256."""
    settings = EncoderSettings(
        kind="resnet", depth=depth, channels=channels, stem_stride=stem_stride, dim=dim
    )
    assert n_parameters(build_encoder(settings, 80)) / 1e6 == pytest.approx(millions, abs=0.005)


def test_layers_with_weights():
    for depth in (10, 18, 34):
        encoder = make(**(SMALL | {"depth": depth}))
        weights = [n for n, p in encoder.named_parameters() if p.dim() > 1 and "shortcut" not in n]
        assert len(weights) == depth


def test_a_block_with_dead_convolutions_is_its_shortcut():
    x = frames(2, 6, 30).reshape(2, 3, 10, 6)
    block = BasicBlock(3, 3)
    torch.nn.init.zeros_(block.norm2.weight)
    y, mask = block(x, None)
    assert mask is None
    np.testing.assert_allclose(y.detach(), x, atol=1e-6)


def test_pitch_matters():
    encoder = make(27, 7, **SMALL).eval()
    x = frames(1, 30, 27)
    y = x.clone()
    y[..., 20:] = y[..., 20:].flip(-1)
    assert not torch.allclose(encoder(x), encoder(y), atol=1e-4)


def test_rows_in_training_share_their_statistics():
    encoder, x = make(**SMALL), frames(4)
    together = encoder(x)[:2]
    assert not torch.allclose(encoder(x[:2]), together, atol=1e-4)


def test_the_last_frame_alone_is_refused():
    with pytest.raises(ValueError, match="pooling last is for the LSTM"):
        EncoderSettings(kind="resnet", pooling="last")
