"""Markdown of the reference, from the code alone: commands, settings, public Python names."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

import singerid
from singerid.cli import _parser
from singerid.config import PRESETS, Config

SETTINGS = " settings"  # how `singerid.flags` ends the title of a section's flags
MORE = ("singerid.singer_loss.SingerLoss",)
"""Names beside `singerid.__all__` that pages for users speak of."""
COMMANDS = """# Commands

What `singerid COMMAND --help` says. Every command that takes settings also takes `--config FILE`
and `--preset NAME`; each setting is a flag `--section.name VALUE` ([settings](settings.md)). The
exit status is 0 if all was done, 1 after an error or if some items of a batch failed, 2 for wrong
usage, 130 after Ctrl-C.
"""
SETTINGS_HEAD = """# Settings

Defaults, then `--preset`, then `--config file.yaml`, then flags (`--batch.n_singers 32`); later
ones win. `singerid config` prints all of them as a file that `--config` reads. A wrong name or
value is refused, one line each. A square bracket takes the bound in, a round one leaves it out.
"""
PYTHON = """# Python

`from singerid import …` gives the names below, but for `SingerLoss` (`singerid.singer_loss`);
nothing of PyTorch is imported before something needs it. [From Python](../python.md) shows them
at work.
"""


def commands_page() -> str:
    """Every sub-command with its own arguments; of settings, the sections that it takes."""
    return "\n".join([COMMANDS, *(_command(*named) for named in subcommands(_parser()))])


def subcommands(
    parser: argparse.ArgumentParser, name: str = "singerid"
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Full name and parser of each command, groups of commands left out."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, sub in action.choices.items():
                yield from subcommands(sub, f"{name} {word}")
            return
    yield name, parser


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    own = [
        action for action in parser._actions
        if "." not in action.dest and action.dest not in ("help", "config", "preset")
    ]  # fmt: skip
    required = [action for action in own if not action.option_strings or action.required]
    usage = " ".join([name, *(_usage(action) for action in required), "[options]"])
    lines = [f"## {name}\n", f"{parser.description}\n", f"```text\n{usage}\n```\n"]
    lines += [f"- {_names(action)}: {_help(parser, action)}" for action in own]
    titles = [group.title or "" for group in parser._action_groups]
    sections = [title.removesuffix(SETTINGS) for title in titles if title.endswith(SETTINGS)]
    if sections:
        links = ", ".join(f"[{section}](settings.md#{section})" for section in sections)
        lines.append(f"\nSettings: {links}")
    return "\n".join([*lines, ""])


def _usage(action: argparse.Action) -> str:
    name = _metavar(action)
    if action.option_strings:
        return f"{action.option_strings[0]} {name}"
    several = {"+": f"{name} [{name} ...]", "?": f"[{name}]", 2: f"{name} {name}"}
    return several.get(action.nargs, name) if action.nargs is not None else name


def _names(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{_metavar(action)}`"
    value = "" if action.nargs == 0 else _metavar(action)
    return ", ".join(f"`{name} {value}`".replace(" `", "`") for name in action.option_strings)


def _metavar(action: argparse.Action) -> str:
    """What stands for the value: "NAME" for an option that has choices."""
    if action.metavar or not action.option_strings:
        return str(action.metavar or action.dest)
    return "NAME" if action.choices else str(action.dest).upper()


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    default = "all cores" if action.dest == "workers" else action.default  # of this machine
    text = (action.help or "") % {"default": default, "prog": parser.prog}
    choices = ", ".join(f"`{choice}`" for choice in action.choices or ())
    return f"{text}: {choices}" if choices else text


def settings_page() -> str:
    """Every section: name, default, unit, range and help of each setting."""
    presets = ", ".join(f"`{name}`" for name in PRESETS)
    parts = [SETTINGS_HEAD, f"Presets: {presets}.\n"]
    for name, section in Config():
        parts += [f"## {name}\n", f"{(type(section).__doc__ or '').strip()}\n"]
        for key, field in type(section).model_fields.items():
            parts.append(_setting(f"{name}.{key}", field, getattr(section, key)))
        parts.append("")
    return "\n".join(parts)


def _setting(name: str, field: FieldInfo, default: object) -> str:
    """One setting as an item of a list."""
    extra: Any = field.json_schema_extra or {}
    flag = f", `{extra['flag']}`" if extra.get("flag") else ""
    shown = str(default).lower() if isinstance(default, bool) else default
    unit = f" {extra['unit']}" if extra.get("unit") else ""
    value = "none" if shown in ("", None) else f"`{shown}`{unit}"
    return f"- `{name}`{flag}: {field.description}. Default: {value}; {value_range(field)}"


def value_range(field: FieldInfo) -> str:
    """What a setting may be: choices, an interval ``[least, greatest]``, or the kind of value.

    A parenthesis instead of a bracket leaves the bound itself out.
    """
    if get_origin(field.annotation) is Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    if field.annotation is bool:
        return "`true` or `false`"
    if field.annotation not in (int, float):
        return "text"
    low, high, multiple = "(-∞", "∞)", ""
    for bound in field.metadata:
        match bound:
            case annotated_types.Ge(ge=least):
                low = f"[{_number(least)}"
            case annotated_types.Gt(gt=least):
                low = f"({_number(least)}"
            case annotated_types.Le(le=greatest):
                high = f"{_number(greatest)}]"
            case annotated_types.Lt(lt=greatest):
                high = f"{_number(greatest)})"
            case annotated_types.MultipleOf(multiple_of=number):
                multiple = f", multiple of {number}"
    kind = "whole, " if field.annotation is int else ""
    return f"{kind}{low}, {high}{multiple}"


def _number(value: Any) -> str:
    return "2³²" if value == 2**32 else f"{value:,}" if isinstance(value, int) else f"{value:g}"


def python_page() -> str:
    """A directive of mkdocstrings for each public name, and one for the exceptions."""
    names = [*(f"singerid.{name}" for name in singerid.__all__), *MORE]
    return PYTHON + "".join(f"\n::: {name}\n" for name in names)
