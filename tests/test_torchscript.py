"""TorchScript modules with a declared front end: numbers by hand, failures in one line."""

import dataclasses
import warnings

import numpy as np
import pytest
import soundfile
import torch
import yaml

from singerid.embeddings import mean_direction
from singerid.errors import CheckpointError, SingeridError
from singerid.external import load_embedder
from singerid.external.torchscript import TorchScriptEncoder
from singerid.features import extract
from singerid.frames import tile_starts
from singerid.spec import FeatureSpec, MelSettings

DIM, FRAMES = 6, 50
SPEC = FeatureSpec(mel=MelSettings(n_mels=20))
FEATURES = {"input": "features", "sample_rate": 16000, "mel": {"n_mels": 20},
            "partial_frames": FRAMES}  # fmt: skip


class Mean(torch.nn.Module):
    """Mean over time, then a matrix; dropout only in training."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(20, DIM)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x):
        return self.linear(self.dropout(x).mean(dim=1))


class Picky(torch.nn.Module):
    """Refuses short input by itself."""

    def forward(self, x):
        if x.size(1) < 50:
            raise ValueError("too short for me")
        return x.mean(dim=1)


class Pair(torch.nn.Module):
    def forward(self, x):
        return x.mean(dim=1), x


class Untouched(torch.nn.Module):
    def forward(self, x):
        return x


def write(path, module, declaration=FEATURES):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), path)
    path.with_suffix(".yaml").write_text(yaml.safe_dump(declaration))
    return path


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return Mean().train()  # saved in training mode, as it happens


def samples_of(recording):
    return soundfile.read(recording.path, dtype="float32")[0]


def by_hand(network, features):
    weight, bias = (p.detach().numpy() for p in network.linear.parameters())
    starts = tile_starts(len(features), FRAMES, FRAMES)
    rows = np.array([features[s : s + FRAMES].mean(axis=0) @ weight.T + bias for s in starts])
    return mean_direction(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_partials_are_encoded_in_evaluation_mode(tmp_path, network, recordings):
    encoder = load_embedder(write(tmp_path / "m.pt", network))
    assert isinstance(encoder, TorchScriptEncoder)
    assert encoder.fingerprint.startswith("torchscript-")
    found, failures = encoder.embed_recordings(recordings[:2], 2)
    assert failures == []
    for row, recording in enumerate(recordings[:2]):
        expected = by_hand(network, extract(samples_of(recording), SPEC))
        np.testing.assert_allclose(found.vectors[row], expected, atol=1e-5)
    vector = encoder.embed(samples_of(recordings[0]), 16000)
    np.testing.assert_allclose(vector, found.vectors[0], atol=1e-6)


def test_one_partial_at_a_time(tmp_path, network, recordings):
    one = FEATURES | {"layout": [1, "frames", "dims"]}
    vectors = [
        TorchScriptEncoder(write(tmp_path / "m.pt", network, d)).embed_recordings(recordings[:1])[0]
        for d in (FEATURES, one)
    ]
    np.testing.assert_allclose(vectors[0].vectors, vectors[1].vectors, atol=1e-6)
    assert vectors[0].encoder != vectors[1].encoder


def test_recording_that_the_module_refuses_is_named_and_the_rest_goes_on(tmp_path, recordings):
    encoder = TorchScriptEncoder(write(tmp_path / "m.pt", Picky()))
    short = tmp_path / "short.wav"
    soundfile.write(short, samples_of(recordings[0])[:9600], 16000)
    bad = dataclasses.replace(recordings[0], id="short", path=str(short))
    found, failures = encoder.embed_recordings([bad, recordings[1]])
    assert found.ids == [recordings[1].id]
    assert str(failures[0]).startswith(f"{short}: the TorchScript module fails; found ")
    assert "too short for me" in str(failures[0])
    with pytest.raises(SingeridError, match="too short for me"):
        encoder.embed(samples_of(bad), 16000)


@pytest.mark.parametrize(
    ("module", "declaration", "message"),
    [
        (Pair(), {}, "does not map one array to one; found tuple; expected a tensor$"),
        (Untouched(), {}, r"gives no vector for each partial; found output \(2, 50, 20\)"),
        (Mean(), {"layout": ["batch", "dims", "frames"]},
         r"does not run on its declared input; .*\[batch, dims 20, frames 50\]$"),
    ],
)  # fmt: skip
def test_modules_that_cannot_be_used(tmp_path, module, declaration, message):
    path = write(tmp_path / "m.pt", module, FEATURES | declaration)
    with pytest.raises(CheckpointError, match=f"^{path}: {message}"):
        TorchScriptEncoder(path)


def test_other_files_are_refused(tmp_path, network):
    path = write(tmp_path / "m.pt", network)
    advice = "if it holds weights of a known encoder: singerid import"
    for content in (b"", b"no such thing", path.read_bytes()[:-500]):
        path.write_bytes(content)
        with pytest.raises(
            CheckpointError, match=r"^.*m.pt: is not a TorchScript file; found "
        ) as e:
            TorchScriptEncoder(path)
        assert str(e.value).endswith(advice)
    torch.save(network.state_dict(), path)
    with pytest.raises(CheckpointError, match="is not a TorchScript file"):
        TorchScriptEncoder(path)
    path.with_suffix(".yaml").unlink()
    with pytest.raises(CheckpointError) as caught:
        TorchScriptEncoder(path)
    assert str(caught.value) == (
        f"{path}: lacks the declaration of its front end; expected m.yaml beside it; {advice}"
    )
