"""Audio: known samples through every format, rates and channels, and all that can be wrong."""

import os
import sys
import tracemalloc

import numpy as np
import pytest
import soundfile
import soxr

from singerid import audio, decoding
from singerid.errors import AudioError

RATE = 44100
NO_FFMPEG = "needs the extra ffmpeg"
rng = np.random.default_rng(0)


def voice(seconds, rate=RATE):
    """A tone that swells, with a little noise: something codecs can follow."""
    t = np.arange(round(seconds * rate)) / rate
    tone = 0.4 * np.sin(2 * np.pi * 440 * t) + 0.1 * np.sin(2 * np.pi * 1300 * t)
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 1.3 * t)
    return (tone * swell + 1e-3 * rng.standard_normal(len(t))).astype(np.float32)


SAMPLES = voice(2.2)


def write(path, samples, rate=RATE, format="WAV", subtype=None):
    """Write in blocks (libsndfile crashes on one long Vorbis block); returns the path."""
    samples = samples[:, None] if samples.ndim == 1 else samples
    with soundfile.SoundFile(
        os.fspath(path), "w", rate, samples.shape[1], subtype, format=format
    ) as file:
        for start in range(0, len(samples), 8192):
            file.write(samples[start : start + 8192])
    return path


def write_av(path, samples, format, codec="aac", options=None, quality=None, rate=RATE):
    """Write with FFmpeg; returns the path."""
    av = pytest.importorskip("av", reason=NO_FFMPEG)
    with av.open(str(path), "w", format=format, options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout, stream.codec_context.format = "mono", "fltp"
        if quality is None:
            stream.bit_rate = 128_000
        else:  # variable bit rate
            stream.codec_context.qscale = True
            stream.codec_context.global_quality = quality * 118
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        fifo, position = av.AudioFifo(), 0
        fifo.write(frame)
        for part in fifo.read_many(1152 if "mp3" in codec else 1024, partial=True):
            part.pts, part.sample_rate = position, rate
            position += part.samples
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def message(path, load=True):
    """The error that a file gives: exactly one line that names it."""
    with pytest.raises(AudioError) as caught:
        audio.load(path, RATE) if load else audio.probe(path)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert text.isprintable()
    return text


FORMATS = {  # name: format, subtype, largest error
    "wav16": ("WAV", "PCM_16", 2**-15),
    "wav24": ("WAV", "PCM_24", 2**-23),
    "wavfloat": ("WAV", "FLOAT", 0),
    "wavdouble": ("WAV", "DOUBLE", 0),
    "wav8": ("WAV", "PCM_U8", 2**-7),
    "flac": ("FLAC", "PCM_24", 2**-23),
    "aiff": ("AIFF", "PCM_16", 2**-15),
    "au": ("AU", "PCM_16", 2**-15),
    "caf": ("CAF", "PCM_16", 2**-15),
    "w64": ("W64", "PCM_16", 2**-15),
    "rf64": ("RF64", "PCM_16", 2**-15),
    "vorbis": ("OGG", "VORBIS", 0.05),
    "mp3": ("MP3", "MPEG_LAYER_III", 0.05),
}


class Files(dict):
    """Paths by name of a format; whoever asks for one that cannot be written here is skipped."""

    def __missing__(self, name):
        pytest.skip(NO_FFMPEG)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """SAMPLES in every format that can be written here, under misleading names."""
    folder = tmp_path_factory.mktemp("formats")
    made = Files({
        name: write(folder / f"{name}.bin", SAMPLES, RATE, format, subtype)
        for name, (format, subtype, _) in FORMATS.items()
    })  # fmt: skip
    made["opus"] = write(folder / "opus.bin", voice(2.2, 48000), 48000, "OGG", "OPUS")
    if decoding.ffmpeg() is None:
        return made
    made["m4a"] = write_av(folder / "m4a.bin", SAMPLES, "mp4")
    faststart = {"movflags": "faststart"}
    made["m4a_streamable"] = write_av(folder / "m4as.bin", SAMPLES, "mp4", options=faststart)
    made["adts"] = write_av(folder / "adts.bin", SAMPLES, "adts")
    made["mka"] = write_av(folder / "mka.bin", SAMPLES, "matroska")
    return made


def best_lag(decoded, samples, most=4096):
    """Samples by which a decoder is late."""
    n = 1 << 17
    product = np.fft.rfft(decoded[: n // 2], n) * np.conj(np.fft.rfft(samples[: n // 2], n))
    return int(np.argmax(np.fft.irfft(product)[:most]))


@pytest.mark.parametrize("name", FORMATS)
def test_formats_of_libsndfile(files, name):
    decoded, warnings = audio.load(files[name], RATE)
    assert decoded.dtype == np.float32
    assert decoded.shape == SAMPLES.shape
    assert warnings == []
    assert np.abs(decoded - SAMPLES).max() <= FORMATS[name][2]
    info = audio.probe(files[name])
    assert (info.sample_rate, info.channels) == (RATE, 1)
    assert info.duration == pytest.approx(2.2, abs=1e-6)


def test_opus(files):
    decoded, _ = audio.load(files["opus"], 48000)
    known = voice(2.2, 48000)
    assert decoded.shape == known.shape
    assert np.corrcoef(decoded, known)[0, 1] > 0.99
    assert audio.probe(files["opus"]).duration == pytest.approx(2.2, abs=1e-6)


@pytest.mark.parametrize("name", ["m4a", "m4a_streamable", "adts", "mka"])
def test_aac_by_ffmpeg(files, name):
    decoded, warnings = audio.load(files[name], RATE)
    late = best_lag(decoded, SAMPLES)
    assert late <= (0 if "m4a" in name else 1024)  # raw AAC cannot tell its encoder's delay
    decoded = decoded[late:]
    assert np.abs(decoded[: len(SAMPLES)] - SAMPLES[: len(decoded)])[2048:-2048].max() < 0.05
    assert warnings == []
    info = audio.probe(files[name])
    assert (info.sample_rate, info.channels) == (RATE, 1)
    assert info.duration == pytest.approx(2.2, abs=0.05)
    assert len(decoded) / RATE == pytest.approx(2.2, abs=0.05)


@pytest.mark.parametrize(
    "name", ["x.wav", "x.mp3", "x.m4a", "x.raw", "x.txt", "x", "x y\n日本.flac", b"\xff\xe9.wav"]
)
@pytest.mark.parametrize("format", ["wav16", "vorbis", "m4a"])
def test_content_counts_and_not_the_name(files, tmp_path, name, format):
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(files[format].read_bytes())
    np.testing.assert_array_equal(audio.load(path, RATE)[0], audio.load(files[format], RATE)[0])


@pytest.mark.parametrize("name", ["noise.al", "noise.g722", "noise.mp3", "noise.raw", "noise.wav"])
def test_noise_is_not_audio_whatever_its_name(tmp_path, name):
    (tmp_path / name).write_bytes(np.random.default_rng(3).bytes(100_000))
    text = message(tmp_path / name)
    assert f"{name}: is not audio that libsndfile" in text
    assert "; found a file that starts with '" in text


@pytest.mark.parametrize("name", ["m4a", "adts", "mka"])
def test_without_ffmpeg_a_line_says_what_it_needs(files, monkeypatch, name):
    path = files[name]
    monkeypatch.setitem(sys.modules, "av", None)  # what makes "import av" fail
    assert message(path).startswith(
        f"{path}: is not audio that libsndfile can decode, and FFmpeg is not installed; found a "
        "file that starts with '"
    )
    assert message(path).endswith(
        "'; convert it to WAV or FLAC, or pip install 'singerid[ffmpeg]' (adds FFmpeg; its wheels "
        "carry GPL libraries, see docs/dependencies.md)"
    )


@pytest.mark.parametrize("name", [*FORMATS, "opus"])
def test_without_ffmpeg_the_rest_opens(files, monkeypatch, name):
    known = audio.load(files[name], RATE)[0]
    monkeypatch.setitem(sys.modules, "av", None)
    np.testing.assert_array_equal(audio.load(files[name], RATE)[0], known)


# ---------------------------------------------------------------------------- lengths in headers


@pytest.mark.parametrize("order", ["loud first", "quiet first"])
@pytest.mark.parametrize("format", ["mp3", "adts"])
def test_variable_bit_rate_without_a_count_of_frames(tmp_path, order, format):
    quiet = np.zeros(8 * RATE, np.float32)
    parts = [SAMPLES, quiet, SAMPLES] if order == "loud first" else [quiet, SAMPLES, SAMPLES]
    samples, path = np.concatenate(parts), tmp_path / "x"
    if format == "mp3":
        write_av(path, samples, "mp3", "libmp3lame", {"write_xing": "0"}, quality=2)
    else:
        write_av(path, samples, "adts")
    decoded, _ = audio.load(path, RATE)
    assert len(decoded) / RATE == pytest.approx(len(samples) / RATE, abs=0.1)
    assert audio.probe(path).duration == pytest.approx(len(decoded) / RATE, abs=0.01)


def test_mp3_behind_a_tag(files, tmp_path):
    tag = b"ID3\x03\0\0" + bytes([0, 0, 16, 0]) + bytes(2048)
    (tmp_path / "x").write_bytes(tag + files["mp3"].read_bytes())
    np.testing.assert_array_equal(
        audio.load(tmp_path / "x", RATE)[0], audio.load(files["mp3"], RATE)[0]
    )


def test_flac_that_was_streamed_does_not_know_its_length(files, tmp_path):
    data = bytearray(files["flac"].read_bytes())
    data[21] &= 0xF0  # 36 bits of STREAMINFO
    data[22:26] = bytes(4)
    (tmp_path / "x").write_bytes(data)
    assert audio.probe(tmp_path / "x").duration == pytest.approx(2.2, abs=1e-4)
    decoded, _ = audio.load(tmp_path / "x", RATE)
    np.testing.assert_allclose(decoded, SAMPLES, atol=2**-22)


def test_wav_that_was_streamed_does_not_know_its_length(files, tmp_path):
    data = bytearray(files["wav16"].read_bytes())
    data[4:8] = data[40:44] = b"\xff" * 4
    (tmp_path / "x").write_bytes(data)
    np.testing.assert_allclose(audio.load(tmp_path / "x", RATE)[0], SAMPLES, atol=2**-15)


def test_a_header_that_promises_much_takes_no_memory(files, tmp_path):
    """2^40 samples in STREAMINFO would be 4 TiB."""
    data = bytearray(files["flac"].read_bytes())
    data[21] = (data[21] & 0xF0) | 0x0F
    data[22:26] = b"\xff" * 4
    (tmp_path / "x").write_bytes(data)
    assert audio.probe(tmp_path / "x").duration > 1e6
    tracemalloc.start()
    assert "x: breaks off while decoding; found " in message(tmp_path / "x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6  # 256 MiB are set aside, and hardly touched


def test_a_header_that_promises_less_than_there_is(monkeypatch, files):
    monkeypatch.setattr(audio, "_MAX_PROMISE", 1000)
    decoded, _ = audio.load(files["wavfloat"], RATE)
    np.testing.assert_array_equal(decoded, SAMPLES)


# ------------------------------------------------------------------------------------ truncation


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.97])
@pytest.mark.parametrize(
    "name",
    ["wav16", "wav24", "wavfloat", "flac", "aiff", "au", "caf", "w64", "rf64", "vorbis", "opus",
     "m4a", "m4a_streamable", "adts"],
)  # fmt: skip
def test_truncated_files_are_refused(files, tmp_path, name, share):
    data = files[name].read_bytes()
    path = tmp_path / f"cut {name}"
    path.write_bytes(data[: int(share * len(data))])
    text = message(path)
    assert text.startswith((f"{path}: is truncated; f", f"{path}: breaks off while decoding; f"))
    assert text.endswith("copy or export it again")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
def test_truncated_mp3_is_refused_if_more_than_a_quarter_second_is_missing(files, tmp_path, share):
    data = files["mp3"].read_bytes()
    (tmp_path / "x").write_bytes(data[: int(share * len(data))])
    assert "x: is truncated; found " in message(tmp_path / "x")
    assert "expected 2.20 s by its header" in message(tmp_path / "x")


@pytest.mark.parametrize("missing", [1, 20, 200])
@pytest.mark.parametrize("name", ["wav16", "flac", "vorbis", "opus"])
def test_a_few_missing_bytes_are_noticed(files, tmp_path, name, missing):
    (tmp_path / "x").write_bytes(files[name].read_bytes()[:-missing])
    if name == "wav16" and missing == 1:
        audio.load(tmp_path / "x", RATE)  # some writers forget a pad byte
    else:
        message(tmp_path / "x")


def test_a_flac_file_cut_between_two_frames_is_refused(files, monkeypatch):
    """As a decoder that stops early without an error gives it."""
    with decoding.Decoder(files["flac"]) as decoder:
        decoder.check_whole(len(SAMPLES))
        with pytest.raises(AudioError, match=r"is truncated; found 2\.20 s; expected 2\.20 s by"):
            decoder.check_whole(len(SAMPLES) - 10)


@pytest.mark.parametrize("n_bytes", [1, 4, 12, 44, 100])
@pytest.mark.parametrize("name", ["wav16", "flac", "vorbis", "mp3", "m4a", "adts", "aiff", "caf"])
def test_headers_alone_are_refused(files, tmp_path, name, n_bytes):
    path = tmp_path / "x.wav"
    path.write_bytes(files[name].read_bytes()[:n_bytes])
    assert message(path).startswith(f"{path}: ")


# -------------------------------------------------------------------------------- nothing to hear


@pytest.mark.parametrize(("format", "subtype"), [("WAV", None), ("OGG", "VORBIS"), ("AIFF", None)])
@pytest.mark.parametrize("load", [True, False])
def test_files_of_no_samples(tmp_path, format, subtype, load):
    path = tmp_path / "x"
    soundfile.write(path, np.zeros(0, np.float32), RATE, subtype, format=format)
    assert message(path, load) == f"{path}: holds no audio samples; remove or replace the file"


def test_empty_file(tmp_path):
    (tmp_path / "x.wav").touch()
    assert message(tmp_path / "x.wav") == (
        f"{tmp_path}/x.wav: is empty (0 bytes); copy or export it again"
    )


def test_text_named_wav(tmp_path):
    pytest.importorskip("av", reason=NO_FFMPEG)
    (tmp_path / "x.wav").write_text("Dear diary,\nno song today.\n" * 30)
    assert message(tmp_path / "x.wav") == (
        f"{tmp_path}/x.wav: is not audio that libsndfile or FFmpeg can decode; found a file that "
        r"starts with 'Dear diary,\nno s'; convert it to WAV or FLAC, or remove it"
    )


@pytest.mark.parametrize(
    "text",
    ["#EXTM3U\n#EXTINF:9,\n{0}\n", "ffconcat version 1.0\nfile {0}\n", "1\n00:00:00,000 -->"],
)
def test_lists_of_other_files_are_not_followed(files, tmp_path, text):
    (tmp_path / "x.m3u8").write_text(text.format(files["m4a"]))
    assert "is not audio that" in message(tmp_path / "x.m3u8")


def test_pictures_and_films_without_sound(tmp_path):
    av = pytest.importorskip("av", reason=NO_FFMPEG)
    path = tmp_path / "x.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert "x.mp4: is not audio that libsndfile or FFmpeg can decode" in message(path)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(RATE), "is silent; found peak digital zero; expected above -80 dBFS"),
        (np.full(RATE, 1e-5), "is silent; found peak -100 dBFS; expected above -80 dBFS"),
        (np.r_[SAMPLES, np.nan], "holds samples that are not numbers (NaN or infinite); export"),
        (np.r_[SAMPLES, np.inf], "holds samples that are not numbers"),
        (np.r_[-np.inf, SAMPLES], "holds samples that are not numbers"),
        (np.array([[np.inf, -np.inf], [0, 0]]), "holds samples that are not numbers"),
        (np.array([[3e38] * 2, [0, 0]]), "holds samples that are not numbers"),
        (np.array([[np.inf, -np.inf, 0, 0, 0, 0]]), "holds samples that are not numbers"),
        (SAMPLES * 32768, "samples are far beyond full scale; found peak 1.6"),
        (np.array([[0.5, -0.5], [0.25, -0.25]]), "is silent; found peak digital zero"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_samples_that_are_no_sound(tmp_path, samples, words):
    path = write(tmp_path / "x.wav", samples, subtype="FLOAT")
    assert message(path).startswith(f"{path}: {words}")
    assert audio.probe(path).channels == (1 if samples.ndim == 1 else samples.shape[1])


def test_clipping_is_a_warning(tmp_path):
    samples = np.clip(4 * SAMPLES, -1, 1)
    write(tmp_path / "x.wav", samples)
    decoded, warnings = audio.load(tmp_path / "x.wav", RATE)
    share = np.mean(np.abs(decoded) >= 0.999)
    assert share > 0.1
    assert warnings == [f"clipped in {share:.1%} of its samples"]
    few = SAMPLES.copy()
    few[:50] = 1
    assert audio.load(write(tmp_path / "y.wav", few), RATE)[1] == []


def test_overshoot_of_a_lossy_decoder_is_fine(tmp_path):
    write(tmp_path / "x.wav", 3 * SAMPLES, subtype="FLOAT")
    np.testing.assert_array_equal(audio.load(tmp_path / "x.wav", RATE)[0], 3 * SAMPLES)


# ------------------------------------------------------------------------------------- the system


def test_missing_file_and_folder(tmp_path):
    assert message(tmp_path / "no.wav") == (
        f"{tmp_path}/no.wav: cannot be opened; found No such file or directory"
    )
    assert message(tmp_path) == f"{tmp_path}: is a folder or a device, no file"
    assert message(tmp_path / "no.wav", load=False).endswith("No such file or directory")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.wav")
    assert "x.wav: is a folder or a device, no file" in message(tmp_path / "x.wav")


@pytest.mark.parametrize("name", ["a\0b.wav", "a\ud800b.wav", "x" * 300])
def test_names_that_no_file_can_have(tmp_path, name):
    assert ": cannot be opened; found " in message(tmp_path / name)


def test_file_without_permission(tmp_path, monkeypatch, files):
    path = tmp_path / "x.wav"
    path.write_bytes(files["wav16"].read_bytes())

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(path), "open", refuse)
    assert message(path) == f"{path}: cannot be opened; found Permission denied"


@pytest.mark.parametrize("name", ["wav16", "flac", "vorbis", "m4a", "adts", "mp3"])
def test_files_are_closed_on_success_and_on_errors(files, tmp_path, name):
    before = len(os.listdir("/proc/self/fd"))
    data = files[name].read_bytes()
    (tmp_path / "x").write_bytes(data[: len(data) // 2])
    for _ in range(3):
        audio.load(files[name], RATE)
        message(tmp_path / "x")
    assert len(os.listdir("/proc/self/fd")) == before


def test_odd_names_in_messages(tmp_path):
    path = tmp_path / os.fsdecode("ä b\n\x1b[31m".encode() + b"\xff.wav")
    path.touch()
    assert message(path).endswith(
        r"ä b\n\x1b[31m\udcff.wav: is empty (0 bytes); copy or export it again"
    )


# ------------------------------------------------------------------------------ channels and rates


@pytest.mark.parametrize("n_channels", [8, 31])
def test_many_channels_in_aac(tmp_path, n_channels):
    """Of more than 7 planes, PyAV 18 reads what follows them in memory, and dies of it."""
    av = pytest.importorskip("av", reason=NO_FFMPEG)
    if n_channels == 31:
        samples = np.tile(SAMPLES[:, None], n_channels)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "flt", "31 channels")
        frame.sample_rate = RATE
        unpacked = av.AudioResampler("fltp", frame.layout, RATE).resample(frame)[0]
        channels = decoding._channels(unpacked)
        assert channels.shape == (n_channels, len(SAMPLES))
        np.testing.assert_array_equal(channels, samples.T)
        return
    with av.open(str(tmp_path / "x"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE)
        stream.layout, stream.bit_rate = "7.1", 512_000
        packed = np.repeat(SAMPLES, 8)[None]
        frame = av.AudioFrame.from_ndarray(packed, "flt", "7.1")
        frame.sample_rate = RATE
        resampler = av.AudioResampler("fltp", "7.1", RATE, stream.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    assert audio.probe(tmp_path / "x").channels == 8
    decoded, _ = audio.load(tmp_path / "x", RATE, "left")
    decoded = decoded[best_lag(decoded, SAMPLES) :][: len(SAMPLES)]
    assert np.corrcoef(decoded, SAMPLES[: len(decoded)])[0, 1] > 0.98


@pytest.mark.parametrize(("at", "bytes"), [(56, b"\x80\0\0\0"), (40, b"\xff" * 8)])
def test_headers_that_send_the_reader_before_the_start(tmp_path, at, bytes):
    pytest.importorskip("av", reason=NO_FFMPEG)
    data = bytearray(write(tmp_path / "x", SAMPLES, format="W64").read_bytes())
    data[at : at + len(bytes)] = bytes
    (tmp_path / "x").write_bytes(data)
    assert "x: is not audio that libsndfile or FFmpeg can decode" in message(tmp_path / "x")


def test_a_header_of_less_than_no_time(tmp_path):
    write_av(tmp_path / "x", SAMPLES, "asf", "wmav2")
    data = bytearray((tmp_path / "x").read_bytes())
    at = data.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))  # file properties
    data[at + 64 : at + 72] = bytes(8)  # duration, from which the preroll is taken off
    (tmp_path / "x").write_bytes(data)
    with decoding.Decoder(tmp_path / "x") as decoder:
        assert decoder.n_frames == 0
    decoded, _ = audio.load(tmp_path / "x", RATE)
    assert len(decoded) > 2 * RATE


@pytest.mark.parametrize("rate", [1, 999, 1_000_001])
def test_rates_that_no_recording_has(tmp_path, rate):
    write(tmp_path / "x", SAMPLES, rate)
    assert f"x: has a sample rate that nobody sings at; found {rate} Hz" in message(tmp_path / "x")


def test_a_codec_that_nobody_knows(tmp_path):
    pytest.importorskip("av", reason=NO_FFMPEG)
    data = bytearray(write(tmp_path / "x.wav", SAMPLES).read_bytes())
    data[20:22] = b"\x77\x77"  # the format tag
    (tmp_path / "x.wav").write_bytes(data)
    assert "x.wav: is not audio that libsndfile or FFmpeg can decode" in message(tmp_path / "x.wav")


@pytest.mark.parametrize("n_channels", [1, 2, 6])
@pytest.mark.parametrize("channel", ["mix", "left", "right"])
def test_mono(tmp_path, n_channels, channel):
    samples = rng.uniform(-0.5, 0.5, (9000, n_channels)).astype(np.float32)
    path = write(tmp_path / "x.wav", samples, subtype="FLOAT")
    assert audio.probe(path).channels == n_channels
    if (n_channels, channel) == (1, "right"):
        with pytest.raises(AudioError, match=r"x\.wav: has no right channel; found 1 channel; exp"):
            audio.load(path, RATE, channel)
        return
    known = {"mix": samples.mean(axis=1), "left": samples[:, 0], "right": samples[:, -1]}
    if n_channels == 6 and channel == "right":
        known["right"] = samples[:, 1]
    decoded, _ = audio.load(path, RATE, channel)
    np.testing.assert_allclose(decoded, known[channel], rtol=0, atol=1e-7)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000, 192000])
@pytest.mark.parametrize("wanted", [16000, 22050])
def test_resampling_keeps_pitch_level_and_length(tmp_path, rate, wanted):
    n, frequency = int(1.7 * rate) + 13, 1234.5
    tone = 0.5 * np.sin(2 * np.pi * frequency * np.arange(n) / rate)
    path = write(tmp_path / "x.wav", tone, rate, subtype="FLOAT")
    decoded, warnings = audio.load(path, wanted)
    assert abs(len(decoded) - n * wanted / rate) <= 1
    middle = decoded[2000:-2000].astype(np.float64)
    t = np.arange(2000, 2000 + len(middle)) / wanted
    # Least squares on a sine and a cosine: amplitude, and in the residual the frequency.
    basis = np.stack([np.sin(2 * np.pi * frequency * t), np.cos(2 * np.pi * frequency * t)], axis=1)
    weights, residual = np.linalg.lstsq(basis, middle, rcond=None)[:2]
    assert 20 * np.log10(np.hypot(*weights) / 0.5) == pytest.approx(0, abs=0.1)
    assert np.sqrt(residual[0] / len(middle)) < 1e-3
    assert weights[0] > 0.499  # in phase: not shifted in time
    low = f"sampled at {rate} Hz, below {wanted} Hz: nothing above {rate // 2} Hz is there"
    assert [w.startswith(low) for w in warnings] == ([True] if rate < wanted else [])


def test_resampling_removes_what_would_fold_back(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 11000 * np.arange(48000) / 48000)
    path = write(tmp_path / "x.wav", np.r_[tone, 0.1 * SAMPLES], 48000, subtype="FLOAT")
    decoded, _ = audio.load(path, 16000)
    assert np.abs(decoded[1000:15000]).max() < 1e-3


@pytest.mark.parametrize("rate", [8000, 48000, 44100])
def test_blocks_give_what_one_shot_gives(tmp_path, rate):
    samples = rng.uniform(-0.5, 0.5, 3 * 65536 + 77).astype(np.float32)
    path = write(tmp_path / "x.wav", samples, rate, subtype="FLOAT")
    decoded, _ = audio.load(path, 16000)
    known = soxr.resample(samples, rate, 16000)
    assert abs(len(decoded) - len(known)) <= 1
    n = min(len(decoded), len(known))
    np.testing.assert_allclose(decoded[:n], known[:n], atol=2e-5)


def test_room_at_both_ends(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", SAMPLES, RATE, "FLOAT")
    for promised in (1 << 26, 10):  # so few that the array has to grow
        monkeypatch.setattr(audio, "_MAX_PROMISE", promised)
        found, _ = audio.load(tmp_path / "a.wav", RATE, room=7)
        assert len(found) == len(SAMPLES) + 14
        np.testing.assert_array_equal(found[7:-7], SAMPLES)


# ------------------------------------------------------------------------------------------ arrays


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16, np.int32])
def test_conform_arrays(dtype):
    scale = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    given = (SAMPLES * scale).astype(dtype)
    kept = given.copy()
    result = audio.conform(given, RATE, RATE)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, SAMPLES, atol=1e-3 if dtype == np.float16 else 2**-14)
    result[:] = 0
    np.testing.assert_array_equal(given, kept)  # not changed in place


def test_conform_without_a_copy():
    samples = SAMPLES.astype(np.float32)
    assert audio.conform(samples, RATE, RATE, copy=False) is samples
    assert audio.conform(SAMPLES.astype(np.float64), RATE, RATE, copy=False).dtype == np.float32


def test_conform_to_another_rate():
    known = soxr.resample(SAMPLES, RATE, 16000)
    np.testing.assert_array_equal(audio.conform(SAMPLES, RATE, 16000), known)
    assert len(audio.conform([0.1, -0.1], 8000, 16000)) in (3, 4, 5)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros((2, 100)), r"samples are not mono audio; found float64 \(2, 100\); expected flo"),
        (np.float64(3), r"samples are not mono audio; found float64 \(\)"),
        (np.ones(9, np.uint8), "samples are not mono audio; found uint8"),
        (np.array(["a"]), "samples are not mono audio; found <U1"),
        (np.ones(9, complex), "samples are not mono audio; found complex128"),
        (np.zeros(0), "samples: holds no audio samples"),
        (np.zeros(99), "samples: is silent; found peak digital zero"),
        (np.array([0.5, np.nan]), "samples: holds samples that are not numbers"),
        (np.array([0.5, 1e300]), "samples: holds samples that are not numbers"),
        (np.array([0.5, -300.0]), "samples: samples are far beyond full scale; found peak 300"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_conform_refuses(samples, words):
    with pytest.raises(AudioError, match=words):
        audio.conform(samples, RATE, 16000)


@pytest.mark.real
def test_every_real_recording_opens(shared_audio):
    paths = sorted(p for p in shared_audio.rglob("*") if p.suffix in (".ogg", ".m4a"))
    assert len(paths) > 100
    for path in paths:
        assert audio.probe(path).duration > 0.1
    for path in paths[:: len(paths) // 20]:
        samples, _ = audio.load(path, 16000)
        assert len(samples) / 16000 == pytest.approx(audio.probe(path).duration, abs=0.01)
