"""How much and how often: size, rate, load; and files that are made to harm, through the door."""

import os
import re
import signal
import threading
import time

import numpy as np
import pytest

from web_app import encoded, enroll, error_of, part, recording, serving


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web") / "registry"
    with serving(folder, max_mb=1, max_seconds=20, decode_timeout=2) as client:
        yield client


def embed(client, data, **options):
    return client.post("/embed", files={"file": part(data, **options)})


def test_a_request_that_says_it_is_too_large(client):
    answer = embed(client, bytes(1_100_000))
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"
    assert error_of(answer) == {
        "what": "the request is too large", "found": "1 MB", "expected": "at most 1 MB",
        "do": "send a part of the recording, or as FLAC, Opus or MP3",
    }  # fmt: skip


def test_a_request_that_does_not_say_how_large_it_is(client):
    read = 0

    def body():
        nonlocal read
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(40):
            read += 1
            yield bytes(100_000)
        yield b"\r\n--x--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post("/embed", content=body(), headers=headers)
    assert answer.status_code == 413
    assert error_of(answer)["found"] == "more"


def test_forms_with_too_many_parts(client):
    many = [("file", part(b"x"))] * 101
    assert "Too many files" in error_of(client.post("/embed", files=many))["what"]
    fields = {f"f{i}": "x" for i in range(17)}
    answer = client.post("/embed", data=fields, files={"file": part(b"x")})
    assert answer.status_code == 400
    assert "Too many fields" in error_of(answer)["what"]
    answer = client.post("/embed", data={"top": "x" * 70_000}, files={"file": part(b"x")})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "is empty"),
        (b"<html>not audio</html>", "is not audio"),
        (recording(0, 1)[:5000], "is truncated|breaks off|holds no voice|is not audio"),
        (encoded(np.zeros(32_000)), "is silent"),
        (encoded(np.random.default_rng(0).normal(0, 0.1, 64_000)), "holds no voice"),
        (encoded(np.zeros(4000 * 3600, np.int16), 4000), "is too long"),
        (encoded(np.full((64_000, 33), np.nan), kind="WAV", subtype="FLOAT")[:900_000],
         "too many channels|is truncated"),
        (encoded(np.full(64_000, np.nan), kind="WAV", subtype="FLOAT"), "not numbers"),
        (encoded(np.sin(np.arange(100))), "too short|is shorter|no voice"),
    ],
)  # fmt: skip
def test_recordings_that_cannot_be_used(client, data, what):
    answer = embed(client, data, name="../../etc/passwd")
    assert answer.status_code == 422
    assert re.search(what, error_of(answer)["what"])
    assert error_of(answer)["where"] == "passwd"
    assert "/" not in "".join(error_of(answer).values()).replace("WAV or FLAC", "")
    assert os.listdir(client.app.state.service.uploads._folder) == []


def test_a_dead_decoder_fails_one_request_only(client):
    assert embed(client, recording(0, 1)).status_code == 200
    (pid,) = client.app.state.service.decoders.pids
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
    answer = embed(client, recording(0, 1))
    assert answer.status_code == 422
    assert error_of(answer)["what"] == "ends the process that decodes it"
    assert embed(client, recording(0, 1)).status_code == 200
    assert 'singerid_decoders_replaced_total{reason="crashed"} 1' in client.get("/metrics").text


def test_a_hanging_decoder_is_given_up(client):
    (pid,) = client.app.state.service.decoders.pids
    os.kill(pid, signal.SIGSTOP)
    answer = embed(client, recording(0, 1))
    assert answer.status_code == 504
    assert error_of(answer)["what"] == "takes too long to decode"
    assert embed(client, recording(0, 1)).status_code == 200


def test_more_requests_than_the_queue_holds(client):
    """The only decoder sleeps while one request waits for it; another one is refused."""
    service = client.app.state.service
    (pid,) = service.decoders.pids
    os.kill(pid, signal.SIGSTOP)
    first = []
    thread = threading.Thread(target=lambda: first.append(embed(client, recording(0, 1))))
    service.settings = service.settings.model_copy(update={"queue": 1})
    try:
        thread.start()
        while not service.n_heavy:
            time.sleep(0.01)
        answer = embed(client, recording(0, 1))
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert client.get("/ready").status_code == 503
        assert client.get("/singers").status_code == 200  # reading goes on
    finally:
        service.settings = service.settings.model_copy(update={"queue": 64})
        os.kill(pid, signal.SIGCONT)
    thread.join()
    assert first[0].status_code == 200
    assert 'singerid_refused_total{reason="busy"} 1' in client.get("/metrics").text


def test_rate(tmp_path):
    with serving(tmp_path / "registry", rate=0.5, burst=2) as client:
        answers = [client.delete("/singers/x") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [404, 404, 429]
        assert 1 <= int(answers[2].headers["retry-after"]) <= 120
        assert error_of(answers[2])["expected"] == "0.5 a minute"
        for path in ("/", "/health", "/static/app.js"):
            assert client.get(path).status_code == 200


def test_wrong_tokens_are_counted(tmp_path):
    with serving(tmp_path / "registry", token="x" * 20, rate=0.5, burst=1) as client:
        assert client.get("/singers").status_code == 401
        for _ in range(12):
            last = client.get("/singers").status_code
        assert last == 429


def test_no_clips_where_none_are_wanted(tmp_path):
    with serving(tmp_path / "registry", clip_seconds=0) as client:
        (enrolled,) = enroll(client, "Anna", 0, songs=(0,)).json()["enrolled"]
        assert client.get("/singers/Anna").json()["exemplars"][0]["has_clip"] is False
        answer = client.get(f"/exemplars/{enrolled['id']}/audio")
        assert answer.status_code == 404
        found = client.post("/identify", files={"file": part(recording(0, 1))}).json()
        assert found["candidates"][0]["exemplar"] is None


def test_when_the_service_stops_new_requests_are_told(tmp_path):
    with serving(tmp_path / "registry") as client:
        client.app.state.service.draining = True
        answer = client.get("/singers")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert client.get("/ready").status_code == 503
        assert client.get("/health").json()["status"] == "stopping"
        pids = client.app.state.service.decoders.pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not client.app.state.service.uploads._folder.exists()


def test_failures_of_the_registry_are_the_services(tmp_path, monkeypatch):
    with serving(tmp_path / "registry") as client:
        registry = client.app.state.service.registry

        def broken(*args):
            raise OSError("disk on fire at /secret/place")

        monkeypatch.setattr(registry, "singers", broken)
        answer = client.get("/singers")
        assert answer.status_code == 500
        assert error_of(answer) == {
            "what": "something failed inside the service",
            "where": answer.headers["x-request-id"],
        }
        assert client.get("/health").status_code == 200
