"""Command-line flags made from the settings: one definition, shown and checked everywhere."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from singerid.config import PRESETS, Config, describe, merge, read_config_file, resolve
from singerid.sections import Section


def add_settings(parser: argparse.ArgumentParser, sections: Sequence[str]) -> None:
    """Add ``--config``, ``--preset`` and a dotted flag for every setting of some sections.

    A setting that the original implementation had keeps its short flag as well.
    """
    parser.add_argument("--config", metavar="FILE", help="YAML file of settings")
    parser.add_argument(
        "--preset", choices=sorted(PRESETS),
        help="starting point that the file and the flags change (default: default)",
    )  # fmt: skip
    defaults = Config()
    for name in sections:
        section: Section = getattr(defaults, name)
        group = parser.add_argument_group(f"{name} settings", (type(section).__doc__ or "").strip())
        for key, field in type(section).model_fields.items():
            extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
            flag = extra.get("flag")
            group.add_argument(
                *([str(flag)] if flag else []), f"--{name}.{key}", dest=f"{name}.{key}",
                metavar=_metavar(field.annotation), default=argparse.SUPPRESS,
                help=f"{describe(field)} (default: {getattr(section, key)})".replace("%", "%%"),
            )  # fmt: skip


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was set on the command line, as nested dictionaries."""
    values: dict[str, Any] = {}
    for name, value in vars(arguments).items():
        section, dot, key = name.partition(".")
        if dot:
            values.setdefault(section, {})[key] = value
    return values


def read_settings(arguments: argparse.Namespace, base: dict[str, Any] | None = None) -> Config:
    """Defaults < preset < `base` < ``--config`` < flags.

    `base` is what data, weights or a run that goes on demand.

    Raises:
        ConfigErrors: one line per wrong key or value.
    """
    layers = [PRESETS[arguments.preset or "default"], base or {}]
    if arguments.config:
        from_file = read_config_file(arguments.config)
        resolve(merge(*layers, from_file), arguments.config)  # so that errors name the file
        layers.append(from_file)
    return resolve(merge(*layers, given_settings(arguments)), "settings")


def _metavar(annotation: Any) -> str:
    choices = getattr(annotation, "__args__", None)
    if choices:
        return "|".join(str(choice) for choice in choices)
    return {int: "N", float: "X", bool: "true|false"}.get(annotation, "TEXT")
