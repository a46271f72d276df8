"""The registry of degradations: names, purity, choice."""

import numpy as np
import pytest
import soundfile

from singerid.errors import AudioError, ConfigError, SingeridError
from singerid.robustness.degradations import DEGRADATIONS, Degradation, choose

RATE = 16_000
EVERY = [degradation for group in DEGRADATIONS.values() for degradation in group]


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    time = np.arange(2 * RATE) / RATE
    voice = sum(np.sin(2 * np.pi * 220 * k * time) / k for k in range(1, 15))
    return (0.1 * voice * (1 + 0.5 * np.sin(6 * time)) + 1e-3 * rng.normal(size=len(time))).astype(
        "f4"
    )


def rng(seed=0):
    return np.random.default_rng(seed)


def test_groups_and_names():
    assert list(DEGRADATIONS) == [
        "duration", "noise", "reverberation", "codec", "band", "gain", "pitch", "accompaniment",
    ]  # fmt: skip
    names = [degradation.name for degradation in EVERY]
    assert len(set(names)) == len(names) == 46
    assert {"excerpt of 1 s", "babble 0 dB", "Opus 8 kbit/s", "music -5 dB"} <= set(names)
    assert len({degradation.identity for degradation in EVERY}) == 46
    assert all("0x" not in degradation.identity for degradation in EVERY)  # no addresses


@pytest.mark.parametrize("degradation", EVERY, ids=lambda d: d.name)
def test_pure_functions(degradation, samples):
    if degradation.kind == "formants kept":
        pytest.importorskip("pyworld")
    if degradation.group == "codec":
        pytest.importorskip("av", reason="needs the extra ffmpeg")
    degradation.check()
    before = samples.copy()
    first = degradation(samples, RATE, rng())
    np.random.default_rng(99).normal()
    second = degradation(samples, RATE, rng())
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(samples, before)
    assert first.dtype == np.float32
    assert first.ndim == 1
    assert np.isfinite(first).all()
    if degradation.group == "duration":
        assert len(first) == min(float(degradation.level.split()[0]) * RATE, len(samples))
    elif degradation.kind == "tape speed":
        assert len(first) != len(samples)
    else:
        assert len(first) == len(samples)
        assert not np.array_equal(first, samples)


@pytest.mark.parametrize("degradation", EVERY, ids=lambda d: d.name)
@pytest.mark.parametrize("n", [1, 50, 1000])
def test_very_short_samples_are_degraded_or_refused(degradation, n, samples):
    if degradation.kind == "formants kept":
        pytest.importorskip("pyworld")
    try:
        result = degradation(samples[:n], RATE, rng())
    except SingeridError:
        return
    assert np.isfinite(result).all()


def test_levels_of_a_kind_differ_in_level_alone(samples):
    soft, loud = (
        d(samples, RATE, rng()) - samples for d in choose(["babble 20 dB", "babble 0 dB"])
    )
    np.testing.assert_allclose(loud, 10 * soft, atol=2e-6)


def test_choice_keeps_the_order_of_the_report():
    assert [d.name for d in choose()] == [d.name for d in EVERY]
    assert [d.name for d in choose(["music -5 dB", "reverberation", "MP3"])] == [
        "room 0.3 s, DRR 6 dB", "room 0.8 s, DRR 0 dB", "room 2.0 s, DRR -3 dB",
        "MP3 64 kbit/s", "MP3 32 kbit/s", "music -5 dB",
    ]  # fmt: skip
    assert choose(["noise", "babble"]) == list(DEGRADATIONS["noise"])


def test_choice_of_folders(tmp_path, samples):
    soundfile.write(tmp_path / "music.wav", 0.1 * np.ones(RATE), RATE, subtype="FLOAT")
    (given,) = choose(["music 0 dB"], music=tmp_path)
    added = given(samples, RATE, rng()) - samples
    np.testing.assert_allclose(added, added[0], rtol=1e-3)  # the file is a constant
    (built_in,) = choose(["music 0 dB"])
    assert given.identity != built_in.identity
    babble = choose(["babble"], babble=tmp_path)
    assert all("SoundPool(1 files" in degradation.identity for degradation in babble)


def test_choice_refuses(tmp_path):
    with pytest.raises(
        ConfigError, match=r"no degradation 'echo'; expected duration, noise, .* or a"
    ):
        choose(["noise", "echo"])
    with pytest.raises(AudioError, match="no audio files"):
        choose(["music"], music=tmp_path)


def test_a_name_without_level():
    assert Degradation("a", "b", "", lambda x, rate, rng: x).name == "b"
