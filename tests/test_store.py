"""Store: what is written is what extraction gives, after any interruption; damage is found."""

import dataclasses
import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import soundfile
from filelock import FileLock

from singerid import extraction, store_writer
from singerid import store as store_module
from singerid.errors import AudioError, BatchError, StoreError
from singerid.extraction import extract
from singerid.features import extract_file
from singerid.records import Recording, write_recordings
from singerid.spec import FeatureSpec
from singerid.store import Store
from singerid.store_check import repair

SPEC = FeatureSpec(mel={"n_mels": 8})  # small shards
PARTS = ("spec.json", "index.jsonl", "recordings.jsonl", "checksums.json", "features-*.f32")


def record(path, seed, seconds=0.6):
    """A recording of noise, of its own content."""
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * 16000))
    soundfile.write(path, samples, 16000)
    return Recording(path.stem, f"s{seed}", str(path), seconds, 16000, sha256=2 * f"{seed:032x}")


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Five short recordings."""
    folder = tmp_path_factory.mktemp("few")
    return [record(folder / f"r{i}.wav", i, 0.5 + i / 10) for i in range(5)]


def content(path):
    """Bytes of every file of a store but the lock."""
    files = [file for pattern in PARTS for file in sorted(path.glob(pattern))]
    assert {f.name for f in path.iterdir()} - {".lock"} == {f.name for f in files}
    return {file.name: file.read_bytes() for file in files}


def counted(monkeypatch):
    """The ids that are extracted from now on."""
    done, real = [], extraction._analyze_one

    def count(recording, **settings):
        done.append(recording.id)
        return real(recording, **settings)

    monkeypatch.setattr(extraction, "_analyze_one", count)
    return done


@pytest.fixture(scope="module")
def whole(few, tmp_path_factory):
    """A store of `few` that was never interrupted, in shards of about two recordings."""
    path = tmp_path_factory.mktemp("whole") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_writer, "SHARD_BYTES", 3100)
        extract(few, path, SPEC)
    assert len(list(path.glob("*.f32"))) == 3
    return path


@pytest.fixture
def broken(whole, tmp_path, monkeypatch):
    """A copy of `whole` to be damaged."""
    monkeypatch.setattr(store_writer, "SHARD_BYTES", 3100)
    return Path(shutil.copytree(whole, tmp_path / "store"))


# ------------------------------------------------------------------------------------------ content


def test_features_are_those_of_direct_extraction(store, recordings):
    assert store.recordings == recordings
    assert store.spec == FeatureSpec()
    for recording in recordings[::4]:
        direct, _ = extract_file(recording.path, recording.channel, store.spec)
        kept = store.features(recording.id)
        np.testing.assert_allclose(kept, direct, atol=2e-7)  # BLAS sums by its threads
        assert kept.dtype == np.float32
        assert kept.shape[1] == 80
        assert not kept.flags.writeable
        store.check(recording.id)


def test_bytes_do_not_depend_on_the_workers(few, tmp_path):
    made = []
    for n in (1, 2, 5):
        seconds = []
        result, _ = extract(few, tmp_path / str(n), SPEC, n, seconds.append)
        assert (result.n_done, result.n_present, result.n_others) == (5, 0, 0)
        assert seconds == [r.duration for r in few]
        made.append(content(tmp_path / str(n)))
    assert made[0] == made[1] == made[2]


def test_shards_roll_over(whole, few):
    opened = Store(whole)
    assert [opened.entries[r.id].shard for r in few] == [0, 0, 1, 1, 2]
    sizes = [file.stat().st_size for file in sorted(whole.glob("*.f32"))]
    assert all(size <= 3100 for size in sizes)
    for recording in few:
        direct, _ = extract_file(recording.path, "mix", SPEC)
        np.testing.assert_allclose(opened.features(recording.id), direct, atol=2e-7)
        opened.check(recording.id)


def test_a_recording_larger_than_a_shard_has_one_of_its_own(few, tmp_path, monkeypatch):
    monkeypatch.setattr(store_writer, "SHARD_BYTES", 10)
    _, opened = extract(few, tmp_path / "s", SPEC)
    assert [opened.entries[r.id].shard for r in few] == [0, 1, 2, 3, 4]


def test_channels_are_told_apart(tmp_path):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (16000, 2))
    soundfile.write(tmp_path / "x.wav", samples, 16000)
    pair = [
        Recording(c, "ann", str(tmp_path / "x.wav"), 1, 16000, 2, c, sha256="ab")
        for c in ("left", "right")
    ]
    _, opened = extract(pair, tmp_path / "s", SPEC)
    assert not np.array_equal(opened.features("left"), opened.features("right"))
    swapped = [dataclasses.replace(pair[0], channel="right"), pair[1]]
    result, opened = extract(swapped, tmp_path / "s", SPEC)
    assert (result.n_done, result.n_present) == (1, 1)
    np.testing.assert_array_equal(opened.features("left"), opened.features("right"))


# ---------------------------------------------------------------------------------- what is missing


def test_nothing_is_done_twice(few, tmp_path, monkeypatch):
    done = counted(monkeypatch)
    extract(few[:3], tmp_path / "s", SPEC)
    result, _ = extract(few, tmp_path / "s", SPEC)
    assert done == ["r0", "r1", "r2", "r3", "r4"]
    assert (result.n_done, result.n_present) == (2, 3)
    before = content(tmp_path / "s")
    result, _ = extract(few, tmp_path / "s", SPEC)
    assert (result.n_done, result.n_present) == (0, 5)
    assert len(done) == 5
    assert content(tmp_path / "s") == before


def test_a_smaller_manifest_lists_fewer(few, tmp_path):
    extract(few, tmp_path / "s", SPEC)
    result, opened = extract(few[3:1:-1], tmp_path / "s", SPEC)
    assert (result.n_done, result.n_present, result.n_others) == (0, 2, 3)
    assert [r.id for r in opened.recordings] == ["r3", "r2"]


def test_changed_audio_is_extracted_again(few, tmp_path, monkeypatch):
    extract(few, tmp_path / "s", SPEC)
    changed = [*few[:2], record(tmp_path / "r2.wav", 99), *few[3:]]
    done = counted(monkeypatch)
    _, opened = extract(changed, tmp_path / "s", SPEC)
    assert done == ["r2"]
    np.testing.assert_allclose(
        opened.features("r2"), extract_file(changed[2].path, "mix", SPEC)[0], atol=2e-7
    )
    assert extract(changed, tmp_path / "s", SPEC)[0].n_done == 0


def test_a_store_whose_audio_changed_halfway_is_not_taken_for_whole(few, tmp_path):
    extract(few, tmp_path / "s", SPEC)
    listing = tmp_path / "s" / "recordings.jsonl"
    old, sums = listing.read_bytes(), (tmp_path / "s" / "checksums.json").read_bytes()
    extract([*few[:4], dataclasses.replace(few[4], sha256="ff")], tmp_path / "s", SPEC)
    listing.write_bytes(old)  # as if killed before the list was written
    (tmp_path / "s" / "checksums.json").write_bytes(sums)
    with pytest.raises(
        StoreError, match="1 listed recordings have no features; found r4; run sing"
    ):
        Store(tmp_path / "s")


# ---------------------------------------------------------------------------------------- bad files


def test_bad_files_are_listed_and_the_rest_kept(few, tmp_path):
    soundfile.write(tmp_path / "short.wav", np.ones(1600) / 2, 16000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    (tmp_path / "text.wav").write_text("no sound")
    bad = [
        Recording(name, "x", str(tmp_path / f"{name}.wav"), 0.1, 16000)
        for name in ("short", "silent", "text", "missing")
    ]
    result, opened = extract([bad[0], few[0], *bad[1:], few[1]], tmp_path / "s", SPEC, 2)
    assert [r.id for r in opened.recordings] == ["r0", "r1"]
    assert result.n_done == 2
    lines = [str(failure) for failure in result.failures]
    assert all(len(line.splitlines()) == 1 for line in lines)
    assert lines[0] == (
        f"{tmp_path}/short.wav: is too short; found 0.10 s; expected at least 0.50 s; "
        "leave it out, or lower --audio.min_seconds"
    )
    assert lines[1].startswith(f"{tmp_path}/silent.wav: is silent")
    assert lines[2].startswith(f"{tmp_path}/text.wav: is not audio")
    assert lines[3].startswith(f"{tmp_path}/missing.wav: cannot be opened")


def test_warnings_name_the_file(tmp_path):
    soundfile.write(tmp_path / "a\nb.wav", np.ones(8000), 8000)
    recording = Recording("a", "ann", str(tmp_path / "a\nb.wav"), 1, 8000)
    result, _ = extract([recording], tmp_path / "s", SPEC)
    assert [w.split(": ")[0] for w in result.warnings] == [rf"{tmp_path}/a\nb.wav"] * 2
    assert "clipped in" in result.warnings[0]
    assert "sampled at 8000 Hz" in result.warnings[1]


def test_a_recording_that_fails_now_is_no_longer_listed(few, tmp_path):
    extract(few, tmp_path / "s", SPEC)
    gone = dataclasses.replace(few[1], path=str(tmp_path / "gone.wav"), sha256="00")
    result, opened = extract([few[0], gone], tmp_path / "s", SPEC)
    assert [r.id for r in opened.recordings] == ["r0"]
    assert len(result.failures) == 1
    assert isinstance(result.failures[0], AudioError)


def test_nothing_readable_leaves_an_unfinished_store(few, tmp_path):
    gone = [Recording(name, "x", f"{name}.wav", 1, 16000) for name in "ab"]
    with pytest.raises(BatchError, match="/s: no recording could be read") as caught:
        extract(gone, tmp_path / "s", SPEC)
    assert [str(f).split(":")[0] for f in caught.value.failures] == ["a.wav", "b.wav"]
    with pytest.raises(StoreError, match="the extraction was not finished"):
        Store(tmp_path / "s")
    with pytest.raises(BatchError, match="no recording"):
        extract([], tmp_path / "s", SPEC)
    extract(few[:1], tmp_path / "s", SPEC)  # the lock is free again


def test_files_that_do_not_fit_into_memory(few, tmp_path, monkeypatch):
    real = extraction.extract_file

    def hungry(path, *args):
        if "r1" in path:
            raise MemoryError
        return real(path, *args)

    monkeypatch.setattr(extraction, "extract_file", hungry)
    result, opened = extract(few[:3], tmp_path / "s", SPEC)
    assert [str(f) for f in result.failures] == [f"{few[1].path}: does not fit into memory"]
    assert [r.id for r in opened.recordings] == ["r0", "r2"]


# ------------------------------------------------------------------------------------- interruption


def resume(broken, few, whole, monkeypatch):
    """Extract again: the result must be as if nothing had happened; the ids that it took."""
    done = counted(monkeypatch)
    result, opened = extract(few, broken, SPEC)
    assert result.n_done == len(done)
    assert content(broken) == content(whole)
    for recording in few:
        opened.check(recording.id)
    return done


@pytest.mark.parametrize("position", ["0", "1", "half a line", "end - 1", "after a line", "end"])
@pytest.mark.parametrize("line", [0, 1, 2, 4])
def test_index_cut_anywhere(broken, few, whole, monkeypatch, position, line):
    index = broken / "index.jsonl"
    lines = index.read_bytes().splitlines(keepends=True)
    start, length = sum(map(len, lines[:line])), len(lines[line])
    within = {
        "0": 0, "1": 1, "half a line": length // 2, "end - 1": length - 1, "after a line": length,
        "end": length,
    }[position]  # fmt: skip
    os.truncate(index, start + within)
    (broken / "recordings.jsonl").unlink()
    kept = line + (within == length)
    with pytest.raises(StoreError, match="the extraction was not finished; run singerid features"):
        Store(broken)
    assert resume(broken, few, whole, monkeypatch) == [f"r{i}" for i in range(kept, 5)]


@pytest.mark.parametrize("shard", [0, 1, 2])
@pytest.mark.parametrize("size", [0, 1, 32, 33, 1000, -1, -32])
def test_shard_cut_anywhere(broken, few, whole, monkeypatch, shard, size):
    file = broken / f"features-{shard:05d}.f32"
    full = file.stat().st_size
    os.truncate(file, size % full)
    entries = Store(broken).entries.values()
    lost = [e.id for e in entries if e.shard == shard and e.end * 32 > size % full]
    assert lost
    assert resume(broken, few, whole, monkeypatch) == lost  # and none of the shards behind it


@pytest.mark.parametrize("garbage", [b"\0", b"x" * 999, b"\0" * 4096, b"{\n", b"\n", b"\xff\n{}\n"])
@pytest.mark.parametrize("name", ["index.jsonl", "features-00000.f32", "features-00002.f32"])
def test_garbage_behind_the_end(broken, few, whole, monkeypatch, name, garbage):
    with open(broken / name, "ab") as file:
        file.write(garbage)
    if name == "index.jsonl" and b"\n" in garbage:
        check_error = pytest.raises(StoreError, match=r"index\.jsonl:6: index line is damaged")
        with check_error:
            Store(broken)
    assert resume(broken, few, whole, monkeypatch) == []


@pytest.mark.parametrize("line", [0, 2, 4])
def test_a_damaged_index_line_is_refused_and_then_made_again(broken, few, whole, monkeypatch, line):
    index = broken / "index.jsonl"
    lines = index.read_bytes().splitlines(keepends=True)
    lines[line] = b'{"id": "r2", "sour\xff' + lines[line][20:]
    index.write_bytes(b"".join(lines))
    with pytest.raises(StoreError, match=rf"index\.jsonl:{line + 1}: index line is damaged; found"):
        Store(broken)
    assert resume(broken, few, whole, monkeypatch) == [f"r{line}"]


@pytest.mark.parametrize("n_written", [0, 3])
def test_killed_between_frames_and_index(few, whole, tmp_path, monkeypatch, n_written):
    """A process that dies without a word, and another that goes on."""
    write_recordings(tmp_path / "m.jsonl", few)
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from singerid import extraction, store_writer\n"
        "from singerid.config import FeatureSpec\n"
        "from singerid.records import read_recordings\n"
        "store_writer.SHARD_BYTES = 3100\n"
        "real, n = store_writer.write_all, 0\n"
        "def write(handle, data):\n"
        "    global n\n"
        "    n += 1\n"
        "    if n > 2 * int(sys.argv[1]) + 1:\n"
        "        os.write(handle, data[: len(data) // 2])\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(handle, data)\n"
        "store_writer.write_all = write\n"
        "spec = FeatureSpec(mel={'n_mels': 8})\n"
        "extraction.extract(read_recordings('m.jsonl'), Path('store'), spec)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(n_written)], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    monkeypatch.setattr(store_writer, "SHARD_BYTES", 3100)
    assert resume(tmp_path / "store", few, whole, monkeypatch) == [
        f"r{i}" for i in range(n_written, 5)
    ]


@pytest.mark.parametrize("n_whole", [0, 1, 2, 5])
def test_full_disk(few, whole, tmp_path, monkeypatch, n_whole):
    monkeypatch.setattr(store_writer, "SHARD_BYTES", 3100)
    real, calls = os.write, []

    def full(handle, data):
        calls.append(handle)
        if len(calls) > n_whole:
            real(handle, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr(store_writer.os, "write", full)
        with pytest.raises(StoreError) as caught:
            extract(few, tmp_path / "s", SPEC)
    assert str(caught.value) == (
        f"{tmp_path}/s: cannot be written; found No space left on device; free space, then run the "
        "same command again: it goes on where it stopped"
    )
    with pytest.raises(StoreError, match="the extraction was not finished"):
        Store(tmp_path / "s")
    assert resume(tmp_path / "s", few, whole, monkeypatch) == [
        f"r{i}" for i in range(n_whole // 2, 5)
    ]


def test_full_disk_when_a_shard_is_begun(few, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(store_writer, "SHARD_BYTES", 3100)
    real = os.open

    def full(path, *args, **kwargs):
        if "00001" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(store_writer.os, "open", full)
        with pytest.raises(
            StoreError, match="/s: cannot be written; found No space left on device"
        ):
            extract(few, tmp_path / "s", SPEC)
    assert resume(tmp_path / "s", few, whole, monkeypatch) == ["r2", "r3", "r4"]


def test_interrupt_by_the_user(few, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(store_writer, "SHARD_BYTES", 3100)
    seen = []

    def stop(seconds):
        seen.append(seconds)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(few, tmp_path / "s", SPEC, 2, stop)
    assert resume(tmp_path / "s", few, whole, monkeypatch) == ["r3", "r4"]


# ----------------------------------------------------------------------------------------- refusals


def test_a_store_of_another_spec(whole, few):
    other = FeatureSpec(mel={"n_mels": 8, "fmax": 7000}, audio={"min_seconds": 0.2})
    before = content(whole)
    with pytest.raises(StoreError) as caught:
        extract(few, whole, other)
    assert str(caught.value) == (
        f"{whole}: holds features of another spec; found audio.min_seconds 0.5, not 0.2, "
        "mel.fmax 7600.0, not 7000.0; use another folder, or the settings of the store"
    )
    assert content(whole) == before


def test_a_store_in_use(broken, few):
    with (
        FileLock(broken / ".lock"),
        pytest.raises(StoreError, match="/store: is being written by another process; wait for it"),
    ):
        extract(few, broken, SPEC)
    extract(few, broken, SPEC)


def test_a_folder_of_something_else(few, tmp_path):
    (tmp_path / "letters").touch()
    with pytest.raises(
        StoreError, match="folder holds something else; found letters; use an empty"
    ):
        extract(few, tmp_path, SPEC)
    with pytest.raises(StoreError, match="/letters: folder cannot be made; found File exists"):
        extract(few, tmp_path / "letters", SPEC)
    assert [p.name for p in tmp_path.iterdir()] == ["letters"]


def test_what_is_no_store(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(
            StoreError, match=r"is not a feature store; found no spec.json; make one"
        ):
            Store(path)


@pytest.mark.parametrize(
    "spec", [b"", b"{", b"[]", b'{"mel": {"n_mels": 1}}', b'{"x": 1}', b"\xff"]
)
def test_a_damaged_spec(broken, few, whole, monkeypatch, spec):
    (broken / "spec.json").write_bytes(spec)
    with pytest.raises(StoreError, match=r"/store: spec\.json is damaged; found .*; run singerid"):
        Store(broken)
    with pytest.raises(StoreError, match=r"spec\.json is damaged"):  # checksums are of SPEC
        extract(few, broken, FeatureSpec(mel={"n_mels": 9}))
    assert resume(broken, few, whole, monkeypatch) == []
    (broken / "checksums.json").unlink()
    (broken / "spec.json").write_bytes(spec)
    for use in (Store, lambda path: extract(few, path, SPEC)):
        with pytest.raises(StoreError, match=r"/store: spec\.json is damaged; found ") as caught:
            use(broken)
        assert len(str(caught.value).splitlines()) == 1


# ------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("shard", [0, 1, 2])
def test_flipped_bits_are_found(broken, few, shard):
    file = broken / f"features-{shard:05d}.f32"
    data = bytearray(file.read_bytes())
    data[40] ^= 1
    file.write_bytes(data)
    opened = Store(broken)
    hit = next(r for r in few if opened.entries[r.id].shard == shard)
    words = rf"{shard}\.f32: frames do not match their checksum; found recording {hit.id}; run sin"
    with pytest.raises(StoreError, match=words):
        opened.check(hit.id)
    for recording in few:
        if recording != hit:
            opened.check(recording.id)


@pytest.mark.parametrize(("size", "words"), [(320, "shard is cut short"), (0, "cannot be read")])
def test_reading_from_a_cut_shard(broken, size, words):
    os.truncate(broken / "features-00000.f32", size)
    opened = Store(broken)
    with pytest.raises(StoreError, match=rf"features-00000\.f32: .*{words}.*run singerid features"):
        opened.features("r1")
    assert len(opened.features("r4")) > 10


def test_reading_from_a_lost_shard(broken):
    (broken / "features-00001.f32").unlink()
    with pytest.raises(
        StoreError, match=r"features-00001\.f32: shard cannot be read; found .*No su"
    ):
        Store(broken).features("r2")


def test_a_list_that_names_more_than_there_is(broken, few, tmp_path):
    write_recordings(broken / "recordings.jsonl", [*few, record(tmp_path / "new.wav", 50)])
    with pytest.raises(
        StoreError, match=r"recordings\.jsonl does not match its checksum; run sing"
    ):
        Store(broken)
    (broken / "checksums.json").unlink()  # as an older version would have left it
    with pytest.raises(
        StoreError, match="1 listed recordings have no features; found new; run sing"
    ):
        Store(broken)


# --------------------------------------------------------------------------------- across processes


def _sum(opened):
    return {id: float(opened.features(id).sum()) for id in opened.entries}


def test_a_store_travels_to_a_worker_without_its_arrays(whole):
    opened = Store(whole)
    known = _sum(opened)
    assert opened._shards
    assert len(pickle.dumps(opened)) < 10_000
    copy = pickle.loads(pickle.dumps(opened))
    assert not copy._shards
    assert _sum(copy) == known
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(_sum, opened).result() == known


def test_index_lines_are_plain_json(whole):
    for line in (whole / "index.jsonl").read_text().splitlines():
        fields = json.loads(line)
        assert list(fields) == [f.name for f in dataclasses.fields(store_module.Entry)]


@pytest.mark.parametrize("name", [".lock", "index.jsonl", "features-00007.f32", "spec.json"])
def test_nothing_is_written_through_a_link(broken, few, tmp_path, name):
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    (broken / name).unlink(missing_ok=True)
    (broken / name).symlink_to(target)
    for write in (lambda: extract(few, broken, SPEC), lambda: repair(broken)):
        with pytest.raises(StoreError):
            write()
    assert target.read_bytes() == b"precious"
    if name != "spec.json":  # which is read first, and is none
        with pytest.raises(StoreError, match=f"{name}: is a link, and writing into this folder"):
            extract(few, broken, SPEC)
