"""Workers that make batches."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import os, sys, types
import numpy as np
from singerid.loading import make_loader
from singerid.training_sections import TrainSettings


class Maker:
    def batch(self, t):
        return types.SimpleNamespace(
            features=np.zeros((1, 1, 2, 3), np.float32), singers=np.array([os.getpid()])
        )


if __name__ == "__main__":
    batches = iter(make_loader(Maker(), TrainSettings(workers=2), range(100)))
    print(*{int(next(batches)[1][0]) for _ in range(2)}, flush=True)
    sys.stdin.read()
"""


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_end_with_a_training_that_is_killed(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as training:
        workers = list(map(int, training.stdout.readline().split()))
        assert len(workers) == 2
        assert all(map(is_alive, workers))
        training.send_signal(signal.SIGKILL)
    until = time.monotonic() + 30
    while any(map(is_alive, workers)) and time.monotonic() < until:
        time.sleep(0.1)
    left = list(filter(is_alive, workers))
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
