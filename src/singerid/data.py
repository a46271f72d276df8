"""What a training is fed with: a store's features, or features made on the fly from a manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from singerid.batches import BatchMaker, BatchSource
from singerid.config import Config
from singerid.errors import MismatchError
from singerid.listing import Listing
from singerid.ranks import device
from singerid.records import Recording
from singerid.resident import ResidentBatches, is_resident
from singerid.resing_settings import CLEAN
from singerid.spec import FeatureSpec, fingerprint
from singerid.statistics import frame_statistics, training_statistics
from singerid.store import Store
from singerid.voicebank.bank import VoiceBank
from singerid.wave_batches import WaveBatchMaker

FloatArray = npt.NDArray[np.float64]
_STATISTICS_BATCHES = 50


@dataclass(frozen=True)
class TrainingData:
    """Batches of both splits, and what they come from.

    Attributes:
        origin: the store or manifest.
        spec: the front end.
        fingerprint: of which audio, singers and splits there are.
        train: makes the training batches.
        valid: makes the validation batches; None without validation singers.
        statistics: gives mean and variance of the training frames (see `Normalization`).
        warnings: what was left out or made smaller, one line each.
        valid_store: holds the validation singers' features, for trials of whole recordings; None
            if they are not in a store.
    """

    origin: Path
    spec: FeatureSpec
    fingerprint: str
    train: BatchSource
    valid: BatchSource | None
    statistics: Callable[[], tuple[FloatArray, FloatArray]]
    warnings: list[str] = field(default_factory=list)
    valid_store: Store | None = None

    @classmethod
    def from_store(cls, config: Config, store: Store) -> TrainingData:
        """Stored features.

        Raises:
            StoreError: too few singers.
        """

        def make(split: str) -> BatchSource:
            settings, seed = config.batch, config.train.seed
            if is_resident(config.train.resident, store, split, settings, device()):
                return ResidentBatches(store, split, settings, seed, device())
            return BatchMaker(store, split, settings, seed)

        data = _data(
            store.path, store.spec, store.listing, make, lambda: training_statistics(store)
        )
        return replace(data, valid_store=store)

    @classmethod
    def from_recordings(
        cls, config: Config, recordings: Sequence[Recording], manifest: str | os.PathLike[str]
    ) -> TrainingData:
        """Features of waveform crops, made (and training crops augmented) as they are needed.

        The statistics for a normalization are those of the first batches without augmentation.

        Raises:
            StoreError: too few singers.
            ConfigError: the front end needs whole recordings.
        """
        spec = config.feature_spec

        def make(split: str, augmented: bool = True) -> WaveBatchMaker:
            return WaveBatchMaker(
                recordings, split, spec, config.batch, config.train.seed,
                config.augment if augmented else None, manifest,
            )  # fmt: skip

        def statistics() -> tuple[FloatArray, FloatArray]:
            maker, n_dims = make("train", augmented=False), spec.n_inputs - spec.n_pitch_classes
            batches = (maker.batch(t).features for t in range(_STATISTICS_BATCHES))
            return frame_statistics(b.reshape(-1, b.shape[-1])[:, :n_dims] for b in batches)

        return _data(Path(manifest), spec, Listing(recordings), make, statistics)

    @classmethod
    def from_bank(
        cls, config: Config, path: str | os.PathLike[str], valid: Store | None = None
    ) -> TrainingData:
        """Voices of a bank, sung anew for every batch.

        Args:
            config: all settings.
            path: the bank.
            valid: store of real singing (of other people) to validate on; without it, the bank's
                own validation voices, unchanged. Speech says nothing about singing.

        Raises:
            StoreError: the bank or the store cannot be used, or has too few singers.
            MismatchError: the store is of another front end than the bank.
        """
        from singerid.resinging.batches import BankBatchMaker

        bank = VoiceBank.open(path)
        spec = bank.spec.features
        if valid is not None and valid.spec != spec:
            raise MismatchError(
                "bank and validation store have different feature specs", where=valid.path,
                found=f"bank {spec.fingerprint()}, store {valid.spec.fingerprint()}",
                do="extract the store again with the bank's settings",
            )  # fmt: skip
        seed = config.train.seed
        train = BankBatchMaker(
            bank, "train", config.resing, config.channel, config.batch, seed, device()
        )
        warnings = list(train.warnings)
        validation: BatchSource | None = None
        if valid is not None:
            validation = BatchMaker(valid, "valid", config.batch, seed)
            warnings += validation.warnings
        elif "valid" in bank.splits:
            as_it_is = config.resing.model_copy(update={"real_share": 1.0, "variants": 1})
            validation = BankBatchMaker(bank, "valid", as_it_is, CLEAN, config.batch, seed)
            warnings += validation.warnings
        else:
            warnings.append("no validation singers: no early stopping, the last weights are kept")

        def statistics() -> tuple[FloatArray, FloatArray]:
            batches = (train.batch(t).features for t in range(_STATISTICS_BATCHES))
            return frame_statistics(b.reshape(-1, b.shape[-1]) for b in batches)

        voices = list(zip(bank.ids, bank.singers, bank.splits, strict=True))
        unseen = valid.listing.fingerprint if valid else ""
        identity = fingerprint([bank.spec.model_dump(), voices, unseen])
        return cls(Path(path), spec, identity, train, validation, statistics, warnings, valid)


def _data(
    origin: Path,
    spec: FeatureSpec,
    listing: Listing,
    make: Callable[[str], BatchSource],
    statistics: Callable[[], tuple[FloatArray, FloatArray]],
) -> TrainingData:
    train, valid = make("train"), None
    warnings = list(train.warnings)
    if len(listing.of_split("valid")):
        valid = make("valid")
        warnings += valid.warnings
    else:
        warnings.append("no validation singers: no early stopping, the last weights are kept")
    return TrainingData(origin, spec, listing.fingerprint, train, valid, statistics, warnings)
