"""Frames: counts against librosa's definition, crops, tilings that cover everything."""

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid import frames


@pytest.mark.parametrize("n_samples", [1025, 2048, 16000, 16001, 16128, 40000])
def test_number_of_frames_is_that_of_a_centered_stft(n_samples):
    stft = librosa.stft(np.zeros(n_samples, np.float32), n_fft=1024, hop_length=256, center=True)
    assert frames.n_frames(n_samples, 256) == stft.shape[1]


def test_crop_is_a_view_of_the_asked_frames():
    features = np.arange(20, dtype=np.float32).reshape(10, 2)
    cut = frames.crop(features, 3, 4)
    assert np.shares_memory(cut, features)
    np.testing.assert_array_equal(cut, features[3:7])
    np.testing.assert_array_equal(frames.crop(features, 0, 10), features)


@pytest.mark.parametrize(("start", "length"), [(-1, 4), (7, 4), (0, 11), (10, 1)])
def test_crop_never_pads(start, length):
    with pytest.raises(ValueError, match=rf"crop {start}…{start + length} lies outside 0…10"):
        frames.crop(np.zeros((10, 2), np.float32), start, length)


@given(st.integers(1, 2000), st.integers(1, 300), st.integers(1, 300))
def test_tiles_cover_from_the_first_to_the_last_frame(n, partial, hop):
    starts = frames.tile_starts(n, partial, hop)
    assert starts.dtype == np.int64
    assert starts[0] == 0
    if n <= partial:
        assert len(starts) == 1
        return
    assert starts[-1] + partial == n
    steps = np.diff(starts)
    assert (steps[:-1] == hop).all()
    assert 0 < steps[-1] <= hop
    if hop <= partial:  # no frame is left out
        covered = np.zeros(n, bool)
        for start in starts:
            covered[start : start + partial] = True
        assert covered.all()


@pytest.mark.parametrize("wrong", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_tiles_of_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match="must be at least 1"):
        frames.tile_starts(*wrong)


@given(st.integers(1, 200_000))
def test_fast_lengths(least):
    length = frames.fast_length(least)
    assert length >= least
    assert length % 2 == 0
    assert length <= 1.2 * least + 2
    for factor in (2, 3, 5):
        while length % factor == 0:
            length //= factor
    assert length == 1
