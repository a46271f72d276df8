"""Dagstuhl ChoirSet: amateurs in choir and quartets, several microphones each.

Layout: mirdata's loader, index and index script (mirdata/datasets/dagstuhl_choirset.py,
indexes/dagstuhl_choirset_index_1.2.3.json, scripts/make_dagstuhl_choirset_index.py):
``DCS_{LI|TP|SE}_{setting}_{take}_{singer}_{DYN|HSM|LRX}.wav``; mixes are named Stereo… and Piano.
A singer keeps the name through all settings (quartet A is S2 A1 T1 B1, quartet B S1 A2 T2 B2).
No field for gender.
"""

from __future__ import annotations

import re
from pathlib import Path

from singerid.corpora.adapter import VOICES, KnownScan, choose, matches
from singerid.manifest import Scan

MICROPHONES = {"DYN": "dynamic", "HSM": "headset", "LRX": "larynx"}
SONGS = ("LI", "TP", "SE")
_PARTS = {"S": "soprano", "A": "alto", "T": "tenor", "B": "bass"}
_LAYOUT = re.compile(
    r"/DCS_(?P<song>[A-Z]+)_(?P<setting>[^_/]+)_(?P<take>[^_/]+)"
    r"_(?:(?P<singer>[SATB]\d)_(?P<mic>[A-Z]+)|(?P<mix>(?:Stereo|Piano)\w*))\.wav$"
)


def scan(
    root: Path, microphones: tuple[str, ...] = ("DYN",), gender_from_voice: bool = False
) -> Scan:
    """<root>/audio_wav_22050_mono/DCS_<song>_<setting>_<take>_<singer>_<microphone>.wav

    Args:
        root: the corpus, unpacked. Mixes of several singers are left out.
        microphones: DYN (dynamic), HSM (headset), LRX (larynx) or all; not every singer has each.
        gender_from_voice: label sopranos and altos F, tenors and basses M.
    """
    wanted = choose("microphones", microphones, MICROPHONES)
    result = KnownScan()
    for path, parts in matches(root, _LAYOUT, result, scan.__doc__):
        if parts["song"] not in SONGS:
            result.refuse(path, "unknown song", parts["song"], ", ".join(SONGS))
        elif "mic" in parts and parts["mic"] not in MICROPHONES:
            result.refuse(path, "unknown microphone", parts["mic"], ", ".join(MICROPHONES))
        elif parts.get("mic") not in wanted:
            result.n_filtered += 1
        else:
            voice = _PARTS[parts["singer"][0]]
            result.add(
                "dagstuhl", path, root, parts["singer"], kind="singing", song=parts["song"],
                voice=voice, setting=parts["setting"], take=parts["take"],
                microphone=MICROPHONES[parts["mic"]],
                gender=VOICES[voice] if gender_from_voice else "",
            )  # fmt: skip
    return result
