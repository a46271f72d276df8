"""The learning-free baseline: librosa's numbers, standardized by corpus, without torch."""

import dataclasses
import subprocess
import sys

import librosa
import numpy as np
import pytest
import soundfile

from singerid.audio import conform
from singerid.errors import AudioError, BatchError, SingeridError
from singerid.external.mfcc import (
    MFCC_FEATURES,
    MfccEncoder,
    Statistics,
    _statistics,
    mfcc,
    summary,
)
from singerid.features import extract


def samples_of(recording):
    samples, rate = soundfile.read(recording.path, dtype="float32")
    assert rate == 16000
    return samples


def of_corpus(recording, corpus, **changes):
    labels = {**recording.labels, "corpus": corpus}
    return dataclasses.replace(recording, labels=labels, **changes)


@pytest.fixture(scope="module")
def two_corpora(recordings):
    return [of_corpus(r, "ab"[i % 2], id=str(i)) for i, r in enumerate(recordings[:7])]


def by_librosa(recording):
    found = librosa.feature.mfcc(y=samples_of(recording), sr=16000, n_mfcc=20)[1:]
    return np.concatenate([found.mean(axis=1), found.std(axis=1)])


@pytest.mark.parametrize("gain", [1.0, 1e-3])
def test_mfccs_are_librosas(recordings, gain):
    """Quiet samples reach the floor of the levels, loud ones the floor below the loudest."""
    samples = gain * np.concatenate([samples_of(recordings[0]), np.zeros(8000, np.float32)])
    expected = librosa.feature.mfcc(y=samples, sr=16000, n_mfcc=20)[1:]
    found = mfcc(extract(samples.astype(np.float32), MFCC_FEATURES))
    assert found.shape == (1 + len(samples) // 512, 19)
    np.testing.assert_allclose(found.T, expected, atol=5e-4)  # float32 spectra, 80 dB below
    over_time = np.concatenate([expected.mean(axis=1), expected.std(axis=1)])
    np.testing.assert_allclose(summary(found), over_time, atol=1e-4)


def test_summary_is_mean_and_deviation_over_time():
    values = np.arange(38.0).reshape(2, 19)
    np.testing.assert_allclose(summary(values), [*np.arange(9.5, 28.5), *np.full(19, 9.5)])


def test_recordings_are_standardized_by_corpus(two_corpora):
    found, failures = MfccEncoder().embed_recordings(two_corpora)
    assert failures == []
    assert found.ids == [r.id for r in two_corpora]
    assert list(found.n_partials) == [1] * 7
    rows = np.array([by_librosa(r) for r in two_corpora])
    for own in (np.arange(0, 7, 2), np.arange(1, 7, 2)):
        expected = (rows[own] - rows[own].mean(axis=0)) / rows[own].std(axis=0)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(found.vectors[own], expected, atol=1e-4)


def test_fitted_before_equals_fitted_at_once(two_corpora):
    at_once, _ = MfccEncoder().embed_recordings(two_corpora)
    encoder = MfccEncoder.fit(two_corpora)
    some, _ = encoder.embed_recordings(two_corpora[2:4])
    np.testing.assert_array_equal(some.vectors, at_once.vectors[2:4])
    assert some.encoder == at_once.encoder == encoder.fingerprint
    assert encoder.fingerprint.startswith("mfcc-38-")
    alone, _ = MfccEncoder().embed_recordings(two_corpora[:4])
    assert alone.encoder != at_once.encoder  # other statistics, other vectors


def test_workers_and_singers_change_nothing(two_corpora):
    expected, _ = MfccEncoder().embed_recordings(two_corpora)
    nobody = [dataclasses.replace(r, singer="x") for r in two_corpora]
    found, _ = MfccEncoder().embed_recordings(nobody, n_processes=2)
    np.testing.assert_array_equal(found.vectors, expected.vectors)
    assert found.encoder == expected.encoder


def test_samples_are_embedded_by_the_statistics_of_the_one_corpus(recordings):
    own = [of_corpus(r, "a") for r in recordings[:4]]
    encoder = MfccEncoder.fit(own)
    vectors = encoder.embed_recordings(own)[0].vectors
    found = encoder.embed(samples_of(own[1]), 16000)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, vectors[1], atol=1e-5)
    resampled = librosa.resample(samples_of(own[1]), orig_sr=16000, target_sr=32000)
    expected = encoder.embed(conform(resampled, 32000, 16000), 16000)
    np.testing.assert_allclose(encoder.embed(resampled, 32000), expected, atol=1e-6)
    with pytest.raises(AudioError, match="is silent"):
        encoder.embed(np.zeros(16000), 16000)


def test_samples_of_one_of_several_corpora_are_refused(two_corpora):
    with pytest.raises(SingeridError) as caught:
        MfccEncoder.fit(two_corpora).embed(samples_of(two_corpora[0]), 16000)
    assert str(caught.value) == (
        "mfcc: samples do not say which corpus they are of; found a baseline fitted to 2 corpora; "
        "fit it to the recordings of one corpus"
    )


def test_unfitted_baseline_has_no_fingerprint_and_no_vector(recordings):
    message = "the MFCC baseline is not fitted; fit it to recordings: MfccEncoder.fit"
    with pytest.raises(SingeridError, match=message):
        MfccEncoder().embed(samples_of(recordings[0]), 16000)
    with pytest.raises(SingeridError, match=message):
        _ = MfccEncoder().fingerprint


def test_fingerprint_holds_the_corpus_and_every_statistic():
    zeros, ones = np.zeros(38), np.ones(38)
    changed = zeros.copy()
    changed[37] = 1e-6
    fits = [
        ("a", zeros, ones),
        ("b", zeros, ones),
        ("a", changed, ones),
        ("a", zeros, ones - changed),
    ]
    found = {MfccEncoder({c: Statistics(m, d)}).fingerprint for c, m, d in [*fits, fits[0]]}
    assert len(found) == 4


def test_equal_recordings_have_no_direction(recordings):
    twins = [of_corpus(recordings[0], "a", id=name) for name in "xy"]
    with pytest.raises(BatchError, match="all 2 recordings failed") as caught:
        MfccEncoder().embed_recordings(twins)
    assert "an embedding has no direction" in str(caught.value.failures[0])


def test_bad_file_and_lonely_corpus_are_named_and_the_rest_goes_on(recordings, tmp_path):
    (tmp_path / "text.wav").write_text("no audio at all")
    own = [of_corpus(r, "a") for r in recordings[:3]]
    bad = of_corpus(recordings[0], "a", id="bad", path=str(tmp_path / "text.wav"))
    alone = of_corpus(recordings[4], "b")
    seconds = []
    found, failures = MfccEncoder().embed_recordings([own[0], bad, alone, *own[1:]], 1,
                                                     seconds.append)  # fmt: skip
    assert seconds == [r.duration for r in (own[0], bad, alone, *own[1:])]
    assert found.ids == [r.id for r in own]
    expected, _ = MfccEncoder().embed_recordings(own)
    np.testing.assert_array_equal(found.vectors, expected.vectors)
    assert "text.wav: is not audio" in str(failures[0])
    assert str(failures[1]) == (
        f"{alone.path}: corpus 'b' has no statistics; expected at least 2 of its recordings to "
        "fit the MFCC baseline to"
    )
    assert MfccEncoder.fit([*own, bad, alone]).fingerprint == expected.encoder
    with pytest.raises(BatchError, match="all 1 recordings failed") as caught:
        MfccEncoder.fit([bad])
    assert "text.wav" in str(caught.value.failures[0])
    with pytest.raises(SingeridError, match="nothing to be fitted to; found 1 recording"):
        MfccEncoder.fit([alone])
    with pytest.raises(BatchError, match="all 1 recordings failed, nothing is saved"):
        MfccEncoder().embed_recordings([alone])
    with pytest.raises(SingeridError, match="there is nothing to embed"):
        MfccEncoder().embed_recordings([])


def test_neither_torch_nor_librosa_is_needed():
    code = (
        "import sys, numpy as np\n"
        "from singerid.external import load_embedder\n"
        "from singerid.external.mfcc import MFCC_FEATURES, MfccEncoder, Statistics\n"
        "load_embedder('mfcc')\n"
        "e = MfccEncoder({'a': Statistics(np.zeros(38), np.ones(38))})\n"
        "print(e.embed(np.sin(np.arange(16000) ** 1.2), 16000).shape)\n"
        "assert not {'torch', 'librosa', 'onnxruntime', 'resemblyzer'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "(38,)", done.stderr


def test_value_that_never_changes_is_left_at_zero(recordings):
    rows = np.random.default_rng(0).normal(size=(5, 38)).astype(np.float32)
    rows[:, 3] = 7
    found = _statistics([(of_corpus(recordings[0], "a"), row) for row in rows])["a"]
    assert found.deviation[3] == 1
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-5)
    others = np.arange(38) != 3
    np.testing.assert_allclose(found.deviation[others], rows.std(axis=0)[others], rtol=1e-5)
