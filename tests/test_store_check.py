"""Damage of a store: whatever is changed is named, and only that is made again."""

import dataclasses
import json
import os
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from singerid import extraction, store_writer
from singerid.cli import main
from singerid.errors import SingeridError, StoreError
from singerid.extraction import extract
from singerid.locks import held
from singerid.records import Recording, read_recordings
from singerid.spec import FeatureSpec
from singerid.store import Store
from singerid.store_check import check, repair

SPEC = FeatureSpec(mel={"n_mels": 8})
N = 8
ROW = 32  # bytes


def record(path, seed, seconds):
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * 16000))
    soundfile.write(path, samples, 16000)
    return Recording(path.stem, f"s{seed}", str(path), seconds, 16000, sha256=2 * f"{seed:032x}")


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    folder = tmp_path_factory.mktemp("few")
    return [record(folder / f"r{i}.wav", i, 0.7 - i / 50) for i in range(N)]


@pytest.fixture(scope="module")
def whole(few, tmp_path_factory):
    """A store that was never interrupted, of shards with two recordings."""
    path = tmp_path_factory.mktemp("whole") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_writer, "SHARD_BYTES", 3100)
        extract(few, path, SPEC)
    return path


@pytest.fixture
def broken(whole, tmp_path, monkeypatch):
    """A copy of `whole` to be damaged."""
    monkeypatch.setattr(store_writer, "SHARD_BYTES", 3100)
    return Path(shutil.copytree(whole, tmp_path / "store"))


def content(path):
    return {f.name: f.read_bytes() for f in path.iterdir() if f.name != ".lock"}


def remade(broken, few, whole, monkeypatch):
    """Extract again, which must give the bytes of `whole`; the ids that it took."""
    done, real = [], extraction._analyze_one

    def count(recording, **settings):
        done.append(recording.id)
        return real(recording, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(extraction, "_analyze_one", count)
        extract(few, broken, SPEC)
    assert content(broken) == content(whole)
    assert check(broken).findings == []
    return done


def flip(file, offset, bit=0):
    data = bytearray(file.read_bytes())
    data[offset] ^= 1 << bit
    file.write_bytes(data)


def entries_of(path):
    return [json.loads(line) for line in (path / "index.jsonl").read_text().splitlines()]


def lines_of(result):
    lines = [str(finding) for finding in result.findings]
    assert all(len(line.splitlines()) == 1 for line in lines)
    return lines


# ---------------------------------------------------------------------------------------- frames


def test_an_intact_store(whole):
    before = content(whole)
    seen = []
    found = check(whole, seen.append)
    n_shards = len(list(whole.glob("*.f32")))
    assert n_shards == 4
    assert (found.findings, found.n_recordings, found.n_shards) == ([], N, n_shards)
    assert found.has_checksums
    assert sum(seen) == found.n_bytes == sum(f.stat().st_size for f in whole.glob("*.f32"))
    assert repair(whole).findings == []
    assert content(whole) == before


@pytest.mark.parametrize("which", [[0], [3], [N - 1], [2, 3], [0, 4, 6], [1, 2, 3, 4], range(N)])
def test_flipped_frames_are_named_taken_out_and_put_back(broken, few, whole, monkeypatch, which):
    entries = entries_of(broken)
    for i in which:
        file = broken / f"features-{entries[i]['shard']:05d}.f32"
        flip(file, (entries[i]["start"] + i) * ROW + i, i)
    expected = [
        f"{broken}/features-{entries[i]['shard']:05d}.f32: frames do not match their checksum; "
        f"found recording r{i}" for i in which
    ]  # fmt: skip
    assert lines_of(check(broken)) == expected
    found = repair(broken)
    assert lines_of(found) == expected
    assert found.n_recordings == N - len(which)
    with pytest.raises(StoreError, match=f"{len(which)} listed recordings have no features"):
        Store(broken)
    left = check(broken)
    assert [finding.what for finding in left.findings] == [
        "a listed recording has no features" for _ in which
    ]
    assert remade(broken, few, whole, monkeypatch) == [f"r{i}" for i in which]


def test_features_alone_puts_back_what_is_damaged(broken, few, whole, monkeypatch):
    flip(broken / "features-00000.f32", 100)
    flip(broken / "features-00001.f32", 100)
    made = remade(broken, few, whole, monkeypatch)
    assert made == ["r0", next(f"r{i}" for i, e in enumerate(entries_of(whole)) if e["shard"])]


@pytest.mark.parametrize("shard", [0, 1, 2])
def test_lost_shards(broken, few, whole, monkeypatch, shard):
    file = broken / f"features-{shard:05d}.f32"
    size = file.stat().st_size
    file.unlink()
    own = [e["id"] for e in entries_of(broken) if e["shard"] == shard]
    n = len(own)
    assert lines_of(check(broken)) == [
        f"{file}: shard is missing, {n} of {n} recordings are lost; expected {size} bytes"
    ]
    repair(broken)
    assert remade(broken, few, whole, monkeypatch) == own


@pytest.mark.parametrize("shard", [0, 1, 2])
@pytest.mark.parametrize("cut", [1, 40, 1200])
def test_cut_shards(broken, few, whole, monkeypatch, shard, cut):
    file = broken / f"features-{shard:05d}.f32"
    size = file.stat().st_size
    os.truncate(file, size - cut)
    own = [e for e in entries_of(broken) if e["shard"] == shard]
    lost = [e["id"] for e in own if (e["start"] + e["n_frames"]) * ROW > size - cut]
    assert lines_of(check(broken)) == [
        f"{file}: shard is cut short, {len(lost)} of {len(own)} recordings are lost; "
        f"found {size - cut} bytes; expected {size} bytes"
    ]
    repair(broken)
    assert remade(broken, few, whole, monkeypatch) == lost


def test_killed_while_filling_gaps(broken, few, whole, monkeypatch):
    for i in (1, 4, 6):
        entry = entries_of(whole)[i]
        flip(broken / f"features-{entry['shard']:05d}.f32", entry["start"] * ROW)
    real = store_writer.write_all

    def full(handle, data):
        if b'"r4"' in bytes(data):  # its frames are there, its line is not
            raise OSError(28, "No space left on device")
        real(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr(store_writer, "write_all", full)
        with pytest.raises(StoreError, match="cannot be written; found No space left"):
            extract(few, broken, SPEC)
    assert remade(broken, few, whole, monkeypatch) == ["r4", "r6"]


def test_nothing_is_lost_whose_audio_is_gone(broken, few):
    """Damage in one place takes no other recording with it."""
    flip(broken / "features-00000.f32", 0)
    (broken / "index.jsonl").write_bytes(
        (broken / "index.jsonl").read_bytes().replace(b'{"id": "r4"', b'{"id": r4"')
    )
    gone = [dataclasses.replace(r, path=f"{r.path}.gone") for r in few]
    result, opened = extract(gone, broken, SPEC)
    assert [str(f).split(":")[0] for f in result.failures] == [gone[0].path, gone[4].path]
    assert [r.id for r in opened.recordings] == ["r1", "r2", "r3", "r5", "r6", "r7"]
    for recording in opened.recordings:
        opened.check(recording.id)


# ----------------------------------------------------------------------------------------- index


@pytest.mark.parametrize("line", [0, 3, N - 1])
@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b"{", b"\xff\0", b"[" * 100_000, b'{"id": "r0"}']
)
def test_damaged_lines(broken, few, whole, monkeypatch, line, text):
    index = broken / "index.jsonl"
    lines = index.read_bytes().split(b"\n")
    lines[line] = text
    index.write_bytes(b"\n".join(lines))
    found = lines_of(check(broken))
    assert found[0].startswith(f"{index}:{line + 1}: index line is damaged; found ")
    assert found[1:] == [
        f"{broken}/recordings.jsonl: a listed recording has no features; found r{line}"
    ]
    repair(broken)
    assert remade(broken, few, whole, monkeypatch) == [f"r{line}"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("start", -1), ("n_frames", -3), ("shard", "0"), ("crc32", 1.5), ("start", None), ("id", 3),
     ("shard", 10**9), ("n_frames", 10**12), ("start", 10**30)],
)  # fmt: skip
def test_lines_that_say_the_impossible(broken, few, whole, monkeypatch, field, value):
    entries = entries_of(broken)
    entries[3][field] = value
    (broken / "index.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))
    assert check(broken).n_recordings == N - 1
    repair(broken)
    assert remade(broken, few, whole, monkeypatch) == ["r3"]


def test_a_line_that_took_the_id_of_a_later_one(broken, few, whole, monkeypatch):
    """As one flipped bit does it."""
    index = broken / "index.jsonl"
    index.write_text(index.read_text().replace('"id": "r2"', '"id": "r3"'))
    (finding,) = check(broken).findings
    assert str(finding).endswith("a listed recording has no features; found r2")
    repair(broken)
    assert remade(broken, few, whole, monkeypatch) == ["r2"]


def test_a_lost_index(broken, few, whole, monkeypatch):
    (broken / "index.jsonl").unlink()
    assert len(check(broken).findings) == N
    assert repair(broken).n_recordings == 0
    assert remade(broken, few, whole, monkeypatch) == [r.id for r in few]


@given(data=st.data())
def test_any_flipped_bit_is_found_and_put_right(whole, few, tmp_path_factory, data):
    """Of every file, wherever it is; what it costs is a few recordings made again at most."""
    broken = Path(shutil.copytree(whole, tmp_path_factory.mktemp("any") / "store"))
    names = sorted(content(whole))
    file = broken / data.draw(st.sampled_from(names))
    flip(file, data.draw(st.integers(0, file.stat().st_size - 1)), data.draw(st.integers(0, 7)))
    found = refused = None
    try:
        found = check(broken)
        repair(broken)
    except SingeridError as error:
        refused = str(error)
    assert found.findings if found else "spec.json" in refused
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_writer, "SHARD_BYTES", 3100)
        result, _ = extract(few, broken, SPEC)
    assert result.n_done <= 2
    assert content(broken) == content(whole)
    shutil.rmtree(broken.parent)


# ---------------------------------------------------------------------------- the store as a whole


def test_altered_list(broken, few, whole, monkeypatch):
    listing = broken / "recordings.jsonl"
    listing.write_text(listing.read_text().replace('"s3"', '"s4"'))  # another singer
    with pytest.raises(StoreError, match=r"recordings\.jsonl does not match its checksum; run sin"):
        Store(broken)
    assert lines_of(check(broken)) == [f"{listing}: does not match its checksum"]
    repair(broken)
    assert not listing.exists()
    assert lines_of(check(broken)) == [f"{broken}: the extraction was not finished"]
    assert remade(broken, few, whole, monkeypatch) == []


def test_unreadable_list(broken, few, whole, monkeypatch):
    (broken / "recordings.jsonl").write_bytes(b"\xff{")
    assert [finding.what for finding in repair(broken).findings] == [
        "does not match its checksum", "cannot read the manifest",
    ]  # fmt: skip
    assert remade(broken, few, whole, monkeypatch) == []


@pytest.mark.parametrize("spec", [b"", b"\xff", None, "other"])
def test_altered_spec(broken, few, whole, monkeypatch, spec):
    file = broken / "spec.json"
    if spec is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes().replace(b"256", b"257") if spec == "other" else spec)
    with pytest.raises(StoreError, match=r"spec\.json"):
        Store(broken)
    before = content(broken)
    for look in (check, repair):
        with pytest.raises(StoreError, match=r"spec\.json"):
            look(broken)
    assert content(broken) == before
    assert remade(broken, few, whole, monkeypatch) == []


@pytest.mark.parametrize("sums", [None, b"", b"[]", b'{"spec.json": 1'])
def test_stores_without_checksums_are_read(broken, few, whole, monkeypatch, sums):
    file = broken / "checksums.json"
    file.unlink()
    if sums is not None:
        file.write_bytes(sums)
    Store(broken)
    found = check(broken)
    assert not found.has_checksums
    assert lines_of(found) == ([] if sums is None else [f"{file}: is damaged"])
    repair(broken)
    assert check(broken).findings == []
    assert remade(broken, few, whole, monkeypatch) == []  # and there are checksums


def test_the_list_is_never_with_checksums_of_another(broken, few, monkeypatch):
    """A kill between the two files leaves no checksums, which is no damage."""

    def killed(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(extraction, "write_checksums", killed)
    with pytest.raises(KeyboardInterrupt):
        extract(few[:5], broken, SPEC)
    assert len(Store(broken).recordings) == 5
    assert check(broken).findings == []


def test_another_manifest_fills_gaps_too(broken, few):
    """In what order ever: all is right, and nobody's frames are overwritten."""
    for i in (0, 3, 5):
        entry = entries_of(broken)[i]
        flip(broken / f"features-{entry['shard']:05d}.f32", entry["start"] * ROW)
    changed = dataclasses.replace(few[4], sha256="new", path=few[1].path)
    order = [few[5], few[2], changed, few[0], few[7], few[3], few[1], few[6]]
    _, opened = extract(order, broken, SPEC)
    assert check(broken).findings == []
    taken = sorted((e.shard, e.start, e.end) for e in opened.entries.values())
    assert all(a[0] < b[0] or a[2] <= b[1] for a, b in pairwise(taken))  # no overlap
    np.testing.assert_array_equal(opened.features("r4"), opened.features("r1"))
    result, _ = extract(order, broken, SPEC)
    assert result.n_done == 0


# ---------------------------------------------------------------------------------- the commands


def call(capsys, *words):
    status = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err.splitlines()


def test_commands(broken, few, capsys):
    size = sum(f.stat().st_size for f in broken.glob("*.f32"))
    line = f"{broken}: 8 recordings intact in 4 shards, {size / 1e6:.1f} MB read, no damage"
    assert call(capsys, "store", "check", broken) == (0, [line], [])
    flip(broken / "features-00001.f32", 7)
    (broken / "checksums.json").unlink()
    status, out, err = call(capsys, "store", "check", broken)
    assert (status, out) == (1, [])
    assert err[0].startswith(f"warning: {broken}: no checksums of list and spec (an older")
    assert err[1].startswith(f"error: {broken}/features-00001.f32: frames do not match their chec")
    assert err[2].startswith(f"error: {broken}: 1 fault, 7 recordings intact; take the damage out")
    status, out, err = call(capsys, "store", "repair", broken)
    assert (status, len(out), err) == (0, 2, [])
    assert "features-00001.f32: frames do not match" in out[0]
    assert "1 fault taken out, run singerid features again" in out[1]
    extract(few, broken, SPEC)
    assert call(capsys, "store", "repair", broken)[1] == [line.replace(", no", "; no")]
    assert read_recordings(broken / "recordings.jsonl") == few


def test_refusals(broken, capsys, tmp_path):
    for command in ("check", "repair"):
        status, _, err = call(capsys, "store", command, tmp_path / "none")
        assert status == 1
        assert "is not a feature store; found no spec.json" in err[0]
    with held(broken / ".lock"):
        status, _, err = call(capsys, "store", "repair", broken)
        assert status == 1
        assert f"is being written by another process; found process {os.getpid()} on" in err[0]
        assert call(capsys, "store", "check", broken)[0] == 0  # reading is always allowed
