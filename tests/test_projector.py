"""Projector files, read as TensorBoard reads them."""

import csv

import numpy as np
import pytest
from google.protobuf import text_format
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.projector import projector_plugin
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from singerid.errors import SingeridError
from singerid.projector import write_projector
from singerid.records import Recording


def recordings(n):
    return [
        Recording(f"r{i}", f"s{i // 2}", f"/home/me/{i}.wav", 1.0, 16000, split="valid",
                  sha256="ab", labels={"song": "a\tb\nc", "gender": "f"} if i else {})
        for i in range(n)
    ]  # fmt: skip


def test_files_hold_vectors_and_labels(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((6, 5))
    path = write_projector(tmp_path, vectors, recordings(6), 'best "so far"')
    config = text_format.Parse(path.read_text("utf-8"), ProjectorConfig())
    (embedding,) = config.embeddings
    assert embedding.tensor_name == "best 'so far'"
    found = np.loadtxt(tmp_path / embedding.tensor_path)
    np.testing.assert_allclose(found, vectors, rtol=1e-5)
    with (tmp_path / embedding.metadata_path).open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    assert header == ["id", "singer", "split", "gender", "song"]  # no paths
    assert rows[0] == ["r0", "s0", "valid", "", ""]
    assert rows[3] == ["r3", "s1", "valid", "f", r"a\tb\nc"]
    assert len(rows) == 6


def test_tensorboard_finds_it(tmp_path):
    folder = tmp_path / "run"
    write_projector(folder, np.eye(4), recordings(4))
    context = TBContext(logdir=str(tmp_path), multiplexer=EventMultiplexer())
    plugin = projector_plugin.ProjectorPlugin(context)
    configs, _ = plugin._read_latest_config_files([("run", str(folder))])
    shown = configs["run"].embeddings[0]
    assert shown.tensor_name == "validation"
    read = projector_plugin._read_tensor_tsv_file(str(folder / shown.tensor_path))
    np.testing.assert_array_equal(read, np.eye(4))
    assert (folder / shown.metadata_path).exists()


def test_a_new_map_replaces_the_old_one(tmp_path):
    write_projector(tmp_path, np.eye(6), recordings(6))
    write_projector(tmp_path, np.eye(4), recordings(4))
    for name, n_lines in (("vectors.tsv", 4), ("labels.tsv", 5)):
        assert len((tmp_path / "projector" / name).read_text("utf-8").splitlines()) == n_lines


@pytest.mark.parametrize("vectors", [np.eye(3), np.ones(4), np.ones((0, 4))])
def test_vectors_must_fit(tmp_path, vectors):
    with pytest.raises(SingeridError, match=r"vectors do not fit recordings; found shape .*, 4;"):
        write_projector(tmp_path, vectors, recordings(4))
    assert not list(tmp_path.iterdir())
