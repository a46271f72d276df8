"""The voice of a mixed recording, without the instruments: by Demucs, an optional extra.

Hybrid Transformer Demucs (Rouard, Massa and Défossez 2023, Hybrid transformers for music source
separation) in the package that its author keeps. Weights are fetched by this machine when they
are first used, from the Hugging Face Hub, as safetensors: nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import soxr

from singerid.errors import MissingExtraError, SingeridError

if TYPE_CHECKING:
    from demucs.api import Separator

FloatArray = npt.NDArray[np.float32]

MODEL = "htdemucs"
_STRETCH_SECONDS = 30.0
_AROUND_SECONDS = 2.0  # heard before and after each stretch, and dropped: no seams
_STEM = "vocals"


class VoiceSeparator(Protocol):
    """What takes the voice out of a mix."""

    def separate(self, samples: FloatArray, sample_rate: int) -> FloatArray:
        """The voice in mono samples `(n_samples,)`: as many, at the same rate."""


class DemucsSeparator:
    """The stem "vocals" of a Demucs model.

    Attributes:
        separator: of the package demucs; anything with its `samplerate`, `audio_channels` and
            `separate_tensor`.
    """

    def __init__(self, separator: Separator | Any) -> None:
        self.separator = separator

    def separate(self, samples: FloatArray, sample_rate: int) -> FloatArray:
        """See `VoiceSeparator.separate`.

        Raises:
            SingeridError: the model has no stem of that name.
        """
        import torch

        rate, n_channels = self.separator.samplerate, self.separator.audio_channels
        mono = samples if rate == sample_rate else soxr.resample(samples, sample_rate, rate)
        mix = torch.from_numpy(np.repeat(mono[None], n_channels, axis=0))
        with torch.inference_mode():
            _, stems = self.separator.separate_tensor(mix, rate)
        if _STEM not in stems:
            raise SingeridError(
                "the separation model knows no voice", found=", ".join(stems), expected=_STEM
            )
        voice = stems[_STEM].mean(dim=0).cpu().numpy()
        if rate != sample_rate:
            voice = soxr.resample(voice, rate, sample_rate)
        result = np.zeros(len(samples), np.float32)  # resampling may round to a sample less
        n = min(len(result), len(voice))
        result[:n] = voice[:n]
        return result


def load_separator(model: str = MODEL) -> DemucsSeparator:
    """A pretrained model, from the cache or the Hugging Face Hub.

    Args:
        model: its name there, such as ``htdemucs`` or ``htdemucs_ft`` (four times as slow).

    Raises:
        MissingExtraError: demucs is not installed.
        SingeridError: the weights cannot be had.
    """
    try:
        from demucs.api import Separator
    except ImportError:
        raise MissingExtraError("demucs", "separate") from None
    try:
        # "hf://": never the pickled weights of the old server. One pass: shifts are drawn at
        # random, and the same file should give the same voice.
        separator = Separator(model=f"hf://{model}", shifts=0)
    except Exception as error:  # of the network, the Hub, or the file
        raise SingeridError(
            "the separation model cannot be loaded", where=model,
            found=str(error).partition("\n")[0][:160],
            do="check the name and the connection; weights are fetched at the first use",
        ) from error  # fmt: skip
    return DemucsSeparator(separator)


def separate_vocals(
    samples: FloatArray, sample_rate: int, separator: VoiceSeparator | None = None
) -> FloatArray:
    """The voice in mono samples.

    Args:
        samples: `(n_samples,)`.
        sample_rate: Hz.
        separator: None: `load_separator()`.

    Returns:
        float32 `(n_samples,)`.

    Raises:
        MissingExtraError: demucs is not installed.
    """
    separator = separator or load_separator()
    parts = list(separated_blocks([samples], sample_rate, separator))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def separated_blocks(
    blocks: Iterable[FloatArray], sample_rate: int, separator: VoiceSeparator
) -> Iterator[FloatArray]:
    """The voice of a stream, in stretches of half a minute: bounded memory for hours.

    Each stretch is separated together with two seconds before and after it, which are dropped.

    Args:
        blocks: mono samples in blocks of any length.
        sample_rate: Hz.
        separator: does the work.

    Yields:
        float32, together as many samples as came in.
    """
    length, around = (round(s * sample_rate) for s in (_STRETCH_SECONDS, _AROUND_SECONDS))
    before = np.zeros(0, np.float32)
    ahead = np.zeros(0, np.float32)
    for block in blocks:
        ahead = np.concatenate([ahead, block])
        while len(ahead) >= length + around:
            yield _inner(separator, sample_rate, before, ahead[: length + around], length)
            before, ahead = ahead[length - around : length].copy(), ahead[length:].copy()
    if len(ahead):
        yield _inner(separator, sample_rate, before, ahead, len(ahead))


def _inner(
    separator: VoiceSeparator, sample_rate: int, before: FloatArray, ahead: FloatArray, length: int
) -> FloatArray:
    voice = separator.separate(np.concatenate([before, ahead]), sample_rate)
    return voice[len(before) : len(before) + length]
