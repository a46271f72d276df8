"""The interactive map as one HTML page that needs nothing else: no network, no other file.

Plotly draws the points; map_page.html, .css, map_draw.js and map_page.js are ours: read and change
them. The same input gives the same bytes. What the page carries, as JSON:

- points as float32, columns of labels as their values and a code a row, neighbors as rows and
  cosines: little-endian arrays in base64, for a hundred thousand points are read at once
- ids, labels, split, seconds; paths and hashes are left out: a map is made to be passed on
- clips as MP3, or the reason why there is none
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from string import Template
from typing import Any

import numpy as np
import numpy.typing as npt

from singerid.embeddings import EmbeddingSet
from singerid.errors import MissingExtraError, SingeridError
from singerid.neighbors import nearest
from singerid.report.markup import escape
from singerid.report.players import Clip, make_clips

MAX_POINTS = 200_000  # a browser draws them, but hardly moves more
CLIP_SECONDS = 4.0  # enough for a voice to be known; half as long, twice as many
_MIN_NUMBERS = 9  # values of a label of numbers that are shown on a scale, not as classes


def render_map(
    embeddings: EmbeddingSet,
    points: npt.NDArray[np.floating],
    *,
    color: str = "singer",
    marker: str = "gender",
    title: str = "Map of recordings",
    clips: Mapping[str, Clip | str] | None = None,
    clip_url: str | None = None,
    neighbors: int = 10,
) -> str:
    """The page.

    Args:
        embeddings: `n` rows, for their ids and labels; vectors for the neighbors.
        points: `(n, 2)` or `(n, 3)`, see `singerid.projection.project`.
        color: label of the colors that are shown first; also ``seconds``.
        marker: label of the markers that are shown first; an unknown one gives one marker to all.
        title: heading of the page.
        clips: a clip by row's id, or the reason why there is none (see `clips_of`).
        clip_url: where a server has the clip of a row, on its own origin: ``{id}`` stands for the
            id, which is percent-encoded. For rows without an entry in `clips`.
        neighbors: most alike rows that are shown of each, by cosine; 0 for none.

    Returns:
        A whole HTML document; any text of `embeddings` is escaped.

    Raises:
        SingeridError: points do not fit, are not finite or are too many, or no such color.
        MissingExtraError: Plotly is not installed.
    """
    points = np.asarray(points, np.float32)
    _check(embeddings, points)
    columns = _columns(embeddings)
    if color not in columns:
        embeddings.label(color)  # says which there are
        color = "singer"  # one of which no row has a value
    rows, scores = nearest(embeddings.vectors, neighbors)
    data: dict[str, Any] = {
        "title": title,
        "ids": list(embeddings.ids),
        "points": [_packed(points[:, axis], "<f4") for axis in range(points.shape[1])],
        "columns": [_coded(name, texts) for name, texts in columns.items()],
        "color": color,
        "marker": marker if marker in columns else "",
        "n_neighbors": rows.shape[1],
        "neighbors": _packed(rows, "<u4"),
        "scores": _packed(np.rint(scores * 1e4), "<i2"),
        "clip_url": clip_url,
    }
    return _page(title, data, _clips(embeddings.ids, clips or {}), clip_url is not None)


def clips_of(embeddings: EmbeddingSet, megabytes: float) -> dict[str, Clip | str]:
    """A clip of as many recordings as fit: one of each singer, then a second of each, and so on.

    Args:
        embeddings: rows with paths.
        megabytes: 10⁶ bytes of MP3; of 4 seconds each, about 60 clips a megabyte.

    Returns:
        A clip or the reason why there is none, for every id.
    """
    seen: dict[str, int] = {}
    turns = []
    for row, singer in enumerate(embeddings.singers):
        turns.append((seen.setdefault(singer, 0), row))
        seen[singer] += 1
    ids = [embeddings.ids[row] for _, row in sorted(turns)]
    sources = {id: (path, "mix") for id, path in zip(embeddings.ids, embeddings.paths, strict=True)}
    return make_clips(ids, sources, seconds=CLIP_SECONDS, budget=megabytes)


def _check(embeddings: EmbeddingSet, points: npt.NDArray[np.float32]) -> None:
    n = len(embeddings)
    if points.ndim != 2 or points.shape[1] not in (2, 3) or len(points) != n or not n:
        raise SingeridError(
            "points do not fit the embeddings", found=f"shape {points.shape}, {n} rows",
            expected="(n, 2) or (n, 3), n at least 1",
        )  # fmt: skip
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise SingeridError("a point is not finite", where=embeddings.ids[row])
    if n > MAX_POINTS:
        raise SingeridError(
            "too many points for one page", found=f"{n:,}", expected=f"at most {MAX_POINTS:,}",
            do="draw fewer: --plot.max_recordings, --plot.max_singers",
        )  # fmt: skip


def _columns(embeddings: EmbeddingSet) -> dict[str, Sequence[str]]:
    """What is known of the rows and may be seen by others, by name."""
    columns = {"singer": embeddings.singers, "split": embeddings.splits, **embeddings.labels}
    if any(embeddings.seconds):
        columns["seconds"] = [f"{seconds:.2f}" for seconds in embeddings.seconds]
    return {name: texts for name, texts in columns.items() if name == "singer" or any(texts)}


def _coded(name: str, texts: Sequence[str]) -> dict[str, Any]:
    """A column as its sorted values, "" (unknown) last, and the index of each row's."""
    numbers = name not in ("singer", "split") and _are_numbers(texts)
    values = sorted(
        set(texts), key=lambda text: (text == "", float(text or 0) if numbers else 0, text)
    )
    code = {text: i for i, text in enumerate(values)}
    codes = np.fromiter((code[text] for text in texts), np.int64, len(texts))
    return {"name": name, "values": values, "codes": _packed(codes, "<u4"), "numbers": numbers}


def _are_numbers(texts: Sequence[str]) -> bool:
    distinct = set(texts) - {""}
    try:
        return len(distinct) >= _MIN_NUMBERS and all(math.isfinite(float(t)) for t in distinct)
    except ValueError:
        return False


def _packed(values: npt.NDArray[Any], kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values).astype(kind).tobytes()).decode()


def _clips(ids: Sequence[str], clips: Mapping[str, Clip | str]) -> dict[str, Any]:
    """Clips by row, and the rows without one by the reason."""
    media: dict[int, str] = {}
    missing: dict[str, list[int]] = {}
    for row, id in enumerate(ids):
        clip = clips.get(id)
        if isinstance(clip, Clip):
            media[row] = clip.uri
        elif clip:
            missing.setdefault(clip, []).append(row)
    return {"media": media, "missing": missing}


def _page(title: str, data: dict[str, Any], clips: dict[str, Any], served: bool) -> str:
    """The template filled; the policy forbids other scripts, and any network but the clips'."""
    plotly, style = plotly_script(), _file("map_page.css")
    script = _file("map_draw.js") + _file("map_page.js")
    digests = " ".join(f"'sha256-{_digest(code)}'" for code in (plotly, script))
    network = "'self'" if served else "'none'"
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; "
        f"media-src data: blob:; connect-src {network}; "
        # Plotly compiles its drawing commands for WebGL from texts of its own.
        f"script-src {digests} 'unsafe-eval'"
    )
    return Template(_file("map_page.html")).substitute(
        title=escape(title), policy=policy, style=style, script=script, plotly=plotly,
        data=_json(data), clips=_json(clips),
    )  # fmt: skip


def _json(data: dict[str, Any]) -> str:
    """JSON that ends no element: a text with ``</script>`` stays a text."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _digest(code: str) -> str:
    return base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()


def plotly_script() -> str:
    """Plotly's JavaScript (MIT), which comes with its Python package.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise MissingExtraError("plotly", "map") from None
    code: str = get_plotlyjs()
    return code


def _file(name: str) -> str:
    return resources.files("singerid").joinpath(name).read_text(encoding="utf-8")
