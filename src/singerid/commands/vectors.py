"""Commands from audio to vectors and maps: embed, table, plot."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from singerid.errors import BatchError, SingeridError
from singerid.flags import read_settings
from singerid.pretrained import path_of
from singerid.terminal import CPUS, check_failures, progress, say, warn, warn_all

if TYPE_CHECKING:
    from singerid.embeddings import EmbeddingSet
    from singerid.records import Recording


def embed(arguments: argparse.Namespace) -> None:
    """Embed audio files, a manifest's recordings or a store's."""
    from singerid.embeddings import write_embeddings
    from singerid.external import load_embedder
    from singerid.manifest import select
    from singerid.store import Store

    settings = read_settings(arguments).embed
    first = Path(arguments.inputs[0])
    store = Store(first) if (first / "spec.json").exists() else None
    # Stored features are for the network alone, without its front end: for torch.
    name = path_of(arguments.encoder, ".safetensors") if store else arguments.encoder
    encoder = load_embedder(name, settings)
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
            else:
                embeddings, failed = encoder.embed_recordings(
                    recordings, arguments.workers, advance, warn
                )
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
    sources = [Source(Path(path), readable(path), readable(path)) for path in inputs]
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
    """A map of recordings."""
    import numpy as np

    from singerid import plots
    from singerid.table import draw

    settings = read_settings(arguments).plot
    embeddings = _embeddings(arguments)
    rng = np.random.default_rng(settings.seed)
    chosen = set(draw(sorted(set(embeddings.singers)), settings.max_singers, rng))
    rows: list[int] = []
    for singer in sorted(chosen):
        members = [i for i, name in enumerate(embeddings.singers) if name == singer]
        rows += draw(members, settings.max_recordings, rng)
    embeddings = embeddings.select(sorted(rows))
    points = plots.project(embeddings.vectors, settings.method, settings.seed, settings.perplexity)
    name = {"tsne": "t-SNE", "pca": "PCA", "umap": "UMAP"}[settings.method]
    figure = plots.map_figure(embeddings, points, settings.color, settings.marker, name)
    plots.save_figure(figure, arguments.output)
    what = f"{len(embeddings)} recordings of {len(chosen)} singers"
    known = settings.marker in embeddings.labels or settings.marker in ("singer", "split")
    marker = f"marker {settings.marker}" if known else f"one marker: no label {settings.marker!r}"
    say(f"{arguments.output}: {name} of {what}, color {settings.color}, {marker}")


def _embeddings(arguments: argparse.Namespace) -> EmbeddingSet:
    from singerid.embeddings import read_embeddings

    embeddings = read_embeddings(arguments.embeddings)
    return embeddings.where(arguments.select) if arguments.select else embeddings
