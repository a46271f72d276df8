"""Count what each extra adds to the base package, and look at the licenses of just that.

    python release/extras.py [EXTRA ...]

Resolved for Linux and Python 3.11 with the versions of constraints.txt. The packages are installed
into a temporary folder, without what they need: it is listed by itself.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from importlib.metadata import distributions

from licenses import inspect
from pins import ROOT, pinned, project

WHERE = ["--python-version=3.11", "--python-platform=x86_64-manylinux_2_28"]


def resolve(*what: str, text: str = "") -> dict[str, str]:
    """Name to version of all that would be installed."""
    command = ["uv", "pip", "compile", "--quiet", "--no-annotate", "--no-header", *WHERE]
    command += ["--constraint=constraints.txt", *what]
    done = subprocess.run(
        command, cwd=ROOT, check=True, input=text, stdout=subprocess.PIPE, text=True
    )
    return {name: version for name, (version, _) in pinned(done.stdout).items()}


def exceptional(packages: dict[str, str]) -> list[str]:
    """Packages whose license is not plainly permissive, each with its license."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"{name}=={version}" for name, version in packages.items()]
        command = ["uv", "pip", "install", "--quiet", "--no-deps", f"--target={folder}", *lines]
        subprocess.run(command, cwd=ROOT, check=True)
        findings = [inspect(distribution) for distribution in distributions(path=[folder])]
    if len(findings) != len(packages):
        raise SystemExit(f"installed {len(findings)} of {len(packages)} packages")
    return [
        f"{'' if finding.allowed else 'NOT ALLOWED '}{finding.name}: {finding.license}"
        for finding in sorted(findings)
        if finding.note or not finding.allowed
    ]


def main() -> None:
    """A line for each extra; exit 1 if any adds what is neither permissive nor an exception."""
    base = resolve("pyproject.toml")
    torch = resolve(
        "-", text=f"torch=={pinned((ROOT / 'constraints.txt').read_text())['torch'][0]}"
    )
    theirs = [name for name in torch if re.match("(nvidia|cuda)-", name)]
    print(f"base package: {len(base)}; torch: {len(set(torch) - set(base))} with itself, of which "
          f"{len(theirs)} by NVIDIA")  # fmt: skip
    optional = project()["optional-dependencies"]
    assert isinstance(optional, dict)
    refused = False
    for extra in sys.argv[1:] or [name for name in optional if name != "dev"]:
        found = resolve(f"--extra={extra}", "pyproject.toml")
        known = set(base) | (set(torch) if "torch" in found else set())
        added = {name: version for name, version in found.items() if name not in known}
        notes = exceptional(added)
        refused |= any(note.startswith("NOT ALLOWED") for note in notes)
        print(f"{extra}: {len(added)}{' and torch' if 'torch' in found else ''}"
              f"{'; ' if notes else ''}{'; '.join(notes)}", flush=True)  # fmt: skip
    sys.exit(1 if refused else 0)


if __name__ == "__main__":
    main()
