"""Blocks of recordings, embedded elsewhere: the same bits as here, and the same errors."""

import pickle
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor

import numpy as np
import pytest

from singerid import runtime
from singerid.blocks import Block, embed_in_blocks
from singerid.embedder import BLOCK
from singerid.errors import AudioError, BatchError, SingeridError
from singerid.pretrained import path_of
from singerid.records import Recording
from singerid.runtime import OnnxSingerEncoder
from singerid.sections import EmbedSettings
from test_embedder import LENGTH, Moments, noise

RATE = 16000


class Reader:
    """Noise instead of files; some recordings cannot be read, one crashes its decoder.

    Attributes:
        deadly: id of the recording that ends a worker, "" for none.
    """

    step_seconds = 1 / RATE
    deadly = ""

    def read(self, path, channel):
        if path.endswith("5.wav"):
            raise AudioError("is no audio", where=path)
        if path == self.deadly:
            raise BrokenExecutor("killed")
        return noise(LENGTH + 900 * int(path.split(".")[0]) % 7000, int(path.split(".")[0])), []

    def read_all(self, recordings, n_processes):
        for recording in recordings:
            try:
                frames, _ = self.read(recording.path, recording.channel)
                yield recording, (frames, [f"{recording.id} is odd"] * (recording.id == "r3"))
            except SingeridError as error:
                yield recording, error

    def encoder_input(self, partial):
        return partial


class Network(Moments):
    """One whose last bits depend on how many partials are in a batch, as of any."""

    can_travel = True

    def __init__(self):
        super().__init__(batch_partials=48)
        self.front_end = Reader()

    def encode(self, batch):
        return super().encode(batch) + np.float32(1e-5) * np.float32(len(batch) % 7)


class Deadly(Executor):
    """Workers in this process, which die where the reader says so."""

    def __init__(self, n):
        pass

    def submit(self, job, *args):
        future = Future()
        try:
            future.set_result(job(*args))
        except BrokenExecutor as error:
            future.set_exception(error)
        return future


def many(n):
    return [Recording(f"r{i}", f"s{i % 3}", f"{i}.wav", 1.0 + i, RATE) for i in range(n)]


def assert_same(found, expected):
    assert found.ids == expected.ids
    assert found.n_partials == expected.n_partials
    np.testing.assert_array_equal(found.vectors, expected.vectors)


@pytest.mark.parametrize("n", [1, 7, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
@pytest.mark.parametrize("n_workers", [1, 4])
def test_the_same_bits(n, n_workers):
    warned, also, seconds = [], [], []
    here, failed = Network().embed_recordings(many(n), 1, on_warning=warned.append)
    there, lost = embed_in_blocks(
        Network(), many(n), n_workers, ThreadPoolExecutor, seconds.append, also.append
    )
    assert_same(there, here)
    assert [str(e) for e in lost] == [str(e) for e in failed]
    assert len(lost) == sum(str(i).endswith("5") for i in range(n))
    assert also == warned == ["3.wav: r3 is odd"] * (n > 3)
    assert sum(seconds) == sum(r.duration for r in many(n))


def test_without_blocks_the_bits_would_differ():
    """The test above could not fail if batches did not matter."""
    whole, _ = Network().embed_recordings(many(BLOCK + 9), 1)
    alone, _ = Network().embed_recordings(many(BLOCK + 9)[BLOCK - 3 :], 1)
    ids = [id for id in alone.ids if id in whole.ids]
    rows = [whole.ids.index(id) for id in ids]
    assert not np.array_equal(whole.vectors[rows], alone.vectors[[alone.ids.index(i) for i in ids]])


def test_what_kills_its_worker_is_left_out_of_its_block():
    network = Network()
    network.front_end.deadly = "8.wav"
    found, failed = embed_in_blocks(network, many(12), 2, Deadly)
    assert found.ids == [f"r{i}" for i in range(12) if i not in (5, 8)]
    assert [str(e).partition(";")[0] for e in failed] == [
        "5.wav: is no audio",
        "8.wav: its worker process died twice, the second time with nothing beside it",
    ]


def test_all_failed():
    with pytest.raises(BatchError, match="all 1 recordings failed"):
        embed_in_blocks(Network(), [many(6)[5]], 2, ThreadPoolExecutor)


def test_an_encoder_that_stays_here():
    with pytest.raises(SingeridError, match=r"runs on one machine only; found Moments; expected"):
        embed_in_blocks(Moments(), many(3), 2, ThreadPoolExecutor)


def test_a_block():
    block = Block(tuple(many(3)))
    assert (block.path, block.duration) == ("0.wav", 6.0)


def test_the_pretrained_encoder_travels():
    encoder = OnnxSingerEncoder.load(path_of("default", ".onnx"), EmbedSettings(min_voice=0))
    copy = pickle.loads(pickle.dumps(encoder))
    assert (copy.fingerprint, copy.settings) == (encoder.fingerprint, encoder.settings)
    samples = noise(3 * RATE)
    np.testing.assert_array_equal(
        copy.embed_partials(copy.front_end.frames(samples)),
        encoder.embed_partials(encoder.front_end.frames(samples)),
    )


def test_a_trained_encoder_travels():
    from singerid.embed import TorchSingerEncoder

    encoder = TorchSingerEncoder.load("default")
    copy = pickle.loads(pickle.dumps(encoder))
    assert (copy.fingerprint, copy.settings) == (encoder.fingerprint, encoder.settings)
    frames = np.random.default_rng(0).random((300, encoder.file.spec.n_dims), np.float32)
    np.testing.assert_array_equal(copy.embed_partials(frames), encoder.embed_partials(frames))


@pytest.mark.parametrize(("said", "expected"), [("1", 1), ("0", 6), ("", 6), ("64", 6), ("2,1", 6)])
def test_threads_are_those_that_were_given(monkeypatch, said, expected):
    monkeypatch.setattr(runtime, "CPUS", 6)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert runtime._n_threads() == expected
