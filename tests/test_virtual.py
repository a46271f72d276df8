"""The virtual corpus: layout, splits, seeds, nothing half-written."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from singerid import virtual
from singerid.errors import ConfigError
from singerid.virtual import write_virtual_corpus

RATE = 16_000
COLUMNS = ["path", "corpus", "kind", "singer", "gender", "song", "split", "sample_rate", "duration"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root, done = tmp_path_factory.mktemp("virtual"), []
    table = write_virtual_corpus(root, 7, 2, seed=3, on_progress=done.append)
    assert done == [1] * 14
    assert table == root / "recordings.csv"
    return root


def rows_of(root):
    with open(root / "recordings.csv", encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames == COLUMNS
        return list(reader)


def test_corpus_lists_what_it_holds(corpus):
    rows = rows_of(corpus)
    files = {path.relative_to(corpus).as_posix() for path in corpus.rglob("*") if path.is_file()}
    assert files == {row["path"] for row in rows} | {"recordings.csv"}
    for row in rows:
        assert row["path"] == f"{row['split']}/{row['singer'].split(':')[1]}/{row['song']}.flac"
        assert (row["corpus"], row["kind"]) == ("virtual", "singing")
        info = soundfile.info(corpus / row["path"])
        assert (info.format, info.subtype, info.channels) == ("FLAC", "PCM_16", 1)
        assert info.samplerate == int(row["sample_rate"]) == RATE
        assert info.duration == pytest.approx(float(row["duration"]), abs=0.006)
        assert 6 <= info.duration <= 10
    audio = [soundfile.read(corpus / row["path"])[0] for row in rows]
    assert all(0.3 < np.abs(x).max() < 0.9 and abs(x.mean()) < 1e-3 for x in audio)
    assert len({x.tobytes() for x in audio}) == len(rows)


@pytest.mark.parametrize(("n", "held_out"), [(6, 2), (7, 2), (12, 2), (24, 4), (31, 5)])
def test_splits_are_two_thirds_a_sixth_and_a_sixth(n, held_out):
    splits = [virtual._split(i, n) for i in range(n)]
    assert {name: splits.count(name) for name in ("valid", "test")} == {
        "valid": held_out, "test": held_out,
    }  # fmt: skip
    for split in ("train", "valid", "test"):
        assert {"FM"[i % 2] for i in range(n) if splits[i] == split} == {"F", "M"}


def test_splits_are_disjoint_in_singers_with_both_genders(corpus):
    by_split = {}
    for row in rows_of(corpus):
        by_split.setdefault(row["split"], set()).add((row["singer"], row["gender"]))
    assert sorted(by_split) == ["test", "train", "valid"]
    assert len({name for group in by_split.values() for name, _ in group}) == 7
    assert sum(map(len, by_split.values())) == 7
    assert all({gender for _, gender in group} == {"F", "M"} for group in by_split.values())


def test_a_recording_depends_on_nothing_but_seed_singer_and_song(corpus, tmp_path):
    write_virtual_corpus(tmp_path / "a", 6, 1, seed=3, n_processes=2)
    for singer in (0, 1):
        virtual._write_song((tmp_path / "b", 4, singer, 0, "train"))

    def bytes_of(root):
        return {path.parts[-2:]: path.read_bytes() for path in Path(root).rglob("*.flac")}

    whole, part, other = bytes_of(corpus), bytes_of(tmp_path / "a"), bytes_of(tmp_path / "b")
    assert len(part) == 6
    assert all(whole[name] == content for name, content in part.items())
    assert all(whole[name] != content for name, content in other.items())


def test_every_singer_and_song_has_a_seed_of_its_own(tmp_path, monkeypatch):
    drawn = []

    def note(singer, song, generator, rate):
        drawn.append((dataclasses.replace(singer, name="", gender=""), song, generator.random()))
        return np.full(rate, 0.5, np.float32)

    monkeypatch.setattr(virtual, "sing", note)
    for seed in (0, 1):
        write_virtual_corpus(tmp_path, 6, 2, seed=seed)
    singers, songs, generators = zip(*drawn, strict=True)
    assert all(singers[k] == singers[k + 1] for k in range(0, 24, 2))
    assert len({singer.vibrato_hz for singer in singers}) == 12
    assert len(set(songs)) == len(set(generators)) == 24


def test_a_broken_off_corpus_leaves_no_half_file(tmp_path, monkeypatch):
    def half(file, *args, **kwargs):
        file.write(b"fLaC")
        raise KeyboardInterrupt

    monkeypatch.setattr(soundfile, "write", half)
    with pytest.raises(KeyboardInterrupt):
        write_virtual_corpus(tmp_path, 6, 1)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("n_singers", 5, 6), ("songs_per_singer", 0, 1), ("seed", -1, 0), ("n_processes", 0, 1)],
)
def test_too_small_a_corpus_is_refused(tmp_path, name, value, least):
    with pytest.raises(
        ConfigError, match=rf"^{name} too small; found {value}; expected at least {least}$"
    ):
        write_virtual_corpus(tmp_path, **{name: value})
    assert not list(tmp_path.iterdir())
