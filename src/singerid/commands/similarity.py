"""The command that judges generated singing: similarity."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singerid.errors import SingeridError
from singerid.flags import read_settings
from singerid.terminal import check_failures, progress, say, warn, warn_all

if TYPE_CHECKING:
    from singerid.embedder import Embedder
    from singerid.embeddings import EmbeddingSet
    from singerid.records import Recording
    from singerid.similarity import Similarity
    from singerid.similarity_pairs import Pairs

_Sides = dict[str, "list[Recording]"]
GENERATED, REFERENCES = "generated", "references"


def similarity(arguments: argparse.Namespace) -> None:
    """Does generated singing sound like its singers? Beside how real recordings compare."""
    from singerid.judge import load_judge
    from singerid.similarity import compare

    _check(arguments)
    sets: dict[str, EmbeddingSet] = {}
    sides: _Sides = {}
    failures: list[SingeridError] = []
    for name in (GENERATED, REFERENCES):
        failures += _list(name, getattr(arguments, name), sides, sets)
    n_inputs = sum(map(len, sides.values())) + len(failures)
    pairs = _pairs(arguments, sides)
    judge = load_judge(
        arguments.encoder, arguments.calibration, read_settings(arguments).embed,
        arguments.prior, arguments.false_alarm,
    )  # fmt: skip
    to_embed = {name: side for name, side in sides.items() if name not in sets}
    if to_embed:
        embedded, failed = _embed(judge.encoder, to_embed, arguments.workers)
        sets, failures = sets | embedded, failures + failed
    rows = [{id: i for i, id in enumerate(sets[name].ids)} for name in (GENERATED, REFERENCES)]
    kept = [(rows[0][a], rows[1][b]) for a, b in pairs if a in rows[0] and b in rows[1]]
    if not kept:
        check_failures(failures, n_inputs, "recordings")
    found = compare(
        sets[GENERATED], sets[REFERENCES], kept, calibration=judge.calibration,
        prior=judge.prior, false_alarm=judge.false_alarm,
    )  # fmt: skip
    # The MFCC baseline has a fingerprint only with the recordings that it was fitted to.
    facts = judge.facts() if judge.calibration else {"encoder_name": None, "calibration": None}
    _say(found, facts, arguments)
    check_failures(failures, n_inputs, "recordings")


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what could only fail after minutes of embedding."""
    from singerid.plots import SUFFIXES

    if arguments.pairs and arguments.by:
        raise SingeridError("--by and --pairs exclude each other", do="give one of them")
    suffix = Path(arguments.output or "similarity.png").suffix.lower()
    if suffix not in SUFFIXES:
        raise SingeridError(
            "cannot draw such a file", where=arguments.output, found=suffix or "no suffix",
            expected=" or ".join(SUFFIXES),
        )  # fmt: skip


def _list(
    name: str, path: str, sides: _Sides, sets: dict[str, EmbeddingSet]
) -> list[SingeridError]:
    """Add the recordings of one side, and their embeddings, if it is a file of those."""
    from singerid.embeddings import read_embeddings
    from singerid.records import Recording
    from singerid.similarity_pairs import list_recordings

    if path.endswith(".parquet"):
        made = sets[name] = read_embeddings(path)
        sides[name] = [
            Recording(id, singer, file, seconds, 1)
            for id, singer, file, seconds in zip(
                made.ids, made.singers, made.paths, made.seconds, strict=True
            )
        ]
        return []
    sides[name], failures = list_recordings(path)
    return failures


def _pairs(arguments: argparse.Namespace, sides: _Sides) -> Pairs:
    from singerid.similarity_pairs import choose_way, pair_up, read_pairs

    generated, references = sides[GENERATED], sides[REFERENCES]
    if arguments.pairs:
        return read_pairs(arguments.pairs, generated, references)
    way = arguments.by or choose_way([r.singer for r in generated], [r.singer for r in references])
    return pair_up(generated, references, way)


def _embed(
    encoder: Embedder, sides: Mapping[str, Sequence[Recording]], n_processes: int
) -> tuple[dict[str, EmbeddingSet], list[SingeridError]]:
    """Both sides in one go: an encoder that fits itself to its recordings sees them all."""
    recordings = [
        replace(r, id=f"{name}/{r.id}", labels={**r.labels, "side": name})
        for name, side in sides.items()
        for r in side
    ]
    with progress("embed", sum(r.duration for r in recordings)) as advance:
        both, failures = encoder.embed_recordings(recordings, n_processes, advance, warn)
    found = {}
    for name in sides:
        rows = [row for row, side in enumerate(both.label("side")) if side == name]
        side = both.select(rows)
        found[name] = replace(side, ids=[id[len(name) + 1 :] for id in side.ids])
    return found, failures


def _say(found: Similarity, facts: dict[str, Any], arguments: argparse.Namespace) -> None:
    """The report, and the picture."""
    from singerid.plots import save_figure
    from singerid.similarity_report import as_fields, as_lines, similarity_figure

    if arguments.json:
        say(json.dumps(as_fields(found) | facts))
    else:
        for line in as_lines(found):
            say(line)
        warn_all(found.notes)
    if arguments.output:
        save_figure(similarity_figure(found, "Generated and real singing"), arguments.output)
        if not arguments.json:
            say(f"{arguments.output}: the distributions")
