"""ReDimNet: what holds for every encoder, the paper's size, and its mixtures."""

import numpy as np
import pytest
import torch

from encoder_checks import CHECKS, frames, n_parameters, trained
from singerid.encoders import build_encoder
from singerid.encoders.redimnet import Mixture, ReDimNetEncoder, StageSize
from singerid.training_sections import EncoderSettings

SMALL = (StageSize(1, 1, 1, 10), StageSize(2, 1, 2, 10))


def make(n_inputs=20, **options):
    torch.manual_seed(0)
    return trained(ReDimNetEncoder(n_inputs, 8, channels=4, stages=SMALL, **options))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("pooling", ["statistics", "mean", "attentive"])
def test_as_every_encoder(pooling, check):
    CHECKS[check](make(pooling=pooling, normalization="level"))


@pytest.mark.parametrize("check", CHECKS)
def test_with_a_one_hot_pitch_and_bands_that_the_strides_do_not_divide(check):
    CHECKS[check](make(28, n_classes=7), 28)


def test_number_of_parameters_of_the_paper():
    """Table 1, B0: 1.0 M at 60 mels and 192 dimensions."""
    encoder = build_encoder(EncoderSettings(kind="redimnet", dim=192), 60)
    assert n_parameters(encoder) / 1e6 == pytest.approx(1.0, abs=0.05)


def test_all_stages_give_the_same_volume():
    encoder = ReDimNetEncoder(80, 8).eval()
    shapes = []
    for stage in encoder.stages:
        stage.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
    encoder(frames(2, 9, 80))
    assert shapes == [(2, 9, 800)] * 5


def test_a_mixture_begins_as_the_mean_and_can_choose():
    signals = [frames(2, 5, 6, seed=seed) for seed in range(3)]
    mixture = Mixture(3, 6)
    np.testing.assert_allclose(mixture(signals).detach(), torch.stack(signals).mean(0), atol=1e-6)
    with torch.no_grad():
        mixture.weights[1] = 50
    np.testing.assert_allclose(mixture(signals).detach(), signals[1], atol=1e-6)
    assert Mixture(1, 6)(signals[:1]) is signals[0]
