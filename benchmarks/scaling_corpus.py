"""A synthetic corpus of any size, in the real formats, for `scaling`: no audio behind it.

Ten recordings a singer, five singers of a hundred for validation. Features are 40 frames of 8
mels (1.3 kB a recording, where 10 s of the default front end have 200 kB); vectors have 256
dimensions, as the original's, and lie around their singer's.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from singerid.embeddings import EmbeddingSet, embedding_set, normalize, write_embeddings
from singerid.entries import Entry
from singerid.records import Recording, write_recordings
from singerid.spec import FeatureSpec, MelSettings
from singerid.store import (
    shard_path,
    source_of,
    spec_json,
    write_checksums,
    write_index,
)

PER_SINGER, N_FRAMES, N_MELS, DIM = 10, 40, 8, 256
SHARD_RECORDINGS = (1 << 30) // (4 * N_FRAMES * N_MELS)  # as many as a real shard of 1 GiB holds


def spec() -> FeatureSpec:
    """The front end of the synthetic store."""
    return FeatureSpec(mel=MelSettings(n_mels=N_MELS))


def recordings(n: int) -> Iterator[Recording]:
    """`n` recordings of n / 10 singers, with the fields and labels that a real manifest has."""
    for i in range(n):
        singer, k = divmod(i, PER_SINGER)
        name = f"corpus:singer{singer:07d}"
        yield Recording(
            f"{name}/song{k:02d}", name, f"/data/corpus/{name}/song{k:02d}.flac", 10.0, 44100,
            split="valid" if singer % 20 == 0 else "train",
            sha256=hashlib.sha256(b"%d" % i).hexdigest(),
            labels={
                "corpus": "synthetic", "gender": "FM"[singer % 2], "song": f"song{k * 7 % 100}",
                "technique": "straight",
            },
        )  # fmt: skip


def write_store(path: Path, n: int) -> None:
    """A store of `n` recordings, as `singerid features` would leave it."""
    path.mkdir(parents=True)
    (path / "spec.json").write_text(spec_json(spec()) + "\n", "utf-8")
    entries = list(_write_shards(path, n))
    write_index(path, entries)
    write_recordings(path / "recordings.jsonl", recordings(n))
    write_checksums(path)


def _write_shards(path: Path, n: int) -> Iterator[Entry]:
    rng, listing = np.random.default_rng(0), recordings(n)
    for first in range(0, n, SHARD_RECORDINGS):
        shard = first // SHARD_RECORDINGS
        with shard_path(path, shard).open("wb") as file:
            for place in range(min(SHARD_RECORDINGS, n - first)):
                recording = next(listing)
                frames = rng.random((N_FRAMES, N_MELS), np.float32).tobytes()
                file.write(frames)
                start = place * N_FRAMES
                yield Entry(
                    recording.id, source_of(recording), shard, start, N_FRAMES, zlib.crc32(frames)
                )


def vectors(n: int) -> npt.NDArray[np.float32]:
    """Unit vectors `(n, DIM)`: a singer's mean direction, and as much of each recording's own."""
    rng = np.random.default_rng(1)
    own = rng.standard_normal((n, DIM), np.float32)
    of_singers = rng.standard_normal((-(-n // PER_SINGER), DIM), np.float32)
    for start in range(0, n, 1 << 16):
        rows = slice(start, start + (1 << 16))
        singer = np.arange(n)[rows] // PER_SINGER
        own[rows] = normalize(own[rows] + 0.5 * of_singers[singer])
    return own


def embeddings(n: int) -> EmbeddingSet:
    """Embeddings of all recordings."""
    listing = list(recordings(n))
    return embedding_set(listing, vectors(n), [5] * n, "synthetic")


def write_corpus(folder: Path, n: int) -> None:
    """Everything that the stages read: manifest.jsonl, store/, embeddings.parquet."""
    folder.mkdir(parents=True)
    write_recordings(folder / "manifest.jsonl", recordings(n))
    write_store(folder / "store", n)
    write_embeddings(folder / "embeddings.parquet", embeddings(n))
