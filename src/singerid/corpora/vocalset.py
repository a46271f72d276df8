"""VocalSet: twenty professional singers demonstrate seventeen techniques on five vowels.

Layout: the corpus's own ``readme-anon.txt`` (Zenodo 1193957 and 1442513; "f3_arpeggios_vocal_fry_a
.wav is the singer f3, Arpeggios, vocal fry, vowel a") and the paper (Wilkins et al., ISMIR 2018,
table 2). The slips handled here (a folder ``vibrado``, names without the singer, ``sow_forte``,
copies ``…(1).wav``, male8's ``m9_caro_vibrato.wav``) are those that public preprocessing scripts
list for the published archive.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from singerid.corpora.adapter import KnownScan, choose, matches
from singerid.manifest import Scan, Source

SINGERS = [f"f{n}" for n in range(1, 10)] + [f"m{n}" for n in range(1, 12)]
CONTEXTS = ("arpeggios", "excerpts", "long_tones", "scales")
TECHNIQUES = (
    "belt", "breathy", "fast_forte", "fast_piano", "forte", "inhaled", "lip_trill", "messa", "pp",
    "slow_forte", "slow_piano", "spoken", "straight", "trill", "trillo", "vibrato", "vocal_fry",
)  # fmt: skip
ORIGINAL_TECHNIQUES = ("belt", "lip_trill", "straight", "vocal_fry", "vibrato", "breathy")
EXCERPTS = ("caro", "dona", "row")

_LAYOUT = re.compile(
    r"/(?P<sex>female|male)(?P<number>\d+)/(?P<context>[^/]+)/(?P<technique>[^/]+)/"
    r"(?P<name>[^/]+)\.wav$"
)
_SLIPS = {"vibrado": "vibrato", "sow_forte": "slow_forte"}
_LONGEST_FIRST = sorted(TECHNIQUES, key=len, reverse=True)


def scan(
    root: Path,
    techniques: tuple[str, ...] = ORIGINAL_TECHNIQUES,
    include_songs: bool = False,
    include_long_tones: bool = False,
    balanced: bool = False,
    seed: int = 0,
) -> Scan:
    """<root>/[FULL/](female|male)<number>/<context>/<technique>/<singer>_<context>_…_<vowel>.wav

    Args:
        root: the corpus, unpacked.
        techniques: which to take, or ``all``; the default is the original implementation's.
        include_songs: also take the excerpts of songs.
        include_long_tones: also take the single long tones.
        balanced: draw equally many recordings of each singer and technique (see `balance`).
        seed: of that draw.
    """
    wanted = choose("techniques", techniques, TECHNIQUES)
    contexts = {"arpeggios", "scales"}
    contexts |= {"excerpts"} if include_songs else set()
    contexts |= {"long_tones"} if include_long_tones else set()
    result = KnownScan()
    root = _one_copy(root)
    for path, parts in matches(root, _LAYOUT, result, scan.__doc__):
        singer = parts["sex"][0] + parts["number"]
        technique = _SLIPS.get(parts["technique"], parts["technique"])
        problem = _contradiction(singer, parts["context"], technique, parts["name"])
        if problem:
            result.refuse(path, *problem)
        elif technique not in wanted or parts["context"] not in contexts:
            result.n_filtered += 1
        else:
            result.add(
                "vocalset", path, root, singer, kind="singing", gender=singer[0].upper(),
                technique=technique, context=parts["context"], vowel=_vowel(parts["name"]),
                song=_excerpt(parts["name"]) or parts["context"],
            )  # fmt: skip
    if balanced:
        kept = balance(result.sources, seed=seed)
        result.n_filtered += len(result.sources) - len(kept)
        result.sources = kept
    return result


def balance(sources: Sequence[Source], n: int | None = None, seed: int = 0) -> list[Source]:
    """Draw equally many recordings of each singer and technique, without replacement.

    Args:
        sources: with the label ``technique``.
        n: how many of each; groups with fewer are kept whole. None: as many as the smallest has.
        seed: of the draw; the same for the same sources in any order.

    Returns:
        The drawn sources, in the order of `sources`.
    """
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for source in sources:
        groups[source.singer, source.labels["technique"]].append(source.id)
    if not groups:
        return []
    n = min(map(len, groups.values())) if n is None else n
    rng = np.random.default_rng(seed)
    kept: set[str] = set()
    for _, ids in sorted(groups.items()):
        kept.update(rng.permutation(sorted(ids))[:n].tolist())
    return [source for source in sources if source.id in kept]


def _one_copy(root: Path) -> Path:
    """One of the arrangements of the same audio that version 1.2 ships side by side."""
    copies = (root / name for name in ("FULL", "data_by_singer"))
    return next((folder for folder in copies if folder.is_dir()), root)


def _contradiction(
    singer: str, context: str, technique: str, name: str
) -> tuple[str, str, str] | None:
    """What is unknown in a path, or said otherwise in the file's name: (what, found, expected)."""
    for what, found, known in (
        ("unknown singer", singer, SINGERS),
        ("unknown context", context, CONTEXTS),
        ("unknown technique", technique, TECHNIQUES),
    ):
        if found not in known:
            return what, found, ", ".join(known)
    prefix = re.match(r"_?([fm]\d+)_", name)
    if prefix and prefix[1] != singer:
        return "the file's name and its folder say two singers", prefix[1], singer
    spelled = _techniques_in(name)
    if spelled and technique not in spelled:
        return "the file's name and its folder say two techniques", spelled[0], technique
    if context == "excerpts" and not _excerpt(name):
        return "unknown excerpt", name, ", ".join(EXCERPTS)
    return None


def _techniques_in(name: str) -> list[str]:
    """Techniques spelled in a file's name; of two that overlap, the longer."""
    for slip, meant in _SLIPS.items():
        name = name.replace(slip, meant)
    found = []
    for technique in _LONGEST_FIRST:
        pattern = rf"(?:^|_){technique}(?=_|\(|$)"
        if re.search(pattern, name):
            found.append(technique)
            name = re.sub(pattern, "_", name)
    return found


def _vowel(name: str) -> str:
    match = re.search(r"_([aeiou])(?:_\d+)?(?:\(\d+\))?$", name)
    return match[1] if match else ""


def _excerpt(name: str) -> str:
    return next((excerpt for excerpt in EXCERPTS if excerpt in name.split("_")), "")
