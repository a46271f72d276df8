"""Channels: room, microphone, band limit, noise, codec and accompaniment on mel power.

What recordings add to voices, drawn anew for each crop so that no label can be told by it. All
acts on mel power, batched, on the device. Phases are not at hand there: powers add.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from singerid.features.mel import mel_bands
from singerid.resing_settings import ChannelSettings
from singerid.resinging.comb import comb_table, frozen_noise
from singerid.resinging.draws import Draws
from singerid.spec import FeatureSpec

_CURVES = 8  # cosines of a microphone's curve: its finest wiggle is an eighth of the mel axis
_LOWEST_NOTE, _N_NOTES = 65.4, 60  # of the accompaniment: C2 … B6, in Hz and number
_CHORDS = ((0, 4, 7, 12), (0, 3, 7, 12), (0, 5, 9, 12), (0, 4, 7, 10))
_N_CHORDS = 8  # in a crop
_NOTE_SLOPE_DB = -9.0  # per octave, of the accompaniment's partials
_MASKING_BANDS = 9  # neighborhood of a codec's masking
_LOST_DB = -25.0  # what a codec leaves of a masked cell
_STOPPED_DB = -50.0  # what a filter leaves far beyond its edge
_LEAST = 1e-20


class Channel:
    """Random channels in one front end.

    Attributes:
        hz: float32 `(n_mels,)`, center of each band.
    """

    def __init__(
        self, spec: FeatureSpec, settings: ChannelSettings, device: torch.device | str = "cpu"
    ) -> None:
        """Prepare tables.

        Args:
            spec: front end that made the mel sums.
            settings: probabilities and ranges.
            device: of the mel sums.
        """
        self.settings, self.hop_seconds = settings, spec.hop_seconds
        self._is_power = spec.mel.spectrum == "power"
        mel, rate = spec.mel, spec.audio.sample_rate
        self._bands = torch.from_numpy(
            mel_bands(rate, mel.n_fft, mel.n_mels, mel.fmin, mel.fmax)
        ).to(device)
        hz = torch.from_numpy(np.fft.rfftfreq(mel.n_fft, 1 / rate)).float().to(device)
        area = self._bands.sum(1).clamp(min=1e-9)
        self.hz = (self._bands @ hz / area).clamp(min=20)
        self._octaves = torch.log2(self.hz / 1000).clamp(-3.5, 3)
        ones = self._project(torch.ones(1, len(hz), device=device))
        self._widths = 1 / (self._bands.amax(1) * ones[0]).clamp(min=1e-9)
        noise = frozen_noise(rate, mel.n_fft, mel.hop_length, 0, len(hz)).to(device)
        self._noise = self._project(noise)
        self._notes = self._project(_note_spectra(spec).to(device))
        self._curves = _curves(mel.n_mels).to(device)

    def __call__(self, mels: Tensor, generator: torch.Generator) -> Tensor:
        """Send each crop through a channel of its own.

        Args:
            mels: mel sums `(n_crops, n_frames, n_mels)`, powers or magnitudes as of the front end.
            generator: on the CPU; its state decides everything that is drawn.

        Returns:
            Mel sums in the same shape; `mels` stays as it is.
        """
        s = self.settings
        power = mels.clone() if self._is_power else mels.square()
        effects: tuple[tuple[float, Callable[[Tensor, Draws], Tensor]], ...] = (
            (s.accompaniment_probability, self._accompany),
            (s.room_probability, self._reverberate),
            (s.eq_probability, self._color),
            (s.noise_probability, self._add_noise),
            (s.band_probability, self._limit_band),
            (s.codec_probability, self._encode),
        )
        for probability, effect in effects:
            # On the CPU, so that no accelerator has to be waited for.
            chosen = torch.rand(len(mels), generator=generator) < probability
            crops = chosen.nonzero()[:, 0].to(mels.device)
            if len(crops):
                power[crops] = effect(power[crops], Draws(len(crops), generator, mels.device))
        gains = Draws(len(mels), generator, mels.device).uniform(s.level_min_db, s.level_max_db)
        power *= from_db(gains)[:, None, None]
        return power if self._is_power else power.sqrt_()

    def loudness(self, power: Tensor) -> Tensor:
        """Mean power of crops `(n_crops, n_frames, n_mels)` over time, summed over bands."""
        return (power.mean(1) * self._widths).sum(1)

    def _project(self, power: Tensor) -> Tensor:
        """Squared mel sums of power spectra `(n, n_bins)`: power, however the bands sum."""
        if self._is_power:
            return power @ self._bands.T
        return (power.sqrt() @ self._bands.T).square()

    def _color(self, power: Tensor, draws: Draws) -> Tensor:
        """Another microphone: a smooth curve and a slope."""
        s = self.settings
        curve = s.eq_db * draws.normal((_CURVES,)) @ self._curves
        slope = draws.uniform(-s.slope_db, s.slope_db, (1,)) * self._octaves
        return power * from_db(curve + slope)[:, None]

    def _limit_band(self, power: Tensor, draws: Draws) -> Tensor:
        """Filters of 12 … 72 dB per octave from both ends."""
        s = self.settings
        low = draws.log_uniform(s.low_cut_min, s.low_cut_max, (1,))
        high = draws.log_uniform(s.high_cut_min, s.high_cut_max, (1,))
        beyond = torch.log2(low / self.hz).clamp(min=0) + torch.log2(self.hz / high).clamp(min=0)
        loss = (beyond * draws.uniform(-72, -12, (1,))).clamp(min=_STOPPED_DB)
        return power * from_db(loss)[:, None]

    def _reverberate(self, power: Tensor, draws: Draws) -> Tensor:
        """An exponential tail behind the direct sound, shorter at high frequencies.

        With the delay D and decay a the tail is Σ (aD)^k = Π_j (1 + (aD)^(2^j)): a few doublings
        instead of a recursion. The end of a crop rings into its beginning, as if it went on.
        """
        s = self.settings
        seconds = draws.log_uniform(s.decay_min, s.decay_max, (1, 1))
        seconds = seconds * (1 - 0.2 * self._octaves.clamp(min=0))
        decay = torch.exp(-math.log(1e6) * self.hop_seconds / seconds)  # power, each frame
        tail = power
        for j in range(math.ceil(math.log2(s.decay_max / self.hop_seconds))):
            tail = torch.addcmul(tail, decay ** (1 << j), tail.roll(1 << j, dims=1))
        wet = from_db(draws.uniform(s.wet_min_db, s.wet_max_db, (1, 1)))
        return power + wet * (1 - decay) * tail.roll(1, dims=1)

    def _add_noise(self, power: Tensor, draws: Draws) -> Tensor:
        """Steady colored noise."""
        s = self.settings
        frames = torch.arange(power.shape[1], device=power.device)
        at = (draws.integers(len(self._noise), (1,)) + frames) % len(self._noise)
        slope = draws.uniform(s.color_min, s.color_max, (1,)) * self._octaves
        noise = self._noise[at] * from_db(slope)[:, None]
        return self._mix(power, noise, draws.uniform(s.snr_min_db, s.snr_max_db))

    def _accompany(self, power: Tensor, draws: Draws) -> Tensor:
        """Plucked chords, eight in a crop."""
        s, n_frames = self.settings, power.shape[1]
        lengths = draws.uniform(0.5, 1.5, (_N_CHORDS,))
        ends = lengths.cumsum(1) / lengths.sum(1, keepdim=True) * n_frames
        frames = torch.arange(n_frames, device=power.device).expand(len(power), -1).contiguous()
        chord = torch.searchsorted(ends, frames.float(), right=True).clamp(max=_N_CHORDS - 1)
        since = frames - (ends - lengths / lengths.sum(1, keepdim=True) * n_frames).gather(1, chord)
        kinds = torch.tensor(_CHORDS, device=power.device)
        roots = draws.integers(_N_NOTES - 12, (_N_CHORDS, 1))
        notes = roots + kinds[draws.integers(len(_CHORDS), (_N_CHORDS,))]
        spectra = self._notes[notes].sum(2)  # (n_crops, _N_CHORDS, n_mels)
        fading = torch.exp(-since * self.hop_seconds / draws.log_uniform(0.15, 2.0, (1,)))
        chords = spectra.gather(1, chord[..., None].expand(-1, -1, spectra.shape[2]))
        ratio = draws.uniform(s.accompaniment_min_db, s.accompaniment_max_db)
        return self._mix(power, chords * fading[..., None], ratio)

    def _mix(self, power: Tensor, other: Tensor, ratio_db: Tensor) -> Tensor:
        """Add something `ratio_db` `(n_crops,)` weaker than the voice."""
        gain = self.loudness(power) / self.loudness(other).clamp(min=_LEAST) * from_db(-ratio_db)
        return power + gain[:, None, None] * other

    def _encode(self, power: Tensor, draws: Draws) -> Tensor:
        """A lossy codec: masked cells are left out, often the highest bands as well."""
        s = self.settings
        flat = power.reshape(-1, 1, power.shape[2])
        peak = F.max_pool1d(flat, _MASKING_BANDS, stride=1, padding=_MASKING_BANDS // 2)
        depth = draws.uniform(s.codec_min_db, s.codec_max_db, (1, 1))
        masked = power < peak.view_as(power) * from_db(-depth)
        edge = draws.log_uniform(s.high_cut_min, s.high_cut_max, (1,))
        lost = (self.hz > edge) & draws.happens(s.band_loss_probability, (1,))
        gain = torch.where(masked, 10 ** (_LOST_DB / 10), 1.0)
        return power * torch.where(lost[:, None], 10 ** (_STOPPED_DB / 10), gain)


def from_db(db: Tensor) -> Tensor:
    """Factor on power."""
    return torch.exp(db * (math.log(10) / 10))


def _curves(n_mels: int) -> Tensor:
    """Smooth functions on the mel axis `(_CURVES, n_mels)`: cosines, the finer the weaker.

    Weighted by independent numbers of variance 1 they sum to curves of mean square 1.
    """
    order = torch.arange(1, _CURVES + 1)[:, None]
    waves = torch.cos(math.pi * order * (torch.arange(n_mels) + 0.5) / n_mels) / order.sqrt()
    return waves / waves.square().mean(1).sum().sqrt()


def _note_spectra(spec: FeatureSpec) -> Tensor:
    """Power spectra of the accompaniment's notes, `(_N_NOTES, n_bins)`."""
    n_bins, rate = spec.mel.n_fft // 2 + 1, spec.audio.sample_rate
    combs = comb_table(rate, spec.mel.n_fft, 0, n_bins, n_rates=1)
    f0 = _LOWEST_NOTE * torch.exp2(torch.arange(_N_NOTES) / 12)
    octaves = torch.log2(torch.arange(n_bins).clamp(min=1) * (rate / spec.mel.n_fft) / f0[:, None])
    color = from_db(_NOTE_SLOPE_DB * octaves.clamp(min=0))
    return combs.table[combs.rows(f0, torch.zeros_like(f0))] * color
