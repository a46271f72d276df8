"""What pyproject.toml asks for, as the other scripts here need it: no network, no installing."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def project() -> dict[str, object]:
    """The table `[project]` of pyproject.toml."""
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def version() -> str:
    """The version that is about to be released."""
    return str(project()["version"])


def requirements(extras: Iterable[str] = ()) -> list[Requirement]:
    """Direct dependencies of the base package and of some extras, extras of extras included."""
    table = project()
    optional = table["optional-dependencies"]
    lines = table["dependencies"]
    assert isinstance(optional, dict)
    assert isinstance(lines, list)
    found = [Requirement(line) for line in lines]
    for extra in extras:
        for line in optional[extra]:
            requirement = Requirement(line)
            if requirement.name == table["name"]:
                found += [r for r in requirements(sorted(requirement.extras)) if r not in found]
            else:
                found.append(requirement)
    return found


def lower_bound(requirement: Requirement) -> str:
    """The oldest version that a requirement admits: what `--resolution lowest-direct` tries.

    Raises:
        ValueError: it has none, so that "the oldest" would be the first version ever made.
    """
    bounds = [s.version for s in requirement.specifier if s.operator in (">=", "==", "~=")]
    if len(bounds) != 1:
        raise ValueError(f"{requirement}: found {len(bounds)} lower bounds, expected one '>='")
    return bounds[0]


def pinned(text: str) -> dict[str, tuple[str, int]]:
    """Version and number of hashes of each `name==version` in a lock or constraints file."""
    joined = text.replace("\\\n", " ")
    found: dict[str, tuple[str, int]] = {}
    for line in joined.splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line)
        if match:
            found[canonicalize_name(match[1])] = match[2], line.count("--hash=sha256:")
    return found
