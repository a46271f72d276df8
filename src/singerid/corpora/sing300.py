"""Smule Sing! 300x30x2: karaoke by the popular singers of 30 countries, part of DAMP.

Layout: the corpus's README ("the most popular singers, female and male, of the 300 most popular
arrangements in 30 countries") and DSing's scripts (github groadabike/Kaldi-Dsing-task,
"DSing Construction/create_metadata.py" and "DSing Preconstructed/prepare_data.py", which also
removes a stray "None" from gender and account of some Indian files).
"""

from __future__ import annotations

import re
from pathlib import Path

from singerid.corpora.adapter import KnownScan, matches
from singerid.manifest import Scan

_LAYOUT = re.compile(
    r"/(?P<country>[A-Z]{2})/(?P=country)Vocals/(?P<arrangement>\w+)-(?P<performance>\w+)"
    r"-(?P=country)-(?P<gender>\w+)-(?P<account>\w+)\.m4a$"
)
_NONE = re.compile("none", re.IGNORECASE)


def scan(root: Path) -> Scan:
    """<root>/<CC>/<CC>Vocals/<arrangement>-<performance>-<CC>-<gender>-<account>.m4a"""
    result = KnownScan()
    for path, parts in matches(root, _LAYOUT, result, scan.__doc__):
        gender = _NONE.sub("", parts["gender"]).upper()
        if gender not in ("F", "M", ""):
            result.refuse(path, "unknown gender", parts["gender"], "F, M or None")
            continue
        result.add(
            "sing300", path, root, _NONE.sub("", parts["account"]), kind="singing", gender=gender,
            song=parts["arrangement"], performance=parts["performance"], country=parts["country"],
        )  # fmt: skip
    return result
