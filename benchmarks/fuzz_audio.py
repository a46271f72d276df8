"""Small audio files of every format that this machine can make, and lies in their headers."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from fuzz_targets import Subject
from singerid import audio as reading

# Name: format and subtype of libsndfile, channels, suffix.
_SNDFILE = {
    "wav": ("WAV", "PCM_16", 1), "wavex": ("WAVEX", "FLOAT", 2), "adpcm": ("WAV", "IMA_ADPCM", 2),
    "flac": ("FLAC", "PCM_16", 1), "ogg": ("OGG", "VORBIS", 1), "opus": ("OGG", "OPUS", 1),
    "mp3": ("MP3", "MPEG_LAYER_III", 1), "aiff": ("AIFF", "PCM_24", 1),
    "caf": ("CAF", "ALAC_16", 1),
    "au": ("AU", "ULAW", 1), "w64": ("W64", "PCM_16", 2), "rf64": ("RF64", "PCM_16", 1),
    "voc": ("VOC", "PCM_U8", 1), "ircam": ("IRCAM", "FLOAT", 1), "paf": ("PAF", "PCM_24", 1),
    "avr": ("AVR", "PCM_16", 1), "htk": ("HTK", "PCM_16", 1), "nist": ("NIST", "PCM_16", 1),
    "svx": ("SVX", "PCM_16", 1), "pvf": ("PVF", "PCM_16", 1),
    "mat4": ("MAT4", "PCM_16", 1), "mat5": ("MAT5", "PCM_16", 1), "xi": ("XI", "DPCM_16", 1),
    "gsm": ("WAV", "GSM610", 1), "g721": ("AU", "G721_32", 1), "mpc2k": ("MPC2K", "PCM_16", 1),
}  # fmt: skip
# Name: container and codec of FFmpeg.
_FFMPEG = {
    "m4a": ("mp4", "aac"), "alac": ("mp4", "alac"), "aac": ("adts", "aac"),
    "webm": ("webm", "libopus"), "mka": ("matroska", "wavpack"), "wma": ("asf", "wmav2"),
    "ac3": ("ac3", "ac3"), "eac3": ("eac3", "eac3"), "mp2": ("mp2", "mp2"), "tta": ("tta", "tta"),
    "wv": ("wv", "wavpack"), "mp3av": ("mp3", "libmp3lame"),
}  # fmt: skip
RATE = 16_000


def audio(kind: str, folder: Path) -> Subject:
    """One format: every byte of a small file in turn, then chance."""
    data = encoded(kind, tone(0.1))
    name = f"bad.{kind}"
    traps = [(name, lie, False) for lie in lies(kind, data)]
    traps += [(name, data[:n], False) for n in (0, 1, 4, 12)]
    others = [(name, data), (name, encoded(kind, tone(0.3)))]
    return Subject(others, lambda path: reading.load(path, RATE), _WORDS, traps, every_byte=True)


_WORDS = [
    b"RIFF", b"WAVE", b"fmt ", b"data", b"LIST", b"OggS", b"fLaC", b"caff", b"FORM", b"ftyp",
    b"moov", b"trak", b"mdat", b"stts", b"stsz", b"esds", b"\x1aE\xdf\xa3", b"ID3", b"\xff\xfb",
    b"\xff\xf1", b"Xing", b"OpusHead", b"\x01vorbis", b"ds64", b"fact", b"SSND", b"COMM",
]  # fmt: skip


def tone(seconds: float, rate: int = RATE) -> np.ndarray[Any, Any]:
    """A tone with some noise, so that nothing compresses to nothing."""
    t = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(len(t))
    return (0.3 * np.sin(2 * np.pi * 220 * t) + 0.01 * noise).astype(np.float32)


def encoded(kind: str, samples: np.ndarray[Any, Any], rate: int = RATE) -> bytes:
    """A file of one of the formats."""
    if kind == "mp3bare":  # without the frame that tells their number: they are counted by us
        data = encoded("mp3", samples, rate)
        return data[data.index(data[:2], 4) :]
    if kind == "flacstream":  # of unknown length: 36 bits of zeros
        changed = bytearray(encoded("flac", samples, rate))
        changed[21] &= 0xF0
        changed[22:26] = bytes(4)
        return bytes(changed)
    if kind in _FFMPEG:
        return _by_ffmpeg(*_FFMPEG[kind], samples, rate)
    form, subtype, channels = _SNDFILE[kind]
    file = io.BytesIO()
    soundfile.write(file, np.repeat(samples[:, None], channels, 1), rate, subtype, format=form)
    return file.getvalue()


def _by_ffmpeg(
    container: str, codec: str, samples: np.ndarray[Any, Any], rate: int
) -> bytes:  # fmt: skip
    import av

    file = io.BytesIO()
    with av.open(file, "w", container) as output:
        stream: Any = output.add_stream(codec, rate=rate if codec in ("aac", "alac") else 48_000)
        stream.layout, stream.bit_rate = "mono", 64_000
        form = stream.codec_context.codec.audio_formats[0].name
        frame: Any = av.AudioFrame.from_ndarray(samples[None], "fltp", "mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(form, "mono", stream.rate, stream.frame_size or None)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue()


def lies(kind: str, data: bytes) -> list[bytes]:
    """Files that promise huge sizes, rates or channels, or none; each field in turn."""
    huge = [0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000]
    files = []
    for at in range(0, min(len(data), 128), 2):
        for value in huge:
            for order in "<>":
                field = struct.pack(f"{order}I", value)
                files.append(data[:at] + field + data[at + 4 :])
    files += [data + data, data[:64] * 100, data + b"\0" * 100_000, data[: len(data) // 2] * 2]
    if kind == "wav":
        files += [wav(rate, channels, bits, size) for rate in (0, 1, 8000, 2**31, 2**32 - 1)
                  for channels in (0, 1, 255, 1024, 65535) for bits in (0, 8, 16, 65528)
                  for size in (0, 64, 2**31 - 1, 2**32 - 1)]  # fmt: skip
    return files


def wav(rate: int, channels: int, bits: int, size: int) -> bytes:
    """A WAV file that says what it is told to say."""
    block = (channels * bits // 8) & 0xFFFF
    fmt = struct.pack("<HHIIHH", 1, channels, rate, rate * block & 0xFFFFFFFF, block, bits)
    body = b"fmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", size) + b"\1" * 64
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body
