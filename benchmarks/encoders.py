"""Encoders side by side: parameters, multiply-adds, and time on this machine.

python benchmarks/encoders.py                 (all; one thread, float32)
python benchmarks/encoders.py resnet lstm --batch 96 --bf16

Times are per partial: milliseconds of CPU time (which on a shared machine is what the encoder
needs, whatever else runs), or of a GPU by the clock.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn

from singerid.encoders import build_encoder
from singerid.precision import autocast, flushed_denormals
from singerid.training_sections import EncoderSettings

N_MELS = 80
ENCODERS: dict[str, dict[str, object]] = {
    "lstm 1 x 256": {"kind": "lstm", "hidden_size": 256, "n_layers": 1, "dim": 128},
    "lstm 3 x 768 (original)": {"kind": "lstm", "dim": 256},
    **{
        f"resnet {depth}, 16 channels, stride {stride}": {
            "kind": "resnet", "depth": depth, "channels": 16, "stem_stride": stride, "dim": 192
        }
        for stride in (2, 1) for depth in (10, 18, 34)
    },
    "resnet 34, 32 channels, stride 1": {
        "kind": "resnet", "depth": 34, "channels": 32, "stem_stride": 1, "dim": 256
    },
    "ecapa, 256 channels": {"kind": "ecapa", "channels": 256, "dim": 192},
    "ecapa, 512 channels": {"kind": "ecapa", "dim": 192},
    "campplus": {"kind": "campplus", "dim": 512},
    "redimnet": {"kind": "redimnet", "dim": 192},
}  # fmt: skip
"""Settings of each; the dimensions are those of their papers."""


def multiply_adds(encoder: nn.Module, features: Tensor) -> int:
    """Multiply-adds of the layers with weights, in one forward pass."""
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.LSTM):
            frames = inputs[0].shape[0] * inputs[0].shape[1]
            total += frames * sum(p.numel() for p in module.parameters() if p.dim() == 2)
        elif isinstance(module, nn.Conv2d):
            total += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += output.numel() * module.in_features

    hooks = [module.register_forward_hook(count) for module in encoder.modules()]
    with torch.inference_mode():
        encoder.eval()(features)
    for hook in hooks:
        hook.remove()
    return total


def forward(encoder: nn.Module, features: Tensor, bf16: bool) -> None:
    """One pass as in embedding."""
    encoder.eval()
    with torch.inference_mode(), autocast(bf16, features.device):
        encoder(features)


def step(encoder: nn.Module, features: Tensor, bf16: bool) -> None:
    """Forward and backward, as in training, without the loss and the optimizer."""
    encoder.train().zero_grad(set_to_none=True)
    with autocast(bf16, features.device):
        vectors = encoder(features)
    vectors[:, 0].sum().backward()


def seconds(call: Callable[[], None], device: str, rounds: int) -> float:
    """Median time of a call after one to warm up."""
    taken = []
    for _ in range(rounds + 1):
        if device == "cpu":
            start = time.process_time()
            call()
            taken.append(time.process_time() - start)
        else:
            start = time.perf_counter()
            call()
            torch.cuda.synchronize()
            taken.append(time.perf_counter() - start)
    return median(taken[1:])


def table(names: Iterable[str], batch: int, frames: int, bf16: bool, rounds: int) -> None:
    """Print a line for each encoder, as a Markdown table."""
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    times = " | ".join(f"{device} forward | {device} step" for device in devices)
    print(f"{frames} frames x {N_MELS} mels, {'bf16' if bf16 else 'float32'}, batch of {batch}")
    print(f"| encoder | parameters | MMAC a partial | {times} |")
    print("|" + " --- |" * (3 + 2 * len(devices)))
    for name in names:
        encoder = build_encoder(EncoderSettings.model_validate(ENCODERS[name]), N_MELS)
        size = sum(parameter.numel() for parameter in encoder.parameters())
        cost = multiply_adds(encoder, torch.rand(1, frames, N_MELS))
        line = [name, f"{size / 1e6:.2f} M", f"{cost / 1e6:.0f}"]
        for device in devices:
            encoder, features = encoder.to(device), torch.rand(batch, frames, N_MELS, device=device)
            for what in (forward, step):
                taken = seconds(partial(what, encoder, features, bf16), device, rounds)
                line.append(f"{1000 * taken / batch:.3g} ms")
        print("| " + " | ".join(line) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encoders", nargs="*", help="beginnings of names; all if none")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--frames", type=int, default=175)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bf16", action="store_true")
    given = parser.parse_args()
    beginnings = tuple(given.encoders) or ("",)
    names = [name for name in ENCODERS if name.startswith(beginnings)]
    torch.set_num_threads(given.threads)
    with flushed_denormals():
        table(names, given.batch, given.frames, given.bf16, given.rounds)


if __name__ == "__main__":
    main()
