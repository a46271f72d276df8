"""Cepstral statistics against SciPy's cosine transform, NumPy's covariance and eigenvectors."""

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import torch

from singerid.encoders.cepstra import CepstralStatistics, cosine_basis, square_root

N_DIMS, N_CEPSTRA = 40, 8


def frames(batch=3, n_frames=60, seed=0):
    """Log-mels like a voice's: 30 … 70 dB, smooth in frequency."""
    rng = np.random.default_rng(seed)
    smooth = rng.standard_normal((batch, n_frames, 6)) @ rng.standard_normal((6, N_DIMS))
    return torch.from_numpy(0.5 + 0.05 * smooth + 0.01 * rng.random((batch, n_frames, N_DIMS)))


def statistics(x, mask=None, gate_db=1000.0):
    return CepstralStatistics(N_DIMS, N_CEPSTRA, gate_db)(x.float(), mask).double().numpy()


def by_hand(x):
    """Of one recording `(n_frames, N_DIMS)`, all of whose frames count."""
    cepstra = scipy.fft.dct(100 * np.asarray(x), type=2, norm="ortho", axis=1)
    cepstra = cepstra[:, 1 : N_CEPSTRA + 1]
    variances, directions = np.linalg.eigh(np.cov(cepstra.T) + 0.5 * np.eye(N_CEPSTRA))
    root = directions * variances**0.25 @ directions.T
    return np.concatenate([cepstra.mean(0), root[np.triu_indices(N_CEPSTRA)]])


def test_equals_the_equations():
    x = frames()
    found = statistics(x)
    assert found.shape == (3, N_CEPSTRA + N_CEPSTRA * (N_CEPSTRA + 1) // 2)
    assert found.shape[1] == CepstralStatistics(N_DIMS, N_CEPSTRA).n_outputs
    np.testing.assert_allclose(found, [by_hand(row) for row in x], atol=2e-4)
    assert np.abs(np.diff(found, axis=0)).max() > 0.1  # rows differ by more than that


def test_basis_is_scipys():
    expected = 100 * scipy.fft.dct(np.eye(N_DIMS), type=2, norm="ortho", axis=1)[:, 1:13]
    np.testing.assert_allclose(cosine_basis(N_DIMS, 12), expected, atol=1e-5)


def test_quiet_frames_do_not_count():
    """A frame's level is that of the sum of its mel powers."""
    x = frames(1)
    power = scipy.special.logsumexp(x[0].numpy() * 10 * np.log(10), axis=1) / np.log(10) * 10
    x[0, 20:30] -= torch.from_numpy(power[20:30] - (power.max() - 51))[:, None] / 100
    x[0, 30:40] -= torch.from_numpy(power[30:40] - (power.max() - 49))[:, None] / 100
    loud = torch.cat([x[:, :20], x[:, 30:]], 1)
    np.testing.assert_allclose(statistics(x, gate_db=50), statistics(loud), atol=1e-4)
    assert np.abs(statistics(x) - statistics(loud)).max() > 0.01
    louder = torch.cat([x[:, :20], x[:, 40:]], 1)
    np.testing.assert_allclose(statistics(x, gate_db=48), statistics(louder), atol=1e-4)


def test_frames_behind_a_mask_do_not_count():
    """Not even for the loudest one, of which a gate is measured."""
    x = frames()
    x[:, 40:] += 0.4
    mask = torch.arange(60) < torch.tensor([40, 17, 2])[:, None]
    found = statistics(x, mask, gate_db=30)
    for row, n in enumerate((40, 17, 2)):
        np.testing.assert_allclose(
            found[row], statistics(x[row : row + 1, :n], gate_db=30)[0], atol=1e-4
        )
    np.testing.assert_allclose(statistics(x, torch.ones(3, 60) > 0), statistics(x), atol=1e-6)


@pytest.mark.parametrize("decibels", [-30.0, 25.0])
def test_the_level_does_not_matter(decibels):
    x = frames()
    x[:, 5:15] -= 0.6  # so that the gate has something to close for
    same = statistics(x + decibels / 100, gate_db=50)
    np.testing.assert_allclose(same, statistics(x, gate_db=50), atol=3e-4)
    tilted = x + torch.linspace(0, 0.1, N_DIMS)
    assert np.abs(statistics(tilted, gate_db=50) - same).max() > 1


def test_what_does_not_vary_has_the_root_of_the_floor():
    """One frame, many equal ones, and silence: no division by nothing."""
    for x in (frames(1, 1), frames(1, 1).expand(-1, 30, -1), torch.zeros(1, 9, N_DIMS)):
        found = statistics(x, gate_db=50)[0]
        root = np.zeros((N_CEPSTRA, N_CEPSTRA))
        root[np.triu_indices(N_CEPSTRA)] = found[N_CEPSTRA:]
        np.testing.assert_allclose(root, 0.5**0.25 * np.eye(N_CEPSTRA), atol=1e-4)
        np.testing.assert_allclose(found[:N_CEPSTRA], by_hand(x[0, [0, 0]])[:N_CEPSTRA], atol=1e-4)


def matrix(variances, rng):
    directions = np.linalg.qr(rng.standard_normal((len(variances),) * 2))[0]
    return directions * variances @ directions.T


@pytest.mark.parametrize("condition", [1.0, 1e3, 1e5])
def test_square_roots_are_scipys(condition):
    rng = np.random.default_rng(0)
    matrices = [matrix(np.geomspace(1, condition, 20) * scale, rng) for scale in (1, 1e-3, 300)]
    found = square_root(torch.from_numpy(np.stack(matrices)).float()).double().numpy()
    for root, one in zip(found, matrices, strict=True):
        expected = scipy.linalg.sqrtm(one)
        np.testing.assert_allclose(root, expected, atol=1e-5 * np.abs(expected).max())
        low = np.sqrt(np.linalg.eigvalsh(one)[0])  # the last to converge
        assert np.linalg.eigvalsh(root)[0] == pytest.approx(low, rel=0.02)
    again = square_root(torch.from_numpy(found).float()).double().numpy()
    fourth = scipy.linalg.sqrtm(scipy.linalg.sqrtm(matrices[0]))
    np.testing.assert_allclose(again[0], fourth, atol=3e-5 * np.abs(fourth).max())


def test_gradients_are_finite():
    x = frames().float().requires_grad_()
    CepstralStatistics(N_DIMS, N_CEPSTRA)(x).square().sum().backward()
    assert torch.isfinite(x.grad).all()
    assert (x.grad.abs() > 0).any()
