"""Pictures of songs: a real recording, what was rendered from it, and what one hears."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from singerid.features.mel import log_mel, mel_bands
from singerid.features.world import track_f0
from singerid.lettering import write_title
from singerid.plots import blank_figure
from singerid.resinging.levels import decibels, mel_sums
from singerid.resinging.render import Renderer
from singerid.resinging.songs import Song

FloatArray = npt.NDArray[np.floating]

_RANGE_DB = 70.0  # below the loudest cell of all panels
_TICKS_HZ = (100, 200, 400, 800, 1600, 3200, 6400)
_LOWEST_F0, _TRACK_SECONDS = 50.0, 0.005
_F0_TICKS_HZ = (
    *range(50, 100, 10), *range(100, 200, 20), *range(200, 500, 50), *range(500, 1300, 100),
)  # fmt: skip
_MOST_F0_TICKS = 6
_COLORS = ("#D55E00", "#0072B2")  # as in `plots.FEW_COLORS`


def song_figure(render: Renderer, song: Song, title: str = "") -> Figure:
    """A song in panels: spectrograms on the same scales, and its F0.

    - The real recording, about where the song was taken from; none for a parametric voice.
    - What training sees: the rendered frames, with the plan's F0 on the first partial.
    - The mel frames of the song as sound.
    - F0: of the plan, and what dio finds in the sound.

    Args:
        render: of the song's bank.
        song: what was sung.
        title: one line above.

    Raises:
        MissingExtraError: pyworld is not installed.
    """
    plan, hz = song.plan, _band_hz(render)
    panels = {"recording": _real(render, song), "rendered": _rendered(render, song)}
    panels["sound"] = _heard(render, song)
    panels = {name: levels for name, levels in panels.items() if len(levels)}
    figure, axes = blank_figure(8, 1.0 + 1.75 * (len(panels) + 1), len(panels) + 1)
    highest = max(float(levels.max()) for levels in panels.values())
    for panel, (name, levels) in zip(axes, panels.items(), strict=False):
        image = _draw_levels(panel, levels, hz, plan.hop_seconds, highest)
        panel.set_ylabel(f"{name} (Hz)")
    figure.colorbar(image, ax=axes[: len(panels)], pad=0.01, label="dB", aspect=40)
    f0 = plan.f0[0].cpu().numpy()
    line = np.where(f0 >= hz[0], _band_at(hz, f0), np.nan)
    axes[-3].plot(np.arange(len(f0)) * plan.hop_seconds, line, color="white", lw=0.7)
    _draw_f0(axes[-1], song, f0, render.bank.spec.sample_rate)
    axes[-1].set_xlim(-plan.hop_seconds / 2, (len(f0) - 0.5) * plan.hop_seconds)
    axes[-1].set_xlabel("time (s)")
    write_title(axes[0], title, "")
    return figure


def _draw_levels(
    panel: Axes, levels: FloatArray, hz: FloatArray, hop: float, highest: float
) -> AxesImage:
    """A spectrogram `(n_frames, n_mels)` in dB, bands named by their frequency."""
    ticks = [tick for tick in _TICKS_HZ if hz[0] <= tick <= hz[-1]]
    panel.set_yticks(_band_at(hz, ticks), [str(tick) for tick in ticks])
    return panel.imshow(
        levels.T, origin="lower", aspect="auto", interpolation="nearest",
        extent=(-hop / 2, (len(levels) - 0.5) * hop, -0.5, levels.shape[1] - 0.5),
        vmin=highest - _RANGE_DB, vmax=highest,
    )  # fmt: skip


def _draw_f0(panel: Axes, song: Song, f0: FloatArray, rate: int) -> None:
    """F0 of the plan, and over it what is found in the sound."""
    found = track_f0(song.samples, rate, fmin=_LOWEST_F0, frame_period_ms=1000 * _TRACK_SECONDS)
    hop, (plan_color, found_color) = song.plan.hop_seconds, _COLORS
    panel.plot(np.arange(len(f0)) * hop, _shown(f0), color=plan_color, lw=2.5, alpha=0.6)
    panel.plot(np.arange(len(found)) * _TRACK_SECONDS, _shown(found), color=found_color, lw=0.8)
    panel.set_yscale("log")
    panel.set_yticks([], minor=True)
    if f0.any():
        low, high = f0[f0 > 0].min() / 1.12, f0.max() * 1.12
        ticks = [tick for tick in _F0_TICKS_HZ if low < tick < high]
        ticks = ticks[:: max(1, math.ceil(len(ticks) / _MOST_F0_TICKS))]
        panel.set_yticks(ticks, [str(tick) for tick in ticks])
        panel.set_ylim(low, high)
    panel.set_ylabel("F0 (Hz)")
    panel.grid(color="0.92")
    write_title(panel, "", "orange: plan; blue: found in the sound by dio")


def _shown(f0: FloatArray) -> FloatArray:
    return np.where(f0 > 0, f0, np.nan)


def _real(render: Renderer, song: Song) -> FloatArray:
    """Real frames as long as the song, about from where it begins: dB `(n_frames, n_mels)`.

    The bank knows the passage but for the pauses that were cut out.
    """
    bank, plan, row = render.bank, song.plan, song.row
    first, last = int(bank.mel_starts[row]), int(bank.mel_starts[row + 1])
    start, stop = int(bank.starts[row]), int(bank.starts[row + 1])
    share = (int(plan.left[0, 0]) - start) / (stop - start)
    begin = max(first, min(first + round(share * (last - first)), last - plan.n_frames))
    frames = bank.mel[begin : min(last, begin + plan.n_frames)].cpu()
    return decibels(mel_sums(frames, render.spec.mel), render.spec.mel).numpy()


def _rendered(render: Renderer, song: Song) -> FloatArray:
    levels: FloatArray = decibels(render(song.plan), render.spec.mel)[0].cpu().numpy()
    return levels


def _heard(render: Renderer, song: Song) -> FloatArray:
    """Frames of the sound at the level of the rendered ones."""
    mel = render.spec.mel
    frames = torch.from_numpy(log_mel(song.samples, render.spec.audio.sample_rate, mel))
    return decibels(mel_sums(frames, mel), mel).numpy() - np.float32(song.facts["gain_db"])


def _band_hz(render: Renderer) -> FloatArray:
    """Centers of the mel bands, `(n_mels,)`."""
    mel, rate = render.spec.mel, render.spec.audio.sample_rate
    bands = mel_bands(rate, mel.n_fft, mel.n_mels, mel.fmin, mel.fmax)
    bins = np.fft.rfftfreq(mel.n_fft, 1 / rate)
    centers = bands @ bins / np.maximum(bands.sum(axis=1), 1e-9)
    return np.asarray(np.maximum.accumulate(centers))


def _band_at(hz: FloatArray, at: FloatArray | Sequence[float]) -> FloatArray:
    """Band, in fractions, whose center is at a frequency."""
    return np.asarray(np.interp(at, hz, np.arange(len(hz))))
