"""What all embedders share: batches of partials, failures named, warnings passed on."""

import dataclasses

import numpy as np
import pytest

from singerid.embedder import PartialEmbedder, gather, passed
from singerid.errors import AudioError, BatchError, SingeridError
from singerid.frames import tile_starts
from singerid.front_ends import WaveformFrontEnd
from singerid.sections import EmbedSettings
from singerid.spec import FeatureSpec

LENGTH = 4000


class Moments(PartialEmbedder):
    """Of samples: mean, mean square, mean cube; remembers its batches, refuses short input."""

    def __init__(self, length=LENGTH, least=0, **settings):
        front_end = WaveformFrontEnd(FeatureSpec())
        super().__init__(front_end, length, "moments", EmbedSettings(**settings))
        self.least, self.shapes = least, []

    def encode(self, batch):
        self.shapes.append(batch.shape)
        if batch.shape[1] < self.least:
            raise SingeridError("too short for it", found=batch.shape[1], expected=self.least)
        return np.stack([np.ones(len(batch)), *(100 * (batch**p).mean(axis=1) for p in (2, 3))],
                        axis=1).astype(np.float32)  # fmt: skip


def noise(n, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(n).astype(np.float32)


def by_hand(samples, hop=LENGTH):
    starts = tile_starts(len(samples), LENGTH, hop)
    rows = [Moments().encode(samples[None, s : s + LENGTH])[0] for s in starts]
    mean = np.mean(rows, axis=0)
    return mean / np.linalg.norm(mean), len(starts)


@pytest.fixture
def pairs(recordings):
    lengths = [9000, 1000, 4000, 20_000, 4001]
    return [(dataclasses.replace(recordings[0], id=str(n), path=f"{n}.wav"), noise(n, n))
            for n in lengths]  # fmt: skip


@pytest.mark.parametrize("batch", [1, 3, 1000])
@pytest.mark.parametrize("overlap", [0.0, 0.75])
def test_recordings_share_batches(pairs, batch, overlap):
    encoder = Moments(batch_partials=batch, overlap=overlap)
    found, failures = gather(encoder.embed_many(iter(pairs)), "e")
    assert failures == []
    for row, (recording, samples) in enumerate(pairs):
        expected, n = by_hand(samples, round(LENGTH * (1 - overlap)))
        assert found.ids[row] == recording.id
        assert found.n_partials[row] == n
        np.testing.assert_allclose(found.vectors[row], expected, atol=1e-6)
    assert {shape for shape in encoder.shapes if shape[1] != LENGTH} == {(1, 1000)}
    assert max(shape[0] for shape in encoder.shapes) <= batch
    if batch == 1000:
        assert len(encoder.shapes) == 2  # all whole partials at once, the short one alone


def test_whole_recordings_one_at_a_time(pairs):
    encoder = Moments(None)
    found, _ = gather(encoder.embed_many(iter(pairs)), "e")
    assert encoder.shapes == [(1, len(samples)) for _, samples in pairs]
    assert list(found.n_partials) == [1] * len(pairs)


def test_whole_recordings_are_not_held(pairs):
    """Each is encoded before the next is read."""
    encoder, read = Moments(None), []

    def reading():
        for pair in pairs:
            read.append(pair)
            yield pair

    for number, _ in enumerate(encoder.embed_many(reading()), 1):
        assert len(read) == number


def test_places_of_crops_depend_on_seed_and_recording_alone():
    samples = noise(50_000)
    a, b, c = (Moments(crops=5, seed=seed).places(samples) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    assert len(a) == 5
    assert (Moments(crops=5, seed=1).places(noise(50_000, 9)) != a).any()
    assert list(Moments(crops=5).places(samples[:LENGTH])) == [0]


def test_network_that_refuses_one_recording(pairs):
    encoder = Moments(least=2000)
    seconds = []
    found, failures = gather(encoder.embed_many(iter(pairs)), "e", seconds.append)
    assert found.ids == ["9000", "4000", "20000", "4001"]
    assert list(map(str, failures)) == ["1000.wav: too short for it; found 1000; expected 2000"]
    assert len(seconds) == 5
    with pytest.raises(SingeridError, match=r"^too short for it; found 1000; expected 2000$"):
        encoder.embed_partials(noise(1000))


def test_outcomes_are_passed_on(recordings):
    lines = []
    error = AudioError("is broken")
    outcomes = [(recordings[0], (noise(5), ["loud", "odd"])), (recordings[1], error)]
    found = list(passed(outcomes, lines.append))
    assert lines == [f"{recordings[0].path}: loud", f"{recordings[0].path}: odd"]
    np.testing.assert_array_equal(found[0][1], noise(5))
    assert found[1] == (recordings[1], error)


def test_failures_are_gathered(recordings):
    good, opposed = np.float32([[1, 0], [0, 1]]), np.float32([[1, 0], [-1, 0]])
    error = AudioError("is broken", where="a.wav")
    items = [(recordings[0], error), (recordings[1], opposed), (recordings[2], good)]
    found, failures = gather(items, "e")
    assert found.ids == [recordings[2].id]
    np.testing.assert_allclose(found.vectors, [[0.5**0.5, 0.5**0.5]], atol=1e-7)
    assert failures[0] is error
    assert str(failures[1]).startswith(f"{recordings[1].path}: an embedding has no direction")
    with pytest.raises(BatchError, match=r"^all 2 recordings failed, nothing is saved$") as caught:
        gather(items[:2], "e")
    assert len(caught.value.failures) == 2
    with pytest.raises(SingeridError, match=r"^there is nothing to embed$"):
        gather([], "e")


def test_only_the_middle_of_each_recording(pairs):
    encoder = Moments(max_seconds=0.5)  # 8000 samples
    found, failures = gather(encoder.embed_many(iter(pairs)), "e")
    assert failures == []
    for row, (recording, samples) in enumerate(pairs):
        start = max(0, (len(samples) - 8000) // 2)
        expected, n = by_hand(samples[start : start + 8000])
        np.testing.assert_allclose(found.vectors[row], expected, atol=1e-6)
        assert found.n_partials[row] == n
        assert found.seconds[row] == (0.5 if len(samples) > 8000 else recording.duration)


def test_partials_are_copied_batch_by_batch():
    """Of an hour, only what is encoded at once is in memory twice."""
    encoder, seen = Moments(batch_partials=4, overlap=0.9), []
    original = encoder.front_end.encoder_input

    class Watching(WaveformFrontEnd):
        def encoder_input(self, partial):
            seen.append(len(encoder.shapes))
            return original(partial)

    encoder.front_end = Watching(FeatureSpec())
    encoder.embed_partials(noise(20_000))
    assert len(seen) == 41
    assert seen == [i // 4 for i in range(41)]  # four are read, then encoded


def test_encoders_that_refuse_a_recording_by_its_places(pairs):
    class Picky(Moments):
        def places(self, frames):
            if len(frames) == 4000:
                raise AudioError("holds no voice", found="hum")
            return super().places(frames)[:1]

    found, failures = gather(Picky().embed_many(iter(pairs)), "e")
    assert found.ids == ["9000", "1000", "20000", "4001"]
    assert list(found.n_partials) == [1] * 4
    assert list(map(str, failures)) == ["4000.wav: holds no voice; found hum"]
    with pytest.raises(AudioError, match=r"^holds no voice; found hum$"):
        Picky().embed_partials(noise(4000))
