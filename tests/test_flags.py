"""Flags: one per setting and the original's; defaults < preset < base < file < flags."""

import argparse

import pytest

from singerid.config import PRESETS, Config, ConfigErrors, describe
from singerid.errors import ConfigError
from singerid.flags import add_settings, given_settings, read_settings

SECTIONS = list(Config.model_fields)


def parser(sections=SECTIONS):
    result = argparse.ArgumentParser(allow_abbrev=False)
    add_settings(result, sections)
    return result


def settings(*argv, base=None):
    return read_settings(parser().parse_args(argv), base)


def test_nothing_given_is_the_default():
    assert settings() == Config()
    assert given_settings(parser().parse_args([])) == {}


@pytest.mark.parametrize("name", SECTIONS)
def test_every_setting_has_a_flag_that_reads_its_own_default(name):
    section = getattr(Config(), name)
    for key, value in section:
        config = settings(f"--{name}.{key}={value}")
        assert getattr(getattr(config, name), key) == value
        assert type(getattr(getattr(config, name), key)) is type(value)


@pytest.mark.parametrize(
    ("flag", "value", "name"),
    [
        ("-ti", 7, "train.train_iters"), ("-vi", 8, "train.val_iters"),
        ("-spb", 9, "batch.n_singers"), ("-ups", 11, "batch.n_partials"),
        ("-nt", 64, "batch.partial_frames"), ("-hs", 32, "encoder.hidden_size"),
        ("-es", 16, "encoder.dim"), ("-nl", 2, "encoder.n_layers"),
        ("-lri", 1e-3, "train.learning_rate"), ("-p", 5, "train.patience"),
        ("-stp", 99, "train.steps"),
    ],
)  # fmt: skip
def test_short_flags_of_the_original(flag, value, name):
    section, key = name.split(".")
    assert getattr(getattr(settings(flag, str(value)), section), key) == value


def test_every_short_flag_sets_its_setting_and_no_two_are_the_same():
    short = {
        field.json_schema_extra["flag"]: (name, key)
        for name, section in Config()
        for key, field in type(section).model_fields.items()
        if field.json_schema_extra["flag"]
    }
    for flag, (name, key) in short.items():
        value = getattr(getattr(Config(), name), key)
        assert given_settings(parser().parse_args([flag, str(value)])) == {name: {key: str(value)}}


def test_the_last_of_two_flags_wins_whichever_name_it_has():
    assert settings("-hs", "8", "--encoder.hidden_size", "16").encoder.hidden_size == 16
    assert settings("--encoder.hidden_size", "16", "-hs", "8").encoder.hidden_size == 8


def test_defaults_preset_base_file_flags(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("train: {patience: 4, steps: 44}\nmel: {n_mels: 44}\n")
    base = {"train": {"patience": 1, "seed": 1, "learning_rate": 0.5}, "audio": {"min_seconds": 1}}
    config = settings("--preset", "small", "--config", str(path), "--train.steps", "55", base=base)
    assert config.audio.min_seconds == 1  # base
    assert config.train.seed == 1
    assert config.train.learning_rate == 0.5 != PRESETS["small"]["train"]["learning_rate"]
    assert config.encoder.hidden_size == 256  # preset
    assert config.train.patience == 4  # file
    assert config.mel.n_mels == 44
    assert config.train.steps == 55  # flag
    assert config.train.val_iters == 10  # default


def test_problems_name_the_file_or_the_settings(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("train: {steps: 0}\nmel: {n_mells: 4}\n")
    with pytest.raises(ConfigErrors) as caught:
        settings("--config", str(path), "--train.patience", "0")
    assert str(caught.value).splitlines() == [
        f"{path}: mel.n_mells is not a setting; did you mean n_mels?",
        f"{path}: train.steps is not valid; found 0; expected greater than or equal to 1",
    ]
    with pytest.raises(ConfigErrors) as caught:
        settings("--train.patience", "x", "-hs", "1", "--encoder.relu", "maybe")
    assert [line.split(";")[0] for line in str(caught.value).splitlines()] == [
        "settings: encoder.hidden_size is not valid", "settings: encoder.relu is not valid",
        "settings: train.patience is not valid",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        settings("--config", str(tmp_path / "no.yaml"))


def test_values_of_all_kinds():
    config = settings(
        "--encoder.relu", "false", "--mel.floor_db", "-80", "--train.learning_rate", "2e-5",
        "--train.precision", "32", "--plot.color", "a b", "--mel.fmax", "4e3",
    )  # fmt: skip
    assert config.encoder.relu is False
    assert config.mel.floor_db == -80
    assert config.train.learning_rate == 2e-5
    assert config.train.precision == "32"
    assert config.plot.color == "a b"
    assert config.mel.fmax == 4000


def test_only_the_asked_sections_have_flags(capsys):
    with pytest.raises(SystemExit):
        parser(["batch"]).parse_args(["--train.steps", "5"])
    assert "unrecognized arguments: --train.steps" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parser().parse_args(["--train.step", "5"])  # no guessing
    with pytest.raises(SystemExit):
        parser().parse_args(["--preset", "huge"])
    said = capsys.readouterr().err.replace("'", "")  # which newer Pythons leave out
    assert "invalid choice: huge (choose from default, demo, original, small, tiny)" in said


def test_help_shows_each_setting_with_unit_and_default():
    text = " ".join(parser().format_help().split())
    for name, section in Config():
        assert f"{name} settings:" in text
        for key, field in type(section).model_fields.items():
            flag = field.json_schema_extra["flag"]
            assert f"{flag + ' ' if flag else ''}" in text
            assert f"--{name}.{key} " in text
            assert f"{describe(field)} (default: {getattr(section, key)})" in text.replace(
                "- ", "-"
            )
    assert "[Hz] (default: 16000)" in text
    assert "tsne|pca" in text
    assert "true|false" in text
