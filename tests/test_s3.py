"""The commands on an S3 server of this machine (moto), and a server that goes away meanwhile."""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from singerid.embeddings import read_embeddings
from singerid.errors import SingeridError
from singerid.records import write_recordings
from singerid.remote import file_system

server = pytest.importorskip("moto.server")
pytest.importorskip("s3fs")
pytestmark = pytest.mark.slow
RATE = 16000


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """An S3 server with its address and keys in the environment."""
    patch = pytest.MonkeyPatch()
    one = server.ThreadedMotoServer(port=0)
    one.start()
    host, port = one.get_host_and_port()
    patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    patch.setenv("AWS_ACCESS_KEY_ID", "none")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    patch.setenv("SINGERID_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    one.stop()
    patch.undo()


@pytest.fixture
def corpus(s3, tmp_path):
    """A bucket with a folder of four singers, and the same folder here."""
    bucket = f"b{secrets.token_hex(4)}"
    system, _ = file_system("s3://any")
    system.mkdir(bucket)
    rng, here = np.random.default_rng(0), tmp_path / "voices"
    for singer in range(4):
        for song in range(5):
            t = np.arange(round(RATE * 1.5)) / RATE
            phase = 2 * np.pi * (180 + 40 * singer) * t + 2 * np.sin(2 * np.pi * 5.5 * t)
            tone = sum(np.sin(k * phase) / k for k in range(1, 12))
            path = here / f"{singer}" / f"{song}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.2 * tone + rng.normal(0, 0.003, len(t)), RATE)
    system.put(str(here), f"{bucket}/voices", recursive=True)
    return f"s3://{bucket}", here


def run(*words, status=0):
    """A command in a process of its own; its lines."""
    done = subprocess.run(
        [sys.executable, "-m", "singerid", *map(str, words)], capture_output=True, text=True,
        env=dict(os.environ), timeout=300,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stdout.splitlines() + done.stderr.splitlines()


def test_from_a_bucket_into_a_bucket(corpus, tmp_path):
    """Every stage, with nothing of its own on this machine but mirrors; the bits are the same."""
    url, here = corpus
    run("manifest", f"{url}/voices", "-o", f"{url}/m.jsonl")
    run("features", f"{url}/m.jsonl", "-o", f"{url}/store")
    run("embed", f"{url}/m.jsonl", "-o", f"{url}/e.parquet")
    run("table", f"{url}/e.parquet", "-o", f"{url}/t.parquet")
    run("identify", f"{url}/t.parquet", f"{url}/voices/1/1.flac")
    run("manifest", here, "-o", tmp_path / "m.jsonl")
    run("features", tmp_path / "m.jsonl", "-o", tmp_path / "store")
    run("embed", tmp_path / "m.jsonl", "-o", tmp_path / "e.parquet")
    system, _ = file_system(url)
    for name in ("features-00000.f32", "index.jsonl", "spec.json"):
        there = system.cat_file(f"{url}/store/{name}")
        assert there == (tmp_path / "store" / name).read_bytes(), name
    there, local = read_embeddings(f"{url}/e.parquet"), read_embeddings(tmp_path / "e.parquet")
    assert np.array_equal(there.vectors, local.vectors)
    assert there.paths[0] == f"{url}/voices/0/0.flac"


def test_a_run_trained_from_a_bucket(corpus, tmp_path):
    url, _ = corpus
    run("manifest", f"{url}/voices", "-o", f"{url}/m.jsonl")
    run("features", f"{url}/m.jsonl", "-o", f"{url}/store")
    small = "--train.steps 2 --train.train_iters 2 --train.val_iters 1 --batch.n_singers 2 "
    small += "--batch.n_partials 2 --batch.partial_frames 60 --train.workers 0"
    run("train", f"{url}/store", "-o", tmp_path / "run", *small.split())
    system, _ = file_system(url)
    system.put(str(tmp_path / "run" / "encoder.safetensors"), f"{url}/run/encoder.safetensors")
    run("embed", f"{url}/store", "--encoder", f"{url}/run/encoder.safetensors",
        "-o", f"{url}/e.parquet")  # fmt: skip
    assert len(read_embeddings(f"{url}/e.parquet")) == 20


def test_files_that_are_gone_are_named_and_the_rest_is_done(corpus, tmp_path):
    url, _ = corpus
    run("manifest", f"{url}/voices", "-o", tmp_path / "m.jsonl")
    system, _ = file_system(url)
    lost = f"{url}/voices/2/3.flac"
    system.rm_file(lost)
    lines = run("features", tmp_path / "m.jsonl", "-o", tmp_path / "store", status=1)
    assert f"error: {lost}: cannot be fetched; found No such file or directory" in lines
    assert any("19 recordings extracted" in line for line in lines)
    system.put_file(str(corpus[1] / "2" / "3.flac"), lost)
    lines = run("features", tmp_path / "m.jsonl", "-o", tmp_path / "store")
    assert any("1 recordings extracted, 19 were there" in line for line in lines)


def test_a_server_that_goes_away(corpus, tmp_path, monkeypatch):
    """What was done stays; the same command goes on when it is back."""
    url, here = corpus
    run("manifest", f"{url}/voices", "-o", tmp_path / "m.jsonl")
    run("features", tmp_path / "m.jsonl", "-o", f"{url}/store")
    whole = Path(here, "0", "0.flac").read_bytes()
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody is there
        lines = run("embed", f"{url}/voices/0/0.flac", "-o", tmp_path / "e.parquet", status=1)
        assert any("cannot be fetched" in line and "check the network" in line for line in lines)
        lines = run("features", tmp_path / "m.jsonl", "-o", f"{url}/store", status=1)
        assert any("store: cannot be read" in line for line in lines)
    lines = run("features", tmp_path / "m.jsonl", "-o", f"{url}/store")
    assert any("0 recordings extracted, 20 were there" in line for line in lines)
    assert whole == Path(here, "0", "0.flac").read_bytes()
    shutil.rmtree(os.environ["SINGERID_CACHE"])
    run("store", "check", f"{url}/store")


def test_a_bucket_that_is_not_there_is_not_made(s3, tmp_path):
    bucket = f"none{secrets.token_hex(4)}"
    with pytest.raises(
        SingeridError, match=rf"^s3://{bucket}/x/m.jsonl: cannot be written; found "
    ):
        write_recordings(f"s3://{bucket}/x/m.jsonl", [])
    assert not file_system("s3://any")[0].exists(bucket)
