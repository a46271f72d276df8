"""Decoding in processes that may hang or die, and files that are made to harm."""

import io
import os
import signal
import struct
import threading
import time

import numpy as np
import pytest

from singerid.errors import AudioError
from singerid.web import decoders, decoding_worker
from singerid.web.decoders import DecoderPool, DecodingTimeout, Job, ServiceStopped
from web_app import encoded, recording, sung


@pytest.fixture(scope="module")
def pool():
    replaced = []
    pool = DecoderPool(1, 30.0, 2048, replaced.append)
    pool.replaced = replaced
    yield pool
    pool.close()


def decode(pool, tmp_path, data, max_seconds=600.0, clip_seconds=0.0):
    path = tmp_path / "upload"
    path.write_bytes(data)
    return pool.decode(Job(str(path), 16_000, max_seconds, clip_seconds))


def opus(seconds):
    """Silence at 6 kbit/s."""
    av = pytest.importorskip("av", reason="needs the extra ffmpeg")
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=48_000, options={"frame_duration": "60"})
        stream.codec_context.layout = "mono"
        stream.codec_context.bit_rate = 6000
        for _ in range(seconds):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), "s16", "mono")
            frame.sample_rate = 48_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def wav_header(rate=16_000, channels=1, bits=16, n_bytes=1 << 20, tag=1):
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * channels * bits // 8,
                      channels * bits // 8, bits)  # fmt: skip
    return (b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVEfmt " + struct.pack("<I", 16) + fmt
            + b"data" + struct.pack("<I", n_bytes))  # fmt: skip


def test_samples_quality_and_clip(pool, tmp_path):
    found = decode(pool, tmp_path, recording(0, 1), clip_seconds=2.0)
    assert found.samples.shape == (64_000,)
    assert found.samples.dtype == np.float32
    assert found.quality.seconds == 4.0
    assert found.quality.voice_seconds > 1
    assert 4_000 < len(found.clip) < 12_000
    assert decode(pool, tmp_path, recording(0, 1, kind="WAV")).clip is None


def test_an_error_is_the_decoders_own(pool, tmp_path):
    with pytest.raises(AudioError, match=r"^is not audio that .* found a file that starts with 'x"):
        decode(pool, tmp_path, b"x" * 100)
    with pytest.raises(AudioError, match=r"^is silent; found peak digital zero"):
        decode(pool, tmp_path, encoded(np.zeros(16_000)))
    with pytest.raises(AudioError, match="is empty"):
        decode(pool, tmp_path, b"")
    assert pool.replaced == []


def test_hours_in_a_few_kilobytes_are_not_decoded(pool, tmp_path):
    hours = encoded(np.zeros(4000 * 3600, np.int16), 4000)
    assert len(hours) < 100_000
    with pytest.raises(AudioError, match="is too long; found 3600 s; expected at most 600 s"):
        decode(pool, tmp_path, hours)
    bomb = opus(30)
    assert len(bomb) < 20_000
    with pytest.raises(AudioError, match="is too long; found 30 s"):
        decode(pool, tmp_path, bomb, max_seconds=20.0)
    unknown = bytearray(hours)  # a length of 0 in STREAMINFO: not known
    unknown[21] &= 0xF0
    unknown[22:26] = bytes(4)
    with pytest.raises(AudioError, match="is too long; found 3600 s"):
        decode(pool, tmp_path, bytes(unknown))


def test_what_is_decoded_is_counted_whatever_the_header_says(tmp_path, monkeypatch):
    class Lying(decoding_worker.Decoder):
        n_blocks = 0

        def _open(self):
            super()._open()
            self.n_frames = 1

        def blocks(self):
            for block in super().blocks():
                Lying.n_blocks += 1
                yield block

    path = tmp_path / "x.wav"
    path.write_bytes(encoded(np.tile(sung(0, 1), 15), kind="WAV"))
    assert decoding_worker.hear(str(path), 16_000, 60.0)[1].seconds == 60
    monkeypatch.setattr(decoding_worker, "Decoder", Lying)
    with pytest.raises(AudioError, match="is too long; found more than 20 s"):
        decoding_worker.hear(str(path), 16_000, 20.0)
    assert Lying.n_blocks == 5  # of 15


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (wav_header(channels=255), "has too many channels; found 255; expected at most 32"),
        (wav_header(rate=2_000_000_000), r"sample rate|is not audio"),
        (wav_header(rate=1), "sample rate that nobody sings at; found 1 Hz"),
        (wav_header(rate=0), r"is not audio|sample rate"),
        (wav_header(channels=0), r"is not audio|channels"),
    ],
)
def test_lies_in_headers(pool, tmp_path, head, what):
    with pytest.raises(AudioError, match=what):
        decode(pool, tmp_path, head + bytes(100_000))
    assert pool.replaced == []


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile /etc/passwd\n",
        "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x\n",
        '<?xml version="1.0"?><MPD><Period><AdaptationSet><BaseURL>/etc/passwd</BaseURL>',
        "[playlist]\nFile1=/etc/passwd\n",
    ],
)
def test_files_that_name_other_files_are_not_followed(pool, tmp_path, text):
    with pytest.raises(AudioError) as caught:
        decode(pool, tmp_path, text.encode())
    assert "root:" not in str(caught.value)


def test_damage_of_all_kinds_is_survived(pool, tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("FLAC", "WAV", "OGG", "MP3"):
        whole = recording(0, 1, 4.0, kind)
        for _ in range(4):
            data = bytearray(whole[: rng.integers(20, len(whole))])
            data[rng.integers(0, len(data))] ^= 1 << rng.integers(8)
            try:
                decode(pool, tmp_path, bytes(data))
            except AudioError as error:
                assert error.what  # noqa: PT017
    assert decode(pool, tmp_path, recording(0, 1)).quality.seconds == 4.0


def test_a_worker_that_was_killed_in_between_is_replaced(pool, tmp_path):
    decode(pool, tmp_path, recording(0, 1))
    (pid,) = pool.pids
    os.kill(pid, signal.SIGKILL)
    while pid in pool.pids:
        time.sleep(0.01)
    assert len(decode(pool, tmp_path, recording(0, 1)).samples) == 64_000
    assert pool.pids != [pid]
    assert pool.replaced.pop() == "crashed"


def test_a_worker_that_dies_with_a_file_is_replaced(pool, tmp_path):
    decode(pool, tmp_path, recording(0, 1))
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)  # it has the file, and cannot finish
    threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
    with pytest.raises(AudioError, match="ends the process that decodes it; convert it"):
        decode(pool, tmp_path, recording(0, 1))
    assert pool.replaced.pop() == "crashed"
    assert len(decode(pool, tmp_path, recording(0, 1)).samples) == 64_000


def test_a_worker_that_hangs_is_replaced(tmp_path):
    replaced = []
    pool = DecoderPool(1, 1.5, 2048, replaced.append)
    try:
        decode(pool, tmp_path, recording(0, 1))
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(DecodingTimeout, match=r"takes too long to decode; found more than 1.5"):
            decode(pool, tmp_path, recording(0, 1))
        assert replaced == ["hung"]
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    finally:
        pool.close()
    assert pool.pids == []
    with pytest.raises(ServiceStopped):
        decode(pool, tmp_path, recording(0, 1))


def test_a_worker_without_memory_says_so_and_is_replaced(tmp_path):
    replaced = []
    pool = DecoderPool(1, 30.0, 450, replaced.append)
    long = encoded(np.tile(sung(0, 1), 500), kind="WAV", subtype="PCM_U8")
    try:
        with pytest.raises(AudioError, match="needs too much memory"):
            decode(pool, tmp_path, long, 36_000.0)
        assert replaced == ["worn out"]
        assert len(decode(pool, tmp_path, recording(0, 1)).samples) == 64_000
    finally:
        pool.close()


def test_workers_know_no_secrets_and_write_no_files(pool, tmp_path, monkeypatch):
    monkeypatch.setenv("SINGERID_TOKEN", "a-secret-of-the-service")
    fresh = DecoderPool(1, 30.0, 1024)
    try:
        decode(fresh, tmp_path, recording(0, 1))
        (pid,) = fresh.pids
        with open(f"/proc/{pid}/environ", "rb") as file:
            assert b"a-secret" not in file.read()
        with open(f"/proc/{pid}/limits") as file:
            limits = {line[:26].strip(): line[26:].split()[0] for line in file}
        assert limits["Max file size"] == limits["Max core file size"] == "0"
        assert limits["Max address space"] == str(1024 << 20)
        assert limits["Max cpu time"].isdecimal()
    finally:
        fresh.close()


QUALITY = {
    "score": 1.0, "reasons": ["x"], "seconds": 1.0, "voice_seconds": 1.0, "peak_db": 0.0,
    "snr_db": 9.0, "clipped_share": 0.0, "bandwidth_hz": 8000.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "payloads"),
    [
        ({"quality": QUALITY}, []), ({"quality": QUALITY}, [b"123", b""]),
        ({"quality": QUALITY}, [b"1234"]), ({"quality": 1}, [b"", b""]), ({}, [b"", b""]),
        ({"quality": QUALITY | {"reasons": 1}}, [b"", b""]), ({"error": 1}, []),
        ({"quality": QUALITY | {"score": None}}, [b"", b""]), ({"error": {"x": 1}}, []),
        ({"quality": QUALITY | {"score": 10**400}}, [b"", b""]),
        ({"quality": QUALITY | {"more": 1}}, [b"", b""]),
    ],
)  # fmt: skip
def test_answers_that_are_none_count_as_a_crash(pool, monkeypatch, tmp_path, answer, payloads):
    """What a file has taken over may say anything; the next file is decoded by another process."""
    monkeypatch.setattr(decoders._Worker, "ask", lambda self, job, timeout: (answer, payloads))
    n = len(pool.replaced)
    with pytest.raises(AudioError, match="ends the process that decodes it"):
        decode(pool, tmp_path, b"")
    assert pool.replaced[n:] == ["crashed"]
