"""M4Singer: Mandarin pop songs by singers of all four voice parts, cut into sentences.

Layout: Amphion's egs/datasets/README.md and preprocessors/m4singer.py, ESPnet's
egs2/m4singer/svs1/local/data_prep.py. The corpus names singers by voice part; it has no field for
gender.
"""

from __future__ import annotations

import re
from pathlib import Path

from singerid.corpora.adapter import VOICES, KnownScan, matches
from singerid.manifest import Scan

_LAYOUT = re.compile(
    r"/(?P<voice>[A-Za-z]+)-(?P<number>\d+)#(?P<song>[^/]+)/(?P<sentence>\d+)\.wav$"
)


def scan(root: Path, gender_from_voice: bool = False) -> Scan:
    """<root>/<Voice>-<number>#<song>/<sentence>.wav

    Args:
        root: the corpus, unpacked (the folder with ``meta.json``).
        gender_from_voice: label sopranos and altos F, tenors and basses M.
    """
    result = KnownScan()
    for path, parts in matches(root, _LAYOUT, result, scan.__doc__):
        voice = parts["voice"].lower()
        if voice not in VOICES:
            result.refuse(path, "unknown voice part", parts["voice"], ", ".join(VOICES))
            continue
        result.add(
            "m4singer", path, root, f"{parts['voice']}-{parts['number']}", kind="singing",
            song=parts["song"], voice=voice, language="Mandarin",
            gender=VOICES[voice] if gender_from_voice else "",
        )  # fmt: skip
    return result
