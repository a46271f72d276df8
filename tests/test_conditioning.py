"""The example of a converter with conditioning vectors, shortened: it runs and it learns."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from singerid.waveform_mel import resample

pytestmark = pytest.mark.slow

FILE = Path(__file__).resolve().parents[1] / "examples" / "conditioning.py"


@pytest.fixture(scope="module")
def conditioning():
    spec = importlib.util.spec_from_file_location("conditioning", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_untrained_converter_changes_nothing(conditioning):
    samples = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (1, 8000))).float()
    samples = resample(samples, 8000, 16000)  # nothing near the Nyquist frequency
    converted, gains = conditioning.Converter(6)(samples, torch.ones(1, 6))
    assert not gains.any()
    inner = slice(1000, -1000)
    torch.testing.assert_close(converted[:, inner], samples[:, inner], atol=1e-5, rtol=0)


def test_a_few_steps_bring_songs_nearer_to_other_singers(conditioning, monkeypatch, capsys):
    monkeypatch.setattr(conditioning, "N_SINGERS", 6)
    monkeypatch.setattr(conditioning, "SONGS", 2)
    monkeypatch.setattr(conditioning, "CROP", 16000)
    n_threads = torch.get_num_threads()
    try:
        before, after = conditioning.main(n_steps=12)
    finally:
        torch.set_num_threads(n_threads)
    wanted, own = before[0]["the encoder itself"]
    assert (wanted, own) == (0, 1)
    assert after[1] < before[1] - 0.01
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("MFCC, a stranger names the wanted singer") for line in lines)
