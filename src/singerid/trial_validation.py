"""Verification while training: the equal error rate of fixed trials of the validation singers.

Losses and accuracies of a batch depend on how batches are made. The trials here are those of an
evaluation: targets are of two songs, nontargets of one gender. They are drawn once, from the store
and the settings alone, so that runs with other partials, losses or encoders compare.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from singerid import metrics
from singerid.embedder import PartialEmbedder
from singerid.errors import SingeridError, one_line
from singerid.front_ends import FeatureFrontEnd
from singerid.precision import autocast
from singerid.records import Recording, columns_of
from singerid.sections import EmbedSettings
from singerid.spec import FeatureSpec
from singerid.store import Store
from singerid.training_sections import ValidationSettings
from singerid.trials import TrialList, draw_trials
from singerid.trials.labels import UNKNOWN_GENDERS

FloatArray = npt.NDArray[np.float32]
_DECIMALS = 6  # of a cosine: equal vectors tie however they were summed


@dataclass(frozen=True)
class TrialResult:
    """What one pass over the trials found.

    Attributes:
        figures: ``trial_eer`` (0 to 1) and ``trial_min_dcf`` (0 to 1, target prior 0.05), each the
            mean over the corpora; with several corpora, also ``trial_eer_<corpus>``.
        embeddings: float32 `(n_recordings, dim)`, of unit length; zero where the encoder gave
            no direction.
        singers: of the rows.
    """

    figures: Mapping[str, float]
    embeddings: FloatArray
    singers: Sequence[str]


@dataclass(frozen=True)
class TrialValidation:
    """Recordings of the split ``valid`` and the trials among them; see `plan_trials`.

    Attributes:
        store: where their features are.
        recordings: those that are embedded.
        trials: by corpus, with indices into `recordings`; "" is the unknown corpus.
        partial_frames: length of the tiles whose mean is a recording's embedding.
        settings: how much of each recording.
    """

    store: Store
    recordings: Sequence[Recording]
    trials: Mapping[str, TrialList]
    partial_frames: int
    settings: ValidationSettings = field(default_factory=ValidationSettings)

    @property
    def summary(self) -> str:
        """One line: how many trials, of whom."""
        lists = list(self.trials.values())
        n_targets = sum(int(np.count_nonzero(trials.targets)) for trials in lists)
        n = sum(map(len, lists))
        n_singers = len({r.singer for r in self.recordings})
        return (
            f"validation trials: {n_targets:,} targets, {n - n_targets:,} nontargets of "
            f"{len(self.recordings)} recordings by {n_singers} singers"
        )

    def __call__(self, encoder: nn.Module, bf16: bool = False) -> TrialResult:
        """Score the trials by cosine; the same encoder gives the same numbers.

        Args:
            encoder: `(batch, n_frames, n_inputs)` → `(batch, dim)`, on the device of its weights;
                set to evaluation for the while.
            bf16: compute in it.

        Raises:
            SingeridError: an embedding is not finite, or the encoder refuses an input.
        """
        was_training = encoder.training
        encoder.eval()
        try:
            vectors = self._embed(encoder, bf16)
        finally:
            encoder.train(was_training)
        cosines = np.round(vectors.astype(np.float64) @ vectors.T, _DECIMALS)
        rates, costs = {}, []
        for corpus, trials in self.trials.items():
            scores = cosines[trials.enroll, trials.test]
            rates[corpus] = metrics.eer(scores, trials.targets)[0]
            costs.append(metrics.min_dcf(scores, trials.targets)[0])
        figures = {
            "trial_eer": float(np.mean(list(rates.values()))),
            "trial_min_dcf": float(np.mean(costs)),
        }
        if len(rates) > 1:
            figures |= {f"trial_eer_{corpus or 'unknown'}": rate for corpus, rate in rates.items()}
        return TrialResult(figures, vectors, [r.singer for r in self.recordings])

    def _embed(self, encoder: nn.Module, bf16: bool) -> FloatArray:
        """Normalized mean of each recording's tiles, `(n_recordings, dim)`."""
        embedder = _NetworkEmbedder(self, encoder, bf16)
        rows = []
        for recording, vectors in embedder.embed_all():
            mean = vectors.mean(axis=0, dtype=np.float64)
            length = np.linalg.norm(mean)
            if not np.isfinite(length):
                raise SingeridError(
                    "an embedding is not finite", where=recording.id,
                    do="lower --train.learning_rate; the last checkpoint is intact",
                )  # fmt: skip
            rows.append(mean / max(length, 1e-12))  # a dead encoder's zeros stay zero
        return np.asarray(rows, np.float32)


def plan_trials(
    store: Store | None, partial_frames: int, settings: ValidationSettings | None = None
) -> tuple[TrialValidation | None, list[str]]:
    """Choose recordings of the split ``valid``, and draw trials among those of each corpus.

    Targets are of two songs (of two recordings, where songs are unknown); nontargets of one
    gender, where genders are known (label ``gender``) and two singers have one.

    Args:
        store: features of the validation singers; None if validation goes without a store.
        partial_frames: length of the partials in training, in frames.
        settings: how many recordings, how much of each, which draw.

    Returns:
        The trials, or None if there are none; and what was left out or why, one line each.
    """
    settings = settings or ValidationSettings()
    if store is None:
        return None, ["no validation trials: they need a store of the validation singers"]
    listing = store.listing
    valid = sorted(listing.take(listing.of_split("valid")), key=lambda r: r.id)
    if not valid:
        return None, ["no validation trials: no recording is of the split valid"]
    chosen: list[Recording] = []
    trials: dict[str, TrialList] = {}
    warnings: list[str] = []
    for corpus, recordings in _shared_out(valid, settings):
        name = f" of corpus {one_line(corpus)}" if corpus else ""
        try:
            drawn, remark = _drawn(recordings, settings.seed)
        except SingeridError as error:
            warnings.append(f"no validation trials{name}: {error}")
            continue
        if remark:
            warnings.append(f"validation trials{name}: {remark}")
        first = len(chosen)
        trials[corpus] = replace(drawn, enroll=drawn.enroll + first, test=drawn.test + first)
        chosen += recordings
    if not trials:
        return None, warnings
    ids = [r.id for r in chosen]
    trials = {corpus: replace(drawn, ids=ids) for corpus, drawn in trials.items()}
    return TrialValidation(store, chosen, trials, partial_frames, settings), warnings


def choose_recordings(
    recordings: Sequence[Recording], n: int, rng: np.random.Generator
) -> list[Recording]:
    """At most so many recordings: singers take turns, and of each its songs take turns.

    A singer comes with two recordings if it has them, for one alone makes no target.

    Args:
        recordings: to choose from.
        n: how many, at least 2.
        rng: source of the draw.

    Returns:
        The chosen ones, in the order in which they were given.
    """
    singers: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i in rng.permutation(len(recordings)).tolist():
        song = recordings[i].labels.get("song", "") or f"\0{i}"  # unknown: one of its own
        singers[recordings[i].singer][song].append(i)
    places = rng.permutation(len(singers)).tolist()
    queue = []
    for place, singer in zip(places, sorted(singers), strict=True):
        by_turn = sorted(
            ((turn, k, i) for k, song in enumerate(singers[singer].values())
             for turn, i in enumerate(song))
        )  # fmt: skip
        queue += [(max(turn, 1), place, i) for turn, (_, _, i) in enumerate(by_turn)]
    return [recordings[i] for i in sorted(i for *_, i in sorted(queue)[:n])]


def _drawn(recordings: Sequence[Recording], seed: int) -> tuple[TrialList, str]:
    """Trials of one corpus, and a remark on them ("" for none).

    Raises:
        SingeridError: there are none.
    """
    singers: dict[str, set[str]] = defaultdict(set)
    for recording in recordings:
        singers[recording.labels.get("gender", "")].add(recording.singer)
    known = [len(names) for gender, names in singers.items() if gender not in UNKNOWN_GENDERS]
    same_gender = any(n > 1 for n in known)
    trials = draw_trials(
        [r.id for r in recordings], columns_of(recordings), cross=("song",),
        nontargets="same_gender" if same_gender else "all", seed=seed,
    )  # fmt: skip
    if same_gender:
        return trials, ""
    why = "no two singers are of one" if known else "it is not known"
    return trials, f"nontargets are of any gender, which is easier: {why}"


def _shared_out(
    recordings: Sequence[Recording], settings: ValidationSettings
) -> list[tuple[str, list[Recording]]]:
    """Chosen recordings by corpus: equal numbers, but what one has not, the others get."""
    corpora: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        corpora[recording.labels.get("corpus", "")].append(recording)
    left, shared = settings.recordings, {}
    for k, name in enumerate(sorted(corpora, key=lambda name: (len(corpora[name]), name))):
        n = max(2, left // (len(corpora) - k))
        rng = np.random.default_rng([settings.seed, k])
        shared[name] = choose_recordings(corpora[name], n, rng)
        left -= len(shared[name])
    return sorted(shared.items())


class _NetworkEmbedder(PartialEmbedder):
    """A network that is being trained, as an embedder of stored features."""

    def __init__(self, plan: TrialValidation, encoder: nn.Module, bf16: bool) -> None:
        spec: FeatureSpec = plan.store.spec
        # A partial that is longer than the excerpt would be encoded alone, and shorter.
        seconds = max(plan.settings.seconds, plan.partial_frames * spec.hop_seconds)
        settings = EmbedSettings(max_seconds=seconds)
        super().__init__(FeatureFrontEnd(spec), plan.partial_frames, "in training", settings)
        self._plan, self._encoder, self._bf16 = plan, encoder, bf16
        self._device = next(encoder.parameters()).device

    def embed_all(self) -> list[tuple[Recording, FloatArray]]:
        """Vectors of the tiles of each recording."""
        pairs = ((r, self._plan.store.features(r.id)) for r in self._plan.recordings)
        found = []
        for recording, vectors in self.embed_many(pairs):
            if isinstance(vectors, SingeridError):
                raise vectors
            found.append((recording, vectors))
        return found

    def encode(self, batch: FloatArray) -> FloatArray:
        """`(batch, n_frames, n_inputs)` → `(batch, dim)`."""
        with torch.no_grad(), autocast(self._bf16, self._device):
            vectors = self._encoder(torch.from_numpy(batch).to(self._device))
        result: FloatArray = vectors.float().cpu().numpy()
        return result
