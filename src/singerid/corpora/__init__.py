"""Folders of a known corpus → the files in them, with singer, split and labels.

Each adapter is a function `scan(root) -> Scan` that lists files without opening them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from singerid.corpora import csv_file, damp, folder
from singerid.errors import ManifestError
from singerid.manifest import Scan

CORPORA: dict[str, Callable[[Path], Scan]] = {
    "folder": folder.scan,
    "damp": damp.scan,
    "csv": csv_file.scan,
}


def scan(corpus: str, root: str | os.PathLike[str]) -> Scan:
    """List the recordings of a corpus.

    Args:
        corpus: name of an adapter, a key of `CORPORA`.
        root: its folder (for ``csv``, the CSV file).

    Raises:
        ManifestError: `root` is missing, or nothing in it looks like that corpus.
    """
    root = Path(root)
    if not root.exists():
        raise ManifestError("does not exist", where=root, expected="a folder or CSV file")
    found = CORPORA[corpus](root)
    if not found.sources and not found.problems:
        adapter = CORPORA[corpus]
        layout = (adapter.__doc__ or "").split("\n")[0]
        raise ManifestError(
            f"no recordings of corpus {corpus!r}", where=root,
            found=f"{found.n_ignored} files without an audio suffix", expected=layout,
        )  # fmt: skip
    return found
