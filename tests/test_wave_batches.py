"""Batches on the fly against those of a store, and as a function of (seed, t) alone."""

import dataclasses
import pickle
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from singerid.batches import BatchMaker
from singerid.errors import AudioError, ConfigError, StoreError
from singerid.spec import AudioSettings, FeatureSpec
from singerid.training_sections import AugmentSettings, BatchSettings
from singerid.wave_batches import WaveBatchMaker

SPEC = FeatureSpec()
SIZE = BatchSettings(n_singers=2, n_partials=3, partial_frames=64)
ALWAYS = AugmentSettings(noise_probability=1, eq_probability=1)


def make(recordings, split="train", seed=0, augmentation=None, size=SIZE):
    return WaveBatchMaker(recordings, split, SPEC, size, seed, augmentation, "manifest.jsonl")


def assert_equal(one, other):
    assert one.ids == other.ids
    np.testing.assert_array_equal(one.singers, other.singers)
    np.testing.assert_array_equal(one.features, other.features)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_without_augmentation_batches_are_those_of_the_store(recordings, store, split):
    stored, fly = BatchMaker(store, split, SIZE, 3), make(recordings, split, 3)
    assert fly.singers == stored.singers
    assert fly.n_singers == stored.n_singers
    assert fly.warnings == stored.warnings
    for t in range(6):
        expected, found = stored.batch(t), fly.batch(t)
        assert found.ids == expected.ids
        np.testing.assert_array_equal(found.singers, expected.singers)
        assert found.features.dtype == np.float32
        # 0.5 dB where the dither (-120 dB) meets pauses near the floor; elsewhere nothing
        np.testing.assert_allclose(found.features, expected.features, atol=5e-3)
        assert np.abs(found.features - expected.features).mean() < 1e-4


def test_batch_is_a_function_of_seed_and_number(recordings):
    maker = make(recordings, augmentation=ALWAYS)
    forth = [maker.batch(t) for t in range(4)]
    for t in reversed(range(4)):
        assert_equal(make(recordings, augmentation=ALWAYS).batch(t), forth[t])
        assert_equal(maker.batch(t), forth[t])
        assert (make(recordings, seed=1, augmentation=ALWAYS).batch(t).features
                != forth[t].features).any()  # fmt: skip


def test_augmentation_changes_frames_but_not_what_is_drawn(recordings):
    plain, changed = make(recordings), make(recordings, augmentation=ALWAYS)
    never = make(recordings, augmentation=AugmentSettings(noise_probability=0, eq_probability=0))
    for t in range(3):
        assert_equal(never.batch(t), plain.batch(t))
        before, after = plain.batch(t), changed.batch(t)
        assert after.ids == before.ids
        moved = np.abs(after.features - before.features).mean(axis=(2, 3))
        assert (moved > 0.005).all()  # every partial, and each in its own way
        assert len(np.unique(moved)) == moved.size
        # the voice is still there: frames vary together
        for one, other in zip(before.features[0], after.features[0], strict=True):
            assert np.corrcoef(one.mean(axis=1), other.mean(axis=1))[0, 1] > 0.7


@pytest.mark.parametrize("split", ["valid", "test"])
def test_only_training_partials_are_changed(recordings, split):
    changed = make(recordings, split, augmentation=ALWAYS)
    assert changed.augmentation is None
    assert_equal(changed.batch(0), make(recordings, split).batch(0))


def test_other_process_makes_the_same_batch(recordings):
    maker = make(recordings, augmentation=ALWAYS, seed=9)
    here = [maker.batch(t) for t in range(3)]
    program = (
        "import pickle, sys\n"
        "maker = pickle.load(sys.stdin.buffer)\n"
        "pickle.dump([maker.batch(t) for t in (2, 0, 1)], sys.stdout.buffer)\n"
        "assert 'torch' not in sys.modules\n"
    )
    data = pickle.dumps(maker)
    assert len(data) < 100_000
    done = subprocess.run([sys.executable, "-c", program], input=data, stdout=-1, check=True)
    for t, there in zip((2, 0, 1), pickle.loads(done.stdout), strict=True):
        assert_equal(there, here[t])


def of_split(recordings, split="train"):
    return [r for r in recordings if r.split == split]


def test_recordings_just_long_enough_are_measured_not_believed(recordings, tmp_path):
    """A duration of four decimals may be off by a sample that decides over the last frame."""
    taken = []
    for n_samples, fits in ((63 * 256, True), (63 * 256 - 1, False)):
        for recording in of_split(recordings):
            samples, rate = soundfile.read(recording.path)
            path = str(tmp_path / f"{len(taken)}.wav")
            soundfile.write(path, samples[:n_samples], rate)
            for rounding in (-5e-5, 5e-5):
                name = f"{recording.id}/{n_samples}/{rounding}"
                duration = n_samples / rate + rounding
                taken.append((fits, dataclasses.replace(
                    recording, id=name, path=path, duration=duration)))  # fmt: skip
    maker = make([recording for _, recording in taken])
    n_short = sum(not fits for fits, _ in taken)
    assert maker.warnings == [
        f"train: {n_short} recordings are shorter than a partial (1.02 s) and take no part"
    ]
    shown = {name for t in range(20) for row in maker.batch(t).ids for name in row}
    assert shown == {recording.id for fits, recording in taken if fits}


# what goes wrong


def test_too_few_singers(recordings):
    alone = [r for r in recordings if r.singer == of_split(recordings)[0].singer]
    with pytest.raises(StoreError, match=r"manifest\.jsonl: split 'train' has too few singers; "
                                         "found 1 with a recording"):  # fmt: skip
        make(alone)


def test_a_file_that_is_gone_is_named(recordings):
    lost = [dataclasses.replace(r, path=f"{r.path}.lost") for r in recordings]
    maker = make(lost)
    with pytest.raises(AudioError, match=r"\.lost: cannot be opened; found No such file"):
        maker.batch(0)


def test_a_file_that_became_shorter_is_named(recordings, tmp_path):
    soundfile.write(tmp_path / "short.wav", 0.1 * np.ones(5000), 16000)
    changed = [dataclasses.replace(r, path=str(tmp_path / "short.wav")) for r in recordings]
    maker = make(changed)
    with pytest.raises(AudioError) as caught:
        maker.batch(0)
    assert str(caught.value).startswith(
        f"{tmp_path / 'short.wav'}: is shorter than the manifest says; found 0.31 s; expected "
    )
    assert str(caught.value).endswith("s; make the manifest again")


@pytest.mark.parametrize("name", ["silence_db", "min_level_db"])
def test_what_needs_whole_recordings_is_refused(recordings, name):
    spec = FeatureSpec(audio=AudioSettings(**{name: -30}))
    with pytest.raises(ConfigError) as caught:
        WaveBatchMaker(recordings, "train", spec, SIZE, 0)
    assert str(caught.value) == (
        f"audio.{name}: needs whole recordings, which are not read on the fly; found -30; "
        "set it to 0, or train from a store: singerid features"
    )


def test_partials_may_be_shorter_than_recordings_have_to_be(recordings):
    size = BatchSettings(n_singers=2, n_partials=2, partial_frames=8)
    least = sorted(r.duration for r in recordings)[-1] + 0.01
    spec = FeatureSpec(audio=AudioSettings(min_seconds=least - 0.02))
    longer = [dataclasses.replace(r, duration=max(r.duration, least)) for r in recordings]
    maker = WaveBatchMaker(longer, "train", spec, size, 0)
    assert maker.batch(0).features.shape == (2, 2, 8, 80)
    spec = FeatureSpec(audio=AudioSettings(min_seconds=least))
    with pytest.raises(StoreError, match="found 0 with a recording of at least one partial"):
        WaveBatchMaker(recordings, "train", spec, size, 0)
