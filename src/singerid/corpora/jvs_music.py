"""JVS-MuSiC: a hundred Japanese singers, one common children's song and one of their own.

Layout and the columns of ``singer_info.txt``: an audit of the archive and a manifest builder for
it in public repositories (400 files: ``song_common/wav/{raw,modified,modified_grouped}.wav`` and
``song_unique/wav/raw.wav``); design: Tamaru et al., arXiv 2001.07044. "Modified" takes were shifted
in key and tempo, which changes the voice: they are left out unless asked for.
"""

from __future__ import annotations

import re
from pathlib import Path

from singerid.corpora.adapter import KnownScan, choose, find_beside, matches, read_lines
from singerid.errors import ManifestError
from singerid.manifest import Scan

_GENDERS = {"f": "F", "female": "F", "m": "M", "male": "M"}
_COMMON_SONG = "katatsumuri"
_LAYOUT = re.compile(
    r"/(?P<singer>jvs\d{3})/song_(?P<song>common|unique)/wav/"
    r"(?P<version>raw|modified|modified_grouped)\.wav$"
)


def scan(root: Path, versions: tuple[str, ...] = ("raw",)) -> Scan:
    """<root>/jvs<NNN>/song_(common|unique)/wav/(raw|modified|modified_grouped).wav

    Args:
        root: the corpus, unpacked, with ``singer_info.txt``.
        versions: raw, modified, modified_grouped or all.

    Raises:
        ManifestError: ``singer_info.txt`` is missing or has other columns.
    """
    wanted = choose("versions", versions, ("raw", "modified", "modified_grouped"))
    singers = read_singers(find_beside(root, "singer_info.txt"))
    result = KnownScan()
    for path, parts in matches(root, _LAYOUT, result, scan.__doc__):
        row = singers.get(parts["singer"], {})
        gender = _GENDERS.get(row.get("gender", "").lower(), "")
        if not gender:
            result.refuse(
                path.parents[2], "has no gender in singer_info.txt", row.get("gender"), "F or M"
            )
        elif parts["version"] not in wanted:
            result.n_filtered += 1
        else:
            own = row.get("unique_song_name") or f"{parts['singer']} own song"
            result.add(
                "jvs_music", path, root, parts["singer"], kind="singing", language="Japanese",
                gender=gender, song=_COMMON_SONG if parts["song"] == "common" else own,
                version=parts["version"],
            )  # fmt: skip
    return result


def read_singers(path: Path) -> dict[str, dict[str, str]]:
    """Rows of ``singer_info.txt`` by singer: columns by white space, the last may contain it.

    Raises:
        ManifestError: it cannot be read, or has no column for the singer or the gender.
    """
    lines = [line for line in read_lines(path) if line.strip()]
    header = lines[0].split() if lines else []
    key = next((name for name in ("singer", "speaker") if name in header), None)
    if key is None or "gender" not in header:
        raise ManifestError(
            "has other columns", where=path, found=", ".join(header)[:80],
            expected="singer (or speaker) and gender",
        )  # fmt: skip
    rows = (
        dict(zip(header, line.split(maxsplit=len(header) - 1), strict=False)) for line in lines[1:]
    )
    return {row[key]: row for row in rows if key in row}
