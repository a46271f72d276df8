"""What a request has to pass before anything is done for it, and while its body comes in."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from singerid.errors import SingeridError
from singerid.web.access import needs_no_token
from singerid.web.refusals import Refusal, answer_of
from singerid.web.service import Service

HEAD_BYTES = 16 << 10
"""Longest head of a request that is read."""
_LEAST_BYTES_PER_SECOND = 16_384  # of a body, beyond the seconds that it has anyhow
_CHEAP = 0.1  # of a request that only reads
_DRAIN_SECONDS, _DRAIN_BYTES = 2.0, 64 << 20
_ALWAYS = {"/health", "/metrics"}  # answered while the service stops


class Gate:
    """ASGI middleware: host, origin, rate, token, load, and length and pace of the body."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        self._most_bytes = service.settings.max_mb * 1_000_000

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, scope, self._most_bytes, self._service.settings.body_seconds)
        answer = _Answer(send, body)
        headers, service = Headers(scope=scope), self._service
        heavy = scope["method"] not in ("GET", "HEAD") or scope["path"] == "/map"
        try:
            self._check(scope, headers, heavy)
        except Refusal as refusal:
            service.metrics.refused.add(refusal.reason)
            scope["state"]["refused"] = refusal.reason
            response = answer_of(refusal.error, refusal.status_code)
            response.headers.update(refusal.headers or {})
            await response(scope, receive, answer.send)
            return
        answer.cookie = service.access.cookie_for(headers)
        with service.counted(heavy):
            await self._app(scope, body.receive, answer.send)

    def _check(self, scope: Scope, headers: Headers, heavy: bool) -> None:
        """Of the head alone; in the order of what it costs."""
        service, path = self._service, scope["path"]
        # h11 only measures a head that comes in pieces.
        size = len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
        size += sum(len(name) + len(value) for name, value in scope["headers"])
        if size > HEAD_BYTES:
            error = SingeridError(
                "the head of the request is too long", found=f"{size} bytes",
                expected=f"at most {HEAD_BYTES}",
            )  # fmt: skip
            raise Refusal(400, error, "head")
        if service.draining and path not in _ALWAYS:
            raise Refusal(503, SingeridError("the service is stopping"), "stopping", 5)
        if not needs_no_token(path):  # wrong tokens count as well
            client = scope["client"][0] if scope.get("client") else ""
            if wait := service.rate.wait_for(client, 1.0 if heavy else _CHEAP):
                error = SingeridError(
                    "too many requests", expected=f"{service.settings.rate:g} a minute",
                    do="wait a little",
                )  # fmt: skip
                raise Refusal(429, error, "rate", wait)
        service.access.check(scope["method"], path, headers)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._most_bytes:
            raise _too_large(self._most_bytes, f"{int(length) / 1e6:.0f} MB")
        if heavy and service.n_heavy >= service.settings.queue:
            error = SingeridError("too many requests at once", do="try again in a second")
            raise Refusal(503, error, "busy", 1)


class _Body:
    """A request's body, counted and timed as it comes in."""

    def __init__(self, receive: Receive, scope: Scope, most_bytes: int, seconds: float) -> None:
        self._receive, self._most_bytes, self._seconds = receive, most_bytes, seconds
        headers = Headers(scope=scope)
        self.ended = (
            "transfer-encoding" not in headers and headers.get("content-length", "0") == "0"
        )
        self._waits = headers.get("expect", "").lower() == "100-continue"
        self._start: float | None = None
        self._n_bytes = 0

    async def receive(self) -> Message:
        """See ASGI.

        Raises:
            Refusal: 408 or 413.
        """
        if self.ended:
            return await self._receive()
        if self._start is None:
            self._start = time.monotonic()
        seconds = self._seconds + self._n_bytes / _LEAST_BYTES_PER_SECOND
        left = self._start + seconds - time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(left, 0.001))
        except TimeoutError:
            error = SingeridError(
                "the body comes too slowly", found=f"{self._n_bytes} bytes in {seconds:.0f} s"
            )
            raise Refusal(408, error, "slow") from None
        self._note(message)
        if self._n_bytes > self._most_bytes:
            raise _too_large(self._most_bytes, "more")
        return message

    def _note(self, message: Message) -> None:
        self._n_bytes += len(message.get("body", b""))
        self.ended = message["type"] != "http.request" or not message.get("more_body", False)

    async def drain(self) -> None:
        """Read on for a moment: a client that still writes would miss an answer otherwise."""
        if self._waits:  # it has not begun
            return
        most = self._n_bytes + _DRAIN_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not self.ended and self._n_bytes < most:
                    self._note(await self._receive())


class _Answer:
    """The way out: drains the body before an early answer ends, and hands out the cookie."""

    def __init__(self, send: Send, body: _Body) -> None:
        self._send, self._body = send, body
        self.cookie: str | None = None

    async def send(self, message: Message) -> None:
        """See ASGI."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if not self._body.ended:
                headers["Connection"] = "close"
            if self.cookie and message["status"] < 400:
                headers.append("Set-Cookie", self.cookie)
        elif not message.get("more_body", False) and not self._body.ended:
            await self._send({**message, "more_body": True})
            await self._body.drain()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)


def _too_large(most_bytes: int, found: str) -> Refusal:
    error = SingeridError(
        "the request is too large", found=found, expected=f"at most {most_bytes / 1e6:g} MB",
        do="send a part of the recording, or as FLAC, Opus or MP3",
    )  # fmt: skip
    return Refusal(413, error, "large")
