"""Faults on purpose, in few tries each; `benchmarks/faults.py` makes the many (reliability.md)."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "faults.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
    pytest.mark.skipif(sys.platform != "linux", reason="faults of Linux"),
]


@pytest.mark.parametrize(
    ("words", "stages"),
    [
        ("kills --kills 5", ["features", "train", "embed", "table", "enroll"]),
        ("writes --writes 1", ["features", "table", "enroll"]),
        ("reads crash worker --tries 1", ["features of pitch", "embed"]),
        ("store --flips 8", ["features"]),
    ],
)
def test_faults_cost_nothing(words, stages):
    command = [sys.executable, str(BENCHMARK), *words.split(), "--stages", *stages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert rows
    for fault, tries, _, lost, _, found in rows:
        assert int(tries) > 0, fault
        assert lost == "0", (fault, found)
        assert found == "nothing" or found.endswith("made again on average"), fault
