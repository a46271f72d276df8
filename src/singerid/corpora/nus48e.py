"""NUS-48E: twelve people sing and read four English songs each.

Layout: the corpus's page (https://www.smcnus.org/nus-48e-sung-and-spoken-lyrics-corpus/) and
Amphion's egs/datasets/README.md. Genders: two public importers that agree (``NUS48E_Info_Load``
and a table beside NUS-CMS-48); the paper (Duan et al., APSIPA 2013) has six women and six men.
"""

from __future__ import annotations

import re
from pathlib import Path

from singerid.corpora.adapter import KnownScan, choose, matches
from singerid.manifest import Scan

GENDER = {
    "ADIZ": "F", "JLEE": "M", "JTAN": "M", "KENN": "M", "MCUR": "F", "MPOL": "F",
    "MPUR": "F", "NJAT": "F", "PMAR": "F", "SAMF": "M", "VKOW": "M", "ZHIY": "M",
}  # fmt: skip
_KINDS = {"sing": "singing", "read": "speech"}
_LAYOUT = re.compile(r"/(?P<singer>[A-Z]+)/(?P<kind>sing|read)/(?P<song>\d\d)\.wav$")


def scan(root: Path, kinds: tuple[str, ...] = ("sing",)) -> Scan:
    """<root>/<SINGER>/(sing|read)/<song number>.wav

    Args:
        root: the corpus, unpacked (its folder is called ``nus-smc-corpus_48``).
        kinds: sing, read or all.
    """
    wanted = choose("kinds", kinds, _KINDS)
    result = KnownScan()
    for path, parts in matches(root, _LAYOUT, result, scan.__doc__):
        if parts["singer"] not in GENDER:
            result.refuse(path, "unknown singer", parts["singer"], ", ".join(GENDER))
        elif parts["kind"] not in wanted:
            result.n_filtered += 1
        else:
            result.add(
                "nus48e", path, root, parts["singer"], kind=_KINDS[parts["kind"]],
                gender=GENDER[parts["singer"]], song=parts["song"], language="English",
            )  # fmt: skip
    return result
