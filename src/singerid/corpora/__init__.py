"""Folders of a known corpus → the files in them, with singer, split and labels.

Each adapter is a function ``scan(root, **options) -> Scan`` that lists files without opening them.
The first line of its docstring is the layout that error messages show.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from singerid.corpora import (
    csv_file,
    dagstuhl,
    damp,
    esmuc,
    folder,
    gtsinger,
    jvs_music,
    lhotse,
    m4singer,
    mir1k,
    mirdata_index,
    nus48e,
    opensinger,
    ravdess,
    sing300,
    vctk,
    vocadito,
    vocalset,
)
from singerid.corpora.adapter import KnownScan, first_entries
from singerid.errors import ConfigError, ManifestError, one_line
from singerid.manifest import Scan
from singerid.remote import is_url

CORPORA: dict[str, Callable[..., Scan]] = {
    "folder": folder.scan,
    "csv": csv_file.scan,
    "lhotse": lhotse.scan,
    "mirdata": mirdata_index.scan,
    "dagstuhl": dagstuhl.scan,
    "damp": damp.scan,
    "esmuc": esmuc.scan,
    "gtsinger": gtsinger.scan,
    "jvs_music": jvs_music.scan,
    "m4singer": m4singer.scan,
    "mir1k": mir1k.scan,
    "nus48e": nus48e.scan,
    "opensinger": opensinger.scan,
    "ravdess": ravdess.scan,
    "sing300": sing300.scan,
    "vctk": vctk.scan,
    "vocadito": vocadito.scan,
    "vocalset": vocalset.scan,
}

_MANY = 20  # files that do not fit, from which on a folder without any that does is a wrong one


def scan(corpus: str, root: str | os.PathLike[str], **options: Any) -> Scan:
    """List the recordings of a corpus.

    Args:
        corpus: name of an adapter, a key of `CORPORA`.
        root: its folder (for ``csv`` and ``mirdata`` a file, for ``lhotse`` also a prefix); for
            ``csv`` and ``folder`` also a URL.
        options: of that adapter (see `parse_options`).

    Raises:
        ConfigError: `corpus` or an option is unknown.
        ManifestError: `root` is missing, or nothing in it looks like that corpus.
    """
    known = _options(corpus)
    for name in options:
        _check_name(corpus, name, known)
    if is_url(root):
        return _checked(corpus, root, _scan_url(corpus, str(root)), [])
    root = Path(root)
    is_prefix = corpus == "lhotse" and bool(lhotse.with_prefix(root.parent, root.name))
    if not root.exists() and not is_prefix:
        raise ManifestError("does not exist", where=root, expected="a folder or CSV file")
    found = CORPORA[corpus](root, **options)
    return _checked(corpus, root, found, _contents(root, found))


def _scan_url(corpus: str, url: str) -> Scan:
    """Of what lies elsewhere, the two kinds that need no file of the corpus but their own."""
    if corpus == "csv":
        return csv_file.scan(url)
    if corpus == "folder":
        return folder.scan_url(url)
    raise ManifestError(
        f"corpus {corpus!r} is read from a local folder only", where=url,
        expected="folder or csv for URLs", do="copy the corpus, or list its files in a CSV file",
    )  # fmt: skip


def _checked(corpus: str, root: object, found: Scan, contents: object) -> Scan:
    """Refuse what nothing was found in."""
    if not found.sources and (not found.problems or len(found.problems) > _MANY):
        layout = (CORPORA[corpus].__doc__ or "").split("\n")[0]
        raise ManifestError(
            f"no recordings of corpus {corpus!r}", where=root, found=contents or None,
            expected=layout,
        )  # fmt: skip
    return found


def parse_options(corpus: str, texts: Sequence[str]) -> dict[str, Any]:
    """Options of an adapter from ``name=value``, converted to their types.

    A list is written ``a,b``; a switch true or false.

    Raises:
        ConfigError: another form, an unknown option, or a value of another type.
    """
    known = _options(corpus)
    options: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise ConfigError("is not name=value", where="--corpus-option", found=text)
        _check_name(corpus, name, known)
        options[name] = _convert(name, value, known[name][0])
    return options


def describe_options(corpus: str) -> str:
    """One line: ``name=default`` of each option of an adapter, or ``no options``."""
    parts = []
    for name, (_, default) in _options(corpus).items():
        shown = ",".join(default) if isinstance(default, tuple) else str(default)
        parts.append(f"{name}={shown.lower() if isinstance(default, bool) else shown}")
    return " ".join(parts) or "no options"


def _options(corpus: str) -> dict[str, tuple[Any, Any]]:
    """Type and default of each option."""
    if corpus not in CORPORA:
        raise ConfigError(f"unknown corpus {corpus!r}", expected=", ".join(CORPORA))
    adapter = CORPORA[corpus]
    types = get_type_hints(adapter)
    parameters = list(inspect.signature(adapter).parameters.values())[1:]
    return {p.name: (types[p.name], p.default) for p in parameters}


def _check_name(corpus: str, name: str, known: dict[str, tuple[Any, Any]]) -> None:
    if name not in known:
        raise ConfigError(
            f"unknown option {name!r} of corpus {corpus!r}", where="--corpus-option",
            expected=describe_options(corpus),
        )  # fmt: skip


def _convert(name: str, value: str, kind: Any) -> Any:
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise ConfigError(
                "is not true or false", where=f"--corpus-option {name}", found=value or "nothing"
            )
        return value.lower() == "true"
    if kind is int:
        try:
            return int(value)
        except ValueError:
            raise ConfigError(
                "is not a whole number", where=f"--corpus-option {name}", found=value or "nothing"
            ) from None
    return value if kind is str else tuple(value.split(","))


def _contents(root: Path, found: Scan) -> str:
    """What a folder without any recording of the corpus holds instead."""
    if found.problems:
        first = found.problems[0]
        return (
            f"{first_entries(root)}; {len(found.problems)} audio files that do not fit, "
            f"the first: {one_line(first.where)}: {first.what}"
        )
    if isinstance(found, KnownScan) and found.n_filtered:
        return f"{found.n_filtered} files of it, all left out by the options"
    return f"{first_entries(root)}; {found.n_ignored} files without an audio suffix"
