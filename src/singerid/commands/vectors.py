"""Commands from audio to vectors and maps: embed, table, plot."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from singerid.errors import BatchError, SingeridError
from singerid.flags import read_settings
from singerid.pretrained import path_of
from singerid.ray_pool import engine_of
from singerid.remote import is_url
from singerid.terminal import CPUS, check_failures, progress, say, warn, warn_all

if TYPE_CHECKING:
    from singerid.embeddings import EmbeddingSet
    from singerid.plots import FloatArray
    from singerid.records import Recording
    from singerid.sections import PlotSettings
    from singerid.store import Store

_MANY_POINTS = 20_000  # from which t-SNE takes many minutes


def embed(arguments: argparse.Namespace) -> None:
    """Embed audio files, a manifest's recordings or a store's."""
    from singerid.blocks import embed_in_blocks
    from singerid.embeddings import write_embeddings
    from singerid.external import load_embedder
    from singerid.manifest import select

    settings = read_settings(arguments).embed
    store = _store(arguments.inputs[0])
    # Stored features are for the network alone, without its front end: for torch.
    name = path_of(arguments.encoder, ".safetensors") if store else arguments.encoder
    encoder = load_embedder(name, settings)
    n_workers, make_pool = engine_of(arguments)
    if store and make_pool:
        raise SingeridError(
            "a store is embedded on one machine", where=arguments.inputs[0],
            do="leave --engine out, or embed the manifest",
        )  # fmt: skip
    if store and len(arguments.inputs) > 1:
        raise SingeridError("give one store and nothing else", found=" ".join(arguments.inputs))
    from_store = getattr(encoder, "embed_store", None)
    if store and from_store is None:
        raise SingeridError(
            "this encoder cannot use a store", where=arguments.encoder, do="embed the manifest"
        )
    recordings, failures = (store.recordings, []) if store else _recordings(arguments.inputs)
    n_inputs = len(recordings) + len(failures)
    if arguments.select:
        recordings = select(recordings, arguments.select)
    try:
        with progress("embed", sum(r.duration for r in recordings)) as advance:
            if store and from_store:
                embeddings, failed = from_store(store, recordings, advance)
            elif make_pool:
                embeddings, failed = embed_in_blocks(
                    encoder, recordings, n_workers, make_pool, advance, warn
                )
            else:
                embeddings, failed = encoder.embed_recordings(recordings, n_workers, advance, warn)
    except BatchError as error:  # none was left
        failed = [*failures, *error.failures]
        raise BatchError(f"all {n_inputs} recordings failed, nothing is saved", failed) from None
    write_embeddings(arguments.output, embeddings)
    dim = embeddings.vectors.shape[1]
    say(
        f"{arguments.output}: {len(embeddings)} vectors of {dim} dimensions, "
        f"{len(set(embeddings.singers))} singer(s), encoder {embeddings.encoder}"
    )
    check_failures([*failures, *failed], n_inputs, "recordings")


def _store(source: str) -> Store | None:
    """The store of that name, if it is one; a URL without a suffix is taken for a store's."""
    from singerid.store import Store

    if is_url(source):
        return None if PurePosixPath(source).suffix else Store(source)
    return Store(source) if Path(source, "spec.json").exists() else None


def _recordings(inputs: Sequence[str]) -> tuple[list[Recording], list[SingeridError]]:
    """Of a manifest, or of single files, whose singers and splits nobody knows: none is said."""
    from singerid.corpora.folder import readable
    from singerid.manifest import Scan, Source, build
    from singerid.records import read_recordings
    from singerid.sections import ManifestSettings

    if len(inputs) == 1 and inputs[0].endswith(".jsonl"):
        return read_recordings(inputs[0]), []
    if folder := next((path for path in inputs if os.path.isdir(path)), None):
        raise SingeridError(
            "is a folder, but no feature store", where=folder,
            do="make a manifest of it: singerid manifest",
        )  # fmt: skip
    sources = [
        Source(path if is_url(path) else Path(path), readable(path), readable(path))
        for path in inputs
    ]
    result = build(Scan(sources), ManifestSettings(splits="auto", valid_share=0), CPUS)
    warn_all(result.warnings)
    if not result.recordings:
        check_failures(result.problems, len(inputs), "files")
    return [replace(r, split="") for r in result.recordings], result.problems


def table(arguments: argparse.Namespace) -> None:
    """One centroid a singer."""
    from singerid.table import build_table, write_table

    settings = read_settings(arguments).table
    result = build_table(_embeddings(arguments), settings)
    write_table(arguments.output, result)
    say(f"{arguments.output}: {len(result)} singers, {sum(result.n_recordings)} recordings")


def plot(arguments: argparse.Namespace) -> None:
    """A map of recordings: a picture, an interactive page (.html), or a folder for TensorBoard."""
    from singerid import plots, projection

    settings, output = read_settings(arguments).plot, arguments.output
    kind = _kind_of_map(output, settings.dimensions)
    embeddings = _drawn(_embeddings(arguments), settings)
    what = f"{len(embeddings)} recordings of {len(set(embeddings.singers))} singers"
    if kind == "folder":
        _write_projector(output, embeddings)
        say(f"{output}: {what}; to see it: tensorboard --logdir {output}, tab Projector")
        return
    if settings.color != "seconds":
        embeddings.label(settings.color)
    if settings.method == "tsne" and len(embeddings) > _MANY_POINTS:
        warn(
            f"t-SNE of {len(embeddings):,} recordings takes long (of 100,000: over 10 "
            "minutes); faster: --plot.method opentsne, umap or pca"
        )
    points = projection.project(
        embeddings.vectors, settings.method, settings.seed, settings.perplexity,
        settings.dimensions,
    )  # fmt: skip
    name = projection.NAMES[settings.method]
    known = settings.marker in embeddings.labels or settings.marker in ("singer", "split")
    marker = f"marker {settings.marker}" if known else f"one marker: no label {settings.marker!r}"
    said = f"{output}: {name} of {what}, color {settings.color}, {marker}"
    if kind == "page":
        said += _write_page(output, embeddings, points, f"{name} of {what}", settings)
    else:
        figure = plots.map_figure(embeddings, points, settings.color, settings.marker, name)
        plots.save_figure(figure, output)
    say(said)


def _kind_of_map(output: str, dimensions: int) -> str:
    """Folder, page or picture; refused before minutes of work if it cannot be made."""
    from singerid.plots import SUFFIXES

    suffix = Path(output).suffix.lower()
    if not suffix or output.endswith(os.sep) or os.path.isdir(output):
        return "folder"
    if suffix == ".html":
        from singerid.map_page import plotly_script

        plotly_script()
        return "page"
    if suffix not in SUFFIXES:
        raise SingeridError(
            "no such kind of map", where=output, found=suffix,
            expected=" or ".join((".html", *SUFFIXES, "a folder for TensorBoard")),
        )  # fmt: skip
    if dimensions == 3:
        raise SingeridError("a picture is flat", where=output, do="three dimensions: -o map.html")
    return "picture"


def _drawn(embeddings: EmbeddingSet, settings: PlotSettings) -> EmbeddingSet:
    """At most so many singers, and so many recordings of each."""
    import numpy as np

    from singerid.table import draw

    rng = np.random.default_rng(settings.seed)
    chosen = set(draw(sorted(set(embeddings.singers)), settings.max_singers, rng))
    members: dict[str, list[int]] = {singer: [] for singer in sorted(chosen)}
    for row, singer in enumerate(embeddings.singers):
        if singer in chosen:
            members[singer].append(row)
    rows = [row for own in members.values() for row in draw(own, settings.max_recordings, rng)]
    return embeddings.select(sorted(rows))


def _write_page(
    path: str, embeddings: EmbeddingSet, points: FloatArray, title: str, settings: PlotSettings
) -> str:
    """Write the interactive map; returns what there is to be heard."""
    from singerid.map_page import clips_of, render_map
    from singerid.records import atomic_write

    clips = clips_of(embeddings, settings.clips) if settings.clips else {}
    page = render_map(
        embeddings, points, color=settings.color, marker=settings.marker, title=title,
        clips=clips, neighbors=settings.neighbors,
    )  # fmt: skip
    with atomic_write(path) as file:
        file.write(page)
    reasons = [clip for clip in clips.values() if isinstance(clip, str)]
    if clips and len(reasons) == len(clips):
        warn(f"no recording can be heard: {reasons[0]}")
    return f", {len(clips) - len(reasons)} can be heard" if clips else ""


def _write_projector(folder: str, embeddings: EmbeddingSet) -> None:
    """Write TensorBoard's projector, which makes its own projections."""
    from singerid.projector import write_projector
    from singerid.records import Recording

    rows = [
        Recording(id, singer, path, seconds, 0, split=split)
        for id, singer, path, seconds, split in zip(
            embeddings.ids, embeddings.singers, embeddings.paths, embeddings.seconds,
            embeddings.splits, strict=True,
        )
    ]  # fmt: skip
    labeled = [
        replace(row, labels={name: texts[i] for name, texts in embeddings.labels.items()})
        for i, row in enumerate(rows)
    ]
    write_projector(folder, embeddings.vectors, labeled, "recordings")


def _embeddings(arguments: argparse.Namespace) -> EmbeddingSet:
    from singerid.embeddings import read_embeddings

    embeddings = read_embeddings(arguments.embeddings)
    return embeddings.where(arguments.select) if arguments.select else embeddings
