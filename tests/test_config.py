"""Configuration: every setting described, checked, merged, written and read back."""

import json
import typing

import annotated_types
import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from singerid.config import (
    PRESETS,
    Config,
    ConfigErrors,
    describe,
    merge,
    read_config_file,
    resolve,
    to_yaml,
)
from singerid.errors import ConfigError
from singerid.spec import FeatureSpec, fingerprint

SETTINGS = [
    (name, key, field)
    for name, section in Config()
    for key, field in type(section).model_fields.items()
]


def problems(values, where="settings"):
    """The lines of the errors that values give."""
    with pytest.raises(ConfigErrors) as caught:
        resolve(values, where)
    text = str(caught.value)
    assert text == "\n".join(map(str, caught.value.problems))
    assert len(text.splitlines()) == len(caught.value.problems)
    assert isinstance(caught.value, ConfigError)
    return text.splitlines()


# ------------------------------------------------------------------------------------ every setting


def test_defaults_are_valid():
    config = resolve({})
    assert config == Config()
    assert config.audio.sample_rate == 16000
    assert (config.mel.n_fft, config.mel.hop_length, config.mel.n_mels) == (1024, 256, 80)


def test_the_original_recipe():
    config = resolve(PRESETS["original"])
    encoder, batch = config.encoder, config.batch
    assert encoder.kind == "lstm"
    assert (encoder.hidden_size, encoder.n_layers, encoder.dim) == (768, 3, 256)
    assert (batch.n_singers, batch.n_partials, batch.partial_frames) == (8, 10, 128)
    assert (config.loss.objective, config.train.optimizer) == ("ge2e", "adam")
    assert (config.train.learning_rate, config.train.schedule) == (1e-4, "constant")


@pytest.mark.parametrize(
    ("name", "key", "field"), SETTINGS, ids=[f"{n}.{k}" for n, k, _ in SETTINGS]
)
def test_every_setting_has_help_and_a_checked_range(name, key, field):
    assert field.description
    assert field.description[-1] != "."
    text = describe(field)
    unit = field.json_schema_extra["unit"]
    assert text.startswith(field.description)
    assert text.endswith(f"[{unit}]") if unit else "[" not in text[-8:]
    lines = problems({name: {key: ["no", "list"]}})
    assert len(lines) == 1
    assert lines[0].startswith(f"settings: {name}.{key} is not valid; found ['no', 'list']; expec")
    if field.annotation in (int, float):
        for bound in field.metadata:
            for kind in ("ge", "gt", "le", "lt"):
                if (limit := getattr(bound, kind, None)) is not None:
                    outside = limit - 2 if kind[0] == "g" else limit + 2
                    (line,) = problems({name: {key: outside}})
                    assert line.startswith(f"settings: {name}.{key} is not valid; found {outside}")


@pytest.mark.parametrize("name", ["mel.fmax", "train.learning_rate", "mel.floor_db"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), "nan", "-inf"])
def test_no_setting_may_be_infinite_or_nan(name, value):
    section, key = name.split(".")
    (line,) = problems({section: {key: value}})
    assert line.startswith(f"settings: {name} is not valid; found ")


# ----------------------------------------------------------------------------------------- problems


def test_each_problem_has_its_line_and_names_the_file():
    lines = problems(
        {"mel": {"n_mel": 40, "n_fft": 1023}, "trian": {}, "train": {"steps": 0}, "x": 1}, "a.yaml"
    )
    assert lines == [
        "a.yaml: mel.n_fft is not valid; found 1023; expected a multiple of 2",
        "a.yaml: mel.n_mel is not a setting; did you mean n_mels?",
        "a.yaml: train.steps is not valid; found 0; expected greater than or equal to 1",
        "a.yaml: trian is not a setting; did you mean train?",
        f"a.yaml: x is not a setting; known here: {', '.join(Config.model_fields)}",
    ]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"mel": {"fmin": 5000, "fmax": 4000}},
         "settings: mel: fmin 5000 Hz must lie below fmax 4000 Hz"),
        ({"mel": {"hop_length": 2048}}, "settings: mel: hop_length 2048 exceeds n_fft 1024"),
        ({"audio": {"sample_rate": 8000}},
         "settings: mel.fmax 7600 Hz exceeds half of audio.sample_rate 8000 Hz"),
        ({"mel": {"highpass": 8000}},
         "settings: mel.highpass 8000 Hz must lie below half of audio.sample_rate 16000 Hz"),
        ({"manifest": {"valid_share": 0.7, "test_share": 0.3}},
         "settings: manifest: valid_share 0.7 and test_share 0.3 leave no singer for training"),
        ({"audio": 5}, "settings: audio is not valid; found 5; expected a valid dictionary"),
        ({"audio": {"sample_rate": "fast"}},
         "settings: audio.sample_rate is not valid; found 'fast'; expected a valid integer"),
        ({"train": {"precision": "16"}},
         "settings: train.precision is not valid; found '16'; expected 'auto', '32', 'bf16' or "
         "'fp16'"),
        ({"plot": {"color": "a\nb" * 99, "method": "pac"}},
         "settings: plot.method is not valid; found 'pac'; expected 'tsne', 'pca', 'umap' "
         "or 'opentsne'"),
        ({1: 2}, "settings: 1 is not a setting; known here: audio, features, mel"),
        ({"audio": {1: 2}}, "settings: audio.1 is not a setting; known here: sample_rate"),
        ({"audio": {"a\nb": 2}}, r"settings: audio.a\nb is not a setting; known here"),
    ],
)  # fmt: skip
def test_wrong_values(values, line):
    (found,) = problems(values)
    assert found.startswith(line)


def test_a_spec_is_checked_on_its_own():
    with pytest.raises(
        ValueError, match=r"mel\.fmax 7600 Hz exceeds half of audio\.sample_rate 8000"
    ):
        FeatureSpec(audio={"sample_rate": 8000})


def test_settings_cannot_be_changed_in_place():
    config = Config()
    with pytest.raises(ValueError, match="frozen"):
        config.audio.sample_rate = 8000


# -------------------------------------------------------------------------------------------- files


def test_yaml_numbers_in_scientific_notation(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("train:\n  learning_rate: 1e-4\n  steps: 1_000\nloss:\n  init_bias: -3\n")
    config = resolve(read_config_file(path))
    assert config.train.learning_rate == 1e-4
    assert isinstance(config.train.learning_rate, float)
    assert config.train.steps == 1000
    assert config.loss.init_bias == -3


def test_sections_whose_lines_are_all_commented_out_are_fine(tmp_path):
    (tmp_path / "c.yaml").write_text("audio:\n#  sample_rate: 8000\nmel:\n  n_mels: 40\n")
    config = resolve(merge(PRESETS["small"], read_config_file(tmp_path / "c.yaml")))
    assert config.audio == Config().audio
    assert config.mel.n_mels == 40


def test_an_empty_file_sets_nothing(tmp_path):
    (tmp_path / "c.yaml").write_text("# nothing\n")
    assert read_config_file(tmp_path / "c.yaml") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("audio: {", "cannot read the configuration; found while parsing a flow"),
        ("- a\n- b\n", "not a mapping of sections; found list"),
        ("5", "not a mapping of sections; found int"),
        ("train:\n  seed: 2026-13-99\n", "cannot read the configuration; found month must be in"),
        ("[" * 1500, "cannot read the configuration; found maximum recursion depth"),
        ("a: !!python/object:os.system x", "cannot read the configuration; found could not det"),
        ("\0", "cannot read the configuration; found unacceptable character #x0000"),
        (b"\xff\xfe\xfa", "cannot read the configuration; found 'utf-8' codec can't decode"),
        (None, "cannot read the configuration; found [Errno 2] No such file or directory"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        read_config_file(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert len(str(caught.value).splitlines()) == 1


def values_of(field):
    """Valid values of a setting, from its type and bounds."""
    if typing.get_origin(field.annotation) is typing.Literal:
        return st.sampled_from(typing.get_args(field.annotation))
    if field.annotation is bool:
        return st.booleans()
    if field.annotation is str:
        return st.text(st.characters(codec="utf-8"), max_size=120)
    low, high, step, open_low, open_high = -1000, None, 1, False, False
    for bound in field.metadata:
        match bound:
            case annotated_types.Ge(ge=x):
                low = x
            case annotated_types.Gt(gt=x):
                low, open_low = x, True
            case annotated_types.Le(le=x):
                high = x
            case annotated_types.Lt(lt=x):
                high, open_high = x, True
            case annotated_types.MultipleOf(multiple_of=x):
                step = x
    high = low + 1000 if high is None else high
    if field.annotation is int:
        low, high = int(low) + open_low, int(high) - open_high
        return st.integers(-(-low // step), high // step).map(lambda x: x * step)
    return st.floats(low, high, exclude_min=open_low, exclude_max=open_high)


sections = {
    name: st.fixed_dictionaries({k: values_of(field) for n, k, field in SETTINGS if n == name})
    for name in Config.model_fields
}
valid_values = st.fixed_dictionaries(sections)


def repair(values):
    """Make the settings that are checked against each other fit."""
    mel, rate = values["mel"], values["audio"]["sample_rate"]
    mel["fmin"] = min(mel["fmin"], rate / 8)
    mel["fmax"] = min(max(mel["fmax"], rate / 4), rate / 2)
    mel["highpass"] = min(mel["highpass"], rate / 4)
    mel["hop_length"] = min(mel["hop_length"], mel["n_fft"])
    values["manifest"]["valid_share"] *= 0.99  # the sum of two below 1 may be rounded to 1
    values["manifest"]["test_share"] *= 0.99 * (1 - values["manifest"]["valid_share"])
    augment = values["augment"]
    augment["snr_min_db"] = min(augment["snr_min_db"], augment["snr_max_db"])
    pitch, world = values["pitch"], values["world"]
    pitch["low"], pitch["high"] = min(pitch["low"], 126), max(pitch["high"], 1)
    pitch["low"] = min(pitch["low"], pitch["high"] - 1)
    world["fmax"] = max(world["fmax"], world["fmin"] + 1)
    for section, usual in (("resing", Config().resing), ("channel", Config().channel)):
        own = values[section]
        for low in [name for name in own if "min" in name.split("_") or "lowest" in name]:
            high = low.replace("min", "max").replace("lowest", "highest")
            if own[low] > own[high]:
                own[low], own[high] = getattr(usual, low), getattr(usual, high)
    values["bank"]["fmax"] = max(values["bank"]["fmax"], values["bank"]["fmin"] + 1)
    weight = len(values["loss"]["objective"]) + 1  # any text becomes a sum of losses
    values["loss"]["objective"] = f"{weight} aam + 0.5 prototypical"
    values["train"]["loggers"] = ["", "wandb", "mlflow, tensorboard"][weight % 3]
    values["loss"]["n_queries"] = min(
        values["loss"]["n_queries"], values["batch"]["n_partials"] - 1
    )
    if values["encoder"]["pooling"] == "last":
        values["encoder"]["kind"] = "lstm"
    values["encoder"]["channels"] = values["encoder"]["channels"] // 8 * 8
    if rate < 12000 or world["reduction"] == "world":
        values["features"]["stream"], pitch["condition"] = "mel", False
    if values["features"]["stream"] == "world":
        pitch["tracker"] = "world"
    return values


@hypothesis.settings(max_examples=15)  # each has a value for every setting
@given(valid_values.map(repair), st.booleans())
def test_any_configuration_is_written_and_read_back(tmp_path_factory, values, comments):
    config = resolve(values)
    text = to_yaml(config, comments)
    assert resolve(yaml.safe_load(text)) == config
    assert len(text.splitlines()) == sum(1 + len(type(s).model_fields) for _, s in config)
    assert ("  # " in text) >= comments
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    path.write_text(text, encoding="utf-8")
    assert resolve(read_config_file(path)) == config
    assert json.loads(json.dumps(config.model_dump())) == config.model_dump()


# ------------------------------------------------------------------------------- presets and layers


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_and_change_something(name):
    config = resolve(PRESETS[name])
    assert (config == Config()) == (name == "default")


def test_later_layers_win_value_by_value():
    layers = [{"a": {"x": 1, "y": 1, "z": 1}, "b": 1}, {"a": {"y": 2, "z": 2}}, {"a": {"z": 3}}]
    assert merge(*layers) == {"a": {"x": 1, "y": 2, "z": 3}, "b": 1}
    assert layers[0] == {"a": {"x": 1, "y": 1, "z": 1}, "b": 1}  # nothing is changed in place
    assert merge({"a": {"x": 1}}, {"a": 5}, {"a": {"y": 2}}) == {"a": {"y": 2}}
    assert merge() == {}


def test_fingerprints_tell_front_ends_apart():
    spec = FeatureSpec()
    assert spec.fingerprint() == FeatureSpec().fingerprint()
    assert len(spec.fingerprint()) == 12
    others = {
        FeatureSpec(mel={"n_mels": 40}).fingerprint(),
        FeatureSpec(mel={"dither": 0}).fingerprint(),
        FeatureSpec(audio={"min_seconds": 1}).fingerprint(),
    }
    assert len(others | {spec.fingerprint()}) == 4
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_spec_of_a_configuration():
    config = resolve({"mel": {"n_mels": 40, "hop_length": 200}, "audio": {"sample_rate": 20000}})
    assert config.feature_spec.n_dims == 40
    assert config.feature_spec.hop_seconds == 0.01


def bomb():
    """2¹²⁰ values in 120 lines."""
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 120)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (bomb(), "more than 100,000 values"),
        (bomb() + "\ntrain: {steps: *a99}", "more than 100,000 values"),
        ("train: &a {steps: *a}", "more than 100,000 values"),
        ("train: {steps: !!timestamp x}", "cannot read the configuration"),
        ("[" * 10_000, "cannot read the configuration"),
        ("train: !!python/object/apply:os.system [x]", "could not determine a constructor"),
    ],
)  # fmt: skip
def test_what_yaml_can_be_made_to_do(tmp_path, text, found):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=f"c.yaml: cannot read the configuration; found .*{found}|"
                       rf"c.yaml: {found}"):  # fmt: skip
        read_config_file(tmp_path / "c.yaml")
