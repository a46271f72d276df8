"""ESMUC Choir Dataset: twelve choir singers, each at an own close microphone.

Layout: the corpus's page (Zenodo 5848990: full takes FT, isolated sections IS, short excerpts SE)
and an inventory of the unpacked archive in a public repository (flat folder,
``{song}_{setting}_{take}_{track}.wav``, songs DG, DH1, DH2, SC1, SC2, SC3, WU; tracks S1…B2, and
the room microphones AB and ORTF). Neighbors leak into each microphone. No field for gender.
"""

from __future__ import annotations

import re
from pathlib import Path

from singerid.corpora.adapter import VOICES, KnownScan, matches
from singerid.manifest import Scan

SONGS = ("DG", "DH1", "DH2", "SC1", "SC2", "SC3", "WU")
_PARTS = {"S": "soprano", "A": "alto", "T": "tenor", "B": "bass"}
_LAYOUT = re.compile(
    r"/(?P<song>[A-Z]+\d?)_(?:(?P<setting>FT|IS|SE)_)?(?P<take>.+)"
    r"_(?P<track>[SATB]\d|AB|ORTF)\.wav$"
)


def scan(root: Path, gender_from_voice: bool = False) -> Scan:
    """<root>/<song>_<setting>_<take>_<track>.wav

    Args:
        root: the corpus, unpacked. The room microphones are left out: no one singer.
        gender_from_voice: label sopranos and altos F, tenors and basses M.
    """
    result = KnownScan()
    for path, parts in matches(root, _LAYOUT, result, scan.__doc__):
        if parts["song"] not in SONGS:
            result.refuse(path, "unknown song", parts["song"], ", ".join(SONGS))
        elif parts["track"] in ("AB", "ORTF"):
            result.n_filtered += 1
        else:
            voice = _PARTS[parts["track"][0]]
            result.add(
                "esmuc", path, root, parts["track"], kind="singing", song=parts["song"],
                voice=voice, setting=parts.get("setting", ""), take=parts["take"],
                gender=VOICES[voice] if gender_from_voice else "",
            )  # fmt: skip
    return result
