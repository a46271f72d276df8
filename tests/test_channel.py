"""Channels: each effect does to mel power what it says, alone and in its measure."""

import math

import pytest
import torch

from singerid.resing_settings import CLEAN, ChannelSettings
from singerid.resinging.channel import Channel
from singerid.resinging.draws import seeded
from singerid.spec import FeatureSpec
from synthetic_voices import ENCODER

N_FRAMES = 300
AUTOVC = FeatureSpec()


def channel(spec=ENCODER, **values):
    return Channel(spec, ChannelSettings(**CLEAN.model_dump() | values))


def voices(n_crops=6, spec=ENCODER):
    """Random mel sums with a spectrum that falls."""
    generator = torch.Generator().manual_seed(1)
    power = torch.rand(n_crops, N_FRAMES, 80, generator=generator) + 0.01
    power = power * torch.exp(-torch.arange(80) / 20)
    return power if spec.mel.spectrum == "power" else power.sqrt()


def gain_db(before, after):
    return 10 * torch.log10(after / before)


def test_a_clean_channel_changes_nothing():
    mels = voices()
    assert torch.allclose(channel()(mels, seeded(0)), mels)
    magnitudes = voices(spec=AUTOVC)
    assert torch.allclose(channel(AUTOVC)(magnitudes, seeded(0)), magnitudes, rtol=1e-5)


def test_the_seed_decides_and_the_input_stays():
    everything = Channel(ENCODER, ChannelSettings())
    mels = voices(32)
    kept = mels.clone()
    once, again = everything(mels, seeded(3)), everything(mels, seeded(3))
    assert torch.equal(once, again)
    assert torch.equal(mels, kept)
    assert not torch.equal(once, everything(mels, seeded(4)))
    assert bool((once > 0).all())
    assert bool(once.isfinite().all())


@pytest.mark.parametrize(
    "name", [n for n in ChannelSettings.model_fields if n.endswith("_probability")]
)
def test_each_effect_happens_as_often_as_asked(name):
    if name == "band_loss_probability":
        return
    mels = voices(200)
    strong = {"codec_min_db": 1, "codec_max_db": 2}
    changed = (channel(**{name: 0.3}, **strong)(mels, seeded(5)) != mels).flatten(1).any(1)
    assert float(changed.float().mean()) == pytest.approx(0.3, abs=0.1)


def test_microphones_are_smooth_curves_of_the_size_asked_for():
    mels = voices(300)
    curves = gain_db(mels, channel(eq_probability=1, eq_db=3, slope_db=0)(mels, seeded(0)))
    assert torch.allclose(curves, curves[:, :1].expand_as(curves), atol=1e-3)  # steady
    assert float(curves.square().mean().sqrt()) == pytest.approx(3, rel=0.1)
    assert float(curves.diff(dim=2).abs().max()) < 3  # dB from band to band
    assert float((curves[0] - curves[1]).abs().max()) > 1
    slopes = gain_db(mels, channel(eq_probability=1, eq_db=0, slope_db=2)(mels, seeded(0)))
    hz = channel().hz
    low, high = int((hz - 500).abs().argmin()), int((hz - 4000).abs().argmin())
    octaves = math.log2(hz[high] / hz[low])
    per_octave = (slopes[:, 0, high] - slopes[:, 0, low]) / octaves
    assert float(per_octave.abs().max()) == pytest.approx(2, abs=0.1)
    assert abs(float(per_octave.mean())) < 0.3


def test_a_limited_band_leaves_its_middle_alone():
    mels = voices()
    limits = {"low_cut_min": 300, "low_cut_max": 300, "high_cut_min": 3400, "high_cut_max": 3400}
    gain = gain_db(mels, channel(band_probability=1, **limits)(mels, seeded(0)))
    hz = channel().hz
    assert float(gain[..., (hz > 310) & (hz < 3300)].abs().max()) < 1e-4
    assert float(gain[..., hz > 6800].max()) <= -11.9  # an octave of 12 dB at least
    assert float(gain[..., hz < 150].max()) <= -11.9
    assert float(gain.min()) >= -50.1


def test_rooms_decay_by_60_db_in_their_time():
    click = torch.full((1, N_FRAMES, 80), 1e-12)
    click[:, 10] = 1
    room = channel(room_probability=1, decay_min=0.5, decay_max=0.5, wet_min_db=-6, wet_max_db=-6)(
        click, seeded(0)
    )[0]
    low = int((channel().hz - 500).abs().argmin())
    tail = 10 * torch.log10(room[11:, low])
    assert torch.allclose(tail[:20].diff(), torch.tensor(-60 * 0.01 / 0.5), atol=0.02)
    assert float(room[11:, low].sum()) == pytest.approx(10**-0.6, rel=0.02)
    assert float(room[10, low]) == pytest.approx(1, abs=0.01)
    high = 10 * torch.log10(room[11:, -2])
    assert float(high[:10].diff().mean()) < -60 * 0.01 / 0.5 - 0.3  # air and walls


@pytest.mark.parametrize("spec", [ENCODER, AUTOVC], ids=["power", "magnitude"])
def test_noise_has_the_ratio_asked_for(spec):
    make = channel(
        spec, noise_probability=1, snr_min_db=20, snr_max_db=20, color_min=0, color_max=0
    )
    mels = voices(spec=spec)
    noisy = make(mels, seeded(0))
    if spec.mel.spectrum == "magnitude":
        mels, noisy = mels.square(), noisy.square()
    noise = noisy - mels
    ratio = gain_db(make.loudness(noise), make.loudness(mels))
    assert torch.allclose(ratio, torch.tensor(20.0), atol=0.05)
    assert float(noise.min()) >= -1e-6
    density = noise.mean((0, 1)) / noise.mean((0, 1)).mean()
    tolerance = 0.25 if spec.mel.spectrum == "power" else 1.0  # sums of magnitudes grow with width
    assert float((density[5:-5] - 1).abs().max()) < tolerance  # white: as much at every frequency


def test_noise_is_as_colored_as_asked():
    make = channel(noise_probability=1, snr_min_db=0, snr_max_db=0, color_min=-6, color_max=-6)
    mels = voices()
    levels = 10 * torch.log10((make(mels, seeded(0)) - mels).mean((0, 1)))
    octaves = torch.log2(make.hz / 1000)
    middle = (make.hz > 250) & (make.hz < 7000)
    slope = torch.linalg.lstsq(
        torch.stack([octaves, torch.ones_like(octaves)], 1)[middle], levels[middle, None]
    ).solution[0]
    assert float(slope) == pytest.approx(-6, abs=0.3)


def test_codecs_drop_what_is_masked_and_add_nothing():
    make = channel(codec_probability=1, codec_min_db=20, codec_max_db=20, band_loss_probability=0)
    mels = voices() + 1
    mels[:, 50:60, 40] = 1e4  # a loud tone
    coded = make(mels, seeded(0))
    assert bool((coded <= mels).all())
    assert torch.equal(coded[:, 50:60, 40], mels[:, 50:60, 40])
    near = gain_db(mels, coded)[:, 50:60, [37, 43]]
    assert torch.allclose(near, torch.tensor(-25.0), atol=0.01)
    assert torch.equal(coded[:, :50], mels[:, :50])
    lossy = channel(
        codec_probability=1, codec_min_db=60, codec_max_db=60, band_loss_probability=1,
        high_cut_min=5000, high_cut_max=5000,
    )  # fmt: skip
    gain = gain_db(mels, lossy(mels, seeded(0)))
    assert float(gain[..., make.hz > 5100].max()) < -40
    assert float(gain[..., make.hz < 4900].abs().max()) < 1e-4


def test_accompaniment_has_the_ratio_asked_for_and_plays_notes():
    make = channel(accompaniment_probability=1, accompaniment_min_db=10, accompaniment_max_db=10)
    mels = voices()
    chords = make(mels, seeded(0)) - mels
    ratio = gain_db(make.loudness(chords), make.loudness(mels))
    assert torch.allclose(ratio, torch.tensor(10.0), atol=0.1)
    assert float(chords.min()) >= -1e-6
    spectrum = chords.mean(1)
    assert float((spectrum[:, :40].sum(1) / spectrum.sum(1)).min()) > 0.8  # mostly low
    changes = (chords.diff(dim=1).sum(2) > 0).sum(1)  # strikes: level goes up
    assert 3 <= float(changes.float().mean()) <= 40


def test_level_is_within_the_range():
    mels = voices(50)
    gains = gain_db(mels, channel(level_min_db=-10, level_max_db=4)(mels, seeded(0)))
    assert torch.allclose(gains, gains[:, :1, :1].expand_as(gains), atol=1e-3)
    assert -10 <= float(gains.min()) < -8
    assert 2 < float(gains.max()) <= 4.001
