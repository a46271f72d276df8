"""WORLD's analysis in few dimensions: there and back, pitch and formants stay."""

import dataclasses
from functools import cache

import librosa
import numpy as np
import pytest

from singerid.errors import ConfigError, MismatchError
from singerid.features import melcepstrum
from singerid.features.world import WorldAnalysis, analyze, synthesize
from singerid.features.worldcoding import Coding, decode, encode
from singerid.melody import Note, Song
from singerid.singing import sing
from singerid.voices import draw_singer

pyworld = pytest.importorskip("pyworld")

RATE, FFT = 16_000, 1024
REDUCTIONS = ["mfsc", "world", "mcep-power", "mcep-db"]


def rng(*seed):
    return np.random.default_rng(seed)


@cache
def sung():
    """A second of a held vowel with breath noise, and what WORLD finds in it."""
    calm = dict.fromkeys(["vibrato_cents", "scoop_cents", "drift_cents", "jitter", "shimmer"], 0.0)
    singer = dataclasses.replace(draw_singer(rng(5), "x", "M"), breathiness=0.05, **calm)
    audio = sing(singer, Song((Note(-3, 1.0, "ɑ"),)), rng(5))
    return audio, analyze(audio, RATE)


def formants(audio, order=20):
    emphasized = librosa.effects.preemphasis(np.asarray(audio, float)) * np.hanning(len(audio))
    roots = np.roots(librosa.lpc(emphasized, order=order))
    hz, width = np.angle(roots) * RATE / 2 / np.pi, -np.log(np.abs(roots)) * RATE / np.pi
    return np.sort(hz[(hz > 200) & (width < 500)])


def distance_db(one, other):
    """Log-spectral distance: root mean square over frames and bins, with a floor at -120 dB."""
    return np.sqrt(np.mean((10 * np.log10((one + 1e-12) / (other + 1e-12))) ** 2))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("n_dims", [40, 60])
def test_reduction_and_synthesis_keep_pitch_and_formants(reduction, n_dims):
    audio, analysis = sung()
    coding = Coding(reduction, n_dims)
    features = encode(analysis, coding)
    assert features.dtype == np.float32
    assert features.shape == (201, n_dims + (1 if reduction == "world" else 4) + 2)
    decoded = decode(features, coding, RATE, fft_size=FFT)
    np.testing.assert_allclose(decoded.f0, analysis.f0, rtol=1e-5)
    np.testing.assert_array_equal(decoded.f0 > 0, analysis.f0 > 0)
    lost = np.abs(decoded.aperiodicity - analysis.aperiodicity).mean()
    assert lost < (0.01 if reduction == "world" else 0.08)
    voiced = analysis.f0 > 0
    assert distance_db(decoded.envelope[voiced], analysis.envelope[voiced]) < 2.5

    back = synthesize(decoded)
    found = analyze(back, RATE).f0[:201]
    both = (found > 0) & voiced
    assert both.sum() > 0.95 * voiced.sum()
    assert np.median(np.abs(1200 * np.log2(found[both] / analysis.f0[both]))) < 10
    middle = slice(RATE // 4, -RATE // 4)
    original, kept = formants(audio[middle])[:3], formants(back[middle])
    nearest = [kept[np.abs(kept - hz).argmin()] for hz in original]
    np.testing.assert_allclose(nearest, original, rtol=0.03)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_more_dimensions_lose_less(reduction):
    analysis = sung()[1]
    losses = []
    for n_dims in (10, 25, 60, 150):
        coding = Coding(reduction, n_dims)
        decoded = decode(encode(analysis, coding), coding, RATE, fft_size=FFT)
        losses.append(distance_db(decoded.envelope, analysis.envelope))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1 < losses[0]


def test_mfsc_are_levels_in_db():
    flat = WorldAnalysis(np.zeros(3), np.full((3, 513), 1e-4), np.full((3, 513), 0.1), 5.0, RATE)
    features = encode(flat, Coding("mfsc", 10, 4))
    np.testing.assert_allclose(features[:, :10], -40, atol=1e-4)
    np.testing.assert_allclose(features[:, 10:14], -20, atol=1e-4)  # an amplitude
    np.testing.assert_array_equal(features[:, 14:], [[0, 1]] * 3)


def test_reductions_are_what_they_are_called():
    analysis = sung()[1]
    linear = melcepstrum.mel_cepstrum(analysis.envelope, 30, 0.3)
    by_name = {name: encode(analysis, Coding(name, 30, alpha=0.3))[:, :30] for name in REDUCTIONS}
    expected = {
        "mfsc": melcepstrum.mfsc_from_mel_cepstrum(linear),
        "mcep-db": 20 / np.log(10) * linear,
        "mcep-power": melcepstrum.fitted_mel_cepstrum(analysis.envelope, 30, 0.3),
        "world": pyworld.code_spectral_envelope(analysis.envelope, RATE, 30),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(by_name[name], values, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_silence_passes(reduction):
    analysis, coding = analyze(np.zeros(RATE // 4), RATE), Coding(reduction)
    features = encode(analysis, coding)
    assert np.isfinite(features).all()
    assert np.abs(synthesize(decode(features, coding, RATE, fft_size=FFT))).max() < 1e-4


def test_columns_say_what_lies_where():
    assert Coding("mfsc", 40, 4).columns(RATE) == {
        "envelope": slice(0, 40), "aperiodicity": slice(40, 44),
        "midi": slice(44, 45), "unvoiced": slice(45, 46),
    }  # fmt: skip
    for rate in (12_000, 16_000, 22_050, 44_100, 48_000, 96_000):
        n = pyworld.get_num_aperiodicities(rate)
        assert Coding("world", 25).columns(rate)["aperiodicity"] == slice(25, 25 + n)
    features = encode(sung()[1], Coding("mfsc", 40, 4))
    voiced = sung()[1].f0 > 0
    np.testing.assert_array_equal(features[:, 45], ~voiced)
    midi = 69 + 12 * np.log2(sung()[1].f0[voiced] / 440)
    np.testing.assert_allclose(features[voiced, 44], midi, rtol=1e-6)


def test_codings_that_cannot_be_are_refused():
    analysis = sung()[1]
    refused = [
        (Coding("pca"), "no such reduction; found 'pca'; expected .*mfsc"),
        (Coding("mfsc", 1), "envelope has too few dimensions; found 1; expected 2"),
        (Coding("mfsc", 40, 1), "aperiodicity has too few dimensions; found 1; expected 2"),
        (Coding("mcep-db", alpha=1.0), r"alpha out of range; found 1\.0"),
        (Coding("world", 257), "too many envelope dimensions .* found 257; expected at most 256"),
    ]
    for coding, message in refused:
        with pytest.raises(ConfigError, match=message):
            encode(analysis, coding)
    with pytest.raises(ConfigError, match="aperiodicity has too few dimensions; found 0"):
        Coding("world").columns(8000)
    with pytest.raises(ConfigError, match="too many envelope dimensions"):
        decode(np.zeros((5, 203)), Coding("world", 200), RATE, fft_size=512)


def test_features_of_another_coding_are_refused():
    features = encode(sung()[1], Coding("mfsc", 40))
    with pytest.raises(MismatchError, match=r"shape \(201, 46\); expected \(n_frames, 66\)"):
        decode(features, Coding("mfsc", 60), RATE, fft_size=FFT)
    with pytest.raises(MismatchError, match=r"shape \(46,\)"):
        decode(features[0], Coding("mfsc", 40), RATE, fft_size=FFT)
