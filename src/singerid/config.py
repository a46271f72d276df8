"""The configuration: all sections together, presets, files; every problem said at once."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from singerid.errors import ConfigError
from singerid.formats import check_format
from singerid.resing_settings import ChannelSettings, ResingSettings
from singerid.sections import (
    CalibrateSettings,
    EmbedSettings,
    EvaluateSettings,
    ManifestSettings,
    PlotSettings,
    RobustnessSettings,
    Section,
    SegmentSettings,
    ServeSettings,
    TableSettings,
    TrialSettings,
)
from singerid.spec import (
    AudioSettings,
    FeatureSettings,
    FeatureSpec,
    MelSettings,
    PitchSettings,
    WorldSettings,
)
from singerid.training_sections import (
    AugmentSettings,
    BatchAugmentSettings,
    BatchSettings,
    EncoderSettings,
    LossSettings,
    TrainSettings,
    ValidationSettings,
    WhitenSettings,
)
from singerid.voicebank.spec import BankSettings

_MOST_VALUES = 100_000  # in a file


class ConfigErrors(ConfigError):
    """Every problem of a configuration, one line each."""

    def __init__(self, problems: list[ConfigError]) -> None:
        self.problems = problems
        Exception.__init__(self, "\n".join(str(problem) for problem in problems))


class Config(Section):
    """All sections. ``singerid config`` prints them with their help."""

    audio: AudioSettings = AudioSettings()
    features: FeatureSettings = FeatureSettings()
    mel: MelSettings = MelSettings()
    world: WorldSettings = WorldSettings()
    pitch: PitchSettings = PitchSettings()
    manifest: ManifestSettings = ManifestSettings()
    batch: BatchSettings = BatchSettings()
    augment: AugmentSettings = AugmentSettings()
    batch_augment: BatchAugmentSettings = BatchAugmentSettings()
    bank: BankSettings = BankSettings()
    resing: ResingSettings = ResingSettings()
    channel: ChannelSettings = ChannelSettings()
    encoder: EncoderSettings = EncoderSettings()
    loss: LossSettings = LossSettings()
    train: TrainSettings = TrainSettings()
    validation: ValidationSettings = ValidationSettings()
    whiten: WhitenSettings = WhitenSettings()
    embed: EmbedSettings = EmbedSettings()
    table: TableSettings = TableSettings()
    trials: TrialSettings = TrialSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    calibrate: CalibrateSettings = CalibrateSettings()
    robustness: RobustnessSettings = RobustnessSettings()
    segment: SegmentSettings = SegmentSettings()
    plot: PlotSettings = PlotSettings()
    serve: ServeSettings = ServeSettings()

    @property
    def feature_spec(self) -> FeatureSpec:
        """The sections that make up the front end."""
        return FeatureSpec(
            audio=self.audio, features=self.features, mel=self.mel, world=self.world,
            pitch=self.pitch,
        )  # fmt: skip

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.feature_spec  # its own check compares sections
        queries, partials = self.loss.n_queries, self.batch.n_partials
        if "prototypical" in self.loss.objective and queries >= partials:
            raise ValueError(
                f"loss.n_queries {queries} must be less than batch.n_partials {partials}: what is "
                "no query makes the prototype"
            )
        return self


ORIGINAL: dict[str, dict[str, Any]] = {
    "batch": {"n_singers": 8, "n_partials": 10, "partial_frames": 128},
    "encoder": {
        "kind": "lstm", "hidden_size": 768, "n_layers": 3, "dim": 256, "normalization": "none",
        "relu": True,
    },
    "loss": {"objective": "ge2e"},
    "train": {
        "steps": 100_000, "train_iters": 40, "val_iters": 40, "patience": 50,
        "optimizer": "adam", "learning_rate": 1e-4, "weight_decay": 0.0, "warmup_steps": 0,
        "schedule": "constant", "monitor": "ge2e_loss",
    },
}  # fmt: skip
"""What the original implementation trains."""


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries, later ones over earlier ones."""
    result: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            old = result.get(name)
            both = isinstance(old, dict) and isinstance(value, Mapping)
            result[name] = merge(old, value) if both and old is not None else value
    return result


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "default": {},
    "original": ORIGINAL,
    "small": merge(ORIGINAL, {
        "batch": {"n_singers": 16, "n_partials": 6, "partial_frames": 96},
        "encoder": {"hidden_size": 256, "n_layers": 1, "dim": 128, "relu": False},
        "loss": {"objective": "total"},
        "train": {
            "learning_rate": 1e-3, "train_iters": 100, "val_iters": 10, "steps": 2000,
            "patience": 10, "log_every": 50,
        },
    }),
    "tiny": merge(ORIGINAL, {
        "batch": {"n_singers": 2, "n_partials": 2, "partial_frames": 64},
        "encoder": {"hidden_size": 32, "n_layers": 1, "dim": 16, "relu": False},
        "train": {"train_iters": 5, "val_iters": 2, "steps": 10, "log_every": 5},
    }),
    "demo": merge(ORIGINAL, {
        "batch": {"n_partials": 8, "partial_frames": 64},
        "encoder": {"hidden_size": 128, "n_layers": 1, "dim": 64, "relu": False},
        "loss": {"objective": "total"},
        "train": {
            "learning_rate": 2e-3, "train_iters": 50, "val_iters": 5, "steps": 600,
            "log_every": 50, "patience": 6,
        },
    }),
}  # fmt: skip
"""Named starting points: what works best here, the original's recipe, and small copies of that."""


def read_config_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a YAML file of settings as nested dictionaries, not yet checked.

    Raises:
        ConfigError: unreadable, not YAML, or not a mapping.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        _check_size(values)
    except (OSError, ValueError, RecursionError, AttributeError, LookupError, TypeError,
            yaml.YAMLError) as error:  # fmt: skip
        # PyYAML: a date such as 2026-13-99 is a ValueError, "!!timestamp x" an AttributeError.
        raise ConfigError(
            "cannot read the configuration", where=path, found=" ".join(str(error).split())
        ) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError("not a mapping of sections", where=path, found=type(values).__name__)
    check_format(values.pop("format", 1), "configuration", path, ConfigError)
    return {name: {} if section is None else section for name, section in values.items()}


def _check_size(values: object) -> None:
    """Refuse what aliases blow up: "b: [*a, *a]", "c: [*b, *b]" and so on double it each time."""
    waiting, n = [values], 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple | set):
            waiting += value
        n += 1
        if n > _MOST_VALUES:
            raise ValueError(f"more than {_MOST_VALUES:,} values, with those that aliases repeat")


def resolve(values: Mapping[str, Any], where: object = "settings") -> Config:
    """Check nested values and fill in the defaults.

    Raises:
        ConfigErrors: one `ConfigError` per wrong key or value.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        lines = [_problem(detail, where) for detail in error.errors()]
        raise ConfigErrors(lines) from None


def _problem(detail: ErrorDetails, where: object) -> ConfigError:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] in ("extra_forbidden", "invalid_key"):
        known = _siblings(detail["loc"])
        close = difflib.get_close_matches(str(detail["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        return ConfigError(f"{key} is not a setting", where=where, do=hint)
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if not key or detail["type"] == "value_error":
        return ConfigError(f"{key}: {message}".removeprefix(": "), where=where)
    return ConfigError(
        f"{key} is not valid", where=where, found=repr(detail["input"])[:60],
        expected=message,
    )  # fmt: skip


def _siblings(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Config
    for part in location[:-1]:
        annotation = model.model_fields[str(part)].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)


def to_yaml(config: Config, comments: bool = True) -> str:
    """The configuration as YAML that `read_config_file` reads back, with help as comments."""
    lines = []
    for name, section in config:
        lines.append(f"{name}:")
        for key, value in section:
            field = type(section).model_fields[key]
            unprintable = isinstance(value, str) and not value.isprintable()
            style = '"' if unprintable else None  # on one line, whatever it is
            text = yaml.safe_dump(value, default_style=style, width=math.inf)
            text = text.removesuffix("...\n").strip()
            lines.append(f"  {key}: {text}" + (f"  # {describe(field)}" if comments else ""))
    return "\n".join(lines) + "\n"


def describe(field: FieldInfo) -> str:
    """Help of a setting with its unit."""
    extra = field.json_schema_extra
    unit = extra.get("unit") if isinstance(extra, dict) else None
    return f"{field.description}" + (f" [{unit}]" if unit else "")
