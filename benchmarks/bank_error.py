"""What a voice bank loses: error of its cepstra, by order, warping and frame period.

The envelope that CheapTrick finds every 2 ms is the truth. It is coded as a bank codes it,
brought back to 2 ms by linear interpolation of the cepstra, and compared in 80 mel bands of
power; bands more than 70 dB below a recording's loudest do not count.

    python benchmarks/bank_error.py ../shared/audio/recordings.csv [--recordings 24]
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from singerid import audio
from singerid.features import melcepstrum, world
from singerid.features.highpass import highpass
from singerid.features.mel import mel_bands
from singerid.voicebank.analysis import bands_db, sounding
from singerid.voicebank.codes import (
    APERIODICITY_RANGE_DB,
    FLOOR_DB,
    cepstra_of,
    cepstrum_code,
    cosines,
    quantized_aperiodicity,
    quantized_cepstra,
)
from singerid.voicebank.spec import BankSettings, BankSpec, band_weights

FloatArray = npt.NDArray[np.float64]

SETTINGS = BankSettings()
RATE, FINE_MS, N_BINS = 16000, 2.0, 513
ORDERS, ALPHAS, PERIODS = (24, 32, 40, 48, 64, 80, 96), (0.0, 0.2, 0.35, 0.42), (4, 8, 10, 12, 16)

CANDIDATES = [(64, 0.0), (40, 0.35), (48, 0.35), (64, 0.35)]


def recordings(table: Path, n: int) -> dict[str, list[Path]]:
    """Some recordings of the speech to train on, and of singing, spread over their singers."""
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    sets = {}
    for corpus, split in (("librispeech", "train"), ("mir1k", "valid")):
        paths = [r["path"] for r in rows if r["corpus"] == corpus and r["split"] == split]
        chosen = np.linspace(0, len(paths) - 1, n).astype(int)
        sets[corpus] = [table.parent / paths[i] for i in chosen]
    return sets


def analyzed(paths: list[Path]) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    """Envelope of mean power 1, aperiodicity and F0 of the sounding frames, 2 ms apart."""
    for path in paths:
        samples = highpass(audio.load(path, RATE)[0], SETTINGS.highpass, RATE, 10)
        found = world.analyze(
            samples, RATE, fmin=SETTINGS.fmin, fmax=SETTINGS.fmax, frame_period_ms=FINE_MS
        )
        power = found.envelope.mean(axis=1)
        kept = sounding(power, SETTINGS.gate_db, SETTINGS.pause, FINE_MS / 1000)
        yield found.envelope[kept] / power[kept].mean(), found.aperiodicity[kept], found.f0[kept]


def mel_db(power: FloatArray, windowed: bool = False) -> FloatArray:
    """Levels of 80 mel bands, `(n_frames, 80)`; windowed: as 64 ms every 16 ms show them."""
    bands = mel_bands(RATE, 2 * (N_BINS - 1), 80, 90, 7600).astype(np.float64)
    levels = power @ bands.T  # (n_frames, 80)
    if windowed:
        weights = np.hanning(round(64 / FINE_MS) + 1) ** 2
        windows = sliding_window_view(levels, len(weights), axis=0)[:: round(16 / FINE_MS)]
        return np.asarray(10 * np.log10(windows @ (weights / weights.sum()) + 1e-12))
    return np.asarray(10 * np.log10(levels + 1e-12))


def coded(cepstra: FloatArray, step: int, alpha: float, quantize: bool) -> FloatArray:
    """Envelope as a bank gives it back: every `step`th frame, interpolated between."""
    kept = cepstra[::step]
    if quantize:
        scale, offset = cepstrum_code(kept.shape[1])
        kept = np.asarray(quantized_cepstra(kept) * scale + offset, np.float64)
    position = np.minimum(np.arange(len(cepstra)) / step, len(kept) - 1)
    left = np.minimum(position.astype(int), len(kept) - 2)
    weight = (position - left)[:, None]
    between = kept[left] * (1 - weight) + kept[left + 1] * weight
    basis = cosines(np.linspace(0, RATE / 2, N_BINS), RATE, cepstra.shape[1], alpha)
    return np.asarray(np.exp(between @ basis))


def error_db(found: list[FloatArray], wanted: list[FloatArray]) -> tuple[float, float]:
    """Root mean square and mean over the bands that count."""
    differences = []
    for ours, truth in zip(found, wanted, strict=True):
        counts = truth > truth.max() - 70
        differences.append((ours - truth)[counts])
    joined = np.concatenate(differences)
    return float(np.sqrt(np.mean(joined**2))), float(joined.mean())


def table_of_orders(envelopes: list[FloatArray], wanted: list[FloatArray]) -> None:
    print("order | alpha | rms dB, every 2 ms | mean dB | bytes/s at 8 ms")
    for alpha in ALPHAS:
        longest = [cepstra_of(e, max(ORDERS), alpha) for e in envelopes]
        for order in ORDERS:
            found = [mel_db(coded(c[:, :order], 1, alpha, False)) for c in longest]
            rms, mean = error_db(found, wanted)
            print(f"{order:5} | {alpha:5} | {rms:6.2f} | {mean:+.2f} | {order * 125}")


def table_of_periods(envelopes: list[FloatArray], orders: list[tuple[int, float]]) -> None:
    """In single frames of 2 ms, and in the front end's window; eight bits in both."""
    print(f"order, alpha | rms dB at {', '.join(f'{p} ms' for p in PERIODS)}")
    for windowed in (False, True):
        print("as windows of 64 ms show it" if windowed else "every 2 ms")
        wanted = [mel_db(envelope, windowed) for envelope in envelopes]
        for order, alpha in orders:
            cepstra = [cepstra_of(e, order, alpha) for e in envelopes]
            cells = []
            for period in PERIODS:
                step = round(period / FINE_MS)
                found = [mel_db(coded(c, step, alpha, True), windowed) for c in cepstra]
                cells.append(f"{error_db(found, wanted)[0]:.2f}")
            print(f"{order:5}, {alpha:4} | " + " | ".join(cells))


def quantization(envelopes: list[FloatArray], order: int, alpha: float) -> None:
    """The error of eight bits alone."""
    cepstra = [cepstra_of(e, order, alpha) for e in envelopes]
    exact = [mel_db(coded(c, 1, alpha, False)) for c in cepstra]
    rms, _ = error_db([mel_db(coded(c, 1, alpha, True)) for c in cepstra], exact)
    saturated = np.mean([np.mean(np.abs(quantized_cepstra(c).astype(int)) == 127) for c in cepstra])
    print(f"order {order}, alpha {alpha}: 8 bits alone {rms:.3f} dB; saturated {saturated:.2e}")
    stored = np.concatenate([np.abs(quantized_cepstra(c).astype(int)) == 127 for c in cepstra])
    print(
        "  by coefficient",
        {int(k): f"{stored[:, k].mean():.1e}" for k in np.argsort(-stored.mean(0))[:6]},
    )


def fitted(envelopes: list[FloatArray], wanted: list[FloatArray], order: int, alpha: float) -> None:
    """Newton's fit to the power instead of the cosine transform of its logarithm."""
    found = []
    for envelope in envelopes:
        cepstra = melcepstrum.fitted_mel_cepstrum(envelope, order, alpha, FLOOR_DB)
        cepstra[:, 0] *= 2
        found.append(mel_db(coded(cepstra, 1, alpha, False)))
    rms, mean = error_db(found, wanted)
    print(f"order {order}, alpha {alpha}: fitted to the power {rms:.2f} dB, mean {mean:+.2f}")


def aperiodicity(parts: list[tuple[FloatArray, FloatArray, FloatArray]]) -> None:
    """Bands of the aperiodicity against D4C's own curve, voiced frames, in dB."""
    spec = BankSpec()
    hz = np.linspace(0, RATE / 2, N_BINS)
    differences = []
    for _, amplitude, f0 in parts:
        voiced = amplitude[f0 > 0]
        low, high = APERIODICITY_RANGE_DB
        stored = quantized_aperiodicity(bands_db(voiced, spec)) * ((high - low) / 255) + low
        truth = np.maximum(20 * np.log10(np.maximum(voiced, 1e-9)), low)
        differences.append(stored @ band_weights(spec, hz) - truth)
    joined = np.concatenate(differences)
    print(f"aperiodicity in {spec.n_bands} bands: rms {np.sqrt(np.mean(joined**2)):.2f} dB")
    for first, last in itertools.pairwise(spec.band_hz):
        inside = joined[:, (hz >= first) & (hz <= last)]
        print(f"  {first:g} … {last:g} Hz: {np.sqrt(np.mean(inside**2)):.2f} dB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--recordings", type=int, default=24)
    arguments = parser.parse_args()
    for corpus, paths in recordings(arguments.table, arguments.recordings).items():
        parts = list(analyzed(paths))
        envelopes = [envelope for envelope, _, _ in parts]
        wanted = [mel_db(envelope) for envelope in envelopes]
        n = sum(map(len, envelopes))
        print(f"## {corpus}: {len(paths)} recordings, {n * FINE_MS / 1000:.0f} s of sound")
        table_of_orders(envelopes, wanted)
        table_of_periods(envelopes, CANDIDATES)
        for order, alpha in CANDIDATES:
            quantization(envelopes, order, alpha)
        fitted(envelopes[:4], wanted[:4], 40, 0.35)
        aperiodicity(parts)


if __name__ == "__main__":
    main()
