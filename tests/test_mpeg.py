"""MP3 files without a count of their frames: all of them is heard, whatever lies in between."""

import io
import sys

import numpy as np
import pytest
import soundfile

from singerid import audio, mpeg
from singerid.errors import AudioError

RATES = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000]


@pytest.fixture(autouse=True)
def no_ffmpeg(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)


def voice(seconds, rate, channels=1, level=0.5):
    t = np.arange(round(seconds * rate)) / rate
    tone = level * np.sin(2 * np.pi * 440 * t + 3 * np.sin(2 * np.pi * t))
    return np.stack([tone] * channels, axis=1).astype(np.float32)


def mp3(samples, rate, mode="CONSTANT", level=0.9):
    """An MP3 file; libsndfile puts a count before those of variable bit rates alone."""
    file = io.BytesIO()
    soundfile.write(
        file, samples, rate, "MPEG_LAYER_III", format="MP3", bitrate_mode=mode,
        compression_level=level,
    )  # fmt: skip
    return file.getvalue()


def frames_of(data):
    """The frames of an MP3 file, one by one; the first may hold their number."""
    found, at = [], 0
    while (frame := mpeg._frame(data[at : at + 4])) is not None:
        found.append(data[at : at + frame.n_bytes])
        at += frame.n_bytes
    assert at == len(data)
    return found


def uncounted(samples, rate, mode="VARIABLE", level=0.2):
    first, *others = frames_of(mp3(samples, rate, mode, level))
    assert b"Xing" in first or b"Info" in first
    return b"".join(others)


def uncounted_at_constant_rate(seconds, rate=24_000):
    data = mp3(voice(seconds, rate), rate)
    assert not any(name in data[:200] for name in (b"Xing", b"Info"))
    return data


def counted(data, path):
    """Whether the file starts with a count, and the one that it is given if not."""
    path.write_bytes(data)
    with path.open("rb", buffering=0) as file:
        joined = mpeg.with_count(file)
        return mpeg.is_counted(file), None if joined is None else joined.read()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
def test_every_rate(tmp_path, rate, channels):
    samples = voice(2, rate, channels)
    data = mp3(samples, rate, "VARIABLE", 0.2)
    first, *others = frames_of(data)
    path = tmp_path / "x"
    assert counted(data, path)[0]
    was_counted, given = counted(b"".join(others), path)
    assert not was_counted
    head = mpeg._frame(given[:4]).n_bytes
    assert given[head:] == b"".join(others)
    at = given.index(b"Xing")
    assert at == first.index(b"Xing" if b"Xing" in first else b"Info")  # as LAME places it
    assert int.from_bytes(given[at + 8 : at + 12], "big") == len(others)
    info = audio.probe(path)
    assert (info.sample_rate, info.channels) == (rate, channels)
    decoded, warnings = audio.load(path, rate)
    assert warnings == []
    late = np.argmax(np.correlate(decoded[: rate // 2 + 4000], samples[: rate // 2, 0]))
    assert late < 2000  # the encoder's delay, which no header tells
    n = len(samples) - late
    likeness = np.corrcoef(decoded[late:][:n][4000:-4000], samples[:n, 0][4000:-4000])[0, 1]
    assert likeness > 0.95


def test_a_song_that_begins_loud_is_heard_to_its_end(tmp_path):
    """libsndfile takes it for the part of its length that such loud frames would last."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(-0.5, 0.5, (44100, 1)).astype(np.float32)
    samples = np.concatenate([noise, np.zeros((8 * 44100, 1), np.float32), noise])
    path = tmp_path / "x"
    path.write_bytes(uncounted(samples, 44100))
    assert soundfile.info(path).duration < 8
    decoded, _ = audio.load(path, 44100)
    assert len(decoded) / 44100 == pytest.approx(10, abs=0.1)
    assert np.std(decoded[-30_000:-10_000]) > 0.1
    assert audio.probe(path).duration == pytest.approx(len(decoded) / 44100, abs=0.01)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"TAG" + bytes(125)),
        (b"ID3\x03\0\0" + bytes([0, 0, 16, 0]) + bytes(2048), b""),
        (b"", b"\xff\xf3\x90\x64"),
    ],
)
def test_tags_are_no_frames(tmp_path, before, after):
    data = uncounted_at_constant_rate(2)
    path = tmp_path / "x"
    plain = counted(data, path)[1]
    framed = counted(before + data + after, path)[1]
    said = plain.index(b"Xing") + 8
    plain_count, count = (int.from_bytes(x[said : said + 4], "big") for x in (plain, framed))
    assert plain_count <= count <= plain_count + (after[:1] == b"\xff")
    path.write_bytes(data)
    known = audio.load(path, 24000)[0]
    path.write_bytes(before + data + after)
    found = audio.load(path, 24000)[0]
    np.testing.assert_array_equal(found[: len(known)], known)
    assert len(found) - len(known) <= 576


def test_frames_behind_damage_are_counted(tmp_path):
    frames = frames_of(uncounted_at_constant_rate(4))
    whole = b"".join(frames)
    for rubbish in (bytes(1000), b"\xff\xfb" * 75, bytes(200_000)):
        data = b"".join(frames[:60]) + rubbish + b"".join(frames[60:])
        given = counted(data, tmp_path / "x")[1]
        known = counted(whole, tmp_path / "x")[1]
        at = given.index(b"Xing") + 8
        assert given[at : at + 4] == known[at : at + 4]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ID3",
        b"\xff\xfb",
        b"\xff\xfb\x00\x00" * 1000,  # a bit rate that no header tells
        b"\xff\xfb\xf0\x00" * 1000,
        b"\xff\xfb\x9c\x00" * 1000,
        b"\xff\xfd\x90\x00" * 1000,  # layer II
        bytes(200_000),
    ],
)
def test_no_frames(tmp_path, data):
    assert counted(data, tmp_path / "x") == (False, None)


def test_what_cannot_be_counted_needs_ffmpeg(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(uncounted_at_constant_rate(1))
    monkeypatch.setattr(mpeg, "with_count", lambda file: None)
    expected = r"x: is MPEG audio that does not tell its length, and FFmpeg is not installed; "
    with pytest.raises(AudioError, match=expected):
        audio.load(path, 24000)


def test_places_in_a_joined_file(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(range(100)))
    with path.open("rb", buffering=0) as file:
        joined = mpeg._Joined(b"abc", file, 90)
        assert joined.read() == b"abc" + bytes(range(90, 100))
        assert joined.seek(-2, io.SEEK_END) == 11
        assert joined.read() == bytes([98, 99])
        assert (joined.seek(1), joined.read(1), joined.seek(2, io.SEEK_CUR)) == (1, b"b", 4)
        assert joined.tell() == 4
        assert joined.read(2) == bytes([91, 92])
        assert joined.seek(-9) == 0
        joined.close()
        assert not file.closed
