"""What the tests of the service share: a judge, voices, an application, a real server process."""

import functools
import io
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import numpy as np
import soundfile
from fastapi.testclient import TestClient

from singerid.judge import load_judge
from singerid.melody import draw_song
from singerid.registry import Registry
from singerid.sections import ServeSettings
from singerid.singing import sing
from singerid.voices import draw_singer
from singerid.web.app import create_app

TOKEN = "0123456789abcdef-secret"
RATE = 16_000


@functools.cache
def judge():
    """The default encoder with its calibration."""
    return load_judge()


@functools.cache
def sung(singer, song, seconds=4.0):
    """Samples of a virtual singer's song."""
    voice = draw_singer(np.random.default_rng(singer), f"s{singer}", "FM"[singer % 2])
    rng = np.random.default_rng([singer, song])
    return sing(voice, draw_song(rng, seconds), rng, RATE)


@functools.cache
def recording(singer, song, seconds=4.0, kind="FLAC"):
    """The song as a file's bytes."""
    return encoded(sung(singer, song, seconds), RATE, kind)


def encoded(samples, rate=RATE, kind="FLAC", subtype=None):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def part(data, name="song.flac"):
    """A file of a form."""
    return (name, data, "application/octet-stream")


def settings(**changed):
    defaults = {"hosts": "testserver", "rate": 0, "workers": 1, "port": 0}
    return ServeSettings(**defaults | changed)


@contextmanager
def serving(folder, token=None, **changed):
    """A client of an application with a new registry, in this process."""
    registry = Registry.open(folder, create=True)
    app = create_app(judge(), registry, settings(**changed), token)
    with TestClient(app) as client:
        yield client


def enroll(client, name, singer, songs=(0, 1), **fields):
    files = [("files", part(recording(singer, song), f"{song}.flac")) for song in songs]
    return client.post("/enroll", data={"singer": name, **fields}, files=files)


def error_of(response):
    """The parts of an error that are there."""
    parts = response.json()["error"]
    return {name: text for name, text in parts.items() if text is not None}


class Process:
    """A real server; its log lines are kept as dictionaries once it has ended."""

    def __init__(self, folder, *flags, **environment):
        command = [sys.executable, "-m", "singerid", "serve", "--registry", str(folder), *flags]
        command += ["--port", "0", "--serve.rate", "0", "--serve.workers", "1"]
        self.log_path = folder.parent / f"{folder.name}.log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env=os.environ | environment
            )
        line = self.process.stdout.readline()
        assert line, self.log_path.read_text()
        self.url = json.loads(line)["address"]
        self.host, self.port = "127.0.0.1", int(self.url.rpartition(":")[2])
        self.client = httpx.Client(base_url=self.url, timeout=30)
        self._wait()

    def _wait(self):
        for _ in range(200):
            try:
                if self.client.get("/ready").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(self.log_path.read_text())

    def logs(self):
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def end(self):
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
