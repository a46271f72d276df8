"""VCTK: read English sentences of 110 people with many accents, in its versions 0.80 and 0.92.

Layout: Lhotse's recipe (lhotse/recipes/vctk.py) for ``wav48`` and ``speaker-info.txt``; Amphion's
egs/datasets/README.md and preprocessors/vctk.py for ``wav48_silence_trimmed``, its two microphones
and the speaker ``s5``. Speech, not singing: for pretraining and comparison.
"""

from __future__ import annotations

import re
from pathlib import Path

from singerid.corpora.adapter import KnownScan, choose, find_beside, matches, read_lines
from singerid.errors import ManifestError
from singerid.manifest import Scan

_LAYOUT = re.compile(
    r"/(?:wav48/(?P<old>[ps]\d+)/(?P=old)_(?P<old_sentence>\d+)\.wav"
    r"|wav48_silence_trimmed/(?P<new>[ps]\d+)/(?P=new)_(?P<sentence>\d+)_(?P<mic>mic[12])\.flac)$"
)


def scan(root: Path, microphones: tuple[str, ...] = ("mic1",)) -> Scan:
    """<root>/wav48/<p…>/<p…>_<sentence>.wav or <root>/wav48_silence_trimmed/<p…>/…_mic1.flac

    Args:
        root: the corpus, unpacked, with ``speaker-info.txt``.
        microphones: which of version 0.92's to take: mic1, mic2 or all.

    Raises:
        ManifestError: there is no ``speaker-info.txt``.
    """
    wanted = choose("microphones", microphones, ("mic1", "mic2"))
    people = read_speakers(find_beside(root, "speaker-info.txt"))
    result = KnownScan()
    for path, parts in matches(root, _LAYOUT, result, scan.__doc__):
        name = parts.get("old") or parts["new"]
        if name not in people:
            result.refuse(path.parent, "speaker is not in speaker-info.txt", name, "a known ID")
        elif parts.get("mic", "mic1") not in wanted and "old" not in parts:
            result.n_filtered += 1
        else:
            result.add(
                "vctk", path, root, name, kind="speech", language="English", **people[name],
                sentence=parts.get("sentence") or parts["old_sentence"],
                microphone=parts.get("mic", ""),
            )  # fmt: skip
    return result


def read_speakers(path: Path) -> dict[str, dict[str, str]]:
    """Gender (F or M), accent and age of each speaker of ``speaker-info.txt``.

    Raises:
        ManifestError: it cannot be read, or a line is not ``ID AGE GENDER ACCENTS REGION``.
    """
    people = {}
    for number, line in enumerate(read_lines(path), 1):
        words = line.split()
        if not words or words[0] == "ID":
            continue
        if len(words) < 4 or words[2] not in ("F", "M"):
            raise ManifestError(
                "line has no gender", where=f"{path}:{number}", found=line.strip(),
                expected="ID AGE GENDER ACCENTS REGION, GENDER F or M",
            )  # fmt: skip
        name = words[0] if words[0][0].isalpha() else f"p{words[0]}"  # 0.80 leaves the p out
        people[name] = {"age": words[1], "gender": words[2], "accent": words[3]}
    return people
