"""What is embedded while it comes equals what is embedded when it is there."""

import dataclasses

import numpy as np
import pytest
import soundfile

from singerid import audio, streaming
from singerid.errors import AudioError, ConfigError
from singerid.runtime import OnnxSingerEncoder
from singerid.sections import EmbedSettings
from singerid.spec import AudioSettings, MelSettings
from singerid.streaming import embed_stream

RATE, LENGTH = 16_000, 60


@pytest.fixture(scope="module")
def encoder(small_encoder):
    return OnnxSingerEncoder.load(small_encoder / "e.onnx")


@pytest.fixture(scope="module")
def song(recordings):
    """Twelve seconds of singing."""
    parts = [soundfile.read(r.path, dtype="float32")[0] for r in recordings[:2]]
    return np.concatenate(parts)[: 12 * RATE]


def blocks(samples, size):
    return (samples[start : start + size] for start in range(0, len(samples), size))


def changed(encoder, **sections):
    """An encoder with another front end; its network is as it was."""
    other = OnnxSingerEncoder(encoder.model)
    spec = encoder.header.spec.model_copy(update=sections)
    other.header = encoder.header.model_copy(update={"spec": spec})
    other.front_end = dataclasses.replace(encoder.front_end, spec=spec)
    return other


@pytest.mark.parametrize("seconds", [0.5, 0.93, 0.976, 1.9, 4.0001, 12])
@pytest.mark.parametrize("size", [160, 1_000_000])
def test_the_last_mean_is_the_embedding_of_the_whole(encoder, song, seconds, size):
    samples = song[: int(seconds * RATE)]
    found = list(embed_stream(encoder, blocks(samples, size), RATE))
    np.testing.assert_allclose(found[-1].mean, encoder.embed(samples, RATE), atol=1e-5)
    frames = encoder.front_end.frames(samples)
    expected = OnnxSingerEncoder(encoder.model, settings=EmbedSettings(min_voice=0))
    vectors = expected.embed_partials(frames)
    np.testing.assert_allclose([p.vector for p in found], vectors, atol=1e-5)
    starts = expected.places(frames) * 0.016
    np.testing.assert_allclose([p.start for p in found], starts, atol=1e-9)
    length = min(len(frames), LENGTH) * 0.016
    np.testing.assert_allclose([p.end - p.start for p in found], length, atol=1e-9)


@pytest.mark.parametrize("rate", [8000, 44_100])
def test_other_rates_integers_and_overlap(encoder, song, rate):
    samples = (audio.conform(song, RATE, rate)[: 5 * rate] * 32767).astype(np.int16)
    overlapping = OnnxSingerEncoder(encoder.model, settings=EmbedSettings(overlap=0.75))
    found = list(embed_stream(overlapping, blocks(samples, 777), rate))
    np.testing.assert_allclose(found[-1].mean, overlapping.embed(samples, rate), atol=1e-5)
    assert len(found) == len(overlapping.front_end.frames(song[: 5 * RATE])) // 15 - 2


@pytest.mark.parametrize(
    "mel",
    [MelSettings(padding="zero"), MelSettings(highpass=0, dither=0.01), MelSettings(dither=0)],
)
def test_other_front_ends(encoder, song, mel):
    other = changed(encoder, mel=mel)
    found = list(embed_stream(other, blocks(song[: 5 * RATE], 4096), RATE))
    np.testing.assert_allclose(found[-1].mean, other.embed(song[: 5 * RATE], RATE), atol=1e-5)


def test_partials_come_while_the_stream_goes_on(encoder, song):
    """At most 1.1 s after their end: reach of the high-pass, half a second, and a bit."""
    heard = 0

    def listening():
        nonlocal heard
        for block in blocks(song, 1600):
            heard += len(block)
            yield block

    stream, n = embed_stream(encoder, listening(), RATE), 0
    for partial in stream:
        if heard == len(song):
            break
        assert partial.end <= heard / RATE <= partial.end + 1.1
        n += 1
    assert n >= 10


def test_noise_is_left_out_of_the_mean(encoder, song):
    noise = 0.03 * np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)
    samples = np.concatenate([noise, song[: 4 * RATE], noise])
    found = list(embed_stream(encoder, blocks(samples, 5000), RATE))
    np.testing.assert_allclose(found[-1].mean, encoder.embed(samples, RATE), atol=1e-5)
    assert found[0].mean is None
    assert found[0].voice_share < 0.05 < found[4].voice_share
    with pytest.raises(AudioError, match=r"^holds no voice; found at most "):
        list(embed_stream(encoder, blocks(noise, 5000), RATE))


def test_memory_does_not_grow(encoder, song, monkeypatch):
    """Old partials are settled, samples forgotten; here the mean stays what it is."""
    made = []
    stream = streaming._Stream

    class Watched(stream):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(streaming, "_Stream", Watched)
    monkeypatch.setattr(streaming, "_OPEN_PARTIALS", 3)
    samples = np.tile(song, 3)
    for partial in embed_stream(encoder, blocks(samples, 16_000), RATE):
        mean = partial.mean
        assert len(made[0]._heard._vectors) == len(made[0]._heard._places) <= 6
        assert len(made[0]._heard._power) <= 9 * 50
        assert len(made[0]._buffer) <= 5 * RATE
    np.testing.assert_allclose(mean, encoder.embed(samples, RATE), atol=1e-5)


def test_what_is_no_sound_is_refused(encoder, song):
    def stream(*parts, rate=RATE):
        return list(embed_stream(encoder, parts, rate))

    with pytest.raises(AudioError, match="holds no audio samples"):
        stream()
    with pytest.raises(AudioError, match="holds no audio samples"):
        stream(song[:0], song[:0])
    with pytest.raises(AudioError, match="is silent"):
        stream(np.zeros(RATE, np.float32), np.zeros(RATE, np.float32))
    with pytest.raises(AudioError, match=r"is too short; found 0.30 s; expected at least 0.50 s"):
        stream(song[:4000], song[4000:4800])
    with pytest.raises(AudioError, match="are not mono audio"):
        stream(song[:4000], song[:4000].reshape(-1, 2))


def test_what_is_wrong_is_said_at_once(encoder, song):
    for bad, said in ((np.nan, "not numbers"), (1e6, "far beyond full scale")):

        def endless(bad=bad):
            yield song[:RATE]
            yield np.full(100, bad, np.float32)
            pytest.fail("went on")

        with pytest.raises(AudioError, match=said):
            list(embed_stream(encoder, endless(), RATE))


def test_what_only_a_whole_recording_tells_is_refused(encoder):
    for settings, said in (({"crops": 3}, "crops"), ({"max_seconds": 2.0}, "max_seconds")):
        asking = OnnxSingerEncoder(encoder.model, settings=EmbedSettings(**settings))
        with pytest.raises(ConfigError, match=rf"^embed.{said}: needs the whole .* leave it at 0$"):
            next(embed_stream(asking, [], RATE))
    asking = changed(encoder, audio=AudioSettings(silence_db=-40))
    with pytest.raises(ConfigError, match=r"^audio.silence_db: .* embed the whole recording$"):
        next(embed_stream(asking, [], RATE))
