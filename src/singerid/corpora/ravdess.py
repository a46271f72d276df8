"""RAVDESS: 24 actors say and sing two sentences in several emotions.

Layout: the corpus's page (Zenodo 1188976, "File naming convention": modality, vocal channel,
emotion, intensity, statement, repetition, actor; odd actors are male, even ones female).
"""

from __future__ import annotations

import re
from pathlib import Path

from singerid.corpora.adapter import KnownScan, choose, matches
from singerid.manifest import Scan

_MODALITIES = {"01": "audio-video", "02": "video", "03": "audio"}
_KINDS = {"01": "speech", "02": "song"}
_FIELDS = {
    "emotion": {
        "01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry",
        "06": "fearful", "07": "disgust", "08": "surprised",
    },
    "intensity": {"01": "normal", "02": "strong"},
    "statement": {"01": "kids", "02": "dogs"},
    "repetition": {"01": "1", "02": "2"},
}  # fmt: skip
_LAYOUT = re.compile(
    r"/Actor_(?P<folder>\d\d)/(?P<modality>\d\d)-(?P<kind>\d\d)-(?P<emotion>\d\d)-"
    r"(?P<intensity>\d\d)-(?P<statement>\d\d)-(?P<repetition>\d\d)-(?P<actor>\d\d)\.\w+$"
)


def scan(root: Path, vocal_channels: tuple[str, ...] = ("song",)) -> Scan:
    """<root>/[Audio_Song_Actors_01-24/]Actor_<NN>/03-02-<5 more fields of two digits>.wav

    Args:
        root: one or both unpacked audio archives. Files with video are left out.
        vocal_channels: song, speech or all.
    """
    wanted = choose("vocal_channels", vocal_channels, _KINDS.values())
    result = KnownScan()
    for path, parts in matches(root, _LAYOUT, result, scan.__doc__):
        problem = _unknown(parts)
        if problem:
            result.refuse(path, *problem)
        elif parts["modality"] != "03" or _KINDS[parts["kind"]] not in wanted:
            result.n_filtered += 1
        else:
            labels = {name: names[parts[name]] for name, names in _FIELDS.items()}
            result.add(
                "ravdess", path, root, f"Actor_{parts['actor']}", language="English",
                kind="speech" if parts["kind"] == "01" else "singing",
                gender="M" if int(parts["actor"]) % 2 else "F",
                song=labels.pop("statement"), **labels,
            )  # fmt: skip
    return result


def _unknown(parts: dict[str, str]) -> tuple[str, str, str] | None:
    """The first field that has no meaning: (what, found, expected)."""
    codes = {"modality": _MODALITIES, "kind": _KINDS} | _FIELDS
    for name, known in codes.items():
        if parts[name] not in known:
            return f"unknown {name}", parts[name], ", ".join(known)
    if parts["actor"] != parts["folder"]:
        return "the file's name and its folder say two actors", parts["actor"], parts["folder"]
    if not 1 <= int(parts["actor"]) <= 24:
        return "unknown actor", parts["actor"], "01 to 24"
    return None
