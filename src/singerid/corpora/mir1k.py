"""MIR-1K: amateurs sing Mandarin karaoke; the voice is alone in the right channel.

Layout: mirdata's loader (mirdata/datasets/mir_1k.py: left accompaniment, right voice; 8 female and
11 male singers) and public importers for ``UndividedWavfile`` and the nineteen names. Which names
are female: an importer that gives the authors' list, equal to ours where both have the singer.
"""

from __future__ import annotations

import re
from pathlib import Path

from singerid.corpora.adapter import KnownScan, matches
from singerid.manifest import Scan

FEMALE = frozenset(["amy", "ani", "annar", "ariel", "heycat", "tammy", "titon", "yifen"])
MALE = frozenset([
    "abjones", "bobon", "bug", "davidson", "fdps", "geniusturtle", "jmzen", "kenshin", "khair",
    "leon", "stool",
])  # fmt: skip
_LAYOUT = re.compile(
    r"/(?:Wavfile/(?P<singer>[A-Za-z]+)_(?P<song>\d+)_(?P<clip>\d+)"
    r"|UndividedWavfile/(?P<whole>[A-Za-z]+)_(?P<whole_song>\d+))\.wav$"
)


def scan(root: Path, undivided: bool = False) -> Scan:
    """<root>/Wavfile/<singer>_<song>_<clip>.wav

    Args:
        root: the corpus, unpacked.
        undivided: take the whole songs of ``UndividedWavfile`` instead of the 1,000 clips cut
            from them.
    """
    result = KnownScan()
    for path, parts in matches(root, _LAYOUT, result, scan.__doc__):
        name = parts.get("singer") or parts["whole"]
        gender = _gender(name)
        if not gender:
            result.refuse(path, "unknown singer", name, ", ".join(sorted(FEMALE | MALE)))
        elif ("whole" in parts) != undivided:
            result.n_filtered += 1
        else:
            result.add(
                "mir1k", path, root, name, "right", kind="singing", gender=gender,
                song=f"{name}_{parts.get('song') or parts['whole_song']}", language="Mandarin",
                clip=parts.get("clip", ""),
            )  # fmt: skip
    return result


def _gender(name: str) -> str:
    if name.casefold() in FEMALE:
        return "F"
    return "M" if name.casefold() in MALE else ""
