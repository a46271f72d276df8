"""The cache of vectors: what is written is found again, what does not fit is not."""

import numpy as np
import pytest

from singerid.embeddings import read_embeddings
from singerid.robustness import vector_cache
from singerid.robustness.vector_cache import VectorCache


def vector(seed):
    v = np.random.default_rng(seed).normal(size=8)
    return (v / np.linalg.norm(v)).astype("f4")


def test_what_is_put_is_found_again(tmp_path):
    cache = VectorCache(tmp_path / "new", "e")
    for i in range(3):
        cache.put(f"key {i}", vector(i), "short" if i == 1 else "")
    assert not (tmp_path / "new").exists()
    cache.flush()
    cache.flush()
    (path,) = (tmp_path / "new").iterdir()
    assert read_embeddings(path).ids == ["key 0", "key 1", "key 2"]
    again = VectorCache(tmp_path / "new", "e")
    assert len(again) == 3
    for i, remark in enumerate(["", "short", ""]):
        found = again.get(f"key {i}")
        np.testing.assert_array_equal(found[0], vector(i))
        assert found[1] == remark
    assert again.get("key 3") is None
    again.put("key 3", vector(3))
    again.flush()
    assert len(VectorCache(tmp_path / "new", "e")) == 4
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_files_are_written_on_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(vector_cache, "_ROWS", 2)
    cache = VectorCache(tmp_path, "e")
    for i in range(5):
        cache.put(f"{i}", vector(i))
    assert len(VectorCache(tmp_path, "e")) == 4


def test_other_encoders_and_damaged_files_are_not_used(tmp_path):
    for encoder in ("e", "f"):
        cache = VectorCache(tmp_path, encoder)
        cache.put("key", vector(ord(encoder)))
        cache.flush()
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    warnings = []
    cache = VectorCache(tmp_path, "f", warnings.append)
    np.testing.assert_array_equal(cache.get("key")[0], vector(ord("f")))
    (line,) = warnings
    assert line.startswith("not used: ")
    assert "broken.parquet: cannot read embeddings" in line
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("folder", [None, "missing"])
def test_nothing_is_there_at_first(folder, tmp_path):
    cache = VectorCache(folder and tmp_path / folder, "e")
    assert len(cache) == 0
    cache.put("key", vector(0))
    cache.flush()
    assert cache.get("key")[1] == ""
    assert (tmp_path / "missing").exists() == (folder == "missing")
