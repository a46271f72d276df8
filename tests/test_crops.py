"""Crops against the same frames of the whole file's features."""

import pickle

import numpy as np
import pytest
import soundfile
import soxr

from singerid import audio
from singerid.crops import CropReader, context_samples, crop_features
from singerid.errors import AudioError
from singerid.features import extract_file
from singerid.records import Recording
from singerid.spec import FeatureSpec, MelSettings

SPEC = FeatureSpec()
EXACT = FeatureSpec(mel=MelSettings(dither=0))  # the dither of a crop is another
LENGTH = 64

# What the context leaves is a millionth of the peak. A level lies 0.01 higher per decibel, so
# 1e-3 (0.1 dB) is passed only where a level is 80 dB below the peak; the floor is at -84.
TOLERANCE = 1e-3


def voice(seconds, rate, channels=1, seed=0):
    """Gliding harmonics over pink-ish noise and an offset: something in every band and below."""
    t = np.arange(round(seconds * rate)) / rate
    rng = np.random.default_rng(seed)
    columns = []
    for channel in range(channels):
        phase = 2 * np.pi * (150 * t + 20 * t**2 + 40 * channel * t)
        tone = sum(np.sin(k * phase) / k for k in range(1, 12))
        noise = rng.standard_normal(len(t))
        columns.append(0.1 * tone + 0.01 * noise + 0.05 * np.sin(2 * np.pi * 7 * t) + 0.02)
    return np.stack(columns, axis=1).astype(np.float32)


def write(path, samples, rate, format, subtype):
    with soundfile.SoundFile(str(path), "w", rate, samples.shape[1], subtype, format=format) as f:
        for start in range(0, len(samples), 8192):
            f.write(samples[start : start + 8192])
    return path


def write_aac(path, samples, rate):
    av = pytest.importorskip("av", reason="needs the extra ffmpeg")
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples.T.copy(), format="fltp", layout="mono")
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        fifo.write(frame)
        for position, part in enumerate(fifo.read_many(1024, partial=True)):
            part.pts = 1024 * position
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def recording(path, rate, channels=1, channel="mix"):
    duration = audio.probe(path).duration
    return Recording("x", "s", str(path), duration, rate, channels, channel)


def error_of_crops(of, spec=EXACT, reader=None):
    """Largest difference of crops, the first and the last among them, to the whole features."""
    whole, _ = extract_file(of.path, of.channel, spec)
    reader = reader or CropReader(spec.audio.sample_rate)
    last = len(whole) - LENGTH
    with reader.open(of) as sound:
        assert 1 + sound.n_samples // spec.mel.hop_length == len(whole)
        errors = []
        for start in (0, 1, 7, 40, 100, last // 2, last - 1, last):
            frames = crop_features(sound, start, LENGTH, spec)
            assert frames.shape == (LENGTH, spec.n_dims)
            assert frames.dtype == np.float32
            errors.append(float(np.abs(frames - whole[start : start + LENGTH]).max()))
    return max(errors)


FORMATS = [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]


@pytest.mark.parametrize(("format", "subtype"), FORMATS)
@pytest.mark.parametrize("rate", [16000, 44100, 48000, 8000])
def test_frames_of_crops_are_those_of_the_whole_file(tmp_path, format, subtype, rate):
    path = write(tmp_path / "a", voice(8, rate), rate, format, subtype)
    reader = CropReader(16000)
    assert error_of_crops(recording(path, rate), reader=reader) < TOLERANCE
    assert not reader._decoded  # all were read from the middle


def test_dither_moves_no_frame_by_more_than_a_tenth_of_a_decibel_where_there_is_sound(tmp_path):
    path = write(tmp_path / "a.wav", voice(8, 16000), 16000, "WAV", "FLOAT")
    assert error_of_crops(recording(path, 16000), SPEC) < TOLERANCE


def test_digital_silence_is_the_floor_in_crops_too(tmp_path):
    samples = voice(8, 44100)
    samples[2 * 44100 : 6 * 44100] = 0
    path = write(tmp_path / "a.wav", samples, 44100, "WAV", "FLOAT")
    of = recording(path, 44100)
    with CropReader(16000).open(of) as sound:
        assert not crop_features(sound, 3 * 16000 // 256, 64, SPEC).any()
    assert error_of_crops(of, SPEC) < 0.01  # the tail of the high-pass, near the floor


@pytest.mark.parametrize("rate", [44101, 44056, 11025, 96000])
def test_odd_rates_keep_the_grid(tmp_path, rate):
    path = write(tmp_path / "a.wav", voice(6, rate), rate, "WAV", "FLOAT")
    assert error_of_crops(recording(path, rate)) < TOLERANCE


@pytest.mark.parametrize("rate", [16000, 44100, 22050])
def test_samples_of_any_part_are_those_of_the_whole(tmp_path, rate):
    """Against soxr on the whole file, to its float32 rounding."""
    samples = voice(5, rate)
    path = write(tmp_path / "a.wav", samples, rate, "WAV", "FLOAT")
    whole = soxr.resample(samples[:, 0], rate, 16000) if rate != 16000 else samples[:, 0]
    rng = np.random.default_rng(0)
    with CropReader(16000).open(recording(path, rate)) as sound:
        assert sound.n_samples == len(whole)
        spans = [(0, 1), (0, len(whole)), (len(whole) - 1, len(whole))]
        spans += [sorted(rng.integers(0, len(whole), 2)) for _ in range(30)]
        for start, stop in spans:
            part = sound.read(int(start), int(stop))
            assert len(part) == stop - start
            np.testing.assert_allclose(part, whole[start:stop], atol=2e-6)


def test_lengths_round_as_soxr_rounds(tmp_path):
    for rate in (44100, 48000, 96000, 11025, 8000):
        for n in range(20001, 20013):
            samples = np.full((n, 1), 0.1, np.float32)
            path = write(tmp_path / "a.wav", samples, rate, "WAV", "PCM_16")
            whole, _ = audio.load(path, 16000)
            with CropReader(16000).open(recording(path, rate)) as sound:
                assert sound.n_samples == len(whole)


@pytest.mark.parametrize("channel", ["left", "right", "mix"])
def test_channels(tmp_path, channel):
    samples = voice(6, 44100, channels=2)
    path = write(tmp_path / "a.flac", samples, 44100, "FLAC", "PCM_24")
    of = recording(path, 44100, 2, channel)
    assert error_of_crops(of) < TOLERANCE
    mono = {"left": samples[:, 0], "right": samples[:, 1], "mix": samples.mean(axis=1)}[channel]
    with CropReader(44100).open(of) as sound:
        np.testing.assert_allclose(sound.read(5000, 9000), mono[5000:9000], atol=1e-6)


@pytest.mark.parametrize(
    "mel",
    [
        MelSettings(dither=0, highpass=0),
        MelSettings(dither=0, highpass=80, n_fft=2048, hop_length=512),
        MelSettings(dither=0, hop_length=100, n_fft=400),
    ],
)
def test_other_front_ends(tmp_path, mel):
    path = write(tmp_path / "a.wav", voice(8, 44100), 44100, "WAV", "FLOAT")
    assert error_of_crops(recording(path, 44100), FeatureSpec(mel=mel)) < TOLERANCE


@pytest.mark.parametrize("rate", [16000, 22050])  # a hop of 80 and of 110.25 samples
def test_world_and_pitch_come_close(tmp_path, rate):
    """Trackers look around freely: most frames agree, some at the ends of notes do not."""
    pytest.importorskip("pyworld")
    path = write(tmp_path / "a.wav", voice(6, 16000), 16000, "WAV", "FLOAT")
    for spec in (
        FeatureSpec(audio={"sample_rate": rate}, features={"stream": "world"}),
        FeatureSpec(audio={"sample_rate": rate}, pitch={"condition": True}),
    ):
        whole, _ = extract_file(path, "mix", spec)
        with CropReader(rate).open(recording(path, 16000)) as sound:
            frames = crop_features(sound, 101, LENGTH, spec)
        assert frames.shape == (LENGTH, spec.n_dims)
        error = np.abs(frames - whole[101 : 101 + LENGTH])
        other = np.abs(frames - whole[106 : 106 + LENGTH])
        first = next(iter(spec.columns.values()))
        assert error[:, first].mean() < 0.2 * other[:, first].mean()
        assert np.median(error[:, spec.columns["midi"]]) < 0.05  # semitones


def test_without_context_the_frames_would_differ(tmp_path):
    """The context is needed: half of the high-pass's memory moves frames far more."""
    assert context_samples(FeatureSpec(mel=MelSettings(highpass=0))) == 512
    assert 0.2 * 16000 < context_samples(SPEC) < 0.3 * 16000
    path = write(tmp_path / "a.wav", voice(8, 16000), 16000, "WAV", "FLOAT")
    of = recording(path, 16000)
    whole, _ = extract_file(path, "mix", EXACT)
    with CropReader(16000).open(of) as sound:
        samples = sound.read(100 * 256, 164 * 256)

        class Alone:
            n_samples = len(samples)

            def read(self, start, stop):
                return samples[start:stop]

        frames = crop_features(Alone(), 0, LENGTH, EXACT)
    assert np.abs(frames - whole[100 : 100 + LENGTH]).max() > 20 * TOLERANCE


def test_a_change_sees_the_samples_and_reaches_the_frames(tmp_path):
    path = write(tmp_path / "a.wav", voice(6, 16000), 16000, "WAV", "FLOAT")
    with CropReader(16000).open(recording(path, 16000)) as sound:
        plain = crop_features(sound, 100, LENGTH, EXACT)
        half = crop_features(sound, 100, LENGTH, EXACT, lambda samples: samples / 2)
    loud = (plain > 0.1) & (plain < 1)
    np.testing.assert_allclose((plain - half)[loud], 0.20 * np.log10(2), atol=1e-4)  # 6 dB


# what cannot be read from the middle


def test_aac_is_decoded_once_and_kept(tmp_path, monkeypatch):
    path = write_aac(tmp_path / "a.m4a", voice(8, 44100), 44100)
    of, reader = recording(path, 44100), CropReader(16000)
    # 16 bits: noise 98 dB below the peak, 14 dB below the floor, so up to 2 dB beside it
    assert error_of_crops(of, reader=reader) < 0.02
    whole, _ = extract_file(path, "mix", EXACT)
    monkeypatch.setattr(audio, "load", lambda *args: pytest.fail("decoded again"))
    with reader.open(of) as sound:
        frames = crop_features(sound, 50, LENGTH, EXACT)
    np.testing.assert_allclose(frames, whole[50 : 50 + LENGTH], atol=0.02)


def test_kept_files_are_bounded_and_the_oldest_goes(tmp_path):
    recordings = []
    for number in range(4):
        path = write_aac(tmp_path / f"{number}.m4a", voice(2, 16000, seed=number), 16000)
        recordings.append(recording(path, 16000))
    reader = CropReader(16000, cache_bytes=2 * 2 * 33000)  # two of them
    for index, kept in [(0, [0]), (1, [0, 1]), (0, [1, 0]), (2, [0, 2]), (3, [2, 3])]:
        with reader.open(recordings[index]) as sound:
            assert sound.n_samples == pytest.approx(32000, abs=3000)
        assert [key.split(":")[1] for key in reader._decoded] == [recordings[i].path for i in kept]
    small = CropReader(16000, cache_bytes=1)
    with small.open(recordings[0]) as sound:
        assert len(sound.read(100, 200)) == 100
    assert len(pickle.dumps(reader)) < 1000


# what goes wrong


def test_missing_file(tmp_path):
    of = Recording("x", "s", str(tmp_path / "gone.wav"), 3.0, 16000)
    with (
        pytest.raises(AudioError, match=r"gone\.wav: cannot be opened; found No such file"),
        CropReader(16000).open(of),
    ):
        pass


def test_no_audio(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"not at all" * 100)
    of = Recording("x", "s", str(tmp_path / "a.wav"), 3.0, 16000)
    with (
        pytest.raises(AudioError, match=r"a\.wav: is not audio that libsndfile.* can decode"),
        CropReader(16000).open(of),
    ):
        pass


def test_damaged_in_the_middle(tmp_path):
    path = write(tmp_path / "a.flac", voice(8, 16000), 16000, "FLAC", "PCM_16")
    data = bytearray(path.read_bytes())
    data[len(data) // 3 :] = b"\xff\xf8" * ((len(data) - len(data) // 3) // 2)
    path.write_bytes(data)
    of = Recording("x", "s", str(path), 8.0, 16000)
    with (
        CropReader(16000).open(of) as sound,
        pytest.raises(AudioError, match=r"a\.flac: (breaks off while decoding|is truncated); "),
    ):
        crop_features(sound, 300, LENGTH, SPEC)


def test_not_a_number(tmp_path):
    samples = voice(4, 16000)
    samples[40000] = np.nan
    path = write(tmp_path / "a.wav", samples, 16000, "WAV", "FLOAT")
    with CropReader(16000).open(recording(path, 16000)) as sound:
        crop_features(sound, 0, 32, SPEC)
        with pytest.raises(AudioError, match=r"a\.wav: holds samples that are not numbers .*NaN"):
            crop_features(sound, 130, 32, SPEC)


def test_no_right_channel(tmp_path):
    path = write(tmp_path / "a.wav", voice(4, 16000), 16000, "WAV", "PCM_16")
    with (
        CropReader(16000).open(recording(path, 16000, channel="right")) as sound,
        pytest.raises(AudioError, match=r"a\.wav: has no right channel; found 1 channel"),
    ):
        sound.read(0, 100)


@pytest.mark.real
def test_real_singing(shared_audio):
    """Vorbis at 22.05 kHz: exact. Opus: its decoder needs a while after a start in the middle."""
    song = next((shared_audio / "damp_examples" / "train").rglob("*.m4a"))
    assert error_of_crops(recording(song, 22050)) < TOLERANCE
    opus = sorted((shared_audio / "mir1k").rglob("*.ogg"))[0]
    whole, _ = extract_file(opus, "mix", EXACT)
    with CropReader(16000).open(recording(opus, 16000)) as sound:
        crop = crop_features(sound, 100, LENGTH, EXACT)
    assert np.abs(crop - whole[100 : 100 + LENGTH]).mean() < TOLERANCE
