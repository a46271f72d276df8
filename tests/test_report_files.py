"""The files of an evaluation agree with each other."""

import json

import pytest

from singerid.evaluate import Report, evaluate
from singerid.metrics import eer
from singerid.report_files import write_report
from singerid.trials.files import read_trials
from test_evaluate import make


@pytest.fixture(scope="module")
def report() -> Report:
    return evaluate(make(noise=2))


def test_written_files_give_the_same_figures(report, tmp_path):
    written = write_report(report, tmp_path / "report", make(noise=2))
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == set(written) == {
        "report.html", "report.json", "trials.txt", "scores.txt", "det.png", "histogram.png"
    }  # fmt: skip
    trials = read_trials(tmp_path / "report/trials.txt", report.trials.ids)
    lines = (tmp_path / "report/scores.txt").read_text().splitlines()
    scores = [float(line.split()[2]) for line in lines]
    fields = json.loads((tmp_path / "report/report.json").read_text())
    assert fields["slices"]["all"]["eer"] == report.slices["all"].eer
    assert eer(scores, trials.targets)[0] == report.slices["all"].eer
    assert fields["slices"]["all"]["eer_interval"] == list(report.slices["all"].eer_interval)
    assert fields["encoder"] == "encoder-1"
    assert fields["settings"]["trials"]["cross"] == "song"
    assert (fields["n_recordings"], fields["n_singers"]) == (48, 8)
    for name in ("det.png", "histogram.png"):
        assert (tmp_path / "report" / name).read_bytes().startswith(b"\x89PNG")


def test_report_json_is_written_last(report, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr("singerid.plots.save_figure", full)
    with pytest.raises(OSError, match="disk full"):
        write_report(report, tmp_path, make(noise=2))
    assert not (tmp_path / "report.json").exists()
