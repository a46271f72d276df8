"""Trials while training: who is compared with whom, and rates as an evaluation has them."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from singerid import metrics
from singerid.checkpoint import load_encoder, save_encoder
from singerid.embed import TorchSingerEncoder
from singerid.encoders import build_encoder
from singerid.errors import SingeridError
from singerid.listing import Listing
from singerid.records import Recording
from singerid.sections import EmbedSettings
from singerid.spec import FeatureSpec
from singerid.training_sections import EncoderSettings, ValidationSettings
from singerid.trial_validation import choose_recordings, plan_trials

FRAMES = 32
SPEC = FeatureSpec()  # 80 mels, 16 ms


class FakeStore:
    """Features in memory: a singer's own spectrum and noise, 40 to 300 frames."""

    spec, path = SPEC, "fake"

    def __init__(self, recordings, noise=2.0):
        self.listing = Listing(recordings)
        self._features = {}
        for recording in recordings:
            own = np.random.default_rng([1, *recording.singer.encode()]).standard_normal(80)
            rng = np.random.default_rng([2, *recording.id.encode()])
            own = own + noise * rng.standard_normal(80)
            frames = own + 0.1 * rng.standard_normal((rng.integers(40, 300), 80))
            self._features[recording.id] = frames.astype(np.float32)

    def features(self, id):
        return self._features[id]


class Mean(nn.Module):
    """The direction of the mean frame."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.dropout = nn.Dropout(0.5)

    def forward(self, features):
        return F.normalize(self.dropout(self.factor * features.mean(dim=1)), dim=1, eps=1e-5)


def corpus_of(n_singers=6, n_songs=4, n_takes=2, prefix="", split="valid", **labels):
    """Recordings of women and men in turn, each song sung `n_takes` times."""
    return [
        Recording(
            f"{prefix}{singer}-{song}-{take}", f"{prefix}{singer}", "x.wav", 5.0, 16000,
            split=split, labels={"gender": "fm"[singer % 2], "song": f"song {song}"} | labels,
        )
        for singer in range(n_singers) for song in range(n_songs) for take in range(n_takes)
    ]  # fmt: skip


def planned(given, frames=FRAMES, **settings):
    plan, warnings = plan_trials(FakeStore(given), frames, ValidationSettings(**settings))
    assert warnings == []
    return plan


def test_targets_cross_songs_and_nontargets_are_of_one_gender():
    plan = planned(corpus_of() + corpus_of(2, prefix="other", split="train"))
    (trials,) = plan.trials.values()
    a = [plan.recordings[i] for i in trials.enroll]
    b = [plan.recordings[i] for i in trials.test]
    assert {r.split for r in a + b} == {"valid"}
    for x, y, target in zip(a, b, trials.targets, strict=True):
        assert (x.singer == y.singer) == target
        if target:
            assert x.labels["song"] != y.labels["song"]
        else:
            assert x.labels["gender"] == y.labels["gender"]
    # 6 singers: 6 pairs of songs × 2 × 2 takes; 2 genders × 3 pairs of singers × 8 × 8.
    assert (trials.targets.sum(), (~trials.targets).sum()) == (6 * 6 * 4, 2 * 3 * 64)
    assert plan.summary == (
        "validation trials: 144 targets, 384 nontargets of 48 recordings by 6 singers"
    )
    assert trials[0].enroll == plan.recordings[trials.enroll[0]].id


def naive_eer(plan, encoder):
    """One tile at a time; the trials by loops."""
    length = max(plan.partial_frames, round(plan.settings.seconds / SPEC.hop_seconds))
    vectors = []
    for recording in plan.recordings:
        frames = plan.store.features(recording.id)
        start = max(0, (len(frames) - length) // 2)
        frames = frames[start : start + length]
        rows, at = [], 0
        while True:
            rows.append(encoder(torch.tensor(frames[at : at + plan.partial_frames])[None])[0])
            if at + plan.partial_frames >= len(frames):
                break
            at = min(at + plan.partial_frames, len(frames) - plan.partial_frames)
        mean = torch.stack(rows).double().mean(dim=0)
        vectors.append((mean / mean.norm()).detach().numpy())
    rates = []
    for trials in plan.trials.values():
        scores = [vectors[i] @ vectors[j] for i, j in zip(trials.enroll, trials.test, strict=True)]
        rates.append(metrics.eer(scores, trials.targets)[0])
    return rates, np.stack(vectors)


@pytest.mark.parametrize(("frames", "seconds"), [(32, 6.0), (32, 1.0), (100, 1.0), (400, 6.0)])
def test_rate_is_that_of_loops(frames, seconds):
    plan = planned(corpus_of(), frames=frames, seconds=seconds)
    found = plan(Mean())
    (rate,), vectors = naive_eer(plan, Mean().eval())
    assert found.figures["trial_eer"] == pytest.approx(rate, abs=1e-9)
    assert 0.02 < rate < 0.3  # else equality would say little
    np.testing.assert_allclose(found.embeddings, vectors, atol=1e-6)
    assert found.singers == [r.singer for r in plan.recordings]
    assert set(found.figures) == {"trial_eer", "trial_min_dcf"}
    assert 0 < found.figures["trial_min_dcf"] <= 1


def test_vectors_are_those_of_embed(store, tmp_path):
    torch.manual_seed(0)
    settings = EncoderSettings(
        kind="lstm", normalization="none", hidden_size=16, n_layers=1, dim=12, relu=False
    )
    network = build_encoder(settings, 80)
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, network.state_dict(), settings, store.spec, 64, {})
    plan, warnings = plan_trials(store, 64, ValidationSettings(seconds=2.0))
    found = plan(network)
    encoder = TorchSingerEncoder(load_encoder(path), EmbedSettings(max_seconds=2.0))
    expected, _ = encoder.embed_store(store, plan.recordings)
    np.testing.assert_allclose(found.embeddings, expected.vectors, atol=1e-6)
    genders = {r.labels["gender"] for r in plan.recordings}
    assert len(genders) == 2  # one singer each
    assert warnings == [
        "validation trials of corpus virtual: nontargets are of any gender, which is easier: "
        "no two singers are of one"
    ]


def test_same_encoder_same_numbers_whatever_the_mode_and_order():
    recordings = corpus_of()
    plan, encoder = planned(recordings, recordings=20), Mean()
    first = plan(encoder.train())
    assert encoder.training
    again = planned(recordings[::-1], recordings=20)(encoder.eval())
    assert not encoder.training
    assert first.figures == again.figures
    assert np.array_equal(first.embeddings, again.embeddings)
    assert all(p.grad is None for p in encoder.parameters())


def test_trials_do_not_depend_on_the_length_of_partials():
    short, long = (planned(corpus_of(), frames=n, recordings=20) for n in (16, 200))
    assert short.recordings == long.recordings
    assert np.array_equal(short.trials[""].enroll, long.trials[""].enroll)
    other = planned(corpus_of(), recordings=20, seed=1)
    assert other.recordings != short.recordings


def test_each_corpus_has_its_trials_and_the_headline_is_their_mean():
    easy = corpus_of(4, prefix="a", corpus="easy")
    hard = corpus_of(8, prefix="b", corpus="hard")
    plan = planned(easy + hard, recordings=48)
    assert list(plan.trials) == ["easy", "hard"]
    for corpus, trials in plan.trials.items():
        rows = np.union1d(trials.enroll, trials.test)
        assert {plan.recordings[i].labels["corpus"] for i in rows} == {corpus}
    figures = plan(Mean()).figures
    rates, _ = naive_eer(plan, Mean().eval())
    assert figures["trial_eer_easy"] == pytest.approx(rates[0])
    assert figures["trial_eer_hard"] == pytest.approx(rates[1])
    assert figures["trial_eer"] == pytest.approx(np.mean(rates))
    counts = Counter(r.labels["corpus"] for r in plan.recordings)
    assert counts == {"easy": 24, "hard": 24}


def test_what_a_small_corpus_has_not_the_others_get():
    small = corpus_of(2, 2, 1, prefix="a", corpus="small", gender="f")
    large = corpus_of(8, prefix="b", corpus="large")
    plan = planned(small + large, recordings=40)
    counts = Counter(r.labels["corpus"] for r in plan.recordings)
    assert counts == {"small": 4, "large": 36}


def test_a_corpus_without_trials_is_named_and_left_out():
    one_song = corpus_of(4, 1, 3, prefix="a", corpus="one song")
    plan, warnings = plan_trials(FakeStore(one_song + corpus_of(corpus="good")), FRAMES)
    assert list(plan.trials) == ["good"]
    assert {r.labels["corpus"] for r in plan.recordings} == {"good"}
    assert warnings == [
        "no validation trials of corpus one song: no target trials; found cross=song removes them "
        "all; take song out of cross, or give recordings that differ in it"
    ]
    assert set(plan(Mean()).figures) == {"trial_eer", "trial_min_dcf"}


@pytest.mark.parametrize(
    ("recordings", "message"),
    [
        (None, "no validation trials: they need a store of the validation singers"),
        (corpus_of(split="test"), "no validation trials: no recording is of the split valid"),
        (corpus_of(4, 1, 1), "no validation trials: no target trials; expected a singer with two "
         "recordings"),
        (corpus_of(1), "no validation trials: no nontarget trials; expected recordings of at "
         "least two singers"),
        (corpus_of(4, 1, 2), "no validation trials: no target trials; found cross=song removes "
         "them all; take song out of cross, or give recordings that differ in it"),
    ],
)  # fmt: skip
def test_without_trials_there_is_a_reason(recordings, message):
    store = FakeStore(recordings) if recordings else None
    assert plan_trials(store, FRAMES) == (None, [message])


def test_unknown_songs_and_genders():
    recordings = [replace(r, labels={}) for r in corpus_of(3, 1, 3)]
    plan, warnings = plan_trials(FakeStore(recordings), FRAMES)
    (trials,) = plan.trials.values()
    assert (trials.targets.sum(), (~trials.targets).sum()) == (9, 27)  # any two recordings
    assert warnings == [
        "validation trials: nontargets are of any gender, which is easier: it is not known"
    ]


def test_singers_and_their_songs_take_turns():
    rng = np.random.default_rng(0)
    recordings = corpus_of(5, 3, 4)
    chosen = choose_recordings(recordings, 15, rng)
    assert Counter(r.singer for r in chosen) == dict.fromkeys("01234", 3)
    assert all(n == 1 for n in Counter((r.singer, r.labels["song"]) for r in chosen).values())
    few = choose_recordings(recordings, 6, rng)
    assert sorted(Counter(r.singer for r in few).values()) == [2, 2, 2]  # pairs, not one each
    assert choose_recordings(recordings, 1000, rng) == recordings


def test_a_dead_or_collapsed_encoder_tells_nobody_apart():
    plan = planned(corpus_of())
    dead = plan(Mean(0.0))
    assert dead.figures["trial_eer"] == 0.5
    assert dead.figures["trial_min_dcf"] == 1
    assert not dead.embeddings.any()

    class Same(Mean):
        def forward(self, features):
            return F.normalize(1 + 1e-5 * super().forward(features), dim=1)

    assert plan(Same()).figures["trial_eer"] == 0.5


def test_no_number_is_refused():
    plan = planned(corpus_of())
    with pytest.raises(SingeridError, match=r"0-0-0: an embedding is not finite; lower --train"):
        plan(Mean(float("nan")))
