"""The application: routes, errors, and the layers around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

import singerid
from singerid.judge import Judge
from singerid.sections import ServeSettings
from singerid.web import routes_service, routes_singers, routes_voices
from singerid.web.gate import Gate
from singerid.web.map_view import MapView
from singerid.web.refusals import add_handlers
from singerid.web.service import Service
from singerid.web.telemetry import Telemetry

if TYPE_CHECKING:
    from singerid.registry import Registry


def create_app(
    judge: Judge,
    registry: Registry,
    settings: ServeSettings | None = None,
    token: str | None = None,
) -> FastAPI:
    """The service as an ASGI application; ``app.state.service`` is what its routes share.

    Args:
        judge: what tells voices apart.
        registry: who is enrolled.
        settings: limits; those of the command line.
        token: that every request for more than the page has to show; None: none.

    Raises:
        MismatchError: the registry holds vectors of another encoder.
    """
    service = Service(judge, registry, settings or ServeSettings(), token)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.start)
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="singerid", version=singerid.__version__, lifespan=lifespan, docs_url=None,
        redoc_url=None, description="Who is singing?", separate_input_output_schemas=False,
    )  # fmt: skip
    app.state.service, app.state.map = service, MapView(service)
    for routes in (routes_voices, routes_singers, routes_service):
        app.include_router(routes.router)
    app.mount("/static", StaticFiles(directory=routes_service.PAGE), name="static")
    add_handlers(app)
    app.add_middleware(Gate, service=service)
    app.add_middleware(Telemetry, service=service)  # the last one added is the outermost
    return app
