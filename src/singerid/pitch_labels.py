"""The median F0 of each recording as a label, for trials and slices by pitch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from singerid import audio
from singerid.appending import in_turn, processes
from singerid.errors import SingeridError
from singerid.features.world import pyworld, track_f0
from singerid.records import Recording

SAMPLE_RATE = 16_000
LABEL = "f0"
# Hz. From 50 Hz on, dio is an octave too low in 7 to 17 % of the frames (docs/resinging.md).
FMIN = 71.0
MIN_FRAMES = 20  # of 10 ms; fewer are what dio finds in noise


def with_median_f0(
    recordings: Sequence[Recording],
    n_processes: int = 1,
    on_progress: Callable[[int], object] = lambda n: None,
) -> tuple[list[Recording], list[SingeridError]]:
    """The recordings with a label ``f0``: the median F0 of their voiced frames in Hz.

    The label is "" where less than 0.2 s is voiced.

    Args:
        recordings: what to measure.
        n_processes: files that are measured at once.
        on_progress: called with 1 after each file.

    Returns:
        All recordings in their order, and the errors of those that could not be measured (their
        label is "").

    Raises:
        MissingExtraError: WORLD is not installed.
    """
    pyworld()  # once here, not once a recording
    failures: list[SingeridError] = []
    labelled: list[Recording] = []
    for recording, outcome in in_turn(recordings, _median_f0, n_processes, processes):
        on_progress(1)
        if isinstance(outcome, SingeridError):
            failures.append(outcome)
        text = "" if isinstance(outcome, SingeridError) else outcome
        labelled.append(replace(recording, labels={**recording.labels, LABEL: text}))
    return labelled, failures


def _median_f0(recording: Recording) -> str:
    """In Hz with one decimal."""
    samples, _ = audio.load(recording.path, SAMPLE_RATE, recording.channel)
    f0 = track_f0(samples, SAMPLE_RATE, fmin=FMIN, frame_period_ms=10.0, where=recording.path)
    voiced = f0[f0 > 0]
    return f"{np.median(voiced):.1f}" if len(voiced) >= MIN_FRAMES else ""
