"""The feature spec, and what the encoder sees of the stored frames."""

import numpy as np
import pytest
from pydantic import ValidationError

from singerid.errors import AudioError, MissingExtraError
from singerid.features import extract, frames_of, input_streams, network_input, neural
from singerid.features.mel import log_mel
from singerid.features.pitch import midi_pitch
from singerid.spec import FeatureSpec, PitchSettings, WorldSettings

RATE = 16_000


def spec(**sections):
    return FeatureSpec.model_validate(sections)


def tone(seconds=1.0, f0=220.0):
    """Harmonics of one pitch, with a rest in the last quarter."""
    time = np.arange(int(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * f0 * k * time) / k for k in range(1, 12))
    return (0.2 * wave * (time < 0.75 * seconds)).astype(np.float32)


WORLD = {"features": {"stream": "world"}}


@pytest.mark.parametrize(
    ("sections", "n_dims", "n_inputs"),
    [
        ({}, 80, 80),
        ({"mel": {"n_mels": 40}}, 40, 40),
        ({"pitch": {"condition": True}}, 82, 80 + 47),
        (WORLD, 40 + 4 + 2, 44),
        (WORLD | {"pitch": {"condition": True}}, 46, 44 + 47),
        (WORLD | {"world": {"aperiodicity_input": False}}, 46, 40),
        (WORLD | {"world": {"reduction": "world", "envelope_dims": 60}}, 60 + 1 + 2, 61),
    ],
)
def test_sizes(sections, n_dims, n_inputs):
    front_end = spec(**sections)
    assert (front_end.n_dims, front_end.n_inputs) == (n_dims, n_inputs)
    frames = np.random.default_rng(0).random((5, n_dims), np.float32)
    inputs = network_input(frames, front_end)
    assert inputs.shape == (5, n_inputs)
    streams = input_streams(inputs, front_end)
    np.testing.assert_array_equal(np.concatenate(list(streams.values()), axis=1), inputs)


def test_columns_are_those_of_the_world_coding():
    pytest.importorskip("pyworld")
    from singerid.features import coding_of

    for reduction in ("mfsc", "world", "mcep-power", "mcep-db"):
        front_end = spec(**WORLD, world={"reduction": reduction})
        assert front_end.columns == coding_of(front_end.world).columns(RATE)


def test_mel_alone_is_passed_on_as_it_is():
    frames = np.ones((3, 80), np.float32)
    assert np.shares_memory(network_input(frames, spec()), frames)


def test_pitch_beside_mel_is_the_pitch_that_sounds():
    pytest.importorskip("pyworld")
    front_end = spec(pitch={"condition": True})
    frames = extract(tone(), front_end)
    np.testing.assert_array_equal(frames[:, :80], log_mel(tone(), RATE, front_end.mel))
    pitch = input_streams(network_input(frames, front_end), front_end)["pitch"]
    assert (pitch.sum(axis=1) == 1).all()
    expected = int(midi_pitch([220.0])[0][0]) - 36
    assert (pitch[5:40].argmax(axis=1) == expected).all()
    assert (pitch[52:60].argmax(axis=1) == 46).all()  # the rest is unvoiced


def test_neural_tracker_agrees_with_world():
    pytest.importorskip("pyworld")
    pytest.importorskip("swift_f0")
    frames = [
        extract(tone(2.0), spec(pitch={"condition": True, "tracker": tracker}))
        for tracker in ("world", "swift-f0")
    ]
    voiced = (frames[0][:, 81] == 0) & (frames[1][:, 81] == 0)
    assert voiced.mean() > 0.6
    assert np.median(np.abs(frames[0][voiced, 80] - frames[1][voiced, 80])) < 0.2


def test_missing_neural_tracker_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "swift_f0", None)
    neural._detector.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'singerid\[neural-pitch\]'"):
        extract(tone(), spec(pitch={"condition": True, "tracker": "swift-f0"}))


def test_silence_is_cut_before_the_duration_is_checked():
    sound = np.concatenate([tone(0.6), np.zeros(RATE, np.float32)])
    whole, cut = spec(), spec(audio={"silence_db": -40})
    assert len(extract(sound, cut)) < len(extract(sound, whole))
    strict = spec(audio={"silence_db": -40, "min_seconds": 1.0})
    with pytest.raises(AudioError, match=r"^x: is too short; found 0\.\d\d s; expected at least 1"):
        extract(sound, strict, "x")
    assert len(frames_of(tone(0.6), strict, "x")) == 1 + int(0.6 * RATE) // 256


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"world": {"fmin": 150, "fmax": 120}}, "fmin 150 Hz must lie below fmax 120 Hz"),
        ({"pitch": {"low": 60, "high": 60}}, "low 60 must lie below high 60"),
        (WORLD | {"pitch": {"tracker": "swift-f0"}}, "pitch.tracker must be world for WORLD"),
        (
            WORLD | {"audio": {"sample_rate": 6000}, "mel": {"fmax": 3000}},
            "audio.sample_rate 6000 Hz is below the 8000 Hz that WORLD needs",
        ),
    ],
)
def test_specs_that_cannot_be(sections, message):
    with pytest.raises(ValidationError, match=message):
        spec(**sections)


def test_defaults_are_the_originals():
    assert PitchSettings().n_classes == 47
    assert (WorldSettings().frame_period, WorldSettings().alpha) == (5.0, 0.45)
