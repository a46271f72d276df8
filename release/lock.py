"""Write or check the lock files: exact versions and SHA-256 of all that a user installs.

    python release/lock.py           write them again, with the versions of constraints.txt
    python release/lock.py --check   do they still agree with pyproject.toml and constraints.txt?

torch is in none of them. It comes in builds (CPU, CUDA, ROCm) that share a version and not their
bytes, from places that each machine chooses: constraints.txt pins its version, no file its hash.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from packaging.utils import canonicalize_name

from pins import ROOT, pinned, requirements

LOCKS = {"requirements.lock": [], "server.lock": ["web"]}
"""File to the extras it covers. The second is what the Dockerfile installs."""


def write(name: str, extras: list[str]) -> None:
    """Resolve for every platform and Python at once; markers tell them apart."""
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
    command += ["--python-version", "3.11", "--constraint", "constraints.txt", "--no-annotate"]
    command += [f"--extra={extra}" for extra in extras]
    command += ["--custom-compile-command", "make lock", "pyproject.toml"]
    command += ["--output-file", f"release/{name}"]
    subprocess.run(command, cwd=ROOT, check=True)


def disagreements(lock: str, constraints: str, extras: list[str]) -> list[str]:
    """What is wrong with the text of a lock file, a line each; none if all is well."""
    locked, constrained = pinned(lock), pinned(constraints)
    wrong = []
    for requirement in requirements(extras):
        name = canonicalize_name(requirement.name)
        if name not in locked:
            wrong.append(f"{name}: pyproject.toml asks for it, the lock has none")
        elif not requirement.specifier.contains(locked[name][0]):
            wrong.append(f"{name}: locked {locked[name][0]}, pyproject.toml asks for {requirement}")
    for package, (version, hashes) in locked.items():
        if hashes == 0:
            wrong.append(f"{package}: no hash")
        if package in constrained and constrained[package][0] != version:
            wrong.append(f"{package}: locked {version}, constraints.txt {constrained[package][0]}")
    if "torch" in locked:
        wrong.append("torch: its hash depends on the build; no lock file can hold it")
    return wrong


def main() -> None:
    """Write the lock files, or check them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if stale")
    check = parser.parse_args().check
    wrong = []
    for name, extras in LOCKS.items():
        if not check:
            write(name, extras)
        lock = (ROOT / "release" / name).read_text()
        found = disagreements(lock, (ROOT / "constraints.txt").read_text(), extras)
        wrong += [f"release/{name}: {line}" for line in found]
        hashes = sum(count for _, count in pinned(lock).values())
        print(f"release/{name}: {len(pinned(lock))} packages, {hashes} hashes")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
