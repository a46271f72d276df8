"""Prediction by a head and by prototypes, against loops."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from singerid.losses import PredictionLoss, prototype_logits


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def unit(n, dim=6, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, dim, generator=generator, dtype=dtype), dim=1)


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_prediction_equals_cross_entropy_by_hand():
    loss = PredictionLoss(6, 3).double()
    vectors, classes = unit(5, seed=4), [2, 0, 1, 1, 0]
    weight, bias = loss.head.weight.detach().numpy(), loss.head.bias.detach().numpy()
    expected = 0.0
    for vector, c in zip(vectors.numpy(), classes, strict=True):
        logits = [float(weight[k] @ vector + bias[k]) for k in range(3)]
        expected += math.log(sum(map(math.exp, logits))) - logits[c]
    assert loss(vectors, torch.tensor(classes)).item() == pytest.approx(expected / 5, rel=1e-9)
    gradcheck = torch.autograd.gradcheck
    assert gradcheck(lambda v: loss(v, torch.tensor(classes)), (vectors.requires_grad_(),))


@pytest.mark.parametrize("n_partials", [2, 3, 4, 7])
def test_prototypes_equal_the_loops(n_partials):
    n_singers, scale = 3, 4.0
    vectors = unit(n_singers * n_partials, seed=n_partials)
    logits, classes = prototype_logits(vectors, n_singers, torch.tensor(scale))
    rows = vectors.numpy().reshape(n_singers, n_partials, -1)
    half = n_partials // 2
    expected, right = [], []
    for singer in range(n_singers):
        for query in range(half, n_partials):
            expected.append(
                [
                    scale * cosine(rows[singer, query], rows[other, :half].mean(axis=0))
                    for other in range(n_singers)
                ]
            )
            right.append(singer)
    np.testing.assert_allclose(logits, expected, rtol=1e-9, atol=1e-12)
    assert classes.tolist() == right
