"""Requests to the service, and messages of its decoding workers."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from fuzz_audio import encoded, tone
from fuzz_targets import Subject
from fuzz_texts import DEEP, DIGITS, NASTY
from singerid.errors import SingeridError, one_line

_CRASHES = (EOFError, OSError, ValueError, KeyError, TypeError, IndexError, OverflowError)
_BOUNDARY = "X-BOUNDARY-X"
_SPAWNS = frozenset({"subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec", "socket.connect"})


def http(folder: Path) -> Subject:
    """Every route with heads, forms and files made bad, given to the application as ASGI has it."""
    from fastapi.testclient import TestClient

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import web_app  # type: ignore[import-not-found]
    from singerid.registry import Registry
    from singerid.web.app import create_app

    tempfile.tempdir = str(folder)
    registry = Registry.open(folder / "registry", create=True)
    app = create_app(web_app.judge(), registry, web_app.settings(), None)
    client = TestClient(app, raise_server_exceptions=False)
    client.__enter__()
    assert client.portal is not None
    portal = client.portal
    done = web_app.enroll(client, "Anna", 1, songs=(0,))
    exemplar = done.json()["enrolled"][0]["id"]

    def read(path: Path) -> None:
        status, headers, body = portal.call(_ask, app, path.read_bytes())
        _check_answer(path, status, headers, body)

    seeds: list[tuple[str, bytes]] = []
    others: list[tuple[str, bytes]] = []
    for name, data in _requests(web_app.recording(1, 0, 2.0), exemplar):
        status, _, _ = portal.call(_ask, app, data)
        (seeds if 0 < status < 400 else others).append((name, data))
    words = [
        b"multipart/form-data",
        _BOUNDARY.encode(),
        b"Content-Disposition",
        b'filename="',
        b"%2e%2e%2f",
        b"Transfer-Encoding: chunked",
        b"Content-Length: ",
        b"X-Request-ID: ",
        b"Host: evil",
        b"Origin: http://evil",
        b"Authorization: Bearer ",
        b"Cookie: ",
        b"Range: bytes=0-",
        b"Expect: 100-continue",
    ]
    return Subject(
        seeds,
        read,
        words,
        [("bad.http", data, False) for data in [*(data for _, data in others), *_traps(exemplar)]],
        allowed=_SPAWNS,
    )


def _request(method: str, path: str, body: bytes = b"", kind: str = "") -> bytes:
    head = f"{method} {path}\r\nHost: testserver\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Type: {kind}\r\n" if kind else ""
    return head.encode("utf-8", "surrogatepass") + b"\r\n" + body


def _form(path: str, **fields: Any) -> bytes:
    """A form; a tuple is a file's name and bytes."""
    parts = []
    for name, value in fields.items():
        text, data = f'form-data; name="{name}"', value
        if isinstance(value, tuple):
            text, data = text + f'; filename="{value[0]}"', value[1]
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogatepass")
        head = text.encode("utf-8", "surrogatepass")
        parts.append(
            b"--%b\r\nContent-Disposition: %b\r\n\r\n%b\r\n" % (_BOUNDARY.encode(), head, data)
        )
    body = b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()
    return _request("POST", path, body, f"multipart/form-data; boundary={_BOUNDARY}")


def _requests(song: bytes, exemplar: str) -> list[tuple[str, bytes]]:
    file = ("a.flac", song)
    rename = json.dumps({"name": "Anna"}).encode()
    found = [
        _form("/embed", file=file),
        _form("/verify", a=file, b=file),
        _form("/identify", file=file, top="3"),
        _form("/search", file=file, top="3"),
        _form("/singers/Anna/verify", file=file),
        _form("/enroll", singer="Ben", labels='{"song": "x"}', files=file),
        _request("GET", "/singers?query=a&offset=0&limit=5"),
        _request("GET", "/singers/Anna"),
        _request("PATCH", "/singers/Anna", rename, "application/json"),
        _request("GET", f"/exemplars/{exemplar}/clip"),
        _request("GET", "/map"),
        _request("GET", "/"),
        _request("GET", "/health"),
        _request("GET", "/ready"),
        _request("GET", "/metrics"),
        _request("GET", "/openapi.json"),
        _request("GET", "/static/index.html"),
        _request("DELETE", "/singers/Nobody"),
        _request("DELETE", "/exemplars/x"),
        _request("GET", "/docs"),
        _request("OPTIONS", "/embed"),
        _request("HEAD", "/singers"),
    ]
    return [("bad.http", data) for data in found]


def _traps(exemplar: str) -> list[bytes]:
    short = encoded("wav", tone(0.1))
    traps = [_form("/embed", file=("x", data)) for data in (b"", DEEP, b"\0" * 5000, short)]
    for text in NASTY:
        text = text[:5000]
        traps += [
            _form("/embed", file=(text, short)),
            _form("/enroll", singer=text, files=("a", short)),
            _form("/enroll", singer="x", labels=json.dumps({text: text}), files=("a", short)),
            _request("GET", f"/singers/{text}"),
            _request("GET", f"/singers?query={text}"),
            _request("DELETE", f"/singers/{text}"),
            _request("GET", f"/exemplars/{text}/clip"),
            _request("GET", f"/static/{text}"),
            _request(
                "PATCH", "/singers/Anna", json.dumps({"name": text}).encode(), "application/json"
            ),
        ]
    for data in (
        DEEP,
        DIGITS,
        b"[]",
        b"null",
        b"\xff",
        b"{}",
        b'{"name": 1}',
        b'{"name": null, "x": 1}',
        b'{"name": ' + DEEP,
    ):
        traps.append(_request("PATCH", "/singers/Anna", data, "application/json"))
        traps.append(_form("/enroll", singer="x", labels=data, files=("a", short)))
    for number in ("-1", "0", "1e9", "9" * 5000, "nan", "", "0x10", "١", "1_0", "1;2"):
        traps += [
            _request("GET", f"/singers?limit={number}&offset={number}"),
            _form("/identify", file=("a", short), top=number),
        ]
    traps += [
        _form("/embed", **{f"f{i}": "x" for i in range(200)}),
        _form("/embed", file="x" * 200_000),
    ]
    traps += [_form("/enroll", singer="x", **{f"files{i}": ("a", b"x") for i in range(150)})]
    traps.append(_form("/embed", file=("a", b"x" * 60_000_000)))
    for kind in (
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "application/x-www-form-urlencoded",
        f"multipart/form-data; boundary={'x' * 9000}",
        'multipart/form-data; boundary="a\0b"',
    ):
        traps.append(_request("POST", "/embed", b"--x\r\n", kind))
    traps += [
        _request("GET", "/" + "a/" * 3000),
        _request("GET", "/static/../../../etc/passwd"),
        _request("GET", "/static/%2e%2e/%2e%2e/app.py"),
        _request("GET", "//etc/passwd"),
        _request("TRACE", "/"),
        _request("GET", f"/exemplars/{exemplar}' OR 1=1 --/clip"),
        _request("\0", "/"),
        _request("GET", "*"),
    ]
    return traps


async def _ask(app: Any, data: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Send a request, however odd, and collect the answer."""
    import asyncio
    from urllib.parse import unquote_to_bytes

    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    method, _, target = first.partition(b" ")
    path, _, query = target.partition(b"?")
    headers = [
        (name.strip().lower(), value.strip())
        for name, _, value in (line.partition(b":") for line in lines)
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "method": method.decode("latin1").upper(),
        "raw_path": path,
        "query_string": query,
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
        "state": {},
    }
    pieces = [body[i : i + 65536] for i in range(0, len(body), 65536)] or [b""]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not pieces:
            await asyncio.sleep(0)
            return {"type": "http.disconnect"}
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = next((one for one in sent if one["type"] == "http.response.start"), None)
    if start is None:
        return 0, [], b""
    answer = b"".join(one.get("body", b"") for one in sent if one["type"] == "http.response.body")
    return start["status"], start["headers"], answer


def _check_answer(path: Path, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    if status == 0:
        return  # nobody is left to be answered
    if status >= 500 and status not in (501, 503, 504):
        raise AssertionError(f"answers {status}: {body[:200]!r}")
    for name, value in headers:
        if b"\n" in name + value or b"\r" in name + value:
            raise AssertionError(f"a header of two lines: {name!r} {value!r}")
    if b"Traceback" in body and b"text/html" not in dict(headers).get(b"content-type", b""):
        raise AssertionError("shows a traceback")
    if status < 400:
        return
    kind = dict(headers).get(b"content-type", b"")
    if body and kind.startswith(b"application/json"):
        error = json.loads(body)["error"]
        for part, text in error.items():
            if text is not None and not text.isprintable():
                raise AssertionError(f"{part} is not one printable line: {text!r:.100}")
            if text is not None and len(text) > 1000:
                raise AssertionError(f"{part} has {len(text)} letters")
    elif body and status not in (304, 416):
        raise AssertionError(f"an error that is no JSON: {status} {kind!r} {body[:80]!r}")
    raise SingeridError(f"{status} {one_line(body[:60].decode('latin1'))}", where=path)


def wire(folder: Path) -> Subject:
    """What a decoder that a file has taken over may say to the service."""
    from singerid.web.decoders import _found
    from singerid.web.wire import receive_payloads, send_message

    ours, theirs = socket.socketpair()
    quality = {
        "score": 1.0,
        "reasons": [],
        "seconds": 1.0,
        "voice_seconds": 1.0,
        "peak_db": 0.0,
        "snr_db": 9.0,
        "clipped_share": 0.0,
        "bandwidth_hz": 8000.0,
    }
    send_message(ours, {"quality": quality}, np.ones(9, np.float32).tobytes(), b"clip")
    ours.close()
    good = theirs.recv(1 << 16)
    theirs.close()

    def read(path: Path) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(1)
            with suppress(TimeoutError):
                ours.sendall(path.read_bytes()[: 1 << 17])
            ours.shutdown(socket.SHUT_WR)
            try:
                answer, payloads = receive_payloads(theirs, 1 << 20, time.monotonic() + 2)
                _found(answer, payloads)
            except _CRASHES as error:  # what `Decoders.decode` takes for a crash
                raise SingeridError(one_line(type(error).__name__), where=path) from error

    text = json.dumps({"quality": quality}).encode()
    odd: list[object] = [None, [], "x", 10**400]
    heads = [
        b"\xff" * 8,
        b"\0" * 8,
        b"\0\0\0\1\0\0\0\2" + b"\xff" * 16,
        b"\0\x10\0\0\0\0\0\4" + b"\0" * 40,
    ]
    texts = [
        DEEP[:100_000],
        DIGITS,
        b"[]",
        b"null",
        b'{"quality": 1}',
        b'{"quality": {}}',
        b'{"quality": {"reasons": 1}}',
        b"\xff",
    ]
    texts += [json.dumps({"quality": quality | {"score": value}}).encode() for value in odd]
    for one in texts:
        heads.append(len(one).to_bytes(4, "big") + (0).to_bytes(4, "big") + one)
        for first in (36, 7, 0):
            sizes = first.to_bytes(8, "big") + (4).to_bytes(8, "big")
            heads.append(
                len(one).to_bytes(4, "big")
                + (2).to_bytes(4, "big")
                + sizes
                + one
                + b"\1" * (first + 4)
            )
    for first in (7, 2**40, 0):
        sizes = first.to_bytes(8, "big") + (4).to_bytes(8, "big")
        heads.append(
            len(text).to_bytes(4, "big") + (2).to_bytes(4, "big") + sizes + text + b"\1" * 11
        )
    return Subject(
        [("bad.wire", good)],
        read,
        [b'"reasons"', b"\0\0\0\2"],
        [("bad.wire", d, False) for d in heads],
        True,
    )
