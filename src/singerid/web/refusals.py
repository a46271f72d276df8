"""Errors as answers: one form for all, ``{"error": {what, where, found, expected, do}}``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as BareHTTPException

from singerid.errors import MismatchError, SingeridError, one_line
from singerid.registry.names import NameTakenError, NotEnrolledError, RegistryError
from singerid.web.decoders import DecodingTimeout, ServiceStopped
from singerid.web.schemas import ErrorAnswer


class NobodyEnrolled(SingeridError):
    """The registry is empty."""

    def __init__(self) -> None:
        super().__init__("nobody is enrolled", do="enroll somebody first")


_LONGEST = 300  # characters of what is quoted

STATUSES: dict[type[SingeridError], int] = {
    DecodingTimeout: 504,
    ServiceStopped: 503,
    NotEnrolledError: 404,
    NameTakenError: 409,
    MismatchError: 409,
    NobodyEnrolled: 409,
    RegistryError: 503,  # names and labels are looked at before it is asked
}
"""Status by error, the first class that fits; the others are 422."""

MEANINGS = {
    400: "The request is malformed, or for another host.",
    401: "No token, or a wrong one.",
    403: "The request comes from another site's page.",
    404: "There is no such singer or exemplar.",
    405: "The address does not take this method.",
    408: "The body came too slowly.",
    409: "It cannot be done as the registry is now.",
    411: "The length of the body is wrong.",
    413: "The body is longer than the service takes.",
    415: "The body is of another type than the service takes.",
    422: "A field is wrong, or a recording cannot be used.",
    429: "Too many requests in a short time; see Retry-After.",
    500: "Something failed inside the service.",
    503: "Too many requests at once, or the service is stopping; see Retry-After.",
    504: "A recording took too long to decode.",
}


class Refusal(HTTPException):
    """A request that is not looked at any further.

    Args:
        status: of the answer.
        error: what is said.
        reason: in one or two words, for the metrics.
        retry_after: seconds.
    """

    def __init__(
        self, status: int, error: SingeridError, reason: str, retry_after: float | None = None
    ) -> None:
        headers = {} if retry_after is None else {"Retry-After": str(math.ceil(retry_after) or 1)}
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        super().__init__(status, str(error), headers)
        self.error, self.reason = error, reason


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer beside its success, for OpenAPI."""
    always = (400, 401, 403, 429, 500, 503)
    return {
        status: {"model": ErrorAnswer, "description": MEANINGS[status]}
        for status in sorted({*always, *statuses})
    }


def answer_of(error: SingeridError, status: int | None = None) -> JSONResponse:
    """The answer that says an error."""
    code = status or next((c for kind, c in STATUSES.items() if isinstance(error, kind)), 422)
    headers = {"Retry-After": "1"} if code == 503 else None
    return JSONResponse({"error": fields_of(error)}, code, headers)


def fields_of(error: SingeridError) -> dict[str, str | None]:
    """The parts of an error as short texts of one line."""
    parts = {"what": error.what, "where": error.where, "found": error.found}
    parts |= {"expected": error.expected, "do": error.do}
    return {
        name: None if value is None else one_line(value)[:_LONGEST] for name, value in parts.items()
    }


def add_handlers(app: FastAPI) -> None:
    """Give every error the one form."""
    app.add_exception_handler(SingeridError, _on_error)
    app.add_exception_handler(BareHTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_wrong_fields)


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SingeridError)
    if isinstance(error, RegistryError | MismatchError):
        error.where = None  # the place of the registry, which is nobody's business
    return answer_of(error)


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BareHTTPException)
    said = error.error if isinstance(error, Refusal) else SingeridError(str(error.detail))
    response = answer_of(said, error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _on_wrong_fields(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = dict(error.errors()[0])
    content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_is_wrong(content, request, first["loc"]):
        said = SingeridError(
            "the body is of another type", found=content or "none",
            expected="application/json" if request.method == "PATCH" else "multipart/form-data",
        )  # fmt: skip
        return answer_of(said, 415)
    place = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    message = str(first["msg"]).removeprefix("Value error, ")
    return answer_of(SingeridError(f"the field is wrong: {message}", where=place), 422)


def content_is_wrong(content: str, request: Request, location: Sequence[Any]) -> bool:
    """Whether a field is missing because the body has another type than the route takes."""
    if location[0] != "body" or request.method not in ("POST", "PATCH"):
        return False
    wanted = "application/json" if request.method == "PATCH" else "multipart/form-data"
    return content != wanted
