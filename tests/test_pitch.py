"""Pitch tracks: MIDI numbers, classes, frame grids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid.errors import MismatchError
from singerid.features.pitch import f0_from_midi, midi_pitch, one_hot_pitch, resample_track


def test_known_notes():
    midi, unvoiced = midi_pitch([440.0, 220.0, 261.6255653])
    np.testing.assert_allclose(midi, [69, 57, 60], atol=1e-6)
    assert midi.dtype == np.float64
    assert unvoiced.tolist() == [False] * 3


@pytest.mark.parametrize("gap", [0.0, np.nan])
def test_gaps_are_bridged_and_edges_held(gap):
    midi, unvoiced = midi_pitch([gap, gap, 220.0, gap, gap, gap, 440.0, gap])
    np.testing.assert_allclose(midi, [57, 57, 57, 60, 63, 66, 69, 69])
    assert unvoiced.tolist() == [True, True, False, True, True, True, False, True]


@pytest.mark.parametrize("f0", [[0.0, np.nan, 0.0], []])
def test_nothing_voiced_is_zero_and_flagged(f0):
    midi, unvoiced = midi_pitch(f0)
    assert midi.tolist() == [0.0] * len(f0)
    assert unvoiced.tolist() == [True] * len(f0)
    assert f0_from_midi(midi, unvoiced).tolist() == [0.0] * len(f0)


@given(st.lists(st.one_of(st.just(0.0), st.floats(20, 2000)), min_size=1, max_size=50))
def test_f0_comes_back(f0):
    np.testing.assert_allclose(f0_from_midi(*midi_pitch(f0)), f0, rtol=1e-12)


def test_tracks_that_are_none_are_refused():
    for bad in (-100.0, np.inf):
        with pytest.raises(ValueError, match="negative or infinite; mark unvoiced frames"):
            midi_pitch([100.0, bad])
    with pytest.raises(ValueError, match=r"one dimension; found shape \(2, 1\)"):
        midi_pitch([[100.0], [0.0]])


@given(
    st.lists(st.tuples(st.floats(-20, 150), st.booleans()), max_size=30),
    st.integers(0, 60), st.integers(0, 60),
)  # fmt: skip
def test_one_class_a_frame(frames, low, width):
    midi = [pitch for pitch, _ in frames]
    unvoiced = np.array([flag for _, flag in frames], bool)
    one_hot = one_hot_pitch(midi, unvoiced, low, low + width)
    assert one_hot.shape == (len(frames), width + 2)
    assert one_hot.dtype == np.float32
    assert np.all(one_hot.sum(axis=1) == 1)
    assert set(np.unique(one_hot)) <= {0, 1}
    np.testing.assert_array_equal(one_hot[:, -1] == 1, unvoiced)


@pytest.mark.parametrize(
    ("midi", "column"),
    [(36, 0), (81, 45), (60.49, 24), (60.5, 25), (61.5, 26), (59.5, 24), (35.4, 0), (35.5, 0),
     (-5, 0), (81.49, 45), (81.5, 45), (127, 45)],
)  # fmt: skip
def test_numbers_are_rounded_and_clipped_to_the_nearest_class(midi, column):
    one_hot = one_hot_pitch([midi], [False])
    assert one_hot.shape == (1, 47)
    assert np.flatnonzero(one_hot[0]).tolist() == [column]


def test_the_pitch_of_unvoiced_frames_does_not_matter():
    one_hot = one_hot_pitch([60.0, np.nan, 0.0], [True] * 3)
    assert np.flatnonzero(one_hot).tolist() == [46, 93, 140]


def test_bad_classes_are_refused():
    with pytest.raises(ValueError, match=r"midi \(2,\) and unvoiced \(1,\) must be equally long"):
        one_hot_pitch([60, 61], [True])
    with pytest.raises(ValueError, match="low 50 must not exceed high 49"):
        one_hot_pitch([60], [True], 50, 49)
    with pytest.raises(ValueError, match="voiced frame is not finite"):
        one_hot_pitch([np.nan], [False])


@pytest.mark.parametrize("n_samples", [0, 79, 80, 255, 256, 16_000, 12_345, 100_003])
@pytest.mark.parametrize("hop", [80, 128, 160, 256, 320, 1000])
def test_each_frame_takes_the_nearest_center(n_samples, hop):
    n_old, n_new = 1 + n_samples // 80, 1 + n_samples // hop
    old, new = np.arange(n_old) * 80 / 16_000, np.arange(n_new) * hop / 16_000
    taken = resample_track(np.arange(n_old), 80 / 16_000, n_new, hop / 16_000)
    assert taken.shape == (n_new,)
    nearest = np.abs(new[:, None] - old).min(axis=1)
    np.testing.assert_allclose(np.abs(new - old[taken]), nearest, atol=1e-9)
    assert np.all(np.abs(new - old[taken])[:-1] <= 0.0025 + 1e-9)


def test_to_a_finer_grid_too():
    taken = resample_track(np.array([10, 20, 30]), 0.016, 8, 0.005)
    assert taken.tolist() == [10, 10, 20, 20, 20, 30, 30, 30]


def test_nothing_new_arises_between_voiced_and_unvoiced():
    f0 = np.where(np.arange(400) // 7 % 2, 220.0, 0.0)
    assert set(resample_track(f0, 0.005, 125, 0.016)) == {0.0, 220.0}
    one_hot = one_hot_pitch(*midi_pitch(f0))
    resampled = resample_track(one_hot, 0.005, 125, 0.016)
    assert resampled.shape == (125, 47)
    expected = one_hot_pitch(*midi_pitch(resample_track(f0, 0.005, 125, 0.016)))
    np.testing.assert_array_equal(resampled, expected)


def test_a_track_of_another_recording_is_refused():
    track = np.zeros(201)  # 1 s
    assert len(resample_track(track, 0.005, 63, 0.016)) == 63
    assert len(resample_track(track, 0.005, 64, 0.016)) == 64  # within a frame of the end
    with pytest.raises(
        MismatchError, match=r"too short .* found 1\.000 s; expected about 1\.024 s"
    ):
        resample_track(track, 0.005, 65, 0.016)
    for bad in ((track[:0], 0.005, 1, 0.016), (track, 0, 1, 0.016), (track, 0.005, 0, 0.016)):
        with pytest.raises(ValueError, match="must not be empty"):
            resample_track(*bad)
