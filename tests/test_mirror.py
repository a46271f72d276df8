"""Folders elsewhere: a store is made, read, changed and gone on with through its mirror."""

import json
import secrets
import shutil
import threading

import numpy as np
import pytest
import soundfile

from singerid import mirror, remote
from singerid.errors import StoreError
from singerid.extraction import extract
from singerid.locks import held
from singerid.mirror import mirror_of, mirrored, pulled
from singerid.records import Recording
from singerid.spec import FeatureSpec
from singerid.store import Store

RATE = 16000
SPEC = FeatureSpec()


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv(mirror.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "PAUSES", (0.0,))


@pytest.fixture
def url():
    return f"memory://{secrets.token_hex(4)}/store"


@pytest.fixture
def recordings(tmp_path):
    rng = np.random.default_rng(0)
    found = []
    for i in range(4):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, rng.normal(0, 0.1, RATE), RATE)
        found.append(Recording(f"r{i}", "s", str(path), 1.0, RATE, sha256=f"{i}"))
    return found


def elsewhere(url):
    """Content of the files there."""
    system, root = remote.file_system(url)
    return {
        path.rpartition("/")[2]: system.cat_file(path) for path in system.find(root)
    }  # fmt: skip


def another_machine(monkeypatch, tmp_path):
    monkeypatch.setenv(mirror.VARIABLE, str(tmp_path / secrets.token_hex(4)))


def test_a_store_elsewhere_has_the_bytes_of_one_here(url, recordings, tmp_path, monkeypatch):
    extract(recordings, url, SPEC)
    extract(recordings, tmp_path / "here", SPEC)
    here = {f.name: f.read_bytes() for f in (tmp_path / "here").iterdir() if f.name[0] != "."}
    assert elsewhere(url) == here
    another_machine(monkeypatch, tmp_path)
    store = Store(url)
    assert [r.id for r in store.recordings] == ["r0", "r1", "r2", "r3"]
    for recording in recordings:
        store.check(recording.id)


def test_another_machine_goes_on(url, recordings, tmp_path, monkeypatch):
    extract(recordings[:2], url, SPEC)
    another_machine(monkeypatch, tmp_path)
    result, store = extract(recordings, url, SPEC)
    assert (result.n_present, result.n_done) == (2, 2)
    assert len(store.recordings) == 4
    monkeypatch.setenv(mirror.VARIABLE, str(tmp_path / "cache"))  # the first one sees it
    assert len(Store(url).recordings) == 4


def test_only_what_has_changed_is_sent(url, recordings, monkeypatch):
    extract(recordings, url, SPEC)
    sent = []
    put = mirror.put
    monkeypatch.setattr(
        mirror, "put", lambda file, *rest: (sent.append(file.name), put(file, *rest))
    )
    monkeypatch.setattr(mirror, "fetch", None)
    Store(url)
    with mirrored(url):
        pass
    assert sent == []
    with mirrored(url) as folder:
        (folder / "spec.json").write_text("{}")
        (folder / "new.f32").write_bytes(b"x")
        (folder / "half.part").write_bytes(b"x")
    assert sent == ["new.f32", "spec.json"]
    assert elsewhere(url)["spec.json"] == b"{}"


def test_what_was_made_before_an_error_is_sent(url):
    with pytest.raises(ZeroDivisionError), mirrored(url) as folder:
        (folder / "features").write_bytes(b"x") / 0
    assert elsewhere(url) == {"features": b"x"}


def test_a_killed_process_leaves_its_work_in_the_mirror(url, recordings, monkeypatch):
    extract(recordings[:2], url, SPEC)
    with monkeypatch.context() as patch:
        patch.setattr(mirror._Mirror, "push", lambda self: None)  # it never came to that
        extract(recordings[:3], url, SPEC)
    result, _ = extract(recordings, url, SPEC)
    assert (result.n_present, result.n_done) == (3, 1)
    assert len(Store(url).recordings) == 4


def test_checksums_that_were_taken_away_are_not_fetched_again(url, recordings):
    extract(recordings, url, SPEC)
    checksums = mirror_of(url) / "checksums.json"
    checksums.unlink()  # as the writer does before it changes what they are of
    assert not (pulled(url) / "checksums.json").exists()


def test_a_mirror_that_was_deleted_is_made_again(url, recordings):
    extract(recordings, url, SPEC)
    (mirror_of(url) / "features-00000.f32").unlink()
    Store(url).check("r0")
    shutil.rmtree(mirror_of(url))
    Store(url).check("r0")


def test_a_damaged_state_costs_a_transfer_only(url, recordings):
    extract(recordings, url, SPEC)
    (mirror_of(url) / ".mirror.json").write_text("{")
    Store(url).check("r0")
    assert json.loads((mirror_of(url) / ".mirror.json").read_text())


def test_refused(url, tmp_path):
    with pytest.raises(StoreError, match=r"store: does not exist, or is empty$"):
        Store(url)
    (tmp_path / "cache" / "mirrors").mkdir(parents=True, exist_ok=True)
    folder = mirror_of(url)
    lock = folder.with_name(f"{folder.name}.mirror.lock")
    with (
        held(lock),
        pytest.raises(StoreError, match="another process of this machine; found"),
        mirrored(url),
    ):
        pass


def test_a_reader_waits_for_another(url, recordings):
    extract(recordings, url, SPEC)
    folder = mirror_of(url)
    lock = held(folder.with_name(f"{folder.name}.mirror.lock"))
    lock.__enter__()
    timer = threading.Timer(0.3, lock.__exit__, (None, None, None))
    timer.start()
    assert len(Store(url).recordings) == 4
    timer.join()


def test_where_mirrors_are(monkeypatch, tmp_path):
    assert mirror_of("s3://b/x/store/") == mirror_of("s3://b/x/store") != mirror_of("s3://c/store")
    assert mirror_of("s3://b/../st ore").name.startswith("st_ore-")
    monkeypatch.delenv(mirror.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert mirror.cache_folder() == tmp_path / "singerid"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert mirror.cache_folder() == tmp_path / ".cache" / "singerid"
    assert pulled(tmp_path) == tmp_path
