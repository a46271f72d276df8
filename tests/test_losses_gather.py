"""Two processes with half of the batch each learn what one learns with all of it."""

import tempfile
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from singerid.losses import Objective, gather_embeddings
from singerid.ranks import n_ranks
from singerid.training_sections import LossSettings

CASES = {
    "ge2e": {"objective": "ge2e"},
    "contrast": {"objective": "ge2e", "ge2e": "contrast"},
    "prototypical": {"objective": "prototypical"},
    "supcon": {"objective": "supcon"},
    "aam": {"objective": "aam", "sub_centers": 2, "hard_singers": 2},
    "prediction": {"objective": "prediction"},
    "sum": {"objective": "aam + 0.5 ge2e + supcon"},
}
DIM, N_FEATURES, N_SINGERS, N_PARTIALS, N_RANKS = 6, 9, 4, 3, 2


class Model(nn.Module):
    """A linear encoder and its objective, which `DistributedDataParallel` holds together."""

    def __init__(self, case):
        super().__init__()
        torch.manual_seed(1)
        self.encoder = nn.Linear(N_FEATURES, DIM)
        settings = LossSettings(scale=8.0, scale_gradient=1.0, **CASES[case])
        self.objective = Objective(settings, DIM, 2 * N_SINGERS)

    def forward(self, features, singers):
        return self.objective(F.normalize(self.encoder(features), dim=1), singers)["objective"]


def batch(shared):
    """The joint batch: halves with singers of their own, or with some that are in both."""
    generator = torch.Generator().manual_seed(3)
    n = N_RANKS * N_SINGERS * N_PARTIALS
    features = torch.randn(n, N_FEATURES, generator=generator, dtype=torch.float64)
    singers = torch.arange(N_RANKS * N_SINGERS).repeat_interleave(N_PARTIALS)
    return features, singers % (N_SINGERS + 1) if shared else singers


def gradients(case, features, singers, parallel):
    model = Model(case).double()
    trained = DistributedDataParallel(model) if parallel else model
    loss = trained(features, singers)
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters()}


def work(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=N_RANKS
    )
    found = {}
    for shared in (False, True):
        features, singers = (part.chunk(N_RANKS)[rank] for part in batch(shared))
        joint, owners = gather_embeddings(features, singers)
        assert torch.equal(joint, batch(shared)[0])
        assert torch.equal(owners, batch(shared)[1])
        for case in CASES:
            found[shared, case] = gradients(case, features, singers, parallel=True)
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks():
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(work, (folder,), nprocs=N_RANKS)
        return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(N_RANKS)]


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_equal_one_with_the_joint_batch(case, shared, ranks):
    loss, expected = gradients(case, *batch(shared), parallel=False)
    mean = sum(rank[shared, case][0] for rank in ranks) / N_RANKS
    assert mean.item() == pytest.approx(loss.item(), rel=1e-12)
    for rank in ranks:
        found = rank[shared, case][1]
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-12)
    assert expected["encoder.weight"].abs().max() > 1e-3


def test_without_gathering_they_would_differ():
    """The test above can fail: halves that know nothing of each other have other gradients."""
    features, singers = batch(shared=False)
    _, expected = gradients("ge2e", features, singers, parallel=False)
    parts = [
        gradients("ge2e", f, s, parallel=False)[1]["encoder.weight"]
        for f, s in zip(features.chunk(2), singers.chunk(2), strict=True)
    ]
    assert ((parts[0] + parts[1]) / 2 - expected["encoder.weight"]).abs().max() > 1e-2


def test_one_process_has_nothing_to_gather():
    embeddings, singers = torch.randn(4, 3), torch.arange(4)
    assert n_ranks() == 1
    found = gather_embeddings(embeddings, singers)
    assert found[0] is embeddings
    assert found[1] is singers
