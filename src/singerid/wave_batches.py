"""Training batches from audio files: features on the fly, augmented, drawn like those of a store.

Without augmentation, batch t holds the partials that `singerid.batches.BatchMaker` takes from a
store of the same recordings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from singerid.augment import augment
from singerid.batches import BoolArray, FairMaker, IntArray
from singerid.crops import CropReader, Sound, check_spec, crop_features
from singerid.errors import AudioError
from singerid.listing import Listing
from singerid.records import Recording
from singerid.spec import FeatureSpec
from singerid.training_sections import AugmentSettings, BatchSettings

FloatArray = npt.NDArray[np.float32]
_ROUNDING_SECONDS = 0.001


class WaveBatchMaker(FairMaker):
    """Makes batch t of a split of a manifest.

    Attributes:
        augmentation: how partials are changed; None for every split but train.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        split: str,
        spec: FeatureSpec,
        settings: BatchSettings,
        seed: int,
        augmentation: AugmentSettings | None = None,
        where: object = "manifest",
    ) -> None:
        """Group the recordings of a split by singer.

        Args:
            recordings: of all splits.
            split: train, valid or test.
            spec: the front end.
            settings: size of a batch.
            seed: of draws and augmentation.
            augmentation: how partials of the split train are changed; None for not at all.
            where: the manifest's name, for errors.

        Raises:
            StoreError: fewer than two singers have a recording of at least one partial.
            AudioError: a recording that may be just too short cannot be read.
            ConfigError: the spec needs whole recordings.
        """
        check_spec(spec)
        self.augmentation = augmentation if split == "train" else None
        self._recordings, self._reader = recordings, CropReader(spec.audio.sample_rate)
        super().__init__(Listing(recordings), split, spec, settings, seed, where)

    def _are_long_enough(self, rows: IntArray) -> BoolArray:
        some = (self._recordings[row] for row in rows.tolist())
        return np.array([self._is_long_enough(recording) for recording in some], np.bool_)

    def _is_long_enough(self, recording: Recording) -> bool:
        """By the manifest; its durations are rounded, so where that may matter, by the file."""
        needed = (self.settings.partial_frames - 1) * self.spec.hop_seconds
        if recording.duration < self.spec.audio.min_seconds:  # a store would not hold it
            return False
        if abs(recording.duration - needed) > _ROUNDING_SECONDS:
            return recording.duration > needed
        with self._reader.open(recording) as sound:
            return self._n_frames(sound) >= self.settings.partial_frames

    def _n_frames(self, sound: Sound) -> int:
        hop = self.spec.hop_seconds * self.spec.audio.sample_rate
        return 1 + int(sound.n_samples / hop + 1e-9)

    def _partial(self, place: int, rng: np.random.Generator) -> FloatArray:
        length, recording = self.settings.partial_frames, self._recordings[self._rows[place]]
        [own] = rng.spawn(1)  # leaves `rng`, and so the starts, as they are without augmentation
        with self._reader.open(recording) as sound:
            if self._n_frames(sound) < length:
                raise AudioError(
                    "is shorter than the manifest says", where=recording.path,
                    found=f"{sound.n_samples / self.spec.audio.sample_rate:.2f} s",
                    expected=f"{recording.duration:.2f} s", do="make the manifest again",
                )  # fmt: skip
            start = self._draw_start(self._n_frames(sound), rng)
            return crop_features(sound, start, length, self.spec, lambda x: self._augment(x, own))

    def _augment(self, samples: FloatArray, rng: np.random.Generator) -> FloatArray:
        if self.augmentation is None:
            return samples
        return augment(samples, self.spec.audio.sample_rate, self.augmentation, rng)
