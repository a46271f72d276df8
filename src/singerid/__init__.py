"""Who is singing? From folders of singing to one vector per singer, and a map of them.

manifest   folders of audio → recordings         (manifest, corpora, audio)
features   recordings → store                    (features, extraction, store)
train      store → run folder with an encoder    (batches, encoders, losses, train, run)
embed      audio or store → embeddings → table   (checkpoint, embed, embeddings, table)
evaluate   embeddings → figures, report, maps    (trials, scoring, metrics, evaluate, report)
voices     speech → voices, re-sung in training  (voicebank, resinging)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from singerid.audio import load as load_audio
    from singerid.config import Config
    from singerid.embeddings import EmbeddingSet, read_embeddings
    from singerid.errors import SingeridError
    from singerid.external import load_embedder as load_encoder
    from singerid.records import Recording
    from singerid.singer_encoder import SingerEncoder
    from singerid.sklearn_transformer import SingerEmbedding
    from singerid.store import Store
    from singerid.store_dataset import StoreDataset
    from singerid.table import SingerTable, build_table, read_table

__version__ = "0.1.0"
__all__ = [
    "Config", "EmbeddingSet", "Recording", "SingerEmbedding", "SingerEncoder", "SingerTable",
    "SingeridError", "Store", "StoreDataset", "build_table", "load_audio", "load_encoder",
    "read_embeddings", "read_table",
]  # fmt: skip

_HOMES = {
    "Config": "config", "EmbeddingSet": "embeddings", "Recording": "records",
    "SingerEmbedding": "sklearn_transformer", "SingerEncoder": "singer_encoder",
    "SingerTable": "table", "SingeridError": "errors", "Store": "store",
    "StoreDataset": "store_dataset", "build_table": "table", "load_audio": "audio",
    "load_encoder": "external", "read_embeddings": "embeddings", "read_table": "table",
}  # fmt: skip
_INNER_NAMES = {"load_audio": "load", "load_encoder": "load_embedder"}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: ``import singerid`` stays fast."""
    if name not in _HOMES:
        raise AttributeError(f"module 'singerid' has no attribute {name!r}")
    return getattr(import_module(f"singerid.{_HOMES[name]}"), _INNER_NAMES.get(name, name))
