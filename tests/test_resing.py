"""The waveform twin: what the feature-domain renderer makes is what one would hear."""

import dataclasses

import numpy as np
import pytest
import torch

from singerid.errors import ConfigError
from singerid.features import world
from singerid.features.mel import log_mel
from singerid.resing_settings import PLAIN, ResingSettings
from singerid.resinging.bank_tensors import BankTensors
from singerid.resinging.levels import decibels
from singerid.resinging.render import Renderer
from singerid.resinging.resing import resing, resing_waveform
from singerid.spec import FeatureSpec, MelSettings
from singerid.voicebank.parametric import bank_from_voices
from singerid.voices import draw_singer
from synthetic_voices import always_voiced, synthetic_bank, whispered

pytest.importorskip("pyworld")

RATE = 16_000
LINEAR = {"dither": 0, "scale": "linear"}
FRONT_ENDS = {
    "short": MelSettings(n_fft=512, hop_length=160, spectrum="power", **LINEAR),
    "autovc": MelSettings(**LINEAR),
}
FULL = ResingSettings()


def compared(voices, mel, settings, n_songs=4):
    """dB by which rendered bands exceed heard ones, where they are within 40 dB of the loudest."""
    bank, spec = BankTensors.of(voices), FeatureSpec(mel=mel)
    differences = []
    for seed in range(n_songs):
        song = resing(
            bank, seed % len(bank), settings, variant=seed % settings.variants, seconds=2.0,
            hop_seconds=spec.hop_seconds, seed=seed,
        )  # fmt: skip
        rendered = decibels(Renderer(bank, spec)(song.plan), mel)[0].numpy()
        heard = decibels(torch.from_numpy(log_mel(song.samples, RATE, mel)), mel).numpy()
        assert len(heard) == len(rendered)
        inner = slice(4, -4)
        loud = heard[inner] > heard.max() - 40
        differences.append((rendered - heard)[inner][loud])
    return np.concatenate(differences)


# Mean of the absolute difference and of the difference, in dB. The longer window sees more of
# what changes within it, which the renderer takes as of the frame's center.
@pytest.mark.parametrize(
    ("name", "settings", "absolute", "bias"),
    [
        ("short", PLAIN, 0.5, 0.15), ("short", FULL, 0.7, 0.15),
        ("autovc", PLAIN, 0.6, 0.3), ("autovc", FULL, 1.1, 0.4),
    ],
)  # fmt: skip
def test_rendered_voices_are_what_is_heard(name, settings, absolute, bias):
    difference = compared(always_voiced(synthetic_bank()), FRONT_ENDS[name], settings)
    assert len(difference) > 10_000
    assert np.abs(difference).mean() < absolute
    assert abs(difference.mean()) < bias


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_rendered_speech_with_its_consonants_is_what_is_heard(name):
    difference = compared(synthetic_bank(), FRONT_ENDS[name], FULL)
    assert np.abs(difference).mean() < 2.0
    assert abs(difference.mean()) < 0.6


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_rendered_noise_is_as_loud_as_heard_noise(name):
    """Two pieces of noise differ by 3 to 4 dB from band to band, but not on the whole."""
    difference = compared(whispered(synthetic_bank()), FRONT_ENDS[name], PLAIN)
    assert 2 < np.abs(difference).mean() < 5
    assert abs(difference.mean()) < 0.6


def test_f0_is_that_of_the_plan():
    voices = always_voiced(synthetic_bank())
    bank = BankTensors.of(voices)
    for seed in range(3):
        song = resing(bank, seed, FULL, seconds=2.0, hop_seconds=0.005, seed=seed)
        found = world.track_f0(song.samples, RATE, method="harvest", frame_period_ms=5)
        wanted = song.plan.f0[0].numpy()
        n = min(len(found), len(wanted))
        voiced = (found[:n] > 0) & (np.arange(n) > 20) & (np.arange(n) < n - 20)
        assert voiced.mean() > 0.8
        cents = 1200 * np.log2(found[:n][voiced] / wanted[:n][voiced])
        assert abs(np.median(cents)) < 3
        assert np.median(np.abs(cents)) < 10


def test_length_level_and_repeatability():
    voices = always_voiced(synthetic_bank())
    bank = BankTensors.of(voices)
    song = resing(bank, 0, PLAIN, seconds=1.5, hop_seconds=0.016)
    assert song.samples.dtype == np.float32
    assert len(song.samples) == 1 + round((song.plan.n_frames - 1) * 0.016 * RATE)
    np.testing.assert_array_equal(resing_waveform(bank, song.plan), song.samples)
    louder = BankTensors.of(dataclasses.replace(voices, levels=voices.levels + 20))
    np.testing.assert_allclose(
        resing_waveform(louder, song.plan),
        10 * song.samples,
        atol=1e-3 * np.abs(song.samples).max(),
    )
    other = resing(bank, 0, PLAIN, seconds=1.5, hop_seconds=0.016, seed=1)
    assert not np.array_equal(other.samples, song.samples)


def test_traits_are_those_of_the_plan():
    bank = BankTensors.of(synthetic_bank())
    for variant in range(FULL.variants):
        song = resing(bank, 1, FULL, variant=variant, seconds=1.0, seed=variant)
        whole = song.traits["warp"] + song.traits["larynx"]
        bends = [song.traits[f"bend_{part}"] for part in ("low", "middle", "high")]
        np.testing.assert_allclose(song.plan.warp[0], [whole + bend for bend in bends], atol=1e-6)
        assert (song.traits["warp"] == 0) == (variant == 0)


def test_unvoiced_frames_have_no_pitch():
    bank = BankTensors.of(whispered(synthetic_bank()))
    samples = resing(bank, 0, PLAIN, seconds=2.0).samples
    assert abs(10 * np.log10(np.mean(samples**2))) < 1  # of power 1, as its envelope says
    found = world.analyze(samples / np.abs(samples).max(), RATE, frame_period_ms=10)
    assert np.mean((found.f0 > 0) & (found.aperiodicity[:, 0] < 0.5)) < 0.1


def test_parametric_voices_can_be_heard():
    rng = np.random.default_rng(0)
    voices = bank_from_voices([draw_singer(rng, name, "F") for name in "ab"], rng, seconds=2.0)
    samples = resing(BankTensors.of(voices), 1, FULL, variant=2, seconds=1.0).samples
    assert np.isfinite(samples).all()
    assert -40 < 10 * np.log10(np.mean(samples**2)) < -5


@pytest.mark.parametrize(
    ("row", "variant", "words"),
    [
        (6, 0, "no such row; found 6; expected 0 … 5"),
        (0, 4, "no such variant; found 4; expected 0"),
    ],
)
def test_what_is_not_there(row, variant, words):
    with pytest.raises(ConfigError, match=words):
        resing(BankTensors.of(synthetic_bank()), row, FULL, variant=variant)
