"""The commands as a user types them: what they write, say and return, also on bad input."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from matplotlib.image import imread

from singerid import run
from singerid.checkpoint import load_encoder
from singerid.cli import main
from singerid.config import Config, read_config_file, resolve
from singerid.embeddings import read_embeddings
from singerid.records import read_recordings
from singerid.store import Store
from singerid.table import read_table

SMALL = [
    "--preset", "original", "--batch.n_singers", "2", "--batch.n_partials", "2",
    "--batch.partial_frames", "32",
    "--encoder.hidden_size", "16", "--encoder.n_layers", "1", "--encoder.dim", "8",
    "--encoder.relu", "false", "--train.train_iters", "2", "--train.val_iters", "1",
    "--train.precision", "32", "--train.learning_rate", "1e-2",
]  # fmt: skip
COMMANDS = [
    "manifest", "features", "voices", "resing", "train", "embed", "table", "trials", "evaluate",
    "leaderboard", "robustness", "calibrate", "verify", "identify", "plot", "export", "config",
    "demo",
]  # fmt: skip


class Result:
    """Exit status and lines of a command."""

    def __init__(self, arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                self.status = main([str(a) for a in arguments])
            except SystemExit as error:  # argparse
                self.status = error.code
        self.out, self.err = out.getvalue().splitlines(), err.getvalue().splitlines()
        self.errors = [line for line in self.err if line.startswith("error: ")]
        assert "Traceback" not in err.getvalue()


def call(*arguments):
    return Result(arguments)


def done(*arguments):
    """A command that must succeed without a remark."""
    result = call(*arguments)
    assert (result.status, result.err) == (0, [])
    return result


def refused(message, *arguments):
    """A command that must say one line, with status 1."""
    result = call(*arguments)
    assert result.status == 1
    assert len(result.err) == 1, result.err
    assert message in result.err[0]
    assert result.err[0].startswith("error: ")
    return result


@pytest.fixture(autouse=True, scope="module")
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "save_input_pictures", lambda *a: None)  # see test_run.py
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="module")
def job(corpus_csv, quick, tmp_path_factory):
    """The whole job: a folder with every result, and what the commands said."""
    at = tmp_path_factory.mktemp("job")
    said = {
        "manifest": done("manifest", corpus_csv, "--corpus", "csv", "-o", at / "manifest.jsonl"),
        "features": done("features", at / "manifest.jsonl", "-o", at / "store", "--workers", 1),
        "train": done(
            "train", at / "store", "-o", at / "run", "--notes", "a\nnote", "--train.steps", 4,
            *SMALL,
        ),
        "embed": done("embed", at / "store", "--encoder", at / "run", "-o", at / "e.parquet"),
        "table": done("table", at / "e.parquet", "-o", at / "t.parquet"),
        "evaluate": done("evaluate", at / "e.parquet", "-o", at / "report"),
        "plot": done("plot", at / "e.parquet", "-o", at / "map.png"),
    }  # fmt: skip
    return at, said


# the whole job


def test_manifest(job):
    at, said = job
    recordings = read_recordings(at / "manifest.jsonl")
    assert len(recordings) == 12
    assert len(said["manifest"].out) == 1
    for split in ("train", "valid", "test"):
        assert f"{split}: 2 singers, 4 recordings, 0.0" in said["manifest"].out[0]


def test_features_go_on_where_they_stopped(job):
    at, said = job
    assert "store: 12 recordings extracted, 0 were there (" in said["features"].out[0]
    assert len(Store(at / "store").recordings) == 12
    again = done("features", at / "manifest.jsonl", "-o", at / "store")
    assert "store: 0 recordings extracted, 12 were there (" in again.out[0]


def test_train(job):
    at, said = job
    names = {path.name.partition(".out.")[0] for path in (at / "run").iterdir()}
    assert names == {
        "config.yaml", "notes.txt", "provenance.json", "log.jsonl", "hparams.yaml", "events",
        "ckpt_4.ckpt", "encoder.safetensors", "saved_model.pt", "MODEL_CARD.md",
    }  # fmt: skip
    config = resolve(read_config_file(at / "run" / "config.yaml"))
    assert (config.train.steps, config.encoder.dim, config.encoder.relu) == (4, 8, False)
    provenance = json.loads((at / "run" / "provenance.json").read_text())
    assert provenance["command"].startswith(f"singerid train {at}/store -o {at}/run --notes 'a\n")
    assert load_encoder(at / "run").provenance["command"] == provenance["command"]
    out = said["train"].out
    assert [line.split()[1:3] for line in out if line.startswith("step ")] == [
        ["2", "train"], ["2", "valid"], ["4", "train"], ["4", "valid"],
    ]  # fmt: skip
    last = [json.loads(line) for line in (at / "run" / "log.jsonl").open()][-1]
    shown = next(line for line in out if line.startswith("step      4  valid"))
    assert f"ge2e {last['ge2e_loss']:.4f}  " in shown
    assert f"accuracy {100 * last['accuracy']:.1f}%" in shown
    assert f"EER {100 * last['eer']:.1f}%" in shown
    assert out[-1].startswith(f"{at}/run: ended at step 4, reached the step limit; best: enc")


def test_embeddings_and_table(job):
    at, said = job
    embeddings, table = read_embeddings(at / "e.parquet"), read_table(at / "t.parquet")
    assert embeddings.vectors.shape == (12, 8)
    assert embeddings.encoder == table.encoder == load_encoder(at / "run").fingerprint
    assert said["embed"].out == [
        f"{at}/e.parquet: 12 vectors of 8 dimensions, 6 singer(s), encoder {embeddings.encoder}"
    ]
    assert said["table"].out == [f"{at}/t.parquet: 6 singers, 12 recordings"]
    assert set(table.labels) >= {"gender", "corpus"}


def test_report_and_map(job):
    at, said = job
    assert {path.name for path in (at / "report").iterdir()} == {
        "report.html", "report.json", "trials.txt", "scores.txt", "det.png", "histogram.png",
    }  # fmt: skip
    report = json.loads((at / "report" / "report.json").read_text())
    assert report["encoder"] == read_embeddings(at / "e.parquet").encoder
    assert imread(at / "map.png").std() > 0.01
    assert "t-SNE of 12 recordings of 6 singers" in said["plot"].out[0]


def test_selected(job, tmp_path):
    at, _ = job
    done("embed", at / "manifest.jsonl", "--encoder", at / "run", "-o", tmp_path / "e.parquet",
         "--select", "split=test", "--select", "gender=F", "--workers", 1)  # fmt: skip
    found, whole = read_embeddings(tmp_path / "e.parquet"), read_embeddings(at / "e.parquet")
    rows = whole.where(["split=test", "gender=F"])
    assert list(found.ids) == list(rows.ids)
    assert len(found) == 2
    np.testing.assert_allclose(found.vectors, rows.vectors, atol=1e-5)  # files as the store
    done("table", at / "e.parquet", "-o", tmp_path / "t.parquet", "--select", "split!=test")
    assert len(read_table(tmp_path / "t.parquet")) == 4
    for command in ("table", "evaluate", "plot"):
        refused("--select: nothing fits; found gender=X", command, at / "e.parquet",
                "-o", tmp_path / "out.png", "--select", "gender=X")  # fmt: skip


def test_single_files(job, tmp_path):
    at, _ = job
    whole = read_embeddings(at / "e.parquet")
    files = [tmp_path / "a song ü.flac", tmp_path / "b\n.flac"]
    for row, file in enumerate(files):
        shutil.copy(whole.paths[row], file)
    out = tmp_path / "e.parquet"
    result = done("embed", *files, "--encoder", at / "run" / "encoder.safetensors", "-o", out)
    assert len(result.out) == 1
    found = read_embeddings(out)
    assert list(found.singers) == [str(file) for file in files]  # nobody said whose they are
    assert list(found.splits) == ["", ""]
    order = [found.singers.index(str(file)) for file in files]
    np.testing.assert_allclose(found.vectors[order], whole.vectors[:2], atol=1e-5)
    (tmp_path / "text.wav").write_text("only text, no sound in here")
    result = call("embed", files[0], tmp_path / "text.wav", "--encoder", at / "run", "-o", out)
    assert result.status == 1
    assert len(result.errors) == 2
    assert "text.wav: is not audio" in result.errors[0]
    assert result.errors[1] == "error: 1 of 2 recordings failed, the rest is done"
    assert list(read_embeddings(out).singers) == [str(files[0])]
    out.unlink()
    result = call("embed", tmp_path / "text.wav", "gone.wav", "--encoder", at / "run", "-o", out)
    assert result.status == 1
    assert len(result.errors) == 3
    assert not out.exists()


def test_config():
    result = done("config", "--preset", "small", "--train.steps", "77", "-hs", "99")
    import yaml

    shown = resolve(yaml.safe_load("\n".join(result.out)))
    assert (shown.train.steps, shown.encoder.hidden_size, shown.encoder.dim) == (77, 99, 128)
    assert any(line.startswith("  hidden_size: 99  # units of each") for line in result.out)


def test_resume(job, tmp_path):
    at, _ = job
    shutil.copytree(at / "run", tmp_path / "r")
    refused("r: run is already at step 4; raise the limit: --train.steps 8", "train", "--resume",
            tmp_path / "r")  # fmt: skip
    result = done("train", "--resume", tmp_path / "r", "--train.steps", "6")
    assert "steps 4 to 6" in "\n".join(result.out)
    assert (tmp_path / "r" / "ckpt_6.ckpt").exists()
    # A run that goes on remembers its new limit.
    refused("r: run is already at step 6; raise the limit: --train.steps 12", "train", "--resume",
            tmp_path / "r")  # fmt: skip
    whole = tmp_path / "whole"
    done("train", at / "store", "-o", whole, "--train.steps", 6, *SMALL)
    assert load_encoder(whole).fingerprint == load_encoder(tmp_path / "r").fingerprint
    assert (whole / "log.jsonl").read_text() == (tmp_path / "r" / "log.jsonl").read_text()


def test_ctrl_c_tells_how_to_go_on(job, tmp_path, monkeypatch):
    at, _ = job
    from singerid.commands import training

    true = training._Reporter.step

    def step(self, number, figures):
        if number == 3:
            os.kill(os.getpid(), signal.SIGINT)
        true(self, number, figures)

    monkeypatch.setattr(training._Reporter, "step", step)
    message = "stopped at step 3, everything is saved; go on with: singerid train --resume "
    refused(message + str(tmp_path), "train", at / "store", "-o", tmp_path / "r",
            "--train.steps", 4, *SMALL)  # fmt: skip
    monkeypatch.undo()
    done("train", "--resume", tmp_path / "r")
    assert load_encoder(tmp_path / "r").fingerprint == load_encoder(at / "run").fingerprint


# wrong usage


def test_run_that_exists(job):
    at, _ = job
    before = sorted(path.name for path in (at / "run").iterdir())
    refused("run: exists; found a run; go on with --resume, replace it with --overwrite, or choose",
            "train", at / "store", "-o", at / "run", *SMALL)  # fmt: skip
    refused("found something that is not a run; choose another folder",
            "train", at / "store", "-o", at / "store", "--overwrite", *SMALL)  # fmt: skip
    assert sorted(path.name for path in (at / "run").iterdir()) == before
    assert len(Store(at / "store").recordings) == 12


def test_overwrite(job, tmp_path):
    at, _ = job
    shutil.copytree(at / "run", tmp_path / "r")
    done("train", at / "store", "-o", tmp_path / "r", "--overwrite", "--train.steps", 1, *SMALL)
    assert (tmp_path / "r" / "ckpt_1.ckpt").exists()
    assert not (tmp_path / "r" / "ckpt_4.ckpt").exists()
    # A run is not lost to a command that cannot begin.
    test_only = tmp_path / "test_only"
    done("manifest", Path(read_recordings(at / "manifest.jsonl")[0].path).parents[2] /
         "recordings.csv", "--corpus", "csv", "-o", tmp_path / "m.jsonl",
         "--select", "split=test")  # fmt: skip
    done("features", tmp_path / "m.jsonl", "-o", test_only, "--workers", 1)
    refused("split 'train' has too few singers; found 0", "train", test_only, "-o",
            tmp_path / "r", "--overwrite", *SMALL)  # fmt: skip
    assert (tmp_path / "r" / "ckpt_1.ckpt").exists()
    refused("split 'train' has too few singers", "train", test_only, "-o", tmp_path / "n", *SMALL)
    assert not (tmp_path / "n").exists()


def test_train_needs_one_of_two(job, tmp_path):
    at, _ = job
    message = "give either -o RUN for a new run or --resume RUN to go on with one"
    refused(message, "train", at / "store")
    refused(message, "train", at / "store", "-o", tmp_path / "x", "--resume", at / "run")
    refused("give a store or manifest", "train", "-o", tmp_path / "x")
    refused("nowhere: is not a run folder; found no config.yaml", "train", "--resume", "nowhere")


def test_inputs_that_are_not_there_or_not_it(job, tmp_path):
    at, _ = job
    out, gone = tmp_path / "out", tmp_path / "gone"
    refused("gone: does not exist; expected a folder or CSV file", "manifest", gone, "-o", out)
    refused("gone: cannot read the manifest", "features", gone, "-o", out)
    refused("gone: is not a feature store; found no spec.json", "train", gone, "-o", out)
    refused("gone: does not exist; expected a run folder, an encoder file, model.onnx",
            "embed", at / "store", "--encoder", gone, "-o", out)  # fmt: skip
    refused("store: run has no encoder yet", "embed", at / "store", "--encoder", at / "store",
            "-o", out)  # fmt: skip
    refused("give one store and nothing else", "embed", at / "store", at / "manifest.jsonl",
            "--encoder", at / "run", "-o", out)  # fmt: skip
    refused("is a folder, but no feature store; make a manifest of it: singerid manifest",
            "embed", tmp_path, "--encoder", at / "run", "-o", out)  # fmt: skip
    for command in ("table", "evaluate", "plot"):
        refused("gone: cannot read embeddings", command, gone, "-o", out)
        refused("t.parquet: not a file of embeddings; found kind 'table'", command,
                at / "t.parquet", "-o", out)  # fmt: skip
        refused(": cannot read embeddings", command, at, "-o", out)
    (tmp_path / "empty").mkdir()
    refused("no recordings of corpus 'folder'", "manifest", tmp_path / "empty", "-o", out)
    assert not out.exists()


def test_store_of_another_spec(job, tmp_path):
    at, _ = job
    refused("store: holds features of another spec; found mel.n_mels 80, not 40", "features",
            at / "manifest.jsonl", "-o", at / "store", "--mel.n_mels", 40)  # fmt: skip
    few = tmp_path / "m.jsonl"
    few.write_text("\n".join((at / "manifest.jsonl").read_text().splitlines()[:1]))
    done("features", few, "-o", tmp_path / "other", "--mel.n_mels", 40)
    refused("other: store and encoder have different feature specs", "embed", tmp_path / "other",
            "--encoder", at / "run", "-o", tmp_path / "e.parquet")  # fmt: skip
    (tmp_path / "c.yaml").write_text("mel: {n_mels: 40}\n")
    refused("store: settings and store have different feature specs", "train", at / "store",
            "-o", tmp_path / "r", "--config", tmp_path / "c.yaml")  # fmt: skip


def test_every_wrong_setting_has_its_line(job, tmp_path):
    at, _ = job
    result = call("train", at / "store", "-o", tmp_path / "r", "--train.steps", "0",
                  "--encoder.dim", "many", "--train.learning_rate", "nan",
                  "--loss.ge2e", "hard")  # fmt: skip
    assert result.status == 1
    assert len(result.errors) == len(result.err) == 4
    for name in ("train.steps", "encoder.dim", "train.learning_rate", "loss.ge2e"):
        assert sum(name in line for line in result.errors) == 1
    assert not (tmp_path / "r").exists()
    file = tmp_path / "wrong.yaml"
    file.write_text("train: {stepps: 3}\nbatch: {n_singers: 1}\n")
    result = call("config", "--config", file)
    assert result.status == 1
    assert len(result.errors) == 2
    assert any("train.stepps is not a setting; did you mean steps?" in e for e in result.errors)
    assert all("wrong.yaml" in line for line in result.errors)


@pytest.mark.parametrize("name", ["train", "manifest", "table", "evaluate", "plot"])
def test_seed_that_no_generator_takes(name):
    refused(f"{name}.seed is not valid", "config", f"--{name}.seed", str(2**64))


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["sing"], ["manifest"], ["embed", "-o", "y"], ["train", "x", "--no.such", "1"],
        ["train", "x", "--step", "3"], ["manifest", "x", "-o", "y", "--corpus", "none"],
        ["table", "x", "-o", "y", "--preset", "huge"],
        ["features", "x", "-o", "y", "--workers", "a"],
    ],
)  # fmt: skip
def test_wrong_usage(arguments):
    result = call(*arguments)
    assert result.status == 2
    assert result.err[0].startswith("usage: singerid")


def test_version():
    from singerid import __version__

    assert done("--version").out == [f"singerid {__version__}"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    result = done(command, "--help")
    assert result.out[0].startswith(f"usage: singerid {command}")
    assert command in "\n".join(done("--help").out)
    if command == "train":
        text = " ".join(" ".join(result.out).split())
        for key, field in Config.model_fields["train"].annotation.model_fields.items():
            assert f"--train.{key}" in text
            assert str(field.description).replace("  ", " ") in text


def test_help_and_light_commands_need_no_torch(job, tmp_path):
    """Help loads nothing heavy; tables, evaluation and plots run without torch."""
    at, _ = job
    program = f"""
import contextlib, io, sys
from singerid.cli import main
heavy = {{"torch", "lightning", "matplotlib", "sklearn", "pyarrow", "av", "scipy.signal"}}
with contextlib.redirect_stdout(io.StringIO()):
    for command in {COMMANDS}:
        with contextlib.suppress(SystemExit):
            main([command, "--help"])
print(sorted(heavy & set(sys.modules)))
class NoTorch:
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError(name)
sys.meta_path.insert(0, NoTorch())
main(["table", {str(at / "e.parquet")!r}, "-o", {str(tmp_path / "t.parquet")!r}])
main(["evaluate", {str(at / "e.parquet")!r}, "-o", {str(tmp_path / "report")!r},
      "--evaluate.n_bootstrap", "0"])
main(["plot", {str(at / "e.parquet")!r}, "-o", {str(tmp_path / "m.png")!r}])
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.splitlines()[0] == "[]"
    assert {path.name for path in tmp_path.iterdir()} == {"t.parquet", "report", "m.png"}


@pytest.mark.parametrize("command", ["train", "embed", "demo"])
def test_missing_torch_is_named(command, job, tmp_path, monkeypatch):
    at, _ = job
    monkeypatch.setitem(sys.modules, "torch", None)
    arguments = {
        "train": [at / "store", "-o", tmp_path / "r"],
        "embed": [at / "store", "--encoder", at / "run", "-o", tmp_path / "e"],
        "demo": ["-o", tmp_path / "d"],
    }[command]
    result = refused("PyTorch is not installed; install it with: pip install 'singerid[train]'",
                     command, *arguments)  # fmt: skip
    assert result.out == []
    assert list(tmp_path.iterdir()) == []


# bad audio


@pytest.fixture(scope="module")
def bad_corpus(recordings, tmp_path_factory):
    """Two good singers, one with a single recording, and one whose files are all hopeless."""
    root = tmp_path_factory.mktemp("bad") / "my corpus ü"
    songs = [soundfile.read(r.path, dtype="float32")[0][:48_000] for r in recordings]

    def write(name, samples, rate=16000, **more):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate, **more)
        return path

    write("anna/one.wav", songs[0])
    write("anna/two  spaces.wav", songs[1])
    write("берта/line\nbreak.flac", songs[2])
    write("берта/six channels.wav", np.tile(songs[3][:, None], (1, 6)))
    write("single/only.wav", songs[4])
    write("single/copy of only.wav", songs[4])
    write("hopeless/clipped.wav", np.clip(50 * songs[5], -1, 1))
    write("hopeless/8k.wav", songs[6][::2], 8000)
    write("hopeless/192k.wav", np.repeat(songs[7], 12), 192000)
    write("hopeless/silent.wav", np.zeros(16000))
    write("hopeless/nan.wav", np.full(16000, np.nan, np.float32), subtype="FLOAT")
    write("hopeless/short.wav", songs[8][:1600])
    write("hopeless/no samples.wav", np.zeros(0))
    (root / "hopeless" / "text.wav").write_text("this is not a sound but words\n" * 9)
    (root / "hopeless" / "empty.wav").touch()
    whole = write("hopeless/truncated.wav", songs[9]).read_bytes()
    (root / "hopeless" / "truncated.wav").write_bytes(whole[: len(whole) // 2])
    (root / "hopeless" / "cover.jpg").touch()
    write("nobody's.wav", songs[0])
    return root


def test_bad_audio_is_named_and_the_rest_goes_on(bad_corpus, tmp_path):
    result = call("manifest", bad_corpus, "-o", tmp_path / "m.jsonl", "--manifest.valid_share", 0)
    assert result.status == 1
    for name, message in {
        "text.wav": "is not audio that libsndfile or FFmpeg can decode",
        "empty.wav": "is empty (0 bytes)",
        "truncated.wav": "is truncated",
        "no samples.wav": "holds no audio samples",
        "nobody's.wav": "belongs to no singer",
    }.items():
        assert len([e for e in result.errors if f"{name}: {message}" in e]) == 1, name
    assert result.errors[-1].endswith(" failed, the rest is done")
    assert len(result.errors) == 6
    copies = [line for line in result.err if line.startswith("warning: ")]
    assert len(copies) == 1
    assert "only.wav" in copies[0]
    recordings = read_recordings(tmp_path / "m.jsonl")
    assert len(recordings) == 11

    result = call("features", tmp_path / "m.jsonl", "-o", tmp_path / "store", "--workers", 2)
    assert result.status == 1
    for name, message in {
        "silent.wav": "is silent", "nan.wav": "holds samples that are not numbers",
        "short.wav": "is too short; found 0.10 s; expected at least 0.50 s",
    }.items():  # fmt: skip
        assert len([e for e in result.errors if f"{name}: {message}" in e]) == 1, name
    assert result.errors[-1] == "error: 3 of 11 recordings failed, the rest is done"
    assert len(result.errors) == 4
    warnings = [line for line in result.err if line.startswith("warning: ")]
    assert sorted(Path(line.partition(": ")[2].partition(": ")[0]).name for line in warnings) == [
        "8k.wav", "clipped.wav",
    ]  # fmt: skip
    assert len(result.err) == len(result.errors) + len(warnings)

    steps = ["--train.steps", 2, *SMALL]
    result = call("train", tmp_path / "store", "-o", tmp_path / "run", *steps)
    assert (result.status, result.errors) == (0, [])
    assert "1 of 4 singers have a single recording" in result.out[0]
    assert "warning: no validation singers" in result.out[1]
    done("embed", tmp_path / "store", "--encoder", tmp_path / "run", "-o", tmp_path / "e.parquet")
    embeddings = read_embeddings(tmp_path / "e.parquet")
    assert len(embeddings) == 8
    assert "берта/line\nbreak" in embeddings.ids
    done("table", tmp_path / "e.parquet", "-o", tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert dict(zip(table.singers, table.n_recordings, strict=True)) == {
        "anna": 2, "hopeless": 3, "single": 1, "берта": 2,
    }  # fmt: skip
    assert call("plot", tmp_path / "e.parquet", "-o", tmp_path / "m.png").status == 0
    assert call("evaluate", tmp_path / "e.parquet", "-o", tmp_path / "report").status == 0


def test_nothing_usable(bad_corpus, tmp_path):
    folder = tmp_path / "corpus" / "x"
    folder.mkdir(parents=True)
    for name in ("text.wav", "empty.wav"):
        shutil.copy(bad_corpus / "hopeless" / name, folder)
    result = call("manifest", folder.parent, "-o", tmp_path / "m.jsonl")
    assert result.status == 1
    assert len(result.errors) == 3
    assert not (tmp_path / "m.jsonl").exists()
    for name in ("silent.wav", "short.wav"):
        shutil.copy(bad_corpus / "hopeless" / name, folder)
    result = call("manifest", folder.parent, "-o", tmp_path / "m.jsonl")
    assert len(read_recordings(tmp_path / "m.jsonl")) == 2
    result = call("features", tmp_path / "m.jsonl", "-o", tmp_path / "store")
    assert result.status == 1
    for name in ("silent.wav", "short.wav"):
        assert any(name in line for line in result.errors), name
    result = call("train", tmp_path / "store", "-o", tmp_path / "run")
    assert result.status == 1
    assert "the extraction was not finished" in result.err[0]


def test_one_name_in_two_splits(recordings, tmp_path):
    for number, place in enumerate(["train/anna", "train/berta", "valid/anna", "valid/carla"]):
        folder = tmp_path / "corpus" / place
        folder.mkdir(parents=True)
        shutil.copy(recordings[number].path, folder)
    result = call("manifest", tmp_path / "corpus", "-o", tmp_path / "m.jsonl")
    assert result.status == 1
    assert "anna: singer is in more than one split and was left out; found train (" in result.err[0]
    assert len(result.err) == 2
    singers = {(r.singer, r.split) for r in read_recordings(tmp_path / "m.jsonl")}
    assert singers == {("berta", "train"), ("carla", "valid")}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_unreadable_folder(recordings, tmp_path):
    for name in ("anna", "berta"):
        (tmp_path / "corpus" / name).mkdir(parents=True)
        shutil.copy(recordings[name == "anna"].path, tmp_path / "corpus" / name)
    (tmp_path / "corpus" / "anna").chmod(0)
    result = call("manifest", tmp_path / "corpus", "-o", tmp_path / "m.jsonl")
    (tmp_path / "corpus" / "anna").chmod(0o755)
    assert result.status == 1
    assert "anna: folder cannot be read; found Permission denied" in result.err[0]
    assert len(read_recordings(tmp_path / "m.jsonl")) == 1


# a full disk


@pytest.fixture
def small_disk(tmp_path):
    """A disk with 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_full_disk(job, small_disk, recordings):
    at, _ = job
    full = "No space left on device"
    refused(full, "features", at / "manifest.jsonl", "-o", small_disk / "store")
    refused("the extraction was not finished", "train", small_disk / "store", "-o", at / "none")
    shutil.rmtree(small_disk / "store")
    (small_disk / "filler").write_bytes(bytes(52 * 1024))
    refused(full, "plot", at / "e.parquet", "-o", small_disk / "map.png")
    result = call("train", at / "store", "-o", small_disk / "run", "--train.steps", 4, *SMALL)
    assert result.status == 1
    assert full in result.err[-1]
    assert len(result.errors) == 1
    assert not list((small_disk / "run").glob("*.ckpt"))
    shutil.rmtree(small_disk / "run")
    with contextlib.suppress(OSError), (small_disk / "more").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    for command, source, name in (
        ("embed", at / "store", "e.parquet"), ("table", at / "e.parquet", "t.parquet"),
        ("evaluate", at / "e.parquet", "report"),
    ):  # fmt: skip
        more = ["--encoder", at / "run"] if command == "embed" else []
        refused(full, command, source, "-o", small_disk / name, *more)
    corpus = Path(recordings[0].path).parents[2] / "recordings.csv"
    refused(full, "manifest", corpus, "--corpus", "csv", "-o", small_disk / "m.jsonl")
    left = {path.name for path in small_disk.rglob("*") if path.is_file()}
    assert left == {"filler", "more", ".run.lock"}


def test_output_that_cannot_be_written(job, tmp_path):
    at, _ = job
    (tmp_path / "file").touch()
    for command in ("table", "plot", "evaluate"):
        refused(f"{tmp_path}/file", command, at / "e.parquet", "-o", tmp_path / "file" / "x.png")
    refused("run folder cannot be made", "train", at / "store", "-o", tmp_path / "file" / "run",
            *SMALL)  # fmt: skip
    refused("Is a directory", "table", at / "e.parquet", "-o", tmp_path)


def test_damaged_results_are_refused(job, tmp_path):
    at, _ = job
    data = (at / "e.parquet").read_bytes()
    (tmp_path / "e.parquet").write_bytes(data[: len(data) // 2])
    refused("e.parquet: cannot read embeddings", "table", tmp_path / "e.parquet", "-o",
            tmp_path / "t")  # fmt: skip
    data = (at / "run" / "encoder.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(data[:-8])
    refused("x.safetensors: is not an encoder file", "embed", at / "store", "--encoder",
            tmp_path / "x.safetensors", "-o", tmp_path / "e")  # fmt: skip
    assert pq.read_table(at / "e.parquet").num_rows == 12


def test_interrupted_command(job, tmp_path, monkeypatch):
    at, _ = job

    def stop(*more):
        raise KeyboardInterrupt

    monkeypatch.setattr("singerid.table.write_table", stop)
    result = call("table", at / "e.parquet", "-o", tmp_path / "t")
    assert (result.status, result.err) == (130, ["interrupted"])


@pytest.mark.parametrize("command", ["plot e.parquet", "train store", "evaluate e.parquet"])
def test_a_url_is_no_local_name(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*command.split(), "-o", "s3://bucket/x"]) == 1
    assert capsys.readouterr().err == (
        "error: --output: this command writes to this machine only; found s3://bucket/x; give a "
        "local name, and copy what comes out\n"
    )
    assert list(tmp_path.iterdir()) == []
