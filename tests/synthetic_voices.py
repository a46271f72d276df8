"""A small voice bank with formants, pitch and noise that are known exactly."""

from dataclasses import replace

import numpy as np

from singerid.spec import FeatureSpec, MelSettings
from singerid.voicebank.bank import VoiceBank
from singerid.voicebank.codes import (
    cepstra_of,
    cepstrum_code,
    quantized_aperiodicity,
    quantized_cepstra,
)
from singerid.voicebank.spec import BankSpec

ENCODER = FeatureSpec(mel=MelSettings(n_fft=512, hop_length=160, spectrum="power"))
N_FRAMES = 600
FORMANTS = np.array([500.0, 1500.0, 2500.0, 3500.0, 4500.0])
VOWELS = ((1.0, 1.0), (0.7, 1.4), (1.3, 0.8))
"""Factors on F1 and F2, each for 40 frames: 30 voiced, then 10 unvoiced."""


def synthetic_bank(n_singers=3, n_recordings=2, features=ENCODER):
    """Singer i has formants 3 % higher than singer i - 1, and F0 about 100 or 200 Hz."""
    spec = BankSpec(features=features)
    rng = np.random.default_rng(0)
    time = np.arange(N_FRAMES)
    hz = np.linspace(0, spec.sample_rate / 2, 513)
    parts = {"f0": [], "cepstrum": [], "aperiodicity": [], "mel": []}
    names = []
    for singer in range(n_singers):
        vowels = np.stack([_envelope(hz, 1.03**singer, vowel) for vowel in VOWELS])
        codes = quantized_cepstra(cepstra_of(vowels, spec.order, spec.alpha))
        for _ in range(n_recordings):
            voiced = time % 40 < 30
            base = (100, 200)[singer % 2]
            parts["f0"].append(np.where(voiced, base * (1 + 0.1 * np.sin(time / 30)), 0))
            parts["cepstrum"].append(codes[time // 40 % len(VOWELS)])
            noise = quantized_aperiodicity(np.full(spec.n_bands, -30.0))
            parts["aperiodicity"].append(np.where(voiced[:, None], noise, 255).astype(np.uint8))
            parts["mel"].append(rng.random((N_FRAMES, features.n_dims)))
            names.append(f"singer{singer}")
    n = len(names)
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    onset = np.zeros(n * N_FRAMES, bool)
    onset[::N_FRAMES] = True
    starts = np.arange(n + 1) * N_FRAMES
    medians = np.array([np.median(f0[f0 > 0]) for f0 in parts["f0"]], np.float32)
    return VoiceBank(
        spec=spec, ids=tuple(map(str, range(n))), singers=tuple(names), genders=("",) * n,
        splits=("train",) * n, median_f0=medians, levels=np.zeros(n, np.float32), starts=starts,
        f0=joined["f0"].astype(np.float32), onset=onset, cepstrum=joined["cepstrum"],
        cepstrum_scale=cepstrum_code(spec.order)[0], cepstrum_offset=cepstrum_code(spec.order)[1],
        aperiodicity=joined["aperiodicity"], mel=joined["mel"].astype(np.float16),
        mel_starts=starts,
    )  # fmt: skip


def always_voiced(bank, noise_db=-60.0):
    """The same bank without unvoiced frames, with noise of this level everywhere."""
    noise = np.full_like(bank.aperiodicity, quantized_aperiodicity(np.array(noise_db)))
    return replace(bank, f0=np.full_like(bank.f0, 150), aperiodicity=noise)


def whispered(bank):
    """The same bank as noise alone, with a flat envelope of power 1."""
    codes = np.zeros_like(bank.cepstrum)
    codes[:, 0] = np.rint(-bank.cepstrum_offset[0] / bank.cepstrum_scale[0])
    return replace(
        bank, f0=np.zeros_like(bank.f0), cepstrum=codes,
        aperiodicity=np.full_like(bank.aperiodicity, 255),
    )  # fmt: skip


def _envelope(hz, scale, vowel):
    """Power of five resonances, with mean 1."""
    formants = FORMANTS * scale
    formants[:2] *= vowel
    power = (1e-4 + 1 / (1 + ((hz[:, None] - formants) / 90) ** 2)).sum(1) / (1 + hz / 500) ** 2
    return power / power.mean()
