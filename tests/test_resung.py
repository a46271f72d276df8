"""Batches: what training sees, and that it depends on seed and step alone."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from singerid.errors import ConfigError, MismatchError
from singerid.features.mel import log_mel
from singerid.resing_settings import CLEAN, ChannelSettings, ResingSettings
from singerid.resinging.bank_tensors import BankTensors
from singerid.resinging.draws import Draws, seeded
from singerid.resinging.levels import decibels, front_end_scale, level_normalized, mel_sums
from singerid.resinging.realcrops import RealCrops
from singerid.resinging.resung import ResungBatches
from singerid.spec import FeatureSpec, MelSettings
from synthetic_voices import ENCODER, N_FRAMES, synthetic_bank

BANK = BankTensors.of(synthetic_bank())


def batches(bank=BANK, resing=None, channel=None, **options):
    options = {"n_classes": 4, "n_crops": 3, "n_frames": 60} | options
    return ResungBatches(bank, resing or ResingSettings(), channel or ChannelSettings(), **options)


# ------------------------------------------------------------------------------------------ levels


@given(
    arrays(np.float32, (2, 5, 7), elements=st.floats(-120, 40, width=32)),
    st.floats(-60, 60, width=32),
)
def test_level_and_nothing_else_is_taken_away(levels, gain):
    levels = torch.from_numpy(levels)
    normal = level_normalized(levels)
    assert torch.allclose(normal.mean((1, 2)), torch.zeros(2), atol=1e-3)
    assert bool((normal.amax((1, 2)) - normal.amin((1, 2)) <= 70.001).all())
    assert torch.allclose(level_normalized(levels + gain), normal, atol=1e-3)


def test_the_long_term_spectrum_stays():
    levels = torch.linspace(-20, 0, 80).expand(1, 50, 80)
    bands = level_normalized(levels).mean(1)[0]
    assert torch.allclose(bands, levels[0, 0] - levels.mean(), atol=1e-4)


@pytest.mark.parametrize("spectrum", ["power", "magnitude"])
def test_scales_are_those_of_the_front_end(spectrum):
    rng = np.random.default_rng(0)
    sound = (0.05 * rng.standard_normal(16000)).astype(np.float32)
    linear = MelSettings(spectrum=spectrum, scale="linear")
    scaled = MelSettings(spectrum=spectrum)
    sums = torch.from_numpy(log_mel(sound, 16000, linear))
    expected = torch.from_numpy(log_mel(sound, 16000, scaled))
    assert torch.allclose(front_end_scale(sums, scaled), expected, atol=1e-5)
    assert torch.equal(front_end_scale(sums, linear), sums)
    inside = (expected > 0) & (expected < 1)
    assert torch.allclose(mel_sums(expected, scaled)[inside], sums[inside], rtol=1e-3)
    assert torch.equal(mel_sums(sums, linear), sums)
    tenfold = decibels(10 * sums, scaled) - decibels(sums, scaled)
    assert torch.allclose(tenfold, torch.tensor(10.0 if spectrum == "power" else 20.0), atol=1e-3)


# ----------------------------------------------------------------------------------------- batches


def test_batches_hold_classes_and_their_crops():
    make = batches()
    batch = make(0)
    assert batch.frames.shape == (12, 60, 80)
    assert batch.frames.dtype == torch.float32
    assert bool(batch.frames.isfinite().all())
    assert torch.allclose(batch.frames.mean((1, 2)), torch.zeros(12), atol=1e-3)
    labels = batch.labels.reshape(4, 3)
    assert bool((labels == labels[:, :1]).all())
    assert len(set(labels[:, 0].tolist())) == 4
    assert make.people.n == 3 * ResingSettings().variants
    assert int(batch.labels.max()) < make.people.n


def test_a_batch_depends_on_seed_and_step_alone():
    make, elsewhere = batches(seed=7), batches(seed=7)
    for step in (3, 0, 3):  # in any order, in any process
        ours, theirs = make(step), elsewhere(step)
        assert torch.equal(ours.frames, theirs.frames)
        assert torch.equal(ours.labels, theirs.labels)
    seen = [make(0), make(1), batches(seed=8)(0)]
    for one, other in itertools.combinations(seen, 2):
        assert not torch.equal(one.frames, other.frames)


def test_threads_change_nothing_that_could_be_seen():
    make = batches()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = make(0)
        torch.set_num_threads(2)
        two = make(0)
    finally:
        torch.set_num_threads(before)
    assert torch.allclose(one.frames, two.frames, atol=1e-2)


def test_all_classes_come_up():
    make = batches(resing=ResingSettings(real_share=1), n_frames=8)
    labels = torch.cat([make(step).labels for step in range(30)])
    counts = torch.bincount(labels, minlength=make.people.n)
    assert int(counts.min()) > 0


def test_crops_of_a_class_take_different_recordings():
    make = batches(n_crops=2)
    rows = make._draw_rows(torch.arange(12).repeat_interleave(2), seeded(0)).reshape(12, 2)
    assert bool((rows[:, 0] != rows[:, 1]).all())
    singers = BANK.singers[rows]
    assert torch.equal(singers, (torch.arange(12) // 4)[:, None].expand(12, 2))


def test_the_front_ends_own_scale():
    frames = batches(normalize=False)(0).frames
    assert float(frames.min()) >= 0
    assert float(frames.max()) <= 1
    assert float(frames.std()) > 0.01


@pytest.mark.parametrize("share", [0.0, 0.35, 1.0])
def test_as_many_crops_are_real_as_asked(share):
    marked = replace(BANK, mel=torch.full_like(BANK.mel, 0.5))  # real frames are all one level
    make = batches(marked, ResingSettings(real_share=share), CLEAN, n_classes=12, n_crops=30)
    flat = make(0).frames.abs().amax((1, 2)) < 1e-3
    assert float(flat.float().mean()) == pytest.approx(share, abs=0.08)


def test_what_cannot_be_made_is_refused():
    with pytest.raises(ConfigError, match=r"too few identities.*found 12.*expected 13"):
        batches(n_classes=13)
    other = FeatureSpec(mel=MelSettings(n_mels=40))
    with pytest.raises(MismatchError, match=r"real frames are of another front end.*real_share"):
        batches(spec=other)
    made = batches(spec=other, resing=ResingSettings(real_share=0))(0)
    assert made.frames.shape == (12, 60, 40)


# -------------------------------------------------------------------------------------- real crops


def real(bank, shift=0.0, n_frames=50, rows=(0, 3, 5), seed=0):
    zeros = torch.zeros(len(rows))
    names = ("larynx", "bend_low", "bend_middle", "bend_high")
    traits = dict.fromkeys(names, zeros) | {"warp": zeros + shift}
    draws = Draws(len(rows), seeded(seed), torch.device("cpu"))
    return RealCrops(bank)(torch.tensor(rows), traits, n_frames, draws)


def test_real_crops_are_the_stored_frames():
    crops = front_end_scale(real(BANK), ENCODER.mel)
    for crop, row in zip(crops, (0, 3, 5), strict=True):
        stored = BANK.mel[BANK.mel_starts[row] : BANK.mel_starts[row + 1]].float()
        start = int((stored - crop[0]).abs().sum(1).argmin())
        assert torch.allclose(crop, stored[start : start + 50], atol=1e-5)


def test_crops_longer_than_their_recording_go_on_at_its_beginning():
    crops = real(BANK, n_frames=N_FRAMES + 100)
    assert torch.allclose(crops[:, N_FRAMES:], crops[:, :100])


def test_linear_front_ends_work_too():
    spec = FeatureSpec(mel=ENCODER.mel.model_copy(update={"scale": "linear"}))
    voices = synthetic_bank(features=spec)
    bank = BankTensors.of(replace(voices, mel=voices.mel.astype(np.float32)))
    natural, warped = real(bank), real(bank, 0.1)
    assert bool((natural[:, :, None] == bank.mel[:600].min()).any()) or float(natural.min()) > 0
    assert float(warped.max()) <= float(natural.max()) * 1.01


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_warped_real_crops_have_their_formants_moved(factor):
    hz = RealCrops(BANK)._hz
    peak = torch.exp(-0.5 * (torch.log2(hz / 1500) / 0.1) ** 2)
    bank = replace(BANK, mel=(0.3 + 0.5 * peak).half().expand_as(BANK.mel).contiguous())
    levels = front_end_scale(real(bank, float(np.log(factor))), ENCODER.mel)[0, 0]
    weights = (levels - 0.3).clamp(min=0)
    center = torch.exp((torch.log(hz) * weights).sum() / weights.sum())
    assert float(center) == pytest.approx(1500 * factor, rel=0.02)


def test_voices_without_recordings_are_always_sung():
    starts = BANK.mel_starts.clone()
    starts[3:] = starts[2]  # only the first two recordings have real frames
    bank = replace(BANK, mel_starts=starts)
    assert RealCrops(bank).exist.tolist() == [True, True, False, False, False, False]
    frames = batches(bank, ResingSettings(real_share=1), CLEAN, n_classes=12)(0).frames
    assert bool(frames.isfinite().all())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpus_make_the_same_batch():
    ours, theirs = batches()(0), batches(BANK.to("cuda"))(0)
    assert torch.equal(ours.labels, theirs.labels.cpu())
    assert float((ours.frames - theirs.frames.cpu()).abs().mean()) < 0.1
