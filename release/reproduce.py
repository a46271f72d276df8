"""Build wheel and sdist twice, differently, compare the bytes, and put them into dist/.

    python release/reproduce.py [COMMIT]

The second build has another folder, file times, umask, time zone, language and hash seed, and its
wheel is built from the first one's sdist. What may differ: hatchling's version, which the wheel
records (release/tools.txt pins it), and zlib, which compresses.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from pins import ROOT

DIST = ROOT / "dist"


def commit_time(commit: str) -> str:
    """Seconds since 1970 at which a commit was made: the time of every file in what is built."""
    command = ["git", "log", "-1", "--format=%ct", commit]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def export(commit: str, folder: Path) -> Path:
    """The files of a commit, and nothing that merely lies in the work tree."""
    folder.mkdir()
    archive = folder.parent / f"{folder.name}.tar"
    subprocess.run(["git", "archive", "-o", archive, commit], cwd=ROOT, check=True)
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return folder


def build(tree: Path, out: Path, epoch: str, kind: str, **environment: str) -> None:
    """Run hatchling on a tree; `kind` is "wheel" or "sdist"."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", out],
        cwd=tree, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "SOURCE_DATE_EPOCH": epoch.strip(), **environment},
    )  # fmt: skip


def sums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file in a folder."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.iterdir())
        if file.suffix in (".whl", ".gz")
    }


def build_twice(commit: str, work: Path) -> tuple[Path, Path]:
    """Both builds of a commit, in two folders of `work`."""
    epoch = commit_time(commit)
    first, second = work / "first", work / "second"
    tree = export(commit, work / "tree")
    for kind in ("sdist", "wheel"):
        build(tree, first, epoch, kind)

    other = export(commit, work / "another place")
    for file in other.rglob("*"):
        os.utime(file, (0, 0))
        if file.is_file():  # group and others may differ; "can be run" is part of the file
            file.chmod(file.stat().st_mode & 0o700)
    odd = {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "7"}
    old_mask = os.umask(0o077)
    try:
        build(other, second, epoch, "sdist", **odd)
        with tarfile.open(next(second.glob("*.tar.gz"))) as files:
            files.extractall(work / "unpacked", filter="data")
        (unpacked,) = (work / "unpacked").iterdir()
        build(unpacked, second, epoch, "wheel", **odd)
    finally:
        os.umask(old_mask)
    return first, second


def main() -> None:
    """Build, compare, keep."""
    commit = sys.argv[1] if len(sys.argv) > 1 else "HEAD"
    with tempfile.TemporaryDirectory() as folder:
        first, second = build_twice(commit, Path(folder))
        if sums(first) != sums(second):
            sys.exit(f"two builds differ: {sums(first)} and {sums(second)}")
        shutil.rmtree(DIST, ignore_errors=True)
        DIST.mkdir()
        for name in sums(first):
            shutil.copyfile(first / name, DIST / name)
    lines = [f"{digest}  {name}\n" for name, digest in sums(DIST).items()]
    (DIST / "SHA256SUMS").write_text("".join(lines))
    for name, digest in sums(DIST).items():
        print(f"{name}: {(DIST / name).stat().st_size:,} bytes, built twice, {digest}")


if __name__ == "__main__":
    main()
