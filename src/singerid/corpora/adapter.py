"""What the adapters of known corpora share: match, name, refuse and count the files of a corpus."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from singerid.corpora.folder import readable, walk
from singerid.errors import ConfigError, ManifestError
from singerid.manifest import Scan, Source

VOICES = {"soprano": "F", "alto": "F", "tenor": "M", "bass": "M"}
"""Voice parts, and the gender that choirs usually have there (an assumption, see docs)."""


@dataclass
class KnownScan(Scan):
    """What an adapter of a known corpus found.

    Attributes:
        n_filtered: files of the corpus that the adapter's options left out.
    """

    n_filtered: int = 0
    _refused_once: set[Path] = field(default_factory=set, repr=False)

    def add(
        self, corpus: str, path: Path, root: Path, singer: str, channel: str = "mix", **labels: str
    ) -> None:
        """Take a file, under an id that is its path below `root` without suffix.

        Singers are named ``corpus:singer``, so that manifests of several corpora can be joined
        without two people becoming one. Empty labels are left out.
        """
        name = readable(path.relative_to(root).with_suffix("").as_posix())
        known = {key: readable(value) for key, value in labels.items() if value}
        self.sources.append(
            Source(
                path, name, readable(f"{corpus}:{singer}"), None, channel,
                {"corpus": corpus} | known,
            )
        )  # fmt: skip

    def refuse(self, path: Path, what: str, found: object, expected: object) -> None:
        """Report a file or folder that does not fit; each path once."""
        if path not in self._refused_once:
            self._refused_once.add(path)
            self.problems.append(ManifestError(what, where=path, found=found, expected=expected))


def matches(
    root: Path, layout: re.Pattern[str], result: KnownScan, expected: str | None
) -> Iterator[tuple[Path, dict[str, str]]]:
    """Audio files below `root` whose path fits a layout, in sorted order; others are refused.

    Args:
        root: the corpus; folders above the documented ones are allowed.
        layout: searched in the path below `root`, with ``/`` between parts; named groups.
        result: gets the refusals.
        expected: the layout in words; its first line is shown.

    Yields:
        The file and the named groups that took part in the match.
    """
    words = (expected or "").split("\n")[0]
    for path in walk(root, result):
        relative = path.relative_to(root).as_posix()
        match = layout.search("/" + relative)
        if match is None:
            result.refuse(path, "does not fit the corpus", relative, words)
        else:
            yield path, {key: value for key, value in match.groupdict().items() if value}


def choose(name: str, given: Iterable[str], known: Iterable[str]) -> frozenset[str]:
    """The values of an option that is a list of names; the word ``all`` takes every one.

    Raises:
        ConfigError: a name that is not known.
    """
    known = list(known)
    chosen = frozenset(known) if tuple(given) == ("all",) else frozenset(given)
    if unknown := sorted(chosen - set(known)):
        raise ConfigError(
            f"unknown value {unknown[0]!r}", where=f"--corpus-option {name}",
            expected=", ".join(["all", *known]),
        )  # fmt: skip
    return chosen


def find_beside(root: Path, name: str) -> Path:
    """A metadata file of the corpus: in `root`, or in a folder directly within or above it.

    Raises:
        ManifestError: there is none.
    """
    for path in [root / name, *sorted(root.glob(f"*/{name}")), root.parent / name]:
        if path.is_file():
            return path
    raise ManifestError(
        f"has no {name}", where=root, found=first_entries(root),
        expected="the metadata file that comes with the corpus",
    )  # fmt: skip


def read_table(path: Path, required: Iterable[str]) -> list[dict[str, str]]:
    """Rows of a CSV file with a header; blanks around names and values are removed.

    What a short row lacks is "".

    Raises:
        ManifestError: it cannot be read, or a required column is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [[cell.strip() for cell in row] for row in csv.reader(file) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError("cannot be read as CSV", where=path, found=error) from error
    header = lines[0] if lines else []
    if missing := [name for name in required if name not in header]:
        raise ManifestError(
            f"has no column {missing[0]!r}", where=path, found=", ".join(header)[:80]
        )
    return [dict(zip_longest(header, row[: len(header)], fillvalue="")) for row in lines[1:]]


def read_lines(path: Path) -> list[str]:
    """Lines of a text file.

    Raises:
        ManifestError: it cannot be read as UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError("cannot be read as text", where=path, found=error) from error


def first_entries(folder: Path, n: int = 5) -> str:
    """Names of the first entries of a folder, for an error message."""
    if not folder.is_dir():
        return f"the file {readable(folder.name)}"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    if not names:
        return "an empty folder"
    rest = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(readable(name) for name in names[:n]) + rest
