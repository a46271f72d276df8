"""Fixtures that many tests share: a tiny virtual corpus, its manifest, its feature store."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Test processes share the cores: threads of their own would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

from singerid import corpora, extraction, manifest
from singerid.records import Recording, read_recordings, write_recordings
from singerid.sections import ManifestSettings
from singerid.spec import FeatureSpec
from singerid.store import Store
from singerid.virtual import write_virtual_corpus

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no bug
hypothesis.settings.load_profile("untimed")


def pytest_configure() -> None:
    """Modules that are imported stay: looking for garbage among them is a seventh of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """From here on, only what tests make is looked at."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever opens a browser is slow."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def corpus_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`recordings.csv` of 6 virtual singers (2 train, 2 valid, 2 test) with 2 songs each."""
    root = tmp_path_factory.mktemp("corpus")
    return write_virtual_corpus(root, n_singers=6, songs_per_singer=2, seed=0, n_processes=1)


@pytest.fixture(scope="session")
def manifest_jsonl(corpus_csv: Path) -> Path:
    """The manifest of `corpus_csv`, beside it."""
    result = manifest.build(corpora.scan("csv", corpus_csv), ManifestSettings())
    assert not result.problems
    assert not result.warnings
    path = corpus_csv.parent / "manifest.jsonl"
    write_recordings(path, result.recordings)
    return path


@pytest.fixture(scope="session")
def recordings(manifest_jsonl: Path) -> list[Recording]:
    """The recordings of `corpus_csv` in the order of their ids. Copy the list to change it."""
    return read_recordings(manifest_jsonl)


@pytest.fixture(scope="session")
def store(recordings: list[Recording], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Features of `recordings` by the default spec. Copy its folder to change it."""
    path = tmp_path_factory.mktemp("features") / "store"
    done, opened = extraction.extract(recordings, path, FeatureSpec())
    assert not done.failures
    return opened


@pytest.fixture(scope="session")
def shared_audio() -> Path:
    """The recordings beside the repository, which a clone elsewhere does not have."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "audio"
    if not (folder / "recordings.csv").is_file():
        pytest.skip(f"no real recordings in {folder}")
    return folder


@pytest.fixture(scope="session")
def small_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small encoder, partials of 0.96 s, as ``e.safetensors`` and ``e.onnx``."""
    pytest.importorskip("onnx")
    torch = pytest.importorskip("torch")
    from singerid.checkpoint import load_encoder, save_encoder
    from singerid.encoders import build_encoder
    from singerid.export import export_encoder
    from singerid.training_sections import EncoderSettings

    at = tmp_path_factory.mktemp("small")
    settings, spec = EncoderSettings(kind="resnet", channels=4, dim=8), FeatureSpec()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = build_encoder(settings, spec.n_inputs).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = None  # mean of all batches: vectors differ as if it were trained
    for _ in range(2):
        network(torch.rand(8, 1, 80) + 0.3 * torch.rand(8, 60, 80))
    save_encoder(at / "e.safetensors", network.state_dict(), settings, spec, 60, {})
    export_encoder(load_encoder(at / "e.safetensors"), at / "e.onnx", name="small | one")
    return at


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium without a window, driven by playwright, its microphone a fake one."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium and os.environ.get("CI"):
        pytest.fail("no chromium, which a checked change must be tried in: make system")
    if not chromium:
        pytest.skip("no chromium on this machine: make system")
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=chromium, args=["--no-sandbox", *fake])
        yield opened
        opened.close()
