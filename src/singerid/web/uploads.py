"""Uploads as files of their own, under names that the service gives them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.requests import Request as BareRequest

from singerid.errors import one_line

_BLOCK = 1 << 20
_MOST_FIELDS, _FIELD_BYTES = 16, 64 << 10
_MOST_FILES = 100  # in a form; what a route takes is a setting
_NAME_LENGTH = 120


@dataclass(frozen=True)
class Upload:
    """A file that was sent.

    Attributes:
        path: where it lies, for as long as its request is answered.
        name: what its sender calls it, to be shown and never to be opened.
        sha256: of its bytes, in hex.
    """

    path: Path
    name: str
    sha256: str


class Uploads:
    """A folder for uploads, which only this user can read; `close` removes it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="singerid-uploads-"))

    @contextmanager
    def kept(self, file: BinaryIO, name: str | None) -> Iterator[Upload]:
        """The upload as a file on disk, until the end of the ``with`` statement."""
        digest = hashlib.sha256()
        with tempfile.NamedTemporaryFile(dir=self._folder) as copy:
            while block := file.read(_BLOCK):
                digest.update(block)
                copy.write(block)
            copy.flush()
            yield Upload(Path(copy.name), display_name(name), digest.hexdigest())

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)


def display_name(name: str | None) -> str:
    """The last part of a file's name, on one line; ``recording`` if there is none."""
    last = os.path.basename((name or "").replace("\\", "/"))
    return one_line(last).strip()[:_NAME_LENGTH] or "recording"


class _LimitedRequest(Request):
    """A form is parsed with limits on its parts (the gate limits its length)."""

    async def _get_form(self, **limits: Any) -> FormData:
        return await BareRequest._get_form(
            self, max_files=_MOST_FILES, max_fields=_MOST_FIELDS, max_part_size=_FIELD_BYTES
        )


class LimitedRoute(APIRoute):
    """A route whose requests are `_LimitedRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI, "Custom Request and APIRoute class"."""
        answer = super().get_route_handler()

        async def limited(request: Request) -> Response:
            return await answer(_LimitedRequest(request.scope, request.receive))

        return limited
