"""From audio to vectors: tiled as said, the same by every way in, failures named."""

import copy
import dataclasses

import numpy as np
import pytest
import soundfile
import soxr
import torch

from singerid.checkpoint import load_encoder, save_encoder
from singerid.embed import TorchSingerEncoder
from singerid.embeddings import embedding_set, mean_direction
from singerid.encoders import build_encoder
from singerid.errors import AudioError, BatchError, CheckpointError, MismatchError, SingeridError
from singerid.features import extract
from singerid.frames import tile_starts
from singerid.sections import EmbedSettings
from singerid.spec import AudioSettings, FeatureSpec
from singerid.training_sections import EncoderSettings

FRAMES = 64


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """An encoder whose weights are large enough that different audio gives different vectors."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    settings = EncoderSettings(
        kind="lstm", normalization="none", hidden_size=16, n_layers=1, dim=12, relu=False
    )
    network = build_encoder(settings, 80)
    weights = {name: 3 * w for name, w in network.state_dict().items()}
    path = tmp_path_factory.mktemp("run") / "encoder.safetensors"
    save_encoder(path, weights, settings, FeatureSpec(), FRAMES, {})
    return path


@pytest.fixture(scope="module")
def encoder(path):
    return TorchSingerEncoder.load(path)


def with_settings(path, **settings):
    return TorchSingerEncoder(load_encoder(path), EmbedSettings(**settings))


def naive(encoder, features, hop=FRAMES):
    """Vectors of the partials, one at a time, and the recording's."""
    starts = tile_starts(len(features), FRAMES, hop)
    network = encoder.file.encoder
    with torch.inference_mode():
        rows = [network(torch.from_numpy(features[None, s : s + FRAMES].copy())) for s in starts]
    rows = torch.cat(rows).numpy()
    mean = rows.mean(axis=0)
    return rows, mean / np.linalg.norm(mean)


def samples_of(recording):
    samples, rate = soundfile.read(recording.path, dtype="float32")
    assert rate == 16000
    return samples


def test_loaded_from_run_folder_or_file(path):
    for where in (path, path.parent, str(path)):
        assert TorchSingerEncoder.load(where).fingerprint == load_encoder(path).fingerprint
    with pytest.raises(CheckpointError, match="nowhere: does not exist"):
        TorchSingerEncoder.load(path.parent / "nowhere")


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.95])
def test_partials_tile_the_recording(path, store, overlap):
    encoder = with_settings(path, overlap=overlap)
    features = store.features(store.recordings[0].id)
    rows, _ = naive(encoder, features, hop={0.0: 64, 0.5: 32, 0.95: 3}[overlap])
    found = encoder.embed_partials(features)
    np.testing.assert_allclose(found, rows, atol=1e-5)
    assert found.shape == (len(rows), 12)


def test_store_file_and_samples_give_the_same_vector(encoder, store, recordings):
    embeddings, failures = encoder.embed_store(store, store.recordings)
    assert failures == []
    for row, recording in enumerate(store.recordings):
        expected = naive(encoder, store.features(recording.id))[1]
        np.testing.assert_allclose(embeddings.vectors[row], expected, atol=1e-5)
    spread = embeddings.vectors @ embeddings.vectors.T
    assert spread.min() < 0.999  # else equality would say little
    recording = recordings[0]
    row = embeddings.ids.index(recording.id)
    for vector in (
        encoder.embed_file(recording.path),
        encoder.embed_file(recording.path, "left"),
        encoder.embed(samples_of(recording), 16000),
    ):
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(vector, embeddings.vectors[row], atol=1e-5)
    from_files, failures = encoder.embed_recordings(recordings)
    assert failures == []
    assert from_files.ids == [r.id for r in recordings]
    order = [embeddings.ids.index(r.id) for r in recordings]
    np.testing.assert_allclose(from_files.vectors, embeddings.vectors[order], atol=1e-5)


@pytest.mark.parametrize("batch", [1, 7, 10_000])
def test_size_of_batches_does_not_matter(path, encoder, store, batch):
    expected, _ = encoder.embed_store(store, store.recordings)
    found, _ = with_settings(path, batch_partials=batch).embed_store(store, store.recordings)
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-5)
    assert found.n_partials == expected.n_partials


def test_order_and_company_do_not_matter(encoder, store):
    expected, _ = encoder.embed_store(store, store.recordings)
    turned, _ = encoder.embed_store(store, store.recordings[::-1])
    np.testing.assert_allclose(turned.vectors[::-1], expected.vectors, atol=1e-5)
    alone, _ = encoder.embed_store(store, store.recordings[3:4])
    np.testing.assert_allclose(alone.vectors[0], expected.vectors[3], atol=1e-5)


def test_set_says_what_is_known(encoder, store):
    seconds = []
    embeddings, _ = encoder.embed_store(store, store.recordings, seconds.append)
    assert seconds == [r.duration for r in store.recordings]
    assert embeddings.encoder == encoder.fingerprint
    for row, recording in enumerate(store.recordings):
        assert embeddings.singers[row] == recording.singer
        assert embeddings.splits[row] == recording.split
        assert embeddings.seconds[row] == recording.duration
        assert embeddings.paths[row] == recording.path
        assert embeddings.labels["gender"][row] == recording.labels["gender"]
        n_frames = len(store.features(recording.id))
        assert embeddings.n_partials[row] == -(-n_frames // FRAMES)


def test_labels_that_some_lack_are_empty(recordings):
    a, b = (
        dataclasses.replace(recordings[0], id=name, labels=labels, path=f"{name}\n.wav")
        for name, labels in (("a", {"song": "x"}), ("b", {"gender": "F"}))
    )
    found = embedding_set([a, b], np.eye(2, dtype=np.float32), [1, 2], "e")
    assert found.labels == {"gender": ["", "F"], "song": ["x", ""]}
    assert list(found.paths) == [r"a\n.wav", r"b\n.wav"]


@pytest.mark.parametrize("n_frames", [1, 40, 63, 64, 65, 128])
def test_short_recording_is_encoded_at_its_own_length(encoder, store, n_frames):
    features = np.array(store.features(store.recordings[0].id)[:n_frames])
    rows, _ = naive(encoder, features)
    assert len(rows) == (1 if n_frames <= FRAMES else 2)
    np.testing.assert_allclose(encoder.embed_partials(features), rows, atol=1e-5)


def test_short_and_long_recordings_share_a_batch(encoder, store):
    """Each keeps its own vectors, in its own place."""
    lengths = [30, 200, 64, 10, 129]
    features = [np.array(store.features(store.recordings[0].id)[:n]) for n in lengths]
    pairs = [(dataclasses.replace(store.recordings[0], id=str(n)), f)
             for n, f in zip(lengths, features, strict=True)]  # fmt: skip
    found = list(encoder.embed_many(pairs))
    assert [recording.id for recording, _ in found] == list(map(str, lengths))
    for (_, rows), frames in zip(found, features, strict=True):
        np.testing.assert_allclose(rows, naive(encoder, frames)[0], atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_other_rates_are_resampled(encoder, recordings, rate):
    samples = samples_of(recordings[0])[:40_000]
    expected = encoder.embed(samples, 16000)
    # What a lower rate cannot hold is missing from the reference too.
    if rate < 16000:
        expected = encoder.embed(
            soxr.resample(soxr.resample(samples, 16000, rate), rate, 16000), 16000
        )
    found = encoder.embed(soxr.resample(samples, 16000, rate), rate)
    assert found @ expected > 0.99
    wrong = encoder.embed(soxr.resample(samples, 16000, rate), 16000)
    assert wrong @ expected < found @ expected  # the rate is not ignored


def test_integers_and_doubles(encoder, recordings):
    samples = samples_of(recordings[0])
    expected = encoder.embed(samples, 16000)
    integers = np.round(samples * 32768).astype(np.int16)
    np.testing.assert_allclose(encoder.embed(integers, 16000), expected, atol=1e-5)
    doubles = samples.astype(np.float64)
    np.testing.assert_allclose(encoder.embed(doubles, 16000), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.embed(np.tile(samples, (2, 1)).T[:, 0], 16000), expected,
                               atol=1e-5)  # fmt: skip


def test_samples_are_not_changed(encoder, recordings):
    samples = samples_of(recordings[0])
    before = samples.copy()
    encoder.embed(samples, 16000)
    np.testing.assert_array_equal(samples, before)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(16000), "samples: is silent; found peak digital zero"),
        (np.full(16000, np.nan), "samples: holds samples that are not numbers"),
        (np.full(16000, 3000.0), "samples: samples are far beyond full scale; found peak 3000"),
        (np.ones((16000, 2)), r"samples are not mono audio; found float64 \(16000, 2\)"),
        (np.array(["a"]), "samples are not mono audio; found <U1"),
        (np.zeros(0), "samples: holds no audio samples"),
        (np.ones(1600), "samples: is too short; found 0.10 s; expected at least 0.50 s"),
    ],
)
def test_unusable_samples_are_refused(encoder, samples, message):
    with pytest.raises(AudioError, match=message):
        encoder.embed(samples, 16000)


def test_unusable_files_are_named_and_the_rest_is_embedded(encoder, recordings, tmp_path):
    text, silent = tmp_path / "text.wav", tmp_path / "silent.wav"
    text.write_text("no audio at all, only words")
    soundfile.write(silent, np.zeros(16000), 16000)
    quiet = dataclasses.replace(recordings[0], id="silent", path=str(silent))
    mixed = [
        dataclasses.replace(recordings[0], id="text", path=str(text)), recordings[0],
        dataclasses.replace(recordings[0], id="gone", path=str(tmp_path / "gone.wav")),
        recordings[1], quiet,
    ]  # fmt: skip
    seconds, warnings = [], []
    found, failures = encoder.embed_recordings(mixed, 1, seconds.append, warnings.append)
    assert found.ids == [recordings[0].id, recordings[1].id]
    assert sorted(seconds) == sorted(r.duration for r in mixed)
    assert warnings == []
    for failure, message in zip(
        failures, ("text.wav: is not audio", "gone.wav: cannot be opened", "silent.wav: is silent"),
        strict=True,
    ):  # fmt: skip
        assert message in str(failure)
    np.testing.assert_allclose(found.vectors[0], encoder.embed_file(recordings[0].path), atol=1e-5)
    with pytest.raises(BatchError, match=r"^all 2 recordings failed, nothing is saved$") as caught:
        encoder.embed_recordings([mixed[0], quiet])
    assert [str(f.where) for f in caught.value.failures] == [str(text), str(silent)]
    with pytest.raises(SingeridError, match=r"^there is nothing to embed$"):
        encoder.embed_recordings([])


def test_remarks_on_files_are_passed_on(encoder, recordings, tmp_path):
    path = tmp_path / "narrow.wav"
    soundfile.write(path, samples_of(recordings[0])[::2], 8000)
    warnings = []
    narrow = dataclasses.replace(recordings[0], path=str(path))
    encoder.embed_recordings([narrow], on_warning=warnings.append)
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{path}: sampled at 8000 Hz, below 16000 Hz")


def test_collapsed_encoder_is_named(path, store):
    """All ReLU outputs zero: the vectors have no direction."""
    dead = with_settings(path)
    dead._network.relu = True
    with torch.no_grad():
        dead._network.linear.weight.zero_()
        dead._network.linear.bias.fill_(-1)
    with pytest.raises(BatchError, match="all 1 recordings failed") as caught:
        dead.embed_store(store, store.recordings[:1])
    message = (
        f"{store.recordings[0].path}: an embedding has no direction; the encoder has collapsed"
    )
    assert message in str(caught.value.failures[0])


def test_store_of_another_spec_is_refused(encoder, store):
    other = copy.copy(store)
    other.spec = FeatureSpec(audio=AudioSettings(min_seconds=1))
    with pytest.raises(MismatchError) as caught:
        encoder.embed_store(other, store.recordings)
    assert str(caught.value) == (
        f"{store.path}: store and encoder have different feature specs; found store "
        f"{other.spec.fingerprint()}, encoder {store.spec.fingerprint()}; extract again with the "
        "encoder's settings, or embed the audio itself"
    )


def test_bf16_turns_vectors_a_little(path, encoder, store):
    exact, _ = encoder.embed_store(store, store.recordings[:2])
    rough, _ = with_settings(path, precision="bf16").embed_store(store, store.recordings[:2])
    cosines = (exact.vectors * rough.vectors).sum(axis=1)
    assert (cosines > 0.999).all()
    assert (exact.vectors != rough.vectors).any()


def test_long_recording_equals_its_tiles(encoder, recordings):
    samples = np.concatenate([samples_of(r) for r in recordings])
    features = extract(samples, FeatureSpec())
    assert len(features) > 30 * FRAMES
    expected = mean_direction(naive(encoder, features)[0])
    np.testing.assert_allclose(encoder.embed(samples, 16000), expected, atol=1e-5)
