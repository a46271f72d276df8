"""ECAPA-TDNN: what holds for every encoder, the paper's sizes, and the Res2 layer's reach."""

import pytest
import torch

from encoder_checks import CHECKS, make, n_parameters
from singerid.encoders import build_encoder
from singerid.encoders.ecapa import SERes2Block
from singerid.training_sections import EncoderSettings

SMALL = {"kind": "ecapa", "channels": 64}
VARIANTS = {
    "mean": {"pooling": "mean", "normalization": "range"},
    "statistics": {"pooling": "statistics", "normalization": "global"},
    "attentive": {"normalization": "level"},
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_as_every_encoder(variant, check):
    CHECKS[check](make(**(SMALL | VARIANTS[variant])))


@pytest.mark.parametrize("check", CHECKS)
def test_with_a_one_hot_pitch(check):
    CHECKS[check](make(27, 7, normalization="level", **SMALL), 27)


@pytest.mark.parametrize(("channels", "millions"), [(512, 6.2), (1024, 14.7), (0, 6.2)])
def test_number_of_parameters_of_the_paper(channels, millions):
    """Table 1: 80 inputs, 192 dimensions."""
    encoder = build_encoder(EncoderSettings(kind="ecapa", channels=channels, dim=192), 80)
    assert n_parameters(encoder) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("dilation", [2, 3, 4])
def test_each_group_of_channels_hears_farther_than_the_one_before(dilation):
    """Gao et al. 2019, fig. 2: group g has passed g convolutions of 3 taps."""
    torch.manual_seed(0)
    block = SERes2Block(16, dilation).eval()
    for parameter in block.parameters():
        parameter.data.abs_()  # so that no ReLU hides a path
    x = torch.rand(1, 16, 1, 101, requires_grad=True)
    hidden = []
    block.after.register_forward_hook(lambda module, inputs, output: hidden.append(inputs[0]))
    block(x, None)
    for group in range(8):
        (gradient,) = torch.autograd.grad(
            hidden[0][0, 2 * group : 2 * group + 2, 0, 50].sum(), x, retain_graph=True
        )
        reached = gradient[0, :, 0].abs().sum(dim=0).nonzero().flatten()
        assert (int(reached.min()), int(reached.max())) == (
            50 - group * dilation, 50 + group * dilation
        )  # fmt: skip


def test_channels_that_do_not_divide():
    with pytest.raises(ValueError, match=r"channels 20 of kind ecapa must be a multiple of 8"):
        EncoderSettings(kind="ecapa", channels=20)


def test_the_last_frame_alone_is_refused():
    with pytest.raises(ValueError, match="not for kind ecapa"):
        EncoderSettings(kind="ecapa", pooling="last")
