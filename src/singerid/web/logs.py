"""Logs as JSON lines on standard error: no audio, no vectors, no tokens, no names of singers."""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

LOGGER = logging.getLogger("singerid.web")
request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that the present task works for."""

_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, and what was given as ``extra={"data": …}``."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        time = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if identity := request_id.get():
            line["request"] = identity
        line |= getattr(record, "data", {})
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log(event: str, level: int = logging.INFO, **data: Any) -> None:
    """One line about what happened."""
    LOGGER.log(level, event, extra={"data": data})


def set_up_logs() -> None:
    """JSON lines for this service and for the server below it, on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (
        ("singerid.web", logging.INFO), ("uvicorn.error", logging.WARNING),
        ("uvicorn.access", logging.CRITICAL), ("asyncio", logging.WARNING),
    ):  # fmt: skip
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def identity_of(given: str | None) -> str:
    """The id that a client or proxy gave its request, if it is harmless, or a new one."""
    return given if given and _SAFE_ID.fullmatch(given) else secrets.token_hex(8)
