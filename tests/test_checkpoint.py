"""Encoder files: whole, unchanged, free of code, and refused in one line otherwise."""

import json
import os
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from singerid import checkpoint
from singerid.checkpoint import (
    encoder_path,
    load_encoder,
    load_strictly,
    load_weights_only,
    save_encoder,
)
from singerid.encoders import build_encoder
from singerid.errors import CheckpointError
from singerid.spec import AudioSettings, FeatureSpec, MelSettings
from singerid.training_sections import EncoderSettings

SETTINGS = EncoderSettings(
    kind="lstm", normalization="none", hidden_size=8, n_layers=1, dim=4, relu=False
)
SPEC = FeatureSpec(mel=MelSettings(n_mels=16))


@pytest.fixture
def weights():
    torch.manual_seed(0)
    return build_encoder(SETTINGS, SPEC.n_dims).state_dict()


@pytest.fixture
def file(tmp_path, weights):
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, weights, SETTINGS, SPEC, 32, {"step": 7, "run": "ü\udc80"})
    return path


def header_of(path):
    from safetensors import safe_open

    with safe_open(path, framework="pt") as opened:
        return json.loads(opened.metadata()["singerid"])


def rewrite(path, header=None, **tensors):
    """The file with another header or other tensors, as an editor of its bytes could make it."""
    header = header if header is not None else header_of(path)
    save_file(load_file(path) | tensors, path, {"singerid": json.dumps(header)})


def test_round_trip_is_exact(file, weights):
    loaded = load_encoder(file)
    assert (loaded.settings, loaded.spec, loaded.partial_frames) == (SETTINGS, SPEC, 32)
    assert loaded.provenance == {"step": 7, "run": "ü\udc80"}
    assert not loaded.encoder.training
    assert set(loaded.encoder.state_dict()) == set(weights)
    for name, tensor in loaded.encoder.state_dict().items():
        assert torch.equal(tensor, weights[name])
    batch = torch.randn(2, 9, 16)
    encoder = build_encoder(SETTINGS, SPEC.n_dims)
    encoder.load_state_dict(weights)
    assert torch.equal(loaded.encoder(batch), encoder(batch))


def test_save_returns_the_fingerprint_and_is_repeatable(file, weights, tmp_path):
    again = save_encoder(tmp_path / "b", weights, SETTINGS, SPEC, 32, {"step": 8})
    assert again == load_encoder(file).fingerprint == load_encoder(tmp_path / "b").fingerprint
    assert len(again) == 12
    # Neither the order of the weights nor their layout in memory is part of the identity.
    turned = {
        name: w.T.contiguous().T if w.ndim == 2 else w for name, w in reversed(weights.items())
    }
    assert save_encoder(tmp_path / "c", turned, SETTINGS, SPEC, 32, {}) == again


def test_fingerprint_changes_with_anything_that_changes_vectors(tmp_path, weights):
    def fingerprint(weights=weights, settings=SETTINGS, spec=SPEC, frames=32):
        return save_encoder(tmp_path / "e", weights, settings, spec, frames, {})

    found = {fingerprint()}
    for name, tensor in weights.items():
        changed = tensor.clone()
        changed.view(-1)[-1] = torch.nextafter(changed.view(-1)[-1], torch.tensor(9.0))
        found.add(fingerprint(weights | {name: changed}))
    found.add(fingerprint(settings=SETTINGS.model_copy(update={"relu": True})))
    found.add(fingerprint(spec=FeatureSpec(mel=MelSettings(n_mels=16, dither=0))))
    found.add(fingerprint(spec=FeatureSpec(audio=AudioSettings(sample_rate=22050), mel=SPEC.mel)))
    found.add(fingerprint(frames=33))
    assert len(found) == 1 + len(weights) + 4


@pytest.mark.parametrize("change", ["weight", "relu", "spec", "frames", "fingerprint"])
def test_tampered_file_is_refused(file, change, weights):
    header, tensors = header_of(file), {}
    if change == "weight":
        tensors["linear.bias"] = weights["linear.bias"] + 1e-6
    elif change == "relu":
        header["encoder"]["relu"] = True
    elif change == "spec":
        header["features"]["mel"]["gain"] = 0.5
    elif change == "frames":
        header["partial_frames"] = 64
    else:
        header["fingerprint"] = "0" * 12
    rewrite(file, header, **tensors)
    with pytest.raises(CheckpointError, match=r"safetensors: does not match its fingerprint; "):
        load_encoder(file)


@pytest.mark.parametrize(
    "header",
    [
        {}, [], 3, {"encoder": 5}, {"encoder": {"hidden_size": -1}},
        {"encoder": {"attention": True}},
    ],
)  # fmt: skip
def test_unreadable_header_is_refused(file, header):
    rewrite(file, header_of(file) | header if isinstance(header, dict) and header else header)
    with pytest.raises(CheckpointError, match=r"header that this version cannot read.*update sing"):
        load_encoder(file)


def test_newer_format_is_refused(file):
    rewrite(file, header_of(file) | {"format": 2})
    with pytest.raises(CheckpointError, match=r"encoder format 2 is newer than this singerid"):
        load_encoder(file)


def test_foreign_and_damaged_files_are_refused(tmp_path, file, weights):
    foreign = tmp_path / "foreign.safetensors"
    save_file(weights, foreign)
    with pytest.raises(CheckpointError, match="is not an encoder of singerid; found weights with"):
        load_encoder(foreign)
    data = file.read_bytes()
    for damaged in (b"", data[:100], data[:-5], b"RIFF" + data, os.urandom(500)):
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"encoder.safetensors: is not an encoder file"):
            load_encoder(file)


def test_paths(tmp_path, file):
    assert encoder_path(tmp_path) == encoder_path(str(file)) == file
    with pytest.raises(CheckpointError, match="nowhere: does not exist; expected a run folder or"):
        load_encoder(tmp_path / "nowhere")
    empty = tmp_path / "a\nb"
    empty.mkdir()
    with pytest.raises(CheckpointError, match=r"a\\nb: run has no encoder yet; found no encoder"):
        load_encoder(empty)


def test_every_weight_that_does_not_fit_is_named(weights):
    wrong = dict(weights)
    del wrong["linear.bias"], wrong["lstm.bias_hh_l0"]
    wrong["lstm.weight_ih_l1"] = wrong["head.weight"] = torch.zeros(2)
    wrong["linear.weight"] = torch.zeros(4, 9)
    encoder = build_encoder(SETTINGS, SPEC.n_dims)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"^x: weights do not fit; found ") as caught:
        load_strictly(encoder, wrong, "x")
    assert str(caught.value).partition("found ")[2].split(", ", 3) == [
        "lstm.bias_hh_l0 is missing", "linear.bias is missing", "lstm.weight_ih_l1 is unexpected",
        "head.weight is unexpected, linear.weight is (4, 9), not (4, 8)",
    ]  # fmt: skip
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_mismatched_file_is_refused(tmp_path, weights):
    path = tmp_path / "e"
    save_encoder(path, weights, SETTINGS.model_copy(update={"dim": 5}), SPEC, 32, {})
    with pytest.raises(CheckpointError, match=r"e: weights do not fit; found linear.weight is "):
        load_encoder(path)


def test_failed_save_leaves_the_old_file(file, weights, monkeypatch):
    before = file.read_bytes()

    def full_disk(tensors, metadata):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_encoder(file, weights, SETTINGS, SPEC, 99, {})
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]


class Malicious:
    """What a pickle can do when it is loaded without care."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("writer", ["torch", "old torch", "pickle"])
def test_code_in_a_weights_file_does_not_run(tmp_path, writer):
    trap, path = tmp_path / "trap", tmp_path / "weights.pt"
    values = {"weight": torch.zeros(2), "extra": Malicious(trap)}
    if writer == "pickle":
        path.write_bytes(pickle.dumps(values))
    else:
        torch.save(values, path, _use_new_zipfile_serialization=writer == "torch")
    with pytest.raises(CheckpointError, match=r"weights.pt: cannot be loaded as plain weights; "):
        load_weights_only(path)
    assert not trap.exists()
    torch.load(path, weights_only=False) if writer != "pickle" else pickle.loads(path.read_bytes())
    assert trap.exists()  # the trap works


def test_weights_only(tmp_path, weights):
    torch.save({"step": 3, "model_state": weights}, tmp_path / "w.pt")
    loaded = load_weights_only(tmp_path / "w.pt")
    assert loaded["step"] == 3
    assert all(torch.equal(loaded["model_state"][name], w) for name, w in weights.items())
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match=r"list.pt: holds no named weights; found list"):
        load_weights_only(tmp_path / "list.pt")
    (tmp_path / "junk.pt").write_bytes(b"junk")
    for name in ("junk.pt", "missing.pt"):
        with pytest.raises(CheckpointError, match=f"{name}: cannot be loaded as plain weights"):
            load_weights_only(tmp_path / name)


def test_altered_tensors_are_refused(tmp_path):
    """PyTorch itself takes them as they are."""
    torch.save({"state_dict": {"w": torch.ones(1000)}}, tmp_path / "w.pt")
    data = bytearray((tmp_path / "w.pt").read_bytes())
    data[data.index(torch.ones(1000).numpy().tobytes()) + 400] ^= 4
    (tmp_path / "w.pt").write_bytes(data)
    words = r"w.pt: cannot be loaded as plain weights; found .*does not match its checksum"
    with pytest.raises(CheckpointError, match=words):
        load_weights_only(tmp_path / "w.pt")
    altered = torch.load(tmp_path / "w.pt", weights_only=True)["state_dict"]["w"]
    assert not torch.equal(altered, torch.ones(1000))


@pytest.mark.parametrize(
    ("tensor", "found"),
    [
        (torch.zeros(2, 2).to_sparse(), "sparse"),
        (torch.zeros(2, device="meta"), "without values"),
        (torch.zeros(2, dtype=torch.complex64), "of torch.complex64"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_no_network_takes(tmp_path, tensor, found):
    torch.save({"a": [{"b": tensor}]}, tmp_path / "w.pt")
    message = f"w.pt: cannot be loaded as plain weights; found a tensor that is {found}"
    with pytest.raises(CheckpointError, match=message):
        load_weights_only(tmp_path / "w.pt")
