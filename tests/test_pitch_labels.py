"""The label of the median F0: known tones, files without pitch, files that break."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from singerid.errors import MissingExtraError
from singerid.features import world
from singerid.pitch_labels import with_median_f0
from singerid.records import Recording

RATE = 16_000


def recording(path, samples, **labels):
    soundfile.write(path, samples, RATE)
    return Recording(path.stem, "s", str(path), len(samples) / RATE, RATE, labels=labels)


def tone(hz, seconds=1.5):
    t = np.arange(int(seconds * RATE)) / RATE
    return 0.1 * sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 8))


def test_the_label_is_the_pitch_of_the_tone(tmp_path):
    pytest.importorskip("pyworld")
    rng = np.random.default_rng(0)
    given = [
        recording(tmp_path / "a.wav", tone(220.0), gender="F"),
        recording(tmp_path / "b.wav", tone(311.1)),
        recording(tmp_path / "noise.wav", 0.1 * rng.normal(size=RATE)),
    ]
    steps = []
    labelled, failures = with_median_f0(given, 2, steps.append)
    assert not failures
    assert steps == [1, 1, 1]
    assert [r.id for r in labelled] == ["a", "b", "noise"]
    assert float(labelled[0].labels["f0"]) == pytest.approx(220.0, rel=0.002)
    assert float(labelled[1].labels["f0"]) == pytest.approx(311.1, rel=0.002)
    assert labelled[2].labels["f0"] == ""
    assert labelled[0].labels["gender"] == "F"
    assert "f0" not in given[0].labels


def test_a_file_that_breaks_keeps_its_place(tmp_path):
    pytest.importorskip("pyworld")
    good = recording(tmp_path / "a.wav", tone(220.0))
    gone = replace(good, id="gone", path=str(tmp_path / "gone.wav"))
    labelled, failures = with_median_f0([gone, good])
    assert [r.id for r in labelled] == ["gone", "a"]
    assert labelled[0].labels["f0"] == ""
    assert float(labelled[1].labels["f0"]) == pytest.approx(220.0, rel=0.002)
    assert len(failures) == 1
    assert "gone.wav" in str(failures[0])


def test_without_world_nothing_is_begun(monkeypatch):
    def missing():
        raise MissingExtraError("pyworld", "world")

    monkeypatch.setattr("singerid.pitch_labels.pyworld", missing)
    assert world.pyworld is not missing
    with pytest.raises(MissingExtraError, match=r"pip install 'singerid\[world\]'"):
        with_median_f0([])
