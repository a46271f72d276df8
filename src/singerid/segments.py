"""Who sings when: each moment of a recording is given to one singer, to somebody unknown, or none.

Windows of some seconds are embedded (`singerid.tracks`), their likelihood ratios against each
singer are smoothed over time (`singerid.turns`), and the turns are cut where the voice pauses.
Without a table the windows are clustered, and the clusters are the singers; that is the usual
order of speaker diarization (Park et al. 2022, A review of speaker diarization, section 3). Two
voices at once are given to the stronger one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from singerid.embeddings import mean_direction
from singerid.judge import Judge
from singerid.sections import SegmentSettings
from singerid.table import Candidate
from singerid.tracks import BoolArray, DoubleArray, FloatArray, Track
from singerid.turns import Turns
from singerid.voice_clusters import IntArray, cluster, log_ratios

CELL_SECONDS = 0.1
"""Turns begin and end at multiples of it; voice begins and ends at frames."""

_EVIDENCE = 3.0  # weight of what is heard in a window's length
_IN_PAUSES = 20.0  # times as probable that a turn ends where nobody sings
_BLIP_SECONDS = 0.2  # shorter voice, alone, is none
_EDGE_SECONDS = 0.2  # consonants before and after what is voiced
_CLUSTERED = 2000  # windows; of more, an even choice
_ROUNDS = 3  # of clusters' centroids and turns
_RARE = 3.0  # seconds of voice: a cluster with less is no singer


class Enrolled(Protocol):
    """Singers to look for: a table, or a registry."""

    def __len__(self) -> int:
        """How many there are."""

    def candidates(self, vector: FloatArray, encoder: str, top: int) -> list[Candidate]:
        """Those nearest to a vector `(dim,)`, best first."""


@dataclass(frozen=True)
class Segment:
    """A time span in which one singer sings.

    Attributes:
        start: seconds.
        end: seconds.
        singer: who; None: nobody of the table.
        probability: that it is this one, of those who were considered; None if not known.
        score: mean score of the span's windows with the singer; None for unknown singers.
    """

    start: float
    end: float
    singer: str | None
    probability: float | None = None
    score: float | None = None

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


@dataclass(frozen=True)
class Segmentation:
    """Who sings when in a recording.

    Attributes:
        segments: in order of time; they do not overlap.
        singers: who was looked for, or found by clustering; None stands for unknown singers.
        probabilities: of each of `singers` in each cell of 0.1 s, `(n_cells, n_singers)`.
        track: what was heard.
    """

    segments: tuple[Segment, ...]
    singers: tuple[str | None, ...]
    probabilities: DoubleArray
    track: Track

    def seconds_of(self) -> dict[str | None, float]:
        """How long each singer sings, the longest first."""
        total: dict[str | None, float] = {}
        for segment in self.segments:
            total[segment.singer] = total.get(segment.singer, 0.0) + segment.seconds
        return dict(sorted(total.items(), key=lambda item: -item[1]))


def known_segments(
    judge: Judge, track: Track, enrolled: Enrolled, settings: SegmentSettings
) -> Segmentation:
    """Who of a table or registry sings when; None where it is nobody of them.

    Args:
        judge: of the encoder that made the track.
        track: the recording.
        enrolled: whom to look for.
        settings: smoothing, and probability that it is anybody of them.

    Raises:
        MismatchError: the table is another encoder's.
    """
    candidates = _nearest(judge, track, enrolled, settings.max_singers)
    names = (*(candidate.singer for candidate in candidates), None)
    share = settings.prior / max(1, len(enrolled))
    priors = np.array([share] * len(candidates) + [1 - settings.prior])
    return _segmentation(judge, track, candidates, names, priors, settings)


def found_segments(judge: Judge, track: Track, settings: SegmentSettings) -> Segmentation:
    """Who sings when in a recording of unknown singers, who are called singer A, singer B, …"""
    if not len(track.vectors):
        return Segmentation((), (), np.zeros((_n_cells(track), 0)), track)
    windows = _choice(len(track.vectors), _CLUSTERED)
    labels = cluster(judge, track.vectors[windows], track.window, settings)
    candidates = _centroids(track, windows, labels, settings)
    for _ in range(_ROUNDS):
        names = tuple(_letter(i) for i in range(len(candidates)))
        priors = np.full(len(candidates), 1 / len(candidates))
        result = _segmentation(judge, track, candidates, names, priors, settings)
        cells = np.minimum(track.centers / CELL_SECONDS, len(result.probabilities) - 1)
        labels = result.probabilities[cells.astype(np.int64)].argmax(axis=1)
        candidates = _centroids(track, np.arange(len(labels)), labels, settings)
    return result


def _nearest(judge: Judge, track: Track, enrolled: Enrolled, most: int) -> list[Candidate]:
    """Singers that some windows are nearest to, by the sum of what speaks for them."""
    found: dict[str, Candidate] = {}
    evidence: dict[str, float] = {}
    top = len(enrolled) if len(enrolled) <= most else 5
    windows = _choice(len(track.vectors), 1 if top == len(enrolled) else _CLUSTERED)
    for vector in track.vectors[windows]:
        near = enrolled.candidates(vector, judge.encoder.fingerprint, top)
        scores = judge.scorer.matrix(vector[None], np.stack([one.vector for one in near]))[0]
        for one, score in zip(near, scores, strict=True):
            found[one.singer] = one
            ratio = float(log_ratios(judge, score, track.window))
            evidence[one.singer] = evidence.get(one.singer, 0.0) + float(np.logaddexp(0, ratio))
    best = sorted(evidence, key=lambda singer: (-evidence[singer], singer))[:most]
    return [found[singer] for singer in sorted(best)]


def _segmentation(
    judge: Judge, track: Track, candidates: Sequence[Candidate], names: tuple[str | None, ...],
    priors: DoubleArray, settings: SegmentSettings,
) -> Segmentation:  # fmt: skip
    """Smooth the windows' likelihood ratios and cut the turns; unknown singers have ratio 1."""
    n_cells = _n_cells(track)
    if not len(track.vectors):
        return Segmentation((), names, np.tile(priors / priors.sum(), (n_cells, 1)), track)
    vectors = np.stack([candidate.vector for candidate in candidates])
    scores = judge.scorer.matrix(track.vectors, vectors)
    ratios = np.zeros((len(scores), len(names)))
    ratios[:, : len(candidates)] = log_ratios(judge, scores, track.window)
    sung = _cells_with_voice(track, n_cells)
    middles = (np.arange(n_cells) + 0.5) * CELL_SECONDS
    heard = np.stack([np.interp(middles, track.centers, column) for column in ratios.T], axis=1)
    heard *= sung[:, None] * _EVIDENCE * CELL_SECONDS / track.window
    rate = np.where(sung, 1.0, _IN_PAUSES) / settings.turn
    turns = Turns(priors / priors.sum(), -np.expm1(-rate * CELL_SECONDS))
    probabilities = turns.posteriors(heard)
    path = probabilities.argmax(axis=1)
    segments = []
    for start, end, state in _spans(track, path, settings):
        inside = slice(int(start / CELL_SECONDS), max(1, round(end / CELL_SECONDS)))
        own = (track.centers >= start) & (track.centers < end)
        if not own.any():
            own[np.abs(track.centers - (start + end) / 2).argmin()] = True
        known = state < len(candidates)
        segments.append(
            Segment(
                start, end, names[state], float(probabilities[inside, state].mean()),
                float(scores[own, state].mean()) if known else None,
            )
        )  # fmt: skip
    return Segmentation(tuple(segments), names, probabilities, track)


def _spans(
    track: Track, path: IntArray, settings: SegmentSettings
) -> list[tuple[float, float, int]]:
    """Start, end and state of what is sung: phrases, cut where the state changes."""
    spans: list[tuple[float, float, int]] = []
    for voice_start, voice_end in phrases(track.voiced, track.frame_seconds, settings.max_pause):
        if voice_end - voice_start < _BLIP_SECONDS:
            continue
        start = max(0.0, voice_start - _EDGE_SECONDS)
        end = min(track.seconds, voice_end + _EDGE_SECONDS)
        first, last = int(start / CELL_SECONDS), min(len(path), -int(-end // CELL_SECONDS))
        cuts = first + 1 + np.flatnonzero(np.diff(path[first:last]))
        edges = [start, *(float(cut * CELL_SECONDS) for cut in cuts), end]
        states = [int(path[first]), *(int(path[cut]) for cut in cuts)]
        pieces = [[a, b, s] for a, b, s in zip(edges[:-1], edges[1:], states, strict=True)]
        spans += [(a, b, s) for a, b, s in _without_short(pieces, settings.min_segment)]
    return spans


def phrases(voiced: BoolArray, frame_seconds: float, max_pause: float) -> list[tuple[float, float]]:
    """Start and end in seconds of stretches of voice, across pauses up to `max_pause`."""
    edges = np.flatnonzero(np.diff(np.pad(voiced.astype(np.int8), 1))).reshape(-1, 2)
    result: list[tuple[float, float]] = []
    for first, last in edges * frame_seconds:
        if result and first - result[-1][1] <= max_pause + 1e-9:
            result[-1] = (result[-1][0], float(last))
        else:
            result.append((float(first), float(last)))
    return result


def _without_short(pieces: list[list[float]], least: float) -> list[tuple[float, float, int]]:
    """Pieces `[start, end, state]` of a phrase; a short one is joined to its longer neighbor."""
    while len(pieces) > 1:
        lengths = [end - start for start, end, _ in pieces]
        i = int(np.argmin(lengths))
        if lengths[i] >= least:
            break
        beside = [j for j in (i - 1, i + 1) if 0 <= j < len(pieces)]
        pieces[i][2] = pieces[max(beside, key=lambda j: lengths[j])][2]
        joined: list[list[float]] = []
        for piece in pieces:
            if joined and joined[-1][2] == piece[2]:
                joined[-1][1] = piece[1]
            else:
                joined.append(piece)
        pieces = joined
    return [(start, end, int(state)) for start, end, state in pieces]


def _centroids(
    track: Track, windows: IntArray, labels: IntArray, settings: SegmentSettings
) -> list[Candidate]:
    """One candidate a cluster, in the order of appearance; rare ones are left out."""
    found = []
    step = settings.hop * len(track.vectors) / max(1, len(windows))  # seconds that one stands for
    numbers, counts = np.unique(labels, return_counts=True)
    kept = numbers[counts * step >= _RARE]
    if not len(kept):
        kept = numbers[[counts.argmax()]]
    for number in sorted(kept, key=lambda number: int(np.flatnonzero(labels == number)[0])):
        own = windows[labels == number]
        centroid = mean_direction(track.vectors[own])
        found.append(Candidate("", centroid, float(len(own) * step), 1))
    return found


def _cells_with_voice(track: Track, n_cells: int) -> BoolArray:
    """Cells at least half of which is voice."""
    middles = (np.arange(len(track.voiced)) + 0.5) * track.frame_seconds
    cells = np.minimum(middles / CELL_SECONDS, n_cells - 1).astype(np.int64)
    sung = np.bincount(cells, track.voiced, n_cells)
    return np.asarray(sung >= 0.5 * np.maximum(1, np.bincount(cells, minlength=n_cells)))


def _n_cells(track: Track) -> int:
    return max(1, int(np.ceil(track.seconds / CELL_SECONDS - 1e-9)))


def _choice(n: int, most: int) -> IntArray:
    """At most so many of the first `n` numbers, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64)) if n else np.arange(0)


def _letter(number: int) -> str:
    """Singer A … singer Z, singer AA …"""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("A") + rest) + text
    return f"singer {text}"
