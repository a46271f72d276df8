"""Batches: fair, without a singer twice, and a function of (seed, t) alone."""

import dataclasses
import pickle
import subprocess
import sys
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singerid.batches import BatchMaker
from singerid.errors import StoreError
from singerid.records import Recording
from singerid.sampling import fair_draw, fair_turn
from singerid.sections import BatchSettings
from singerid.spec import FeatureSpec
from singerid.store import Entry


class FakeStore:
    """Frames that tell where they come from: column 0 the recording, column 1 the frame."""

    def __init__(self, lengths, split="train"):
        """`lengths`: frames of each recording of each singer."""
        self.spec, self.path = FeatureSpec(), "fake"
        self.recordings, self.entries, self.names = [], {}, []
        for singer, frames in lengths.items():
            for number, n in enumerate(frames):
                name = f"{singer}/{number}"
                self.recordings.append(Recording(name, singer, "x.wav", 1.0, 16000, split=split))
                self.entries[name] = Entry(name, "", 0, 0, n, 0)
                self.names.append(name)

    def features(self, name):
        frames = np.zeros((self.entries[name].n_frames, self.spec.n_dims), np.float32)
        frames[:, 0] = self.names.index(name)
        frames[:, 1] = np.arange(len(frames))
        return frames


def make(lengths, n_singers=2, n_partials=2, frames=32, seed=0, split="train"):
    chosen = BatchSettings(n_singers=n_singers, n_partials=n_partials, partial_frames=frames)
    return BatchMaker(FakeStore(lengths, split), split, chosen, seed)


def singers(n, n_recordings=3, frames=64):
    return {f"s{i:02d}": [frames] * n_recordings for i in range(n)}


# fair_draw and fair_turn against counting


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 1000))
def test_draws_are_fair_after_every_pass(n_items, n_drawn, seed):
    draws_per_pass = max(1, n_items // n_drawn)
    counts = np.zeros(n_items, int)
    for number in range(2 * n_items + 3):
        in_pass = np.zeros(n_items, int)
        for position in range(draws_per_pass):
            draw = fair_draw(n_items, n_drawn, number * draws_per_pass + position, (seed, 7))
            assert draw.shape == (n_drawn,)
            assert draw.min() >= 0
            assert draw.max() < n_items
            in_draw = np.bincount(draw, minlength=n_items)
            # without repeats where possible, else as few as possible
            assert in_draw.max() - in_draw.min() <= 1
            in_pass += in_draw
        assert in_pass.max() - in_pass.min() <= 1
        counts += in_pass
        assert counts.max() - counts.min() <= 1


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 30), st.integers(0, 1000))
def test_turn_equals_counting(data, n_items, seed):
    n_drawn = data.draw(st.integers(1, n_items))
    draws_per_pass = n_items // n_drawn
    before = np.zeros(n_items, int)
    for number in range(n_items + 2):
        for t in range(number * draws_per_pass, (number + 1) * draws_per_pass):
            turns = [fair_turn(n_items, n_drawn, t, item, (seed,)) for item in range(n_items)]
            assert turns == before.tolist()
        for t in range(number * draws_per_pass, (number + 1) * draws_per_pass):
            before += np.bincount(fair_draw(n_items, n_drawn, t, (seed,)), minlength=n_items)


def test_draws_are_in_random_order_and_differ_by_seed():
    draws = {tuple(fair_draw(10, 10, t, (seed,))) for t in range(5) for seed in range(5)}
    assert len(draws) == 25
    together = Counter()
    for t in range(3000):  # pairs of 6 items, 2 drawn: none is preferred
        together[tuple(sorted(fair_draw(6, 2, t, (3,))))] += 1
    assert len(together) == 15
    assert min(together.values()) > 120  # expected 200, standard deviation 14
    assert max(together.values()) < 280


# BatchMaker


def test_shapes_and_types(store):
    chosen = BatchSettings(n_singers=2, n_partials=3, partial_frames=40)
    maker = BatchMaker(store, "train", chosen, 0)
    batch = maker.batch(0)
    assert batch.features.shape == (2, 3, 40, 80)
    assert batch.features.dtype == np.float32
    assert batch.singers.shape == (2,)
    assert [len(row) for row in batch.ids] == [3, 3]
    assert maker.singers == sorted({r.singer for r in store.recordings if r.split == "train"})
    assert maker.warnings == []


def test_frames_are_those_of_the_store(store):
    maker = BatchMaker(store, "valid", BatchSettings(n_singers=2, n_partials=4), 5)
    of = {r.id: r for r in store.recordings}
    for t in range(3):
        batch = maker.batch(t)
        for row, singer in enumerate(batch.singers):
            for column, name in enumerate(batch.ids[row]):
                assert of[name].singer == maker.singers[singer]
                assert of[name].split == "valid"
                partial = batch.features[row, column]
                whole = np.lib.stride_tricks.sliding_window_view(
                    store.features(name), len(partial), axis=0
                )
                assert (whole.transpose(0, 2, 1) == partial).all(axis=(1, 2)).any()


def test_frames_belong_to_the_named_recording_and_are_consecutive():
    maker = make(singers(5), n_singers=3, n_partials=4)
    for t in range(20):
        batch = maker.batch(t)
        for row, column in np.ndindex(3, 4):
            partial = batch.features[row, column]
            assert (partial[:, 0] == maker._store.names.index(batch.ids[row][column])).all()
            assert (np.diff(partial[:, 1]) == 1).all()


def test_no_singer_twice_and_no_recording_twice_where_possible():
    maker = make(singers(11, n_recordings=5), n_singers=4, n_partials=5)
    for t in range(200):
        batch = maker.batch(t)
        assert len(set(batch.singers.tolist())) == 4
        assert all(len(set(row)) == 5 for row in batch.ids)


def test_singers_and_recordings_are_shown_equally_often():
    counts = {"a": 3, "b": 1, "c": 7, "d": 4, "e": 5, "f": 2, "g": 6}
    maker = make({s: [64] * n for s, n in counts.items()}, n_singers=3, n_partials=2)
    shown = Counter()
    of_singer: dict[str, Counter[str]] = defaultdict(Counter)
    for t in range(2 * 7 * 6 * 5):  # passes of two batches
        batch = maker.batch(t)
        for singer, ids in zip(batch.singers, batch.ids, strict=True):
            shown[maker.singers[singer]] += 1
            of_singer[maker.singers[singer]].update(ids)
    assert max(shown.values()) - min(shown.values()) <= 1
    for singer, count in counts.items():
        of = of_singer[singer]
        assert len(of) == count
        # A singer's own pass need not be whole where we stop: at most one more than fair.
        assert max(of.values()) - min(of.values()) <= 2


def test_starts_cover_the_recording_and_stay_inside():
    maker = make({"a": [40], "b": [33], "c": [32]}, n_singers=3, n_partials=2, frames=32)
    starts: dict[str, set[int]] = defaultdict(set)
    for t in range(200):
        batch = maker.batch(t)
        for row, column in np.ndindex(3, 2):
            starts[batch.ids[row][column]].add(int(batch.features[row, column, 0, 1]))
    assert starts == {"a/0": set(range(9)), "b/0": {0, 1}, "c/0": {0}}


def test_batch_is_a_function_of_seed_and_number():
    maker = make(singers(7), n_singers=3, seed=3)
    forth = [maker.batch(t) for t in range(12)]
    for t in reversed(range(12)):
        other = make(singers(7), n_singers=3, seed=3).batch(t)
        assert other.ids == forth[t].ids
        np.testing.assert_array_equal(other.singers, forth[t].singers)
        np.testing.assert_array_equal(other.features, forth[t].features)
    for seed in (4, 5):
        ids = [make(singers(7), n_singers=3, seed=seed).batch(t).ids for t in range(12)]
        assert ids != [batch.ids for batch in forth]
    assert len({str(batch.ids) for batch in forth}) == 12


def test_splits_of_one_seed_differ():
    ids = [
        [str(make(singers(7), split=split).batch(t).ids) for t in range(5)]
        for split in ("train", "valid", "test")
    ]
    assert ids[0] != ids[1] != ids[2] != ids[0]


def test_other_process_makes_the_same_batch(store):
    chosen = BatchSettings(n_singers=2, n_partials=2, partial_frames=32)
    maker = BatchMaker(store, "train", chosen, 9)
    here = [maker.batch(t) for t in range(3)]  # maps the shards: must not travel in the pickle
    program = (
        "import pickle, sys\n"
        "maker = pickle.load(sys.stdin.buffer)\n"
        "pickle.dump([maker.batch(t) for t in (2, 0, 1)], sys.stdout.buffer)\n"
    )
    data = pickle.dumps(maker)
    assert len(data) < 100_000
    done = subprocess.run([sys.executable, "-c", program], input=data, stdout=-1, check=True)
    for t, there in zip((2, 0, 1), pickle.loads(done.stdout), strict=True):
        assert there.ids == here[t].ids
        np.testing.assert_array_equal(there.features, here[t].features)


# too few, too short


def test_fewer_singers_than_asked_for_shrink_the_batch_with_one_warning():
    maker = make(singers(3), n_singers=8)
    assert maker.warnings == [
        "train: 3 singers, fewer than batch.n_singers 8; batches hold 3",
    ]
    assert maker.n_singers == 3
    assert sorted(maker.batch(0).singers) == [0, 1, 2]


@pytest.mark.parametrize(
    ("lengths", "n"), [({}, 0), ({"a": [64, 64]}, 1), ({"a": [64], "b": [31, 8]}, 1)]
)
def test_fewer_than_two_singers_are_refused(lengths, n):
    message = (
        f"fake: split 'train' has too few singers; found {n} with a recording of at least one "
        "partial; expected at least 2: a contrast needs two; "
    ) + (
        "lower --batch.partial_frames"
        if "b" in lengths
        else "add singers, or draw other splits: singerid manifest --manifest.splits draw"
    )
    with pytest.raises(StoreError) as caught:
        make(lengths)
    assert str(caught.value) == message


def test_short_recordings_take_no_part():
    maker = make({"a": [31, 64], "b": [32, 31], "c": [5], "d": [64]}, n_singers=3)
    assert maker.warnings == [
        "train: 3 recordings are shorter than a partial (0.51 s) and take no part",
        "train: 3 of 3 singers have a single recording: their partials are told by the recording "
        "as well as by the voice",
    ]
    assert maker.singers == ["a", "b", "d"]
    shown = {name for t in range(50) for row in maker.batch(t).ids for name in row}
    assert shown == {"a/1", "b/0", "d/0"}


def test_other_splits_take_no_part():
    fake = FakeStore(singers(6))
    fake.recordings = [
        dataclasses.replace(r, split="train" if r.singer < "s03" else "test")
        for r in fake.recordings
    ]
    maker = BatchMaker(fake, "train", BatchSettings(n_singers=2, partial_frames=32), 0)
    assert maker.singers == ["s00", "s01", "s02"]


def test_unequal_batches_with_one_recording_repeat_it():
    maker = make({"a": [64], "b": [64, 64, 64]}, n_partials=5)
    batch = maker.batch(0)
    ids = dict(zip((maker.singers[s] for s in batch.singers), batch.ids, strict=True))
    assert ids["a"] == ["a/0"] * 5
    assert sorted(Counter(ids["b"]).values()) == [1, 2, 2]
