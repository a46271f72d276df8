"""The page, the map, and what monitors ask: /, /map, /docs, /health, /ready, /metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response

import singerid
from singerid.web import schemas
from singerid.web.api_page import api_page
from singerid.web.map_view import POLICY
from singerid.web.metrics import CONTENT_TYPE
from singerid.web.refusals import documented
from singerid.web.routes_voices import TheService

router = APIRouter(tags=["service"])
PAGE = Path(__file__).parent / "page"


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The page."""
    return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})


@router.get("/map", response_class=HTMLResponse, responses=documented(409, 422))
async def singers_map(service: TheService, request: Request) -> Response:
    """The interactive map of all exemplars."""
    html = await request.app.state.map.page()
    return HTMLResponse(html, headers={"Content-Security-Policy": POLICY})


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """This API for people, without anybody else's scripts."""
    return HTMLResponse(api_page(request.app.openapi()))


@router.get("/health", response_model=schemas.HealthAnswer, responses=documented())
async def health(service: TheService) -> dict[str, Any]:
    """That the service lives, and with what."""
    n_singers, n_exemplars = await service.ask(
        lambda: (len(service.registry), service.registry.n_exemplars)
    )
    return {
        "status": "stopping" if service.draining else "ok",
        "encoder": service.judge.encoder.fingerprint, "n_singers": n_singers,
        "n_exemplars": n_exemplars, "version": singerid.__version__,
    }  # fmt: skip


@router.get(
    "/ready",
    response_model=schemas.ReadyAnswer,
    responses=documented() | {503: {"model": schemas.ReadyAnswer, "description": "Not now."}},
)
async def ready(service: TheService) -> Response:
    """Whether requests are taken at the moment."""
    full = service.n_heavy >= service.settings.queue
    is_ready = not service.draining and not full
    return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


@router.get("/metrics", response_class=PlainTextResponse, responses=documented())
async def metrics(service: TheService) -> Response:
    """Counters in the text format of Prometheus."""
    text = await service.ask(service.metrics.text)
    return Response(text, media_type=CONTENT_TYPE)
