"""OpenSinger: Mandarin songs by many singers, cut into sentences.

Layout: Amphion's egs/datasets/README.md and preprocessors/opensinger.py. Numbers of singers start
anew for men and women, so a singer here is ``man<number>`` or ``woman<number>``.
"""

from __future__ import annotations

import re
from pathlib import Path

from singerid.corpora.adapter import KnownScan, matches
from singerid.manifest import Scan

_LAYOUT = re.compile(
    r"/(?P<sex>Man|Woman)Raw/(?P<folder>(?P<number>\d+)_(?P<song>[^/]+))"
    r"/(?P=folder)_(?P<sentence>\d+)\.wav$"
)


def scan(root: Path) -> Scan:
    """<root>/(ManRaw|WomanRaw)/<number>_<song>/<number>_<song>_<sentence>.wav"""
    result = KnownScan()
    for path, parts in matches(root, _LAYOUT, result, scan.__doc__):
        result.add(
            "opensinger", path, root, parts["sex"].lower() + parts["number"], kind="singing",
            gender="M" if parts["sex"] == "Man" else "F", song=parts["song"], language="Mandarin",
        )  # fmt: skip
    return result
