"""Who may ask: the right host name, no other site's page, the token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from singerid.errors import SingeridError
from singerid.sections import ServeSettings
from singerid.web.refusals import Refusal

COOKIE = "singerid"
_OPEN = {"/", "/health", "/ready", "/docs", "/openapi.json"}
_READING = ("GET", "HEAD")
_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}


def is_local(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def needs_no_token(path: str) -> bool:
    """The page itself, what it is made of, and what monitors look at."""
    return path in _OPEN or path.startswith("/static/")


class Access:
    """Checks of a request's head.

    Args:
        settings: host, and other names that the service is known by.
        token: that everybody has to show; None: nobody has to.
    """

    def __init__(self, settings: ServeSettings, token: str | None) -> None:
        given = {name.strip().lower() for name in settings.hosts.split(",") if name.strip()}
        local = _LOCAL_NAMES | {settings.host.lower()}
        # Where only this machine listens, a page of another site could still get here by a name of
        # its own that it points to this machine (DNS rebinding).
        self._hosts = given | local if given or is_local(settings.host) else None
        self._token = token.encode() if token else None
        self._cookie = (
            hmac.new(self._token, b"singerid page", hashlib.sha256).hexdigest().encode()
            if self._token
            else b""
        )

    def check(self, method: str, path: str, headers: Headers) -> None:
        """Let the request pass.

        Raises:
            Refusal: 400, 401 or 403.
        """
        self._check_host(headers.get("host", ""))
        if method not in _READING:
            self._check_origin(headers)
        if self._token is not None and not needs_no_token(path):
            self._check_token(method, headers)

    def cookie_for(self, headers: Headers) -> str | None:
        """What lets a browser that has shown the token open the map and the clips as well.

        A link or an ``<audio>`` cannot send a token. The cookie is made from it and does not
        tell it, no script can read it, other sites' pages do not cause it to be sent, and only
        reading is allowed with it.
        """
        if self._token is None or not self._has_token(headers) or self._has_cookie(headers):
            return None
        return f"{COOKIE}={self._cookie.decode()}; Path=/; HttpOnly; SameSite=Strict"

    def _check_host(self, host: str) -> None:
        if self._hosts is None:
            return
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            name = None
        if name not in self._hosts:
            error = SingeridError(
                "the service is not known by this host name", found=host[:100] or "none",
                do="start it with --serve.hosts NAME",
            )  # fmt: skip
            raise Refusal(400, error, "host")

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None:
            return
        try:
            place = urlsplit(origin).netloc.lower()
        except ValueError:
            place = ""
        if not place or place != headers.get("host", "").lower():
            error = SingeridError("the request comes from another site's page", found=origin[:100])
            raise Refusal(403, error, "origin")

    def _check_token(self, method: str, headers: Headers) -> None:
        if self._has_token(headers) or (method in _READING and self._has_cookie(headers)):
            return
        error = SingeridError(
            "the token is missing or wrong", expected="the header Authorization: Bearer TOKEN"
        )
        raise Refusal(401, error, "token")

    def _has_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode("latin-1"), self._token or b"")
        return right and scheme.lower() == "bearer"

    def _has_cookie(self, headers: Headers) -> bool:
        try:
            given = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return given is not None and hmac.compare_digest(
            given.value.encode("utf-8", "replace"), self._cookie
        )
