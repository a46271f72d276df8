"""The encoder that comes with the package, wherever an encoder can be named."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import singerid
from encoder_checks import trained
from singerid import pretrained
from singerid.checkpoint import load_encoder, save_encoder, trained_parts
from singerid.embeddings import read_embeddings
from singerid.encoders import build_encoder
from singerid.encoders.whitened import WhitenedEncoder
from singerid.errors import CheckpointError
from singerid.export import export_encoder
from singerid.foreign import read_foreign
from singerid.runtime import OnnxSingerEncoder
from singerid.spec import FeatureSpec
from singerid.store import Store
from singerid.training_sections import EncoderSettings
from test_commands import SMALL, done, quick, refused  # noqa: F401

pytest.importorskip("onnx")
SPEC = FeatureSpec()
PARTS = [{"fingerprint": f"{i}" * 12, "provenance": {"step": 7 + i}} for i in range(2)]
MADE = {"trained_frames": 32, "whitened": PARTS}


@pytest.fixture(scope="module", autouse=True)
def shipped(tmp_path_factory):
    """A folder with a small whitened encoder as the default one."""
    folder = tmp_path_factory.mktemp("shipped")
    settings = EncoderSettings(kind="resnet", channels=2, dim=8, cepstra=2, networks=2)
    network = trained(build_encoder(settings, SPEC.n_inputs))
    path = folder / "default.safetensors"
    save_encoder(path, network.state_dict(), settings, SPEC, 48, MADE)
    export_encoder(load_encoder(path), folder / "default.onnx", name="small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "FOLDER", folder)
        yield folder


def test_only_the_name_stands_for_it(shipped, tmp_path):
    for suffix in (".onnx", ".safetensors"):
        assert pretrained.path_of("default", suffix) == shipped / f"default{suffix}"
    for other in ("./default", "Default", tmp_path / "default"):
        assert pretrained.path_of(other, ".onnx") == Path(other)


def test_it_is_looked_for_beside_the_module():
    assert Path(pretrained.__file__).parent == Path(singerid.__file__).parent / "pretrained"


def test_what_is_missing_is_said_once_and_alike(monkeypatch, tmp_path, store, recordings):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    with pytest.raises(CheckpointError) as caught:
        load_encoder("default")
    said = (
        "default.safetensors: the pretrained encoder is not part of this installation; "
        "install singerid again, or give an encoder of your own"
    )
    assert str(caught.value) == f"{tmp_path}/{said}"
    refused(said, "train", store.path, "-o", tmp_path / "run", "--init", "default")
    refused(said, "whiten", "default", store.path, "-o", tmp_path / "w.safetensors")
    refused(said, "export", "default", "-o", tmp_path / "e.onnx")
    refused(said, "embed", store.path, "--encoder", "default", "-o", tmp_path / "e.parquet")
    refused("default.onnx: the pretrained", "verify", recordings[0].path, recordings[1].path)


def test_training_goes_on_with_the_network_within(store, tmp_path):
    """With a vanishing learning rate it keeps the weights, and partials are as long as then."""
    still = [*SMALL[:-1], "1e-12"]
    still = still[:4] + still[6:]  # without the length of a partial
    done("train", store.path, "-o", tmp_path / "run", "--init", "default", *still)
    new, default = load_encoder(tmp_path / "run"), load_encoder("default")
    assert isinstance(default.encoder, WhitenedEncoder)
    assert not new.settings.cepstra
    assert new.partial_frames == MADE["trained_frames"] != default.partial_frames
    for name, tensor in default.encoder.networks[0].named_parameters():
        torch.testing.assert_close(new.encoder.state_dict()[name], tensor, atol=1e-9, rtol=0)


def test_the_trained_parts():
    default = load_encoder("default")
    parts = trained_parts(default)
    for part, network, made in zip(parts, default.encoder.networks, PARTS, strict=True):
        assert part.encoder is network
        assert (part.fingerprint, part.provenance) == (made["fingerprint"], made["provenance"])
        assert (part.partial_frames, part.settings.cepstra, part.settings.networks) == (32, 0, 1)
    assert read_foreign("default").step == 7
    assert trained_parts(parts[0]) == [parts[0]]


def test_whitening_anew_for_other_singers(store, tmp_path):
    path = tmp_path / "w.safetensors"
    sizes = ["--whiten.cepstra", 2, "--whiten.batches", 20, "--whiten.partial_frames", 32]
    done("whiten", "default", store.path, "-o", path, *sizes, "--batch.n_singers", 2)
    new, default = load_encoder(path), load_encoder("default")
    assert new.fingerprint != default.fingerprint
    assert {name: new.provenance[name] for name in MADE} == MADE
    for name, tensor in default.encoder.networks.state_dict().items():
        torch.testing.assert_close(new.encoder.networks.state_dict()[name], tensor, atol=0, rtol=0)


def test_export(tmp_path):
    out = done("export", "default", "-o", tmp_path / "e.onnx")
    fingerprint = load_encoder("default").fingerprint
    assert out[0].startswith(f"{tmp_path}/e.onnx: encoder {fingerprint}, ")
    assert OnnxSingerEncoder.load(tmp_path / "e.onnx").name == "default"


def test_features(manifest_jsonl, tmp_path, monkeypatch):
    """The front end is in the file that needs no torch."""
    monkeypatch.setattr("singerid.commands.corpus.need_torch", None)
    done("features", manifest_jsonl, "-o", tmp_path / "store", "--encoder", "default")
    assert Store(tmp_path / "store").spec == SPEC


def test_stores_and_files_give_vectors_that_can_be_compared(store, manifest_jsonl, tmp_path):
    done("embed", store.path, "--encoder", "default", "-o", tmp_path / "s.parquet")
    done("embed", manifest_jsonl, "--embed.min_voice", 0, "-o", tmp_path / "f.parquet")
    of_store = read_embeddings(tmp_path / "s.parquet")
    of_files = read_embeddings(tmp_path / "f.parquet")
    assert of_store.encoder == of_files.encoder
    assert of_store.ids == of_files.ids
    np.testing.assert_allclose(of_store.vectors, of_files.vectors, atol=2e-3)


def test_a_store_needs_torch(store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    refused("PyTorch is not installed", "embed", store.path, "-o", tmp_path / "e.parquet")
