"""Install the built wheel into an empty environment, by hash, without any extra, and use it.

    python release/smoke.py [FOLDER]     the environment stays there; default: a temporary one

Needs dist/ as `release/reproduce.py` leaves it. Virtual singers are made by the installed
package; `singerid verify` must tell two songs of one from songs of both, and say in one line what
a file needs that only FFmpeg reads.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from pins import ROOT

VOICES = """
import csv, sys
from pathlib import Path
from singerid.virtual import write_virtual_corpus
table = write_virtual_corpus(Path(sys.argv[1]), n_singers=6, songs_per_singer=2, seed=0,
                             n_processes=1)
rows = list(csv.DictReader(open(table)))
print("\\n".join(str(table.parent / row["path"]) for row in rows))
"""

NO_EXTRAS = """
from importlib.util import find_spec
assert not [name for name in ("torch", "av", "fastapi") if find_spec(name)]
"""
M4A = b"\0\0\0\x10ftypM4A \0\0\0\0"  # where the audio would follow
NEEDS_FFMPEG = (
    "song.m4a: is not audio that libsndfile can decode, and FFmpeg is not installed; ",
    " pip install 'singerid[ffmpeg]' ",
)


def checked_wheel() -> Path:
    """The wheel in dist/, if it has the bytes that SHA256SUMS says."""
    for line in (ROOT / "dist" / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        file = ROOT / "dist" / name
        if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            sys.exit(f"{file}: not the file of SHA256SUMS; run make release")
        if file.suffix == ".whl":
            return file
    sys.exit("dist/SHA256SUMS names no wheel; run make release")


def install(folder: Path, wheel: Path) -> Path:
    """An environment of its own with exactly the locked packages and the wheel; its bin folder."""
    venv.create(folder, with_pip=True, clear=True)
    binaries = folder / ("Scripts" if sys.platform == "win32" else "bin")
    python = str(binaries / "python")
    pip = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    lock = ["--require-hashes", "--only-binary", ":all:", "-r", f"{ROOT}/release/requirements.lock"]
    subprocess.run([*pip, *lock], check=True)
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    subprocess.run([python, "-m", "pip", "check"], check=True)
    subprocess.run([python, "-c", NO_EXTRAS], check=True)
    return binaries


def verify(binaries: Path, first: str, second: str, work: Path) -> dict[str, object]:
    """What `singerid verify --json` answers, away from the source tree."""
    command = [str(binaries / "singerid"), "verify", first, second, "--json"]
    done = subprocess.run(command, cwd=work, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def check_line(binaries: Path, work: Path) -> str:
    """The one line that `verify` says to a file that only FFmpeg reads."""
    (work / "song.m4a").write_bytes(M4A)
    command = [str(binaries / "singerid"), "verify", "song.m4a", "song.m4a"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    lines = done.stderr.splitlines()
    if done.returncode != 1 or len(lines) != 1 or not all(p in lines[0] for p in NEEDS_FFMPEG):
        sys.exit(f"status {done.returncode}, expected 1 and one line on FFmpeg: {done.stderr}")
    return lines[0]


def main() -> None:
    """Install, verify twice, say what was seen."""
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        began = time.monotonic()
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else work / "environment"
        binaries = install(folder.absolute(), checked_wheel())
        print(f"installed by hash in {time.monotonic() - began:.0f} s: no torch, no FFmpeg")
        python = [str(binaries / "python"), "-c", VOICES, str(work / "voices")]
        done = subprocess.run(python, cwd=work, check=True, stdout=subprocess.PIPE, text=True)
        files = sorted(done.stdout.splitlines())
        same = verify(binaries, files[0], files[1], work)
        other = verify(binaries, files[0], files[2], work)
        line = check_line(binaries, work)
    print(f"one singer:  {same}\ntwo singers: {other}\nan M4A file: {line}")
    if not float(str(same["score"])) > float(str(other["score"])):
        sys.exit("one singer's songs are not closer than two singers'")


if __name__ == "__main__":
    main()
