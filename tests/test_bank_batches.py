"""Batches from a voice bank, and training on it."""

import numpy as np
import pytest
import torch

from singerid.errors import StoreError
from singerid.resing_settings import CLEAN, ChannelSettings, ResingSettings
from singerid.resinging.batches import BankBatchMaker
from singerid.resinging.draws import Draws, seeded
from singerid.spec import FeatureSpec, MelSettings
from singerid.training_sections import BatchSettings
from singerid.voicebank.parametric import bank_from_voices
from singerid.voicebank.spec import BankSpec
from singerid.voices import draw_singer

SMALL = BatchSettings(n_singers=3, n_partials=2, partial_frames=32)
RESING = ResingSettings(real_share=0.0, variants=2)


@pytest.fixture(scope="module")
def bank():
    rng = np.random.default_rng(0)
    singers = [draw_singer(rng, f"s{i}", "FM"[i % 2]) for i in range(4)]
    spec = BankSpec(features=FeatureSpec(mel=MelSettings(n_fft=512, hop_length=160)))
    return bank_from_voices(singers, rng, spec=spec)


def make(bank, seed=0, settings=SMALL, resing=RESING, channel=CLEAN):
    return BankBatchMaker(bank, "train", resing, channel, settings, seed)


def test_shapes_names_and_classes(bank):
    maker = make(bank)
    assert maker.singers == [f"s{i}{v}" for i in range(4) for v in ("", "~1")]
    batch = maker.batch(0)
    assert batch.features.shape == (3, 2, 32, maker.spec.n_inputs)
    assert batch.features.dtype == np.float32
    assert np.isfinite(batch.features).all()
    assert [names[0] for names in batch.ids] == [maker.singers[i] for i in batch.singers]
    assert len(set(batch.singers)) == 3


def test_a_batch_is_a_function_of_seed_and_number(bank):
    maker, again, other = make(bank), make(bank), make(bank, seed=1)
    fifth = maker.batch(5)
    maker.batch(6)
    np.testing.assert_array_equal(again.batch(5).features, fifth.features)
    assert not np.array_equal(other.batch(5).features, fifth.features)
    assert not np.array_equal(maker.batch(6).features, fifth.features)


def test_every_identity_is_drawn_equally_often(bank):
    maker = make(bank, settings=BatchSettings(n_singers=4, n_partials=2, partial_frames=32))
    counts = np.bincount(np.concatenate([maker.batch(t).singers for t in range(4)]), minlength=8)
    assert counts.tolist() == [2] * 8


def test_the_channel_changes_what_is_heard(bank):
    clean, noisy = make(bank).batch(0), make(bank, channel=ChannelSettings()).batch(0)
    np.testing.assert_array_equal(clean.singers, noisy.singers)
    assert not np.array_equal(clean.features, noisy.features)


def test_too_few_singers(bank):
    with pytest.raises(StoreError, match="voice bank: split 'train' has too few singers; found 1"):
        make(bank.select([0]))
    with pytest.raises(StoreError, match="split 'valid' has too few singers; found 0"):
        BankBatchMaker(bank, "valid", RESING, CLEAN, SMALL, 0)


def test_fewer_identities_than_asked_for_are_said(bank):
    maker = make(bank, settings=BatchSettings(n_singers=20, n_partials=2, partial_frames=32))
    assert maker.n_singers == 8
    assert maker.warnings == ["train: 8 identities, fewer than batch.n_singers 20; batches hold 8"]


def test_same_numbers_with_other_threads(bank):
    maker = make(bank)
    n_threads = torch.get_num_threads()
    expected = maker.batch(0).features
    try:
        torch.set_num_threads(1)
        np.testing.assert_allclose(maker.batch(0).features, expected, atol=1e-5)
    finally:
        torch.set_num_threads(n_threads)


def test_hard_batches_hold_one_gender_and_similar_pitch():
    rng = np.random.default_rng(1)
    singers = [draw_singer(rng, f"s{i:02d}", "FM"[i // 8]) for i in range(16)]
    spec = BankSpec(features=FeatureSpec(mel=MelSettings(n_fft=512, hop_length=160)))
    bank = bank_from_voices(singers, rng, spec=spec)
    hard = SMALL.model_copy(update={"n_singers": 4, "sampling": "hard", "hard_share": 1.0})
    maker = make(bank, settings=hard)
    assert maker.warnings == []
    shown = np.zeros(32, int)
    for t in range(8):
        chosen = maker.batch(t).singers
        assert len({identity // 16 for identity in chosen}) == 1
        shown += np.bincount(chosen, minlength=32)
    assert shown.tolist() == [1] * 32
    pitch = maker._draw_singers._pitch.reshape(16, 2)
    assert pitch[8:, 0].max() < pitch[:8, 0].min()  # men below women
    semitones = pitch[:, 1] - pitch[:, 0]  # of the warped voices above their natural ones
    assert semitones.min() < 0 < semitones.max()
    draws = Draws(32, seeded(0), torch.device("cpu"))
    warps = maker._resung.people.draw(torch.arange(32), draws)["warp"]
    np.testing.assert_allclose(12 / np.log(2) * warps[1::2], semitones, atol=1e-4)
