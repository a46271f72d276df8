"""Run the tests that need no extra with several Pythons and the oldest and locked dependencies.

    python release/matrix.py                   all that this machine has
    python release/matrix.py 3.13 oldest       one Python, or one kind of dependencies, or both

"oldest" are the lower bounds of pyproject.toml (uv's lowest-direct; the first with a wheel for
this Python), of the extra `ffmpeg` as well; "locked" are the versions of constraints.txt without
any extra, so that tests of what FFmpeg reads are skipped. A Python that is not here is named and
left out; `--all` makes that an error. Other extras are not covered: torch has no CPU wheel here
for every Python, and its CUDA build is several GB.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from packaging.version import Version

from pins import ROOT, lower_bound, requirements

PYTHONS = ["3.11", "3.12", "3.13"]
EXTRAS: dict[str, list[str]] = {"oldest": ["ffmpeg"], "locked": []}
KINDS = list(EXTRAS)

_BASE_TESTS = """
accompaniment adaptation alarms audio augment backend backgrounds bank batches blas bootstrap
breakdown calibrate calibration clustering cohort comparison config corpora corpora_known crew crops
cycles decimation declared degradations distortion embedder embeddings encoder_graph enrollment
errors evaluate features flags front_ends geometry golden_metrics hardest health identification
json_lines judge labels likelihood lint logistic lossy manifest markup melcepstrum metrics
model_files mpeg naming objective_line pairs pitch pitch_labels players plda plots python_docs
quality records release report report_files resemblyzer_package robustness sampling scorer
scoring_models segment_errors segment_files segments separation silence similarity
sklearn_transformer slices store store_check streaming svg table throughput timeline tracks
trial_files trial_rules trials turns vector_cache vectors_file virtual voicing wave_batches worst
"""
BASE_TESTS = _BASE_TESTS.split()
"""Test files that need no extra or skip what does, test_layers (of the source, not of what it
runs on) aside."""

NEWER_THAN_OLDEST = {
    "tests/test_audio.py::test_variable_bit_rate_without_a_count_of_frames": "the test writes its "
    "MP3 files by av's global_quality; the package only reads them",
    "tests/test_golden_metrics.py::test_the_generator_writes_this_file": "one value moves by 8.5e-9"
    " with the BLAS of NumPy 1.26, and the test allows 1e-9",
}
"""Tests that need more than the package does, left out with the oldest dependencies, and why."""


def interpreter(version: str) -> str | None:
    """A Python of this version that starts: on the PATH, or pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))]
    for place in map(str, filter(None, places)):
        command = [place, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        said = subprocess.run(command, capture_output=True, text=True)
        if said.stdout.strip() == version:
            return place
    return None


def install(python: str, kind: str, folder: Path) -> Path:
    """An environment with the package, its dependencies of one kind, and pytest; its Python."""
    uv = ["uv", "--quiet", "--no-progress"]
    subprocess.run([*uv, "venv", "--python", python, str(folder)], check=True)
    inside = folder / "bin" / "python"
    command = [*uv, "pip", "install", "--python", str(inside), "--only-binary=:all:"]
    package = f"{ROOT}[{','.join(EXTRAS[kind])}]" if EXTRAS[kind] else str(ROOT)
    command += ["--no-binary=singerid", package, "pytest>=8.2", "hypothesis>=6.100"]
    command += (
        ["--resolution=lowest-direct"]
        if kind == "oldest"
        else ["--constraint", str(ROOT / "constraints.txt")]
    )
    subprocess.run(command, check=True)
    return inside


def above_bounds(inside: Path) -> list[str]:
    """Direct dependencies whose lower bound is not what got installed, a word each."""
    code = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
    needs = requirements(EXTRAS["oldest"])
    command = [str(inside), "-c", code, *(need.name for need in needs)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return [
        f"{need.name} {version}"
        for need, version in zip(needs, said.stdout.split(), strict=True)
        if Version(version) != Version(lower_bound(need))
    ]


def run(version: str, kind: str) -> bool:
    """Install and test one cell of the matrix; say in one line how it went."""
    python = interpreter(version)
    if python is None:
        print(f"Python {version}, {kind}: NOT RUN, no such Python here", flush=True)
        return "--all" not in sys.argv
    with tempfile.TemporaryDirectory() as folder:
        inside = install(python, kind, Path(folder) / "venv")
        began = time.monotonic()
        tests = [f"tests/test_{name}.py" for name in BASE_TESTS]
        command = [str(inside), "-m", "pytest", "--tb=short", "-p", "no:cacheprovider", *tests]
        if kind == "oldest":
            command += [f"--deselect={test}" for test in NEWER_THAN_OLDEST]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        above = f"; above the bound: {', '.join(above_bounds(inside))}" if kind == "oldest" else ""
    if done.returncode:
        print(done.stdout[-20_000:], done.stderr[-2_000:])
    last = done.stdout.strip().rpartition("\n")[2].strip("= ")
    print(f"Python {version}, {kind}: {last}, {time.monotonic() - began:.0f} s{above}", flush=True)
    return done.returncode == 0


def main() -> None:
    """Run what was asked for, or everything; exit 1 if a cell failed."""
    pythons = [word for word in sys.argv[1:] if word in PYTHONS] or PYTHONS
    kinds = [word for word in sys.argv[1:] if word in KINDS] or KINDS
    results = [run(version, kind) for version in pythons for kind in kinds]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
