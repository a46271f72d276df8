"""A real server process: its limits on connections, its logs, its end."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from singerid.cli import main
from web_app import TOKEN, Process, enroll, part, recording

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """One server for all but the tests that end theirs; patience shortened to a second."""
    process = Process(
        tmp_path_factory.mktemp("web") / "registry", "--serve.max_mb", "1",
        "--serve.body_seconds", "1", "--serve.head_seconds", "1",
    )  # fmt: skip
    yield process
    process.end()


def exchange(process, data, patience=15.0):
    """What the server says to raw bytes until it closes the connection."""
    with socket.create_connection((process.host, process.port), timeout=patience) as connection:
        connection.sendall(data)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def head(method, path, *headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def test_a_huge_head_is_refused(process):
    assert exchange(process, head("GET", "/health", f"X: {'x' * 40_000}")).startswith(
        b"HTTP/1.1 400 "
    )
    many = [f"X-{i}: {'y' * 100}" for i in range(500)]
    assert exchange(process, head("GET", "/health", *many)).startswith(b"HTTP/1.1 400 ")
    assert exchange(process, b"\x16\x03\x01 nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_head_that_never_ends_is_not_waited_for(process):
    assert exchange(process, b"") == b""
    assert exchange(process, b"GET /health HTTP/1.1\r\nHost: loc") == b""
    # Nor the second one of a connection, after an answer to the first.
    answer = exchange(process, head("GET", "/health") + b"GET /heal")
    assert answer.count(b"HTTP/1.1 200") == 1


def test_a_body_that_never_ends_is_not_waited_for(process):
    slow = head("POST", "/embed", "Content-Type: multipart/form-data; boundary=x",
                "Content-Length: 100000")  # fmt: skip
    answer = exchange(process, slow + b"--x\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the body comes too slowly" in answer
    assert b"connection: close" in answer.lower()


def test_a_body_that_trickles_is_not_waited_for(process):
    slow = head("POST", "/embed", "Content-Type: multipart/form-data; boundary=x",
                "Transfer-Encoding: chunked")  # fmt: skip
    with socket.create_connection((process.host, process.port), timeout=20) as connection:
        connection.sendall(slow + b"5\r\n--x\r\n\r\n")
        connection.settimeout(0.05)
        answer = b""
        for _ in range(200):
            try:
                connection.sendall(b"1\r\nx\r\n")
                if chunk := connection.recv(65536):
                    answer += chunk
                else:
                    break
            except TimeoutError:
                continue
            except OSError:  # closed while something was written
                break
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_slow_clients_keep_nobody_from_being_served(process):
    crowd = [socket.create_connection((process.host, process.port)) for _ in range(100)]
    try:
        for connection in crowd:
            connection.sendall(b"POST /embed HTTP/1.1\r\nHost: localhost\r\n")
        answer = process.client.post("/embed", files={"file": part(recording(0, 1))})
        assert answer.status_code == 200
    finally:
        for connection in crowd:
            connection.close()


def test_a_large_body_is_refused_before_it_is_sent(process):
    early = head("POST", "/embed", "Content-Type: multipart/form-data; boundary=x",
                 "Content-Length: 9000000000", "Expect: 100-continue")  # fmt: skip
    answer = exchange(process, early)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer


def test_who_sends_too_much_still_reads_the_answer(process):
    """Twelve times the limit at once: the answer must not be lost in a reset connection."""
    for _ in range(3):
        answer = httpx.post(f"{process.url}/embed", files={"file": part(bytes(12_000_000))})
        assert answer.status_code == 413
        assert answer.json()["error"]["expected"] == "at most 1 MB"


def test_requests_in_a_row_on_one_connection(process):
    answer = exchange(
        process, head("GET", "/health") * 2 + head("GET", "/health", "Connection: close")
    )
    assert answer.count(b"HTTP/1.1 200") == 3


def test_websockets_are_not_spoken(process):
    answer = exchange(
        process, head("GET", "/health", "Upgrade: websocket", "Connection: Upgrade, close")
    )
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_killed_decoders_of_a_server_are_replaced(process):
    def workers():
        found = []
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    parent = int(stat.read().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            if parent == process.process.pid:
                found.append(int(entry))
        return found

    process.client.post("/embed", files={"file": part(recording(0, 1))}).raise_for_status()
    for pid in workers():
        os.kill(pid, signal.SIGKILL)
    answer = process.client.post("/embed", files={"file": part(recording(0, 1))})
    assert answer.status_code in (200, 422)  # 422: killed just as it took the file
    answer = process.client.post("/embed", files={"file": part(recording(0, 1))})
    assert answer.status_code == 200


def test_stopping_in_order(tmp_path):
    """What was begun is answered, what comes then is told 503, workers end, exit status 0."""
    process = Process(tmp_path / "registry", "--serve.clip_seconds", "1", SINGERID_TOKEN=TOKEN)
    try:
        process.client.headers["Authorization"] = f"Bearer {TOKEN}"
        enroll(process.client, "Secret Name", 0, songs=(0,)).raise_for_status()
        answers = []
        sending = [
            threading.Thread(
                target=lambda: answers.append(enroll(process.client, "Anna", 1, songs=range(8)))
            )
        ]
        [thread.start() for thread in sending]
        watcher = httpx.Client(base_url=process.url)
        while (
            "singerid_requests_in_flight 2"
            not in watcher.get("/metrics", headers=process.client.headers).text
        ):  # this one, and the enrollment
            time.sleep(0.01)
        process.process.send_signal(signal.SIGTERM)
        statuses = set()
        while not answers:
            try:
                statuses.add(watcher.get("/ready").status_code)
            except httpx.TransportError:
                break
        [thread.join() for thread in sending]
        assert answers[0].status_code == 200
        assert len(answers[0].json()["enrolled"]) == 8
        assert 503 in statuses
        assert process.process.wait(20) == 0
        lines = process.logs()
    finally:
        process.end()
    events = [line["event"] for line in lines]
    assert (events[0], events[-1]) == ("started", "stopped")
    enrolled = [line for line in lines if line.get("route") == "/enroll"]
    assert [line["status"] for line in enrolled] == [200, 200]
    assert all(re.fullmatch("[0-9a-f]{16}", line["request"]) for line in enrolled)
    text = process.log_path.read_text()
    for private in (TOKEN, "Secret Name", "Anna", "0.flac"):
        assert private not in text


def test_a_second_signal_ends_it_at_once(tmp_path):
    process = Process(tmp_path / "registry", "--serve.stop_seconds", "600")
    try:
        with socket.create_connection((process.host, process.port)) as connection:
            begun = head("POST", "/embed", "Content-Type: multipart/form-data; boundary=x",
                         "Content-Length: 1000")  # fmt: skip
            connection.sendall(begun)
            time.sleep(0.3)
            process.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert process.process.poll() is None
            process.process.send_signal(signal.SIGTERM)
            process.process.wait(20)
    finally:
        process.end()


def test_an_address_in_use(process, capsys, tmp_path):
    flags = ["--port", str(process.port), "--registry", str(tmp_path / "r")]
    assert main(["serve", *flags]) == 1
    found = capsys.readouterr().err
    assert f"127.0.0.1:{process.port}: cannot be listened at" in found
    assert "give another --host or --port" in found


def test_tokens_that_are_no_secret(capsys, monkeypatch, tmp_path):
    for token in ("short", "x" * 20 + "\t" + "y", "ü" * 20):
        monkeypatch.setenv("SINGERID_TOKEN", token)
        assert main(["serve", "--registry", str(tmp_path / "r")]) == 1
        assert "SINGERID_TOKEN: the token cannot be used" in capsys.readouterr().err


def test_without_the_extra(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve"]) == 1
    assert "pip install 'singerid[web]'" in capsys.readouterr().err


def test_the_command_loads_nothing_of_the_web_before_it_runs():
    code = "import sys, singerid.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"fastapi", "uvicorn", "lancedb", "starlette"} & set(done.stdout.split())
