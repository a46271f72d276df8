"""The outermost layer: an id, a log line and counts for every request, headers for every answer."""

from __future__ import annotations

import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from singerid.errors import SingeridError
from singerid.web.logs import LOGGER, identity_of, log, request_id
from singerid.web.refusals import answer_of
from singerid.web.service import Service

CSP = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-store",
}
_QUIET = {"/health", "/ready", "/metrics", "/static"}


class Telemetry:
    """ASGI middleware; an exception that nobody caught ends here, as 500."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = identity_of(Headers(scope=scope).get("x-request-id"))
        request_id.set(identity)
        scope.setdefault("state", {})
        start, status = time.perf_counter(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = identity
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:
            LOGGER.exception("failed", extra={"data": {"route": route_of(scope)}})
            if not status:
                error = SingeridError("something failed inside the service", where=identity)
                await answer_of(error, 500)(scope, receive, sending)
        finally:
            self._note(scope, status, time.perf_counter() - start)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route, metrics = route_of(scope), self._service.metrics
        metrics.requests.add(scope["method"] if route else "other", route or "other", str(status))
        metrics.seconds.observe(seconds, route or "other")
        client = scope["client"][0] if scope.get("client") else None
        level = logging.DEBUG if route in _QUIET and status < 400 else logging.INFO
        log(
            "request", level, method=scope["method"], route=route, status=status, client=client,
            ms=round(1e3 * seconds, 1), refused=scope["state"].get("refused"),
        )  # fmt: skip


def route_of(scope: Scope) -> str | None:
    """The route's pattern, without names of singers; None if there is none."""
    if scope["path"].startswith("/static/"):
        return "/static"
    return getattr(scope.get("route"), "path_format", None)
