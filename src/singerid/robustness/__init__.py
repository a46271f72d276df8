"""How much worse an encoder tells singers apart when the tested recordings are degraded.

The enrolled side stays clean. A recording that cannot be embedded under a condition is left out
of that condition and of the clean figure that it is compared with, and counted: nothing is
replaced. Intervals are those of a bootstrap over singers (see `singerid.metrics.bootstrap`); the
difference from clean is taken within each resample, so that its interval is that of a paired
comparison.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from singerid.embedder import Embedder
from singerid.errors import ConfigError, SingeridError
from singerid.metrics import eer
from singerid.metrics.bootstrap import bootstrap_eer, interval
from singerid.records import Recording
from singerid.robustness.degradations import Degradation
from singerid.robustness.degraded import CLEAN, DegradedVectors, Failure, embed_degraded
from singerid.robustness.sides import Sides
from singerid.robustness.vector_cache import VectorCache
from singerid.trials import TrialList

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Interval = tuple[float, float]
MIN_SINGERS = 5  # resamples of fewer are mostly the same few sets
_AT_ONCE = 8  # conditions scored together: bounds memory at 10^7 trials


@dataclass(frozen=True, slots=True)
class Row:
    """Error rates under one condition; rates are fractions, None where trials are missing.

    Attributes:
        group: of the degradation.
        kind: of the degradation.
        level: of the degradation.
        n_targets: target trials that could be scored.
        n_nontargets: nontarget trials that could be scored.
        n_failed: tested recordings without a vector under this condition.
        n_unchanged: tested recordings that it leaves as they are (shorter than the excerpt, say).
        eer: equal error rate.
        interval: 95 % interval of it; None below 5 singers, or if none was asked for.
        clean_eer: equal error rate of the same trials without degradation.
        difference: eer - clean_eer.
        difference_interval: 95 % interval of the difference, paired.
    """

    group: str
    kind: str
    level: str
    n_targets: int
    n_nontargets: int
    n_failed: int
    n_unchanged: int
    eer: float | None = None
    interval: Interval | None = None
    clean_eer: float | None = None
    difference: float | None = None
    difference_interval: Interval | None = None

    @property
    def name(self) -> str:
        """Kind and level."""
        return f"{self.kind} {self.level}".strip()


@dataclass(frozen=True)
class Robustness:
    """What `robustness` found.

    Attributes:
        encoder: fingerprint.
        n_enrolled: recordings on the enrolled side.
        n_tested: recordings on the tested side.
        n_singers: singers in the trials.
        n_trials: trials asked for.
        seed: of degradations and bootstrap.
        n_bootstrap: resamples behind the intervals.
        clean: the same trials without degradation.
        rows: one a condition.
        skipped: reason by name of each degradation that cannot be applied here.
        failures: recordings without a vector, by condition.
    """

    encoder: str
    n_enrolled: int
    n_tested: int
    n_singers: int
    n_trials: int
    seed: int
    n_bootstrap: int
    clean: Row
    rows: tuple[Row, ...]
    skipped: Mapping[str, str]
    failures: tuple[Failure, ...]


def robustness(
    recordings: Sequence[Recording],
    embedder: Embedder,
    trials: TrialList,
    degradations: Sequence[Degradation],
    *,
    seed: int = 0,
    n_bootstrap: int = 1000,
    n_threads: int = 1,
    cache: str | os.PathLike[str] | None = None,
    on_progress: Callable[[float], object] = lambda seconds: None,
    on_warning: Callable[[str], object] = lambda line: None,
) -> Robustness:
    """Score the same trials with clean and with degraded tested recordings.

    Args:
        recordings: those that the trials name, and perhaps more.
        embedder: makes the vectors; used by several threads at once if `n_threads` > 1.
        trials: `n` trials; a model of several recordings is the normalized mean of their vectors.
        degradations: conditions, see `singerid.robustness.degradations.choose`.
        seed: of degradations and bootstrap.
        n_bootstrap: resamples of the singers; 0 for no intervals.
        n_threads: recordings in work at once.
        cache: folder of vectors, to be used again; None for none.
        on_progress: called with the duration of each recording that is done, in seconds.
        on_warning: called with one line for what a user should know.

    Returns:
        A row for each degradation that can be applied here, in their order; the same for the
        same input, whatever the number of threads.

    Raises:
        ConfigError: two degradations have one name.
        SingeridError: a trial names an unknown recording or contradicts its singers, or there
            are no targets or nontargets even without degradation.
    """
    usable, skipped = _usable(degradations, on_warning)
    sides = Sides.of(trials, recordings)
    store = VectorCache(cache, embedder.fingerprint, on_warning)
    needed = {name for model in sides.models for name in model} | set(sides.tests)
    found = embed_degraded(
        [r for r in recordings if r.id in needed], set(sides.tests), embedder, usable, seed=seed,
        n_threads=n_threads, cache=store, on_progress=on_progress, on_warning=on_warning,
    )  # fmt: skip
    rows = _rows(sides, found, usable, seed, n_bootstrap)
    clean = rows[CLEAN]
    if clean.eer is None:
        raise SingeridError(
            "no trials to score",
            found=f"{clean.n_targets} targets and {clean.n_nontargets} nontargets",
            do=f"first of {len(found.failures)} failures: {found.failures[0].error}"
            if found.failures
            else "give at least two singers, and one of them at least two recordings",
        )
    return Robustness(
        embedder.fingerprint, len({name for model in sides.models for name in model}),
        len(sides.tests), len(np.unique([sides.enroll_singers, sides.test_singers])), len(trials),
        seed, n_bootstrap, clean, tuple(rows[d.name] for d in usable), skipped,
        tuple(found.failures),
    )  # fmt: skip


def _usable(
    degradations: Sequence[Degradation], on_warning: Callable[[str], object]
) -> tuple[list[Degradation], dict[str, str]]:
    """Those that can be applied here, and why the others cannot."""
    names = [degradation.name for degradation in degradations]
    if CLEAN in names or len(set(names)) < len(names):
        twice = next((name for name in names if names.count(name) > 1), CLEAN)
        raise ConfigError("two degradations have one name", found=twice)
    usable, skipped = [], {}
    for degradation in degradations:
        try:
            degradation.check()
            usable.append(degradation)
        except SingeridError as error:
            skipped[degradation.name] = str(error)
            on_warning(f"{degradation.name}: skipped: {error}")
    return usable, skipped


def _rows(
    sides: Sides, found: DegradedVectors, degradations: Sequence[Degradation], seed: int,
    n_bootstrap: int,
) -> dict[str, Row]:  # fmt: skip
    """A row by name for each degradation and for none ("clean")."""
    clean = found.vectors[CLEAN]
    clean_scores = sides.scores(clean, clean)
    nothing = Degradation(CLEAN, CLEAN, "", lambda samples, sample_rate, rng: samples)
    conditions: dict[frozenset[str], list[Degradation]] = {}
    for degradation in (nothing, *degradations):
        vectors = found.vectors[degradation.name]
        have = frozenset(name for name in sides.tests if name in vectors and name in clean)
        conditions.setdefault(have, []).append(degradation)
    rows = {}
    for have, several in conditions.items():  # mostly a single set: nothing failed
        mask = np.array([name in have for name in sides.tests], np.bool_)[sides.test]
        mask &= np.isfinite(clean_scores)
        for first in range(0, len(several), _AT_ONCE):
            part = several[first : first + _AT_ONCE]
            scores = np.empty((len(part) + 1, np.count_nonzero(mask)))
            scores[0] = clean_scores[mask]
            for i, degradation in enumerate(part, 1):
                scores[i] = sides.scores(clean, found.vectors[degradation.name])[mask]
            figures = _figures(scores, sides, mask, seed, n_bootstrap)
            for degradation, figure in zip(part, figures, strict=True):
                rows[degradation.name] = Row(
                    degradation.group, degradation.kind, degradation.level,
                    int(sides.targets[mask].sum()), int((~sides.targets[mask]).sum()),
                    len(sides.tests) - len(have), found.n_unchanged[degradation.name], *figure,
                )  # fmt: skip
    return rows


_Figure = tuple[float, Interval | None, float, float, Interval | None]


def _figures(
    scores: FloatArray, sides: Sides, mask: BoolArray, seed: int, n_bootstrap: int
) -> Sequence[_Figure | tuple[()]]:
    """The last five fields of `Row` for each row of `scores[1:]`; `scores[0]` are the clean ones.

    Nothing where a class of trials is missing.
    """
    targets = sides.targets[mask]
    if not targets.any() or targets.all():
        return [()] * (len(scores) - 1)
    rates = [eer(row, targets)[0] for row in scores]
    singers = sides.enroll_singers[mask], sides.test_singers[mask]
    samples = np.full((len(scores), 1), np.nan)
    if n_bootstrap and len(np.unique(singers)) >= MIN_SINGERS:
        rng = np.random.default_rng([seed, 1])
        samples = bootstrap_eer(scores, targets, *singers, n_bootstrap, rng)
    return [
        (rate, _interval(sample), rates[0], rate - rates[0], _interval(sample - samples[0]))
        for rate, sample in zip(rates[1:], samples[1:], strict=True)
    ]


def _interval(samples: FloatArray) -> Interval | None:
    """None where most resamples have no error rate."""
    return interval(samples) if np.isfinite(samples).mean() > 0.5 else None
