"""Augmentation of whole batches of mel features, on the device that trains.

A batch is changed in this order, each effect with its own probability and random numbers, so that
to switch one on changes nothing about the others:

* warped copies: some singers are replaced by *new* identities, their frequency axis scaled by a
  factor of each identity's own (vocal tract length perturbation, Jaitly and Hinton 2013, as a new
  class: Yamamoto et al. 2019, Speaker augmentation for low resource speech recognition);
* shift: the same scaling by a few percent, within an identity, as by another speed of a tape;
* channel: room, microphone, band limit, noise, codec, accompaniment, gain (`resinging.channel`);
* crop: all partials of the batch to one shorter length;
* masks: spans of frames and of bands at the partial's floor (Park et al. 2019, SpecAugment).

Scaling the axis moves pitch and formants together. Moving one without the other was tried and
dropped: a mel spectrum's cepstrum tells envelope from harmonics only while the harmonics lie
close. On synthetic vowels (default front end, shifts of 2 semitones) the formants went along
by two thirds of the way with a smooth envelope (12 coefficients), by none with a detailed one
(20), which from 330 Hz on takes the harmonics for formants: 9 … 13 dB off, where scaling the axis
is 3 dB off. Re-singing (`singerid.resinging`) moves them apart exactly.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from singerid.errors import ConfigError
from singerid.features.mel import mel_bands
from singerid.resing_settings import ChannelSettings, ResingSettings
from singerid.resinging.channel import Channel
from singerid.resinging.draws import Draws, seeded
from singerid.resinging.levels import front_end_scale, mel_sums
from singerid.resinging.traits import Identities
from singerid.spec import FeatureSpec
from singerid.training_sections import BatchAugmentSettings

_CROPS_AT_ONCE = 16  # on the CPU: what its second-level cache holds
_CROP_STEP = 8  # frames: few lengths, so that few graphs are compiled
_LEAST = 1e-20


class BatchAugment:
    """Changes batch t; how is a function of (seed, t) alone.

    Attributes:
        n_singers: natural identities, the classes 0 … `n_singers` - 1.
        n_classes: all identities: variant v of singer i has the class i + v · `n_singers`.
        nepers: float32 `(n_singers, variants)`, ln of each identity's factor; 0 for variant 0.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        settings: BatchAugmentSettings,
        channel: ChannelSettings,
        n_singers: int,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        """Draw the identities' factors and prepare tables.

        Args:
            spec: front end that made the features.
            settings: probabilities and ranges.
            channel: what a channel is.
            n_singers: number of the training singers.
            seed: of identities and batches.
            device: of the batches.

        Raises:
            ConfigError: the front end has no mel features, or pitch features that would
                contradict shifted ones.
        """
        _check(spec, settings)
        self.settings, self.n_singers, self.seed = settings, n_singers, seed
        self.n_classes = n_singers * settings.variants
        self._mel = spec.mel
        used = settings.channel_probability > 0  # to prepare one takes seconds
        self._channel = Channel(spec, channel, device) if used else None
        self._hz = _centers(spec).to(device)
        self.nepers = _identities(n_singers, settings, seed).to(device)

    @torch.no_grad()
    def __call__(self, features: Tensor, singers: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """Change batch `t`.

        Args:
            features: float32 `(n_singers, n_partials, n_frames, n_inputs)` on the front end's own
                scale; stays as it is.
            singers: int64 `(n_singers,)`, class of each.
            t: number of the batch.

        Returns:
            Features `(n_singers, n_partials, n_frames or fewer, n_inputs)`, and classes.
        """
        n_singers, n_partials = features.shape[:2]
        frames = self._crop(features.flatten(0, 1), t)
        mels, pitch = frames[..., : self._mel.n_mels], frames[..., self._mel.n_mels :]
        variants = self._draw_variants(n_singers, t)
        mels = self._scale(mels, singers, variants, t)
        mels = self._send(mels, t)
        mels = self._mask(mels, t)
        frames = torch.cat([mels, pitch], dim=2) if pitch.shape[2] else mels
        classes = singers + self.n_singers * variants.to(singers.device)
        return frames.view(n_singers, n_partials, *frames.shape[1:]), classes

    def _draws(self, n: int, t: int, effect: int, device: torch.device) -> Draws:
        return Draws(n, seeded(self.seed, t, effect), device)

    def _crop(self, frames: Tensor, t: int) -> Tensor:
        """All crops `(n, n_frames, n_inputs)` to one shorter length; a view."""
        s, n_frames = self.settings, frames.shape[1]
        happens, length, place = torch.rand(3, generator=seeded(self.seed, t, 1)).tolist()
        if happens >= s.crop_probability:
            return frames
        least = math.ceil(s.crop_min * n_frames / _CROP_STEP)
        most = n_frames // _CROP_STEP
        kept = min(n_frames, _CROP_STEP * (least + int(length * (most - least + 1))))
        start = int(place * (n_frames - kept + 1))
        return frames[:, start : start + kept]

    def _draw_variants(self, n: int, t: int) -> Tensor:
        """Variant `(n,)` of each singer in the batch, on the CPU: 0 for the natural voice."""
        s = self.settings
        variants = torch.zeros(n, dtype=torch.int64)
        if s.variants > 1:
            generator = seeded(self.seed, t, 2)
            n_warped = int(s.warp_share * n + torch.rand(1, generator=generator).item())
            chosen = torch.randperm(n, generator=generator)[:n_warped]
            drawn = torch.randint(1, s.variants, (n,), generator=generator)
            variants[chosen] = drawn[chosen]
        return variants

    def _scale(self, mels: Tensor, singers: Tensor, variants: Tensor, t: int) -> Tensor:
        """Scale the frequency axis of warped singers, and of shifted partials."""
        s, n_partials = self.settings, len(mels) // len(variants)
        draws = self._draws(len(mels), t, 3, torch.device("cpu"))
        shifted = draws.happens(s.shift_probability)
        most = s.shift_max * math.log(2) / 12
        shifts = draws.uniform(-most, most) * shifted
        moved = (shifted | (variants > 0).repeat_interleave(n_partials)).nonzero()[:, 0]
        if not len(moved):
            return mels
        own = self.nepers[singers.to(mels.device), variants.to(mels.device)]
        nepers = own.repeat_interleave(n_partials) + shifts.to(mels.device)
        rows = moved.to(mels.device)
        if self._mel.scale == "decibel":  # affine in decibels, and weights sum to 1
            scaled = (mels[rows] @ axis_scaling(self._hz, nepers[rows])).clamp_(0, 1)
        else:
            levels = mels[rows].clamp_(min=_LEAST).log_()
            scaled = (levels @ axis_scaling(self._hz, nepers[rows])).exp_()
        return mels.index_copy(0, rows, scaled)

    def _send(self, mels: Tensor, t: int) -> Tensor:
        """Send some partials through channels of their own."""
        if self._channel is None:
            return mels
        generator = seeded(self.seed, t, 4)
        sent = torch.rand(len(mels), generator=generator) < self.settings.channel_probability
        rows = sent.nonzero()[:, 0].to(mels.device)
        if not len(rows):
            return mels
        chosen = mels if len(rows) == len(mels) else mels[rows]
        step = _CROPS_AT_ONCE if mels.device.type == "cpu" else len(chosen)
        starts = range(0, len(chosen), step)
        sums = torch.cat([mel_sums(chosen[i : i + step], self._mel) for i in starts])
        sums = self._channel(sums, generator)
        heard = torch.cat([front_end_scale(sums[i : i + step], self._mel) for i in starts])
        return heard if len(rows) == len(mels) else mels.index_copy(0, rows, heard)

    def _mask(self, mels: Tensor, t: int) -> Tensor:
        """SpecAugment: masked cells are as low as the lowest of their partial."""
        s, (n, n_frames, n_mels) = self.settings, mels.shape
        if s.mask_probability == 0:
            return mels
        draws = self._draws(n, t, 5, mels.device)
        masked = draws.happens(s.mask_probability, (1, 1))
        times = spans(draws, n_frames, s.time_masks, s.time_mask_max)[:, :, None]
        bands = spans(draws, n_mels, s.band_masks, s.band_mask_max)[:, None]
        return torch.where((times | bands) & masked, mels.amin((1, 2), keepdim=True), mels)


def axis_scaling(hz: Tensor, nepers: Tensor) -> Tensor:
    """Weights that move what lies at f to f · exp(nepers), by cubic convolution (Keys 1981).

    Beyond the outermost bands a spectrum goes on as its mirror image: held constant, it would
    tell a lowered voice from a natural one.

    Args:
        hz: centers of the bands `(n_mels,)`, not falling.
        nepers: of each crop `(n,)`.

    Returns:
        float32 `(n, n_mels in, n_mels out)`, for levels `(n, n_frames, n_mels)`; columns sum to 1.
    """
    last = len(hz) - 1
    source = hz * torch.exp(-nepers)[:, None]
    right = torch.searchsorted(hz, source).clamp(1, last)
    step = (hz[right] - hz[right - 1]).clamp(min=1e-6)
    place = right - 1 + (source - hz[right - 1]) / step  # in bands, also beyond the ends
    place = (last - (last - place.abs()).abs()).clamp(0, last)
    first, x = place.floor().long() - 1, place.frac()
    taps = torch.stack([first + k for k in range(4)], dim=1).clamp(0, last)
    weights = torch.stack(
        [
            ((-0.5 * x + 1) * x - 0.5) * x,
            (1.5 * x - 2.5) * x * x + 1,
            ((-1.5 * x + 2) * x + 0.5) * x,
            (0.5 * x - 0.5) * x * x,
        ],
        dim=1,
    )
    matrix = hz.new_zeros(len(nepers), last + 1, last + 1)
    return matrix.scatter_add_(1, taps, weights)


def spans(draws: Draws, length: int, number: int, most: float) -> Tensor:
    """Random spans `(n, length)`, True within any of them.

    Args:
        draws: for `n` crops.
        length: of the axis.
        number: of spans in a crop; they may overlap.
        most: longest, as a share of `length`; each is as long as any shorter one with the same
            chance, and lies anywhere.
    """
    longest = round(most * length)
    lengths = (draws.uniform(shape=(number, 1)) * (longest + 1)).floor()
    starts = (draws.uniform(shape=(number, 1)) * (length - lengths + 1)).floor()
    places = torch.arange(length, device=draws.device)
    return ((places >= starts) & (places < starts + lengths)).any(1)


def _centers(spec: FeatureSpec) -> Tensor:
    """Centers of the mel bands in Hz `(n_mels,)`, not falling."""
    mel, rate = spec.mel, spec.audio.sample_rate
    bands = torch.from_numpy(mel_bands(rate, mel.n_fft, mel.n_mels, mel.fmin, mel.fmax))
    bins = torch.arange(bands.shape[1]) * (rate / mel.n_fft)
    means = bands @ bins / bands.sum(1).clamp(min=1e-9)
    return means.cummax(0).values  # a band between two bins has no weight


def _identities(n_singers: int, settings: BatchAugmentSettings, seed: int) -> Tensor:
    """Nepers `(n_singers, variants)` of all identities, drawn as those of re-singing."""
    s = settings
    drawn = ResingSettings(
        variants=s.variants, warp_min=s.warp_min, warp_max=s.warp_max, warp_gap=s.warp_gap
    )
    places = Identities(n_singers, drawn, seed).uniforms[:, 0].reshape(n_singers, s.variants)
    nepers = math.log(s.warp_min) + math.log(s.warp_max / s.warp_min) * places
    nepers[:, 0] = 0
    return nepers


def _check(spec: FeatureSpec, settings: BatchAugmentSettings) -> None:
    """Refuse front ends whose features do not say what an effect would make of them.

    Raises:
        ConfigError: see `BatchAugment`.
    """
    if spec.features.stream != "mel":
        raise ConfigError(
            "batches can be augmented in mel features only", where="batch_augment",
            found=f"features.stream {spec.features.stream}",
            do="switch the section off, or train from a manifest with the section augment",
        )  # fmt: skip
    if spec.pitch.condition and (settings.shift_probability > 0 or settings.variants > 1):
        raise ConfigError(
            "a shifted spectrum would contradict the pitch beside it", where="batch_augment",
            found="pitch.condition true", do="set shift_probability to 0 and variants to 1",
        )  # fmt: skip
