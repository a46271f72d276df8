"""Augmentation of batches: each effect alone, in its measure, as often as asked."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from singerid.batch_augment import BatchAugment, axis_scaling, spans
from singerid.errors import ConfigError
from singerid.features.mel import log_mel
from singerid.resing_settings import CLEAN, ChannelSettings
from singerid.resinging.draws import Draws, seeded
from singerid.resinging.levels import mel_sums
from singerid.spec import FeatureSettings, FeatureSpec, MelSettings, PitchSettings
from singerid.training_sections import BatchAugmentSettings

SPEC = FeatureSpec()
N = 100
"""Natural singers."""


def make(spec=SPEC, channel=CLEAN, n_singers=N, seed=0, **values):
    return BatchAugment(spec, BatchAugmentSettings(**values), channel, n_singers, seed)


def batch(n_singers=6, n_partials=4, n_frames=64, n_inputs=80, seed=0):
    """Features 0.2 … 1, and whose they are."""
    generator = torch.Generator().manual_seed(seed)
    shape = (n_singers, n_partials, n_frames, n_inputs)
    singers = torch.randperm(N, generator=generator)[:n_singers]
    return 0.2 + 0.8 * torch.rand(shape, generator=generator), singers


def vowel(f0, factor=1.0, seconds=1.1):
    """Levels `(n_frames, n_mels)` of a voice with formants at 700, 1500, 2700 Hz times a factor."""
    time = np.arange(int(16000 * seconds)) / 16000
    phase = 2 * np.pi * np.cumsum(f0 * (1 + 0.02 * np.sin(2 * np.pi * 5.5 * time))) / 16000
    samples = np.zeros(len(time))
    for k in range(1, int(7800 / f0)):
        s = 2j * np.pi * k * f0 / factor
        gain = 1.0
        for hz in (700, 1500, 2700, 3600, 4700, 5900, 7100):
            pole = -np.pi * (60 + 0.05 * hz) + 2j * np.pi * hz
            gain *= abs(abs(pole) ** 2 / ((s - pole) * (s - pole.conjugate())))
        samples += gain / k * np.sin(k * phase + k * k)
    samples *= 0.05 / samples.std()
    return torch.from_numpy(log_mel(samples.astype(np.float32), 16000, SPEC.mel)[4:-4])


def centers(augment):
    return augment._hz


# all effects together

EVERYTHING = {
    "channel_probability": 0.5, "crop_probability": 0.5, "mask_probability": 0.5,
    "shift_probability": 0.5, "variants": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def everything():
    return make(channel=ChannelSettings(), **EVERYTHING)


def test_nothing_is_changed_by_default():
    assert not BatchAugmentSettings().changes_anything
    for name, value in EVERYTHING.items():
        assert BatchAugmentSettings(**{name: value}).changes_anything
    augment, (features, singers) = make(), batch()
    assert augment.n_classes == N
    for t in range(20):
        after, classes = augment(features, singers, t)
        assert torch.equal(after, features)
        assert torch.equal(classes, singers)


def test_the_result_is_a_function_of_seed_and_number(everything):
    features, singers = batch()
    kept = features.clone()
    forth = [everything(features, singers, t) for t in range(8)]
    assert torch.equal(features, kept)
    assert torch.equal(singers, batch()[1])
    again = make(channel=ChannelSettings(), **EVERYTHING)
    for t in reversed(range(8)):
        after, classes = again(features, singers, t)
        assert torch.equal(after, forth[t][0])
        assert torch.equal(classes, forth[t][1])
    assert len({after.sum().item() for after, _ in forth}) == 8
    other = make(channel=ChannelSettings(), seed=1, **EVERYTHING)(features, singers, 0)[0]
    assert other.shape != forth[0][0].shape or not torch.equal(other, forth[0][0])


def test_results_lie_on_the_front_ends_scale(everything):
    features, singers = batch(n_singers=20)
    for t in range(5):
        after, classes = everything(features, singers, t)
        assert after.shape[:2] == (20, 4)
        assert after.shape[3] == 80
        assert after.dtype == torch.float32
        assert float(after.min()) >= 0
        assert float(after.max()) <= 1
        assert int(classes.max()) < everything.n_classes == 3 * N


def test_effects_do_not_disturb_one_another():
    features, singers = batch()
    warped = make(variants=3)(features, singers, 7)
    both = make(variants=3, mask_probability=1)(features, singers, 7)
    assert torch.equal(warped[1], both[1])
    floor = warped[0].amin((2, 3), keepdim=True)
    masked = both[0] != warped[0]
    assert bool(masked.any())
    assert torch.equal(both[0][masked], floor.expand_as(masked)[masked])


# channel


@pytest.mark.parametrize("spectrum", ["magnitude", "power"])
def test_noise_has_the_ratio_asked_for(spectrum):
    spec = FeatureSpec(mel=MelSettings(n_fft=512, spectrum=spectrum))
    noise = ChannelSettings(**CLEAN.model_dump() | {
        "noise_probability": 1, "snr_min_db": 20, "snr_max_db": 20,
    })  # fmt: skip
    augment = make(spec, noise, channel_probability=1)
    features, singers = batch()
    features = 0.6 + 0.3 * features  # no cell at the floor or above the top
    after, _ = augment(features, singers, 0)
    power = 1 if spectrum == "power" else 2
    before, heard = (mel_sums(x.flatten(0, 1), spec.mel) ** power for x in (features, after))
    loudness = augment._channel.loudness
    ratio = 10 * torch.log10(loudness(before) / loudness(heard - before))
    assert torch.allclose(ratio, torch.tensor(20.0), atol=0.1)


def test_as_many_partials_as_asked_for_go_through_a_channel():
    louder = ChannelSettings(**CLEAN.model_dump() | {"level_min_db": 5, "level_max_db": 5})
    augment = make(channel=louder, channel_probability=0.3)
    features, singers = batch(n_singers=50, n_partials=10)
    features = 0.8 * features
    change = (augment(features, singers, 3)[0] - features).flatten(2)
    sent = change.amax(2) > 0
    assert float(sent.float().mean()) == pytest.approx(0.3, abs=0.06)
    assert torch.allclose(change[sent], torch.tensor(0.05), atol=1e-4)  # of 100 dB
    assert not bool(change[~sent].any())


# masks


def test_masks_have_the_widths_asked_for_and_the_partials_floor():
    augment = make(
        mask_probability=1, time_masks=1, time_mask_max=0.25, band_masks=1, band_mask_max=0.1
    )
    features, singers = batch(n_singers=100, n_partials=10)
    after, _ = augment(features, singers, 0)
    floor = features.amin((2, 3), keepdim=True)
    masked = after == floor
    assert torch.equal(after, torch.where(masked, floor, features))
    n_frames, n_bands = masked.all(3).sum(2), masked.all(2).sum(2)
    for n, most in ((n_frames, 16), (n_bands, 8)):
        counts = torch.bincount(n.flatten(), minlength=most + 1)
        assert len(counts) == most + 1  # each width from 0 on, equally often
        expected = 1000 / (most + 1)
        assert float((counts - expected).abs().max()) < 5 * math.sqrt(expected)
    where = masked.all(3).flatten(0, 1).float().mean(0)
    assert float(where.min()) > 0.006  # anywhere; 0.017 at both ends, where few spans reach


def test_as_many_partials_as_asked_for_are_masked():
    augment = make(mask_probability=0.3, band_mask_max=0.5, time_mask_max=0.5, time_masks=4)
    features, singers = batch(n_singers=50, n_partials=10)
    changed = (augment(features, singers, 1)[0] != features).flatten(2).any(2)
    assert float(changed.float().mean()) == pytest.approx(0.3, abs=0.06)


@given(st.integers(1, 60), st.integers(0, 4), st.floats(0, 1), st.integers(0, 1000))
@settings(max_examples=50)
def test_spans_are_no_more_and_no_longer_than_asked(length, number, most, seed):
    masked = spans(Draws(8, seeded(seed), torch.device("cpu")), length, number, most)
    assert masked.shape == (8, length)
    beginnings = torch.diff(masked.int(), prepend=torch.zeros(8, 1, dtype=torch.int)) == 1
    assert int(beginnings.sum(1).max()) <= number
    assert int(masked.sum(1).max()) <= number * round(most * length)


# crops


def test_crops_cut_the_whole_batch_alike():
    augment = make(crop_probability=0.5, crop_min=0.5)
    features, singers = batch(n_frames=100)
    features[..., 0] = torch.arange(100)
    lengths, starts = [], set()
    for t in range(300):
        after, _ = augment(features, singers, t)
        start = int(after[0, 0, 0, 0])
        assert torch.equal(after, features[:, :, start : start + after.shape[2]])
        lengths.append(after.shape[2])
        starts.add(start)
    cut = [n for n in lengths if n < 100]
    assert set(cut) == {56, 64, 72, 80, 88, 96}
    assert len(cut) == pytest.approx(150, abs=40)
    assert len(starts) > 30


@pytest.mark.parametrize(("n_frames", "share"), [(8, 0.5), (10, 1.0), (20, 0.9), (33, 0.01)])
def test_crops_of_short_partials(n_frames, share):
    augment = make(crop_probability=1, crop_min=share)
    features, singers = batch(n_frames=n_frames)
    lengths = {augment(features, singers, t)[0].shape[2] for t in range(50)}
    assert min(lengths) >= max(8, math.ceil(share * n_frames))
    assert max(lengths) <= n_frames


# warped copies and shifts


def test_warped_copies_are_new_classes_with_factors_of_their_own():
    augment = make(variants=4, warp_share=0.5)
    assert augment.n_classes == 4 * N
    assert augment.nepers.shape == (N, 4)
    assert not bool(augment.nepers[:, 0].any())
    sorted_nepers = augment.nepers.sort(1).values
    assert float(sorted_nepers.diff(dim=1).min()) > 0.0499  # apart, and from the natural voice
    assert math.log(0.8) - 1e-6 <= float(augment.nepers.min()) < math.log(0.85)
    assert math.log(1.2) < float(augment.nepers.max()) <= math.log(1.25) + 1e-6
    features, singers = batch(n_singers=9)
    counts = np.zeros(4, int)
    for t in range(200):
        after, classes = augment(features, singers, t)
        assert torch.equal(classes % N, singers)
        variants = classes // N
        assert int((variants > 0).sum()) in (4, 5)
        assert torch.equal((after != features).flatten(1).any(1), variants > 0)
        counts += np.bincount(variants.numpy(), minlength=4)
    assert counts[0] / counts.sum() == pytest.approx(0.5, abs=0.02)
    assert counts[1:].min() > 0.28 * counts[1:].sum()


def test_a_warped_copy_is_the_voice_with_scaled_formants_and_pitch():
    augment = make(variants=3, warp_share=1.0)
    natural = vowel(150.0)
    features = natural.expand(12, 1, -1, -1)
    after, classes = augment(features, torch.arange(12), 0)
    for i in range(12):
        factor = math.exp(augment.nepers[i, int(classes[i]) // N])
        true = vowel(150 * factor, factor)
        errors = [
            100 * (other.clamp(min=0.4) - true.clamp(min=0.4))[:, :74]  # the upper 37 dB; bands
            for other in (after[i, 0], natural)  # above the 74th were never recorded
        ]
        scaled, unscaled = (float((e - e.mean()).square().mean().sqrt()) for e in errors)
        assert scaled < 3.5  # dB
        assert scaled < 0.3 * unscaled


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.1, 1.25])
def test_a_formant_moves_by_the_factor(factor):
    hz = centers(make())
    peak = torch.exp(-0.5 * (torch.log(hz / 1800) / 0.1).square())  # a smooth formant
    [moved] = peak @ axis_scaling(hz, torch.tensor([math.log(factor)]))
    top = int(moved.argmax())
    a, b, c = moved[top - 1 : top + 2].double()
    place = top + 0.5 * float((a - c) / (a - 2 * b + c))  # vertex of a parabola
    found = np.interp(place, np.arange(80), hz.numpy())
    assert found / 1800 == pytest.approx(factor, rel=0.01)
    assert float(moved.max()) == pytest.approx(1, abs=0.02)


def test_scaling_keeps_levels_and_is_nothing_at_factor_1():
    hz = centers(make())
    weights = axis_scaling(hz, torch.linspace(-0.4, 0.4, 33))
    assert torch.allclose(weights.sum(1), torch.tensor(1.0), atol=1e-5)
    assert torch.allclose(weights[16], torch.eye(80), atol=1e-4)
    line = torch.linspace(0, 1, 80)  # smooth levels: interpolated exactly in the middle
    lower = line @ axis_scaling(hz, torch.tensor([-0.1]))
    expected = np.interp(hz.numpy() * math.exp(0.1), hz.numpy(), line.numpy())
    np.testing.assert_allclose(lower[0, 2:70], expected[2:70], atol=1e-4)


def test_lowered_voices_go_on_above_the_last_band_as_a_mirror_image():
    hz = centers(make())
    levels = torch.rand(80, generator=torch.Generator().manual_seed(0))
    [lowered] = levels @ axis_scaling(hz, torch.tensor([math.log(0.8)]))
    assert float(lowered[-5:].std()) > 0.05


def test_shifts_are_as_large_and_as_frequent_as_asked():
    augment = make(shift_probability=0.4, shift_max=2.0)
    hz = centers(augment)
    peak = 0.2 + 0.6 * torch.exp(-0.5 * (torch.log(hz / 1800) / 0.1).square())
    features = peak.expand(50, 10, 16, 80)
    after, classes = augment(features, torch.arange(50), 0)
    assert torch.equal(classes, torch.arange(50))
    changed = (after != features).flatten(2).any(2)
    assert float(changed.float().mean()) == pytest.approx(0.4, abs=0.07)
    weights = (after[:, :, 0] - 0.2).clamp(min=0.3) - 0.3
    means = (weights * torch.log(hz)).sum(2) / weights.sum(2)
    semitones = 12 / math.log(2) * (means - means[~changed].mean())[changed]
    assert float(semitones.abs().max()) <= 2.1
    assert float(semitones.max()) > 1.6
    assert float(semitones.min()) < -1.6
    assert abs(float(semitones.mean())) < 0.35


def test_linear_features_are_scaled_in_decibels():
    spec = FeatureSpec(mel=MelSettings(scale="linear", spectrum="power", n_fft=512))
    augment = make(spec, shift_probability=1, shift_max=2)
    features, singers = batch()
    after, _ = augment(torch.exp(-10 * features), singers, 0)
    expected, _ = make(FeatureSpec(mel=MelSettings(n_fft=512)), shift_probability=1, shift_max=2)(
        features, singers, 0
    )
    inside = (expected > 0) & (expected < 1)  # where nothing was clipped
    assert torch.allclose(-after.log()[inside] / 10, expected[inside], atol=1e-3)


# front ends


def test_pitch_beside_the_mel_features_stays():
    spec = FeatureSpec(pitch=PitchSettings(condition=True))
    features, singers = batch(n_inputs=spec.n_inputs)
    louder = ChannelSettings(**CLEAN.model_dump() | {"level_min_db": 5, "level_max_db": 5})
    augment = make(spec, louder, channel_probability=1, mask_probability=1)
    after, _ = augment(features, singers, 0)
    assert after.shape == features.shape
    assert torch.equal(after[..., 80:], features[..., 80:])
    assert not torch.equal(after[..., :80], features[..., :80])
    for value in ({"shift_probability": 0.1}, {"variants": 2}):
        with pytest.raises(ConfigError) as caught:
            make(spec, **value)
        assert str(caught.value) == (
            "batch_augment: a shifted spectrum would contradict the pitch beside it; found "
            "pitch.condition true; set shift_probability to 0 and variants to 1"
        )


def test_features_without_mel_are_refused():
    with pytest.raises(ConfigError) as caught:
        make(FeatureSpec(features=FeatureSettings(stream="world")))
    assert str(caught.value) == (
        "batch_augment: batches can be augmented in mel features only; found features.stream "
        "world; switch the section off, or train from a manifest with the section augment"
    )
