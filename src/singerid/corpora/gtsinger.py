"""GTSinger: twenty professional singers, nine languages, six techniques with control groups.

Layout: the corpus's README (github GTSinger/GTSinger, "Data Architecture") and public importers
for the two groups of Mixed_Voice_and_Falsetto and the file names (``Control_Group/0000.wav``).
The corpus names singers by voice part; it has no field for gender.
"""

from __future__ import annotations

import re
from pathlib import Path

from singerid.corpora.adapter import VOICES, KnownScan, matches
from singerid.manifest import Scan

LANGUAGES = (
    "Chinese", "English", "French", "German", "Italian", "Japanese", "Korean", "Russian", "Spanish",
)  # fmt: skip
GROUPS = {
    "Breathy": ("Breathy_Group",),
    "Glissando": ("Glissando_Group",),
    "Mixed_Voice_and_Falsetto": ("Mixed_Voice_Group", "Falsetto_Group"),
    "Pharyngeal": ("Pharyngeal_Group",),
    "Vibrato": ("Vibrato_Group",),
}
_CONTROL, _SPEECH = "Control_Group", "Paired_Speech_Group"
_LAYOUT = re.compile(
    r"/(?P<language>[^/]+)/(?P<singer>[A-Z]{2}-(?P<voice>[A-Za-z]+)-\d+)/(?P<technique>[^/]+)"
    r"/(?P<song>[^/]+)/(?P<group>[^/]+)/(?P<sentence>\d+)\.wav$"
)


def scan(root: Path, include_speech: bool = False, gender_from_voice: bool = False) -> Scan:
    """<root>/<Language>/<LL>-<Voice>-<number>/<Technique>/<song>/<group>/<sentence>.wav

    Args:
        root: the corpus, unpacked.
        include_speech: also take the paired speech groups.
        gender_from_voice: label sopranos and altos F, tenors and basses M.
    """
    result = KnownScan()
    for path, parts in matches(root, _LAYOUT, result, scan.__doc__):
        voice = parts["voice"].lower()
        groups = (_CONTROL, _SPEECH, *GROUPS.get(parts["technique"], ()))
        for what, found, known in (
            ("unknown language", parts["language"], LANGUAGES),
            ("unknown voice part", voice, VOICES),
            ("unknown technique", parts["technique"], GROUPS),
            ("unknown group", parts["group"], groups),
        ):
            if found not in known:
                result.refuse(path, what, found, ", ".join(known))
                break
        else:
            if parts["group"] == _SPEECH and not include_speech:
                result.n_filtered += 1
                continue
            result.add(
                "gtsinger", path, root, parts["singer"], song=parts["song"], voice=voice,
                kind="speech" if parts["group"] == _SPEECH else "singing",
                technique=_technique(parts["group"]), language=parts["language"],
                gender=VOICES[voice] if gender_from_voice else "",
            )  # fmt: skip
    return result


def _technique(group: str) -> str:
    """breathy, glissando, …; ``control`` for plain singing; nothing for speech."""
    return "" if group == _SPEECH else group.removesuffix("_Group").lower()
