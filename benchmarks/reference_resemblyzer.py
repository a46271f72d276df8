"""Resemblyzer's weights in our encoder beside its own library: differences, and the tests' numbers.

    pip install resemblyzer==0.1.4 'setuptools<81'   # in an environment of its own; has to compile
    python benchmarks/reference_resemblyzer.py [FILE ...] [--write tests/data/resemblyzer.json]

resemblyzer is no dependency of the project. What is kept in tests/data is what it made of
`voice`, a synthetic signal; neither its weights nor anything of real recordings is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from singerid import audio
from singerid.checkpoint import load_encoder
from singerid.embed import TorchSingerEncoder
from singerid.features import raise_level
from singerid.features.mel import log_mel
from singerid.foreign import import_encoder
from singerid.melody import draw_song
from singerid.sections import EmbedSettings
from singerid.singing import sing
from singerid.voices import draw_singer

FloatArray = npt.NDArray[np.float32]
RATE = 16_000
SIGNALS = {"loud": (4.0, 0.1), "soft": (5.3, 0.004), "short": (1.2, 0.03)}
"""Seconds and amplitude of the signals in tests/data; the soft ones lie below -30 dBFS."""


def voice(seconds: float, amplitude: float) -> FloatArray:
    """A sung vowel that glides, from 20 harmonics, float32 `(n_samples,)` at `RATE`.

    A formula, and none of our virtual singers, so that it stays the same for good.
    """
    t = np.arange(int(seconds * RATE)) / RATE
    pitch = 180 * 2 ** (0.3 * np.sin(2 * np.pi * 0.4 * t) + 0.04 * np.sin(2 * np.pi * 5.5 * t))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tone = np.zeros_like(t)
    for number in range(1, 21):
        hz = number * pitch
        gain = sum(1 / (1 + ((hz - f) / 90) ** 2) for f in (620 + 150 * np.sin(t), 1150, 2600))
        tone += gain * np.sin(number * phase) / number**0.5
    return (amplitude * tone * (0.6 + 0.4 * np.sin(2 * np.pi * 0.9 * t))).astype(np.float32)


def theirs(
    samples: FloatArray, silence_removal: bool = False
) -> tuple[FloatArray, FloatArray, list[int]]:
    """By the library: utterance `(256,)`, partials `(n, 256)`, and their first frames.

    Its preprocessing of files normalizes the level and then removes silence; the latter, a voice
    activity detector for speech, only if asked for.
    """
    library: Any = import_module("resemblyzer.audio")
    samples = library.normalize_volume(samples, -30, increase_only=True)
    if silence_removal:
        samples = library.trim_long_silences(samples)
    utterance, partials, slices = _library_encoder().embed_utterance(samples, return_partials=True)
    return utterance, partials, [int(part.start) // 160 for part in slices]


def ours(encoder: TorchSingerEncoder, samples: FloatArray, starts: list[int]) -> FloatArray:
    """By us, of the partials at `starts`; silence follows where one reaches beyond the end."""
    spec, length = encoder.file.spec, encoder.file.partial_frames
    missing = max(0, (starts[-1] + length) * spec.mel.hop_length - len(samples))
    samples = np.pad(raise_level(samples, spec.audio.min_level_db), (0, missing))
    features = log_mel(samples, RATE, spec.mel)
    batch = torch.from_numpy(np.stack([features[start : start + length] for start in starts]))
    with torch.inference_mode():
        vectors: FloatArray = encoder.file.encoder(batch).numpy()
    return vectors


def compared(weights: Path, signals: dict[str, FloatArray]) -> dict[str, dict[str, Any]]:
    """The library's numbers of each signal; prints how ours differ."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "encoder.safetensors"
        import_encoder(weights, file)
        tiled = {
            o: TorchSingerEncoder(load_encoder(file), EmbedSettings(overlap=o)) for o in (0.0, 0.5)
        }
    numbers = {}
    print(
        "signal: largest difference of a partial's vector, least cosine; "
        "cosine of the recordings' vectors with our tiling at overlap 0, 0.5; its own with VAD"
    )
    for name, samples in signals.items():
        utterance, partials, starts = theirs(samples)
        vectors = ours(tiled[0.0], samples, starts)
        cosines = [float(utterance @ encoder.embed(samples, RATE)) for encoder in tiled.values()]
        with_vad = float(utterance @ theirs(samples, silence_removal=True)[0])
        difference, least = np.abs(vectors - partials).max(), (vectors * partials).sum(1).min()
        print(
            f"{name}: {difference:.1e}, {least:.7f}; {cosines[0]:.4f}, {cosines[1]:.4f}; "
            f"{with_vad:.4f}"
        )
        numbers[name] = {
            "starts": starts, "partials": [_digits(vector) for vector in partials],
            "utterance": _digits(utterance),
        }  # fmt: skip
    return numbers


def _digits(vector: FloatArray) -> list[float]:
    return [round(float(value), 6) for value in vector]


@cache
def _library_encoder() -> Any:
    return import_module("resemblyzer").VoiceEncoder("cpu", verbose=False)


def virtual_singer() -> FloatArray:
    rng = np.random.default_rng(5)
    samples: FloatArray = sing(draw_singer(rng, "x", "F"), draw_song(rng, 8.0), rng, RATE)
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", help="recordings to compare on as well")
    parser.add_argument("--write", metavar="JSON", help="where the tests' numbers go")
    arguments = parser.parse_args()
    weights = Path(import_module("resemblyzer").__file__ or "").with_name("pretrained.pt")
    numbers = compared(weights, {name: voice(*values) for name, values in SIGNALS.items()})
    more = {Path(file).name: audio.load(file, RATE)[0] for file in arguments.files}
    compared(weights, {"virtual singer": virtual_singer()} | more)
    if arguments.write:
        sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
        text = json.dumps({"sha256": sha256, "signals": numbers}, separators=(",", ":"))
        Path(arguments.write).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
