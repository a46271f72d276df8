"""The benchmarks' reference does the original's job, and the timing helper is fair."""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from scipy import signal

librosa = pytest.importorskip("librosa")
torch = pytest.importorskip("torch")

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import reference  # noqa: E402
from timing import medians, ratio_line  # noqa: E402


@pytest.fixture
def audio() -> npt.NDArray[np.float32]:
    """Two seconds of a gliding tone with a 5 Hz rumble and an offset, float32 at 16 kHz."""
    t = np.arange(32_000) / 16_000
    glide = 0.3 * np.sin(2 * np.pi * (200 * t + 400 * t**2))
    noise = 0.01 * np.random.default_rng(1).standard_normal(len(t))
    return (glide + noise + 0.2 * np.sin(2 * np.pi * 5 * t) + 0.1).astype(np.float32)


@pytest.fixture
def features_dir(tmp_path: Path) -> Path:
    """Three singers with two recordings of 150 and 300 frames; values name singer and frame."""
    for singer in range(3):
        for recording, length in enumerate((150, 300)):
            path = tmp_path / f"s{singer}" / f"r{recording}.npy"
            path.parent.mkdir(exist_ok=True)
            values = np.full((length, 80), singer, np.float32)
            values[:, 0] = np.arange(length)
            np.save(path, values)
    return tmp_path


def independent_mel(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
    """The same features by another way: second-order sections and librosa's own STFT."""
    sos = signal.butter(5, 30 / 8000, "high", output="sos")
    x = signal.sosfiltfilt(sos, audio.astype(np.float64), padlen=18) * 0.96
    spectrum = np.abs(librosa.stft(x, n_fft=1024, hop_length=256, pad_mode="reflect"))
    bank = librosa.filters.mel(sr=16_000, n_fft=1024, fmin=90, fmax=7600, n_mels=80)
    decibels = librosa.amplitude_to_db(bank @ spectrum, ref=1.0, amin=1e-5, top_db=None) - 16
    return np.asarray(np.clip((decibels.T + 100) / 100, 0, 1))


def test_mel_agrees_with_librosa_and_sections(audio: npt.NDArray[np.float32]) -> None:
    mel = reference.reference_mel(audio)
    assert mel.dtype == np.float32
    assert mel.shape == (1 + 32_000 // 256, 80)
    # The noise (1e-6) moves a mel by about 1e-6; 0.002 of the scale are 0.2 dB.
    np.testing.assert_allclose(mel, independent_mel(audio), atol=2e-3)


def test_mel_hears_the_tone_and_not_the_rumble() -> None:
    t = np.arange(16_000) / 16_000
    mel = reference.reference_mel(0.5 * np.sin(2 * np.pi * 1000 * t))[20:40].mean(0)
    centers = librosa.mel_frequencies(82, fmin=90, fmax=7600)[1:-1]
    assert abs(centers[mel.argmax()] - 1000) < 50
    # The forward and backward passes each take 77.8 dB off 5 Hz: nothing is left above noise.
    rumble = reference.reference_mel(0.5 * np.sin(2 * np.pi * 5 * t))[20:40]
    np.testing.assert_allclose(rumble, reference.reference_mel(np.zeros(16_000))[20:40], atol=0.15)
    assert mel.max() - rumble.max() > 0.5


def test_digital_silence_is_on_the_floor() -> None:
    silence = reference.reference_mel(np.zeros(16_000))
    assert silence.max() == 0.0  # -100 dB - 16 dB lie below the scale


def test_features_of_a_file_are_those_of_its_samples(
    audio: npt.NDArray[np.float32], tmp_path: Path
) -> None:
    path = tmp_path / "voice.wav"
    stereo = np.stack([audio * 0.5, audio * 1.0], axis=1)
    soundfile.write(path, stereo, 16_000, subtype="FLOAT")
    expected = reference.reference_mel(audio * np.float32(0.75))
    np.testing.assert_allclose(reference.reference_features(path), expected, atol=1e-5)


@pytest.mark.parametrize("n_processes", [1, 2])
def test_extract_writes_one_array_a_recording(
    audio: npt.NDArray[np.float32], tmp_path: Path, n_processes: int
) -> None:
    paths = []
    for singer in ("a", "b"):
        paths.append(tmp_path / "in" / singer / f"{singer}1.flac")
        paths[-1].parent.mkdir(parents=True)
        soundfile.write(paths[-1], audio, 22_050)
    written = reference.reference_extract(paths, tmp_path / "out", n_processes)
    assert written == [tmp_path / "out" / "a" / "a1.npy", tmp_path / "out" / "b" / "b1.npy"]
    for path, out in zip(paths, written, strict=True):
        np.testing.assert_array_equal(np.load(out), reference.reference_features(path))


def test_batches_are_contiguous_crops_singer_by_singer(features_dir: Path) -> None:
    batches = reference.ReferenceBatches(features_dir, n_singers=3, n_recordings=4)
    starts: set[float] = set()
    for _ in range(20):
        batch = batches.next_batch()
        assert batch.shape == (12, 128, 80)
        assert batch.dtype == np.float32
        singers = batch[:, :, 1].reshape(3, -1)
        assert sorted(singers[:, 0]) == [0, 1, 2]
        assert (singers == singers[:, :1]).all()
        assert (np.diff(batch[:, :, 0], axis=1) == 1).all()
        starts.update(batch[:, 0, 0])
    assert max(starts) <= 300 - 128
    assert len(starts) > 50


def test_few_singers_repeat_in_a_batch(features_dir: Path) -> None:
    batch = reference.ReferenceBatches(features_dir).next_batch()
    assert batch.shape == (80, 128, 80)
    counts = np.bincount(batch[::10, 0, 1].astype(int))
    assert sorted(counts) == [2, 3, 3]


def test_encoder_gives_unit_vectors_of_the_right_size() -> None:
    torch.manual_seed(0)
    model = reference.ReferenceEncoder()
    n_parameters = sum(p.numel() for p in model.parameters())
    assert n_parameters == 4 * 768 * (80 + 768 + 2 + 2 * (2 * 768 + 2)) + 769 * 256 + 2
    embeds = model(torch.rand(2, 16, 80))
    assert embeds.shape == (2, 256)
    assert (embeds >= 0).all()
    torch.testing.assert_close(embeds.norm(dim=1), torch.ones(2), atol=1e-3, rtol=0)


def naive_similarity(
    embeds: npt.NDArray[np.float64], w: float, b: float
) -> npt.NDArray[np.float64]:
    """Singers × partials × centroids by the definition, in numpy float64."""
    n_singers, n_partials, _ = embeds.shape
    result = np.zeros((n_singers, n_partials, n_singers))
    for j in range(n_singers):
        for i in range(n_partials):
            for k in range(n_singers):
                chosen = [embeds[k, m] for m in range(n_partials) if (j, i) != (k, m)]
                centroid = np.mean(chosen, axis=0)
                cosine = embeds[j, i] @ centroid / np.linalg.norm(centroid)
                result[j, i, k] = w * cosine + b
    return result.reshape(n_singers * n_partials, n_singers)


@pytest.mark.parametrize("shape", [(2, 2, 3), (4, 5, 8), (8, 10, 16)])
def test_similarity_is_that_of_a_triple_loop(shape: tuple[int, int, int]) -> None:
    embeds = np.random.default_rng(0).standard_normal(shape)
    embeds /= np.linalg.norm(embeds, axis=2, keepdims=True)
    found = reference.reference_similarity_matrix(torch.from_numpy(embeds), 10.0, -5.0)
    np.testing.assert_allclose(found.numpy(), naive_similarity(embeds, 10.0, -5.0), atol=1e-12)


def test_loss_and_eer_of_a_separable_batch() -> None:
    embeds = torch.eye(4, 6)[:, None].repeat(1, 3, 1)
    similarity = reference.reference_similarity_matrix(embeds, 10.0, -5.0)
    loss, eer = reference.reference_loss(similarity, 4)
    assert eer == pytest.approx(0.0, abs=1e-9)
    assert loss.item() == pytest.approx(np.log1p(3 * np.exp(-10.0)), rel=1e-3)


def test_loss_and_eer_of_a_known_overlap() -> None:
    # Targets 0.9, 0.4; nontargets 0.6, 0.1: at a threshold of 0.5 one of two errs on each side.
    _, eer = reference.reference_loss(torch.tensor([[0.9, 0.6], [0.1, 0.4]]), 2)
    assert eer == pytest.approx(0.5, abs=1e-6)
    loss, _ = reference.reference_loss(torch.zeros(6, 3), 3)
    assert loss.item() == pytest.approx(np.log(3), rel=1e-6)


def test_train_step_holds_back_scale_and_bias_and_learns() -> None:
    torch.manual_seed(0)
    model = reference.ReferenceEncoder(hidden=16, n_layers=1, dim=8)
    rng = np.random.default_rng(0)
    means = rng.random((3, 1, 1, 80))
    batch = (means + 0.1 * rng.random((3, 4, 20, 80))).reshape(12, 20, 80).astype(np.float32)
    scale = model.scale.item()
    sgd = torch.optim.SGD(model.parameters(), lr=1.0)
    reference.reference_train_step(model, sgd, batch, n_singers=3)
    # One step of SGD moves the scale by its gradient: at most 0.01 x |d loss / d scale| <= 0.02.
    assert 0 < abs(model.scale.item() - scale) <= 0.02
    gradients = [p.grad.norm() for p in model.parameters() if p.grad is not None]
    assert torch.stack(gradients).norm() <= 3.0001
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = [reference.reference_train_step(model, adam, batch, n_singers=3)[0] for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]


def test_table_is_the_mean_of_all_partials(features_dir: Path) -> None:
    torch.manual_seed(0)
    model = reference.ReferenceEncoder(hidden=16, n_layers=1, dim=8)
    table = reference.reference_table(model, features_dir)
    assert list(table) == ["s0", "s1", "s2"]
    short, long = (np.load(features_dir / "s1" / f"r{i}.npy") for i in range(2))
    partials = np.stack([short[:128], long[:128], long[128:256]])
    expected = model(torch.from_numpy(partials)).mean(0).detach().numpy()
    np.testing.assert_allclose(table["s1"], expected, atol=1e-6)


def test_medians_interleaves_the_candidates() -> None:
    calls: list[str] = []
    result = medians(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, warmups=1
    )
    assert "".join(calls) == "abababab"
    assert list(result) == ["a", "b"]
    assert all(0 <= seconds < 1 for seconds in result.values())


def test_medians_refuses_no_rounds() -> None:
    with pytest.raises(ValueError, match="rounds 0 must be at least 1"):
        medians({"a": int}, rounds=0)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (1.23e-3, 50.1e-3, "ours 1.23 ms, reference 50.1 ms: 40.7 x"),
        (2.0, 1.0, "ours 2.00 s, reference 1.00 s: 0.500 x"),
        (5e-7, 1.5, "ours 0.500 us, reference 1.50 s: 3000000 x"),
    ],
)
def test_ratio_line(ours: float, theirs: float, expected: str) -> None:
    assert ratio_line({"ours": ours, "reference": theirs}) == expected
