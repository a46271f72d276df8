"""Whitening: what it computes, against loops; that it finds singers; and the command."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from encoder_checks import make
from singerid.batches import Batch
from singerid.checkpoint import EncoderFile, load_encoder
from singerid.embeddings import read_embeddings
from singerid.encoders import build_encoder
from singerid.encoders.whitened import WhitenedEncoder
from singerid.errors import CheckpointError, SingeridError
from singerid.metrics import eer
from singerid.spec import FeatureSettings, FeatureSpec, MelSettings
from singerid.training_sections import EncoderSettings, WhitenSettings
from singerid.whitening import whiten, within_singer_whitening
from test_commands import NET, SMALL, done, refused

# ------------------------------------------------------------------------------------- computation


def sample(n_singers=12, n_each=30, n_dims=5, seed=0):
    """Singers of unequal counts, with one strong direction of variation that they share."""
    rng = np.random.default_rng(seed)
    singers = np.repeat(np.arange(n_singers) * 7, n_each + np.arange(n_singers) % 4)
    mixing = rng.standard_normal((n_dims, n_dims)) * np.geomspace(10, 0.1, n_dims)[:, None]
    centers = rng.standard_normal((n_singers, n_dims))
    noise = rng.standard_normal((len(singers), n_dims)) @ mixing
    order = rng.permutation(len(singers))
    return (centers[singers // 7] + noise + 3)[order], singers[order]


def within_covariance(vectors, singers):
    """The mean covariance within singers, by a loop over vectors."""
    total, free = np.zeros((vectors.shape[1],) * 2), 0
    for singer in set(singers.tolist()):
        own = [v for v, s in zip(vectors, singers, strict=True) if s == singer]
        center = sum(own) / len(own)
        for vector in own:
            total += np.outer(vector - center, vector - center)
        free += len(own) - 1
    return total / free


@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_equals_a_loop(shrinkage):
    vectors, singers = sample()
    weights, offset = within_singer_whitening(vectors, singers, shrinkage)
    scale = vectors.std(axis=0)
    covariance = within_covariance(vectors / scale, singers)
    covariance += shrinkage * np.mean(np.diag(covariance)) * np.eye(5)
    # A lower triangle with a positive diagonal that makes it the identity: there is but one.
    lower = weights * scale
    assert np.allclose(lower, np.tril(lower))
    assert (np.diag(lower) > 0).all()
    np.testing.assert_allclose(lower @ covariance @ lower.T, np.eye(5), atol=1e-9)
    np.testing.assert_allclose((vectors @ weights.T + offset).mean(axis=0), 0, atol=1e-9)


def test_vectors_vary_alike_within_singers():
    vectors, singers = sample(seed=1)
    weights, offset = within_singer_whitening(vectors, singers, 0)
    covariance = within_covariance(vectors @ weights.T + offset, singers)
    np.testing.assert_allclose(covariance, np.eye(5), atol=1e-9)
    assert np.abs(within_covariance(vectors, singers) - np.eye(5)).max() > 10
    weights, offset = within_singer_whitening(vectors, singers, 0.5)
    shrunk = np.linalg.eigvalsh(within_covariance(vectors @ weights.T + offset, singers))
    assert shrunk.max() < 1
    assert shrunk.min() < 0.1  # small variances stay small


def test_scales_of_the_dimensions_do_not_matter():
    """A dimension in decibels weighs no more than one of a unit vector."""
    vectors, singers = sample()
    units = np.array([1e-3, 1, 40, 1e3, 1])
    outputs = []
    for some in (vectors, vectors * units):
        weights, offset = within_singer_whitening(some, singers, 0.05)
        outputs.append(some @ weights.T + offset)
    np.testing.assert_allclose(*outputs, atol=1e-8)


def error_rate(vectors, singers):
    """Equal error rate of cosines over all pairs."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    rows, columns = np.triu_indices(len(units), 1)
    return eer((units @ units.T)[rows, columns], singers[rows] == singers[columns])[0]


def test_a_singers_direction_is_found_where_a_cosine_fails():
    """What tells singers apart is small beside what a song changes; learned on other singers."""
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.standard_normal((8, 8)))[0]

    def people(n_singers, n_each=20):
        singers = np.repeat(np.arange(n_singers), n_each)
        own = rng.standard_normal((n_singers, 8)) * ([1.0] * 4 + [0.0] * 4)
        varying = rng.standard_normal((len(singers), 8)) * ([0.2] * 4 + [10.0] * 4)
        return (own[singers] + varying) @ turn, singers

    weights, offset = within_singer_whitening(*people(40), 0)
    vectors, singers = people(30)
    assert error_rate(vectors, singers) > 0.4
    assert error_rate(vectors @ weights.T + offset, singers) < 0.1


def test_a_dead_dimension_stays_small_when_it_comes_alive():
    vectors, singers = sample()
    vectors[:, 2] = 0.0
    weights, offset = within_singer_whitening(vectors, singers, 0.05)
    assert np.isfinite(weights).all()
    before = vectors[0] @ weights.T + offset
    vectors[0, 2] = 0.3
    assert np.abs(vectors[0] @ weights.T + offset - before).max() < 3
    vectors[:, 2] = 0.0
    message = r"^some directions do not vary within singers; raise whiten\.shrinkage$"
    with pytest.raises(SingeridError, match=message):
        within_singer_whitening(vectors, singers, 0)


def test_too_few_vectors():
    """15 beside 4 means, for 5 dimensions, are enough; one less is not."""
    vectors = np.random.default_rng(0).standard_normal((19, 5))
    singers = np.arange(19) % 4
    assert np.isfinite(within_singer_whitening(vectors, singers, 0)[0]).all()
    message = (
        r"^too few partials to whiten; found 18 of 4 singers; expected at least 19; "
        r"raise whiten\.batches or batch\.n_partials$"
    )
    with pytest.raises(SingeridError, match=message):
        within_singer_whitening(vectors[:18], singers[:18], 0)


# --------------------------------------------------------------------------------------- an encoder

LSTM = {"kind": "lstm", "hidden_size": 12, "n_layers": 1, "relu": False, "normalization": "level"}
SETTINGS = WhitenSettings(cepstra=3, batches=9, gate_db=40, shrinkage=0)


class Source:
    """Batches of 3 of 4 singers × 7 partials; each singer has a spectrum of their own."""

    singers = ("a", "b", "c", "d")
    n_singers = 3
    warnings = ()

    def batch(self, t):
        rng = np.random.default_rng(t)
        chosen = rng.permutation(4)[:3]
        own = np.random.default_rng(99).random((4, 20))[chosen]
        features = 0.5 * own[:, None, None] + 0.5 * rng.random((3, 7, 15, 20))
        return Batch(features.astype(np.float32), chosen, [["x"] * 7] * 3)


def encoder_file(**settings):
    encoder = make(**LSTM, **settings).eval()
    settings = EncoderSettings.model_validate(LSTM | {"dim": 8} | settings)
    return EncoderFile(encoder, settings, FeatureSpec(mel=MelSettings(n_mels=20)), 15, "abc")


def whitened(n_networks):
    files, heard = [encoder_file()], []
    while len(files) < n_networks:
        torch.manual_seed(len(files))
        other = build_encoder(files[0].settings, 20).eval()
        files.append(replace(files[0], encoder=other))
    settings, weights = whiten(files, Source(), SETTINGS, heard.append)
    assert heard == [1.0] * 9
    encoder = build_encoder(settings, 20)
    encoder.load_state_dict(dict(weights))
    return files, settings, encoder.eval()


@pytest.mark.parametrize("n_networks", [1, 2])
def test_an_encoder_varies_alike_within_the_singers_of_the_batches(n_networks):
    _, _, encoder = whitened(n_networks)
    vectors, singers = [], []
    for t in range(9):
        batch = Source().batch(t)
        for singer, partials in zip(batch.singers, batch.features, strict=True):
            for partial in partials:
                with torch.inference_mode():
                    vectors.append(encoder.vectors(torch.from_numpy(partial)[None], None)[0])
                singers.append(singer)
    vectors = torch.stack(vectors).double().numpy()
    covariance = within_covariance(vectors, np.array(singers))
    np.testing.assert_allclose(covariance, np.eye(8 * n_networks + 9), atol=2e-3)
    np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=2e-3)


def test_the_networks_stay_as_they_were():
    files, settings, encoder = whitened(2)
    assert isinstance(encoder, WhitenedEncoder)
    x = torch.from_numpy(Source().batch(0).features[0])
    for network, file in zip(encoder.networks, files, strict=True):
        assert torch.equal(network(x), file.encoder(x))
    assert not torch.allclose(files[0].encoder(x), files[1].encoder(x), atol=0.1)
    wanted = {"cepstra": 3, "gate_db": 40, "networks": 2}
    assert settings == files[0].settings.model_copy(update=wanted)
    assert files[0].settings.cepstra == 0


def test_whitening_is_done_once():
    with pytest.raises(CheckpointError, match=r"is whitened already; give the encoder of the run"):
        whiten([encoder_file(cepstra=3)], Source(), SETTINGS)


def test_encoders_that_are_not_alike_are_refused():
    file = encoder_file()
    several = "encoders of several architectures or front ends cannot be joined; found "
    pooled = file.settings.model_copy(update={"pooling": "mean"})
    do = "; give runs of equal encoder and feature settings$"
    with pytest.raises(CheckpointError, match=f"{several}lstm, lstm{do}"):
        whiten([file, replace(file, settings=pooled)], Source(), SETTINGS)
    other = FeatureSpec(mel=MelSettings(n_mels=20, fmin=50))
    prints = f"front ends {other.fingerprint()}, {file.spec.fingerprint()}"
    with pytest.raises(CheckpointError, match=f"{several}{prints}{do}"):
        whiten([file, replace(file, spec=other)], Source(), SETTINGS)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"mel": MelSettings(scale="linear")}, "mel, linear"),
        ({"features": FeatureSettings(stream="world")}, "envelope and aperiodicity, decibel"),
    ],
)
def test_what_is_not_in_decibels_is_refused(changes, found):
    file = replace(encoder_file(), spec=FeatureSpec(**changes))
    message = f"have cepstra to join; found {found}; expected mel, decibel; use singerid calibrate"
    with pytest.raises(CheckpointError, match=message):
        whiten([file], Source(), SETTINGS)


def test_too_few_batches():
    with pytest.raises(SingeridError, match=r"found 42 of 3 singers; expected at least 54; raise"):
        whiten([encoder_file()], Source(), SETTINGS.model_copy(update={"batches": 2}))


# -------------------------------------------------------------------------------------- the command

WHITEN = [
    "--whiten.cepstra", 2, "--whiten.batches", 8, "--whiten.partial_frames", 40,
    "--whiten.longest_frames", 90, "--batch.n_singers", 2,
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "run"
    done("train", store.path, "-o", path, *NET, *SMALL)
    return path


@pytest.fixture(scope="module")
def file(store, trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("whitened") / "w.safetensors"
    out = done("whiten", trained, store.path, "-o", path, *WHITEN)
    fingerprint = load_encoder(path).fingerprint
    assert out[-1] == f"{path}: encoder {fingerprint}, whitened on {store.path}"
    return path


def test_command(trained, file, store, tmp_path):
    old, new = load_encoder(trained), load_encoder(file)
    assert (new.partial_frames, new.settings.cepstra, new.spec) == (90, 2, old.spec)
    assert [part["fingerprint"] for part in new.provenance["whitened"]] == [old.fingerprint]
    assert new.provenance["whitened"][0]["provenance"] == old.provenance
    assert "whiten" in new.provenance["command"]
    done("embed", store.path, "--encoder", file, "-o", tmp_path / "e.parquet")
    embeddings = read_embeddings(tmp_path / "e.parquet")
    assert embeddings.vectors.shape == (12, 8 + 2 + 3)
    assert embeddings.encoder == new.fingerprint


def test_training_on_starts_from_the_network_within(trained, file, store, tmp_path):
    still = [*SMALL[:-1], "1e-12"]
    done("train", store.path, "-o", tmp_path / "new", "--init", file, *still)
    old, new = load_encoder(trained), load_encoder(tmp_path / "new")
    assert new.settings == old.settings
    for name, tensor in old.encoder.state_dict().items():
        torch.testing.assert_close(new.encoder.state_dict()[name], tensor, atol=1e-9, rtol=0)


def test_a_whitened_file_is_whitened_anew_by_its_networks(trained, file, store, tmp_path):
    done("whiten", file, trained, store.path, "-o", tmp_path / "two.safetensors",
         *WHITEN, "--whiten.batches", 20)  # fmt: skip
    two, network = load_encoder(tmp_path / "two.safetensors"), load_encoder(trained).encoder
    assert two.settings.networks == 2
    x = torch.rand(2, 90, 80)
    first, second = two.encoder.networks
    assert torch.equal(first(x), network(x))
    assert torch.equal(second(x), network(x))


def test_what_cannot_be_whitened_is_refused(trained, store, corpus_csv, tmp_path):
    path = tmp_path / "w.safetensors"
    refused("cepstra and networks of an encoder are joined after its training; found "
            "encoder.cepstra 20, encoder.networks 1; expected 0 and 1; train, then singerid whiten",
            "train", store.path, "-o", tmp_path / "run", "--encoder.cepstra", 20)  # fmt: skip
    refused("too few partials to whiten; found 8 of 2 singers; expected at least 41; raise "
            "whiten.batches or batch.n_partials",
            "whiten", trained, store.path, "-o", path, *WHITEN, "--whiten.batches", 1)  # fmt: skip
    done("manifest", corpus_csv, "--corpus", "csv", "-o", tmp_path / "m.jsonl", "--tiny")
    done("features", tmp_path / "m.jsonl", "-o", tmp_path / "s", "--mel.fmin", 50)
    refused("weights and data have different feature specs",
            "whiten", trained, tmp_path / "s", "-o", path, *WHITEN)  # fmt: skip
    assert not path.exists()
