"""Audio or stored features → one unit vector a recording, by an encoder of ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from singerid.checkpoint import EncoderFile, load_encoder
from singerid.embedder import PartialEmbedder, gather
from singerid.embeddings import EmbeddingSet
from singerid.errors import MismatchError, SingeridError
from singerid.front_ends import FeatureFrontEnd
from singerid.precision import autocast, choose_precision
from singerid.records import Recording
from singerid.sections import EmbedSettings
from singerid.store import Store

FloatArray = npt.NDArray[np.float32]


class TorchSingerEncoder(PartialEmbedder):
    """A trained encoder with its front end: samples, files or stored features → vectors.

    A recording is cut into partials of the length that the encoder was trained on; its
    embedding is the normalized mean of theirs. A recording shorter than a partial is encoded
    at its own length, never padded.

    Attributes:
        file: the network and its specifications.
    """

    can_travel = True

    def __init__(self, file: EncoderFile, settings: EmbedSettings | None = None) -> None:
        super().__init__(
            FeatureFrontEnd(file.spec), file.partial_frames, file.fingerprint, settings
        )
        self.file = file
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._precision = choose_precision(
            self.settings.precision, file.encoder, self.settings.batch_partials, file.spec.n_inputs
        )
        self._network = file.encoder.to(self._device).eval()
        # Of few frames; the settings of a whitened encoder do not say it.
        self.dim = self.encode(np.zeros((1, 8, file.spec.n_inputs), np.float32)).shape[1]

    def __reduce__(self) -> tuple[Any, ...]:
        encoder = deepcopy(self.file.encoder).cpu()  # there may be no GPU where it goes
        file = replace(self.file, encoder=encoder)
        return _arrived, (file, self.settings, torch.get_num_threads())

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], settings: EmbedSettings | None = None
    ) -> TorchSingerEncoder:
        """From a run folder or encoder file.

        Raises:
            CheckpointError: see `singerid.checkpoint.load_encoder`.
        """
        return cls(load_encoder(path), settings)

    def embed_store(
        self,
        store: Store,
        recordings: Sequence[Recording],
        on_progress: Callable[[float], object] = lambda seconds: None,
    ) -> tuple[EmbeddingSet, list[SingeridError]]:
        """Embed recordings of a store; returns the set and the errors of those that failed.

        Raises:
            MismatchError: the store was made by another front end.
        """
        if store.spec != self.file.spec:
            raise MismatchError(
                "store and encoder have different feature specs", where=store.path,
                found=f"store {store.spec.fingerprint()}, encoder {self.file.spec.fingerprint()}",
                do="extract again with the encoder's settings, or embed the audio itself",
            )  # fmt: skip
        pairs = ((r, store.features(r.id)) for r in recordings)
        return gather(self.embed_many(pairs), self.fingerprint, on_progress)

    def encode(self, batch: FloatArray) -> FloatArray:
        """`(batch, n_frames, n_inputs)` → `(batch, dim)`."""
        if not batch.flags.writeable:  # of a store's memory map; torch would warn
            batch = batch.copy()
        with torch.inference_mode(), autocast(self._precision == "bf16", self._device):
            vectors = self._network(torch.from_numpy(batch).to(self._device))
        result: FloatArray = vectors.float().cpu().numpy()
        return result


def _arrived(file: EncoderFile, settings: EmbedSettings, n_threads: int) -> TorchSingerEncoder:
    """The encoder on another machine; the last bits depend on the number of threads."""
    torch.set_num_threads(n_threads)
    return TorchSingerEncoder(file, settings)
