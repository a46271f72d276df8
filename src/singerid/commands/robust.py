"""The command robustness: the same trials under changed conditions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from singerid.flags import read_settings
from singerid.terminal import check_failures, progress, say, warn

if TYPE_CHECKING:
    from singerid.records import Recording


def robustness(arguments: argparse.Namespace) -> None:
    """Error rates when the tested recordings are short, noisy, coded, shifted, accompanied …"""
    from singerid.evaluate import draw_from
    from singerid.external import load_embedder
    from singerid.manifest import select
    from singerid.records import columns_of, read_recordings
    from singerid.robustness import robustness as compute
    from singerid.robustness.degradations import choose
    from singerid.robustness.files import summary_lines, write_robustness

    config = read_settings(arguments)
    settings = config.robustness
    recordings = read_recordings(arguments.manifest)
    if arguments.select:
        recordings = select(recordings, arguments.select)
    recordings = _drawn(recordings, settings.max_recordings, settings.seed)
    names = [name.strip() for name in settings.conditions.split(",") if name.strip()]
    degradations = choose(names, babble=settings.babble or None, music=settings.music or None)
    selection = config.trials
    genders = {r.labels.get("gender", "") for r in recordings}
    if settings.gender == "same" and selection.nontargets == "all" and genders & {"F", "M"}:
        selection = selection.model_copy(update={"nontargets": "same_gender"})
    trials = draw_from([r.id for r in recordings], columns_of(recordings), selection)
    encoder = load_embedder(arguments.encoder, config.embed, recordings)
    folder = Path(arguments.output)
    with progress("robustness", sum(r.duration for r in recordings)) as advance:
        result = compute(
            recordings, encoder, trials, degradations, seed=settings.seed,
            n_bootstrap=settings.n_bootstrap, n_threads=arguments.workers,
            cache=folder / "vectors", on_progress=advance, on_warning=warn,
        )  # fmt: skip
    written = write_robustness(result, folder)
    for line in summary_lines(result):
        say(line)
    say(f"{folder}: {', '.join(written)}")
    check_failures(
        [failure.error for failure in result.failures], len(recordings), "recordings, somewhere"
    )


def _drawn(recordings: list[Recording], n: int, seed: int) -> list[Recording]:
    """At most `n` recordings of each singer; all if `n` is 0."""
    import numpy as np

    from singerid.table import draw

    rng = np.random.default_rng(seed)
    rows: dict[str, list[int]] = {}
    for row, recording in enumerate(recordings):
        rows.setdefault(recording.singer, []).append(row)
    return [recordings[i] for i in sorted(i for own in rows.values() for i in draw(own, n, rng))]
