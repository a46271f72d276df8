"""Encoders × corpora: one table of error rates with intervals, on the same trials."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from singerid.embeddings import EmbeddingSet
from singerid.evaluate import ALL, SAME_GENDER, rate_text, slices_of
from singerid.evaluate import score as score_trials
from singerid.records import atomic_write
from singerid.sections import EvaluateSettings
from singerid.trials import TrialList
from singerid.verification import Verification, singer_numbers, verify


@dataclass(frozen=True)
class Leaderboard:
    """Error rates by encoder and corpus.

    Attributes:
        corpora: columns, as titles.
        encoders: rows, best first by the mean over the corpora.
        fingerprints: of the encoders.
        cells: error rates by encoder and column.
    """

    corpora: Sequence[str]
    encoders: Sequence[str]
    fingerprints: Mapping[str, str]
    cells: Mapping[str, Mapping[str, Verification]]

    def mean(self, encoder: str) -> float:
        """Mean of an encoder's equal error rates over the corpora."""
        return float(np.mean([self.cells[encoder][name].eer for name in self.corpora]))


def rank(
    sets: Mapping[str, EmbeddingSet], trials: TrialList, settings: EvaluateSettings | None = None
) -> Leaderboard:
    """Judge every encoder on every corpus, same-gender trials where genders are known.

    Args:
        sets: embeddings by encoder's name, of the same recordings in the same order.
        trials: indices into them.
        settings: scoring and intervals.
    """
    settings = settings or EvaluateSettings()
    first = next(iter(sets.values()))
    masks = slices_of(trials, first.columns(), settings)
    wanted = {}
    for corpus in sorted(set(first.columns().get("corpus", ()))):
        for name in (f"corpus {corpus}, {SAME_GENDER}", f"corpus {corpus}"):
            if name in masks:
                wanted[f"{corpus}{', same gender' if SAME_GENDER in name else ''}"] = name
                break
    if not wanted:
        name = SAME_GENDER if SAME_GENDER in masks else ALL
        wanted = {name: name}
    _, numbers = np.unique(first.singers, return_inverse=True)
    pairs = singer_numbers(trials, numbers)
    cells: dict[str, dict[str, Verification]] = {}
    for encoder, embeddings in sets.items():
        scores = score_trials(embeddings, trials, settings.scoring)
        cells[encoder] = {}
        for title, name in wanted.items():
            rng = np.random.default_rng([settings.seed, 1])
            cells[encoder][title] = verify(
                trials, scores, pairs, masks[name], settings.n_bootstrap, rng
            )
    board = Leaderboard(
        list(wanted), list(sets), {name: s.encoder for name, s in sets.items()}, cells
    )
    order = sorted(board.encoders, key=board.mean)
    return Leaderboard(board.corpora, order, board.fingerprints, cells)


def markdown(board: Leaderboard) -> str:
    """The table as Markdown; equal error rates in percent with 95 % intervals."""
    first = board.cells[board.encoders[0]]
    titles = [
        f"{name} ({first[name].n_singers} singers, {first[name].n_targets:,} + "
        f"{first[name].n_nontargets:,} trials)"
        for name in board.corpora
    ]
    lines = [f"| encoder | {' | '.join(titles)} | mean |", "|---" * (len(titles) + 2) + "|"]
    for encoder in board.encoders:
        texts = [rate_text(c.eer, c.eer_interval) for c in board.cells[encoder].values()]
        lines.append(
            f"| {encoder} | {' | '.join(texts)} | {rate_text(board.mean(encoder), None)} |"
        )
    return "\n".join(lines) + "\n"


def write_leaderboard(board: Leaderboard, path: str | os.PathLike[str]) -> None:
    """Write `path` (Markdown) and beside it the same figures as JSON."""
    path = Path(path)
    with atomic_write(path) as file:
        file.write(markdown(board))
    fields = {
        "corpora": list(board.corpora), "encoders": list(board.encoders),
        "fingerprints": dict(board.fingerprints),
        "cells": {e: {c: asdict(v) for c, v in row.items()} for e, row in board.cells.items()},
    }  # fmt: skip
    with atomic_write(path.with_suffix(".json")) as file:
        json.dump(fields, file, indent=2, allow_nan=False)
        file.write("\n")
