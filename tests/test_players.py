"""Clips for a page: the loudest part, as MP3 that can be decoded again."""

import base64
import io

import numpy as np
import pytest
import soundfile as sf

from singerid.audio import load
from singerid.errors import AudioError
from singerid.report.players import (
    SAMPLE_RATE,
    Clip,
    encode_mp3,
    loudest_start,
    make_clip,
    make_clips,
)


def tone(seconds, frequency=220.0, rate=SAMPLE_RATE, level=0.5):
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    loud_late = np.concatenate([tone(6, level=0.01), tone(3, 330), tone(2, level=0.01)])
    sf.write(folder / "late.wav", loud_late, SAMPLE_RATE)
    sf.write(folder / "short.wav", tone(1, rate=16_000, level=0.1), 16_000)
    sf.write(folder / "stereo.wav", np.stack([tone(1), tone(1, 880)], axis=1), SAMPLE_RATE)
    (folder / "text.wav").write_text("no audio")
    return folder


def decoded(clip):
    samples, _ = sf.read(io.BytesIO(clip.media), dtype="float32")
    return samples


def pitch(samples):
    spectrum = np.abs(np.fft.rfft(samples))
    return spectrum.argmax() * SAMPLE_RATE / len(samples)


def test_the_loudest_stretch_is_found():
    samples = np.zeros(1000, np.float32)
    samples[520:620] = 1
    assert loudest_start(samples, 100, 1.0) == 520
    assert loudest_start(samples, 100, 10.0) == loudest_start(samples[:50], 100, 1.0) == 0
    assert loudest_start(np.ones(1000, np.float32), 100, 1.0) == 0  # the earliest of equals


def test_a_clip_is_the_loud_part_at_a_set_level(folder):
    clip = make_clip(folder / "late.wav", seconds=3)
    assert (clip.start, clip.seconds) == (pytest.approx(6.0), 3.0)
    samples = decoded(clip)
    assert len(samples) == 3 * SAMPLE_RATE
    assert pitch(samples) == pytest.approx(330, abs=1)
    assert np.abs(samples).max() == pytest.approx(0.9, abs=0.05)
    assert np.abs(samples[:60]).max() < 0.3  # faded in
    assert len(clip.media) < 3 * 32_000 / 8 * 1.1
    assert make_clip(folder / "late.wav", seconds=3) == clip


def test_a_short_recording_is_taken_whole_and_the_channel_counts(folder):
    short = make_clip(folder / "short.wav")
    assert (short.start, short.seconds) == (0.0, 1.0)
    for channel, frequency in (("left", 220), ("right", 880)):
        clip = make_clip(folder / "stereo.wav", channel)
        assert pitch(decoded(clip)) == pytest.approx(frequency, abs=3)


def test_the_address_holds_the_file():
    uri = Clip(b"abc", 0.0, 1.0).uri
    assert uri == "data:audio/mpeg;base64,YWJj"
    assert base64.b64decode(uri.partition(",")[2]) == b"abc"


def test_what_cannot_be_read_has_a_reason(folder):
    sources = {
        name: (folder / f"{name}.wav", "mix") for name in ("short", "text", "missing")
    } | {"mono": (folder / "short.wav", "right")}  # fmt: skip
    clips = make_clips(["short", "text", "short", "missing", "mono", "unknown"], sources)
    assert list(clips) == ["short", "text", "missing", "mono", "unknown"]
    assert isinstance(clips["short"], Clip)
    assert "text.wav" in clips["text"]
    assert "\n" not in clips["text"]
    assert "missing.wav" in clips["missing"]
    assert "has no right channel" in clips["mono"]
    assert clips["unknown"] == "the path of the audio is not known"


def test_the_budget_is_kept(folder):
    sources = {str(i): (folder / "late.wav", "mix") for i in range(6)}
    clips = make_clips(sources, sources, seconds=2, budget=0.02)
    sizes = [len(clip.media) for clip in clips.values() if isinstance(clip, Clip)]
    assert len(sizes) == 2
    assert sum(sizes) <= 20_000
    assert {clip for clip in clips.values() if isinstance(clip, str)} == {
        "left out: the clips of the page have 0.02 MB"
    }


def test_a_rate_that_mp3_does_not_have_is_refused():
    with pytest.raises(AudioError, match="cannot write MP3"):
        encode_mp3(tone(0.1), 23_456)


def test_load_reads_what_is_written(folder, tmp_path):
    path = tmp_path / "clip.mp3"
    path.write_bytes(make_clip(folder / "late.wav", seconds=2).media)
    samples, warnings = load(path, SAMPLE_RATE)
    assert len(samples) == 2 * SAMPLE_RATE
    assert warnings == []
