"""Vectors computed before, so that long work can be interrupted and taken up again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from singerid.embeddings import EmbeddingSet, read_embeddings, write_embeddings
from singerid.errors import SingeridError

FloatArray = npt.NDArray[np.float32]
_ROWS = 2000  # vectors gathered before they are written
_REMARK = "remark"


class VectorCache:
    """Unit vectors by key, in Parquet files that are only ever added to a folder.

    Every file is an ordinary file of embeddings whose ids are the keys. Files of another encoder
    or that are damaged are left alone and not used.

    Args:
        folder: made when the first file is written; None keeps everything in memory.
        encoder: fingerprint of the encoder of all vectors.
        on_warning: called with a line for each file that cannot be read.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        encoder: str,
        on_warning: Callable[[str], object] = lambda line: None,
    ) -> None:
        self.folder, self.encoder = None if folder is None else Path(folder), encoder
        self._vectors: dict[str, tuple[FloatArray, str]] = {}
        self._unwritten: list[str] = []
        for path in sorted(self.folder.glob("*.parquet")) if self.folder else ():
            try:
                found = read_embeddings(path)
            except SingeridError as error:
                on_warning(f"not used: {error}")
                continue
            if found.encoder == encoder:
                remarks = found.labels.get(_REMARK, [""] * len(found))
                pairs = zip(found.vectors, remarks, strict=True)
                self._vectors.update(zip(found.ids, pairs, strict=True))

    def __len__(self) -> int:
        return len(self._vectors)

    def get(self, key: str) -> tuple[FloatArray, str] | None:
        """Vector and remark of a key, if it is there."""
        return self._vectors.get(key)

    def put(self, key: str, vector: FloatArray, remark: str = "") -> None:
        """Keep a unit vector `(dim,)`; a file is written for every 2000 of them."""
        if key not in self._vectors:
            self._unwritten.append(key)
        self._vectors[key] = vector, remark
        if len(self._unwritten) >= _ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what was not written yet."""
        keys, self._unwritten = self._unwritten, []
        if not keys or self.folder is None:
            return
        vectors, remarks = zip(*(self._vectors[key] for key in keys), strict=True)
        name = hashlib.sha256("\n".join([self.encoder, *keys]).encode()).hexdigest()[:16]
        rows = EmbeddingSet(
            keys, [""] * len(keys), np.stack(vectors), self.encoder, labels={_REMARK: remarks}
        )
        write_embeddings(self.folder / f"{name}.parquet", rows)
