"""Write or check the lock files: exact versions and SHA-256 of all that is installed.

    python release/lock.py           write them again, with the versions of constraints.txt
    python release/lock.py --check   do they still agree with pyproject.toml and constraints.txt?

torch is in none of them, nor the packages of its CUDA build. It comes in builds (CPU, CUDA, ROCm)
that share a version and not their bytes, from places that each machine chooses: constraints.txt
pins its version, no file its hash. tools.lock is of the tools here, from tools.txt.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pins import ROOT, pinned, requirements

LOCKS = {
    "requirements.lock": [],
    "server.lock": ["web"],
    "train.lock": ["train", "export", "world"],
}
"""File to the extras it covers. The second is what the Dockerfile installs."""

_OF_TORCH = re.compile(r"(?m)^(?:torch|triton|nvidia-\S+?|cuda-\S+?)==.*\\\n(?: +--hash=.*\n)+")


def write(name: str, *what: str) -> None:
    """Resolve for every platform and Python at once; markers tell them apart."""
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
    command += [
        "--python-version",
        "3.11",
        "--no-annotate",
        "--custom-compile-command",
        "make lock",
    ]
    file = ROOT / "release" / name
    subprocess.run([*command, *what, "--output-file", str(file)], cwd=ROOT, check=True)
    file.write_text(_OF_TORCH.sub("", file.read_text()))


def write_all() -> None:
    """Write every lock file."""
    for name, extras in LOCKS.items():
        flags = [f"--extra={extra}" for extra in extras]
        write(name, "--constraint", "constraints.txt", *flags, "pyproject.toml")
    write("tools.lock", "release/tools.txt")


def disagreements(lock: str, constraints: str, wanted: list[Requirement]) -> list[str]:
    """What is wrong with the text of a lock file, a line each; none if all is well."""
    locked, constrained = pinned(lock), pinned(constraints)
    wrong = []
    for requirement in wanted:
        name = canonicalize_name(requirement.name)
        if name == "torch":
            continue
        if name not in locked:
            wrong.append(f"{name}: is asked for, the lock has none")
        elif not requirement.specifier.contains(locked[name][0]):
            wrong.append(f"{name}: locked {locked[name][0]}, asked for {requirement}")
    for package, (version, hashes) in locked.items():
        if hashes == 0:
            wrong.append(f"{package}: no hash")
        if package in constrained and constrained[package][0] != version:
            wrong.append(f"{package}: locked {version}, constraints.txt {constrained[package][0]}")
    if _OF_TORCH.search(lock):
        wrong.append("torch: its hash depends on the build; no lock file can hold it")
    return wrong


def problems(name: str) -> list[str]:
    """What is wrong with a lock file here."""
    lock = (ROOT / "release" / name).read_text()
    if name == "tools.lock":
        lines = (ROOT / "release" / "tools.txt").read_text().splitlines()
        return disagreements(lock, "", [Requirement(line) for line in lines if line[0] != "#"])
    constraints = (ROOT / "constraints.txt").read_text()
    return disagreements(lock, constraints, requirements(LOCKS[name]))


def main() -> None:
    """Write the lock files, or check them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if stale")
    check = parser.parse_args().check
    if not check:
        write_all()
    wrong = []
    for name in (*LOCKS, "tools.lock"):
        wrong += [f"release/{name}: {line}" for line in problems(name)]
        packages = pinned((ROOT / "release" / name).read_text())
        hashes = sum(count for _, count in packages.values())
        print(f"release/{name}: {len(packages)} packages, {hashes} hashes")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
