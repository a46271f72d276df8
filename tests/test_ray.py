"""A Ray cluster of three machines (processes of this one): the same bits, whoever is lost."""

import os
import signal
import threading
import time
from concurrent.futures import BrokenExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from singerid import ray_pool
from singerid.appending import by_crew, in_turn
from singerid.blocks import embed_in_blocks
from singerid.embedder import BLOCK
from singerid.errors import AudioError, MissingExtraError, SingeridError
from singerid.external import load_embedder
from singerid.extraction import extract
from singerid.ray_pool import RayPool
from singerid.records import Recording
from singerid.runtime import OnnxSingerEncoder
from singerid.spec import FeatureSpec

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow
RATE = 16000


@pytest.fixture(scope="module")
def cluster():
    """A head with one core; two further machines come and go."""
    from ray.cluster_utils import Cluster

    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # of the workers
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": 10**8},
    )
    patch.setenv("RAY_ADDRESS", cluster.address)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    patch.undo()


@pytest.fixture
def others(cluster):
    """Two more machines, with two cores together."""
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=10**8) for _ in range(2)]
    cluster.wait_for_nodes()
    yield nodes
    for node in nodes:
        if node in cluster.worker_nodes:
            cluster.remove_node(node)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Singing-like tones of three singers; one file is no audio."""
    folder, rng = tmp_path_factory.mktemp("audio"), np.random.default_rng(0)
    found = []
    for i in range(BLOCK + 6):
        seconds = 1.0 + 0.05 * (i % 7)
        t = np.arange(round(RATE * seconds)) / RATE
        phase = 2 * np.pi * (180 + 40 * (i % 3)) * t + 2 * np.sin(2 * np.pi * 5.5 * t)
        tone = sum(np.sin(k * phase) / k for k in range(1, 12))
        path = folder / f"{i}.wav"
        soundfile.write(path, 0.2 * tone + rng.normal(0, 0.003, len(t)), RATE)
        found.append(Recording(f"r{i:02}", f"s{i % 3}", str(path), seconds, RATE, sha256=str(i)))
    Path(found[5].path).write_bytes(b"not audio")
    return found


def content(store):
    return {f.name: f.read_bytes() for f in Path(store).iterdir() if not f.name.startswith(".")}


def test_features_are_the_same(cluster, others, recordings, tmp_path):
    here, _ = extract(recordings, tmp_path / "here", FeatureSpec(), 2)
    there, _ = extract(recordings, tmp_path / "there", FeatureSpec(), 6, make_pool=RayPool)
    assert content(tmp_path / "there") == content(tmp_path / "here")
    assert there.n_done == len(recordings) - 1
    assert [str(f) for f in there.failures] == [str(f) for f in here.failures] != []


@pytest.mark.parametrize("suffix", [".onnx", ".safetensors"])
def test_embeddings_are_the_same(cluster, others, recordings, suffix):
    from singerid.pretrained import path_of

    embedder = load_embedder(path_of("default", suffix))
    here, failed = embedder.embed_recordings(recordings, 2)
    there, lost = embed_in_blocks(embedder, recordings, 6, RayPool)
    assert np.array_equal(here.vectors, there.vectors)
    assert (here.ids, here.encoder, here.n_partials) == (there.ids, there.encoder, there.n_partials)
    assert [str(f) for f in failed] == [str(f) for f in lost] != []


# ------------------------------------------------------------------------------------- losses


def many(n, seconds=1.0):
    return [Recording(f"r{i}", "s", f"/audio/{i}.wav", seconds, RATE) for i in range(n)]


class Slow:
    """A job that leaves a mark for each time that it is begun, and takes its time."""

    def __init__(self, folder, seconds):
        self.folder, self.seconds = folder, seconds

    def __call__(self, recording):
        where = ray.get_runtime_context().get_node_id()
        (self.folder / f"{recording.id}-{where}-{os.getpid()}-{time.monotonic_ns()}").touch()
        time.sleep(self.seconds)
        return recording.id.upper()


def test_a_machine_that_is_lost_costs_its_part_only(cluster, others, tmp_path):
    rows, n_cores = many(60), 3

    def workers():
        marks = (mark.name.split("-") for mark in tmp_path.iterdir())
        return {node: int(pid) for _, node, pid, _ in marks}

    def lose():
        while len(workers()) < n_cores:  # all machines are at it
            time.sleep(0.02)
        lost = workers()[others[0].node_id]
        cluster.remove_node(others[0], allow_graceful=False)
        os.kill(lost, signal.SIGKILL)  # at once, with what it was at

    thread = threading.Thread(target=lose)
    thread.start()
    found = list(by_crew(rows, Slow(tmp_path, 0.5), ray_pool.AHEAD * n_cores, RayPool))
    thread.join()
    assert [(r.id, result) for r, result in found] == [(f"r{i}", f"R{i}") for i in range(60)]
    begun = [mark.name.partition("-")[0] for mark in tmp_path.iterdir()]
    again = len(begun) - len(set(begun))
    assert 1 <= again <= 4  # what it was at, or had been given


class Fatal:
    """A job that kills its worker at some recordings."""

    def __call__(self, recording):
        if recording.id in ("r3", "r9"):
            os.kill(os.getpid(), signal.SIGKILL)
        return recording.id


def test_what_kills_its_worker_is_left_out(cluster, monkeypatch):
    monkeypatch.setattr(ray_pool, "RETRIES", 0)
    found = {r.id: result for r, result in by_crew(many(12), Fatal(), 2, RayPool)}
    for id, result in found.items():
        if id in ("r3", "r9"):
            assert isinstance(result, AudioError)
            assert str(result).startswith(f"/audio/{id[1:]}.wav: its worker process died twice")
        else:
            assert result == id


def test_a_block_that_kills_its_worker_loses_the_culprit_only(cluster, recordings, monkeypatch):
    monkeypatch.setattr(ray_pool, "RETRIES", 0)
    embedder = load_embedder()
    embedder.front_end = Deadly(embedder.front_end, recordings[7].path)
    embedder.__class__ = Travelling
    expected, _ = load_embedder().embed_recordings([r for r in recordings if r.id != "r07"], 1)
    found, failed = embed_in_blocks(embedder, recordings, 2, RayPool)
    assert found.ids == expected.ids
    assert np.allclose(found.vectors, expected.vectors, atol=1e-5)
    assert sorted(str(f.where) for f in failed) == sorted(recordings[i].path for i in (5, 7))


class Travelling(OnnxSingerEncoder):
    """One that takes its front end along."""

    def __reduce__(self):
        return _arrive, (self.model, self.front_end)


def _arrive(model, front_end):
    embedder = OnnxSingerEncoder(model)
    embedder.front_end = front_end
    return embedder


class Deadly:
    """A front end whose decoder crashes on one file."""

    def __init__(self, front_end, path):
        self.__dict__.update(front_end=front_end, path=path)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__dict__["front_end"], name)

    def read(self, path, channel):
        if path == self.path:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.front_end.read(path, channel)

    def read_all(self, recordings, n):
        for recording in recordings:
            try:
                yield recording, self.read(recording.path, recording.channel)
            except SingeridError as error:
                yield recording, error


# ------------------------------------------------------------------------------------ the pool


def test_results_do_not_pile_up(cluster):
    """Whoever takes slowly holds the workers back."""
    begun = []
    rows = many(40, seconds=3600.0)
    for n_taken, (recording, _) in enumerate(in_turn(rows, _mark, 4, _Counting.of(begun)), 1):
        assert len(begun) <= n_taken + 4 + 1, recording.id


def _mark(recording):
    return recording.id


class _Counting(RayPool):
    begun: list

    @classmethod
    def of(cls, begun):
        return type("Counting", (cls,), {"begun": begun})

    def submit(self, job, /, *args, **kwargs):
        self.begun.append(args)
        return super().submit(job, *args, **kwargs)


def test_errors_of_the_job_are_passed_on(cluster):
    pool = RayPool(1)
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result()
    assert pool.submit(divmod, 7, 2).result() == (3, 1)
    pool.shutdown()


def test_a_dead_worker_breaks_its_future(cluster, monkeypatch):
    monkeypatch.setattr(ray_pool, "RETRIES", 0)
    with pytest.raises(BrokenExecutor):
        RayPool(1).submit(os._exit, 1).result()


def test_another_version_is_refused(cluster, monkeypatch):
    monkeypatch.setattr(ray_pool, "__version__", "99.0")
    with pytest.raises(SingeridError, match=r"another singerid; found 0\.1\.0; expected 99\.0"):
        RayPool(1).submit(int).result()


def test_encoders_that_stay_here(recordings):
    with pytest.raises(SingeridError, match=r"runs on one machine only; found MfccEncoder"):
        embed_in_blocks(load_embedder("mfcc"), recordings, 2, RayPool)


def test_ray_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'singerid\[ray\]'"):
        RayPool(1)


def test_a_cluster_that_is_not_there():
    with pytest.raises(
        SingeridError, match=r"127\.0\.0\.1:1: no Ray cluster answers; found Connection refused"
    ):
        ray_pool._check_answers("127.0.0.1:1")
    ray_pool._check_answers("")
    ray_pool._check_answers("auto")
