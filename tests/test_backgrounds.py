"""Other sound: files of a folder, virtual voices, babble."""

import numpy as np
import pytest
import soundfile

from singerid.errors import AudioError, ManifestError
from singerid.robustness.backgrounds import Babble, SoundPool, VirtualVoices
from singerid.robustness.distortion import active_power

RATE = 16_000


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def folder(tmp_path):
    noise = rng(9).uniform(-0.5, 0.5, (2, 2 * RATE))
    (tmp_path / "deeper").mkdir()
    soundfile.write(tmp_path / "a.wav", noise[0], RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "deeper/b.flac", noise[1], RATE)
    (tmp_path / "notes.txt").write_text("no audio")
    return tmp_path


def test_stretches_come_from_the_files(folder):
    pool = SoundPool.of_folder(folder)
    assert [path.name for path in pool.paths] == ["a.wav", "b.flac"]
    whole, _ = soundfile.read(folder / "a.wav", dtype="float32")
    found = set()
    for seed in range(12):
        stretch = pool(1000, RATE, rng(seed))
        np.testing.assert_array_equal(stretch, pool(1000, RATE, rng(seed)))
        found |= {s for s in range(len(whole) - 1000) if whole[s] == stretch[0]}
    assert len(found) >= 3


def test_a_short_file_is_repeated_and_resampled(folder):
    pool = SoundPool.of_folder(folder)
    stretch = pool(5 * RATE, RATE, rng())
    assert stretch.shape == (5 * RATE,)
    assert active_power(stretch[4 * RATE :], RATE) > 0.01
    assert pool(24_000, 24_000, rng()).shape == (24_000,)


def test_identity_follows_the_content(folder):
    before = SoundPool.of_folder(folder)
    assert before == SoundPool.of_folder(folder)
    assert repr(before).startswith("SoundPool(2 files, ")
    soundfile.write(folder / "a.wav", rng().uniform(-0.5, 0.5, RATE), RATE)
    assert repr(SoundPool.of_folder(folder)) != repr(before)


def test_refusals(tmp_path):
    with pytest.raises(ManifestError, match="nowhere: is not a folder"):
        SoundPool.of_folder(tmp_path / "nowhere")
    with pytest.raises(AudioError, match="no audio files in this folder"):
        SoundPool.of_folder(tmp_path)
    samples = np.zeros(4 * RATE)
    samples[:10] = 0.5
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    with pytest.raises(AudioError, match="only silence found; found 8 silent stretches"):
        SoundPool.of_folder(tmp_path)(RATE, RATE, rng(1))


def test_voices_of_babble_are_equally_loud():
    asked = []

    def voice(n, rate, generator):
        asked.append(10 ** generator.uniform(-3, 0) * generator.standard_normal(n).astype("f4"))
        return asked[-1]

    total = Babble(voice)(RATE, RATE, rng())
    assert len(asked) == 6
    shares = [np.dot(total, part) / np.dot(part, part) * np.std(part) for part in asked]
    np.testing.assert_allclose(shares, 1, atol=0.05)


@pytest.mark.parametrize("rate", [6000, 16_000, 64_000])
def test_virtual_voices(rate):
    one, other = (VirtualVoices()(2 * rate, rate, rng(s)) for s in (0, 2))
    assert one.shape == other.shape == (2 * rate,)
    assert active_power(one, rate) > 1e-4
    np.testing.assert_array_equal(one, VirtualVoices()(2 * rate, rate, rng(0)))
    assert not np.array_equal(one, other)
