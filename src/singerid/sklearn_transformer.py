"""The encoder as a step of a scikit-learn pipeline: recordings → matrix of embeddings."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from singerid.embeddings import check_same_encoder
from singerid.errors import BatchError, ConfigError, SingeridError
from singerid.sections import EmbedSettings
from singerid.singer_encoder import Embedding, SingerEncoder
from singerid.terminal import CPUS

FloatArray = npt.NDArray[np.float32]
_LISTED = 5  # errors of one exception's text


class SingerEmbedding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Embeddings of recordings, for pipelines of scikit-learn.

    There is nothing to fit: `fit` only loads the encoder, and notes which one it was. Pickles hold
    its name, not the encoder; one that has changed since is refused.

    Args:
        encoder: see `SingerEncoder.from_pretrained`.
        sample_rate: of recordings given as samples, in Hz; None where all are files.
        on_error: what becomes of a recording that cannot be embedded: ``raise`` for an exception
            that names them all, ``nan`` for a row of NaN and a warning.
        n_jobs: files that are decoded at once; None for one, -1 for as many as there are cores.
        min_voice: partials with a smaller share of voice are left out; 0 takes all.

    Attributes:
        fingerprint_: of the encoder at the time of `fit`.
    """

    def __init__(
        self,
        encoder: str | os.PathLike[str] = "default",
        *,
        sample_rate: int | None = None,
        on_error: Literal["raise", "nan"] = "raise",
        n_jobs: int | None = None,
        min_voice: float = 0.05,
    ) -> None:
        self.encoder = encoder
        self.sample_rate = sample_rate
        self.on_error = on_error
        self.n_jobs = n_jobs
        self.min_voice = min_voice

    def fit(self, X: Iterable[Any], y: object = None) -> Self:
        """Load the encoder.

        Args:
            X: not looked at.
            y: neither.

        Raises:
            ConfigError: a parameter is out of range.
            CheckpointError: there is no such encoder.
        """
        if self.on_error not in ("raise", "nan"):
            raise ConfigError(
                "unknown", where="on_error", found=self.on_error, expected="raise, nan"
            )
        if self.n_jobs is not None and self.n_jobs < 1 and self.n_jobs != -1:
            raise ConfigError("unusable", where="n_jobs", found=self.n_jobs, expected="-1, or 1 up")
        self.__dict__.pop("fingerprint_", None)
        self.__dict__.pop("_loaded", None)
        loaded = self._load()
        self.fingerprint_, self._n_features_out = loaded.fingerprint, loaded.dim
        return self

    def transform(self, X: Iterable[Any]) -> FloatArray:
        """Embed recordings.

        Args:
            X: paths of audio files, or arrays of mono samples `(n_samples,)`.

        Returns:
            float32 `(n, dim)`, rows of unit length.

        Raises:
            BatchError: recordings that cannot be embedded, all of them named.
            ConfigError: samples are given, but not their rate.
        """
        loaded = self._load()
        items = list(X)
        if all(isinstance(item, str | os.PathLike) for item in items):
            jobs = CPUS if self.n_jobs == -1 else self.n_jobs or 1
            found = loaded.embed_files(items, n_processes=jobs)
        elif self.sample_rate is None:
            raise ConfigError(
                "is not set, though recordings are given as samples",
                where="SingerEmbedding.sample_rate", expected="their rate in Hz, or paths only",
            )  # fmt: skip
        else:
            found = loaded.embed_batch(items, self.sample_rate)
        return self._matrix(found, loaded.dim)

    def _matrix(self, found: list[Embedding], dim: int) -> FloatArray:
        failures = {row: f for row, f in enumerate(found) if isinstance(f, SingeridError)}
        if failures:
            named = [f"row {row}: {error}" for row, error in failures.items()][:_LISTED]
            more = f" … and {len(failures) - _LISTED} more" if len(failures) > _LISTED else ""
            said = f"{len(failures)} of {len(found)} recordings have no embedding: "
            said += " | ".join(named) + more
            if self.on_error == "raise":
                raise BatchError(said, list(failures.values()))
            warnings.warn(said, UserWarning, stacklevel=3)
        matrix = np.full((len(found), dim), np.nan, np.float32)
        for row, vector in enumerate(found):
            if not isinstance(vector, SingeridError):
                matrix[row] = vector
        return matrix

    def _load(self) -> SingerEncoder:
        """The encoder, loaded when it is first needed.

        Raises:
            MismatchError: it is not the one that there was when this was fitted.
        """
        asked = self.encoder, self.min_voice
        if self.__dict__.get("_loaded", (None,))[0] != asked:
            settings = EmbedSettings(min_voice=self.min_voice)
            loaded = SingerEncoder.from_pretrained(self.encoder, settings=settings)
            fitted = self.__dict__.get("fingerprint_", loaded.fingerprint)
            check_same_encoder(fitted, loaded.fingerprint, f"SingerEmbedding({self.encoder!r})")
            self._loaded = asked, loaded
        return self._loaded[1]

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = {**super().__getstate__()}
        state.pop("_loaded", None)
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit, tags.no_validation = False, True
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        return tags
