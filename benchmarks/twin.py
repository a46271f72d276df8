"""How far rendered mel frames are from those of the same plans as sound (needs WORLD).

    python benchmarks/twin.py BANK

Mean of the absolute difference and of the difference in dB, over the bands within 40 dB of the
loudest, of twelve voices spread over the bank: the last rows of the table in docs/resinging.md.
"""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt
import torch

from singerid.features.mel import log_mel
from singerid.resing_settings import PLAIN, ResingSettings
from singerid.resinging.bank_tensors import BankTensors
from singerid.resinging.levels import decibels
from singerid.resinging.render import Renderer
from singerid.resinging.resing import resing
from singerid.spec import FeatureSpec, MelSettings
from singerid.voicebank.bank import VoiceBank

N_VOICES, SECONDS, EDGE = 12, 2.0, 4
WINDOWS = {
    "window 32 ms": MelSettings(
        n_fft=512, hop_length=160, spectrum="power", dither=0, scale="linear"
    ),
    "window 64 ms": MelSettings(dither=0, scale="linear"),
}
SINGING = {"one steady note": PLAIN, "all effects": ResingSettings()}


def main() -> None:
    bank = VoiceBank.open(sys.argv[1])
    rows = np.linspace(0, len(bank) - 1, N_VOICES).astype(int).tolist()
    voices = BankTensors.of(bank.select(rows))
    for window, mel in WINDOWS.items():
        for singing, settings in SINGING.items():
            found = np.concatenate([difference(voices, k, mel, settings) for k in range(N_VOICES)])
            print(f"{window}  {singing:<16}{np.abs(found).mean():5.2f} / {found.mean():.2f} dB")


def difference(
    voices: BankTensors, row: int, mel: MelSettings, settings: ResingSettings
) -> npt.NDArray[np.float32]:
    """Rendered minus heard, in dB, of the loud bands of one song."""
    spec = FeatureSpec(mel=mel)
    song = resing(
        voices, row, settings, variant=row % settings.variants, seconds=SECONDS,
        hop_seconds=spec.hop_seconds, seed=row,
    )  # fmt: skip
    rendered = decibels(Renderer(voices, spec)(song.plan), mel)[0].numpy()
    sound = log_mel(song.samples, voices.spec.sample_rate, mel)
    heard = decibels(torch.from_numpy(sound), mel).numpy()
    inner = slice(EDGE, -EDGE)
    loud = heard[inner] > heard.max() - 40
    return np.asarray((rendered - heard)[inner][loud])


if __name__ == "__main__":
    main()
