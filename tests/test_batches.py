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

from singerid.batches import BatchMaker, median_pitch
from singerid.errors import SingeridError, StoreError
from singerid.listing import Listing
from singerid.records import Recording
from singerid.sampling import fair_draw, fair_turn
from singerid.spec import FeatureSpec
from singerid.training_sections import BatchSettings


class FakeStore:
    """Frames that tell where they come from: column 0 the recording, column 1 the frame."""

    def __init__(self, lengths, split="train"):
        """`lengths`: frames of each recording of each singer."""
        self.spec, self.path = FeatureSpec(), "fake"
        self.names = [
            f"{s}/{number}" for s, frames in lengths.items() for number in range(len(frames))
        ]
        self.n_frames = np.array([n for frames in lengths.values() for n in frames])
        self.listing = Listing(
            Recording(name, name.partition("/")[0], "x.wav", 1.0, 16000, split=split)
            for name in self.names
        )

        self.rows = np.arange(len(self.names))

    def frames(self, row):
        frames = np.zeros((self.n_frames[row], self.spec.n_dims), np.float32)
        frames[:, 0] = row
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
    fake.listing = Listing(
        dataclasses.replace(r, split="train" if r.singer < "s03" else "test")
        for r in fake.listing.recordings
    )
    maker = BatchMaker(fake, "train", BatchSettings(n_singers=2, partial_frames=32), 0)
    assert maker.singers == ["s00", "s01", "s02"]


def test_unequal_batches_with_one_recording_repeat_it():
    maker = make({"a": [64], "b": [64, 64, 64]}, n_partials=5)
    batch = maker.batch(0)
    ids = dict(zip((maker.singers[s] for s in batch.singers), batch.ids, strict=True))
    assert ids["a"] == ["a/0"] * 5
    assert sorted(Counter(ids["b"]).values()) == [1, 2, 2]


# hard batches and spread pitch


def labeled(labels, split="train", **chosen):
    """A maker of 16 singers with 12 recordings each; `labels(singer, recording)` of each."""
    fake = FakeStore(singers(16, n_recordings=12), split)
    fake.listing = Listing(
        dataclasses.replace(r, labels=labels(*(int(part.strip("s")) for part in r.id.split("/"))))
        for r in fake.listing.recordings
    )
    chosen = {"n_singers": 4, "n_partials": 3, "partial_frames": 32} | chosen
    return BatchMaker(fake, split, BatchSettings(**chosen), 0)


def low_and_high(singer, recording):
    """Eight women an octave above eight men; a singer's recordings span 11 semitones."""
    hertz = 100 * 2 ** ((singer % 8 + recording) / 12 + singer // 8)
    return {"gender": "MF"[singer // 8], "f0": f"{hertz:.1f}"}


def test_hard_batches_hold_one_gender():
    maker = labeled(low_and_high, sampling="hard", hard_share=1.0)
    assert maker.warnings == []
    shown = np.zeros(16, int)
    for t in range(40):
        chosen = maker.batch(t).singers
        assert len(set(chosen // 8)) == 1
        shown += np.bincount(chosen, minlength=16)
    assert shown.tolist() == [10] * 16
    gaps = [np.ptp(maker.batch(t).singers % 8) for t in range(40)]
    assert np.mean(gaps) < 5  # of 7; 4 of 8 at random span 5.4
    assert labeled(low_and_high, sampling="fair").batch(0).singers.tolist() != [
        *maker.batch(0).singers
    ]


def test_validation_batches_are_fair_whatever_the_sampling():
    hard = labeled(low_and_high, "valid", sampling="hard", hard_share=1.0, spread_pitch=True)
    fair = labeled(low_and_high, "valid")
    assert hard.warnings == []
    for t in range(10):
        assert hard.batch(t).ids == fair.batch(t).ids


def test_hard_batches_without_labels_are_fair_ones_and_said():
    maker, fair = labeled(lambda *_: {}, sampling="hard"), labeled(lambda *_: {})
    assert maker.warnings == [
        "train: batch.sampling hard, but no singer has a label gender or f0; any singers meet in "
        "a batch (f0 is measured by: singerid manifest --manifest.f0 true)"
    ]
    for t in range(10):
        assert maker.batch(t).ids == fair.batch(t).ids


def test_labels_that_hard_batches_lack_are_said():
    def some(singer, recording):
        labels = low_and_high(singer, recording)
        gender = {"gender": labels["gender"]} if singer not in (3, 9, 10) else {"gender": "?"}
        return gender | ({"f0": labels["f0"]} if singer > 1 else {})

    maker = labeled(some, sampling="hard", hard_share=0.9)
    assert maker.warnings == [
        "train: batch.sampling hard, but 3 of 16 singers have no label gender; they meet one "
        "another, alike in pitch only",
        "train: batch.sampling hard, but 2 of 16 singers have no label f0; they meet one another, "
        "alike in gender only",
        "train: batch.hard_share 0.9 is out of reach: 0.50 of the batches can be of one gender "
        "(genders of fewer than 4 singers fill none)",
    ]
    assert {int(s) for t in range(8) for s in maker.batch(t).singers} == set(range(16))


def test_a_label_that_is_no_frequency_is_refused():
    with pytest.raises(SingeridError) as caught:
        labeled(lambda *_: {"gender": "F", "f0": "high"}, sampling="hard")
    assert str(caught.value) == (
        "row 0: label 'f0' is not a frequency; found 'high'; expected the median F0 in Hz, or "
        "nothing where it is unknown"
    )


def test_spread_pitch_takes_recordings_from_all_over_the_range():
    def shuffled(singer, recording):
        return low_and_high(singer, 7 * recording % 12)  # not in the order of the ids

    maker = labeled(shuffled, spread_pitch=True)
    assert maker.warnings == []
    shown = Counter()
    for t in range(4 * 4 * 5):
        for row in maker.batch(t).ids:
            steps = sorted(7 * int(name.split("/")[1]) % 12 for name in row)
            assert [step // 4 for step in steps] == [0, 1, 2]
            shown.update(row)
    assert len(shown) == 16 * 12
    assert set(shown.values()) == {5}


def test_spread_pitch_without_labels_is_said():
    maker = labeled(lambda s, r: low_and_high(s, r) if r % 3 else {}, spread_pitch=True)
    assert maker.warnings == [
        "train: batch.spread_pitch, but 64 recordings have no label f0; they count as of their "
        "singer's median pitch (measure it: singerid manifest --manifest.f0 true)"
    ]
    maker = labeled(lambda *_: {}, spread_pitch=True)
    shown = Counter(name for t in range(16) for row in maker.batch(t).ids for name in row)
    assert set(shown.values()) == {1}


@pytest.mark.parametrize(
    ("f0", "median"),
    [(("",), None), (("100",), 100), (("", "400", "100"), 200), (("1", "9", "2"), 2)],
)
def test_median_pitch(f0, median):
    """Of the singer between two others."""
    pitch = np.array([40.0, *(12 * np.log2(float(text)) if text else np.nan for text in f0), 50.0])
    low, found, high = median_pitch(pitch, np.array([0, *[1] * len(f0), 2]))
    assert (low, high) == (40, 50)
    if median is None:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(12 * np.log2(median))
