"""One name for every encoder."""

import subprocess
import sys

import pytest

from singerid import external, pretrained
from singerid.embed import TorchSingerEncoder
from singerid.errors import CheckpointError, ConfigError, MissingExtraError
from singerid.external import load_embedder
from singerid.external.mfcc import MfccEncoder
from singerid.sections import EmbedSettings
from singerid.spec import FeatureSpec
from singerid.training_sections import EncoderSettings


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    from singerid.checkpoint import save_encoder
    from singerid.encoders import build_encoder

    settings = EncoderSettings(kind="lstm", normalization="none", hidden_size=8, n_layers=1, dim=4)
    path = tmp_path_factory.mktemp("run") / "encoder.safetensors"
    network = build_encoder(settings, 80)
    save_encoder(path, network.state_dict(), settings, FeatureSpec(), 32, {})
    return path.parent


def test_run_folder_and_file_are_ours(run_folder):
    for where in (run_folder, str(run_folder / "encoder.safetensors")):
        encoder = load_embedder(where, EmbedSettings(overlap=0.5))
        assert isinstance(encoder, TorchSingerEncoder)
        assert encoder.settings.overlap == 0.5
        assert encoder.sample_rate == 16000


def test_mfcc_is_a_name(recordings, tmp_path, monkeypatch, run_folder):
    assert load_embedder("mfcc").statistics is None
    found = load_embedder("mfcc", recordings=recordings[:2])
    assert found.fingerprint == MfccEncoder.fit(recordings[:2]).fingerprint
    (tmp_path / "mfcc").symlink_to(run_folder)
    monkeypatch.chdir(tmp_path)
    assert isinstance(load_embedder("./mfcc"), TorchSingerEncoder)
    assert isinstance(load_embedder("mfcc"), MfccEncoder)


def test_resemblyzer_is_a_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "resemblyzer", None)
    with pytest.raises(MissingExtraError, match="resemblyzer is not installed"):
        load_embedder("resemblyzer")


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        load_embedder("mfc")
    assert str(caught.value) == (
        "mfc: does not exist; expected a run folder, an encoder file, model.onnx, model.pt, mfcc "
        "or resemblyzer; did you mean mfcc?"
    )
    with pytest.raises(CheckpointError, match=r"nowhere.onnx: does not exist; .* or resemblyzer$"):
        load_embedder(tmp_path / "nowhere.onnx")
    text = tmp_path / "notes.txt"
    text.write_text("no encoder")
    with pytest.raises(CheckpointError, match="is not an encoder file"):
        load_embedder(text)
    with pytest.raises(CheckpointError, match="run has no encoder yet"):
        load_embedder(tmp_path)


@pytest.mark.parametrize("name", ["m.pt", "m.safetensors"])
def test_torch_is_asked_for_where_it_is_needed(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="PyTorch is not installed"):
        load_embedder(tmp_path / name)


def test_the_default_is_the_pretrained_one(monkeypatch, tmp_path, run_folder):
    from singerid.checkpoint import load_encoder
    from singerid.export import export_encoder
    from singerid.runtime import OnnxSingerEncoder

    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    with pytest.raises(CheckpointError) as caught:
        load_embedder()
    assert str(caught.value) == (
        f"{tmp_path}/default.onnx: the pretrained encoder is not part of this installation; "
        "install singerid again, or give an encoder of your own"
    )
    file = load_encoder(run_folder)
    export_encoder(file, tmp_path / "default.onnx", name="the one")
    settings = EmbedSettings(max_seconds=2)
    for found in (load_embedder(), load_embedder("default", settings)):
        assert isinstance(found, OnnxSingerEncoder)
        assert (found.name, found.fingerprint) == ("the one", file.fingerprint)
    assert found.settings is settings


def test_names_are_those_of_the_module_table():
    for name in external.NAMES:
        assert f"``{name}``" in external.__doc__


def test_onnx_needs_no_torch(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"nothing")
    (tmp_path / "m.yaml").write_text("input: waveform\nsample_rate: 16000\n")
    code = (
        "import sys\nfrom singerid.errors import SingeridError\n"
        "from singerid.external import load_embedder\n"
        f"try:\n    load_embedder({str(tmp_path / 'm.onnx')!r})\n"
        "except SingeridError as error:\n    print(error)\n"
        "assert not {'torch', 'librosa', 'safetensors'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "onnxruntime" in done.stdout


@pytest.mark.parametrize("name", ["mfcc", "resemblyzer"])
def test_encoders_without_partials_take_no_excerpts(name):
    with pytest.raises(ConfigError, match=f"{name}: has no embed.max_seconds; found 2"):
        load_embedder(name, EmbedSettings(max_seconds=2.0))
