"""Weights of other programs: each family's layout, an independent network, strict refusals."""

import importlib.util
import json
import os
import sys
from hashlib import sha256
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from singerid.checkpoint import load_encoder, save_encoder
from singerid.config import Config, to_yaml
from singerid.embed import TorchSingerEncoder
from singerid.embeddings import mean_direction
from singerid.encoders import build_encoder
from singerid.errors import CheckpointError
from singerid.features import extract, raise_level
from singerid.features.mel import log_mel
from singerid.foreign import RESEMBLYZER_FEATURES, import_encoder, read_foreign
from singerid.frames import tile_starts
from singerid.melody import draw_song
from singerid.singing import sing
from singerid.spec import FeatureSpec, MelSettings, PitchSettings
from singerid.voices import draw_singer

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import reference_resemblyzer as reference

RATE = 16_000
GOLDEN = Path(__file__).parent / "data" / "resemblyzer.json"


# Networks as their programs save them


def lstm_weights(n_dims, hidden, n_layers, seed=0):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return torch.tensor(rng.normal(0, 0.4, shape), dtype=torch.float32)

    weights = {}
    for k in range(n_layers):
        weights[f"lstm.weight_ih_l{k}"] = draw(4 * hidden, hidden if k else n_dims)
        weights[f"lstm.weight_hh_l{k}"] = draw(4 * hidden, hidden)
        weights[f"lstm.bias_ih_l{k}"] = draw(4 * hidden)
        weights[f"lstm.bias_hh_l{k}"] = draw(4 * hidden)
    return weights


def linear(name, hidden, dim, seed=1):
    rng = np.random.default_rng(seed)
    shapes = {f"{name}.weight": (dim, hidden), f"{name}.bias": (dim,)}
    # Mostly positive, so that the ReLU leaves something of every vector.
    return {key: torch.tensor(rng.normal(0.2, 0.4, s)).float() for key, s in shapes.items()}


def autovc():
    weights = lstm_weights(80, 12, 3) | linear("embedding", 12, 7)
    named = {f"module.{name}": value for name, value in weights.items()}
    return {"model_b": named, "model_l": {"w": torch.tensor(10.0)}, "optimizer": {"state": {}}}


def similarity():
    return {"similarity_weight": torch.tensor([12.5]), "similarity_bias": torch.tensor([-4.5])}


def corentinj():
    weights = similarity() | lstm_weights(40, 10, 2) | linear("linear", 10, 6)
    return {"step": 1564501, "model_state": weights, "optimizer_state": {"state": {}}}


def original():
    weights = similarity() | lstm_weights(80, 8, 1) | linear("linear", 8, 5)
    weights |= linear("class_layer", 5, 9)
    return {"step": 300, "ge2e_loss": 0.5, "model_state": weights, "optimizer_state": {}}


FAMILIES = {"autovc": autovc, "corentinj": corentinj, "original": original}
SECTION = {"autovc": "model_b", "corentinj": "model_state", "original": "model_state"}


def independent(section, frames, relu):
    """The network in float64, gate by gate (Hochreiter & Schmidhuber; torch's order i, f, g, o)."""
    w = {name.removeprefix("module."): value.double().numpy() for name, value in section.items()}
    n_layers = sum("weight_ih" in name for name in w)
    x = np.asarray(frames, float)  # (batch, n_frames, n_dims)
    for k in range(n_layers):
        h = c = np.zeros((len(x), w[f"lstm.weight_hh_l{k}"].shape[1]))
        out = []
        for t in range(x.shape[1]):
            gates = (
                x[:, t] @ w[f"lstm.weight_ih_l{k}"].T + w[f"lstm.bias_ih_l{k}"]
                + h @ w[f"lstm.weight_hh_l{k}"].T + w[f"lstm.bias_hh_l{k}"]
            )  # fmt: skip
            i, f, g, o = np.split(gates, 4, axis=1)
            c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            h = np.tanh(c) / (1 + np.exp(-o))
            out.append(h)
        x = np.stack(out, axis=1)
    name = "embedding" if "embedding.weight" in w else "linear"
    vectors = x[:, -1] @ w[f"{name}.weight"].T + w[f"{name}.bias"]
    vectors = np.maximum(vectors, 0) if relu else vectors
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def saved(tmp_path, values, name="weights.pt"):
    path = tmp_path / name
    torch.save(values, path)
    return path


def refused(path, match, spec=None):
    with pytest.raises(CheckpointError, match=match) as caught:
        read_foreign(path, spec)
    return str(caught.value)


def virtual_song(seconds=5.0):
    rng = np.random.default_rng(5)
    return sing(draw_singer(rng, "x", "F"), draw_song(rng, seconds), rng, RATE)


# Each family


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", FAMILIES)
def test_imported_network_is_theirs(tmp_path, kind, legacy):
    values = FAMILIES[kind]()
    path = tmp_path / "theirs.pt"
    torch.save(values, path, _use_new_zipfile_serialization=not legacy)
    import_encoder(path, tmp_path / "encoder.safetensors")
    file = load_encoder(tmp_path / "encoder.safetensors")
    frames = np.random.default_rng(3).random((4, 30, file.spec.n_dims), np.float32)
    expected = independent(values[SECTION[kind]], frames, relu=kind != "autovc")
    with torch.inference_mode():
        ours = file.encoder(torch.from_numpy(frames)).numpy()
    assert np.abs(ours - expected).max() < 1e-5
    assert (ours.min() < 0) == (kind == "autovc")


@pytest.mark.parametrize(
    ("kind", "sizes", "spec", "partial_frames", "step", "leftovers", "unread"),
    [
        ("autovc", (12, 3, 7, False), FeatureSpec(), 128, None, [], ["model_l", "optimizer"]),
        (
            "corentinj", (10, 2, 6, True), RESEMBLYZER_FEATURES, 160, 1564501,
            ["similarity_weight", "similarity_bias"], ["optimizer_state"],
        ),
        (
            "original", (8, 1, 5, True), FeatureSpec(), 128, 300,
            ["similarity_weight", "similarity_bias", "class_layer.weight", "class_layer.bias"],
            ["ge2e_loss", "optimizer_state"],
        ),
    ],
)  # fmt: skip
def test_what_is_known_of_each_family(
    tmp_path, kind, sizes, spec, partial_frames, step, leftovers, unread
):
    found = read_foreign(saved(tmp_path, FAMILIES[kind]()))
    settings = found.settings
    assert found.kind == kind
    assert (settings.hidden_size, settings.n_layers, settings.dim, settings.relu) == sizes
    assert settings.normalization == "none"
    assert (found.spec, found.partial_frames, found.step) == (spec, partial_frames, step)
    assert (list(found.leftovers), list(found.unread)) == (leftovers, unread)


def test_leftovers_keep_their_values(tmp_path):
    found = read_foreign(saved(tmp_path, original()))
    assert found.leftovers["similarity_weight"].tolist() == [12.5]
    assert found.leftovers["similarity_bias"].tolist() == [-4.5]
    assert tuple(found.leftovers["class_layer.weight"].shape) == (9, 5)


def test_original_without_its_head(tmp_path):
    values = original()
    for name in ("class_layer.weight", "class_layer.bias"):
        del values["model_state"][name]
    assert read_foreign(saved(tmp_path, values)).kind == "original"


def test_half_precision_becomes_single(tmp_path):
    values = corentinj()
    values["model_state"] = {name: w.half() for name, w in values["model_state"].items()}
    found = read_foreign(saved(tmp_path, values))
    for name, tensor in found.weights.items():
        assert torch.equal(tensor, values["model_state"][name].float())
        assert tensor.dtype == torch.float32


def test_import_says_where_it_comes_from(tmp_path):
    path = saved(tmp_path, corentinj(), "pretrained.pt")
    fingerprint = import_encoder(path, tmp_path / "e.safetensors")
    file = load_encoder(tmp_path / "e.safetensors")
    assert file.fingerprint == fingerprint
    assert file.provenance == {
        "imported_from": str(path), "kind": "corentinj", "step": 1564501,
        "left_out": ["similarity_weight", "similarity_bias", "optimizer_state"],
        "sha256": sha256(path.read_bytes()).hexdigest(),
    }  # fmt: skip


def test_import_does_not_replace_its_source(tmp_path):
    path = saved(tmp_path, autovc())
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"weights.pt: would be replaced .* another -o"):
        import_encoder(path, path)
    assert path.read_bytes() == before


# Strictness


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_missing_and_unexpected_weight_is_named(tmp_path, kind):
    values = FAMILIES[kind]()
    section = values[SECTION[kind]]
    prefix = "module." if kind == "autovc" else ""
    last = "embedding" if kind == "autovc" else "linear"
    del section[f"{prefix}lstm.bias_hh_l0"], section[f"{prefix}{last}.weight"]
    section[f"{prefix}lstm.weight_hr_l0"] = section["conv.weight"] = torch.zeros(2)
    message = refused(saved(tmp_path, values), rf"weights do not fit \({kind}\); found ")
    assert message.partition("found ")[2].split(", ") == [
        f"{prefix}lstm.bias_hh_l0 is missing", f"{prefix}{last}.weight is missing",
        f"{prefix}lstm.weight_hr_l0 is unexpected", "conv.weight is unexpected",
    ]  # fmt: skip


def test_every_weight_counts(tmp_path):
    for kind, make in FAMILIES.items():
        optional = {"class_layer.weight", "class_layer.bias"}
        for name in set(make()[SECTION[kind]]) - optional:
            values = make()
            del values[SECTION[kind]][name]
            refused(saved(tmp_path, values), rf"\({kind}\); found {name} is missing$")


def test_a_layer_in_between_is_missed(tmp_path):
    values = autovc()
    for name in [name for name in values["model_b"] if name.endswith("_l1")]:
        del values["model_b"][name]
    message = refused(saved(tmp_path, values), "lstm.weight_ih_l1 is missing")
    assert "module.lstm.bias_hh_l2 is unexpected" in message


def test_wrong_shapes_are_named(tmp_path):
    values = autovc()
    values["model_b"]["module.lstm.bias_ih_l1"] = torch.zeros(47)
    values["model_b"]["module.embedding.bias"] = torch.zeros(7, 1)
    message = refused(saved(tmp_path, values), r"weights do not fit \(autovc\); ")
    assert message.partition("found ")[2] == (
        "module.lstm.bias_ih_l1 is (47,), not (48,), module.embedding.bias is (7, 1), not (7,)"
    )


@pytest.mark.parametrize(
    "name", ["module.lstm.weight_ih_l0", "module.lstm.weight_hh_l0", "module.embedding.weight"]
)
@pytest.mark.parametrize("shape", [(), (3,), (0, 0), (2, 3, 4)])
def test_nonsense_shapes_are_refused(tmp_path, name, shape):
    values = autovc()
    values["model_b"][name] = torch.zeros(shape)
    refused(saved(tmp_path, values), r"weights do not fit \(autovc\); found .* is \(.*not \(")


def test_sizes_out_of_range(tmp_path):
    state = similarity() | lstm_weights(40, 2, 1) | linear("linear", 2, 6)
    path = saved(tmp_path, {"model_state": state})
    refused(path, "has sizes out of range; found 1 layers of 2 units, 6 dimensions")


def test_not_finite_is_refused(tmp_path):
    values = corentinj()
    values["model_state"]["linear.bias"][2] = float("nan")
    refused(saved(tmp_path, values), r"\(corentinj\); found linear.bias holds values that are not")


def test_unknown_files_say_what_they_hold(tmp_path):
    values = {"epoch": 3, "state_dict": {"conv.weight": torch.zeros(1)}}
    message = refused(saved(tmp_path, values), "weights.pt: is not a known kind of encoder; ")
    assert "found epoch, state_dict; expected model_b (AutoVC) or model_state" in message
    many = {f"k{i}": torch.zeros(1) for i in range(30)}
    refused(saved(tmp_path, many), "found k0, k1, .*, k19 and 10 more; expected")
    refused(saved(tmp_path, {"model_b": [1]}), "model_b holds no named weights; found list")
    refused(saved(tmp_path, {"model_state": {"a": 3}}), "model_state holds no named .*; found a$")
    refused(tmp_path / "nowhere.pt", r"nowhere.pt: does not exist; expected a file of encoder")
    (tmp_path / "junk.pt").write_bytes(b"junk")
    refused(tmp_path / "junk.pt", "junk.pt: cannot be loaded as plain weights")


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_a_file_does_not_run(tmp_path):
    trap = tmp_path / "trap"
    path = saved(tmp_path, corentinj() | {"hook": Malicious(trap)})
    refused(path, "weights.pt: cannot be loaded as plain weights")
    assert not trap.exists()
    torch.load(path, weights_only=False)
    assert trap.exists()  # the trap works


# Front ends


def test_another_front_end_must_be_given(tmp_path):
    values = original()
    values["model_state"] |= lstm_weights(127, 8, 1)
    path = saved(tmp_path, values)
    refused(path, "another front end than is usual for original; found 127 values a frame; expect")
    spec = FeatureSpec(pitch=PitchSettings(condition=True))  # 80 mels, 46 pitches, unvoiced
    assert read_foreign(path, spec).spec == spec
    refused(path, "found 127 values a frame; expected 64", FeatureSpec(mel=MelSettings(n_mels=64)))


def resemblyzer_mel(samples, level_db=-30.0):
    """Resemblyzer's front end by librosa in float64: level, power, 40 bands."""
    samples = np.asarray(samples, float)
    level = 10 * np.log10(np.mean(samples**2))
    samples = samples * 10 ** (max(0.0, level_db - level) / 20)
    return librosa.feature.melspectrogram(
        y=samples, sr=RATE, n_fft=400, hop_length=160, n_mels=40, dtype=np.float64
    ).T


@pytest.mark.parametrize("padding", ["reflect", "zero"])
@pytest.mark.parametrize("spectrum", ["magnitude", "power"])
@pytest.mark.parametrize("scale", ["decibel", "linear"])
def test_mel_settings_equal_librosa(padding, spectrum, scale):
    settings = MelSettings(
        highpass=0, gain=1, dither=0, padding=padding, spectrum=spectrum, scale=scale
    )
    samples, exponent = virtual_song(), 1 if spectrum == "magnitude" else 2
    expected = librosa.feature.melspectrogram(
        y=samples.astype(float), sr=RATE, n_fft=1024, hop_length=256, n_mels=80, fmin=90,
        fmax=7600, power=exponent, pad_mode={"zero": "constant"}.get(padding, padding),
        dtype=np.float64,
    ).T  # fmt: skip
    if scale == "decibel":
        levels = 20 / exponent * np.log10(np.maximum(expected, 10 ** (-5 * exponent))) - 16
        expected = np.clip((levels + 100) / 100, 0, 1)
    ours = log_mel(samples, RATE, settings)
    assert np.abs(ours - expected).max() < 2e-5 * expected.max()


@pytest.mark.parametrize("gain", [1.0, 0.5, 1e-2, 1e-4])
def test_resemblyzer_front_end_equals_librosa(gain):
    samples = (virtual_song() * gain).astype(np.float32)
    ours, expected = extract(samples, RESEMBLYZER_FEATURES), resemblyzer_mel(samples)
    assert ours.shape == expected.shape == (1 + len(samples) // 160, 40)
    assert np.abs(ours - expected).max() < 1e-5 * expected.max()
    ends = [0, 1, -2, -1]  # where the padding counts
    assert np.abs(ours[ends] - expected[ends]).max() < 1e-5 * expected[ends].max()


def test_level_is_raised_and_never_lowered():
    samples = virtual_song()
    level = 10 * np.log10(np.mean(samples.astype(float) ** 2))
    assert raise_level(samples, level - 1) is samples
    raised = raise_level(samples, level + 6)
    assert np.allclose(raised, samples * 10 ** (6 / 20), rtol=1e-5)
    assert not raise_level(np.zeros(100, np.float32), -30).any()


# Our own files


@pytest.fixture
def own_run(tmp_path):
    config = Config.model_validate(
        {
            "encoder": {
                "hidden_size": 8, "n_layers": 1, "dim": 4, "relu": False,
                "normalization": "feature",
            },
            "mel": {"n_mels": 16}, "batch": {"partial_frames": 48},
        }
    )  # fmt: skip
    torch.manual_seed(0)
    weights = build_encoder(config.encoder, 16).state_dict()
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    torch.save({"step": 70, "model_state": weights}, tmp_path / "saved_model.pt")
    save_encoder(
        tmp_path / "encoder.safetensors", weights, config.encoder, config.feature_spec, 48,
        {"step": 70},
    )  # fmt: skip
    return tmp_path, config, weights


@pytest.mark.parametrize("name", ["saved_model.pt", "encoder.safetensors", "."])
def test_our_own_files(own_run, name):
    folder, config, weights = own_run
    found = read_foreign(folder / name)
    assert found.kind == "singerid"
    assert (found.settings, found.spec) == (config.encoder, config.feature_spec)
    assert (found.partial_frames, found.step) == (48, 70)
    assert set(found.weights) == set(weights)
    assert all(torch.equal(found.weights[key], value) for key, value in weights.items())


def test_saved_model_becomes_the_same_encoder(own_run):
    folder, _, _ = own_run
    fingerprint = import_encoder(folder / "saved_model.pt", folder / "again.safetensors")
    assert fingerprint == load_encoder(folder).fingerprint


def test_saved_model_without_its_run_is_refused(own_run):
    folder, _, weights = own_run
    torch.save({"step": 1, "model_state": dict(weights) | {"x": torch.ones(1)}}, folder / "w.pt")
    refused(folder / "w.pt", "w.pt: weights do not fit; found x is unexpected")
    (folder / "config.yaml").unlink()
    refused(folder / "saved_model.pt", "lacks the configuration of its run; .* encoder.safetensors")


def test_front_end_of_an_encoder_file_cannot_be_changed(own_run):
    folder, config, _ = own_run
    assert read_foreign(folder, config.feature_spec).kind == "singerid"
    refused(folder, "has a front end of its own, which cannot be changed", FeatureSpec())


def test_safetensors_of_others_are_refused(tmp_path):
    save_file(lstm_weights(40, 4, 1), tmp_path / "x.safetensors")
    refused(tmp_path / "x.safetensors", "is not an encoder of singerid")


# The real Resemblyzer weights, where they are installed


@pytest.fixture(scope="module")
def resemblyzer(tmp_path_factory):
    """Its weights as our encoder, and their path."""
    path = Path(os.environ.get("SINGERID_RESEMBLYZER", ""))
    if not path.is_file():
        spec = importlib.util.find_spec("resemblyzer")
        if spec is None or spec.origin is None:
            pytest.skip("resemblyzer is not installed, and SINGERID_RESEMBLYZER names no weights")
        path = Path(spec.origin).with_name("pretrained.pt")
    if sha256(path.read_bytes()).hexdigest() != json.loads(GOLDEN.read_text())["sha256"]:
        pytest.skip(f"{path} is not Resemblyzer 0.1.4's pretrained.pt")
    output = tmp_path_factory.mktemp("resemblyzer") / "encoder.safetensors"
    import_encoder(path, output)
    return TorchSingerEncoder(load_encoder(output)), path


@pytest.mark.parametrize("name", reference.SIGNALS)
def test_resemblyzer_gives_the_librarys_vectors(resemblyzer, name):
    encoder, _ = resemblyzer
    golden = json.loads(GOLDEN.read_text())["signals"][name]
    samples = reference.voice(*reference.SIGNALS[name])
    vectors = reference.ours(encoder, samples, golden["starts"])
    assert np.abs(vectors - np.array(golden["partials"])).max() < 1e-4
    assert np.abs(mean_direction(vectors) - np.array(golden["utterance"])).max() < 1e-4


def equals_independent(encoder, path, samples):
    """Our pipeline against librosa and the gates above on the same partials."""
    mel = resemblyzer_mel(samples)
    starts = tile_starts(len(mel), 160, 160)
    state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    network = {name: w for name, w in state.items() if not name.startswith("similarity")}
    expected = independent(network, np.stack([mel[s : s + 160] for s in starts]), relu=True)
    found = encoder.embed_partials(extract(samples, encoder.file.spec))
    assert len(found) == len(expected) > 1
    assert np.abs(found - expected).max() < 1e-4
    mean = expected.mean(axis=0)
    assert np.abs(encoder.embed(samples, RATE) - mean / np.linalg.norm(mean)).max() < 1e-4


def test_resemblyzer_pipeline_on_a_virtual_singer(resemblyzer):
    equals_independent(*resemblyzer, virtual_song(6.0))


@pytest.mark.parametrize("corpus", ["mir1k", "ravdess_song", "librispeech"])
def test_resemblyzer_pipeline_on_real_voices(resemblyzer, shared_audio, corpus):
    from singerid import audio

    file = min((shared_audio / corpus).glob("*/*.ogg"))
    samples, _ = audio.load(file, RATE)
    equals_independent(*resemblyzer, samples[: 8 * RATE])
