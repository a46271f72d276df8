"""The loss on waveforms: its vectors are the embedder's, its gradients those of differences."""

import copy

import numpy as np
import pytest
import soxr
import torch
from torch import nn

from singerid.checkpoint import load_encoder, save_encoder
from singerid.encoders import build_encoder
from singerid.errors import AudioError, CheckpointError, ConfigError, MismatchError
from singerid.external import load_embedder
from singerid.features.highpass import highpass as numpy_highpass
from singerid.melody import draw_song
from singerid.sections import EmbedSettings
from singerid.singer_loss import SingerLoss
from singerid.singing import sing
from singerid.spec import FeatureSpec
from singerid.training_sections import EncoderSettings
from singerid.voices import draw_singer
from singerid.waveform_mel import WaveformMel, highpass, resample

RATE = 16000


def sung(singer, seconds, song=0, rate=RATE):
    """A virtual singer's song."""
    voice = draw_singer(np.random.default_rng(singer), "v", "FM"[singer % 2])
    rng = np.random.default_rng([singer, song])
    return sing(voice, draw_song(rng, seconds), rng, rate)[: round(seconds * rate)]


@pytest.fixture(scope="module")
def embedder():
    return load_embedder("default", EmbedSettings(min_voice=0))


@pytest.fixture(scope="module")
def loss():
    return SingerLoss()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An LSTM encoder of few weights, for what is asked of every encoder."""
    settings, spec = EncoderSettings(kind="lstm", hidden_size=8, n_layers=1, dim=6), FeatureSpec()
    torch.manual_seed(0)
    network = build_encoder(settings, spec.n_inputs)
    path = tmp_path_factory.mktemp("small") / "encoder.safetensors"
    save_encoder(path, network.state_dict(), settings, spec, 100, {})
    return path


@pytest.mark.parametrize("seconds", [0.6, 9.9, 12.3])
def test_vectors_are_those_of_the_embedder(loss, embedder, seconds):
    samples = sung(1, seconds)
    expected = embedder.embed_partials(embedder.front_end.frames(samples))
    found = loss.partial_vectors(torch.from_numpy(samples), RATE)[0]
    assert len(found) == (1 if seconds < 10 else 2)
    np.testing.assert_allclose(found, expected, atol=5e-5)
    np.testing.assert_allclose(
        loss.vectors(torch.from_numpy(samples), RATE)[0], embedder.embed(samples, RATE), atol=5e-5
    )


@pytest.mark.parametrize("rate", [44100, 22050, 48000])
def test_vectors_at_other_rates(loss, embedder, rate):
    samples = sung(1, 3, rate=rate)
    found = loss.vectors(torch.from_numpy(samples[None]), rate)[0]
    np.testing.assert_allclose(found, embedder.embed(samples, rate), atol=2e-4)


def test_overlapping_partials(small):
    samples = sung(1, 4.2)
    embedder = load_embedder(small, EmbedSettings(overlap=0.5))
    loss = SingerLoss(small, overlap=0.5)
    expected = embedder.embed_partials(embedder.front_end.frames(samples))
    assert len(expected) > 3
    found = loss.partial_vectors(torch.from_numpy(samples), RATE)[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("n_samples", [2, 30, 5000, 40000])
def test_the_highpass_is_that_of_the_features(n_samples):
    samples = np.random.default_rng(0).normal(size=n_samples).astype(np.float32) + 1
    found = highpass(torch.from_numpy(samples[None]), 30.0, RATE)[0]
    np.testing.assert_allclose(found, numpy_highpass(samples, 30.0, RATE), atol=2e-5)


@pytest.mark.parametrize(
    ("a", "b"), [(44100, 16000), (8000, 16000), (16000, 24000), (48000, 16000)]
)
def test_resampled_tones_and_constants_stay_what_they_are(a, b):
    for hz in (0, 440, 3000):
        time = np.arange(a // 2) / a
        tone = torch.from_numpy(np.cos(2 * np.pi * hz * time).astype(np.float32))[None]
        found = resample(tone, a, b)[0].numpy()
        assert len(found) == b // 2
        expected = np.cos(2 * np.pi * hz * np.arange(len(found)) / b)
        np.testing.assert_allclose(
            found[b // 10 : -b // 10], expected[b // 10 : -b // 10], atol=1e-4
        )


def test_resampling_removes_what_would_fold():
    time = np.arange(22050) / 44100
    tone = torch.from_numpy(np.sin(2 * np.pi * 9000 * time).astype(np.float32))[None]
    inner = resample(tone, 44100, 16000)[0, 500:-500]
    assert inner.abs().max() < 1e-4
    assert np.abs(soxr.resample(tone[0].numpy(), 44100, 16000)[500:-500]).max() < 1e-4


def test_the_gradient_is_that_of_differences(loss):
    """In the waveform of another rate: resampling is in it, too.

    Along parts of the gradient, where float32 resolves the change of a step that is small beside
    the soft, high bands, which make the loss bend soon.
    """
    samples = torch.from_numpy(sung(2, 1.5, rate=24000))[None].requires_grad_()
    reference = loss.vectors(torch.from_numpy(sung(5, 1.5)), RATE)[0]
    loss(samples, 24000, reference).backward()
    rng = np.random.default_rng(0)
    for _ in range(4):
        weights = torch.from_numpy(rng.normal(0.5, 1, samples.shape[1])).float()
        direction = samples.grad[0] * weights
        step = 1e-5 * direction / direction.abs().max()
        with torch.no_grad():
            ahead, behind = (loss(samples + s * step, 24000, reference).double() for s in (1, -1))
        found = (samples.grad[0] * step).sum().double()
        assert abs(found) > 1e-4
        assert found == pytest.approx((ahead - behind).item() / 2, rel=0.02)


def test_descent_along_a_filter_brings_a_voice_nearer(loss):
    """What a synthesizer learns here is a filter of 33 taps; the encoder learns nothing."""
    reference = loss.vectors(torch.from_numpy(sung(4, 3, song=1)), RATE)[0]
    before = copy.deepcopy(loss._network[0].state_dict())
    samples = torch.from_numpy(sung(2, 2))[None]
    taps = torch.zeros(1, 1, 33)
    taps[0, 0, 16] = 1
    taps.requires_grad_()
    optimizer = torch.optim.Adam([taps, *loss.parameters()], 0.02)
    found = []
    for _ in range(10):
        filtered = nn.functional.conv1d(samples[:, None], taps, padding=16)[:, 0]
        value = loss(filtered, RATE, reference)
        found.append(value.item())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert found[-1] < found[0] - 0.03
    after = loss._network[0].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.grad is None for p in loss._network[0].parameters())


def test_the_encoder_is_out_of_reach_of_the_model_around_it(small):
    """Training mode would change statistics, bfloat16 the front end, a checkpoint its size."""
    loss = SingerLoss(small, np.ones(6))
    samples = torch.from_numpy(sung(1, 2))[None]
    before = loss(samples, RATE)
    model = nn.ModuleDict({"generator": nn.Linear(2, 2), "loss": loss})
    model.train().to(torch.bfloat16).requires_grad_(True)
    assert torch.equal(model["loss"](samples, RATE), before)
    assert [name for name in model.state_dict() if "loss" in name] == []
    assert len(list(model.parameters())) == 2
    normal = [part for part in loss._network[0].modules() if not isinstance(part, nn.LSTM)]
    assert not any(part.training for part in normal)


def test_half_precision_and_autocast(loss):
    samples = torch.from_numpy(sung(3, 2))[None].bfloat16()
    reference = loss.vectors(torch.from_numpy(sung(4, 2)), RATE)[0]
    expected = loss(samples.float(), RATE, reference)
    samples.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(samples, RATE, reference.bfloat16())
    assert found.dtype == torch.float32
    assert abs(found - expected) < 2e-3  # of the reference's rounding
    found.backward()
    assert samples.grad.dtype == torch.bfloat16
    assert samples.grad.isfinite().all()
    assert samples.grad.abs().max() > 0


def test_silence_and_a_silent_beginning_have_finite_gradients(loss):
    half_silent = torch.from_numpy(sung(1, 2)).clone()
    half_silent[: RATE // 2] = 0
    samples = torch.stack([torch.zeros(2 * RATE), half_silent]).requires_grad_()
    loss(samples, RATE, torch.ones(loss.dim)).backward()
    assert samples.grad.isfinite().all()
    assert samples.grad[1].abs().max() > 0


def test_reductions_and_partials(loss):
    samples = torch.from_numpy(np.stack([sung(1, 10.5), sung(2, 10.5)]))
    own = loss.vectors(samples, RATE)
    each = loss.partial_vectors(samples, RATE)
    kinds = {how: SingerLoss(reduction=how) for how in ("none", "sum", "mean")}
    values = {how: kind(samples, RATE, own[0]) for how, kind in kinds.items()}
    cosines = own @ own[0]
    np.testing.assert_allclose(values["none"], 1 - cosines, atol=1e-6)
    assert values["none"][0].abs() < 1e-6
    np.testing.assert_allclose(values["sum"], (1 - cosines).sum(), atol=1e-6)
    np.testing.assert_allclose(values["mean"], (1 - cosines).mean(), atol=1e-6)
    by_partial = SingerLoss(partials="each", reduction="none")(samples, RATE, own)
    expected = (1 - torch.einsum("bpd,bd->bp", each, own)).mean(1)
    np.testing.assert_allclose(by_partial, expected, atol=1e-6)


def test_a_reference_a_row_and_any_length_of_it(loss):
    samples = torch.from_numpy(np.stack([sung(1, 1), sung(2, 1)]))
    own = loss.vectors(samples, RATE)
    assert loss(samples, RATE, 7 * own.numpy()).abs() < 1e-6
    assert SingerLoss(reference=own)(samples, RATE).abs() < 1e-6
    assert loss(samples, RATE, own.flip(0)) > 0.1


def test_no_row_depends_on_another(loss):
    samples = torch.from_numpy(np.stack([sung(1, 1), sung(2, 1)]))
    alone = loss.vectors(samples[:1], RATE)
    np.testing.assert_allclose(loss.vectors(samples, RATE)[:1], alone, atol=1e-5)


def test_quiet_recordings_are_raised_as_the_embedder_raises_them():
    spec = FeatureSpec.model_validate({"audio": {"min_level_db": -30}})
    samples = 0.01 * sung(1, 1)
    front_end = WaveformMel(spec)
    raised = front_end.samples(torch.from_numpy(samples[None]), RATE)[0]
    assert 10 * torch.log10(raised.square().mean()) == pytest.approx(-30, abs=0.01)
    loud = torch.from_numpy(sung(1, 1)[None])
    assert torch.equal(front_end.samples(loud, RATE), loud)


def test_what_cannot_be_used(loss, small):
    one_second = torch.zeros(1, RATE)
    with pytest.raises(AudioError, match=r"waveform: is too short; found 0\.25 s"):
        loss(one_second[:, : RATE // 4], RATE, torch.ones(loss.dim))
    with pytest.raises(AudioError, match="sample rate out of range; found 0"):
        loss(one_second, 0, torch.ones(loss.dim))
    with pytest.raises(ConfigError, match="no reference; give the singer's vector"):
        loss(one_second, RATE)
    with pytest.raises(MismatchError, match=r"does not fit the encoder; found shape \(6,\)"):
        loss(one_second, RATE, torch.ones(6))
    with pytest.raises(MismatchError, match="a reference has no direction"):
        loss(one_second, RATE, torch.zeros(loss.dim))
    with pytest.raises(MismatchError, match="found 3 vectors; expected 1 or 1"):
        loss(one_second, RATE, torch.ones(3, loss.dim))
    with pytest.raises(MismatchError, match=r"not mono audio; found torch.float32 \(1, 2, 16000\)"):
        loss(torch.zeros(1, 2, RATE), RATE, torch.ones(loss.dim))
    with pytest.raises(MismatchError, match=r"not mono audio; found torch.int16"):
        loss(torch.zeros(1, RATE, dtype=torch.int16), RATE, torch.ones(loss.dim))
    with pytest.raises(ConfigError, match="reduction unknown; found max"):
        SingerLoss(small, reduction="max")
    with pytest.raises(ConfigError, match="partials unknown; found all"):
        SingerLoss(small, partials="all")
    with pytest.raises(ConfigError, match=r"overlap out of range; found 1"):
        SingerLoss(small, overlap=1)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"features": {"stream": "world"}}, "envelope and aperiodicity"),
        ({"pitch": {"condition": True}}, "pitch"),
        ({"audio": {"silence_db": -40}}, "removal of pauses"),
    ],
)
def test_front_ends_without_a_gradient(spec, found):
    with pytest.raises(CheckpointError, match=f"has no gradient; found {found}"):
        WaveformMel(FeatureSpec.model_validate(spec))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(small):
    samples = torch.from_numpy(sung(1, 2))[None]
    for encoder in ("default", small):
        loss = SingerLoss(encoder)
        reference = torch.ones(loss.dim)
        expected = loss(samples, RATE, reference)
        there = samples.cuda().requires_grad_()
        found = loss(there, RATE, reference)
        found.backward()
        assert abs(found.cpu() - expected) < 1e-3
        assert there.grad.isfinite().all()
        assert load_encoder(encoder).fingerprint == loss.fingerprint
