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


def commands_page() -> str:
    """Every sub-command with its own arguments; of settings, the sections that it takes."""
    parts = [
        "# Commands\n\nFrom `singerid COMMAND --help`. Every command that takes settings also takes "
        "`--config FILE` and `--preset NAME`; each setting is a flag `--section.name VALUE` "
        "([settings](settings.md)). The exit status is 0 if all was done, 1 after an error or if "
        "some items of a batch failed, 2 for wrong usage, 130 after Ctrl-C.\n"
    ]
    for name, parser in subcommands(_parser()):
        parts.append(_command(name, parser))
    return "\n".join(parts)


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
    own = [a for a in parser._actions if "." not in a.dest and a.dest not in ("help", "config")]
    required = [a for a in own if not a.option_strings or a.required]
    usage = " ".join([name, *(_usage(a) for a in required), "[options]"])
    lines = [f"## {name}\n", f"{parser.description}\n", f"```text\n{usage}\n```\n"]
    if own := [a for a in own if a.dest != "preset"]:
        lines += ["| argument | |", "|---|---|"]
        lines += [f"| {_names(a)} | {_cell(_help(parser, a))} |" for a in own]
        lines.append("")
    titles = [group.title or "" for group in parser._action_groups]
    sections = [title.removesuffix(SETTINGS) for title in titles if title.endswith(SETTINGS)]
    if sections:
        links = ", ".join(f"[{section}](settings.md#{section})" for section in sections)
        lines.append(f"Settings: {links}\n")
    return "\n".join(lines)


def _usage(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest)
    if action.option_strings:
        return f"{action.option_strings[0]} {name}"
    several = {"+": f"{name} [{name} ...]", "?": f"[{name}]", 2: f"{name} {name}"}
    return several.get(action.nargs, name) if action.nargs is not None else name


def _names(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    value = "" if action.nargs == 0 else str(action.metavar or "")
    if action.choices and not value:
        value = "|".join(str(choice) for choice in action.choices)
    names = action.option_strings
    return ", ".join(f"`{name} {value}`" if value else f"`{name}`" for name in names).replace(
        "|", r"\|"
    )


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = (action.help or "") % {"default": action.default, "prog": parser.prog}
    choices = ", ".join(f"`{choice}`" for choice in action.choices or ())
    return f"{text}: {choices}" if choices and not action.option_strings else text


def settings_page() -> str:
    """Every section: name, unit, range, default and help of each setting."""
    parts = [
        "# Settings\n\nDefaults, then `--preset`, then `--config file.yaml`, then flags "
        "(`--batch.n_singers 32`); later ones win. `singerid config` prints all of them as a file "
        "that `--config` reads. A wrong name or value is refused, one line each. "
        f"Presets: {', '.join(f'`{name}`' for name in PRESETS)}.\n"
    ]
    for name, section in Config():
        parts += [
            f"## {name}\n", f"{(type(section).__doc__ or '').strip()}\n",
            "| setting | default | unit | range | |", "|---|---|---|---|---|",
        ]  # fmt: skip
        for key, field in type(section).model_fields.items():
            extra: Any = field.json_schema_extra or {}
            flag = f" (`{extra['flag']}`)" if extra.get("flag") else ""
            default = "true" if (value := getattr(section, key)) is True else value
            default = "false" if default is False else default
            shown = f"`{default}`" if default not in ("", None) else "(none)"
            parts.append(
                f"| `{name}.{key}`{flag} | {_cell(shown)} | {extra.get('unit') or ''} | "
                f"{_cell(value_range(field))} | {_cell(field.description or '')} |"
            )
        parts.append("")
    return "\n".join(parts)


def value_range(field: FieldInfo) -> str:
    """What a setting may be: choices, an interval ``[least, greatest]``, or the kind of value.

    A parenthesis instead of a bracket leaves the bound itself out.
    """
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    if field.annotation is bool:
        return "`true`, `false`"
    low, high, multiple = "(-∞", "∞)", ""
    for bound in field.metadata:
        match bound:
            case annotated_types.Ge(ge=least):
                low = f"[{least:g}"
            case annotated_types.Gt(gt=least):
                low = f"({least:g}"
            case annotated_types.Le(le=greatest):
                high = f"{_number(greatest)}]"
            case annotated_types.Lt(lt=greatest):
                high = f"{_number(greatest)})"
            case annotated_types.MultipleOf(multiple_of=number):
                multiple = f", multiple of {number}"
    if field.annotation not in (int, float):
        return "text"
    kind = "whole, " if field.annotation is int else ""
    return f"{kind}{low}, {high}{multiple}"


def _number(value: Any) -> str:
    return "2³²" if value == 2**32 else f"{value:,}" if isinstance(value, int) else f"{value:g}"


def python_page() -> str:
    """A directive of mkdocstrings for each public name, and one for the exceptions."""
    names = [f"singerid.{name}" for name in singerid.__all__] + list(MORE)
    text = (
        "# Python\n\n`from singerid import …` gives the names below; nothing of PyTorch is imported "
        "before something needs it. [From Python](../python.md) shows them at work.\n"
    )
    return text + "".join(f"\n::: {name}\n" for name in names)


def _cell(text: object) -> str:
    return str(text).replace("|", r"\|").replace("\n", " ")
