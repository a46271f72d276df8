"""Commands that ask about single recordings: verify, identify."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from singerid.errors import SingeridError
from singerid.flags import read_settings
from singerid.terminal import check_failures, say, warn

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from singerid.judge import Judge, Voice
    from singerid.registry import Registry
    from singerid.table import Candidate

    _Asked = tuple[Judge, int, Callable[[npt.NDArray[np.float32]], list[Candidate]]]

N_CANDIDATES = 100
"""Singers of a registry that are weighed against each other."""
HINT = "no calibration, so a score only; fit one: singerid calibrate"


def verify(arguments: argparse.Namespace) -> None:
    """Do two recordings, or an enrolled singer and a recording, hold the same voice?"""
    first, second = arguments.files
    if not os.path.exists(first):
        _verify_enrolled(arguments, first, second)
        return
    judge = load(arguments)
    voices = [judge.hear(path) for path in (first, second)]
    found = judge.verify(voices[0].vector, voices[1].vector, min(voice.seconds for voice in voices))
    if arguments.json:
        durations = [voice.durations() for voice in voices]
        columns = {name: [d[name] for d in durations] for name in durations[0]}
        say(json.dumps({"files": arguments.files} | columns | judge.facts() | found))
        return
    _say_verdict(found, judge)
    for voice in voices:
        say(f"  {_line(voice)}")


def _verify_enrolled(arguments: argparse.Namespace, singer: str, path: str) -> None:
    from singerid.registry import Registry, RegistryError
    from singerid.registry.place import default_place

    try:
        registry = Registry.open(default_place(arguments.registry))
        enrolled = registry.singer(singer)
    except RegistryError as error:
        raise SingeridError(
            "is neither a file nor an enrolled singer", where=singer, found=error,
            do="check the spelling, or enroll: singerid enroll NAME FILE",
        ) from error  # fmt: skip
    judge = load(arguments, registry)
    check_encoder(judge, registry.encoder, registry.place)
    voice = judge.hear(path)
    shorter = min(voice.seconds, enrolled.seconds or math.inf)
    found = judge.verify(enrolled.vector, voice.vector, shorter)
    if arguments.json:
        asked = {"singer": singer, "n_recordings": enrolled.n_recordings, "file": path}
        say(json.dumps(asked | voice.durations() | judge.facts() | found))
        return
    _say_verdict(found, judge)
    say(f"  {singer}: {enrolled.n_recordings} recording(s), {enrolled.seconds:.1f} s")
    say(f"  {_line(voice)}")


def identify(arguments: argparse.Namespace) -> None:
    """Whose voices are these? One of the registry's or a table's singers, or unknown."""
    files = list(arguments.files)
    table = files.pop(0) if files[0].endswith(".parquet") else None
    if not files:
        raise SingeridError("no recordings to identify", do="give them after the table")
    judge, n_singers, candidates = _of_table(arguments, table) if table else _of_registry(arguments)
    failures: list[SingeridError] = []
    for path in files:
        try:
            voice = judge.hear(path)
        except SingeridError as error:
            failures.append(error)
            continue
        answer = judge.identify(voice, candidates(voice.vector), n_singers, arguments.top)
        if arguments.json:
            about = {"file": voice.path, "quality": voice.quality.to_dict()} | voice.durations()
            say(json.dumps(about | answer | judge.facts()))
        else:
            _say_candidates(voice, answer)
    if judge.calibration is None and not arguments.json:
        warn(HINT)
    check_failures(failures, len(files), "files")


def load(arguments: argparse.Namespace, registry: Registry | None = None) -> Judge:
    """The judge that the flags ask for, adapted to a registry unless a calibration is given."""
    from singerid.judge import load_judge

    judge = load_judge(
        arguments.encoder, arguments.calibration, read_settings(arguments).embed,
        arguments.prior, getattr(arguments, "false_alarm", 0.01),
    )  # fmt: skip
    if registry is None or arguments.calibration:
        return judge
    return judge.adapted_to(*registry.sample())


def _of_table(arguments: argparse.Namespace, path: str) -> _Asked:
    """Singers of a table.parquet."""
    from singerid.table import read_table

    table, judge = read_table(path), load(arguments)
    check_encoder(judge, table.encoder, path)
    return judge, len(table), lambda vector: table.candidates(vector, table.encoder)


def _of_registry(arguments: argparse.Namespace) -> _Asked:
    """Enrolled singers."""
    from singerid.registry import Registry
    from singerid.registry.place import default_place

    registry = Registry.open(default_place(arguments.registry))
    judge = load(arguments, registry)
    check_encoder(judge, registry.encoder, registry.place)
    top = max(arguments.top, N_CANDIDATES)
    return judge, len(registry), lambda vector: registry.candidates(vector, registry.encoder, top)


def check_encoder(judge: Judge, encoder: str, where: str) -> None:
    """Refuse vectors of another encoder than the judge's."""
    from singerid.embeddings import check_same_encoder

    check_same_encoder(judge.encoder.fingerprint, encoder, where)


def _line(voice: Voice) -> str:
    line = f"{voice.path}: {voice.seconds:.1f} s, of which {voice.voice_seconds:.1f} s voice"
    return "; ".join([line, *voice.quality.reasons])


def _say_verdict(found: dict[str, Any], judge: Judge) -> None:
    """Of `verify`, in words."""
    if judge.calibration is None:
        say(f"score {found['score']:.3f}")
        warn(HINT)
        return
    verdict = "the same singer" if found["accepted"] else "different singers"
    rate = f"{100 * found['false_alarm']:g} % false alarms"
    threshold = f"threshold for {rate} never measured"
    if found["threshold"] is not None:
        threshold = f"threshold {found['threshold']:.3f} for {rate}"
    say(
        f"{verdict}: score {found['score']:.3f}, {threshold}; probability of the same singer "
        f"{found['probability']:.3f} (prior {found['prior']:g}, log-likelihood ratio "
        f"{found['llr']:+.2f})"
    )


def _say_candidates(voice: Voice, answer: dict[str, Any]) -> None:
    """Of `identify`, in words."""
    name = "unknown" if answer["singer"] is None else answer["singer"]
    how = ""
    if answer["unknown_probability"] is not None:
        share = answer["probability"] if answer["singer"] else answer["unknown_probability"]
        how = f" (probability {share:.3f}; {answer['n_singers']} enrolled, prior of being one of "
        how += f"them {answer['prior']:g})"
    say(f"{voice.path}: {name}{how}")
    for rank, found in enumerate(answer["candidates"], 1):
        line = f"  {rank}. {found['singer']}  score {found['score']:.3f}"
        if "probability" in found:
            line += f", probability {found['probability']:.3f}"
        say(line)
    if voice.quality.reasons:
        say(f"  {'; '.join(voice.quality.reasons)}")
