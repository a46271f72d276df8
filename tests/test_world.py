"""WORLD's analysis: what is found in a voice is what was put into it."""

import dataclasses
import sys

import librosa
import numpy as np
import pytest

from singerid.errors import AudioError, ConfigError, MismatchError, MissingExtraError
from singerid.features.world import WorldAnalysis, analyze, fft_size, synthesize
from singerid.melody import Note, Song
from singerid.singing import pitch_curve, sing
from singerid.voices import draw_singer, formants_hz

pytest.importorskip("pyworld")

RATE = 16_000
METHODS = ["dio", "harvest", "wav2world"]


def rng(*seed):
    return np.random.default_rng(seed)


def singer_of(seed, gender, **habits):
    return dataclasses.replace(draw_singer(rng(seed), "x", gender), **habits)


def steady(seed=0, gender="M", **habits):
    """A singer who holds a tone without vibrato, drift, jitter or shimmer."""
    calm = dict.fromkeys(["vibrato_cents", "scoop_cents", "drift_cents", "jitter", "shimmer"], 0.0)
    return singer_of(seed, gender, **{**calm, "detune_cents": 0.0, **habits})


def harmonic_tone(f0, seconds=1.0, rate=RATE):
    """All harmonics of `f0` Hz below half the rate, falling with 6 dB an octave."""
    time = np.arange(int(seconds * rate)) / rate
    number = np.arange(1, int(rate / 2 / f0))
    return 0.1 * (np.sin(2 * np.pi * f0 * number[:, None] * time) / number[:, None]).sum(axis=0)


def cents(f0, reference):
    """Deviation in cents of the frames that both call voiced."""
    n = min(len(f0), len(reference))
    both = (f0[:n] > 0) & (reference[:n] > 0)
    return 1200 * np.log2(f0[:n][both] / reference[:n][both])


def formants(audio, order=20):
    """Formants in Hz from the linear prediction of the whole tone's autocorrelation."""
    emphasized = librosa.effects.preemphasis(np.asarray(audio, float)) * np.hanning(len(audio))
    roots = np.roots(librosa.lpc(emphasized, order=order))
    hz, width = np.angle(roots) * RATE / 2 / np.pi, -np.log(np.abs(roots)) * RATE / np.pi
    return np.sort(hz[(hz > 200) & (width < 500)])


def nearest(found, wanted):
    return np.array([found[np.abs(found - hz).argmin()] for hz in wanted])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("seed", "gender"), [(1, "F"), (2, "M"), (3, "F"), (4, "M")])
def test_f0_is_the_pitch_that_was_sung(method, seed, gender):
    singer = singer_of(seed, gender)
    melody = [(0, "ɑ"), (4, "e"), (-3, "o")]
    song = Song(tuple(Note(pitch, 0.5, vowel) for pitch, vowel in melody))
    meant = pitch_curve(singer, song, rng(seed, 9))  # every 5 ms, too
    analysis = analyze(sing(singer, song, rng(seed, 9)), RATE, method=method)
    assert len(analysis.f0) == len(meant)
    assert (analysis.f0 > 0).mean() > 0.85
    deviation = np.abs(cents(analysis.f0, meant))
    assert np.median(deviation) < 10
    assert np.quantile(deviation, 0.9) < 25


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("f0", [82.4, 220.0, 440.0, 698.5])
def test_pure_harmonic_tones(method, f0):
    analysis = analyze(harmonic_tone(f0), RATE, method=method)
    middle = slice(20, -20)
    np.testing.assert_allclose(analysis.f0[middle], f0, rtol=0.002)
    assert np.median(analysis.aperiodicity[middle]) < 0.1
    level = 10 * np.log10(np.median(analysis.envelope[middle], axis=0))
    hz = np.linspace(0, RATE / 2, len(level))
    heard = (hz > 1.5 * f0) & (hz < 6000)
    slope = np.polyfit(np.log2(hz[heard]), level[heard], 1)[0]
    assert slope == pytest.approx(-6, abs=1)


def test_noise_is_unvoiced_and_aperiodic():
    analysis = analyze(0.1 * rng(0).standard_normal(RATE), RATE, method="harvest")
    assert (analysis.f0 == 0).mean() > 0.95
    assert np.median(analysis.aperiodicity) > 0.99


def test_envelope_peaks_lie_at_the_formants():
    singer = steady(2, "M", breathiness=0.01)
    analysis = analyze(sing(singer, Song((Note(-5, 1.0, "ɛ"),)), rng(1)), RATE)
    level = np.log(analysis.envelope[50:-50]).mean(axis=0)
    hz = np.linspace(0, RATE / 2, len(level))
    level += 0.5 * np.log1p((hz / 300) ** 2)  # the voice source falls
    peaks = hz[1:-1][(level[1:-1] > level[:-2]) & (level[1:-1] > level[2:])]
    meant = formants_hz(singer, "ɛ")[:3]
    np.testing.assert_allclose(nearest(peaks, meant), meant, rtol=0.12)


@pytest.mark.parametrize(("seed", "gender", "vowel"), [(5, "M", "ɑ"), (6, "F", "ʌ"), (7, "M", "e")])
def test_synthesis_keeps_pitch_formants_and_level(seed, gender, vowel):
    audio = sing(steady(seed, gender), Song((Note(-3, 1.0, vowel),)), rng(seed))
    analysis = analyze(audio, RATE)
    back = synthesize(analysis)
    assert back.dtype == np.float32
    assert len(audio) <= len(back) <= len(audio) + RATE // 200
    assert np.median(np.abs(cents(analyze(back, RATE).f0, analysis.f0))) < 10
    middle = slice(RATE // 4, -RATE // 4)
    original = formants(audio[middle])[:3]
    np.testing.assert_allclose(nearest(formants(back[middle]), original), original, rtol=0.03)
    assert 20 * np.log10(back.std() / audio.std()) == pytest.approx(0, abs=2)


def test_analysis_and_synthesis_are_functions_of_the_samples():
    audio = harmonic_tone(200, 0.3) + 0.01 * rng(1).standard_normal(int(0.3 * RATE))
    one, other = analyze(audio, RATE), analyze(audio.astype(np.float32).astype(float), RATE)
    two = analyze(audio, RATE)
    np.testing.assert_array_equal(one.envelope, two.envelope)
    np.testing.assert_array_equal(synthesize(one), synthesize(two))
    np.testing.assert_allclose(one.f0, other.f0, rtol=1e-4)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("period", [5.0, 16.0])
def test_grid_and_shapes(rate, period):
    audio = harmonic_tone(150, 0.4, rate)
    analysis = analyze(audio, rate, frame_period_ms=period)
    assert analysis.f0.shape == (1 + int(400 / period),)
    assert analysis.envelope.shape == analysis.aperiodicity.shape
    assert analysis.envelope.shape == (len(analysis.f0), fft_size(rate, 50) // 2 + 1)
    assert (analysis.frame_period_ms, analysis.sample_rate) == (period, rate)
    assert len(synthesize(analysis)) == pytest.approx(len(audio), abs=2 * period / 1000 * rate)


def test_frames_are_where_their_number_says():
    audio = np.concatenate([np.zeros(RATE // 2), harmonic_tone(220, 0.5)])
    analysis = analyze(audio, RATE)
    loud = np.flatnonzero(analysis.envelope.sum(axis=1) > analysis.envelope.sum(axis=1).max() / 4)
    assert loud[0] == pytest.approx(100, abs=3)
    assert np.flatnonzero(analysis.f0)[0] == pytest.approx(100, abs=3)


def test_fft_size_is_pyworlds():
    import pyworld

    for rate in (8000, 16_000, 22_050, 44_100, 48_000):
        for fmin in (20, 50, 71, 120, 200):
            assert fft_size(rate, fmin) == pyworld.get_cheaptrick_fft_size(rate, fmin)
        assert fft_size(rate) == pyworld.get_cheaptrick_fft_size(rate)


def test_the_one_call_analysis_is_dio_within_its_own_limits():
    audio = harmonic_tone(300, 0.4)
    one_call = analyze(audio, RATE, method="wav2world", fmin=50, fmax=1100)
    stepwise = analyze(audio, RATE, method="dio", fmin=71, fmax=800)
    for name in ("f0", "envelope", "aperiodicity"):
        np.testing.assert_array_equal(getattr(one_call, name), getattr(stepwise, name))
    soprano = harmonic_tone(987.8, 0.4)
    assert np.median(analyze(soprano, RATE).f0) == pytest.approx(987.8, rel=0.01)
    assert not np.any(np.abs(analyze(soprano, RATE, method="wav2world").f0 - 987.8) < 50)


def test_limits_of_f0_are_kept():
    audio = harmonic_tone(300, 0.4)
    for method in ("dio", "harvest"):
        f0 = analyze(audio, RATE, method=method, fmin=50, fmax=200).f0
        assert not np.any(np.abs(f0 - 300) < 30)


def test_audio_that_pyworld_would_crash_on_is_refused():
    with pytest.raises(AudioError, match=r"^a\.wav: is too short for WORLD; found 0\.000 s; exp"):
        analyze([], RATE, method="harvest", where="a.wav")
    with pytest.raises(AudioError, match=r"found 0\.064 s; expected at least 0\.064 s"):
        analyze(np.zeros(1023), RATE)
    assert np.all(analyze(np.zeros(1024), RATE).f0 == 0)
    with pytest.raises(AudioError, match=r"is not mono; found shape \(2, 16000\)"):
        analyze(np.zeros((2, RATE)), RATE)
    for bad in (np.nan, np.inf):
        audio = harmonic_tone(100)
        audio[500] = bad
        with pytest.raises(AudioError, match="samples that are not finite"):
            analyze(audio, RATE)


def test_settings_out_of_range_are_refused():
    audio = harmonic_tone(100)
    with pytest.raises(ConfigError, match=r"no such F0 method; found 'yin'; expected .*dio"):
        analyze(audio, RATE, method="yin")
    with pytest.raises(ConfigError, match=r"found 7999 Hz; expected at least 8000 Hz"):
        analyze(audio, 7999)
    for fmin, fmax in [(19, 800), (201, 800), (100, 100), (50, 2001), (np.nan, 800)]:
        with pytest.raises(ConfigError, match=r"F0 limits out of range; found .* Hz"):
            analyze(audio, RATE, fmin=fmin, fmax=fmax)
    for period in (0.0, 0.5, 101, np.nan):
        with pytest.raises(ConfigError, match=r"frame period out of range; .* 1 … 100 ms"):
            analyze(audio, RATE, frame_period_ms=period)


def test_parts_that_cannot_be_synthesized_are_refused():
    good = analyze(harmonic_tone(100, 0.2), RATE)
    for change in (
        {"f0": good.f0[:-1]}, {"envelope": good.envelope[:, :-1]},
        {"aperiodicity": good.aperiodicity[:-1]}, {"f0": good.f0[:, None]},
    ):  # fmt: skip
        with pytest.raises(MismatchError, match="envelope and aperiodicity do not fit"):
            synthesize(dataclasses.replace(good, **change))
    empty = WorldAnalysis(np.zeros(0), np.zeros((0, 513)), np.zeros((0, 513)), 5.0, RATE)
    with pytest.raises(MismatchError, match="do not fit"):
        synthesize(empty)
    for name, bad in [
        ("f0", np.nan), ("f0", -1), ("f0", 8001), ("envelope", np.inf), ("envelope", -1e-9),
        ("aperiodicity", 1.1), ("aperiodicity", np.nan),
    ]:  # fmt: skip
        part = getattr(good, name).copy()
        part[3] = bad
        with pytest.raises(MismatchError, match=r"cannot be synthesized; .* expected 0 … "):
            synthesize(dataclasses.replace(good, **{name: part}))


def test_a_missing_package_is_named(monkeypatch):
    analysis = analyze(harmonic_tone(100, 0.2), RATE)
    monkeypatch.setitem(sys.modules, "pyworld", None)
    wanted = r"pyworld is not installed; install it with: pip install 'singerid\[world\]'"
    with pytest.raises(MissingExtraError, match=wanted):
        analyze(harmonic_tone(100, 0.2), RATE)
    with pytest.raises(MissingExtraError, match=wanted):
        synthesize(analysis)
