"""Smule DAMP: amateur karaoke, as laid out in the original implementation's examples."""

from __future__ import annotations

from pathlib import Path

from singerid.corpora.folder import SPLIT_NAMES, readable, readable_id, walk
from singerid.errors import ManifestError
from singerid.manifest import Scan, Source


def scan(root: Path) -> Scan:
    """<root>/[train|val/]<singer>/<singer>_<performance>.m4a"""
    result = Scan()
    for path in walk(root, result):
        parts = path.relative_to(root).parts
        singer, _, performance = path.stem.partition("_")
        if not performance or len(parts) < 2 or parts[-2] != singer:
            result.problems.append(
                ManifestError(
                    "is not named as in DAMP", where=path, found=path.name,
                    expected=scan.__doc__, do="use --corpus folder for other layouts",
                )
            )  # fmt: skip
            continue
        split = SPLIT_NAMES.get(parts[0].lower()) if len(parts) > 2 else None
        labels = {"corpus": "damp", "performance": readable(performance)}
        result.sources.append(
            Source(path, readable_id(path, root), readable(singer), split, labels=labels)
        )
    return result
