"""Resemblyzer through its package: called as it should be; the package itself is faked here.

Checked by hand with the real one on real recordings: see docs/benchmark.md.
"""

import dataclasses
import sys
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

import numpy as np
import pytest
import soundfile

from singerid.errors import AudioError, BatchError, MissingExtraError
from singerid.external import resemblyzer_package
from singerid.external.resemblyzer_package import ResemblyzerEncoder


class FakeEncoder:
    """Three partials of a recording, from its samples' level."""

    def __init__(self, verbose):
        assert verbose is False

    def embed_utterance(self, samples, return_partials):
        assert return_partials is True
        rms = np.sqrt(np.mean(samples**2))
        partials = np.array([[1, 0, rms], [0, 1, rms], [1, 1, rms]])
        partials /= np.linalg.norm(partials, axis=1, keepdims=True)
        mean = partials.mean(axis=0)
        return mean / np.linalg.norm(mean), partials, [slice(0, 1)] * 3


def normalize_volume(samples, level, increase_only):
    assert (level, increase_only) == (-30, True)
    return samples * 2


@pytest.fixture
def library(monkeypatch):
    module = ModuleType("resemblyzer")
    module.VoiceEncoder, module.normalize_volume = FakeEncoder, normalize_volume
    monkeypatch.setitem(sys.modules, "resemblyzer", module)
    return module


def samples_of(recording):
    return soundfile.read(recording.path, dtype="float32")[0]


def expected_of(samples):
    return FakeEncoder(False).embed_utterance(samples * 2, True)[0]


def test_samples_and_files_give_the_librarys_utterance(library, recordings):
    encoder = ResemblyzerEncoder()
    found, failures = encoder.embed_recordings(recordings[:2], 2)
    assert failures == []
    assert list(found.n_partials) == [3, 3]
    assert found.encoder == encoder.fingerprint
    for row, recording in enumerate(recordings[:2]):
        expected = expected_of(samples_of(recording))
        np.testing.assert_allclose(found.vectors[row], expected, atol=1e-6)
        vector = encoder.embed(samples_of(recording), 16000)
        assert vector.dtype == np.float32
        np.testing.assert_allclose(vector, expected, atol=1e-6)
    assert abs(found.vectors[0] - found.vectors[1]).max() > 1e-4


def test_fingerprint_is_the_packages_version(library, monkeypatch):
    monkeypatch.setattr(resemblyzer_package, "version", lambda name: f"9.9-{name}")
    assert ResemblyzerEncoder().fingerprint == "resemblyzer-9.9-resemblyzer"

    def unknown(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(resemblyzer_package, "version", unknown)
    assert ResemblyzerEncoder().fingerprint == "resemblyzer-unknown"


def test_bad_file_is_named_and_the_rest_goes_on(library, recordings, tmp_path):
    (tmp_path / "text.wav").write_text("no audio at all")
    bad = dataclasses.replace(recordings[0], id="bad", path=str(tmp_path / "text.wav"))
    seconds = []
    found, failures = ResemblyzerEncoder().embed_recordings([bad, recordings[1]], 1, seconds.append)
    assert seconds == [bad.duration, recordings[1].duration]
    assert found.ids == [recordings[1].id]
    assert "text.wav: is not audio" in str(failures[0])
    with pytest.raises(BatchError, match="all 1 recordings failed"):
        ResemblyzerEncoder().embed_recordings([bad])
    with pytest.raises(AudioError, match="is too short"):
        ResemblyzerEncoder().embed(np.ones(1600), 16000)


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "resemblyzer", None)
    with pytest.raises(MissingExtraError) as caught:
        ResemblyzerEncoder()
    assert str(caught.value) == (
        "resemblyzer is not installed; install it with: pip install 'singerid[resemblyzer]'"
    )


@pytest.mark.parametrize("missing", ["webrtcvad", "pkg_resources"])
def test_works_without_the_voice_detector(monkeypatch, tmp_path, missing):
    """The package imports webrtcvad, which imports pkg_resources of an old setuptools."""
    body = "import webrtcvad\nfrom pathlib import Path\nVoiceEncoder = dict\nnormalize_volume = 0\n"
    (tmp_path / "resemblyzer.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "resemblyzer", raising=False)
    monkeypatch.delitem(sys.modules, "webrtcvad", raising=False)
    if missing == "webrtcvad":
        monkeypatch.setitem(sys.modules, "webrtcvad", None)
    else:
        (tmp_path / "webrtcvad.py").write_text("import pkg_resources\n")
        monkeypatch.setitem(sys.modules, "pkg_resources", None)
    try:
        assert resemblyzer_package.resemblyzer_module().VoiceEncoder is dict
    finally:
        sys.modules.pop("resemblyzer", None)
        sys.modules.pop("webrtcvad", None)


def test_package_that_lacks_another_is_missing(monkeypatch, tmp_path):
    (tmp_path / "resemblyzer.py").write_text("import no_such_package_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "resemblyzer", raising=False)
    with pytest.raises(MissingExtraError, match="resemblyzer is not installed"):
        resemblyzer_package.resemblyzer_module()


@pytest.mark.real
def test_real_package(recordings):
    """Where it is installed: its own numbers."""
    library = pytest.importorskip("resemblyzer", exc_type=ImportError)
    encoder = ResemblyzerEncoder()
    assert encoder.fingerprint == f"resemblyzer-{version('resemblyzer')}"
    samples = library.normalize_volume(samples_of(recordings[0]), -30, increase_only=True)
    expected = library.VoiceEncoder("cpu", verbose=False).embed_utterance(samples)
    found = encoder.embed_recordings(recordings[:1])[0].vectors[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
