"""Model cards: what is in the run folder, what is unknown, and commands that work as pasted."""

import contextlib
import json
import re
import shlex
import shutil

import numpy as np
import pytest
import soundfile
import torch
import yaml

from singerid import run
from singerid.checkpoint import load_encoder, save_encoder
from singerid.cli import main
from singerid.config import resolve
from singerid.data import TrainingData
from singerid.encoders import build_encoder
from singerid.errors import CheckpointError
from singerid.model_card import write_model_card
from singerid.records import write_recordings

CONFIG = {
    "batch": {"n_singers": 2, "n_partials": 2, "partial_frames": 32},
    "encoder": {"kind": "lstm", "hidden_size": 16, "n_layers": 1, "dim": 8, "relu": False},
    "train": {"steps": 77, "learning_rate": 3e-5},
}
VALID = {"ge2e_loss": 0.5, "accuracy": 0.75, "eer": 0.2, "trial_eer": 0.1234}


def log_lines(n=30):
    for step in range(10, 10 * n + 1, 10):
        yield {"step": step, "split": "train", "ge2e_loss": 1.0, "accuracy": step / 1000}
        yield {"step": step, "split": "valid", **VALID, "trial_eer": 50 / (100 + step)}


@pytest.fixture
def folder(tmp_path, store):
    """A run as a training leaves it."""
    path, config = tmp_path / "my run", resolve(CONFIG)
    run.make_run_folder(path, False)
    run.describe_run(path, config, TrainingData.from_store(config, store), "", "train /home/me")
    torch.manual_seed(0)
    network = build_encoder(config.encoder, 80)
    provenance = {"step": 170, "valid": VALID}
    save_encoder(
        path / "encoder.safetensors", network.state_dict(), config.encoder, store.spec, 32,
        provenance,
    )  # fmt: skip
    lines = [json.dumps(line) + "\n" for line in log_lines()]
    (path / "log.jsonl").write_text("".join(lines), "utf-8")
    return path


def card_of(path, **more):
    file = write_model_card(path, **more)
    assert file == path / "MODEL_CARD.md"
    return file.read_text("utf-8")


def table(card, title):
    """Rows of the first table of a section."""
    section = card.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"]
    return rows[2:]


def front_matter(card):
    _, matter, body = card.split("---\n", 2)
    return yaml.safe_load(matter), body


def test_front_matter(folder):
    matter, body = front_matter(card_of(folder))
    assert body.startswith("\n# my run\n")
    assert matter["license"] == "unknown"
    assert matter["library_name"] == "singerid"
    assert matter["metrics"] == ["eer"]
    (result,) = matter["model-index"][0]["results"]
    assert result["metrics"][0] == {"type": "eer", "name": "equal error rate", "value": 0.1234}
    assert {"type", "name"} <= result["task"].keys() & result["dataset"].keys()
    given, _ = front_matter(card_of(folder, license="cc-by-4.0"))
    assert given["license"] == "cc-by-4.0"


def test_model_is_that_of_the_file(folder):
    rows = dict(table(card_of(folder), "Model"))
    file = load_encoder(folder)
    # LSTM: 4 · 16 · (80 + 16 + 2); linear: 16 · 8 + 8.
    assert rows["parameters"] == f"{4 * 16 * 98 + 136:,}"
    assert rows["partials"] == "32 frames (0.51 s), mean over them"
    assert rows["encoder"].startswith(file.fingerprint)
    assert "mel features, 80 values every 16 ms" in rows["input"]
    assert "kind lstm" in rows["architecture"]
    assert "hidden_size 16" in rows["architecture"]
    assert "depth" not in rows["architecture"]
    assert rows["licence of the weights"] == "unknown"


def test_training_data_are_counted(folder, store):
    card = card_of(folder)
    hours = sum(r.duration for r in store.recordings if r.split == "train") / 3600
    assert table(card, "Training data") == [
        ["train", "2", "4", f"{hours:.2f}", "virtual 4"],
        ["valid", "2", "4", table(card, "Training data")[1][3], "virtual 4"],
    ]
    assert f"Source: `{store.path.name}`" in card
    assert "it did not sing them anew" in card
    assert str(store.path.parent) not in card  # folders above are nobody's business
    assert "/home/me" not in card


def test_data_that_changed_or_are_gone_are_unknown(folder, store, tmp_path):
    made = json.loads((folder / "provenance.json").read_text("utf-8"))
    copied = tmp_path / "copy"
    copied.mkdir()
    write_recordings(copied / "recordings.jsonl", store.recordings[:-1])
    for data, reason in ((copied, "have changed since"), (tmp_path / "x", "are no longer where")):
        (folder / "provenance.json").write_text(json.dumps(made | {"data": str(data)}), "utf-8")
        card = card_of(folder)
        assert f"Singers and recordings: unknown, for the data {reason}" in card
        assert "| split |" not in card


def test_a_bank_is_said_to_be_sung_anew(folder, store, tmp_path):
    bank = tmp_path / "bank"
    bank.mkdir()
    (bank / "cepstrum.i8").touch()
    write_recordings(bank / "recordings.jsonl", store.recordings)
    made = json.loads((folder / "provenance.json").read_text("utf-8"))
    (folder / "provenance.json").write_text(json.dumps(made | {"data": str(bank)}), "utf-8")
    card = card_of(folder)
    assert "65% of the excerpts were sung anew from the analysis of a recording, 35% are" in card
    assert "each singer stood for 4 identities" in card
    assert table(card, "Training data")[0][:3] == ["train", "2", "4"]


def test_settings_that_differ_and_no_others(folder):
    card = card_of(folder)
    rows = {name: (value, usual) for name, value, usual in table(card, "Training")}
    assert rows["`train.learning_rate`"] == ("3e-05", "0.002")
    assert rows["`encoder.dim`"] == ("8", "192")
    assert "`train.seed`" not in rows
    assert "at a learning rate of 3e-05" in card
    assert "300 steps were done, each of 2 singers × 2 partials" in card


def test_figures_and_curve(folder):
    card = card_of(folder)
    assert "Measured at step 170 on singers that training did not see" in card
    section = card.split("\n## Validation\n")[1]
    assert "| `trial_eer` | 0.1234 | equal error rate of fixed trials;" in section
    curve = [row for row in table(card, "Validation") if len(row) == 5][1:]
    steps = [row[0] for row in curve if row[0] != "---"]
    assert steps[0] == "10"
    assert steps[-1] == "300"
    assert "170 (kept)" in steps
    assert len(steps) <= 9
    assert ["170 (kept)", "0.17", "0.75", "0.5", f"{50 / 270:.4g}"] in curve


def test_without_validation_nothing_is_claimed(folder, store):
    file = load_encoder(folder)
    save_encoder(
        folder / "encoder.safetensors", file.encoder.state_dict(), file.settings, store.spec, 32,
        {"step": 300, "valid": {}},
    )  # fmt: skip
    (folder / "log.jsonl").unlink()
    card = card_of(folder)
    assert "There was none: how well it tells singers apart is unknown." in card
    assert "an unknown number of steps were done" in card
    assert "model-index" not in card


def test_alarms_are_not_kept_quiet(folder):
    assert "Alarms" not in card_of(folder)
    card = card_of(folder, alarms=["step 40: validation is at chance; found EER 50%"])
    assert "\n## Alarms in training\n\n- step 40: validation is at chance;" in card


def test_commands_work_as_pasted(folder, monkeypatch, capsys, recordings):
    card = card_of(folder)
    monkeypatch.chdir(folder)
    for name, recording in zip(("one.wav", "two.wav"), recordings, strict=False):
        shutil.copy(recording.path, name)
    assert soundfile.info("one.wav").frames > 0
    (shell,) = re.findall(r"```bash\n(.*?)```", card, re.DOTALL)
    commands = [shlex.split(line) for line in shell.splitlines()]
    assert [command[:2] for command in commands] == [
        ["singerid", "verify"], ["singerid", "embed"], ["singerid", "table"]
    ]  # fmt: skip
    for command in commands:
        assert main(command[1:]) == 0
    (python,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    names = {}
    with contextlib.redirect_stdout(None):
        exec(python, names)
    assert np.linalg.norm(names["vector"]) == pytest.approx(1, abs=1e-5)
    for mentioned in ("evaluate", "calibrate"):
        assert f"`singerid {mentioned}`" in card
        with pytest.raises(SystemExit, match="0"):
            main([mentioned, "--help"])
    capsys.readouterr()


def test_names_cannot_break_the_page(folder, tmp_path):
    odd = tmp_path / "a|b\nc"
    shutil.copytree(folder, odd)
    card = card_of(odd)
    assert r"# a|b\nc" in card
    matter, _ = front_matter(card)
    assert matter["model-index"][0]["name"] == r"a|b\nc"


def test_what_is_no_run_is_refused(tmp_path, folder):
    with pytest.raises(CheckpointError, match="run has no encoder yet"):
        write_model_card(tmp_path)
    (folder / "provenance.json").unlink()
    with pytest.raises(CheckpointError, match=r"provenance\.json: provenance cannot be read; f"):
        write_model_card(folder)
    assert not (folder / "MODEL_CARD.md").exists()


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", '{"versions": 1}', '{"format": 1e999}'])
def test_provenance_of_odd_kinds_is_refused(folder, text):
    path = folder
    (path / "provenance.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"provenance|version of the run format"):
        write_model_card(path)


@pytest.mark.parametrize("data", ["a\0b", "x" * 5000, "\ud800", "/dev/zero", 10**30, None, []])
def test_data_that_cannot_be_found_are_unknown(folder, data):
    path = folder
    made = json.loads((path / "provenance.json").read_text()) | {"data": data}
    (path / "provenance.json").write_text(json.dumps(made))
    assert "no longer where they were" in write_model_card(path).read_text("utf-8", "replace")


def test_damaged_lines_of_the_log_are_left_out(folder):
    path = folder
    card = write_model_card(path).read_text()
    log = path / "log.jsonl"
    bad = ["{", "[1]", '{"step": 1}', '{"step": [], "split": "valid"}', "[" * 100_000, "\0"]
    log.write_text("\n".join(bad) + "\n" + log.read_text())
    assert write_model_card(path).read_text() == card
