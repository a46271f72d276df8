"""The server around the application: uvicorn with patience that ends, and an orderly stop."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from singerid.errors import SingeridError
from singerid.sections import ServeSettings
from singerid.web.gate import HEAD_BYTES
from singerid.web.logs import log, set_up_logs
from singerid.web.service import Service

_IDLE_SECONDS = 10
_UNREAD_SECONDS = 60.0  # for a client to read the rest of an answer
_MOST_CONNECTIONS = 1000
_LEAST_DRAIN = 0.3  # while new requests still hear that the service stops


class PatientProtocol(H11Protocol):
    """Uvicorn's own, which would wait for ever for the head of a first request."""

    head_seconds = 10.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._is_idle() and self._timer is None:
            self._expect_head()
        super().data_received(data)
        if not self._is_idle():
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Go on only with who has sent all of the request."""
        if self.cycle.more_body:  # the answer said "Connection: close"
            self.server_state.total_requests += 1
            self._close()
            return
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, even if its client never reads the last answer."""
        super().timeout_keep_alive_handler()
        self._close()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect_head(self) -> None:
        """From the connection's beginning, or from a later request's first byte."""
        self._timer = self.loop.call_later(self.head_seconds, self._close)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        self.transport.close()  # after what is still to be sent
        self.loop.call_later(_UNREAD_SECONDS, self.transport.abort)


class OrderlyServer(uvicorn.Server):
    """Stops when what was begun is done; until then new requests are told so (503).

    A second signal stops at once.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._stopping_since: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On SIGTERM and SIGINT."""
        if self._stopping_since is not None:
            self.should_exit = self.force_exit = True
            return
        self._stopping_since = time.monotonic()
        self._service.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Every tenth of a second: whether to end."""
        if self._stopping_since is not None:
            waited = time.monotonic() - self._stopping_since
            late = waited > self._service.settings.stop_seconds
            if late or (waited > _LEAST_DRAIN and not self._service.n_requests):
                self.should_exit = True
        return await super().on_tick(counter)


def run(app: FastAPI, settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Prints one JSON line with the address on standard output when it listens, logs on standard
    error.

    Raises:
        SingeridError: the address cannot be listened at.
    """
    service: Service = app.state.service
    set_up_logs()
    try:
        listener = _listen(settings.host, settings.port)
        patient = type("Patient", (PatientProtocol,), {"head_seconds": settings.head_seconds})
        config = uvicorn.Config(
            app, http=patient, ws="none", log_config=None, access_log=False,
            server_header=False, proxy_headers=False, lifespan="on",
            h11_max_incomplete_event_size=HEAD_BYTES, limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=_IDLE_SECONDS, timeout_graceful_shutdown=5,
        )  # fmt: skip
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(json.dumps({"address": f"http://{shown}:{port}", "pid": os.getpid()}), flush=True)
        log("started", host=host, port=port, workers=settings.workers)
        OrderlyServer(config, service).run([listener])
        log("stopped")
    finally:
        service.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=256)
    except (OSError, UnicodeError) as error:
        raise SingeridError(
            "cannot be listened at", where=f"{host}:{port}",
            found=getattr(error, "strerror", None) or error,
            do="give another --host or --port",
        ) from error  # fmt: skip
    return listener
