"""A service that pretends: serves the page and canned answers, remembers what was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import singerid

PAGE = Path(singerid.__file__).parent / "web" / "page"
POLICY = "default-src 'self'; media-src 'self' blob:; object-src 'none'; base-uri 'none'"
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
GOOD = {"score": 0.93, "reasons": [], "seconds": 8.0, "voice_seconds": 7.1}
POOR = {
    "score": 0.31, "reasons": ["short: 1.2 s of voice", "noisy: about 6 dB above the noise"],
    "seconds": 2.0, "voice_seconds": 1.2,
}  # fmt: skip
ANNA = {
    "singer": "Anna Lindqvist", "probability": 0.9831, "unknown_probability": 0.0147,
    "margin": 0.2314, "n_singers": 42, "prior": 0.5, "seconds": 8.0, "voice_seconds": 7.1,
    "quality": GOOD,
    "candidates": [
        {"singer": "Anna Lindqvist", "score": 0.7421, "llr": 8.1, "probability": 0.9831,
         "n_recordings": 4, "exemplar": "a1"},
        {"singer": "Berta", "score": 0.5107, "llr": -1.2, "probability": 0.0018,
         "n_recordings": 1, "exemplar": "b1"},
        {"singer": "Cécile Ōkubo-Featherstonehaugh", "score": 0.3822, "llr": -4.0,
         "probability": 0.0004, "n_recordings": 12, "exemplar": None},
    ],
}  # fmt: skip
UNKNOWN = ANNA | {
    "singer": None, "probability": 0.11, "unknown_probability": 0.86, "margin": 0.02,
    "quality": POOR,
    "candidates": [one | {"probability": p} for one, p in
                   zip(ANNA["candidates"], (0.11, 0.02, 0.01), strict=True)],
}  # fmt: skip
SAME = {
    "score": 0.71, "llr": 5.2, "probability": 0.9945, "accepted": True, "prior": 0.5,
    "threshold": 0.4812, "false_alarm": 0.01, "seconds": [8.0, 6.5],
    "quality": [GOOD, GOOD | {"score": 0.55, "reasons": ["quiet: peak -38 dB"]}],
}  # fmt: skip
DIFFERENT = SAME | {"score": 0.12, "llr": -4.4, "probability": 0.012, "accepted": False}
ENROLLED = {
    "singer": "Anna Lindqvist", "enrolled": [{"id": "a9", "file": "song.wav", "seconds": 8.0,
                                              "quality": GOOD}],
    "known": [], "failed": [], "outliers": [{"id": "a9", "reason": "unlike the other 4 (0.21)"}],
    "near": [{"singer": "Berta", "score": 0.66, "probability": 0.97}],
}  # fmt: skip
NAMES = [f"{first} {last}" for first in ("Anna", "Berta", "Cécile", "Dietrich", "Erykah")
         for last in ("Álvarez", "Brandt", "Cheng", "Dubois", "Eze")]  # fmt: skip
EXEMPLARS = [
    {"id": f"a{i}", "file": f"takes/{name}", "seconds": 7.5 + i, "quality": 0.9 - i / 10,
     "labels": {}, "enrolled_at": "2026-11-20T10:00:00Z", "has_clip": i < 2}
    for i, name in enumerate(("morning warm-up.wav", "aria.flac", "duet, left channel.m4a"))
]  # fmt: skip


def fault(status: int, what: str, **more: object) -> tuple[int, dict[str, object]]:
    """An answer of the service that says what went wrong."""
    return status, {"error": {"what": what, **more}}


@dataclass
class Stub:
    """What the service answers and what it was asked.

    Attributes:
        answers: by "METHOD /path"; JSON, or (status, JSON), or a function of the path's query.
        asked: (method, path, headers, body) of each request that is not for the page.
        token: wanted from everything but the page, if not "".
    """

    answers: dict[str, object]
    clip: bytes = b""
    token: str = ""
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    address: str = ""

    def bodies(self, path: str) -> list[bytes]:
        """Bodies of the requests for a path."""
        return [body for _, asked, _, body in self.asked if asked == path]


def usual_answers() -> dict[str, object]:
    """A registry of 25 singers in which things go well."""
    return {
        "GET /health": {"status": "ok", "encoder": "9f2c4e1ab7d0deadbeef", "n_singers": 25,
                        "n_exemplars": 75, "version": "0.1.0"},
        "POST /identify": ANNA, "POST /verify": SAME, "POST /enroll": ENROLLED,
        "GET /singers": _singers,
        "GET /singers/Anna%20Brandt": {"name": "Anna Brandt", "n_exemplars": 3, "seconds": 25.5,
                                       "labels": {}, "exemplars": EXEMPLARS},
        "PATCH /singers/Anna%20Brandt": {"name": "Anna B."},
        "DELETE /singers/Anna%20Brandt": {"removed": 3},
        "DELETE /exemplars/a1": {"removed": 1},
    }  # fmt: skip


def _singers(query: str) -> dict[str, object]:
    fields = dict(pair.split("=") for pair in query.split("&"))
    found = [name for name in NAMES if fields["query"].lower() in name.lower()]
    start, limit = int(fields["offset"]), int(fields["limit"])
    shown = [
        {"name": name, "n_exemplars": 3, "seconds": 25.5, "labels": {"voice": "alto"},
         "enrolled_at": "2026-11-20T10:00:00Z"}
        for name in found[start : start + limit]
    ]  # fmt: skip
    return {"total": len(found), "singers": shown}


class _Handler(BaseHTTPRequestHandler):
    stub: Stub

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = parts.path.removeprefix("/static/") if parts.path != "/" else "index.html"
        if self.command == "GET" and (PAGE / name).is_file():
            kind = TYPES[(PAGE / name).suffix]
            return self._send(200, kind, (PAGE / name).read_bytes())
        self.stub.asked.append((self.command, parts.path, dict(self.headers), body))
        wanted = f"Bearer {self.stub.token}" if self.stub.token else None
        if wanted and parts.path != "/health" and self.headers.get("Authorization") != wanted:
            return self._json(*fault(401, "token missing or wrong", do="send the service's token"))
        if parts.path.endswith("/audio"):
            return self._send(200, "audio/mpeg", self.stub.clip)
        answer = self.stub.answers.get(f"{self.command} {parts.path}", fault(404, "no such thing"))
        answer = answer(parts.query) if callable(answer) else answer
        return self._json(*(answer if isinstance(answer, tuple) else (200, answer)))

    do_GET = do_POST = do_PATCH = do_DELETE = _answer

    def _json(self, status: int, body: object) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        if status == 429:
            self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(stub: Stub) -> Iterator[Stub]:
    """The stub on a free port, its `address` filled in."""
    handler = type("Handler", (_Handler,), {"stub": stub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    stub.address = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
