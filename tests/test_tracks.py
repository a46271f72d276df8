"""Long recordings in blocks: the same track however they come, vectors of windows alone."""

import numpy as np
import pytest
import soundfile

import singerid
from singerid.embeddings import normalize
from singerid.errors import AudioError
from singerid.sections import SegmentSettings
from singerid.tracks import Track, embed_windows, listen, read_blocks
from singerid.voicing import find_voice

RATE = 8000
SETTINGS = SegmentSettings(window=2.0, hop=0.75, min_voice=0.3)


class Spectral:
    """Stands for an encoder: the mean spectrum of what it is given, in 16 bands."""

    fingerprint = "spectral"
    sample_rate = RATE

    def __init__(self):
        self.longest = 0

    def embed(self, samples, sample_rate):
        assert sample_rate == RATE
        self.longest = max(self.longest, len(samples))
        power = np.abs(np.fft.rfft(samples)) ** 2
        return normalize(np.log10([[b.mean() + 1e-9 for b in np.array_split(power, 16)]]))[0]


def tone(seconds, f0=200, rate=RATE):
    t = np.arange(int(seconds * rate)) / rate
    x = sum(np.sin(2 * np.pi * k * f0 * t) / k for k in range(1, 8))
    return (0.1 * x).astype(np.float32)


def recording(seconds=150):
    """Tones of 5 s and silences of 4 s in turn."""
    x = tone(seconds)
    x[(np.arange(len(x)) / RATE) % 9 > 5] = 0
    return x + np.random.default_rng(0).normal(0, 1e-5, len(x)).astype(np.float32)


def heard(x, size, settings=SETTINGS):
    return listen(Spectral(), [x[i : i + size] for i in range(0, len(x), size)], settings)


@pytest.mark.parametrize("size", [7777, 100_000, 600_000])
@pytest.mark.parametrize("seconds", [0.8, 2.0, 59.99, 121.3])
def test_blocks_change_nothing(seconds, size):
    x = recording(seconds)
    whole, parts = listen(Spectral(), [x], SETTINGS), heard(x, size)
    for name in Track.__dataclass_fields__:
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name


def test_the_voice_is_that_of_the_whole_recording():
    x = recording()
    track = heard(x, 5000)
    whole = find_voice(x, RATE)
    assert track.frame_seconds == pytest.approx(whole.hop / RATE)
    assert len(track.voiced) == len(whole.voiced)
    assert np.mean(track.voiced != whole.voiced) < 0.002
    assert track.voice_seconds == pytest.approx(150 * 5 / 9, rel=0.05)
    assert track.seconds == 150


def test_a_vector_is_that_of_the_window_alone():
    x = recording()
    track = heard(x, 30_000)
    assert track.window == 2
    for start, vector in zip(track.starts[::5], track.vectors[::5], strict=True):
        first = round(start * RATE)
        np.testing.assert_array_equal(vector, Spectral().embed(x[first : first + 2 * RATE], RATE))


def test_only_windows_with_enough_voice_are_embedded():
    x = recording()
    track = heard(x, 30_000)
    every = np.arange(0, 148 + 1e-9, 0.75)
    shares = find_voice(x, RATE).shares(np.round(every * RATE), 2 * RATE)
    clear = np.abs(shares - 0.3) > 0.02
    expected = every[(shares >= 0.3) & clear]
    assert set(np.round(expected, 4)) <= set(np.round(track.starts, 4))
    assert not set(np.round(every[(shares < 0.3) & clear], 4)) & set(np.round(track.starts, 4))


def test_the_last_window_ends_with_the_recording():
    x = tone(10.1)
    assert heard(x, 9999).starts[-1] == pytest.approx(8.1)
    assert np.allclose(np.diff(heard(x, 9999).starts[:-1]), 0.75)


def test_a_short_recording_is_one_window():
    x = tone(1.2)
    track = heard(x, 3000)
    assert track.starts.tolist() == [0]
    assert track.window == pytest.approx(1.2)
    np.testing.assert_array_equal(track.vectors[0], Spectral().embed(x, RATE))


def test_what_leaks_in_softly_is_no_voice():
    """A minute of headphones in the microphone, 60 dB below the voice."""
    loud, soft = tone(60), tone(120, 300) * np.float32(1e-3)
    track = listen(Spectral(), [loud, soft], SETTINGS)
    assert track.voiced[: 59 * 50].all()
    assert not track.voiced[61 * 50 :].any()


def test_peaks_are_those_of_the_frames():
    x = recording(70)
    track = heard(x, 12_345)
    frame = round(track.frame_seconds * RATE)
    whole = np.abs(x[: len(x) // frame * frame]).reshape(-1, frame).max(axis=1)
    np.testing.assert_array_equal(track.peaks, whole)


def test_too_short():
    with pytest.raises(AudioError, match=r"^x\.wav: is too short; found 0\.25 s; expected 0\.5 s"):
        listen(Spectral(), [np.zeros(RATE // 4, np.float32)], SETTINGS, "x.wav")


def test_silence_has_no_windows():
    track = listen(Spectral(), [np.zeros(5 * RATE, np.float32)], SETTINGS)
    assert (len(track.starts), track.voice_seconds) == (0, 0)


def test_progress_says_all_seconds():
    said = []
    x = recording(150)
    listen(Spectral(), [x], SETTINGS, on_progress=said.append)
    assert sum(said) == pytest.approx(150)
    assert len(said) > 1


def test_a_file_is_read_as_it_is(tmp_path):
    path = tmp_path / "a.wav"
    x = tone(3, rate=16_000)
    soundfile.write(path, np.stack([x, 0 * x], 1), 16_000, subtype="FLOAT")
    left = np.concatenate(list(read_blocks(path, 16_000, "left")))
    np.testing.assert_array_equal(left, x)
    np.testing.assert_allclose(np.concatenate(list(read_blocks(path, 16_000))), x / 2)
    slow = np.concatenate(list(read_blocks(path, RATE, "left")))
    assert len(slow) == pytest.approx(3 * RATE, abs=2)
    expected = tone(3)
    n = min(len(slow), len(expected))
    assert np.abs(slow[:n] - expected[:n])[100:-100].max() < 0.01


def test_a_file_that_holds_no_numbers(tmp_path):
    path = tmp_path / "nan.wav"
    x = tone(1)
    x[500] = np.nan
    soundfile.write(path, x, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="not numbers"):
        list(read_blocks(path, RATE))


def test_windows_of_our_encoder_go_in_one_batch():
    """And give the vectors that each would have as a recording of its own."""
    encoder = singerid.load_encoder()
    x = tone(9, 220, 16_000) + np.random.default_rng(1).normal(0, 0.01, 9 * 16_000)
    windows = [x[i * 48_000 : (i + 1) * 48_000].astype(np.float32) for i in range(3)]
    vectors = embed_windows(encoder, windows)
    alone = np.stack([encoder.embed(window, 16_000) for window in windows])
    np.testing.assert_allclose(vectors, alone, atol=1e-5)


def test_windows_longer_than_a_partial_are_means_of_partials():
    encoder = singerid.load_encoder()
    x = tone(15, 220, 16_000)
    vector = embed_windows(encoder, [x])[0]
    np.testing.assert_allclose(vector, encoder.embed(x, 16_000), atol=1e-5)
