"""CAM++: what holds for every encoder, the paper's size, and segments of context."""

import numpy as np
import pytest
import torch

from encoder_checks import CHECKS, check_onnx, frames, n_parameters, trained
from singerid.encoders import build_encoder
from singerid.encoders.campplus import CAMPPlusEncoder, segment_means
from singerid.training_sections import EncoderSettings


def make(n_inputs=20, **options):
    torch.manual_seed(0)
    return trained(CAMPPlusEncoder(n_inputs, 8, channels=4, n_layers=(1, 2, 1), **options))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("pooling", ["statistics", "mean", "attentive"])
def test_as_every_encoder(pooling, check):
    CHECKS[check](make(pooling=pooling, normalization="level"))


@pytest.mark.parametrize("check", CHECKS)
def test_with_a_one_hot_pitch(check):
    CHECKS[check](make(27, n_classes=7), 27)


def test_number_of_parameters_of_the_paper():
    """Table 2: 7.18 M at 80 inputs and 512 dimensions."""
    encoder = build_encoder(EncoderSettings(kind="campplus", dim=512), 80)
    assert n_parameters(encoder) / 1e6 == pytest.approx(7.18, abs=0.005)


@pytest.mark.parametrize("n_frames", [1, 99, 100, 101, 250])
def test_segment_means_by_hand(n_frames):
    x = frames(2, n_frames, 3).transpose(1, 2).unsqueeze(2)
    found = segment_means(x, None)
    for segment in range(-(-n_frames // 100)):
        part = x[..., 100 * segment : 100 * segment + 100]
        np.testing.assert_allclose(found[..., segment], part.mean(dim=3), atol=1e-6)
    lengths = torch.tensor([n_frames, max(1, n_frames // 3)])
    mask = torch.arange(n_frames) < lengths[:, None]
    padded = segment_means(x * mask[:, None, None], mask)
    short = segment_means(x[1:, ..., : lengths[1]], None)
    np.testing.assert_allclose(padded[1:, ..., : short.shape[3]], short, atol=1e-6)
    assert (padded[1:, ..., short.shape[3] :] == 0).all()


def test_padding_over_several_segments():
    encoder = make().eval()
    x, lengths = frames(3, 431), torch.tensor([431, 205, 120])
    alone = torch.cat([encoder(row[None, :n]) for row, n in zip(x, lengths, strict=True)])
    np.testing.assert_allclose(encoder(x, lengths).detach(), alone.detach(), atol=1e-5)


def test_export_over_several_segments():
    check_onnx(make(), sizes=[(1, 431), (2, 200), (1, 202)])
