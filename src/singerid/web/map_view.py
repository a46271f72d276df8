"""The map of the registry: drawn again only after the registry has changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import numpy as np

from singerid.web.refusals import NobodyEnrolled

if TYPE_CHECKING:
    from singerid.registry import Registry
    from singerid.web.service import Service

_CLIP_URL = "exemplars/{id}/audio"
_MOST_POINTS = 20_000  # drawn at random from more
_MOST_TSNE = 2_000  # more would take minutes: PCA
POLICY = "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
"""Beside the page's own policy, which allows its scripts by their hashes and no network but the
clips'."""


class MapView:
    """The page, kept until the registry's version is another; drawn once for all who wait."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept: tuple[int, str] | None = None
        self._drawing: dict[int, asyncio.Future[str]] = {}

    async def page(self) -> str:
        """HTML.

        Raises:
            SingeridError: nobody is enrolled, or it cannot be drawn.
        """
        registry = self._service.registry
        version = await self._service.ask(lambda: registry.version)
        if self._kept and self._kept[0] == version:
            return self._kept[1]
        if (drawing := self._drawing.get(version)) is None or drawing.get_loop().is_closed():
            drawing = asyncio.ensure_future(self._service.ask(draw_map, registry))
            self._drawing[version] = drawing
        try:
            html = await asyncio.shield(drawing)
        finally:
            if drawing.done():
                self._drawing.pop(version, None)
        self._kept = (version, html)
        return html


def draw_map(registry: Registry) -> str:
    """The page of all exemplars, or of as many as a browser draws.

    Raises:
        NobodyEnrolled: there are none.
    """
    from singerid.map_page import render_map
    from singerid.projection import project

    if not len(registry):
        raise NobodyEnrolled
    embeddings = registry.embeddings()
    title = "Map of the registry"
    if len(embeddings) > _MOST_POINTS:
        rng = np.random.default_rng(0)
        rows = np.sort(rng.choice(len(embeddings), _MOST_POINTS, replace=False))
        title += f": {_MOST_POINTS} of {len(embeddings)} exemplars"
        embeddings = embeddings.select(rows.tolist())
    method: Literal["tsne", "pca"] = "tsne" if len(embeddings) <= _MOST_TSNE else "pca"
    points = project(embeddings.vectors, method, 0)
    return render_map(embeddings, points, color="singer", title=title, clip_url=_CLIP_URL)
