"""The encoder from Python: one method for each kind of input, all of them agreed."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile

import singerid
from singerid.embed import TorchSingerEncoder
from singerid.errors import AudioError, CheckpointError, ConfigError
from singerid.runtime import OnnxSingerEncoder
from singerid.sections import EmbedSettings
from singerid.singer_encoder import SingerEncoder


@pytest.fixture(scope="module")
def encoder(small_encoder):
    return SingerEncoder.from_pretrained(small_encoder / "e.onnx")


@pytest.fixture(scope="module")
def songs(recordings):
    return [soundfile.read(r.path, dtype="float32")[0] for r in recordings[:4]]


def test_it_is_the_public_one():
    assert singerid.SingerEncoder is SingerEncoder
    default = SingerEncoder.from_pretrained()
    assert default.fingerprint == singerid.load_encoder().fingerprint
    assert isinstance(default.embedder, OnnxSingerEncoder)
    assert default.calibration.encoder == default.fingerprint


def test_what_it_says_of_itself(encoder, small_encoder):
    of_torch = SingerEncoder.from_pretrained(small_encoder / "e.safetensors")
    assert isinstance(of_torch.embedder, TorchSingerEncoder)
    assert of_torch.fingerprint == encoder.fingerprint
    for found in (encoder, of_torch):
        assert (found.dim, found.sample_rate, found.calibration) == (8, 16_000, None)


def test_names_that_are_no_encoder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"^gone.onnx: does not exist; "):
        SingerEncoder.from_pretrained("gone.onnx")
    with pytest.raises(CheckpointError, match=r"^defaul: does not exist; .* did you mean default"):
        SingerEncoder.from_pretrained("defaul")
    with pytest.raises(ConfigError, match=r"^mfcc: is a baseline, .* use singerid.load_encoder$"):
        SingerEncoder.from_pretrained("mfcc")
    with pytest.raises(ConfigError, match=r"^default: has no revisions"):
        SingerEncoder.from_pretrained(revision="main")


def test_all_ways_give_the_same(encoder, recordings, songs):
    paths = [r.path for r in recordings[:4]]
    single = [encoder.embed(song, 16_000) for song in songs]
    for found in (
        [encoder.embed_file(path) for path in paths],
        encoder.embed_files(paths), encoder.embed_files(iter(paths), n_processes=2),
        encoder.embed_batch(songs, 16_000), encoder.embed_batch(iter(songs), 16_000),
        encoder.embed_recordings(recordings[:4])[0].vectors,
        [list(encoder.embed_stream(np.array_split(s, 9), 16_000))[-1].mean for s in songs],
    ):  # fmt: skip
        np.testing.assert_allclose(np.stack(found), single, atol=1e-6)
    assert np.ptp(single, axis=0).max() > 1e-3  # they do differ


@pytest.mark.parametrize("batch_partials", [1, 7, 64])
def test_lengths_do_not_disturb_one_another(small_encoder, songs, batch_partials):
    settings = EmbedSettings(batch_partials=batch_partials)
    encoder = SingerEncoder.from_pretrained(small_encoder / "e.onnx", settings=settings)
    batch = [songs[0][: int(s * 16_000)] for s in (3, 0.6, 1.93, 5, 0.97)]
    found = encoder.embed_batch(batch, 16_000)
    expected = [encoder.embed(samples, 16_000) for samples in batch]
    np.testing.assert_allclose(np.stack(found), expected, atol=1e-6)


def test_one_that_fails_takes_no_other_along(encoder, songs, recordings, tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    bad = [songs[0][:100], noise, np.zeros(16_000), songs[0][:100].reshape(2, 50), noise * np.nan]
    found = encoder.embed_batch([songs[1], *bad, songs[2]], 16_000)
    assert [isinstance(f, AudioError) for f in found] == [False, *[True] * 5, False]
    for error, samples in zip(found[1:6], bad, strict=True):
        with pytest.raises(AudioError) as caught:
            encoder.embed(samples, 16_000)
        assert error.what == caught.value.what
    np.testing.assert_allclose(found[6], encoder.embed(songs[2], 16_000), atol=1e-6)

    (tmp_path / "text.wav").write_text("no audio")
    soundfile.write(tmp_path / "noise.wav", noise, 16_000)
    path = recordings[0].path
    paths = [tmp_path / "gone.wav", path, tmp_path / "noise.wav", tmp_path / "text.wav", path]
    found = encoder.embed_files(paths)
    for row in (0, 2, 3):
        assert isinstance(found[row], AudioError)
        with pytest.raises(AudioError):
            encoder.embed_file(paths[row])
        assert str(found[row]).startswith(f"{paths[row]}: ")
    np.testing.assert_allclose([found[1], found[4]], [encoder.embed_file(path)] * 2, atol=1e-6)


def test_nothing_gives_nothing(encoder):
    assert encoder.embed_batch([], 16_000) == []
    assert encoder.embed_files([]) == []


def test_the_middle_is_taken_in_all_ways(small_encoder, recordings, songs):
    settings = EmbedSettings(max_seconds=2.0)
    encoder = SingerEncoder.from_pretrained(small_encoder / "e.onnx", settings=settings)
    expected = encoder.embed(songs[0], 16_000)
    for found in (
        encoder.embed_file(recordings[0].path), encoder.embed_files([recordings[0].path])[0],
        encoder.embed_batch(songs[:1], 16_000)[0],
        encoder.embed_recordings(recordings[:1])[0].vectors[0],
    ):  # fmt: skip
        np.testing.assert_allclose(found, expected, atol=1e-6)
    everything = SingerEncoder.from_pretrained(small_encoder / "e.onnx").embed(songs[0], 16_000)
    assert np.abs(expected - everything).max() > 1e-4


def test_a_channel(encoder, songs, tmp_path):
    n = min(len(song) for song in songs[:2])
    stereo = np.stack([songs[0][:n], songs[1][:n]], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 16_000, "FLOAT")
    right = encoder.embed(songs[1][:n], 16_000)
    np.testing.assert_allclose(encoder.embed_file(tmp_path / "a.wav", "right"), right, atol=1e-6)
    found = encoder.embed_files([tmp_path / "a.wav"], channel="right")
    np.testing.assert_allclose(found[0], right, atol=1e-6)


def test_warnings_are_passed_on(encoder, songs, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.clip(20 * songs[0], -1, 1), 16_000)
    said = []
    encoder.embed_files([tmp_path / "a.wav"], on_warning=said.append)
    assert len(said) == 1
    assert said[0].startswith(f"{tmp_path}/a.wav: clipped in ")


def test_streams_need_an_exported_encoder(small_encoder):
    encoder = SingerEncoder.from_pretrained(small_encoder / "e.safetensors")
    with pytest.raises(ConfigError, match=r"^only an exported encoder can embed streams; found To"):
        encoder.embed_stream([], 16_000)


def test_torch_is_not_needed(small_encoder, recordings):
    code = (
        "import sys\nsys.modules['torch'] = sys.modules['huggingface_hub'] = None\n"
        f"import singerid\nencoder = singerid.SingerEncoder.from_pretrained("
        f"{str(small_encoder / 'e.onnx')!r})\n"
        f"print(encoder.embed_files([{recordings[0].path!r}])[0].shape)\n"
        "print(*{'scipy', 'sklearn', 'matplotlib'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "(8,)\n\n", done.stderr
