"""Commands on long and mixed audio: segments (who sings when), quality."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from singerid.commands.asking import HINT, check_encoder, load
from singerid.errors import SingeridError
from singerid.flags import read_settings
from singerid.terminal import check_failures, progress, say, warn

if TYPE_CHECKING:
    from singerid.judge import Judge
    from singerid.sections import SegmentSettings
    from singerid.segments import Enrolled, Segmentation
    from singerid.separation import VoiceSeparator
    from singerid.tracks import FloatArray

_RATE = 16_000  # at which quality is judged


def segments(arguments: argparse.Namespace) -> None:
    """Who sings when in long or mixed recordings."""
    settings = read_settings(arguments).segment
    outputs = _outputs(arguments.files, arguments.output, arguments.format)
    if arguments.plot and len(outputs) > 1:
        raise SingeridError("--plot is for one recording", found=f"{len(outputs)} recordings")
    if arguments.table and arguments.registry:
        raise SingeridError("give --table or --registry", found="both")
    separator = _separator() if arguments.separate else None
    judge, enrolled = _asked(arguments)
    failures: list[SingeridError] = []
    for path, output in outputs.items():
        try:
            result = _segmentation(judge, path, enrolled, settings, separator)
        except SingeridError as error:
            failures.append(error)
            continue
        _write(result, path, output, arguments.plot)
    if judge.calibration is None:
        warn(HINT)
    check_failures(failures, len(outputs), "files")


def _segmentation(
    judge: Judge, path: str, enrolled: Enrolled | None, settings: SegmentSettings,
    separator: VoiceSeparator | None,
) -> Segmentation:  # fmt: skip
    from singerid.audio import probe
    from singerid.segments import found_segments, known_segments
    from singerid.tracks import listen

    blocks = _voice_of(path, judge.encoder.sample_rate, separator)
    with progress("segments", probe(path).duration) as advance:
        track = listen(judge.encoder, blocks, settings, path, advance)
    if enrolled is None:
        return found_segments(judge, track, settings)
    return known_segments(judge, track, enrolled, settings)


def _voice_of(
    path: str, sample_rate: int, separator: VoiceSeparator | None
) -> Iterator[FloatArray]:
    """Samples of a file at the encoder's rate; separated at a rate that keeps the consonants."""
    from singerid.tracks import read_blocks

    if separator is None:
        return read_blocks(path, sample_rate)
    from singerid.separation import separated_blocks

    return separated_blocks(read_blocks(path, sample_rate), sample_rate, separator)


def _separator() -> VoiceSeparator:
    from singerid.separation import load_separator

    return load_separator()


def _asked(arguments: argparse.Namespace) -> tuple[Judge, Enrolled | None]:
    """The judge, and whom to look for; None: whoever is there."""
    if arguments.table:
        from singerid.table import read_table

        table, judge = read_table(arguments.table), load(arguments)
        check_encoder(judge, table.encoder, arguments.table)
        return judge, table
    if arguments.registry is not None:
        from singerid.registry import Registry
        from singerid.registry.place import default_place

        registry = Registry.open(default_place(arguments.registry))
        judge = load(arguments, registry)
        check_encoder(judge, registry.encoder, registry.place)
        return judge, registry
    return load(arguments), None


def _outputs(files: list[str], output: str, form: str) -> dict[str, Path]:
    """Where the segments of each recording go: a file for one, a folder for several.

    Raises:
        SingeridError: two recordings would go to one file.
    """
    from singerid.segment_files import FORMATS

    if len(files) == 1 and Path(output).suffix.lower() in FORMATS:
        return {files[0]: Path(output)}
    if Path(output).suffix.lower() in FORMATS:
        raise SingeridError(
            "segments of several recordings go to a folder", where=output,
            found=f"{len(files)} recordings",
        )  # fmt: skip
    outputs = {path: Path(output) / f"{Path(path).stem}.{form}" for path in files}
    if len(set(outputs.values())) < len(files):
        raise SingeridError("two recordings have one name", do="give them one by one")
    return outputs


def _write(result: Segmentation, path: str, output: Path, picture: str | None) -> None:
    from singerid.segment_files import UNKNOWN, write_segments

    name = Path(path).stem
    write_segments(output, result.segments, name)
    say(f"{output}: {len(result.segments)} segments")
    for singer, seconds in result.seconds_of().items():
        say(f"  {singer or UNKNOWN}: {seconds:.1f} s")
    if not result.segments:
        warn(f"{path}: holds no voice")
    if picture:
        from singerid.plots import save_figure
        from singerid.timeline import timeline_figure

        save_figure(timeline_figure(result, name), picture)
        say(f"{picture}: timeline")


def quality(arguments: argparse.Namespace) -> None:
    """How far embeddings of recordings can be trusted, and why not further."""
    from singerid import audio
    from singerid.quality import assess

    failures: list[SingeridError] = []
    width = max(len(os.fspath(path)) for path in arguments.files)
    for path in arguments.files:
        try:
            samples, _ = audio.load(path, _RATE)
        except SingeridError as error:
            failures.append(error)
            continue
        found = assess(samples, _RATE)
        if arguments.json:
            say(json.dumps({"file": path} | found.to_dict()))
            continue
        reasons = "; ".join(found.reasons) or "good"
        voice = f"{found.voice_seconds:.1f} of {found.seconds:.1f} s"
        say(f"{path:<{width}}  {found.score:.2f}  {voice} voice, {reasons}")
    check_failures(failures, len(arguments.files), "files")
