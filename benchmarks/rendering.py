"""Crops of 2.8 s per second and core that re-singing makes, against the bar of 600.

    python benchmarks/rendering.py [BANK] [--device cuda]

Without a bank: 250 voices of random formants. Times are medians of interleaved rounds; what a
training step costs to feed is the last line.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable

import numpy as np
import torch

from singerid.resing_settings import CLEAN, ChannelSettings, ResingSettings
from singerid.resinging.bank_tensors import BankTensors
from singerid.resinging.draws import seeded
from singerid.resinging.plan import Plan, draw_plan
from singerid.resinging.resung import ResungBatches
from singerid.spec import FeatureSpec, MelSettings
from singerid.voicebank.bank import VoiceBank
from singerid.voicebank.codes import cepstra_of, cepstrum_code, quantized_cepstra
from singerid.voicebank.spec import BankSpec
from timing import medians

BAR = 600.0  # crops per second and core
SECONDS = 2.8
N_CLASSES, N_CROPS = 48, 2
ENCODER = FeatureSpec(mel=MelSettings(n_fft=512, hop_length=160, spectrum="power"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bank", nargs="?", help="folder of a voice bank")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    bank = VoiceBank.open(options.bank) if options.bank else random_bank(250, 1500)
    tensors = BankTensors.of(bank, options.device)
    before = peak_mb()
    calls = candidates(tensors)
    seconds = medians(calls, rounds=9, warmups=2)
    n = N_CLASSES * N_CROPS
    for name, median in seconds.items():
        rate = n / median
        print(f"{name:<36}{1e3 * median:7.1f} ms  {rate:7.0f} crops/s  {rate / BAR:5.2f} x the bar")
    print(f"{n} crops of {SECONDS} s on {tensors.device}, one thread")
    print(f"peak memory {peak_mb():.0f} MB; {before:.0f} MB of it before tables and batches")


def candidates(bank: BankTensors) -> dict[str, Callable[[], object]]:
    """Whole batches, and their parts."""
    spec = bank.spec.features
    n_frames = round(SECONDS / spec.hop_seconds)

    def batches(resing: ResingSettings, channel: ChannelSettings) -> ResungBatches:
        return ResungBatches(
            bank, resing, channel, n_classes=N_CLASSES, n_crops=N_CROPS, n_frames=n_frames
        )

    sung = batches(ResingSettings(real_share=0), CLEAN)
    usual = batches(ResingSettings(), ChannelSettings())
    real = batches(ResingSettings(real_share=1), CLEAN)
    identities = torch.arange(N_CLASSES * N_CROPS) % sung.people.n
    rows = bank.order.cpu()[bank.first.cpu()[identities // sung.people.variants]]

    def plan() -> Plan:
        return draw_plan(
            bank, rows, identities, sung.people, seeded(0), sung.resing,
            n_frames=n_frames, hop_seconds=spec.hop_seconds,
        )  # fmt: skip

    planned = plan()
    mels = sung.render(planned)
    n_cells, n_bins, n_functions = len(planned) * n_frames, len(sung.render.hz), spec_terms(bank)
    weights, functions = torch.rand(n_cells, n_functions), torch.rand(n_functions, n_bins)
    bands = torch.rand(n_bins, spec.mel.n_mels)
    weights, functions, bands = (x.to(bank.device) for x in (weights, functions, bands))

    def products() -> None:
        for start in range(0, n_cells, n_frames):
            weights[start : start + n_frames] @ functions @ bands

    calls: dict[str, Callable[[], object]] = {
        "limit: matrix products of rendering": products,
        "plan": plan,
        "render": lambda: sung.render(planned),
        "channel": lambda: usual.channel(mels, seeded(1)),
        "real crops alone": lambda: real(0),
        "re-sung alone, no channel": lambda: sung(0),
        "as trained: 35 % real, channel": lambda: usual(0),
    }
    if bank.device.type == "cpu":
        return calls
    return {name: synchronized(call) for name, call in calls.items()}


def spec_terms(bank: BankTensors) -> int:
    """Functions of frequency that an envelope is summed of."""
    return bank.spec.order + 20


def synchronized(call: Callable[[], object]) -> Callable[[], object]:
    def wait() -> None:
        call()
        torch.cuda.synchronize()

    return wait


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def random_bank(n_singers: int, n_frames: int) -> VoiceBank:
    """Voices of five formants that wander, seven in ten frames voiced."""
    rng = np.random.default_rng(0)
    spec = BankSpec(features=ENCODER)
    hz = np.linspace(0, spec.sample_rate / 2, 257)
    formants = np.array([500, 1500, 2500, 3500, 4500]) * rng.uniform(0.6, 1.5, (512, 5))
    power = (1e-4 + 1 / (1 + ((hz[:, None] - formants[:, None]) / 90) ** 2)).sum(2)
    shapes = quantized_cepstra(cepstra_of(power / power.mean(1, keepdims=True), spec.order, 0.0))
    n = n_singers * n_frames
    starts = np.arange(n_singers + 1, dtype=np.int64) * n_frames
    voiced = np.arange(n) % 40 < 28
    base = rng.uniform(90, 230, n_singers).astype(np.float32)
    onset = np.zeros(n, np.bool_)
    onset[starts[:-1]] = True
    scale, offset = cepstrum_code(spec.order)
    mel = np.tile(rng.random((n_frames, 80)).astype(np.float16), (n_singers, 1))
    return VoiceBank(
        spec=spec, ids=tuple(map(str, range(n_singers))), genders=("",) * n_singers,
        singers=tuple(f"{i:04d}" for i in range(n_singers)), splits=("train",) * n_singers,
        median_f0=base, levels=np.zeros(n_singers, np.float32), starts=starts,
        f0=(np.repeat(base, n_frames) * voiced).astype(np.float32), onset=onset,
        cepstrum=shapes[rng.integers(512, size=n // 8).repeat(8)], cepstrum_scale=scale,
        cepstrum_offset=offset, mel=mel, mel_starts=starts,
        aperiodicity=rng.integers(60, 200, (n, spec.n_bands)).astype(np.uint8),
    )  # fmt: skip


if __name__ == "__main__":
    main()
