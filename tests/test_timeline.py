"""The timeline: its lanes are the singers, its bars the segments."""

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from singerid.errors import SingeridError
from singerid.plots import save_figure
from singerid.segments import Segment, Segmentation
from singerid.timeline import envelope, timeline_figure
from singerid.tracks import Track

SECONDS, FRAME = 90.0, 0.02


def result(segments, singers, seconds=SECONDS):
    n = round(seconds / FRAME)
    times = (np.arange(n) + 0.5) * FRAME
    voiced = np.zeros(n, bool)
    for one in segments:
        voiced |= (times >= one.start) & (times < one.end)
    peaks = np.where(voiced, 0.6, 0.01).astype(np.float32)
    cells = np.full((round(seconds * 10), len(singers)), 1 / max(1, len(singers)))
    track = Track(seconds, np.zeros(0), 3.0, np.zeros((0, 4), np.float32), voiced, peaks, FRAME)
    return Segmentation(tuple(segments), tuple(singers), cells, track)


SEGMENTS = [
    Segment(2, 20, "Zoë", 0.9, 0.6), Segment(22, 40, None, 0.8), Segment(41, 70, "anna", 0.9, 0.5),
    Segment(71, 80, "Zoë", 0.7, 0.4),
]  # fmt: skip


def test_a_lane_for_each_singer_in_the_order_of_appearance():
    figure = timeline_figure(result(SEGMENTS, ["Zoë", "anna", "silent", None]), "a duet")
    wave, lanes = figure.axes
    assert [label.get_text() for label in lanes.get_yticklabels()] == ["Zoë", "unknown", "anna"]
    assert wave.get_title(loc="left") == "a duet"
    assert wave.get_title(loc="right") == "1:30, 1:14 sung, 3 singer(s)"


def test_bars_are_the_segments():
    figure = timeline_figure(result(SEGMENTS, ["Zoë", "anna", None]))
    bars = [c for c in figure.axes[1].collections if isinstance(c, PolyCollection)]
    spans = [
        tuple(sorted({round(x, 3) for x in path.vertices[:, 0]}))
        for bar in bars for path in bar.get_paths()
    ]  # fmt: skip
    assert sorted(spans) == [(2, 20), (22, 40), (41, 70), (71, 80)]


def test_curves_stay_in_their_lanes():
    figure = timeline_figure(result(SEGMENTS, ["Zoë", "anna", None]))
    curves = [line for line in figure.axes[1].lines if len(line.get_xdata()) > 2]
    assert len(curves) == 3
    for lane, curve in enumerate(curves):
        assert (np.abs(curve.get_ydata() - lane) <= 0.4 + 1e-9).all()
        assert curve.get_xdata()[-1] == pytest.approx(SECONDS, abs=0.2)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_it_can_be_saved(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    save_figure(timeline_figure(result(SEGMENTS, ["Zoë", "anna", None]), "$x_1$\n"), path)
    assert path.stat().st_size > 1000


def test_nobody_sings():
    figure = timeline_figure(result([], ["anna", None]))
    assert figure.axes[1].get_yticklabels() == []


def test_many_singers_and_hours():
    names = [f"p{i}" for i in range(30)]
    segments = [Segment(120 * i, 120 * i + 100, name) for i, name in enumerate(names)]
    figure = timeline_figure(result(segments, names, 3700.0))
    assert len(figure.axes[1].get_yticklabels()) == 20
    assert figure.axes[0].get_title(loc="right").startswith("1:01:40, 50:00 sung, 30 singer(s)")


def test_no_samples():
    with pytest.raises(SingeridError, match="nothing to draw"):
        timeline_figure(result([], [], 0.0))


def test_the_envelope_keeps_every_peak():
    values = np.random.default_rng(0).random(10_007)
    found = envelope(values, 100)
    assert len(found) == 100
    assert found.max() == values.max()
    starts = np.linspace(0, len(values), 100, endpoint=False).astype(int)
    np.testing.assert_array_equal(found, [part.max() for part in np.split(values, starts[1:])])
    assert envelope(values[:5], 100) is not None
    np.testing.assert_array_equal(envelope(values[:5], 100), values[:5])
