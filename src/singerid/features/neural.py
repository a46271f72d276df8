"""F0 by a small neural network (SwiftF0, Nieradzik 2025; MIT), which runs on onnxruntime."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from singerid.errors import MissingExtraError

_VOICED = 0.5  # least confidence of a voiced frame


def neural_f0(
    samples: npt.NDArray[np.float32], sample_rate: int, fmin: float, fmax: float
) -> tuple[npt.NDArray[np.float64], float]:
    """F0 of a recording.

    Args:
        samples: mono `(n_samples,)`.
        sample_rate: Hz.
        fmin: lowest F0 in Hz.
        fmax: highest F0 in Hz.

    Returns:
        F0 `(n_frames,)` in Hz, 0 where unvoiced, and the distance of its frames in seconds.

    Raises:
        MissingExtraError: swift-f0 is not installed.
    """
    swift_f0 = swift_f0_module()
    limits = max(fmin, swift_f0.FMIN), min(fmax, swift_f0.FMAX)
    result = _detector().detect(samples, sample_rate, *limits)
    f0 = np.where(result.confidence >= _VOICED, result.pitch_hz, 0.0)
    return f0, float(swift_f0.FRAME_PERIOD)


@lru_cache(maxsize=1)
def _detector() -> Any:
    return swift_f0_module().SwiftF0(threads=1)


def swift_f0_module() -> Any:
    """The package, which is an extra.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import swift_f0
    except ImportError:
        raise MissingExtraError("swift-f0", "neural-pitch") from None
    return swift_f0
