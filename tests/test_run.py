"""The run folder: made, described, found again, never overwritten by accident."""

import dataclasses
import json
import os
import shutil

import pytest
import torch
from matplotlib.image import imread

from singerid import run
from singerid.batches import BatchMaker
from singerid.config import read_config_file, resolve
from singerid.data import TrainingData
from singerid.errors import CheckpointError, SingeridError
from singerid.listing import Listing
from singerid.training_sections import BatchSettings


def make(path, store, notes="", config=None):
    run.make_run_folder(path, False)
    config = config or resolve({})
    data = TrainingData.from_store(config, store)
    run.describe_run(path, config, data, notes, "singerid train x")
    return path


def test_description_can_be_read_back(tmp_path, store):
    config = resolve({"train": {"steps": 77, "learning_rate": 3e-5}, "encoder": {"relu": False}})
    path = make(tmp_path / "a" / "run", store, "first\ntry ü", config)
    assert resolve(read_config_file(path / "config.yaml")) == config
    assert (path / "notes.txt").read_text("utf-8") == "first\ntry ü\n"
    provenance = json.loads((path / "provenance.json").read_text("utf-8"))
    assert provenance["command"] == "singerid train x"
    assert provenance["data"] == str(store.path.resolve())
    assert provenance["feature_fingerprint"] == store.spec.fingerprint()
    assert provenance["data_fingerprint"] == store.listing.fingerprint
    assert provenance["versions"]["torch"] == torch.__version__
    make(tmp_path / "b", store)
    assert (tmp_path / "b" / "notes.txt").read_text() == ""


def test_existing_run_is_kept_unless_told(tmp_path, store):
    path = make(tmp_path / "r", store)
    with pytest.raises(SingeridError, match=r"r: exists; found a run; go on with --resume, repl"):
        run.make_run_folder(path, False)
    (path / "ckpt_5.ckpt").touch()
    (path / "inputs").mkdir()
    assert run.make_run_folder(path, True) == path
    assert os.listdir(path) == []
    assert run.make_run_folder(path, False) == path  # empty: nothing to lose


NAMES = ("provenance.json", "inputs", "config.yaml", "notes.txt")


@pytest.mark.parametrize("name", ["config.yaml", "notes.txt", "provenance.json"])
def test_a_run_that_was_killed_when_it_began_can_be_replaced(tmp_path, store, monkeypatch, name):
    real = run.atomic_write

    def killed(path):
        if path.name == name:
            raise KeyboardInterrupt
        return real(path)

    monkeypatch.setattr(run, "atomic_write", killed)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "r", store)
    monkeypatch.undo()
    with pytest.raises(SingeridError, match=r"r: exists; found a run; go on with --resume, repl"):
        run.make_run_folder(tmp_path / "r", False)
    run.make_run_folder(tmp_path / "r", True)
    make(tmp_path / "r", store)
    assert not (tmp_path / "r" / ".begun").exists()


def test_a_run_that_was_killed_when_it_was_replaced_can_be_replaced(tmp_path, store, monkeypatch):
    path = make(tmp_path / "r", store)
    (path / "inputs").mkdir()

    def killed(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    monkeypatch.setattr(type(path), "iterdir", lambda self: iter(map(self.joinpath, NAMES)))
    with pytest.raises(KeyboardInterrupt):
        run.make_run_folder(path, True)
    monkeypatch.undo()
    assert sorted(os.listdir(path)) == [".begun", "config.yaml", "inputs", "notes.txt"]
    run.make_run_folder(path, True)
    assert os.listdir(path) == []


@pytest.mark.parametrize("name", ["notes.txt", "config.yaml", "provenance.json"])
def test_other_folders_are_never_deleted(tmp_path, name):
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / name).write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(SingeridError, match="found something that is not a run; choose anoth"):
            run.make_run_folder(folder, overwrite)
        with pytest.raises(SingeridError, match="exists; found something that is not a run"):
            run.make_run_folder(folder / name, overwrite)
    assert (folder / name).read_text() == "mine"


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SingeridError, match="run folder cannot be made; found Not a directory"):
        run.make_run_folder(tmp_path / "file" / "run", False)


def test_checkpoints_in_order_of_steps(tmp_path, store):
    path = make(tmp_path / "r", store)
    with pytest.raises(CheckpointError, match="r: run has no checkpoint to go on from; start aga"):
        run.latest_checkpoint(path)
    for name in ("ckpt_9.ckpt", "ckpt_100.ckpt", "ckpt_20.ckpt", "ckpt_200.part", "ckpt_x.ckpt"):
        (path / name).touch()
    assert [file.name for file in run.checkpoints(path)] == [
        "ckpt_9.ckpt", "ckpt_20.ckpt", "ckpt_100.ckpt",
    ]  # fmt: skip
    assert run.latest_checkpoint(str(path)) == path / "ckpt_100.ckpt"
    with pytest.raises(CheckpointError, match=r"is not a run folder; found no config.yaml"):
        run.latest_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="nowhere: is not a run folder"):
        run.latest_checkpoint(tmp_path / "nowhere")


def test_data_fingerprint_is_that_of_the_training_data(store):
    def of(*recordings):
        return Listing(recordings).fingerprint

    first, *rest = store.recordings
    before = store.listing.fingerprint
    assert of(*rest, first) == of(first, *rest) == before
    found = {before, of(*rest)}
    for change in (
        {"singer": "other"}, {"split": "test" if first.split != "test" else "train"},
        {"sha256": "0"}, {"id": "other"}, {"channel": "left"},
    ):  # fmt: skip
        found.add(of(dataclasses.replace(first, **change), *rest))
    assert len(found) == 7
    # Labels and the place of a file change nothing that is learned.
    assert of(dataclasses.replace(first, path="/x"), *rest) == before


def test_log_drops_the_lost_steps_of_a_killed_run(tmp_path):
    log = run.RunLog(tmp_path, 0)
    for step in (2, 4, 6):
        log.write("train", step, {"loss": 1 / 3, "nan": float("nan")})
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert lines[0] == '{"step": 2, "split": "train", "loss": 0.333333, "nan": NaN}'
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 3}x\n[3]\n{"stop": 3}\n')  # damaged
        file.write('{"step": 3, "spl')  # killed while writing
    run.RunLog(tmp_path, 4).write("valid", 4, {"loss": 0.5})
    assert (tmp_path / "log.jsonl").read_text().splitlines() == [
        *lines[:2], '{"step": 4, "split": "valid", "loss": 0.5}',
    ]  # fmt: skip
    run.RunLog(tmp_path, 0)
    assert (tmp_path / "log.jsonl").read_text() == ""


def test_input_pictures(tmp_path, store):
    settings = BatchSettings(n_singers=2, n_partials=2, partial_frames=32)
    run.save_input_pictures(tmp_path, BatchMaker(store, "train", settings, 0), "train", store.spec)
    names = sorted(os.listdir(tmp_path / "inputs"))
    assert names == ["train_0.png", "train_1.png"]
    pictures = [imread(tmp_path / "inputs" / name) for name in names]
    assert all(picture.std() > 0.05 for picture in pictures)
    assert (pictures[0] != pictures[1]).any()


def test_number_of_parameters():
    module = torch.nn.Linear(5, 3)
    assert run.n_parameters(module) == 18
    module.bias.requires_grad = False
    assert run.n_parameters(module) == 15


def test_nothing_is_written_through_a_link(tmp_path):
    target = tmp_path / "precious"
    target.write_text("precious")
    path = run.make_run_folder(tmp_path / "run", False)
    (path / "log.jsonl").symlink_to(target)
    says = pytest.raises(SingeridError, match=r"log.jsonl: is a link, and writing into this folder")
    with says, run.locked(path):
        run.RunLog(path, 0)
    assert target.read_text() == "precious"
